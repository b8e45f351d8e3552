package tallygate

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

const (
	testKey  = "tg_live_test"
	testType = "text.stats"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// denial is a refusal that a jobServer gives.
type denial struct {
	status     int
	retryAfter string
	code       string
}

var fenced = denial{400, "", "INVALID_REQUEST"}

// always and times say how often a route refuses.
func always(a denial) func() (denial, bool) { return func() (denial, bool) { return a, true } }

func times(n int, a denial) func() (denial, bool) {
	return func() (denial, bool) {
		n--
		return a, n >= 0
	}
}

// heard is a call that a jobServer got; a report of a batch counts as a call of the route that takes it alone.
type heard struct {
	route string
	body  map[string]json.RawMessage
	at    time.Time
}

// jobServer plays the server's side of the pull protocol, with leases of 30 s.
type jobServer struct {
	settled   chan string // the id of each job that is succeeded or failed
	cancel    map[string]bool
	refuse    map[string]func() (denial, bool) // by route
	skew      time.Duration                    // of its clock
	impatient bool                             // does not hold an empty answer

	mu     sync.Mutex
	queue  []map[string]any
	leased map[string]map[string]any // by job
	more   chan struct{}             // closed when a job comes in
	log    []heard
}

func newJobServer() *jobServer {
	return &jobServer{
		settled: make(chan string, 100),
		cancel:  map[string]bool{},
		refuse:  map[string]func() (denial, bool){},
		more:    make(chan struct{}),
		leased:  map[string]map[string]any{},
	}
}

func (s *jobServer) add(id, input string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, map[string]any{
		"token": "token of " + id, "attempt": 1,
		"job": map[string]any{"id": id, "type": testType, "input": json.RawMessage(input), "status": "running"},
	})
	close(s.more)
	s.more = make(chan struct{})
}

// calls gives those of one route, in order.
func (s *jobServer) calls(route string) []heard {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []heard
	for _, c := range s.log {
		if c.route == route {
			found = append(found, c)
		}
	}
	return found
}

// only gives the single call of a route.
func (s *jobServer) only(route string) heard {
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
	s.date(w)
	route, ok := strings.CutPrefix(r.URL.Path, "/v1/worker/")
	body := map[string]json.RawMessage{}
	raw, err := io.ReadAll(r.Body)
	switch {
	case err != nil || json.Unmarshal(raw, &body) != nil || r.Header.Get("Content-Type") != "application/json":
		write(w, denial{400, "", "INVALID_FORMAT"})
		return
	case !ok || r.Method != http.MethodPost:
		write(w, denial{404, "", "RESOURCE_NOT_FOUND"})
		return
	case r.Header.Get("Authorization") != "Bearer "+testKey:
		write(w, denial{401, "", "INVALID_API_KEY"})
		return
	}
	if route == "report" {
		s.report(w, r, body)
		return
	}
	if with, refused := s.hear(route, body); refused {
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
	if verb == "release" {
		s.takeBack(id)
		return
	}
	s.settled <- id
}

// takeBack puts a released job into the queue again.
func (s *jobServer) takeBack(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, s.leased[id])
	close(s.more)
	s.more = make(chan struct{})
}

// hear notes a call, and says how it is refused.
func (s *jobServer) hear(route string, body map[string]json.RawMessage) (denial, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, heard{route, maps.Clone(body), time.Now()})
	if refuse, ok := s.refuse[route]; ok {
		return refuse()
	}
	return denial{}, false
}

var verbs = map[Outcome]string{OutcomeSucceeded: "succeed", OutcomeFailed: "fail", OutcomeReleased: "release"}

// report settles a batch, and leases where it is asked to.
func (s *jobServer) report(w http.ResponseWriter, r *http.Request, body map[string]json.RawMessage) {
	if with, refused := s.hear("report", body); refused {
		write(w, with)
		return
	}
	var reports []map[string]json.RawMessage
	json.Unmarshal(body["reports"], &reports)
	results, settled := []map[string]any{}, []string{}
	for _, one := range reports {
		var id string
		var outcome Outcome
		json.Unmarshal(one["job_id"], &id)
		json.Unmarshal(one["outcome"], &outcome)
		with, refused := s.hear("jobs/"+id+"/"+verbs[outcome], one)
		if string(one["token"]) != fmt.Sprintf("%q", "token of "+id) {
			with, refused = fenced, true
		}
		if refused {
			results = append(results, map[string]any{"job_id": id, "error": map[string]any{"code": with.code, "message": "refused"}})
			continue
		}
		results = append(results, map[string]any{"job_id": id, "ok": true})
		if outcome == OutcomeReleased {
			s.takeBack(id)
		} else {
			settled = append(settled, id)
		}
	}
	leases := []map[string]any{}
	if asked := body["lease"]; asked != nil {
		var lease map[string]json.RawMessage
		json.Unmarshal(asked, &lease)
		if with, refused := s.hear("report+lease", lease); refused {
			write(w, with)
			return
		}
		var most int
		json.Unmarshal(lease["max"], &most)
		leases, _ = s.give(most)
	}
	json.NewEncoder(w).Encode(map[string]any{"results": results, "leases": leases})
	for _, id := range settled {
		s.settled <- id
	}
}

// give takes leases off the queue; more is closed when another comes.
func (s *jobServer) give(most int) (given []map[string]any, more chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	given = append([]map[string]any{}, s.queue[:min(most, len(s.queue))]...)
	s.queue = s.queue[len(given):]
	for _, l := range given {
		l["expires_at"] = s.expiry()
		s.leased[l["job"].(map[string]any)["id"].(string)] = l
	}
	return given, s.more
}

// date tells the server's time, as HTTP does when an answer begins.
func (s *jobServer) date(w http.ResponseWriter) {
	w.Header().Set("Date", time.Now().Add(s.skew).UTC().Format(http.TimeFormat))
}

func (s *jobServer) expiry() time.Time { return time.Now().Add(s.skew + 30*time.Second).UTC() }

func (s *jobServer) lease(w http.ResponseWriter, r *http.Request, body map[string]json.RawMessage) {
	var most int
	var waitText string
	json.Unmarshal(body["max"], &most)
	json.Unmarshal(body["wait"], &waitText)
	wait, err := time.ParseDuration(waitText)
	if err != nil || most < 1 {
		write(w, denial{400, "", "INVALID_PARAMETER"})
		return
	}
	for patient := !s.impatient; ; {
		given, more := s.give(most)
		if len(given) > 0 || !patient {
			s.date(w)
			json.NewEncoder(w).Encode(map[string]any{"leases": given})
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

func write(w http.ResponseWriter, a denial) {
	w.Header().Set("Content-Type", "application/json")
	if a.retryAfter != "" {
		w.Header().Set("Retry-After", a.retryAfter)
	}
	w.WriteHeader(a.status)
	fmt.Fprintf(w, `{"error":{"code":%q,"message":"refused"}}`, a.code)
}
