package archive

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
)

func looksLikeZip(data []byte) bool {
	return bytes.HasPrefix(data, []byte("PK\x03\x04")) || bytes.HasPrefix(data, []byte("PK\x05\x06"))
}

// zip looks at the entries of the directory at the archive's end, as an
// extractor does.
func (in *inspection) zip() error {
	in.result.Format = "zip"
	reader, err := zip.NewReader(bytes.NewReader(in.archive), int64(len(in.archive)))
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		in.find(Truncated, "", "the directory at its end is missing or damaged")
		in.result.Truncated = true
		return nil
	}
	unpack := &unzipper{inspection: in, left: int64(len(in.archive))}
	for _, file := range reader.File {
		if err := in.ctx.Err(); err != nil {
			return err
		}
		if !in.admit() {
			return nil
		}
		m := zipMember(file)
		if err := unpack.read(file, &m); err != nil {
			return err
		}
		in.add(m)
	}
	return nil
}

func zipMember(file *zip.File) member {
	mode := file.Mode()
	compressed := clampSize(file.CompressedSize64)
	m := member{
		Entry: Entry{
			Size:           clampSize(file.UncompressedSize64),
			CompressedSize: &compressed,
			Type:           "file",
			Mode:           octal(mode),
		},
		name:  file.Name,
		setID: mode&(fs.ModeSetuid|fs.ModeSetgid) != 0 && !mode.IsDir(),
	}
	const firstYear = 1980 // MS-DOS time starts there; an unset one comes out before
	if file.Modified.Year() >= firstYear {
		m.Modified = modified(file.Modified)
	}
	switch {
	case mode.IsDir():
		m.Type = "dir"
	case mode&fs.ModeSymlink != 0:
		m.Type = "symlink"
	case mode.Type() != 0:
		m.Type, m.device = "other", true
	}
	return m
}

// octal writes the twelve bits that Unix has.
func octal(mode fs.FileMode) string {
	bits := uint32(mode.Perm())
	for i, special := range []fs.FileMode{fs.ModeSticky, fs.ModeSetgid, fs.ModeSetuid} {
		if mode&special != 0 {
			bits |= 0o1000 << i
		}
	}
	return fmt.Sprintf("%04o", bits)
}

func clampSize(size uint64) int64 { return int64(min(size, math.MaxInt64)) }

// unzipper reads the contents of a zip. It unpacks by itself, since the
// standard reader hides what goes past the declared size.
type unzipper struct {
	*inspection
	left     int64 // compressed bytes that entries may still claim
	overlaps bool
	inflater io.ReadCloser
}

// read unpacks one entry into nothing, and sets the size and target of m.
func (u *unzipper) read(file *zip.File, m *member) error {
	const encryptedFlag = 1
	if file.Flags&encryptedFlag != 0 {
		u.find(Encrypted, m.name, "its content is encrypted and cannot be looked into")
		return nil
	}
	compressed := *m.CompressedSize
	if compressed > u.left {
		// Sharing one compressed stream multiplies it without a high ratio:
		// Fifield, "A better zip bomb", 2019.
		if !u.overlaps {
			u.find(Bomb, m.name, "the entries claim more bytes than the archive has, so they overlap or lie")
		}
		u.overlaps = true
		return nil
	}
	if u.inspection.read > u.limits.ReadBytes {
		return nil // said already
	}
	u.left -= compressed
	raw, err := file.OpenRaw()
	if err != nil {
		u.find(Truncated, m.name, "its data is not where the directory says")
		return nil
	}
	content := raw
	switch file.Method {
	case zip.Store:
	case zip.Deflate:
		content = u.inflate(raw)
	default:
		u.find(Unreadable, m.name, "it is packed with method %d, which cannot be read", file.Method)
		return nil
	}

	declared, sum := m.Size, crc32.NewIEEE()
	size, head, err := u.drain(io.TeeReader(content, sum))
	if size > bombFloor && size > bombRatio*compressed {
		u.find(Bomb, m.name, "%d bytes unpack to %d or more, more than %d times as much", compressed, size, bombRatio)
	}
	if size > declared {
		u.find(SizeMismatch, m.name, "it declares %d bytes and holds more", declared)
	}
	if err != nil {
		m.Size = max(size, declared)
		return u.fault(m.name, err)
	}
	m.Size = size
	switch {
	case size < declared:
		u.find(Truncated, m.name, "it declares %d bytes and holds %d", declared, size)
	case size == declared && sum.Sum32() != file.CRC32:
		u.find(BadChecksum, m.name, "its content does not match its CRC-32")
	}
	if m.Type == "symlink" {
		m.target = string(head)
	}
	u.checkContent(*m, head)
	return nil
}

// inflate reuses one decompressor for all entries.
func (u *unzipper) inflate(raw io.Reader) io.Reader {
	if u.inflater == nil {
		u.inflater = flate.NewReader(raw)
		return u.inflater
	}
	// The reader of compress/flate is documented to be a Resetter; without a dictionary it cannot fail.
	_ = u.inflater.(flate.Resetter).Reset(raw, nil)
	return u.inflater
}
