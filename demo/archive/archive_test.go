package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSampleShowsItsEntriesAndTheOneThatEscapes(t *testing.T) {
	out, units, err := Inspect(t.Context(), SampleInput())
	if err != nil {
		t.Fatal(err)
	}
	if units["entry"] != 5 || len(units) != 1 {
		t.Errorf("units = %v, want 5 entry", units)
	}
	got := decodeResult(t, out)
	if got.Format != "zip" || got.Name != "mill.zip" || got.Count != 5 || got.Truncated || got.Safe {
		t.Errorf("result = %+v", got)
	}
	if len(got.Findings) != 1 || got.Findings[0].Kind != ZipSlip || got.Findings[0].Entry != "../evil.txt" {
		t.Errorf("findings = %v", got.Findings)
	}
	if got.Largest == nil || got.Largest.Name != "mill/harvest.csv" || got.Types[".md"] != 1 || got.Types[".txt"] != 1 {
		t.Errorf("largest = %v, types = %v", got.Largest, got.Types)
	}
	if bytes.ContainsAny(out, "\n\t") {
		t.Error("the result is not compact")
	}
}

func TestEveryFormatDescribesTheSameEntries(t *testing.T) {
	written := time.Date(2025, 5, 6, 7, 8, 10, 0, time.UTC)
	headers := []*tar.Header{
		{Name: "dir/", Typeflag: tar.TypeDir, Mode: 0o755, ModTime: written},
		{Name: "dir/a.go", Typeflag: tar.TypeReg, Mode: 0o644, ModTime: written, Size: 5},
		{Name: "dir/link", Typeflag: tar.TypeSymlink, Linkname: "a.go", Mode: 0o777, ModTime: written},
		{Name: "dir/same.go", Typeflag: tar.TypeLink, Linkname: "dir/a.go", Mode: 0o644, ModTime: written},
	}
	var want = []Entry{
		{Name: "dir/", Type: "dir", Mode: "0755", Modified: &written},
		{Name: "dir/a.go", Size: 5, Type: "file", Mode: "0644", Modified: &written},
		{Name: "dir/link", Type: "symlink", Target: "a.go", Mode: "0777", Modified: &written},
		{Name: "dir/same.go", Type: "hardlink", Target: "dir/a.go", Mode: "0644", Modified: &written},
	}
	plain := tarOf(t, headers...)
	for format, data := range map[string][]byte{"tar": plain, "tar.gz": gzipOf(t, plain)} {
		got := inspect(t, data)
		if got.Format != format || !got.Safe || got.TotalSize != 5 || got.TotalCompressed != int64(len(data)) || got.Types[".go"] != 1 {
			t.Errorf("%s: result = %+v", format, got)
		}
		checkEntries(t, got.Entries, want)
	}

	link := &zip.FileHeader{Name: "dir/link", Modified: written}
	link.SetMode(0o777 | fs.ModeSymlink)
	file := &zip.FileHeader{Name: "dir/a.go", Modified: written, Method: zip.Deflate}
	file.SetMode(0o644)
	folder := &zip.FileHeader{Name: "dir/", Modified: written}
	folder.SetMode(0o755 | fs.ModeDir)
	got := inspect(t, zipOf(t, zipFile{folder, ""}, zipFile{file, "01234"}, zipFile{link, "a.go"}))
	if !got.Safe || got.TotalSize != 9 || got.TotalCompressed == 0 || got.Entries[1].CompressedSize == nil {
		t.Errorf("zip: result = %+v", got)
	}
	want[2].Size = 4
	for i := range got.Entries {
		got.Entries[i].CompressedSize = nil
	}
	checkEntries(t, got.Entries, want[:3])
}

func checkEntries(t *testing.T, got, want []Entry) {
	t.Helper()
	g, _ := json.Marshal(got)
	w, _ := json.Marshal(want)
	if !bytes.Equal(g, w) {
		t.Errorf("entries = %s\nwant %s", g, w)
	}
}

func TestNamesThatLeaveTheFolderAreFound(t *testing.T) {
	for _, test := range []struct {
		name       string
		inZip, tar []Kind
	}{
		{"a/b.txt", nil, nil},
		{"./a", nil, nil},
		{"a..b/...c", nil, nil},
		{"..", []Kind{ZipSlip}, []Kind{ZipSlip}},
		{"../a", []Kind{ZipSlip}, []Kind{ZipSlip}},
		{"a/../../b", []Kind{ZipSlip}, []Kind{ZipSlip}},
		{"a/../b", []Kind{ZipSlip}, []Kind{ZipSlip}},
		{`..\a`, []Kind{ZipSlip}, []Kind{ZipSlip}},
		{`a\..\..\b`, []Kind{ZipSlip}, []Kind{ZipSlip}},
		{"a/.. /b", []Kind{ZipSlip}, []Kind{ZipSlip}},
		{`a\b`, []Kind{ZipSlip}, nil},
		{"/etc/passwd", []Kind{AbsolutePath}, []Kind{AbsolutePath}},
		{`C:\a`, []Kind{AbsolutePath, ZipSlip}, []Kind{AbsolutePath}},
		{"c:a", []Kind{AbsolutePath}, []Kind{AbsolutePath}},
		{`\\host\share`, []Kind{AbsolutePath, ZipSlip}, []Kind{AbsolutePath}},
		{"/../a", []Kind{AbsolutePath, ZipSlip}, []Kind{AbsolutePath, ZipSlip}},
	} {
		zipped := inspect(t, zipOf(t, zipFile{&zip.FileHeader{Name: test.name}, ""}))
		checkKinds(t, "zip with "+test.name, zipped, test.inZip...)
		tarred := inspect(t, tarOf(t, &tar.Header{Name: test.name, Typeflag: tar.TypeReg, Mode: 0o600}))
		checkKinds(t, "tar with "+test.name, tarred, test.tar...)
	}
	checkKinds(t, "zip with a zero byte", inspect(t, zipOf(t, zipFile{&zip.FileHeader{Name: "a.txt\x00.png"}, ""})), ZipSlip)
}

func TestLinksThatLeadOutAreFound(t *testing.T) {
	for _, test := range []struct {
		name  string
		links []string // "name -> target" or, for a hard one, "name => target"
		want  []string
	}{
		{"inside", []string{"a -> b", "d/e -> ../b", "d/f -> ./g/../h"}, nil},
		{"above", []string{"a -> ../b"}, []string{"a"}},
		{"above from a folder", []string{"d/e -> ../../b", "d/f -> .."}, []string{"d/e"}},
		{"absolute", []string{"a -> /etc/passwd", `b -> C:\x`, `c -> \\host\x`}, []string{"a", "b", "c"}},
		{"backslashes", []string{`a -> ..\b`}, []string{"a"}},
		{"through a link", []string{"d/up -> ..", "a -> d/up/../x"}, []string{"a"}},
		{"through a link that is unpacked later", []string{"a -> here/../x", "here -> ."}, []string{"a"}},
		{"deeper through a link", []string{"short -> d/e/f", "a -> short/../../x"}, nil},
		{"placed through a link", []string{"d/up -> ..", "d/up/a -> ../x"}, []string{"d/up/a"}},
		{"in a circle", []string{"a -> b", "b -> a"}, []string{"a", "b"}},
		{"onto itself", []string{"a -> a/x"}, []string{"a"}},
		{"hard inside", []string{"d/a => d/b"}, nil},
		{"hard above", []string{"d/a => ../b"}, []string{"d/a"}},
		{"hard absolute", []string{"a => /etc/shadow"}, []string{"a"}},
		{"hard through a link", []string{"up -> .", "a => up/../x"}, []string{"a"}},
	} {
		var headers []*tar.Header
		for _, line := range test.links {
			kind := byte(tar.TypeSymlink)
			name, target, ok := strings.Cut(line, " -> ")
			if !ok {
				kind = tar.TypeLink
				name, target, _ = strings.Cut(line, " => ")
			}
			headers = append(headers, &tar.Header{Name: name, Linkname: target, Typeflag: kind})
		}
		var got []string
		for _, finding := range inspect(t, tarOf(t, headers...)).Findings {
			if finding.Kind == SymlinkEscape {
				got = append(got, finding.Entry)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v escape, want %v", test.name, got, test.want)
		}
	}
}

func TestLinkInZipIsReadFromItsContent(t *testing.T) {
	header := &zip.FileHeader{Name: "a"}
	header.SetMode(0o777 | fs.ModeSymlink)
	got := inspect(t, zipOf(t, zipFile{header, "../../etc"}))
	checkKinds(t, "a link in a zip", got, SymlinkEscape)
	if got.Entries[0].Target != "../../etc" {
		t.Errorf("target = %q", got.Entries[0].Target)
	}
}

func TestHostileChainsOfLinksAreGivenUp(t *testing.T) {
	headers := []*tar.Header{{Name: "b", Linkname: strings.Repeat("x/../", 800) + "b", Typeflag: tar.TypeSymlink}}
	for i := range 2000 {
		headers = append(headers, &tar.Header{Name: fmt.Sprint(i), Linkname: "b", Typeflag: tar.TypeSymlink})
	}
	headers = append(headers, &tar.Header{Name: "long", Linkname: strings.Repeat("y", mostTargetBytes+1), Typeflag: tar.TypeSymlink})
	got := inspect(t, gzipOf(t, tarOf(t, headers...)))
	checkKinds(t, "chains", got, SymlinkEscape)
	if last := got.FindingCounts[SymlinkEscape]; last > 2002 {
		t.Errorf("%d findings", last)
	}
}

func TestBombsAreFound(t *testing.T) {
	zeros := strings.Repeat("\x00", 2<<20)
	one := &zip.FileHeader{Name: "zeros", Method: zip.Deflate}
	t.Run("one entry and the whole of a zip", func(t *testing.T) {
		got := inspect(t, zipOf(t, zipFile{one, zeros}))
		checkKinds(t, "bomb", got, Bomb)
		if got.FindingCounts[Bomb] != 2 || got.TotalSize != 2<<20 {
			t.Errorf("result = %+v", got)
		}
	})
	t.Run("small content of a high ratio is none", func(t *testing.T) {
		checkKinds(t, "zeros", inspect(t, zipOf(t, zipFile{one, zeros[:1<<19]})))
	})
	t.Run("tar.gz", func(t *testing.T) {
		data := gzipOf(t, tarOf(t, &tar.Header{Name: "zeros", Typeflag: tar.TypeReg, Size: 2 << 20}))
		checkKinds(t, "bomb", inspect(t, data), Bomb)
	})
	t.Run("hidden behind the end of a tar", func(t *testing.T) {
		data := gzipOf(t, append(tarOf(t), zeros...))
		checkKinds(t, "bomb", inspect(t, data), Bomb)
	})
	t.Run("sparse tar", func(t *testing.T) {
		got := inspect(t, sparseTar("hole", 3<<20))
		checkKinds(t, "bomb", got, Bomb)
		if got.TotalSize != 3<<20 {
			t.Errorf("total size = %d", got.TotalSize)
		}
	})
	t.Run("entries that share their bytes", func(t *testing.T) {
		got := inspect(t, overlappingZip(t, 50))
		checkKinds(t, "overlap", got, Bomb, DuplicateName)
		if got.Count != 50 || got.FindingCounts[Bomb] != 1 {
			t.Errorf("count = %d, findings = %v", got.Count, got.FindingCounts)
		}
	})
	t.Run("past the read limit", func(t *testing.T) {
		noise := noise(3000)
		small := Limits{ReadBytes: 4000}
		for format, data := range map[string][]byte{
			"zip":    zipOf(t, zipFile{&zip.FileHeader{Name: "a"}, noise}, zipFile{&zip.FileHeader{Name: "b"}, noise}, zipFile{&zip.FileHeader{Name: "c"}, noise}),
			"tar":    tarOf(t, &tar.Header{Name: "a", Typeflag: tar.TypeReg, Size: 3000}, &tar.Header{Name: "b", Typeflag: tar.TypeReg, Size: 3000}),
			"tar.gz": gzipOf(t, tarOf(t, &tar.Header{Name: "a", Typeflag: tar.TypeReg, Size: 3000}, &tar.Header{Name: "b", Typeflag: tar.TypeReg, Size: 3000})),
		} {
			out, _, err := small.Inspect(t.Context(), inputFor(data))
			if err != nil {
				t.Fatal(err)
			}
			got := decodeResult(t, out)
			checkKinds(t, format, got, Bomb)
			if format == "zip" && (got.Count != 3 || got.TotalSize != 9000) {
				t.Errorf("zip: %d entries of %d bytes, want all by their declared size", got.Count, got.TotalSize)
			}
			if format != "zip" && !got.Truncated {
				t.Errorf("%s is not marked as truncated", format)
			}
		}
	})
}

func TestDeclaredSizeIsHeldAgainstTheRealOne(t *testing.T) {
	for _, test := range []struct {
		declared uint64
		want     []Kind
	}{{1000, nil}, {10, []Kind{SizeMismatch}}, {2000, []Kind{Truncated}}, {1 << 63, []Kind{Truncated}}} {
		content := []byte(noise(1000))
		got := inspect(t, rawZip(t, &zip.FileHeader{
			Name: "a", Method: zip.Deflate, CRC32: crc32.ChecksumIEEE(content), UncompressedSize64: test.declared,
		}, deflate(t, content)))
		checkKinds(t, fmt.Sprintf("declared %d", test.declared), got, test.want...)
		if got.TotalSize != 1000 {
			t.Errorf("total size = %d, want the real one", got.TotalSize)
		}
	}
}

func TestWhatCannotBeReadIsFound(t *testing.T) {
	content := []byte(noise(1000))
	whole := deflate(t, content)
	header := func() *zip.FileHeader {
		return &zip.FileHeader{Name: "a", Method: zip.Deflate, CRC32: crc32.ChecksumIEEE(content), UncompressedSize64: 1000}
	}
	encrypted := header()
	encrypted.Flags = 1
	unknown := header()
	unknown.Method = 93
	wrongSum := header()
	wrongSum.CRC32++
	damaged := append([]byte("\xff\xff\xff"), whole[3:]...)
	tarred := tarOf(t, &tar.Header{Name: "a", Typeflag: tar.TypeReg, Size: 1000}, &tar.Header{Name: "b", Typeflag: tar.TypeReg, Size: 1000})
	gzipped := gzipOf(t, tarred)
	wrongGzipSum := slices.Clone(gzipped)
	wrongGzipSum[len(wrongGzipSum)-8]++
	damagedHeader := slices.Clone(tarred)
	damagedHeader[1536+150]++
	sample := Sample()

	for _, test := range []struct {
		name string
		data []byte
		want Kind
	}{
		{"encrypted", rawZip(t, encrypted, whole), Encrypted},
		{"packed by an unknown method", rawZip(t, unknown, whole), Unreadable},
		{"wrong CRC-32", rawZip(t, wrongSum, whole), BadChecksum},
		{"damaged deflate", rawZip(t, header(), damaged), BadChecksum},
		{"deflate that ends early", rawZip(t, header(), whole[:len(whole)-100]), Truncated},
		{"zip without its end", sample[:len(sample)-30], Truncated},
		{"tar cut in a content", tarred[:700], Truncated},
		{"tar cut in a header", tarred[:1536+100], Truncated},
		{"tar with a damaged header", damagedHeader, BadChecksum},
		{"tar.gz cut off", gzipped[:len(gzipped)-40], Truncated},
		{"tar.gz with a wrong checksum", wrongGzipSum, BadChecksum},
		{"tar.gz with something behind", append(slices.Clone(gzipped), "more than ten bytes"...), Unreadable},
		{"tar with something behind", append(slices.Clone(tarred), "more"...), Unreadable},
	} {
		checkKinds(t, test.name, inspect(t, test.data), test.want)
	}
}

func TestUnusualEntriesAreFound(t *testing.T) {
	setuid := &zip.FileHeader{Name: "su"}
	setuid.SetMode(0o755 | fs.ModeSetuid)
	device := &zip.FileHeader{Name: "null"}
	device.SetMode(0o666 | fs.ModeDevice | fs.ModeCharDevice)
	plain := func(name string) *zip.FileHeader { return &zip.FileHeader{Name: name} }
	for _, test := range []struct {
		name string
		data []byte
		want []Kind
	}{
		{"setuid in zip", zipOf(t, zipFile{setuid, ""}), []Kind{SetUID}},
		{"device in zip", zipOf(t, zipFile{device, ""}), []Kind{Device}},
		{"setgid in tar", tarOf(t, &tar.Header{Name: "sg", Typeflag: tar.TypeReg, Mode: 0o2755}), []Kind{SetUID}},
		{"setgid folder", tarOf(t, &tar.Header{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o2755}), nil},
		{"device in tar", tarOf(t, &tar.Header{Name: "sda", Typeflag: tar.TypeBlock, Devmajor: 8}), []Kind{Device}},
		{"pipe in tar", tarOf(t, &tar.Header{Name: "p", Typeflag: tar.TypeFifo}), []Kind{Device}},
		{"same name", zipOf(t, zipFile{plain("a"), ""}, zipFile{plain("./a"), ""}), []Kind{DuplicateName}},
		{"folder twice", zipOf(t, zipFile{plain("a/"), ""}, zipFile{plain("a/"), ""}), nil},
		{"folder and file", zipOf(t, zipFile{plain("a/"), ""}, zipFile{plain("a"), ""}), []Kind{DuplicateName}},
		{"zip in zip", zipOf(t, zipFile{plain("a.bin"), string(Sample())}), []Kind{NestedArchive}},
		{"tar in tar.gz", gzipOf(t, tarOf(t, &tar.Header{Name: "pax", Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "x"}})), nil},
	} {
		checkKinds(t, test.name, inspect(t, test.data), test.want...)
	}
	tarInZip := inspect(t, zipOf(t, zipFile{plain("t"), string(tarOf(t, &tar.Header{Name: "a", Typeflag: tar.TypeReg}))}))
	checkKinds(t, "tar in zip", tarInZip, NestedArchive)
	if !tarInZip.Safe {
		t.Error("an archive inside alone is not safe")
	}
}

func TestLongListsAreCutAndStillCounted(t *testing.T) {
	var files []zipFile
	for i := range mostListed + 5 {
		files = append(files, zipFile{&zip.FileHeader{Name: fmt.Sprintf("../%d.x%d", i, i)}, ""})
	}
	got := inspect(t, zipOf(t, files...))
	if len(got.Entries) != mostListed || !got.Truncated || got.Count != mostListed+5 {
		t.Errorf("%d of %d listed, truncated %v", len(got.Entries), got.Count, got.Truncated)
	}
	if len(got.Findings) != 50 || got.FindingCounts[ZipSlip] != mostListed+5 {
		t.Errorf("%d findings listed of %v", len(got.Findings), got.FindingCounts)
	}
	if len(got.Types) != mostTypes+1 || got.Types["(other)"] != mostListed+5-mostTypes {
		t.Errorf("%d types, %d others", len(got.Types), got.Types["(other)"])
	}

	out, units, err := Limits{Entries: 10}.Inspect(t.Context(), inputFor(zipOf(t, files...)))
	if err != nil {
		t.Fatal(err)
	}
	if got := decodeResult(t, out); got.Count != 10 || !got.Truncated || got.FindingCounts[Bomb] != 1 || units["entry"] != 10 {
		t.Errorf("with a limit of 10: %d entries, %v, units %v", got.Count, got.FindingCounts, units)
	}
}

func TestOddNamesAndTimesFitIntoTheResult(t *testing.T) {
	long := strings.Repeat("ä", 400)
	got := inspect(t, tarOf(t,
		&tar.Header{Name: long, Typeflag: tar.TypeReg, ModTime: time.Date(20_000, 1, 1, 0, 0, 0, 0, time.UTC), Format: tar.FormatPAX},
		&tar.Header{Name: "bad\xff.go", Typeflag: tar.TypeReg, Format: tar.FormatGNU},
	))
	if name := got.Entries[0].Name; name != strings.Repeat("ä", 256)+"…" || got.Entries[0].Modified != nil {
		t.Errorf("entry = %+v", got.Entries[0])
	}
	if got.Entries[1].Name != "bad\uFFFD.go" || got.Types[".go"] != 1 || got.Types["(none)"] != 1 {
		t.Errorf("entry = %+v, types = %v", got.Entries[1], got.Types)
	}
}

func TestEmptyArchivesAreSafe(t *testing.T) {
	for format, data := range map[string][]byte{"zip": zipOf(t), "tar": tarOf(t), "tar.gz": gzipOf(t, tarOf(t))} {
		got := inspect(t, data)
		if got.Format != format || got.Count != 0 || !got.Safe || got.Largest != nil || got.Entries == nil || got.Findings == nil {
			t.Errorf("%s: result = %+v", format, got)
		}
	}
}

func TestWrongInputIsFinalAndSaysWhy(t *testing.T) {
	for input, says := range map[string]string{
		``:                    "refused",
		`[]`:                  "JSON object",
		`{}`:                  "archive is missing",
		`{"archive":1}`:       "archive cannot be a number",
		`{"archive":"?"}`:     "base64",
		`{"archive":"aGk="}`:  "not a zip",
		`{"arch":"aGk="}`:     "arch",
		`{"archive":"YQ=="}x`: "goes on",
		`{"archive":"YQ==","name":"` + strings.Repeat("n", 256) + `"}`: "longer than 255",
		string(inputFor([]byte("\x1f\x8b\x08"))):                       "header is damaged",
		string(inputFor(gzipOf(t, []byte("just a text")))):             "no tar is in it",
	} {
		_, units, err := Inspect(t.Context(), []byte(input))
		var wrong *InputError
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), says) || units != nil {
			t.Errorf("%.40q: error = %v, want an InputError with %q", input, err, says)
		}
	}
	for _, limits := range []Limits{{ArchiveBytes: 10}, {ArchiveBytes: 100}} {
		var wrong *InputError
		if _, _, err := limits.Inspect(t.Context(), inputFor(Sample())); !errors.As(err, &wrong) || !strings.Contains(err.Error(), "at most") {
			t.Errorf("past %d bytes: %v", limits.ArchiveBytes, err)
		}
	}
}

func TestCancelledContextEndsTheInspection(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	plain := tarOf(t, &tar.Header{Name: "a", Typeflag: tar.TypeReg, Size: 1 << 20})
	for _, data := range [][]byte{Sample(), plain, gzipOf(t, plain)} {
		if _, _, err := Inspect(ctx, inputFor(data)); !errors.Is(err, context.Canceled) {
			t.Errorf("error = %v", err)
		}
	}
}

func TestInputSchemaIsJSON(t *testing.T) {
	if !json.Valid([]byte(InputSchema)) {
		t.Error("InputSchema is not JSON")
	}
}

func FuzzInput(f *testing.F) {
	f.Add(SampleInput())
	f.Add([]byte(`{"archive":"H4sIAAAAAAAA","name":"x"}`))
	f.Add([]byte(`{"archive":null,"name":null}`))
	f.Fuzz(func(t *testing.T, input []byte) { checkInspect(t, input) })
}

func FuzzInputArchive(f *testing.F) {
	link := &tar.Header{Name: "d/a", Linkname: "../../b", Typeflag: tar.TypeSymlink}
	long := &tar.Header{Name: strings.Repeat("n", 300), Typeflag: tar.TypeReg, Size: 700, Mode: 0o4755, Format: tar.FormatPAX}
	f.Add(Sample())
	f.Add(tarOf(f, link, long))
	f.Add(gzipOf(f, tarOf(f, link, long)))
	f.Add(sparseTar("hole", 5000))
	f.Fuzz(func(t *testing.T, data []byte) {
		checkInspect(t, inputFor(data))
		checkInspect(t, inputFor(gzipOf(t, data)))
	})
}

// checkInspect holds for any input: a result that adds up, or an InputError.
func checkInspect(t *testing.T, input []byte) {
	out, units, err := Limits{ReadBytes: 4 << 20, Entries: 500}.Inspect(t.Context(), input)
	if err != nil {
		var wrong *InputError
		if !errors.As(err, &wrong) {
			t.Fatalf("error %v is not an InputError", err)
		}
		return
	}
	got := decodeResult(t, out)
	if units["entry"] != int64(got.Count) || len(got.Entries) != got.Count || got.TotalSize < 0 || got.TotalCompressed < 0 {
		t.Errorf("units = %v, result = %+v", units, got)
	}
	if got.Safe && len(got.Findings) != got.FindingCounts[NestedArchive] {
		t.Errorf("safe with %v", got.Findings)
	}
}

func inspect(t *testing.T, data []byte) Result {
	t.Helper()
	out, _, err := Inspect(t.Context(), inputFor(data))
	if err != nil {
		t.Fatal(err)
	}
	return decodeResult(t, out)
}

func inputFor(data []byte) []byte {
	return fmt.Appendf(nil, `{"archive":%q}`, base64.StdEncoding.EncodeToString(data))
}

func decodeResult(t *testing.T, out []byte) Result {
	t.Helper()
	var got Result
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

func checkKinds(t *testing.T, what string, got Result, want ...Kind) {
	t.Helper()
	var kinds []Kind
	for kind := range got.FindingCounts {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	slices.Sort(want)
	if !slices.Equal(kinds, want) {
		t.Errorf("%s: findings %v, want %v: %v", what, kinds, want, got.Findings)
	}
	if harmless := len(want) == 0 || len(want) == 1 && want[0] == NestedArchive; got.Safe != harmless {
		t.Errorf("%s: safe is %v", what, got.Safe)
	}
}
