package textstats

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"
)

// JobType is the type of the jobs that a [Worker] takes.
const JobType = "text.stats"

const (
	leaseWait       = 20 * time.Second // how long the server may hold an empty answer
	callTimeout     = 15 * time.Second // for a call beyond what the server may hold it
	settleTimeout   = time.Minute      // for telling the server how a job ended
	shutdownTimeout = 3 * time.Second  // the same, once the worker has to stop
	mostLogLines    = 200              // kept until a heartbeat takes them along
)

var (
	errCancelRequested = errors.New("the server asked to cancel the job")
	errLeaseLost       = errors.New("the lease is lost")
)

// Worker takes jobs of [JobType] from a server and does them with [Analyse].
// It may run beside any number of others.
type Worker struct {
	BaseURL     string       // of the server, as https://jobs.example.com
	Key         string       // an API key with the permission work
	Name        string       // shown by the server; default: the host's name
	Concurrency int          // jobs at a time; default 1
	Log         *slog.Logger // default: slog.Default()
	Client      *http.Client // default: http.DefaultClient

	// analyse stands in for Analyse in tests.
	analyse func(ctx context.Context, input []byte, report func(float64, string)) ([]byte, map[string]int64, error)
}

// lease is the right to one attempt at one job.
type lease struct {
	Token     string    `json:"token"`
	Attempt   int       `json:"attempt"`
	ExpiresAt time.Time `json:"expires_at"`
	Job       struct {
		ID    string          `json:"id"`
		Input json.RawMessage `json:"input"`
	} `json:"job"`

	deadline time.Time // ExpiresAt by this machine's clock
}

// untilBeat gives a third of the time left, so that two heartbeats may fail.
func (l lease) untilBeat() time.Duration {
	return max(100*time.Millisecond, time.Until(l.deadline)/3)
}

// outcome is what became of one attempt.
type outcome struct {
	result []byte
	units  map[string]int64
	err    error
}

// Run works until ctx ends, then gives unfinished jobs back and returns nil.
// It outlasts a server that is busy, failing or away; it returns an error when
// the server refuses it for good, as it does a wrong key.
func (w *Worker) Run(ctx context.Context) error {
	if w.BaseURL == "" || w.Key == "" {
		return errors.New("worker: BaseURL and Key are required")
	}
	hostname, _ := os.Hostname()
	run := &run{
		protocol: &protocol{
			base:   w.BaseURL,
			key:    w.Key,
			client: cmp.Or(w.Client, http.DefaultClient),
			places: max(1, w.Concurrency),
		},
		name:    cmp.Or(w.Name, hostname, "textstats"),
		log:     w.Log,
		analyse: w.analyse,
	}
	if run.log == nil {
		run.log = slog.Default()
	}
	if run.analyse == nil {
		run.analyse = Analyse
	}
	return run.loop(ctx)
}

// run is a [Worker] at work, with its defaults filled in.
type run struct {
	protocol *protocol
	name     string
	log      *slog.Logger
	analyse  func(context.Context, []byte, func(float64, string)) ([]byte, map[string]int64, error)
}

func (r *run) loop(ctx context.Context) error {
	var jobs sync.WaitGroup
	ctx, stop := context.WithCancel(ctx)
	defer jobs.Wait()
	defer stop()

	places := make(chan struct{}, r.protocol.places)
	for failures := 0; ; {
		free := 0
		select { // one place at least, and every other that is free now
		case places <- struct{}{}:
			free = 1
		case <-ctx.Done():
			return nil
		}
		for more := true; more && free < cap(places); {
			select {
			case places <- struct{}{}:
				free++
			default:
				more = false
			}
		}

		asked := time.Now()
		leases, err := r.lease(ctx, free)
		for range free - len(leases) {
			<-places
		}
		for i, l := range leases {
			if i >= free { // more than asked for
				jobs.Go(func() { _ = r.settle(ctx, l, "release", map[string]any{"token": l.Token}) }) // the lease ends by itself
				continue
			}
			jobs.Go(func() {
				defer func() { <-places }()
				r.work(ctx, l)
			})
		}

		pause := time.Duration(0)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !isTransient(err):
			return fmt.Errorf("worker: lease: %w", err)
		case err != nil:
			pause = backoff(failures, err)
			failures++
			r.log.Warn("the server gives no lease", "error", err, "retry_in", pause)
		case len(leases) == 0 && time.Since(asked) < time.Second:
			pause = backoff(failures, nil) // the server does not wait for work, so the worker does
			failures++
		default:
			failures = 0
		}
		if !sleep(ctx, pause) {
			return nil
		}
	}
}

func (r *run) lease(ctx context.Context, most int) ([]lease, error) {
	var answer struct {
		Leases []lease `json:"leases"`
	}
	ask := map[string]any{"types": []string{JobType}, "max": most, "wait": leaseWait.String(), "worker": r.name}
	clock, err := r.protocol.call(ctx, "lease", ask, &answer, leaseWait+callTimeout)
	if err != nil {
		return nil, err
	}
	for i := range answer.Leases {
		answer.Leases[i].deadline = clock.local(answer.Leases[i].ExpiresAt)
	}
	return answer.Leases, nil
}

// work does one job under its lease, and tells the server how it ended.
func (r *run) work(ctx context.Context, l lease) {
	log := r.log.With("job", l.Job.ID, "attempt", l.Attempt)
	jobCtx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	notes := &notes{}
	done := make(chan outcome, 1)
	go func() { done <- r.try(jobCtx, l, notes) }()

	beat := time.NewTimer(l.untilBeat())
	defer beat.Stop()
	for failures := 0; ; {
		select {
		case end := <-done:
			r.report(ctx, log, l, notes, end, context.Cause(jobCtx))
			return
		case <-beat.C:
		}
		if failures > 0 && time.Until(l.deadline) <= 0 {
			stop(fmt.Errorf("%w: no heartbeat got through", errLeaseLost))
			continue
		}
		next, err := r.heartbeat(ctx, &l, notes)
		switch {
		case err == nil:
			failures = 0
		case ctx.Err() != nil: // which ends the job too
		case errors.Is(err, errCancelRequested):
			stop(errCancelRequested)
		case !isTransient(err):
			stop(fmt.Errorf("%w: %w", errLeaseLost, err))
		default:
			next = min(backoff(failures, err), time.Until(l.deadline))
			failures++
			log.Warn("heartbeat failed", "error", err, "retry_in", next)
		}
		if jobCtx.Err() == nil {
			beat.Reset(next)
		}
	}
}

func (r *run) try(ctx context.Context, l lease, notes *notes) (end outcome) {
	defer func() {
		if cause := recover(); cause != nil { // one job must not end the others
			end = outcome{err: fmt.Errorf("panic: %v", cause)}
		}
	}()
	result, units, err := r.analyse(ctx, l.Job.Input, notes.add)
	return outcome{result, units, err}
}

// heartbeat renews the lease and gives the time until the next one is due.
func (r *run) heartbeat(ctx context.Context, l *lease, notes *notes) (next time.Duration, err error) {
	var answer struct {
		ExpiresAt       time.Time `json:"expires_at"`
		CancelRequested bool      `json:"cancel_requested"`
	}
	progress, lines := notes.take()
	body := map[string]any{"token": l.Token}
	if progress > 0 {
		body["progress"] = progress
	}
	if len(lines) > 0 {
		body["logs"] = lines
	}
	timeout := min(callTimeout, max(time.Second, time.Until(l.deadline)))
	clock, err := r.protocol.call(ctx, "jobs/"+l.Job.ID+"/heartbeat", body, &answer, timeout)
	if err != nil {
		notes.putBack(lines)
		return 0, err
	}
	if answer.CancelRequested {
		return 0, errCancelRequested
	}
	l.deadline = clock.local(answer.ExpiresAt)
	return l.untilBeat(), nil
}

// report settles the job: a success counts even where a cancel was asked for.
func (r *run) report(ctx context.Context, log *slog.Logger, l lease, notes *notes, end outcome, cause error) {
	fail := func(message string, retry bool) (string, map[string]any) {
		return "fail", map[string]any{"token": l.Token, "error": map[string]string{"message": message}, "retry": retry}
	}
	var verb string
	var body map[string]any
	var wrong *InputError
	switch {
	case errors.Is(cause, errLeaseLost):
		log.Warn("job abandoned", "error", cause)
		return
	case end.err == nil:
		if notes.hasLines() { // the last lines have no other way, and are not worth a retry
			_, _ = r.heartbeat(ctx, &l, notes)
		}
		verb, body = "succeed", map[string]any{"token": l.Token, "result": json.RawMessage(end.result), "units": end.units}
	case errors.As(end.err, &wrong):
		verb, body = fail(wrong.Reason, false)
	case errors.Is(cause, errCancelRequested):
		verb, body = fail("cancelled on request", false)
	case ctx.Err() != nil:
		verb, body = "release", map[string]any{"token": l.Token}
	default:
		verb, body = fail(end.err.Error(), true)
	}
	if err := r.settle(ctx, l, verb, body); err != nil {
		log.Error("the server does not take the report", "report", verb, "error", err)
		return
	}
	if end.err != nil {
		log = log.With("cause", end.err)
	}
	log.Info("job reported", "report", verb)
}

// settle repeats a report until the server takes or refuses it. The end of
// ctx leaves it a short while.
func (r *run) settle(ctx context.Context, l lease, verb string, body map[string]any) error {
	lasting, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		if sleep(lasting, shutdownTimeout) {
			cancel()
		}
	})()
	for failures := 0; ; failures++ {
		_, err := r.protocol.call(lasting, "jobs/"+l.Job.ID+"/"+verb, body, nil, callTimeout)
		if err == nil || !isTransient(err) || !sleep(lasting, backoff(failures, err)) {
			return err
		}
	}
}

// notes gather what a job says of itself between heartbeats.
type notes struct {
	mu       sync.Mutex
	progress float64
	lines    []string
}

func (n *notes) add(progress float64, line string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.progress = max(n.progress, progress)
	if line != "" {
		n.keep(append(n.lines, line))
	}
}

func (n *notes) take() (progress float64, lines []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	lines, n.lines = n.lines, nil
	return n.progress, lines
}

// putBack returns lines that did not arrive, before those that came since.
func (n *notes) putBack(lines []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.keep(append(lines, n.lines...))
}

func (n *notes) hasLines() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.lines) > 0
}

// keep drops the oldest lines past the bound.
func (n *notes) keep(lines []string) {
	n.lines = lines[max(0, len(lines)-mostLogLines):]
}

// sleep waits for d and says whether ctx let it.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
