package api

import (
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/tallygate/tallygate"
)

// Header values that are the same in many answers. They are shared: nobody changes them.
var (
	jsonType = []string{"application/json"}
	noStore  = []string{"no-store"}
	closeIt  = []string{"close"}
	yes      = []string{"true"}
	no       = []string{"false"}
)

// codeHeaders are what an error's code decides of its answer's headers.
type codeHeaders struct {
	name      []string // X-Error-Code
	challenge []string // WWW-Authenticate; nil: none
	waits     bool     // has Retry-After
	own       bool     // the server's failure, not the caller's mistake
}

var headersOf = func() (all []codeHeaders) {
	for _, code := range tallygate.Codes() {
		status := code.Status()
		h := codeHeaders{
			name: []string{code.String()},
			waits: status == tallygate.RateLimitExceeded.Status() || status == tallygate.ServiceUnavailable.Status() ||
				code == tallygate.DatabaseError,
			own: status >= tallygate.InternalError.Status(),
		}
		if status == tallygate.AuthenticationFailed.Status() {
			h.challenge = []string{challenge(code)}
		}
		all = append(all, h)
	}
	return all
}()

// challenge is the WWW-Authenticate header of a 401 (RFC 6750, section 3).
func challenge(code tallygate.Code) string {
	if code == tallygate.AuthenticationFailed {
		return `Bearer realm="tallygate"`
	}
	return `Bearer realm="tallygate", error="invalid_token", error_description="` + code.Facts().Message + `"`
}

// bodies are buffers of answers that have gone out; no larger one is kept.
var bodies = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

const maxPooledBody = 64 << 10

// send answers 200 with the JSON text.
func (c *call) send(body []byte) error {
	h := c.w.Header()
	h["Content-Type"] = jsonType
	if c.caller != nil {
		h["Cache-Control"] = noStore
	}
	c.limitHeaders(h)
	c.count(countKey{})
	c.write(http.StatusOK, body)
	return nil
}

// sendWith answers 200 with the JSON text that the function appends.
func (c *call) sendWith(appendTo func([]byte) []byte) error {
	buffer := bodies.Get().(*[]byte)
	*buffer = appendTo((*buffer)[:0])
	err := c.send(*buffer)
	putBody(buffer)
	return err
}

func putBody(buffer *[]byte) {
	if cap(*buffer) <= maxPooledBody {
		bodies.Put(buffer)
	}
}

// unknownLength is how much of a body net/http looks at to find a short one's length by itself.
const unknownLength = 2048

func (c *call) write(status int, body []byte) {
	if len(body) >= unknownLength {
		c.w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	c.status = status
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body) // a caller that went away is no failure of ours
}

// sendError answers with the error. It is the only place from which one leaves.
func (c *call) sendError(e *tallygate.Error) {
	e = outOfTime(e)
	c.logError(e)
	c.discardBody()
	h := c.w.Header()
	h["Content-Type"] = jsonType
	h["Cache-Control"] = noStore
	of := &headersOf[e.Code]
	h["X-Error-Code"] = of.name
	h["Link"] = c.server.links[e.Code]
	h["X-Should-Retry"] = no
	if e.Retry() {
		h["X-Should-Retry"] = yes
	}
	if of.challenge != nil {
		h["Www-Authenticate"] = of.challenge
	}
	if of.waits {
		c.setHeader("Retry-After", slotRetryAfter, strconv.FormatInt(wholeSeconds(max(e.RetryAfter, 1)), 10))
	}
	if e == goingDown {
		h["Connection"] = closeIt
	}
	c.limitHeaders(h)
	buffer := bodies.Get().(*[]byte)
	*buffer = appendError((*buffer)[:0], e)
	if !of.own || !c.left() {
		c.count(countKey{code: e.Code, failed: true})
	}
	c.write(e.Code.Status(), *buffer)
	putBody(buffer)
}

// wholeSeconds rounds up.
func wholeSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// appendError appends the contract's error body.
func appendError(b []byte, e *tallygate.Error) []byte {
	b = append(b, `{"error":`...)
	b = appendErrorObject(b, e)
	return append(b, '}')
}

// appendErrorObject appends {"code": …, "message": …}.
func appendErrorObject(b []byte, e *tallygate.Error) []byte {
	f := e.Code.Facts()
	detail := e.Detail
	if detail == "" {
		detail = f.Remedy
	}
	b = append(b, `{"code":"`...)
	b = append(b, f.Name...)
	b = append(b, `","message":"`...)
	b = append(b, f.Message...) // the contract's sentences need no escaping
	b = append(b, ": "...)
	b = appendEscaped(b, detail)
	return append(b, `"}`...)
}

// What is read away of a request's body so that its sender gets to read the answer.
const (
	discardBytes = 64 << 20
	discardTime  = 5 * time.Second
	smallBody    = 256 << 10 // net/http reads away as much by itself
)

// discardBody reads away what the caller still sends, within bounds; past them the connection is closed. A caller that
// waits for leave to send (Expect: 100-continue) sends nothing.
func (c *call) discardBody() {
	if c.read || c.r.ContentLength == 0 || (c.r.ContentLength > 0 && c.r.ContentLength <= smallBody) {
		return
	}
	c.read = true
	h := c.w.Header()
	if len(c.r.Header["Expect"]) > 0 {
		h["Connection"] = closeIt
		_ = http.NewResponseController(c.w).SetReadDeadline(time.Now()) // net/http need not wait for it either
		return
	}
	control := http.NewResponseController(c.w)
	_ = control.SetReadDeadline(time.Now().Add(discardTime))
	n, err := io.CopyN(io.Discard, c.r.Body, discardBytes)
	if n == discardBytes || err != io.EOF {
		h["Connection"] = closeIt
		return
	}
	_ = control.SetReadDeadline(time.Time{})
}
