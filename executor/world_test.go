package executor

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/ledger"
	"github.com/tallygate/tallygate/queue"
	"github.com/tallygate/tallygate/queue/queuetest"
	"github.com/tallygate/tallygate/store/enginetest"
)

// sweepEvery is how late the queue may be: seldom, since a bubble's hours pass in steps of it.
const sweepEvery = 500 * time.Millisecond

// world is an executor over a queue over a fresh store, with one rich client.
type world struct {
	testing.TB
	store    *faultyStore
	ids      *tallygate.IDs
	queue    *queue.Service
	executor *Executor
	client   *tallygate.Client
}

// faultyStore is a store whose writes fail as long as fault says so.
type faultyStore struct {
	tallygate.Store
	mu      sync.Mutex
	fault   func() error
	written func() // called after a write, before its caller hears of it
}

func (s *faultyStore) Update(ctx context.Context, fn func(tallygate.Tx) error) error {
	s.mu.Lock()
	fault, written := s.fault, s.written
	s.mu.Unlock()
	if fault != nil {
		if err := fault(); err != nil {
			return err
		}
	}
	err := s.Store.Update(ctx, fn)
	if written != nil {
		written()
	}
	return err
}

func (s *faultyStore) afterWrites(written func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written = written
}

// breakUntil has writes fail until the time; the zero time mends it.
func (s *faultyStore) breakUntil(end time.Time) {
	s.set(func() error {
		if time.Now().Before(end) {
			return &tallygate.Error{Code: tallygate.DatabaseError, RetryAfter: time.Second}
		}
		return nil
	})
}

func (s *faultyStore) set(fault func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

// bubble runs a test with a time of its own, which goes on only when everybody waits.
func bubble(t *testing.T, opt Options, test func(w *world)) {
	t.Helper()
	enginetest.Prepare(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, opt)
		test(w)
		w.executor.Drain(0)
		w.audit()
	})
}

// newWorld opens a world and sets it to work.
func newWorld(t testing.TB, opt Options) *world {
	t.Helper()
	s := enginetest.Unclosed(t, time.Now)
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	exact := func(d time.Duration) time.Duration { return d }
	w := &world{TB: t, store: &faultyStore{Store: s}, ids: new(tallygate.IDs)}
	handlers := make([]string, 0, len(opt.Handlers))
	for name := range opt.Handlers {
		handlers = append(handlers, name)
	}
	w.queue = queue.New(w.store, queue.Options{IDs: w.ids, Log: quiet, Handlers: handlers, Jitter: exact, Every: sweepEvery})
	opt.Queue, opt.Jitter = w.queue, exact
	if opt.Log == nil {
		opt.Log = quiet
	}
	w.executor = New(opt)
	w.addClient()

	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { w.queue.Run(ctx) })
	running.Go(func() { w.executor.Run(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) addClient() {
	w.Helper()
	w.client = &tallygate.Client{Name: "Acme", Status: tallygate.ClientActive, Metadata: []byte("{}")}
	err := w.store.Update(context.Background(), func(tx tallygate.Tx) error {
		w.client.ID = tallygate.ClientID(w.ids.Next(tallygate.ClientPrefix, tx.Now()))
		w.client.CreatedAt = tx.Now()
		if err := tx.InsertClient(w.client); err != nil {
			return err
		}
		stored, err := tx.Client(w.client.ID)
		if err != nil {
			return err
		}
		if _, err := ledger.Credit(tx, w.ids, stored, 1_000_000_000, ""); err != nil {
			return err
		}
		return tx.SaveAccount(stored)
	})
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) define(name string, change func(*tallygate.JobType)) {
	w.Helper()
	t := queue.Defaults()
	t.Name = name
	t.Price.Base = 1000
	t.Price.Units = map[string]tallygate.UnitPrice{"page": {Price: 2000, Max: 100}}
	change(&t)
	if _, err := w.queue.DefineType(context.Background(), t, ""); err != nil {
		w.Fatal(err)
	}
}

// builtin defines a type that the handler does.
func (w *world) builtin(name, handler string, change func(*tallygate.JobType)) {
	w.Helper()
	w.define(name, func(t *tallygate.JobType) {
		t.Executor = tallygate.Executor{Kind: tallygate.ExecutorBuiltin, Handler: handler}
		if change != nil {
			change(t)
		}
	})
}

// upstream defines a type whose upstream is the handler, and returns its server.
func (w *world) upstream(name string, handler http.HandlerFunc, change func(*tallygate.JobType)) *httptest.Server {
	w.Helper()
	listener := newPipes()
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}}
	server.Start()
	w.Cleanup(server.Close)
	transport := &http.Transport{DialContext: listener.dial, DisableKeepAlives: true}
	w.executor.client.Transport = transport
	w.define(name, func(t *tallygate.JobType) {
		t.Executor = tallygate.Executor{Kind: tallygate.ExecutorHTTP, URL: server.URL, Timeout: 30 * time.Second}
		if change != nil {
			change(t)
		}
	})
	return server
}

func (w *world) submit(jobType, input string) tallygate.JobID {
	w.Helper()
	return w.submitFor(time.Time{}, jobType, input)
}

// submitFor submits a job that waits for its time, so that nobody can do it before the test is ready.
func (w *world) submitFor(runAt time.Time, jobType, input string) tallygate.JobID {
	w.Helper()
	jobs, _, err := w.queue.Submit(context.Background(), queue.Submit{
		Client: w.client,
		Jobs:   []queue.Submission{{Type: jobType, Input: []byte(input), RunAt: runAt, Metadata: []byte("{}")}},
	})
	if err != nil {
		w.Fatal(err)
	}
	return jobs[0].ID
}

// ended waits for the job's end.
func (w *world) ended(id tallygate.JobID) *tallygate.Outcome {
	w.Helper()
	job, err := w.queue.Wait(context.Background(), id, 2*time.Hour)
	if err != nil {
		w.Fatal(err)
	}
	if job.Outcome == nil {
		w.Fatalf("job %s has not ended: %+v", id, job.Item)
	}
	return job.Outcome
}

func (w *world) job(id tallygate.JobID) *tallygate.Job {
	w.Helper()
	job, err := w.queue.Job(context.Background(), id)
	if err != nil {
		w.Fatal(err)
	}
	return job
}

func (w *world) cancel(id tallygate.JobID, abandon bool) {
	w.Helper()
	if _, _, err := w.queue.Cancel(context.Background(), queue.Cancel{JobID: id, Abandon: abandon}); err != nil {
		w.Fatal(err)
	}
}

// events counts the job's events of the kind, and returns what they say.
func (w *world) events(id tallygate.JobID, kind string) []string {
	w.Helper()
	events, err := w.queue.Events(context.Background(), id, 0, 10_000)
	if err != nil {
		w.Fatal(err)
	}
	var data []string
	for _, e := range events {
		if e.Kind == kind {
			data = append(data, string(e.Data))
		}
	}
	return data
}

func (w *world) audit() {
	w.Helper()
	queuetest.Audit(w, w.store)
}

func (w *world) wantFailure(o *tallygate.Outcome, code tallygate.Code, message string, attempts int64) {
	w.Helper()
	if o.Status != tallygate.JobFailed || o.Error.Code != code || o.Error.Message != message || o.Attempt != attempts || o.Charged != 0 {
		w.Errorf("job %s is %s after %d attempts, charged %s: %+v; want %s %q after %d", o.Type, o.Status, o.Attempt, o.Charged, o.Error, code, message, attempts)
	}
}

// gauge counts what goes on at once and keeps the most.
type gauge struct {
	mu        sync.Mutex
	now, most int64
}

func (g *gauge) move(by int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now += by
	g.most = max(g.most, g.now)
}

func (g *gauge) peak() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.most
}

// pipes is a network in memory, since real connections would hold up a bubble's time.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-p.closed:
		return nil, &net.OpError{Op: "dial", Err: net.ErrClosed}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
