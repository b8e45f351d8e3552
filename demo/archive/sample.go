package archive

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"strings"
	"time"
)

// Sample builds a zip of a small project, with one entry that would be
// extracted outside its folder: ../evil.txt.
func Sample() []byte {
	var out bytes.Buffer
	writer := zip.NewWriter(&out)
	written := time.Date(2026, time.January, 15, 9, 30, 0, 0, time.UTC)
	for _, file := range []struct{ name, content string }{
		{"mill/", ""},
		{"mill/README.md", "# Mill\n\nGrinds corn, counts sacks.\n"},
		{"mill/mill.go", "package mill\n\n// Sacks gives how many sacks a harvest fills.\nfunc Sacks(kilograms int) int { return (kilograms + 49) / 50 }\n"},
		{"mill/harvest.csv", "year,kilograms\n" + strings.Repeat("2025,1400\n", 200)},
		{"../evil.txt", "You should not have unpacked this.\n"},
	} {
		header := &zip.FileHeader{Name: file.name, Method: zip.Deflate, Modified: written}
		header.SetMode(0o644)
		if strings.HasSuffix(file.name, "/") {
			header.Method = zip.Store
			header.SetMode(0o755)
		}
		// Writing into memory cannot fail.
		entry, _ := writer.CreateHeader(header)
		_, _ = entry.Write([]byte(file.content))
	}
	_ = writer.Close()
	return out.Bytes()
}

// SampleInput is an input for [Inspect] with the zip of [Sample].
func SampleInput() []byte {
	input, _ := json.Marshal(map[string]any{"archive": Sample(), "name": "mill.zip"}) // of plain fields, so it cannot fail
	return input
}
