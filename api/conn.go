package api

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/tallygate/tallygate"
)

// Requests that net/http cannot read (a malformed request line, a bad Host, an unknown transfer coding, a header over
// its limit, an unknown Expect) never reach a handler: it answers them by itself, in plain text and with statuses
// outside the contract. The connections of Listen replace exactly those answers by the contract's. They are told apart
// by two facts: no handler is at work on the connection, and the bytes begin with a status line of 4xx or 5xx, followed
// by nothing but the two headers that net/http gives its own answers.

// Listen wraps l so that its connections speak the error contract also where no handler is reached.
func (s *Server) Listen(l net.Listener) net.Listener { return &listener{l, s} }

type listener struct {
	net.Listener
	server *Server
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, server: l.server}, nil
}

// connKey finds the connection in a request's context.
type connKey struct{}

type conn struct {
	net.Conn
	server  *Server
	serving atomic.Bool // from a handler's start until its answer is out
	refused bool        // the last words are said; used by the one goroutine that serves the connection
}

// Write passes b on, or the contract's error where b is an answer of net/http's own.
func (c *conn) Write(b []byte) (int, error) {
	if len(b) > 9 && (b[9] == '4' || b[9] == '5') && !c.serving.Load() {
		if detail, ok := ownAnswer(b); ok {
			c.refused = true
			if _, err := c.Conn.Write(c.server.refusal(detail)); err != nil {
				return 0, err
			}
			return len(b), nil
		}
	}
	return c.Conn.Write(b)
}

// CloseWrite ends the sending half, so that net/http may close gracefully.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// What is read away after a refusal before the connection goes: closing over unread bytes would reset the connection,
// and the caller might lose the answer.
const (
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 1 << 20
)

func (c *conn) Close() error {
	if c.refused && c.CloseWrite() == nil && c.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes)
	}
	return c.Conn.Close()
}

var (
	protocolPrefix = []byte("HTTP/1.")
	textHeaders    = []byte("\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n")
	closeHeader    = []byte("\r\nConnection: close\r\n")
)

// ownAnswer reports whether b is an answer that net/http makes by itself, and what there is to say about it.
func ownAnswer(b []byte) (detail string, ok bool) {
	if !bytes.HasPrefix(b, protocolPrefix) {
		return "", false
	}
	end := bytes.IndexByte(b, '\r')
	if end < len("HTTP/1.1 400") {
		return "", false
	}
	line, rest := b[:end], b[end:]
	status := string(line[9:12])
	if status == "417" { // its headers are those of a usual answer
		return "the only Expect that is understood is 100-continue", bytes.HasPrefix(rest, closeHeader)
	}
	if !bytes.HasPrefix(rest, textHeaders) {
		return "", false
	}
	switch status {
	case "431":
		return "the header is over its limit of " + strconv.Itoa(maxHeaderBytes>>10) + " KiB", true
	case "501":
		return "the only Transfer-Encoding that is understood is chunked", true
	case "505":
		return "speak HTTP/1.1", true
	}
	if _, reason, found := bytes.Cut(line, []byte(": ")); found && len(reason) > 0 {
		return string(reason), true
	}
	return "the request line or a header is malformed", true
}

// refusal is a whole answer, as it goes over the wire, to a request that could not be read.
func (s *Server) refusal(detail string) []byte {
	e := &tallygate.Error{Code: tallygate.InvalidRequest, Detail: detail}
	now := s.opt.Now()
	body := appendError(nil, e)
	b := make([]byte, 0, 512+len(body))
	b = append(b, "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nCache-Control: no-store\r\nConnection: close"...)
	b = append(b, "\r\nX-Request-Id: "...)
	b = append(b, s.ids.Next("", now)...)
	b = append(b, "\r\nX-Error-Code: "...)
	b = append(b, e.Code.String()...)
	b = append(b, "\r\nX-Should-Retry: false\r\nLink: "...)
	b = append(b, s.links[e.Code][0]...)
	if s.origins.any {
		b = append(b, "\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: "...)
		b = append(b, exposedHeaders...)
	}
	b = append(b, "\r\nDate: "...)
	b = now.UTC().AppendFormat(b, http.TimeFormat)
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	b = append(b, "\r\n\r\n"...)
	s.counts.add(now, countKey{code: e.Code, failed: true})
	return append(b, body...)
}
