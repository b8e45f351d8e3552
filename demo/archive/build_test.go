package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

type zipFile struct {
	header  *zip.FileHeader
	content string
}

func zipOf(t testing.TB, files ...zipFile) []byte {
	var out bytes.Buffer
	writer := zip.NewWriter(&out)
	for _, file := range files {
		entry, err := writer.CreateHeader(file.header)
		if err == nil && file.content != "" {
			_, err = entry.Write([]byte(file.content))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// rawZip writes one entry whose header may lie.
func rawZip(t *testing.T, header *zip.FileHeader, compressed []byte) []byte {
	var out bytes.Buffer
	writer := zip.NewWriter(&out)
	header.CompressedSize64 = uint64(len(compressed))
	entry, err := writer.CreateRaw(header)
	if err == nil {
		_, err = entry.Write(compressed)
	}
	if err = errors.Join(err, writer.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// overlappingZip names one entry many times in its directory.
func overlappingZip(t *testing.T, times int) []byte {
	data := zipOf(t, zipFile{&zip.FileHeader{Name: "a", Method: zip.Deflate}, noise(5000)})
	const endSize = 22
	end := data[len(data)-endSize:]
	size, offset := binary.LittleEndian.Uint32(end[12:]), binary.LittleEndian.Uint32(end[16:])
	out := slices.Clone(data[:offset])
	out = append(out, bytes.Repeat(data[offset:offset+size], times)...)
	binary.LittleEndian.PutUint16(end[8:], uint16(times))
	binary.LittleEndian.PutUint16(end[10:], uint16(times))
	binary.LittleEndian.PutUint32(end[12:], size*uint32(times))
	return append(out, end...)
}

// tarOf fills each entry with zeros of its size.
func tarOf(t testing.TB, headers ...*tar.Header) []byte {
	var out bytes.Buffer
	writer := tar.NewWriter(&out)
	for _, header := range headers {
		err := writer.WriteHeader(header)
		if err == nil && header.Size > 0 {
			_, err = writer.Write(make([]byte, header.Size))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// sparseTar has one old GNU sparse entry, which is a hole from end to end.
func sparseTar(name string, size int64) []byte {
	block := make([]byte, 512)
	copy(block, name)
	copy(block[100:], "0000644\x000000000\x000000000\x0000000000000\x0000000000000\x00        S")
	copy(block[257:], "ustar  \x00")
	copy(block[386:], fmt.Sprintf("%011o\x00%011o\x00", size, 0)) // one piece of no bytes, at the end
	copy(block[483:], fmt.Sprintf("%011o\x00", size))
	sum := 0
	for _, b := range block {
		sum += int(b)
	}
	copy(block[148:], fmt.Sprintf("%06o\x00 ", sum))
	return append(block, make([]byte, 1024)...)
}

func gzipOf(t testing.TB, data []byte) []byte {
	var out bytes.Buffer
	writer := gzip.NewWriter(&out)
	_, err := writer.Write(data)
	if err = errors.Join(err, writer.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func deflate(t *testing.T, data []byte) []byte {
	var out bytes.Buffer
	writer, err := flate.NewWriter(&out, flate.BestSpeed)
	if err == nil {
		_, err = writer.Write(data)
	}
	if err = errors.Join(err, writer.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// noise gives letters that hardly compress, the same each time.
func noise(n int) string {
	source := rand.New(rand.NewPCG(1, 2))
	letters := make([]byte, n)
	for i := range letters {
		letters[i] = byte('!' + source.IntN(90))
	}
	return string(letters)
}
