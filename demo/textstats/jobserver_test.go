package textstats

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// pipeListener connects in memory, where waiting lets a bubble's clock go on.
type pipeListener struct {
	dialled chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.dialled <- far:
		return near, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.dialled:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answer is a refusal that a jobServer gives.
type answer struct {
	status     int
	retryAfter string
	code       string
}

var fenced = answer{400, "", "INVALID_REQUEST"}

// always and times say how often a route refuses.
func always(a answer) func() (answer, bool) { return func() (answer, bool) { return a, true } }

func times(n int, a answer) func() (answer, bool) {
	return func() (answer, bool) {
		n--
		return a, n >= 0
	}
}

// call is one that a jobServer got.
type call struct {
	route string
	body  map[string]json.RawMessage
	at    time.Time
}

// jobServer plays the server's side of the pull protocol, with leases of 30 s.
type jobServer struct {
	settled   chan string // the id of each job that is succeeded or failed
	cancel    map[string]bool
	refuse    map[string]func() (answer, bool) // by route
	skew      time.Duration                    // of its clock
	impatient bool                             // does not hold an empty answer

	mu    sync.Mutex
	queue []map[string]any
	more  chan struct{} // closed when a job comes in
	log   []call
}

func newJobServer() *jobServer {
	return &jobServer{
		settled: make(chan string, 100),
		cancel:  map[string]bool{},
		refuse:  map[string]func() (answer, bool){},
		more:    make(chan struct{}),
	}
}

func (s *jobServer) add(id, input string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, map[string]any{
		"token": "token of " + id, "attempt": 1,
		"job": map[string]any{"id": id, "type": JobType, "input": json.RawMessage(input), "status": "running"},
	})
	close(s.more)
	s.more = make(chan struct{})
}

// calls gives those of one route, in order.
func (s *jobServer) calls(route string) []call {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []call
	for _, c := range s.log {
		if c.route == route {
			found = append(found, c)
		}
	}
	return found
}

// only gives the single call of a route.
func (s *jobServer) only(route string) call {
	calls := s.calls(route)
	if len(calls) != 1 {
		panic(fmt.Sprintf("%d calls of %s, want 1", len(calls), route))
	}
	return calls[0]
}

// reports gives how a job was reported, in order.
func (s *jobServer) reports(id string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []string
	for _, c := range s.log {
		if verb, ok := strings.CutPrefix(c.route, "jobs/"+id+"/"); ok && verb != "heartbeat" {
			found = append(found, verb)
		}
	}
	return found
}

func (s *jobServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", time.Now().Add(s.skew).UTC().Format(http.TimeFormat))
	route, ok := strings.CutPrefix(r.URL.Path, "/v1/worker/")
	body := map[string]json.RawMessage{}
	raw, err := io.ReadAll(r.Body)
	switch {
	case err != nil || json.Unmarshal(raw, &body) != nil || r.Header.Get("Content-Type") != "application/json":
		write(w, answer{400, "", "INVALID_FORMAT"})
		return
	case !ok || r.Method != http.MethodPost:
		write(w, answer{404, "", "RESOURCE_NOT_FOUND"})
		return
	case r.Header.Get("Authorization") != "Bearer "+testKey:
		write(w, answer{401, "", "INVALID_API_KEY"})
		return
	}
	s.mu.Lock()
	s.log = append(s.log, call{route, maps.Clone(body), time.Now()})
	refuse, refused := s.refuse[route]
	var with answer
	if refused {
		with, refused = refuse()
	}
	s.mu.Unlock()
	if refused {
		write(w, with)
		return
	}

	if route == "lease" {
		s.lease(w, r, body)
		return
	}
	parts := strings.Split(route, "/")
	id, verb := parts[1], parts[2]
	if string(body["token"]) != fmt.Sprintf("%q", "token of "+id) {
		write(w, fenced)
		return
	}
	if verb == "heartbeat" {
		json.NewEncoder(w).Encode(map[string]any{"expires_at": s.expiry(), "cancel_requested": s.cancel[id]})
		return
	}
	io.WriteString(w, "{}")
	if verb != "release" {
		s.settled <- id
	}
}

func (s *jobServer) expiry() time.Time { return time.Now().Add(s.skew + 30*time.Second).UTC() }

func (s *jobServer) lease(w http.ResponseWriter, r *http.Request, body map[string]json.RawMessage) {
	var most int
	var waitText string
	json.Unmarshal(body["max"], &most)
	json.Unmarshal(body["wait"], &waitText)
	wait, err := time.ParseDuration(waitText)
	if err != nil || most < 1 {
		write(w, answer{400, "", "INVALID_PARAMETER"})
		return
	}
	for patient := !s.impatient; ; {
		s.mu.Lock()
		given := s.queue[:min(most, len(s.queue))]
		s.queue = s.queue[len(given):]
		more := s.more
		s.mu.Unlock()
		if len(given) > 0 || !patient {
			for _, l := range given {
				l["expires_at"] = s.expiry()
			}
			json.NewEncoder(w).Encode(map[string]any{"leases": append([]map[string]any{}, given...)})
			return
		}
		select {
		case <-more:
		case <-time.After(wait):
			patient = false
		case <-r.Context().Done():
			return
		}
	}
}

func write(w http.ResponseWriter, a answer) {
	w.Header().Set("Content-Type", "application/json")
	if a.retryAfter != "" {
		w.Header().Set("Retry-After", a.retryAfter)
	}
	w.WriteHeader(a.status)
	fmt.Fprintf(w, `{"error":{"code":%q,"message":"refused"}}`, a.code)
}
