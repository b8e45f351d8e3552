package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// reply is one answer. Its body is valid until the next is read.
type reply struct {
	status     int
	retryAfter bool
	body       []byte

	length  int // -1: until the connection ends
	chunked bool
	close   bool
}

// largestReply bounds what is kept in memory.
const largestReply = 64 << 20

// A replyReader reads answers off one HTTP/1.1 connection. It understands what
// a server of this API sends and no more (RFC 9112: a status line, fields, a
// body by length, in chunks or to the end), and allocates nothing once its
// buffers have grown.
type replyReader struct {
	from       io.Reader
	buf        []byte // buf[start:end] is read and not yet consumed
	start, end int
	chunks     []byte // a chunked body, put together
}

// reset begins with another connection.
func (r *replyReader) reset(from io.Reader) {
	if r.buf == nil {
		r.buf = make([]byte, 8<<10)
	}
	r.from, r.start, r.end = from, 0, 0
}

func (r *replyReader) read() (reply, error) {
	// What an earlier answer left behind would be taken for the next one.
	if r.start != r.end {
		return reply{}, fmt.Errorf("bench: %d bytes follow the answer", r.end-r.start)
	}
	r.start, r.end = 0, 0
	var got reply
	for searched := 0; ; {
		if i := bytes.Index(r.buf[searched:r.end], []byte("\r\n\r\n")); i >= 0 {
			if err := got.parse(r.buf[:searched+i+2]); err != nil {
				return got, err
			}
			r.start = searched + i + 4
			break
		}
		searched = max(0, r.end-3)
		if err := r.more(); err != nil {
			return got, err
		}
	}
	var err error
	switch {
	case got.chunked:
		got.body, err = r.readChunks()
	case got.length >= 0:
		got.body, err = r.take(got.length)
	default:
		got.body, err = r.readAll()
	}
	return got, err
}

// more reads once, growing the buffer when it is full. Bytes stay where they
// are relative to start.
func (r *replyReader) more() error {
	if r.end == len(r.buf) {
		if len(r.buf) >= largestReply {
			return errors.New("bench: the answer is too large")
		}
		grown := make([]byte, 2*len(r.buf))
		copy(grown, r.buf[:r.end])
		r.buf = grown
	}
	n, err := r.from.Read(r.buf[r.end:])
	r.end += n
	if n > 0 {
		return nil
	}
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (r *replyReader) take(n int) ([]byte, error) {
	for r.end-r.start < n {
		if err := r.more(); err != nil {
			return nil, err
		}
	}
	r.start += n
	return r.buf[r.start-n : r.start], nil
}

func (r *replyReader) readAll() ([]byte, error) {
	for {
		err := r.more()
		if err == io.ErrUnexpectedEOF {
			return r.take(r.end - r.start)
		}
		if err != nil {
			return nil, err
		}
	}
}

func (r *replyReader) readLine() ([]byte, error) {
	for {
		if i := bytes.IndexByte(r.buf[r.start:r.end], '\n'); i >= 0 {
			line, err := r.take(i + 1)
			return bytes.TrimRight(line, "\r\n"), err
		}
		if err := r.more(); err != nil {
			return nil, err
		}
	}
}

func (r *replyReader) readChunks() ([]byte, error) {
	r.chunks = r.chunks[:0]
	for {
		line, err := r.readLine()
		if err != nil {
			return nil, err
		}
		size, ok := parseHex(line)
		if !ok || len(r.chunks)+size > largestReply {
			return nil, fmt.Errorf("bench: chunk size %q", line)
		}
		if size == 0 {
			break
		}
		chunk, err := r.take(size)
		if err != nil {
			return nil, err
		}
		r.chunks = append(r.chunks, chunk...)
		if line, err = r.readLine(); err != nil {
			return nil, err
		}
		if len(line) != 0 {
			return nil, errors.New("bench: a chunk is longer than its size")
		}
	}
	for { // trailers
		line, err := r.readLine()
		if err != nil || len(line) == 0 {
			return r.chunks, err
		}
	}
}

// parse reads a status line and fields, each ended by CR LF.
func (r *reply) parse(head []byte) error {
	line, rest, _ := bytes.Cut(head, []byte("\r\n"))
	if len(line) < 12 || string(line[:9]) != "HTTP/1.1 " {
		return fmt.Errorf("bench: status line %.40q", line)
	}
	status, ok := parseDecimal(line[9:12])
	if !ok || status < 200 || status > 599 {
		return fmt.Errorf("bench: status line %.40q", line)
	}
	r.status, r.length = status, -1
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		// Most fields say nothing here: look at the first letter before the name.
		switch line[0] | 0x20 {
		case 'c':
			if value, ok := field(line, "content-length"); ok {
				if r.length, ok = parseDecimal(value); !ok || r.length > largestReply {
					return fmt.Errorf("bench: field %.60q", line)
				}
			} else if value, ok := field(line, "connection"); ok {
				r.close = r.close || equalFold(value, "close")
			}
		case 't':
			if value, ok := field(line, "transfer-encoding"); ok {
				if r.chunked = equalFold(value, "chunked"); !r.chunked {
					return fmt.Errorf("bench: field %.60q", line)
				}
			}
		case 'r':
			if _, ok := field(line, "retry-after"); ok {
				r.retryAfter = true
			}
		}
	}
	if r.status == 204 || r.status == 304 {
		r.length, r.chunked = 0, false
	}
	if r.length < 0 && !r.chunked {
		r.close = true
	}
	return nil
}

// field gives the value of a field line of that lower-case name.
func field(line []byte, name string) ([]byte, bool) {
	if len(line) <= len(name) || line[len(name)] != ':' || !equalFold(line[:len(name)], name) {
		return nil, false
	}
	return bytes.Trim(line[len(name)+1:], " \t"), true
}

func equalFold(text []byte, lower string) bool {
	if len(text) != len(lower) {
		return false
	}
	for i, c := range text {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

func parseDecimal(text []byte) (int, bool) {
	if len(text) == 0 || len(text) > 9 {
		return 0, false
	}
	n := 0
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, true
}

// parseHex reads a chunk's size, whatever extension follows it.
func parseHex(line []byte) (int, bool) {
	digits, _, _ := bytes.Cut(line, []byte(";"))
	digits = bytes.TrimRight(digits, " \t")
	if len(digits) == 0 || len(digits) > 7 {
		return 0, false
	}
	n := 0
	for _, c := range digits {
		switch {
		case '0' <= c && c <= '9':
			n = 16*n + int(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			n = 16*n + int(c|0x20-'a') + 10
		default:
			return 0, false
		}
	}
	return n, true
}
