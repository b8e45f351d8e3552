package archive

import (
	"archive/tar"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
)

var errReadLimit = errors.New("the limit of content is reached")

// drain reads content to its end and throws it away. It gives the size and the
// beginning, which is valid until the next call, and errReadLimit where the
// content of the whole archive goes past the limit.
func (in *inspection) drain(content io.Reader) (size int64, head []byte, err error) {
	defer func() { in.head = head[:0] }()
	for head = in.head; ; {
		if err := in.ctx.Err(); err != nil {
			return size, head, err
		}
		n, err := content.Read(in.buffer)
		size += int64(n)
		in.read += int64(n)
		head = append(head, in.buffer[:min(n, cap(head)-len(head))]...)
		switch {
		case in.read > in.limits.ReadBytes:
			return size, head, errReadLimit
		case err == io.EOF:
			return size, head, nil
		case err != nil:
			return size, head, err
		}
	}
}

// fault turns what stopped the reading of an entry, or of the archive where
// name is empty, into a finding. It gives back the context's error alone.
func (in *inspection) fault(name string, err error) error {
	if cancelled := in.ctx.Err(); cancelled != nil {
		return cancelled
	}
	var damaged flate.CorruptInputError
	switch {
	case errors.Is(err, errReadLimit):
		in.find(Bomb, name, "more than %d bytes are unpacked; the rest is not read", in.limits.ReadBytes)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		in.find(Truncated, name, "it ends too early")
	case errors.Is(err, gzip.ErrHeader):
		in.find(Unreadable, name, "something else follows the gzip")
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, tar.ErrHeader):
		in.find(BadChecksum, name, "it is damaged: a checksum is wrong")
	case errors.As(err, &damaged):
		in.find(BadChecksum, name, "its compressed data is damaged")
	default:
		in.find(BadChecksum, name, "it is damaged: %v", err)
	}
	return nil
}

// checkContent judges what the first bytes show.
func (in *inspection) checkContent(m member, head []byte) {
	if format := archiveFormat(head); format != "" && m.Type == "file" {
		in.find(NestedArchive, m.name, "it is a %s; what it holds is not looked at", format)
	}
}

func archiveFormat(head []byte) string {
	for _, format := range []struct{ magic, name string }{
		{"PK\x03\x04", "zip"},
		{"\x1f\x8b\x08", "gzip"},
		{"BZh", "bzip2"},
		{"\xfd7zXZ\x00", "xz"},
		{"7z\xbc\xaf\x27\x1c", "7z"},
		{"Rar!\x1a\x07", "rar"},
		{"\x28\xb5\x2f\xfd", "zstd"},
	} {
		if bytes.HasPrefix(head, []byte(format.magic)) {
			return format.name
		}
	}
	if isTarHeader(head) {
		return "tar"
	}
	return ""
}

// isTarHeader checks the sum of the first block (POSIX.1-1988, ustar).
func isTarHeader(data []byte) bool {
	const block, sumAt, sumEnd = 512, 148, 156
	if len(data) < block {
		return false
	}
	text := strings.Trim(string(data[sumAt:sumEnd]), " \x00")
	want, err := strconv.ParseInt(text, 8, 64)
	if err != nil {
		return false
	}
	var unsigned, signed int64 // old writers summed up signed bytes
	for i, b := range data[:block] {
		if i >= sumAt && i < sumEnd {
			b = ' '
		}
		unsigned += int64(b)
		signed += int64(int8(b))
	}
	return want == unsigned || want == signed
}

// meter counts a stream, and stops it at its limit or with the context.
type meter struct {
	ctx   context.Context
	from  io.Reader
	limit int64
	count *int64
}

func (m *meter) Read(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := m.from.Read(p)
	if *m.count += int64(n); *m.count > m.limit {
		return n, errReadLimit
	}
	return n, err
}
