package api

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/tallygate/tallygate/access"
)

// dial connects to a server on the loopback.
func dial(t testing.TB, s *http.Server, wrap func(net.Listener) net.Listener) net.Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	go func() { _ = s.Serve(wrap(l)) }()
	t.Cleanup(func() { _ = s.Close() })
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// roundTrips sends the same request b.N times over one connection.
func roundTrips(b *testing.B, c net.Conn, request string) {
	b.Helper()
	raw := []byte(request)
	if _, err := c.Write(raw); err != nil {
		b.Fatal(err)
	}
	in := bufio.NewReader(c)
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		b.Fatal(err)
	}
	whole := make([]byte, 4096)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := c.Write(raw); err != nil {
			b.Fatal(err)
		}
		if n, err := c.Read(whole); err != nil || !bytes.HasSuffix(whole[:n], []byte("}}")) {
			b.Fatalf("%q, %v", whole[:n], err)
		}
	}
}

// BenchmarkRefusal compares refusals with a bare handler that answers the same bytes.
func BenchmarkRefusal(b *testing.B) {
	h := newHouse(b, newClock().Now, nil)
	slow := text(h.ok("POST", "/v1/clients", h.operator, `{"name":"slow","limits":{"requests_per_second":0.001,"burst":1}}`), "id")
	slowKey := text(h.ok("POST", "/v1/clients/"+slow+"/api-keys", h.operator, `{"permissions":["jobs:read"]}`), "key")
	h.ok("GET", "/v1/jobs", slowKey, "") // the one request that passes
	requests := map[string]string{
		"401": access.MakeUnknownKey(),
		"429": slowKey,
	}
	for _, name := range []string{"401", "429"} {
		key := requests[name]
		request := "GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + key + "\r\n\r\n"
		sample := h.send("GET", "/v1/jobs", key, "")
		if got := fmt.Sprint(sample.Code); got != name {
			b.Fatalf("%s, not %s: %s", got, name, sample.Body)
		}
		b.Run(name+"/bare", func(b *testing.B) {
			header, body := sample.Header(), sample.Body.Bytes()
			bare := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				maps.Copy(w.Header(), header)
				w.WriteHeader(sample.Code)
				_, _ = w.Write(body)
			})
			roundTrips(b, dial(b, &http.Server{Handler: bare}, func(l net.Listener) net.Listener { return l }), request)
		})
		b.Run(name+"/server", func(b *testing.B) {
			roundTrips(b, dial(b, h.HTTPServer(), h.Listen), request)
		})
	}
}

// discard is a ResponseWriter that costs nothing.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

// BenchmarkRefusalHandler is the handler's own part of a refusal.
func BenchmarkRefusalHandler(b *testing.B) {
	h := newHouse(b, newClock().Now, nil)
	r, _ := http.NewRequest(http.MethodGet, "/v1/jobs", nil)
	r.RemoteAddr = "192.0.2.1:1234"
	r.RequestURI = "/v1/jobs"
	r.Header.Set("Authorization", "Bearer "+access.MakeUnknownKey())
	w := &discard{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		h.ServeHTTP(w, r)
	}
}

// BenchmarkJob is what the API itself does for a submit: reading the request and writing the job.
func BenchmarkJob(b *testing.B) {
	h := newHouse(b, newClock().Now, nil)
	job, err := h.queue.Job(b.Context(), jobID(h.submitted("acme")))
	if err != nil {
		b.Fatal(err)
	}
	body := []byte(`{"type":"text.stats","input":{"text":"` + strings.Repeat("word ", 40) + `"},"priority":1,"metadata":{"order":"17"}}`)
	var answer []byte
	b.ReportAllocs()
	for b.Loop() {
		if err := parseBody(body); err != nil {
			b.Fatal(err)
		}
		var f faults
		o, _ := newObject(&f, "", body)
		_ = o.submission()
		o.done()
		if f.any() {
			b.Fatal(f.err())
		}
		answer = h.appendJob(answer[:0], job)
	}
}
