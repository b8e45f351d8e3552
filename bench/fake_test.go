package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
)

// The test binary stands in for the tallygate executable: called as that is
// called, it serves a small model of the API from memory.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 || strings.HasPrefix(os.Args[1], "-") {
		os.Setenv("GORACE", "atexit_sleep_ms=0") // else each child that ends takes a second
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := fakeCommand(ctx, strings.Join(os.Args[1:], " ")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func fakeCommand(ctx context.Context, line string) error {
	switch {
	case strings.HasPrefix(line, "init --json"):
		fmt.Println(`{"operator_key":"` + fakeOperator + `"}`)
		return nil
	case strings.HasPrefix(line, "serve --listen 127.0.0.1:0 --config "):
		return serveFake(ctx)
	case line == "bench --bare":
		return Bare(ctx, os.Stdin, os.Stdout)
	case line == "bench --load -":
		return Load(ctx, os.Stdin, os.Stdout)
	case strings.HasPrefix(line, "insert -connections 4 ") || line == "drain -jobs 1500":
		if os.Getenv(peerVariable) == "" {
			return fmt.Errorf("%s is not set", peerVariable)
		}
		fmt.Println(`{"version":"v0","done":1000,"per_second":100,"p50_ms":1,"p99_ms":2}`)
		return nil
	}
	return fmt.Errorf("unknown command: %s", line)
}

const fakeOperator = "tg_live_known_operator"

// fakeFault is the environment variable by which a test has the fake misbehave:
// "refuse" answers some submits 503, "forget" acknowledges some and drops them,
// "overcharge" takes the price twice, "busy" answers each batch 503 at first.
const fakeFault = "TALLYGATE_BENCH_FAKE_FAULT"

func serveFake(ctx context.Context) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	f := &fake{clients: map[string]*fakeClient{}, leased: map[string]fakeJob{}, asked: map[string]bool{}, fault: os.Getenv(fakeFault), grown: make(chan struct{})}
	server := &http.Server{Handler: f.routes()}
	context.AfterFunc(ctx, func() { server.Close() })
	fmt.Printf("a line before\n%s%s\n", listening, listener.Addr())
	if err := server.Serve(listener); err != http.ErrServerClosed {
		return err
	}
	return nil
}

type fake struct {
	mu      sync.Mutex
	clients map[string]*fakeClient // by key, and by id
	queued  []fakeJob              // newcomers at the end, and taken from there
	leased  map[string]fakeJob
	made    int
	asked   map[string]bool // Idempotency-Keys of batches
	fault   string
	grown   chan struct{} // closed when a job comes
}

type fakeClient struct {
	ID             string
	posted, held   tallygate.Money
	narrow, passed bool
}

type fakeJob struct {
	ID     string          `json:"id"`
	Type   string          `json:"type"`
	Input  json.RawMessage `json:"input"`
	client *fakeClient
}

type fakeReport struct {
	JobID   string `json:"job_id"`
	Token   string `json:"token"`
	Outcome string `json:"outcome"`
}

type fakeLease struct {
	Max  int    `json:"max"`
	Wait string `json:"wait"`
}

func (f *fake) routes() http.Handler {
	mux := http.NewServeMux()
	operator := func(pattern string, serve func(r *http.Request) any) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer "+fakeOperator {
				refuse401(w, "AUTHORIZATION_FAILED")
				return
			}
			json.NewEncoder(w).Encode(serve(r))
		})
	}
	client := func(pattern string, serve func(w http.ResponseWriter, r *http.Request, c *fakeClient)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
			f.mu.Lock()
			c := f.clients[key]
			f.mu.Unlock()
			switch {
			case !strings.HasPrefix(key, "tg_live_known_"):
				refuse401(w, "AUTHENTICATION_FAILED")
			case c == nil:
				refuse401(w, "INVALID_API_KEY")
			default:
				serve(w, r, c)
			}
		})
	}
	operator("PUT /v1/job-types/{name}", func(r *http.Request) any { return struct{}{} })
	operator("POST /v1/clients", f.createClient)
	operator("POST /v1/clients/{id}/credits", f.credit)
	operator("POST /v1/clients/{id}/api-keys", f.createKey)
	operator("GET /v1/clients/{id}", f.getClient)
	operator("POST /v1/worker/lease", f.lease)
	operator("POST /v1/worker/report", f.report)
	operator("POST /v1/worker/jobs/{id}/succeed", f.succeed)
	client("GET /v1/account", f.account)
	client("POST /v1/jobs", f.submit)
	client("POST /v1/jobs/batch", f.submitBatch)
	return mux
}

func refuse401(w http.ResponseWriter, code string) {
	w.WriteHeader(http.StatusUnauthorized)
	fmt.Fprintf(w, `{"error":{"code":%q,"message":"no"}}`, code)
}

func read[T any](r *http.Request) (in T) {
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		panic(err) // the caller sees its connection end
	}
	return in
}

func (f *fake) createClient(r *http.Request) any {
	in := read[struct{ Limits limits }](r)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.made++
	c := &fakeClient{ID: fmt.Sprint("cl_", f.made), narrow: in.Limits == narrow()}
	f.clients[c.ID] = c
	return map[string]string{"id": c.ID}
}

func (f *fake) credit(r *http.Request) any {
	in := read[struct{ Amount string }](r)
	amount, err := tallygate.ParseMoney(in.Amount)
	if err != nil || r.Header.Get("Idempotency-Key") == "" {
		panic(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clients[r.PathValue("id")].posted += amount
	return struct{}{}
}

func (f *fake) createKey(r *http.Request) any {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := "tg_live_known_" + r.PathValue("id")
	f.clients[key] = f.clients[r.PathValue("id")]
	return map[string]string{"key": key}
}

func (f *fake) getClient(r *http.Request) any {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.clients[r.PathValue("id")]
	return map[string]any{"id": c.ID, "balance": map[string]string{"posted": c.posted.String(), "held": c.held.String()}}
}

func (f *fake) account(w http.ResponseWriter, r *http.Request, c *fakeClient) {
	f.mu.Lock()
	limited := c.narrow && c.passed
	c.passed = true
	f.mu.Unlock()
	if limited {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
		io.WriteString(w, `{"error":{"code":"RATE_LIMIT_EXCEEDED","message":"later"}}`)
		return
	}
	io.WriteString(w, `{}`)
}

func (f *fake) submit(w http.ResponseWriter, r *http.Request, c *fakeClient) {
	in := read[fakeJob](r)
	job, ok := f.accept(in, c)
	if !ok {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, `{"error":{"code":"SERVICE_UNAVAILABLE","message":"busy"}}`)
		return
	}
	json.NewEncoder(w).Encode(job)
}

func (f *fake) submitBatch(w http.ResponseWriter, r *http.Request, c *fakeClient) {
	in := read[struct{ Jobs []fakeJob }](r)
	f.mu.Lock()
	key := r.Header.Get("Idempotency-Key")
	busy := f.fault == "busy" && !f.asked[key]
	f.asked[key] = true
	f.mu.Unlock()
	if busy {
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	for _, job := range in.Jobs {
		f.accept(job, c)
	}
	io.WriteString(w, `{"data":[]}`)
}

func (f *fake) accept(job fakeJob, c *fakeClient) (fakeJob, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.made++
	job.ID, job.client = fmt.Sprint("job_", f.made), c
	if f.made%10 == 0 {
		switch f.fault {
		case "refuse":
			return job, false
		case "forget":
			return job, true
		}
	}
	c.held += jobPrice
	f.queued = append(f.queued, job)
	close(f.grown)
	f.grown = make(chan struct{})
	return job, true
}

func (f *fake) lease(r *http.Request) any {
	return map[string]any{"leases": f.take(r.Context(), read[fakeLease](r))}
}

func (f *fake) take(ctx context.Context, in fakeLease) []any {
	wait, _ := time.ParseDuration(in.Wait)
	deadline := time.After(wait)
	for {
		f.mu.Lock()
		grown := f.grown
		leases := []any{}
		for range min(in.Max, len(f.queued)) {
			last := len(f.queued) - 1
			job := f.queued[last]
			f.queued = f.queued[:last]
			f.leased[job.ID] = job
			leases = append(leases, map[string]any{"token": "token_" + job.ID, "attempt": 1, "job": job})
		}
		f.mu.Unlock()
		if len(leases) > 0 || wait == 0 {
			return leases
		}
		select {
		case <-grown:
		case <-deadline:
			wait = 0
		case <-ctx.Done():
			return nil
		}
	}
}

func (f *fake) report(r *http.Request) any {
	in := read[struct {
		Reports []fakeReport
		Lease   *fakeLease
	}](r)
	results := []any{}
	for _, one := range in.Reports {
		if f.settle(one.JobID, one.Token) && one.Outcome == "succeeded" {
			results = append(results, map[string]any{"job_id": one.JobID, "ok": true})
		} else {
			results = append(results, map[string]any{"job_id": one.JobID, "error": struct{}{}})
		}
	}
	leases := []any{}
	if in.Lease != nil {
		leases = f.take(r.Context(), *in.Lease)
	}
	return map[string]any{"results": results, "leases": leases}
}

func (f *fake) succeed(r *http.Request) any {
	if !f.settle(r.PathValue("id"), read[fakeReport](r).Token) {
		panic("no such lease")
	}
	return struct{}{}
}

func (f *fake) settle(id, token string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	job, ok := f.leased[id]
	if !ok || token != "token_"+id {
		return false
	}
	delete(f.leased, id)
	job.client.held -= jobPrice
	job.client.posted -= jobPrice
	if f.fault == "overcharge" && strings.HasSuffix(id, "0") {
		job.client.posted -= jobPrice
	}
	return true
}
