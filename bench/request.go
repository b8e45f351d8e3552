package bench

import (
	"errors"
	"fmt"
	"strings"
)

// The holes a request may have. A counter is always ten digits, so that the
// body's length is known beforehand; a key may stand in the header alone.
const (
	counterHole  = "{{n}}"
	keyHole      = "{{key}}"
	counterWidth = 10
)

// request describes what a load sends again and again.
type request struct {
	Method string      `json:"method"`
	Path   string      `json:"path"`
	Header [][2]string `json:"header,omitempty"`
	Body   string      `json:"body,omitempty"`
}

// A template is a request as bytes, cut at its holes: parts[i] is followed by
// holes[i], and the last part by nothing.
type template struct {
	parts []string
	holes []string
}

// compile makes an HTTP/1.1 request for address out of r. It fails on a key in
// the body, whose length would vary.
func (r request) compile(address string) (template, error) {
	if strings.Contains(r.Body, keyHole) {
		return template{}, errors.New("bench: a request's body cannot hold a key")
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.Method, r.Path, address)
	for _, line := range r.Header {
		fmt.Fprintf(&text, "%s: %s\r\n", line[0], line[1])
	}
	if r.Body != "" {
		length := len(r.Body) + strings.Count(r.Body, counterHole)*(counterWidth-len(counterHole))
		fmt.Fprintf(&text, "Content-Type: application/json\r\nContent-Length: %d\r\n", length)
	}
	text.WriteString("\r\n")
	text.WriteString(r.Body)
	return cut(text.String()), nil
}

func cut(text string) template {
	var t template
	for {
		hole, at := "", -1
		for _, candidate := range []string{counterHole, keyHole} {
			if i := strings.Index(text, candidate); i >= 0 && (at < 0 || i < at) {
				hole, at = candidate, i
			}
		}
		if at < 0 {
			t.parts = append(t.parts, text)
			return t
		}
		t.parts = append(t.parts, text[:at])
		t.holes = append(t.holes, hole)
		text = text[at+len(hole):]
	}
}

// appendTo writes the request with its holes filled, allocating only when
// buf is too small.
func (t *template) appendTo(buf []byte, n int64, key string) []byte {
	for i, part := range t.parts {
		buf = append(buf, part...)
		if i == len(t.holes) {
			break
		}
		if t.holes[i] == keyHole {
			buf = append(buf, key...)
		} else {
			buf = appendCounter(buf, n)
		}
	}
	return buf
}

func appendCounter(buf []byte, n int64) []byte {
	var digits [counterWidth]byte
	for i := counterWidth - 1; i >= 0; i-- {
		digits[i] = byte('0' + n%10)
		n /= 10
	}
	return append(buf, digits[:]...)
}
