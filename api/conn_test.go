package api

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
)

// pipes is a listener of connections in memory.
type pipes struct {
	waiting chan net.Conn
	closed  context.Context
	close   context.CancelFunc
}

func newPipes() *pipes {
	p := &pipes{waiting: make(chan net.Conn)}
	p.closed, p.close = context.WithCancel(context.Background())
	return p
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.waiting:
		return c, nil
	case <-p.closed.Done():
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.close(); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// serve has the whole server, as HTTPServer and Listen make it, answer on connections in memory.
func (h *house) serve() (dial func() net.Conn) {
	p := newPipes()
	s := h.HTTPServer()
	done := make(chan struct{})
	go func() {
		_ = s.Serve(h.Listen(p))
		close(done)
	}()
	h.t.Cleanup(func() {
		_ = s.Close()
		<-done
		time.Sleep(time.Second) // the bubble's: net/http lingers after some of its refusals
	})
	return func() net.Conn {
		client, server := net.Pipe()
		h.t.Cleanup(func() { _ = client.Close() })
		p.waiting <- server
		return client
	}
}

// answerTo sends raw bytes and reads one answer; the sending goes on in the background.
func answerTo(t *testing.T, c net.Conn, raw string) (*http.Response, string) {
	t.Helper()
	go func() { _, _ = io.WriteString(c, raw) }()
	method, _, _ := strings.Cut(raw, " ")
	w, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("no answer to %.60q: %v", raw, err)
	}
	body, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatalf("answer to %.60q: %v", raw, err)
	}
	return w, string(body)
}

// checkRefusal checks that an answer is the contract's error of the code, with all that goes with it.
func checkRefusal(t *testing.T, w *http.Response, body string, code tallygate.Code) {
	t.Helper()
	var envelope struct {
		Error *struct{ Code, Message string }
	}
	decoder := json.NewDecoder(strings.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&envelope); err != nil || envelope.Error == nil {
		t.Fatalf("%s: %q, %v", w.Status, body, err)
	}
	if w.StatusCode != code.Status() || envelope.Error.Code != code.String() {
		t.Errorf("%s %s, not %s", w.Status, body, code)
	}
	if !strings.HasPrefix(envelope.Error.Message, code.Facts().Message+": ") {
		t.Errorf("message %q", envelope.Error.Message)
	}
	for name, want := range map[string]string{
		"Content-Type":  "application/json",
		"Cache-Control": "no-store",
		"X-Error-Code":  code.String(),
		"Link":          "</docs/errors/" + code.String() + `>; rel="help"`,
	} {
		if got := w.Header.Get(name); got != want {
			t.Errorf("%s: %q, not %q", name, got, want)
		}
	}
	if id := w.Header.Get("X-Request-Id"); !tallygate.ValidID("", id) {
		t.Errorf("X-Request-Id %q", id)
	}
	if w.Header.Get("Date") == "" || w.Header.Get("X-Should-Retry") == "" {
		t.Errorf("headers: %v", w.Header)
	}
}

// TestRequestsThatReachNoHandler sends what net/http answers by itself.
func TestRequestsThatReachNoHandler(t *testing.T) {
	for name, test := range map[string]struct{ raw, says string }{
		"no request line":              {"\x00\x01\x02\r\n\r\n", "malformed"},
		"half a request line":          {"GET\r\n\r\n", "malformed"},
		"a protocol that is none":      {"GET / HTTX/1.1\r\n\r\n", "malformed"},
		"a later protocol":             {"GET / HTTP/3.0\r\nHost: x\r\n\r\n", "HTTP/1.1"},
		"a connection preface":         {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "PRI"},
		"an unknown method's letters":  {"G@T / HTTP/1.1\r\nHost: x\r\n\r\n", "malformed"},
		"a target that is none":        {"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", "malformed"},
		"no Host":                      {"GET / HTTP/1.1\r\n\r\n", "missing required Host header"},
		"two Hosts":                    {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "malformed"},
		"a bad Host":                   {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "malformed Host header"},
		"a header without a colon":     {"GET / HTTP/1.1\r\nHost: x\r\nbroken\r\n\r\n", "malformed"},
		"a bad header name":            {"GET / HTTP/1.1\r\nHost: x\r\na b: c\r\n\r\n", "malformed"},
		"a bad header value":           {"GET / HTTP/1.1\r\nHost: x\r\na: \x01\r\n\r\n", "malformed"},
		"two lengths":                  {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "malformed"},
		"a length that is none":        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", "malformed"},
		"an unknown transfer coding":   {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", "chunked"},
		"an unknown expectation":       {"POST / HTTP/1.1\r\nHost: x\r\nExpect: a-miracle\r\nContent-Length: 1\r\n\r\n", "100-continue"},
		"a header over its limit":      {"GET / HTTP/1.1\r\nHost: x\r\na: " + strings.Repeat("b", 80<<10) + "\r\n\r\n", "64 KiB"},
		"a request line over it":       {"GET /" + strings.Repeat("b", 80<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n", "64 KiB"},
		"another protocol altogether":  {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "malformed"},
		"a second request after a bad": {"GET / HTTP/9\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, h *house) {
				w, body := answerTo(t, h.serve()(), test.raw)
				checkRefusal(t, w, body, tallygate.InvalidRequest)
				if !strings.Contains(body, test.says) {
					t.Errorf("%s does not say %q", body, test.says)
				}
				if !w.Close {
					t.Error("the connection stays")
				}
			})
		})
	}
}

// TestOwnRefusals sends over a connection what the server refuses by itself.
func TestOwnRefusals(t *testing.T) {
	big := strings.Repeat(" ", DefaultMaxBody+1)
	for name, test := range map[string]struct {
		raw  string
		code tallygate.Code
		says string
	}{
		"OPTIONS *":                    {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", tallygate.InvalidRequest, "OPTIONS"},
		"GET *":                        {"GET * HTTP/1.1\r\nHost: x\r\n\r\n", tallygate.InvalidRequest, ""},
		"CONNECT":                      {"CONNECT /v1/jobs HTTP/1.1\r\nHost: x\r\n\r\n", tallygate.ResourceNotFound, ""},
		"an absolute target":           {"GET http://x/v1/jobs HTTP/1.1\r\nHost: x\r\n\r\n", tallygate.AuthenticationFailed, ""},
		"HTTP/1.0":                     {"GET /v1/jobs HTTP/1.0\r\n\r\n", tallygate.AuthenticationFailed, ""},
		"an old-fashioned body":        {"GET /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab", tallygate.AuthenticationFailed, ""},
		"a body over the limit":        {"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nX-API-Key: KEY\r\nContent-Type: application/json\r\nContent-Length: 4194305\r\n\r\n" + big, tallygate.InvalidRequest, "4194304 bytes"},
		"a chunked one":                {"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nX-API-Key: KEY\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n400001\r\n" + big + "\r\n0\r\n\r\n", tallygate.InvalidRequest, "4194304 bytes"},
		"a big body without a key":     {"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 4194305\r\n\r\n" + big, tallygate.AuthenticationFailed, ""},
		"a big body that is asked for": {"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nX-API-Key: KEY\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 4194305\r\n\r\n", tallygate.InvalidRequest, "4194304 bytes"},
		"a broken chunk":               {"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nX-API-Key: KEY\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", tallygate.InvalidRequest, "malformed"},
		"an empty chunked body":        {"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nX-API-Key: KEY\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", tallygate.InvalidFormat, "empty"},
		"a slow body":                  {"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nX-API-Key: KEY\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{", tallygate.InvalidRequest, "within 30s"},
		"a slow body without a key":    {"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{", tallygate.AuthenticationFailed, ""},
		"a body that is never sent":    {"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{", tallygate.AuthenticationFailed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, h *house) {
				c := h.serve()()
				w, body := answerTo(t, c, strings.Replace(test.raw, "KEY", h.keys["acme"], 1))
				checkRefusal(t, w, body, test.code)
				if !strings.Contains(body, test.says) {
					t.Errorf("%s does not say %q", body, test.says)
				}
			})
		})
	}
}

func TestConnectionsOutliveRefusals(t *testing.T) {
	bubble(t, func(t *testing.T, h *house) {
		c := h.serve()()
		big := strings.Repeat(" ", DefaultMaxBody+1)
		for range 3 {
			w, body := answerTo(t, c, "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nX-API-Key: "+h.keys["acme"]+"\r\nContent-Type: application/json\r\nContent-Length: 4194305\r\n\r\n"+big)
			checkRefusal(t, w, body, tallygate.InvalidRequest)
			if w.Close {
				t.Error("the connection goes although the body was read away")
			}
		}
		w, body := answerTo(t, c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		if w.StatusCode != http.StatusOK || body != `{"status":"ok"}` {
			t.Errorf("%s %s", w.Status, body)
		}
	})
}

func TestHeadHasNoBody(t *testing.T) {
	bubble(t, func(t *testing.T, h *house) {
		c := h.serve()()
		w, body := answerTo(t, c, "HEAD /v1/jobs HTTP/1.1\r\nHost: x\r\n\r\n")
		if body != "" || w.StatusCode != http.StatusUnauthorized || w.Header.Get("X-Error-Code") != "AUTHENTICATION_FAILED" {
			t.Errorf("%s %q %v", w.Status, body, w.Header)
		}
		if w.Header.Get("Content-Type") != "application/json" || w.ContentLength <= 0 {
			t.Errorf("%v, length %d", w.Header, w.ContentLength)
		}
	})
}

// A job's result that looks like an answer of net/http's own goes through as it is, wherever it falls in the writes.
func TestAnswersThatLookLikeRefusals(t *testing.T) {
	bubble(t, func(t *testing.T, h *house) {
		const trap = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request"
		h.Mount("/trap", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			control := http.NewResponseController(w)
			w.Header().Set("Content-Length", strconv.Itoa(len(trap)))
			if control.Flush() != nil {
				t.Error("no flush")
			}
			_, _ = io.WriteString(w, trap)
		}))
		w, body := answerTo(t, h.serve()(), "GET /trap HTTP/1.1\r\nHost: x\r\n\r\n")
		if w.StatusCode != http.StatusOK || body != trap {
			t.Errorf("%s %q", w.Status, body)
		}
	})
}

// A panic after the first byte breaks the connection, so that nobody takes the answer for a whole one.
func TestPanics(t *testing.T) {
	bubble(t, func(t *testing.T, h *house) {
		h.opt.Log = slog.New(slog.DiscardHandler)
		explode := &location{routes: []*route{
			{method: "GET", path: "/v1/early", kind: open, handle: func(*call) error { panic("early") }},
			{method: "POST", path: "/v1/early", kind: open, handle: func(c *call) error {
				c.write(http.StatusOK, []byte("{"))
				_ = http.NewResponseController(c.w).Flush()
				panic("late")
			}},
		}}
		h.mux.Handle("/v1/early", explode)
		dial := h.serve()
		w, body := answerTo(t, dial(), "GET /v1/early HTTP/1.1\r\nHost: x\r\n\r\n")
		checkRefusal(t, w, body, tallygate.InternalError)

		c := dial()
		go func() { _, _ = io.WriteString(c, "POST /v1/early HTTP/1.1\r\nHost: x\r\n\r\n") }()
		late, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(late.Body); err == nil {
			t.Errorf("%q was taken for a whole answer", body)
		}
	})
}

func TestEventsGoOutAsTheyCome(t *testing.T) {
	bubble(t, func(t *testing.T, h *house) {
		id := h.submitted("acme")
		c := h.serve()()
		go func() {
			_, _ = io.WriteString(c, "GET /v1/jobs/"+id+"/events HTTP/1.1\r\nHost: x\r\nX-API-Key: "+h.keys["acme"]+"\r\n\r\n")
		}()
		in := bufio.NewReader(c)
		w, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		lines, end := make(chan string, 1000), make(chan error, 1)
		go func() {
			defer close(lines)
			for scanner := bufio.NewScanner(w.Body); ; {
				if !scanner.Scan() {
					end <- scanner.Err()
					return
				}
				lines <- scanner.Text()
			}
		}()
		until := func(part string) {
			t.Helper()
			for line := range lines {
				if strings.Contains(line, part) {
					return
				}
			}
			t.Fatalf("the stream ends before %q", part)
		}
		until(`"status":"queued"`)
		time.Sleep(10 * time.Minute) // the bubble's: no time limit of the connection ends the stream
		token := h.leased()
		until(`"status":"running"`)
		h.ok("POST", "/v1/worker/jobs/"+id+"/succeed", h.operator, `{"token":"`+token+`","result":1}`)
		until(`"status":"succeeded"`)
		if err := <-end; err != nil {
			t.Errorf("the stream does not end well: %v", err)
		}
	})
}

func FuzzOwnAnswer(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 400 Bad Request" + string(textHeaders) + "400 Bad Request",
		"HTTP/1.1 400 Bad Request: malformed Host header" + string(textHeaders) + "400 Bad Request: malformed Host header",
		"HTTP/1.1 417 Expectation Failed" + string(closeHeader) + "\r\n",
		"HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 4", "HTTP/1.1 431\r", "HTTP/1.0 505 x" + string(textHeaders), "\r",
		"HTTP/1.1 400 Bad Request: " + string(textHeaders),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if detail, ok := ownAnswer(b); ok && (detail == "" || !strings.HasPrefix(string(b), "HTTP/1.")) {
			t.Errorf("%q: %q", b, detail)
		}
	})
}
