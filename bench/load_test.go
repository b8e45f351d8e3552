package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// measured runs a load as its process would.
func measured(t *testing.T, w workload) (measure, error) {
	t.Helper()
	description, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Load(t.Context(), bytes.NewReader(description), &out); err != nil {
		return measure{}, err
	}
	var m measure
	if err := json.Unmarshal(out.Bytes(), &m); err != nil {
		t.Fatal(err)
	}
	return m, nil
}

func TestClosedLoadCountsWhatTheServerSaw(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		seen[r.Header.Get("Idempotency-Key")]++
		seen[r.Header.Get("Authorization")]++
		seen[string(body)]++
		switch seen["all"]++; seen["all"] % 5 {
		case 0:
			w.Header().Set("Connection", "close")
		case 1:
			io.WriteString(w, "in two")
			w.(http.Flusher).Flush()
			io.WriteString(w, " parts")
		case 2:
			io.WriteString(w, strings.Repeat("x", 50_000))
		}
	}))
	defer server.Close()
	m, err := measured(t, workload{
		Kind: loadRequests, Addresses: []string{address(server)}, Connections: 3, First: 100,
		Warmup: span(5 * time.Millisecond), Duration: span(100 * time.Millisecond), Expect: 200,
		Keys: []string{"a", "b"},
		Request: request{Method: "POST", Path: "/", Body: `{{n}}`,
			Header: [][2]string{{"Idempotency-Key", "k{{n}}"}, {"Authorization", "{{key}}"}}},
	})
	if err != nil || m.check() != nil {
		t.Fatal(err, m.check())
	}
	if int(m.Total) != seen["all"] || m.Sent != m.Total || m.Answered > m.Total || m.Latency.Count != m.Answered {
		t.Errorf("%+v; the server saw %d", m, seen["all"])
	}
	if seen["k0000000100"] != 1 || seen["0000000100"] != 1 || seen["a"]+seen["b"] != seen["all"] || seen["a"]-seen["b"] > 1 {
		t.Errorf("the holes are not filled in turn: a %d, b %d of %d", seen["a"], seen["b"], seen["all"])
	}
}

// A steady load sends all of its requests, also those that had to wait for the
// server, and counts their wait.
func TestOpenLoadLeavesNothingOut(t *testing.T) {
	release := make(chan struct{})
	var once sync.Once
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() {
			time.AfterFunc(30*time.Millisecond, func() { close(release) })
		})
		<-release
	}))
	defer server.Close()
	m, err := measured(t, workload{
		Kind: loadRequests, Addresses: []string{address(server)}, Connections: 1, Rate: 1000, Duration: span(20 * time.Millisecond),
		Expect: 200, Request: request{Method: "GET", Path: "/"},
	})
	if err != nil || m.check() != nil {
		t.Fatal(err, m.check())
	}
	if m.Total != 20 || m.Latency.Count != 20 {
		t.Errorf("%d of 20 requests, %d latencies", m.Total, m.Latency.Count)
	}
	// The last was due after 19 ms and the server answered none before 30.
	if m.Latency.P50 < span(10*time.Millisecond) {
		t.Errorf("the median %v leaves out the wait for the stalled server", time.Duration(m.Latency.P50))
	}
}

func TestUnexpectedAnswersFailALoad(t *testing.T) {
	for _, c := range []struct {
		name  string
		serve http.HandlerFunc
		says  string
	}{
		{"status", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "broken", 500) }, "500 broken"},
		{"end", func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
		{"tolerated", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(404) }, "only a few"},
	} {
		server := httptest.NewServer(c.serve)
		m, err := measured(t, workload{
			Kind: loadRequests, Addresses: []string{address(server)}, Connections: 2, Duration: span(20 * time.Millisecond),
			Expect: 200, Tolerate: 404, Request: request{Method: "GET", Path: "/"},
		})
		server.Close()
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if err := m.check(); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: check says %v, want %q", c.name, err, c.says)
		}
	}
}

func TestLoadEndsWithItsContext(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	for _, rate := range []string{"0", "1000"} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		description := `{"kind":"requests","addresses":["` + address(server) + `"],"connections":2,"rate":` + rate + `,"warmup":"0s","duration":"1h","pause":"0s",
			"expect":200,"request":{"method":"GET","path":"/"},"worker":{"wait":"0s"}}`
		if err := Load(ctx, strings.NewReader(description), io.Discard); err == nil {
			t.Errorf("rate %s: no error", rate)
		}
		cancel()
	}
}

func TestRefusalsWithoutRetryAfterFailALoad(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(429) }))
	defer server.Close()
	m, err := measured(t, workload{
		Kind: loadRequests, Addresses: []string{address(server)}, Connections: 1, Duration: span(time.Millisecond),
		Expect: 429, Request: request{Method: "GET", Path: "/"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.check(); err == nil || !strings.Contains(err.Error(), "Retry-After") {
		t.Errorf("check says %v", err)
	}
}

func TestLoadRefusesWhatItCannotRun(t *testing.T) {
	for _, description := range []string{"", "{}", `{"kind":"no-such"}`, `{"kind":"requests","addresses":["127.0.0.1:1"]}`} {
		if err := Load(t.Context(), strings.NewReader(description), io.Discard); err == nil {
			t.Errorf("%q: no error", description)
		}
	}
}

func TestWorkersRefuseABrokenProtocol(t *testing.T) {
	one := `"leases":[{"token":"t","job":{"id":"job_1","input":{}}}]`
	for name, report := range map[string]string{
		"refused report":   `{"results":[{"job_id":"job_1","error":{"code":"INVALID_REQUEST"}}],` + one + `}`,
		"forgotten report": `{"results":[],` + one + `}`,
		"no JSON":          `{"results":`,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v1/worker/lease" {
				io.WriteString(w, `{`+one+`}`)
				return
			}
			io.WriteString(w, report)
		}))
		_, err := measured(t, workload{Kind: loadDrain, Addresses: []string{address(server)}, Connections: 2, Count: 100, Worker: worker{Max: 1}})
		server.Close()
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestBareGivesTheAnswerThatWasCaptured(t *testing.T) {
	real := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", "r1")
		w.Header().Add("Link", "<a>")
		w.Header().Add("Link", "<b>")
		w.WriteHeader(429)
		io.WriteString(w, strings.Repeat("x", 5000))
	}))
	defer real.Close()
	w := workload{Addresses: []string{address(real)}, Request: request{Method: "GET", Path: "/"}}
	first, err := capture(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	description, err := json.Marshal(first)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	reader, out := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- Bare(ctx, bytes.NewReader(description), out) }()
	said, err := bufio.NewReader(reader).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	w.Addresses = []string{strings.TrimSpace(strings.TrimPrefix(said, listening))}
	again, err := capture(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.same(again); err != nil {
		t.Error(err)
	}
	again.Header.Set("X-Request-Id", "r2")
	if first.same(again) == nil {
		t.Error("another header counts as the same answer")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestSlowServerHasALowRateAndNotNone(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-time.After(20 * time.Millisecond)
	}))
	defer server.Close()
	m, err := measured(t, workload{
		Kind: loadRequests, Addresses: []string{address(server)}, Connections: 2, Duration: span(time.Millisecond),
		Expect: 200, Request: request{Method: "GET", Path: "/"},
	})
	if err != nil || m.check() != nil {
		t.Fatal(err, m.check())
	}
	if m.Answered != 2 || m.Elapsed < span(20*time.Millisecond) {
		t.Errorf("%d answers in %v, want one of each connection in 20ms or more", m.Answered, time.Duration(m.Elapsed))
	}
}
