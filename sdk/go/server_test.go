package tallygate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tallygate/tallygate/child"
)

// The tests here speak to the real server.

// realServer is one with a database of its own, on the same port however often it is started.
type realServer struct {
	t        *testing.T
	binary   string
	database string
	address  string
	operator *Client
	process  *child.Child
}

var buildServer = sync.OnceValues(func() (string, error) {
	binary := filepath.Join("..", "..", "bin", "sdk-go-test")
	said, err := exec.Command("go", "build", "-trimpath", "-o", binary, "../../cmd/tallygate").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, said)
	}
	return filepath.Abs(binary)
})

func startServer(t *testing.T) *realServer {
	t.Helper()
	binary, err := buildServer()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &realServer{t: t, binary: binary, database: filepath.Join(t.TempDir(), "tallygate.db"), address: listener.Addr().String()}
	listener.Close()
	said, err := exec.Command(binary, "init", "--database", s.database, "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var made struct {
		OperatorKey string `json:"operator_key"`
	}
	if err := json.Unmarshal(said, &made); err != nil {
		t.Fatal(err)
	}
	s.start()
	t.Cleanup(func() { s.process.Stop() })
	s.operator = s.client(made.OperatorKey)
	_, err = s.operator.JobTypes.Define(t.Context(), testType, JobTypeDefinition{
		Price: Price{Base: "0.01", Units: map[string]UnitPrice{"word": {Price: "0.001", Max: 100}}}, Lease: Duration(2 * time.Second),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *realServer) start() {
	s.t.Helper()
	var err error
	s.process, err = child.Start(context.Background(), child.Spec{Name: "server", Program: s.binary, Args: []string{"serve", "--listen", s.address, "--database", s.database}})
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.process.Address(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *realServer) client(key string, options ...Option) *Client {
	s.t.Helper()
	c, err := New(append([]Option{WithURL("http://" + s.address), WithKey(key)}, options...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// customer is a client of the server with a hundred in its account.
func (s *realServer) customer(options ...Option) *Client {
	s.t.Helper()
	ctx := s.t.Context()
	made, err := s.operator.Clients.Create(ctx, NewClient{Name: "Acme", Limits: &LimitsChange{RequestsPerSecond: new(1e6), Burst: new(int64(1e6)), RunningJobs: new(int64(1000))}})
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.operator.Clients.Credit(ctx, made.ID, Credit{Amount: "1000.00"}); err != nil {
		s.t.Fatal(err)
	}
	key, err := s.operator.Clients.APIKeys.Create(ctx, made.ID, NewAPIKey{Permissions: []string{"preset:full"}})
	if err != nil {
		s.t.Fatal(err)
	}
	return s.client(key.Key.Reveal(), options...)
}

// work runs a worker until what it returns is called.
func (s *realServer) work(handler Handler) (stop func()) {
	worker := &Worker{Client: s.operator, Handlers: map[string]Handler{testType: handler}, Concurrency: 8, DrainTimeout: 100 * time.Millisecond, Log: slog.New(slog.DiscardHandler)}
	end := start(s.t, worker)
	return func() {
		if err := end(); err != nil {
			s.t.Errorf("the worker ended with %v", err)
		}
	}
}

type words struct {
	Words int `json:"words"`
}

var countWords = HandlerOf(func(_ context.Context, attempt *Attempt, in struct{ Text string }) (words, error) {
	if in.Text == "" {
		return words{}, Final(errors.New("the text is empty"))
	}
	attempt.Progress(0.5)
	attempt.Log("counting")
	n := len(strings.Fields(in.Text))
	attempt.Use("word", int64(n))
	return words{n}, nil
})

func text(s string) map[string]any { return map[string]any{"text": s} }

func TestJobsAreDoneAndPaidByTheRealServer(t *testing.T) {
	s := startServer(t)
	acme, ctx := s.customer(), t.Context()
	defer s.work(countWords)()

	if got, err := Run[words](ctx, acme, testType, text("to be or not")); err != nil || got.Words != 4 {
		t.Errorf("run: %+v, %v", got, err)
	}
	if _, err := acme.Run(ctx, testType, text("")); !errors.Is(err, CodeProcessingFailed) || !strings.Contains(err.Error(), "the text is empty") {
		t.Errorf("a run that fails: %v", err)
	}
	if _, err := acme.Run(ctx, "no.such.type", nil); !errors.Is(err, CodeResourceNotFound) && !errors.Is(err, CodeInvalidParameter) {
		t.Errorf("a type that is not there: %v", err)
	}
	if raw, err := acme.Jobs.RunDirect(ctx, testType, text("one two"), WithWait(20*time.Second)); err != nil || string(raw) != `{"words":2}` {
		t.Errorf("a direct run: %s, %v", raw, err)
	}
	var told []float64
	var lines []string
	job, err := acme.Jobs.Submit(ctx, Submission{Type: testType, Input: text("six"), Metadata: map[string]any{"order": "7"}})
	if err != nil {
		t.Fatal(err)
	}
	job, err = acme.Jobs.Wait(ctx, job.ID, WithProgress(func(p float64) { told = append(told, p) }), WithLogs(func(l string) { lines = append(lines, l) }))
	if err != nil || job.Status != JobSucceeded || job.Receipt.Charged != "0.011" || job.Receipt.Units["word"] != 1 {
		t.Errorf("wait: %+v, %v", job, err)
	}
	if !slices.Equal(lines, []string{"counting"}) || told[len(told)-1] != 1 {
		t.Errorf("told %v and %v", told, lines)
	}
	if got, err := Result[words](ctx, acme, job.ID); err != nil || got.Words != 1 {
		t.Errorf("result: %+v, %v", got, err)
	}
	var kinds []string
	for event, err := range acme.Jobs.Events(ctx, job.ID) {
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, event.Kind)
	}
	if len(kinds) < 4 || kinds[0] != "job.queued" || kinds[len(kinds)-1] != "job.succeeded" {
		t.Errorf("events %v", kinds)
	}
	found := 0
	for job, err := range acme.Jobs.All(ctx, JobFilter{Metadata: map[string]string{"order": "7"}, Status: JobSucceeded, ListOptions: ListOptions{Limit: 1}}) {
		if err != nil || job.Metadata["order"] != "7" {
			t.Errorf("%+v, %v", job, err)
		}
		found++
	}
	if found != 1 {
		t.Errorf("%d jobs of the order", found)
	}
	account, err := acme.Account.Get(ctx)
	if err != nil || account.Balance.Available != "999.963" || account.Balance.Held != "0.00" { // 3 × 0.01 and 7 words
		t.Errorf("balance %+v, %v", account, err)
	}
	sum := int64(0)
	for entry, err := range acme.Account.AllEntries(ctx, ListOptions{Limit: 3}) {
		if err != nil {
			t.Fatal(err)
		}
		n, err := entry.Posted.Micros()
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	if MoneyFromMicros(sum) != account.Balance.Posted {
		t.Errorf("the entries sum to %s", MoneyFromMicros(sum))
	}
}

func TestARestartOfTheServerLosesNothing(t *testing.T) {
	s := startServer(t)
	acme, ctx := s.customer(), t.Context()
	started, release := make(chan struct{}, 100), make(chan struct{})
	defer s.work(func(ctx context.Context, _ *Attempt) (any, error) {
		started <- struct{}{}
		select {
		case <-release:
			return "done", nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})()
	type end struct {
		job *Job
		err error
	}
	ends := make(chan end)
	for range 8 {
		go func() {
			job, err := acme.Jobs.Submit(ctx, Submission{Type: testType, Input: text("a")})
			if err == nil {
				job, err = acme.Jobs.Wait(ctx, job.ID, WithProgress(func(float64) {}))
			}
			ends <- end{job, err}
		}()
	}
	for range 8 {
		<-started
	}
	s.process.Stop()
	s.start()
	close(release)
	for range 8 {
		if e := <-ends; e.err != nil || e.job.Status != JobSucceeded {
			t.Errorf("%+v, %v", e.job, e.err)
		}
	}
}

func TestACancelReachesTheHandler(t *testing.T) {
	s := startServer(t)
	acme, ctx := s.customer(), t.Context()
	causes := make(chan error, 1)
	defer s.work(func(ctx context.Context, _ *Attempt) (any, error) {
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return nil, ctx.Err()
	})()
	_, err := acme.Run(ctx, testType, text("a"), WithTimeLimit(time.Second), WithCancelOnTimeout())
	slow, ok := errors.AsType[*WaitTimeoutError](err)
	if !ok {
		t.Fatalf("%v", err)
	}
	if cause := <-causes; !errors.Is(cause, ErrCancelRequested) {
		t.Errorf("cause %v", cause)
	}
	if job, err := acme.Jobs.Wait(ctx, slow.Job.ID); err != nil || job.Status != JobCancelled || job.Receipt.Charged != "0.00" {
		t.Errorf("%+v, %v", job, err)
	}
	if _, err := acme.Jobs.Result(ctx, slow.Job.ID); !errors.Is(err, CodeInvalidRequest) {
		t.Errorf("the result of a cancelled job: %v", err)
	}
}

func TestADrainGivesJobsToAnotherWorker(t *testing.T) {
	s := startServer(t)
	acme, ctx := s.customer(), t.Context()
	started := make(chan struct{}, 8)
	stop := s.work(func(ctx context.Context, attempt *Attempt) (any, error) {
		started <- struct{}{}
		return untilStopped(ctx, attempt)
	})
	job, err := acme.Jobs.Submit(ctx, Submission{Type: testType, Input: text("a b")})
	if err != nil {
		t.Fatal(err)
	}
	<-started
	stop()
	defer s.work(countWords)()
	if job, err = acme.Jobs.Wait(ctx, job.ID); err != nil || job.Status != JobSucceeded {
		t.Errorf("%+v, %v", job, err)
	}
}

// faults is a bad way to the server: it loses requests, answers and halves of answers, and puts in answers of its own.
type faults struct {
	way    http.RoundTripper
	mu     sync.Mutex
	random *rand.Rand
	made   map[string]int
}

func (f *faults) RoundTrip(r *http.Request) (*http.Response, error) {
	kinds := []string{"refused", "lost", "half", "page", "busy", "garbage"}
	f.mu.Lock()
	kind := "none"
	if f.random.IntN(2) == 0 {
		kind = kinds[f.random.IntN(len(kinds))]
	}
	f.made[kind]++
	f.mu.Unlock()
	own := func(status int, text string) (*http.Response, error) {
		if r.Body != nil {
			_, _ = io.Copy(io.Discard, r.Body)
			r.Body.Close()
		}
		return answered(r, status, http.Header{}, strings.NewReader(text)), nil
	}
	switch kind {
	case "refused":
		return nil, syscall.ECONNREFUSED
	case "page":
		return own(http.StatusBadGateway, "<html>bad gateway</html>")
	case "busy":
		return own(http.StatusServiceUnavailable, `{"error":{"code":"SERVICE_UNAVAILABLE","message":"busy"}}`)
	}
	res, err := f.way.RoundTrip(r)
	if err != nil || kind == "none" {
		return res, err
	}
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	switch {
	case err != nil || kind == "lost":
		return nil, syscall.ECONNRESET
	case kind == "half":
		res.Body = io.NopCloser(io.MultiReader(strings.NewReader(string(body[:len(body)/2])), broken{}))
	default:
		res.Body = io.NopCloser(strings.NewReader("\x00\x01" + string(body)))
	}
	return res, nil
}

func TestAThousandSubmitsOverABadWayAreAThousandJobsAndCharges(t *testing.T) {
	const all = 1000
	s := startServer(t)
	seed := rand.Uint64()
	t.Log("seed", seed)
	way := &faults{way: http.DefaultTransport, random: rand.New(rand.NewPCG(seed, 0)), made: map[string]int{}}
	acme, ctx := s.customer(WithHTTPClient(&http.Client{Transport: way}), WithMaxAttempts(50), WithRetryBudget(1_000_000)), t.Context()
	acme.random = func() float64 { return 0 } // no wait is needed where every failure is a throw of a die
	defer s.work(countWords)()
	ids, todo := make(chan string, all), make(chan struct{}, all)
	for range all {
		todo <- struct{}{}
	}
	close(todo)
	var callers sync.WaitGroup
	for range 16 {
		callers.Go(func() {
			for range todo {
				job, err := acme.Jobs.Submit(ctx, Submission{Type: testType, Input: text("a b")})
				if err == nil {
					job, err = acme.Jobs.Wait(ctx, job.ID)
				}
				if err != nil || job.Status != JobSucceeded {
					t.Errorf("%+v, %v", job, err)
					return
				}
				ids <- job.ID
			}
		})
	}
	callers.Wait()
	close(ids)
	distinct := map[string]bool{}
	for id := range ids {
		distinct[id] = true
	}
	account, err := acme.Account.Get(ctx)
	if err != nil {
		t.Fatal(err)
	}
	jobs, charges := 0, 0
	for _, err := range acme.Jobs.All(ctx, JobFilter{ListOptions: ListOptions{Limit: 100}}) {
		if err != nil {
			t.Fatal(err)
		}
		jobs++
	}
	for entry, err := range acme.Account.AllEntries(ctx, ListOptions{Limit: 100}) {
		if err != nil {
			t.Fatal(err)
		}
		if entry.Kind == EntryCharge {
			charges++
		}
	}
	t.Logf("requests by what happened to them: %v", way.made)
	if len(distinct) != all || jobs != all || charges != all || account.Balance.Posted != "988.00" || account.Balance.Held != "0.00" {
		t.Errorf("%d jobs were returned, there are %d with %d charges, and %+v is left", len(distinct), jobs, charges, account.Balance)
	}
}

func TestCallersThatAreRefusedTogetherDoNotReturnTogether(t *testing.T) {
	const callers, bin = 1000, 100 * time.Millisecond
	var bins [10]int
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		begun := time.Now()
		for range callers {
			refused := false
			c, err := New(WithHTTPClient(&http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				if !refused {
					refused = true
					return answered(r, http.StatusServiceUnavailable, http.Header{"Retry-After": {"1"}}, strings.NewReader(`{"error":{"code":"SERVICE_UNAVAILABLE","message":"busy"}}`)), nil
				}
				mu.Lock()
				defer mu.Unlock()
				at := time.Since(begun) - time.Second
				if at < 0 || at >= time.Second {
					t.Errorf("a caller came back after %v", at+time.Second)
					return answered(r, http.StatusOK, nil, strings.NewReader("{}")), nil
				}
				bins[at/bin]++
				return answered(r, http.StatusOK, http.Header{}, strings.NewReader("{}")), nil
			})}))
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				if _, err := c.Health(t.Context()); err != nil {
					t.Error(err)
				}
			}()
		}
		time.Sleep(3 * time.Second)
	})
	for i, n := range bins {
		t.Logf("%4d ms %4d %s", 1000+100*i, n, strings.Repeat("█", n/4))
		if n < callers/len(bins)/2 || n > callers/len(bins)*2 {
			t.Errorf("%d of %d came back in the tenth from %d ms on", n, callers, 1000+100*i)
		}
	}
}
