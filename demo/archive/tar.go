package archive

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/tallygate/tallygate/demo/job"
)

// looksLikeTar is true of a first header, and of the two zero blocks of an
// empty tar.
func looksLikeTar(data []byte) bool {
	const end = 1024
	return isTarHeader(data) || len(data) >= end && len(bytes.Trim(data[:end], "\x00")) == 0
}

func (in *inspection) tar() error {
	in.result.Format = "tar"
	in.result.TotalCompressed = int64(len(in.archive))
	return in.readTar(bytes.NewReader(in.archive))
}

func (in *inspection) tarGz() error {
	in.result.Format = "tar.gz"
	in.result.TotalCompressed = int64(len(in.archive))
	unzipped, err := gzip.NewReader(bytes.NewReader(in.archive))
	if err != nil {
		return job.BadInput("the archive begins like a gzip, but its header is damaged")
	}
	const twoBlocks = 1024
	stream := bufio.NewReaderSize(unzipped, 64<<10)
	if start, _ := stream.Peek(twoBlocks); !looksLikeTar(start) {
		return job.BadInput("the archive is a gzip, but no tar is in it")
	}
	return in.readTar(&meter{in.ctx, stream, in.limits.ReadBytes, &in.unpacked})
}

// readTar looks at each entry as it comes by. A fault ends it, since nothing
// tells where the next entry would start.
func (in *inspection) readTar(stream io.Reader) error {
	reader := tar.NewReader(stream)
	for {
		if err := in.ctx.Err(); err != nil {
			return err
		}
		header, err := reader.Next()
		switch {
		case err == io.EOF:
			return in.readTail(stream)
		case err != nil && !errors.Is(err, tar.ErrInsecurePath):
			in.stopped = true
			return in.fault("", err)
		case header.Typeflag == tar.TypeXGlobalHeader:
			continue // attributes of what follows, no entry
		case !in.admit():
			return nil
		}
		m := tarMember(header)
		size, head, err := in.drain(reader)
		if err != nil {
			in.stopped = true
			m.Size = max(size, m.Size)
			in.add(m)
			return in.fault(m.name, err)
		}
		m.Size = size
		in.checkContent(m, head)
		in.add(m)
	}
}

// readTail reads what follows the end of the tar, which proves the checksum of
// a gzip and finds what is hidden there.
func (in *inspection) readTail(stream io.Reader) error {
	hidden := false
	for {
		n, err := stream.Read(in.buffer)
		hidden = hidden || len(bytes.Trim(in.buffer[:n], "\x00")) > 0
		if err == nil {
			continue
		}
		if hidden {
			in.find(Unreadable, "", "something follows the end of the tar; it is not looked at")
		}
		if err == io.EOF {
			return nil
		}
		return in.fault("", err)
	}
}

func tarMember(header *tar.Header) member {
	const setuid, setgid, permissions = 0o4000, 0o2000, 0o7777
	m := member{
		Entry: Entry{
			Size:     max(0, header.Size),
			Type:     "other",
			Mode:     fmt.Sprintf("%04o", header.Mode&permissions),
			Modified: modified(header.ModTime),
		},
		name:  header.Name,
		setID: header.Mode&(setuid|setgid) != 0 && header.Typeflag != tar.TypeDir,
	}
	switch header.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		m.Type = "file"
	case tar.TypeDir:
		m.Type = "dir"
	case tar.TypeSymlink:
		m.Type, m.target = "symlink", header.Linkname
	case tar.TypeLink:
		m.Type, m.target = "hardlink", header.Linkname
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		m.device = true
	}
	return m
}
