package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// wire is a connection on which a test says exactly what it means to.
type wire struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
}

// dial opens a connection to the server.
func (s *server) dial(t testing.TB) *wire {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &wire{t, conn, bufio.NewReader(conn)}
}

// say sends the text. The other side may have closed already.
func (w *wire) say(text string) *wire {
	_, _ = io.WriteString(w.conn, text)
	return w
}

// hear reads one answer; route names in messages what it answers, beginning with the method.
func (w *wire) hear(route string) answer {
	w.t.Helper()
	method, _, _ := strings.Cut(route, " ")
	response, err := http.ReadResponse(w.in, &http.Request{Method: method})
	if err != nil {
		w.t.Fatalf("%s: no answer: %v", route, err)
	}
	defer response.Body.Close()
	a := answer{route: route, status: response.StatusCode, header: response.Header, closes: response.Close}
	if a.body, err = io.ReadAll(response.Body); err != nil {
		w.t.Fatalf("%s: answer cut off: %v", route, err)
	}
	a.value = value{w.t, route, nil}
	if len(a.body) > 0 && response.Header.Get("Content-Type") == "application/json" {
		a.value = decode(w.t, route, a.body)
	}
	return a
}

// ended makes sure that the other side has closed the connection and said nothing more.
func (w *wire) ended() {
	w.t.Helper()
	if rest, err := io.ReadAll(w.in); len(rest) > 0 {
		w.t.Errorf("after the answer came %.200q (%v)", rest, err)
	}
}

// half is a request whose body is not sent whole.
type half struct {
	*wire
	route, rest string
}

// begin sends a request but for the last byte of its body, so that the server has it at work until finish. The server
// asks for the body once it is at work; a server that is still busy with the request before is asked again.
func (c caller) begin(method, path, body string) *half {
	c.t.Helper()
	route, last := method+" "+path, len(body)-1
	var w *wire
	until(c.t, route+" is at work", func() bool {
		w = c.server.dial(c.t)
		w.say(c.requestText(method, path, "Content-Type: application/json", "Expect: 100-continue", fmt.Sprintf("Content-Length: %d", len(body))))
		a := w.hear(route)
		if a.status == http.StatusContinue {
			return true
		}
		a.refused("SERVICE_UNAVAILABLE")
		w.conn.Close()
		return false
	})
	return &half{w.say(body[:last]), route, body[last:]}
}

// finish sends the rest and reads the answer.
func (h *half) finish() answer {
	h.t.Helper()
	return h.say(h.rest).hear(h.route)
}

func (h *half) close() { h.conn.Close() }

// requestText is the text of a request without a body.
func (c caller) requestText(method, target string, header ...string) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: tallygate\r\nAuthorization: Bearer %s\r\n", method, target, c.key)
	for _, line := range header {
		b.WriteString(line + "\r\n")
	}
	b.WriteString("\r\n")
	return b.String()
}
