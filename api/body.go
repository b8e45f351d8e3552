package api

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/tallygate/tallygate"
)

// firstRead bounds what is set aside for a body on its sender's word alone.
const firstRead = 64 << 10

// lateAfter is how long a body may take until its caller is decided about again.
const lateAfter = 100 * time.Millisecond

// readBody reads the whole body into c.body, which nobody else holds and which is never used again: what is cut out of
// it may be kept. A body that is no JSON text, or too large, or does not come in time, is an error.
func (c *call) readBody() error {
	if c.read || c.r.ContentLength == 0 || c.r.Body == http.NoBody {
		return nil
	}
	// A body of unknown length may be empty: its type is looked at once something is there.
	if c.r.ContentLength > 0 {
		if err := checkBodyType(c.r.Header); err != nil {
			return err
		}
	}
	limit := c.server.opt.MaxBody
	if c.r.ContentLength > limit {
		return c.tooLarge()
	}
	size := c.r.ContentLength
	if size < 0 {
		size = 512
	}
	body := make([]byte, 0, min(size, firstRead))
	for {
		if len(body) == cap(body) {
			next := 2 * cap(body)
			if c.r.ContentLength > 0 {
				next = min(next, int(c.r.ContentLength))
			}
			if len(body) == int(c.r.ContentLength) {
				break // whole: net/http has seen its end
			}
			body = append(make([]byte, 0, next), body...)
		}
		n, err := c.r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if int64(len(body)) > limit {
			return c.tooLarge()
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return c.cutOff(err)
		}
	}
	c.read = true
	if c.r.ContentLength < 0 && len(body) > 0 {
		if err := checkBodyType(c.r.Header); err != nil {
			return err
		}
	}
	took := c.server.opt.Now().Sub(c.start)
	if took > lateAfter && c.caller != nil {
		if err := c.server.opt.Access.Still(c.ctx, c.caller); err != nil {
			return err
		}
	}
	if took > c.server.opt.BodyTimeout/6 {
		// The connection's read deadline would otherwise end the request while its handler has time left.
		_ = http.NewResponseController(c.w).SetReadDeadline(time.Time{})
	}
	c.body = body
	return nil
}

func (c *call) tooLarge() error {
	return tallygate.Errorf(tallygate.InvalidRequest, "the body is over its limit of %d bytes", c.server.opt.MaxBody)
}

// cutOff says why the body did not come whole. The connection can't be used again.
func (c *call) cutOff(err error) error {
	c.read = true
	c.w.Header()["Connection"] = closeIt
	e := &tallygate.Error{Code: tallygate.InvalidRequest, Err: err}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		e.Detail = "the body did not arrive within " + c.server.opt.BodyTimeout.String()
	case errors.Is(err, io.ErrUnexpectedEOF):
		e.Detail = "the body ended before its Content-Length"
	default:
		e.Detail = "the body could not be read: its transfer coding is malformed, or the connection broke"
	}
	return e
}

// checkBodyType takes JSON in UTF-8, not compressed.
func checkBodyType(h http.Header) error {
	for _, encoding := range h["Content-Encoding"] {
		if !strings.EqualFold(strings.TrimSpace(encoding), "identity") {
			return tallygate.Errorf(tallygate.InvalidFormat, "Content-Encoding %.40q is not supported: send the body as it is", encoding)
		}
	}
	values := h["Content-Type"]
	if len(values) == 1 && values[0] == "application/json" {
		return nil
	}
	if len(values) == 0 || values[0] == "" {
		return tallygate.Errorf(tallygate.InvalidFormat, "send the header Content-Type: application/json")
	}
	if len(values) > 1 {
		return tallygate.Errorf(tallygate.InvalidFormat, "Content-Type stands there more than once")
	}
	kind, params, err := mime.ParseMediaType(values[0])
	if err != nil || kind != "application/json" {
		return tallygate.Errorf(tallygate.InvalidFormat, "Content-Type must be application/json, not %.80q", values[0])
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return tallygate.Errorf(tallygate.InvalidFormat, "the charset must be utf-8, not %.40q", charset)
	}
	return nil
}
