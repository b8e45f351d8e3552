package e2e

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// faultServer stands between callers and a server and does to them what networks, proxies and busy servers do.
type faultServer struct {
	t   testing.TB
	url string
	to  *server
	web *http.Client

	mu       sync.Mutex
	random   *rand.Rand
	storm    int            // submits that are yet to be answered 429
	struck   map[string]int // how often the storm was told to each submit, by its key
	dealt    map[string]int // how often each fault was
	accepted int            // submits that the server answered 200
}

// fault is one thing that can happen to a request.
type fault struct {
	name string
	in   int // of a thousand requests
	deal func(*faultServer, http.ResponseWriter, *http.Request)
}

const (
	stormLength = 30
	mostStruck  = 4 // a storm is over when a submit has been told of it so often: the last ones would meet it alone
)

func dealable() []fault {
	return []fault{
		{"late", 60, (*faultServer).late},
		{"reset before the request", 40, func(f *faultServer, w http.ResponseWriter, _ *http.Request) { f.reset(w) }},
		{"reset instead of the answer", 60, (*faultServer).losesAnswer},
		{"half an answer", 60, (*faultServer).half},
		{"garbage for an answer", 30, (*faultServer).garbage},
		{"a proxy's 502", 20, page(502, "<html><h1>502 Bad Gateway</h1></html>")},
		{"a proxy's 503", 20, page(503, "<html><h1>503 Service Unavailable</h1></html>")},
		{"a proxy's 504 after the request", 20, (*faultServer).timesOut},
		{"a proxy's 408", 10, page(408, "")},
		{"the beginning of a storm", 2, (*faultServer).beginStorm},
	}
}

// newFaultServer starts one before s. Which requests are struck follows from the test's seed.
func newFaultServer(t *testing.T, s *server) *faultServer {
	chosen := seed(t)
	transport := &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}
	f := &faultServer{
		t: t, to: s, web: &http.Client{Transport: transport},
		random: rand.New(rand.NewPCG(chosen, 0)), dealt: map[string]int{},
	}
	listener := httptest.NewServer(f)
	t.Cleanup(func() {
		listener.CloseClientConnections()
		listener.Close()
		transport.CloseIdleConnections()
	})
	f.url = listener.URL
	return f
}

func (f *faultServer) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.next(r)(f, w, r) }

// submits reports whether a request submits a job.
func submits(r *http.Request) bool { return r.Method == http.MethodPost && r.URL.Path == "/v1/jobs" }

// next chooses what happens to the next request. A storm is about submits.
func (f *faultServer) next(r *http.Request) func(*faultServer, http.ResponseWriter, *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.storm > 0 && submits(r) {
		f.storm--
		key := r.Header.Get("Idempotency-Key")
		if f.struck[key]++; f.struck[key] == mostStruck {
			f.storm = 0
		}
		f.dealt["429 in a storm"]++
		return (*faultServer).refuse
	}
	n := f.random.IntN(1000)
	for _, one := range dealable() {
		if n -= one.in; n < 0 {
			f.dealt[one.name]++
			return one.deal
		}
	}
	f.dealt["passed on"]++
	return (*faultServer).pass
}

func (f *faultServer) pass(w http.ResponseWriter, r *http.Request) {
	status, header, body := f.forward(r)
	maps.Copy(w.Header(), header)
	w.WriteHeader(status)
	_, _ = w.Write(body) // the caller may have gone
}

// forward has the server answer, or answers as a proxy does whose server is away.
func (f *faultServer) forward(r *http.Request) (int, http.Header, []byte) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return 400, http.Header{}, []byte("the request broke off")
	}
	on, err := http.NewRequestWithContext(r.Context(), r.Method, f.to.url+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		f.t.Error(err)
		return 500, http.Header{}, nil
	}
	on.Header = r.Header.Clone()
	away := func() (int, http.Header, []byte) {
		return 502, http.Header{"Content-Type": {"text/html"}}, []byte("<html>the server is away</html>")
	}
	response, err := f.web.Do(on)
	if err != nil {
		return away()
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return away()
	}
	if submits(r) && response.StatusCode == 200 {
		f.mu.Lock()
		f.accepted++
		f.mu.Unlock()
	}
	return response.StatusCode, response.Header, answer
}

// answered is how many submits the server has accepted, repeated ones included.
func (f *faultServer) answered() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.accepted
}

// requests is how many requests came.
func (f *faultServer) requests() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, times := range f.dealt {
		n += times
	}
	return n
}

func (f *faultServer) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for _, name := range slices.Sorted(maps.Keys(f.dealt)) {
		all = append(all, fmt.Sprintf("%s: %d", name, f.dealt[name]))
	}
	return strings.Join(all, ", ")
}

func (f *faultServer) late(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	wait := time.Duration(f.random.IntN(200)) * time.Millisecond
	f.mu.Unlock()
	select {
	case <-time.After(wait): // the fault itself: nothing waits for it to be over
	case <-r.Context().Done():
	}
	f.pass(w, r)
}

// reset ends the connection as a crash does, by a TCP reset.
func (f *faultServer) reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		f.t.Error(err)
		return
	}
	_ = conn.(*net.TCPConn).SetLinger(0) // without it the end is an orderly one, which is a fault as well
	conn.Close()
}

func (f *faultServer) losesAnswer(w http.ResponseWriter, r *http.Request) {
	f.forward(r)
	f.reset(w)
}

func (f *faultServer) half(w http.ResponseWriter, r *http.Request) {
	status, header, body := f.forward(r)
	conn, out, err := http.NewResponseController(w).Hijack()
	if err != nil {
		f.t.Error(err)
		return
	}
	defer conn.Close()
	fmt.Fprintf(out, "HTTP/1.1 %d %s\r\nContent-Length: %d\r\n", status, http.StatusText(status), len(body))
	header.Del("Content-Length")
	_ = header.Write(out) // what can't be written is a fault as well
	fmt.Fprintf(out, "\r\n%s", body[:len(body)/2])
	out.Flush()
}

func (f *faultServer) garbage(w http.ResponseWriter, r *http.Request) {
	f.forward(r)
	page(200, "<!DOCTYPE html><title>Sign in to the network</title>")(f, w, r)
}

func (f *faultServer) timesOut(w http.ResponseWriter, r *http.Request) {
	f.forward(r)
	page(504, "<html><h1>504 Gateway Time-out</h1></html>")(f, w, r)
}

func (f *faultServer) beginStorm(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.storm, f.struck = stormLength, map[string]int{}
	f.mu.Unlock()
	f.refuse(w, r)
}

// refuse answers as the server does to a caller over its limit.
func (f *faultServer) refuse(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Error-Code", "RATE_LIMIT_EXCEEDED")
	w.Header().Set("X-Should-Retry", "true")
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(http.StatusTooManyRequests)
	fmt.Fprint(w, `{"error":{"code":"RATE_LIMIT_EXCEEDED","message":"Rate limit exceeded: wait 1s"}}`)
}

// page answers with a page that is none of the API's.
func page(status int, text string) func(*faultServer, http.ResponseWriter, *http.Request) {
	return func(_ *faultServer, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		fmt.Fprint(w, text)
	}
}
