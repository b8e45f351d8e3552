package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// fakeNode is ready unless it drains, and handles what is not about that.
type fakeNode struct {
	*backend
	server *httptest.Server
	drains atomic.Bool
	calls  atomic.Int64
}

func newFakeNode(t *testing.T, name string, handle http.HandlerFunc) *fakeNode {
	n := &fakeNode{backend: &backend{name: name}}
	n.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/readyz":
			n.calls.Add(1)
			handle(w, r)
		case n.drains.Load():
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	n.address = n.server.Listener.Addr().String()
	t.Cleanup(n.server.Close)
	return n
}

// before starts a balancer before the nodes, which it has asked once, and returns it and its URL.
func before(t *testing.T, nodes ...*fakeNode) (*balancer, string) {
	var backends []*backend
	for _, n := range nodes {
		backends = append(backends, n.backend)
	}
	b := newBalancer(t.Logf, backends...)
	b.askAll(t.Context())
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	return b, server.URL
}

func (b *balancer) askAll(ctx context.Context) {
	for _, n := range b.backends {
		b.ask(ctx, n)
	}
}

func echo(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(w, r.Body)
}

// post sends a body and returns the answer with its text.
func post(t *testing.T, url, body string) (*http.Response, string) {
	t.Helper()
	res, err := http.Post(url, "text/plain", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

func TestRequestsGoToTheNodesInTurn(t *testing.T) {
	one, two := newFakeNode(t, "one", echo), newFakeNode(t, "two", echo)
	_, url := before(t, one, two)
	for range 10 {
		if res, text := post(t, url, "hello"); res.StatusCode != http.StatusOK || text != "hello" {
			t.Errorf("%s: %s", res.Status, text)
		}
	}
	if one.calls.Load() != 5 || two.calls.Load() != 5 {
		t.Errorf("one had %d requests and two %d of 10", one.calls.Load(), two.calls.Load())
	}
}

func TestANodeThatGoesAwayIsNotMissed(t *testing.T) {
	one, two := newFakeNode(t, "one", echo), newFakeNode(t, "two", echo)
	b, url := before(t, one, two)
	one.server.Close()
	for range 10 {
		if res, text := post(t, url, "hello"); res.StatusCode != http.StatusOK || text != "hello" || res.Header.Get(servedBy) != "two" {
			t.Errorf("%s from %q: %s", res.Status, res.Header.Get(servedBy), text)
		}
	}
	if one.ready.Load() {
		t.Error("it is still in")
	}
	listener, err := net.Listen("tcp", one.address)
	if err != nil {
		t.Skipf("its port was taken meanwhile: %v", err)
	}
	back := &http.Server{Handler: http.HandlerFunc(echo)}
	go back.Serve(listener)
	t.Cleanup(func() { back.Close() })
	b.askAll(t.Context())
	served := map[string]bool{}
	for range 2 {
		res, _ := post(t, url, "hello")
		served[res.Header.Get(servedBy)] = true
	}
	if !served["one"] || !served["two"] {
		t.Errorf("it is back, and requests go to %v", served)
	}
}

func TestADrainingNodeGetsNothingMore(t *testing.T) {
	one, two := newFakeNode(t, "one", echo), newFakeNode(t, "two", echo)
	b, url := before(t, one, two)
	one.drains.Store(true)
	b.askAll(t.Context())
	for range 10 {
		post(t, url, "hello")
	}
	if one.calls.Load() != 0 || two.calls.Load() != 10 {
		t.Errorf("the one that drains had %d requests, the other %d of 10", one.calls.Load(), two.calls.Load())
	}
}

func TestARequestThatReachedANodeIsNotSentToAnother(t *testing.T) {
	vanish := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // it may have done what it was asked
		c, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			c.Close()
		}
	}
	one, two := newFakeNode(t, "one", vanish), newFakeNode(t, "two", vanish)
	_, url := before(t, one, two)
	res, text := post(t, url, "pay")
	if calls := one.calls.Load() + two.calls.Load(); calls != 1 {
		t.Errorf("%d nodes were asked", calls)
	}
	if res.StatusCode != http.StatusBadGateway || !strings.Contains(text, res.Header.Get(servedBy)+" went away") || res.Header.Get(servedBy) == "" {
		t.Errorf("%s: %s", res.Status, text)
	}
}

func TestWithoutANodeTheAnswerIsTheContracts(t *testing.T) {
	one := newFakeNode(t, "one", echo)
	_, url := before(t, one)
	one.server.Close()
	res, text := post(t, url, "hello")
	const want = `{"error":{"code":"SERVICE_UNAVAILABLE","message":"The service is temporarily unavailable: no node is ready; retry after a delay"}}`
	if res.StatusCode != http.StatusServiceUnavailable || text != want || res.Header.Get("Retry-After") != "1" || res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %v: %s", res.Status, res.Header, text)
	}
}

func TestEventsPassAsTheyCome(t *testing.T) {
	seen := make(chan struct{})
	one := newFakeNode(t, "one", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-seen: // nothing more is sent before the caller has this
			case <-r.Context().Done():
			}
		}
	})
	_, url := before(t, one)
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for i := 0; lines.Scan(); {
		if lines.Text() == "" {
			continue
		}
		if want := fmt.Sprintf("data: %d", i); lines.Text() != want {
			t.Fatalf("got %q, want %q", lines.Text(), want)
		}
		i++
		seen <- struct{}{}
	}
	if err := lines.Err(); err != nil {
		t.Error(err)
	}
}

func TestACallerThatLeavesEndsItsWait(t *testing.T) {
	waits, left := make(chan struct{}), make(chan struct{})
	one := newFakeNode(t, "one", func(_ http.ResponseWriter, r *http.Request) {
		close(waits)
		<-r.Context().Done()
		close(left)
	})
	_, url := before(t, one)
	ctx, leave := context.WithCancel(t.Context())
	go func() {
		<-waits
		leave()
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := http.DefaultClient.Do(req); err == nil {
		res.Body.Close()
		t.Error("it was answered")
	}
	<-left
	if !one.ready.Load() {
		t.Error("the node is out because a caller left")
	}
}

func TestNodesAreToldTheCallersAddress(t *testing.T) {
	one := newFakeNode(t, "one", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header["X-Forwarded-For"], r.Host)
	})
	_, url := before(t, one)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Forwarded-For", "10.0.0.1") // says who likes
	req.Host = "jobs.example.com"
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); string(text) != "[127.0.0.1]jobs.example.com" {
		t.Errorf("the node was told %s", text)
	}
}
