package tallygate

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Worker does jobs: it leases as many as it has places for, runs their handlers, renews the leases at a third of their
// time, passes on progress, log lines and requests to cancel, and reports results in batches, taking the next jobs in the
// same call. Any number of workers may run beside each other. Its fields are set before Run.
type Worker struct {
	Client      *Client            // with a key that has the permission work
	Handlers    map[string]Handler // by job type
	Concurrency int                // jobs at a time, at most 1,000; 0: one
	Name        string             // for people; empty: the host's name and the process
	// DrainTimeout is how long jobs may go on once the worker is to end; what is left then is given back without
	// spending an attempt. 0: 10 s.
	DrainTimeout time.Duration
	Log          *slog.Logger // nil: slog.Default()
}

const (
	leaseWait      = 30 * time.Second // how long the server may hold an empty answer
	newsInterval   = time.Second      // between heartbeats that tell something
	usualDrain     = 10 * time.Second
	farewell       = 3 * time.Second // for the last reports, and for handlers that do not heed their context
	mostPlaces     = 1000
	mostReports    = 1000
	mostBatchBytes = 1 << 20 // of the reports of one call, unless a single one is larger
	reporters      = 2       // calls that report at a time
)

// RunUntilSignal is Run until SIGTERM or an interrupt; a second one ends the process at once.
func (w *Worker) RunUntilSignal(ctx context.Context) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return w.Run(ctx)
}

// Run does jobs until ctx ends, then drains and returns nil: what runs has the drain's time to finish, and the rest is
// given back. It outlasts a server that is busy, failing or away; what makes going on pointless, such as a key that is
// revoked, it returns.
func (w *Worker) Run(ctx context.Context) error {
	if w.Client == nil {
		return errors.New("tallygate: a worker needs a client")
	}
	host, _ := os.Hostname() // a worker without a name works as well
	r := &workerRun{
		api: w.Client.Worker, handlers: w.Handlers, types: slices.Sorted(maps.Keys(w.Handlers)),
		name:  cmp.Or(w.Name, fmt.Sprintf("%s-%d", cmp.Or(host, "worker"), os.Getpid())),
		drain: cmp.Or(w.DrainTimeout, usualDrain), log: w.Log, random: w.Client.random,
	}
	places := max(1, w.Concurrency)
	switch {
	case len(r.types) == 0:
		return errors.New("tallygate: a worker needs a handler of at least one job type")
	case places > mostPlaces:
		return fmt.Errorf("tallygate: a worker does at most %d jobs at a time", mostPlaces)
	}
	if r.log == nil {
		r.log = slog.Default()
	}
	r.places = make(chan struct{}, places)
	r.outbox = make(chan *parcel, places)
	return r.run(ctx)
}

// workerRun is a Worker at work.
type workerRun struct {
	api      *WorkerAPI
	handlers map[string]Handler
	types    []string
	name     string
	drain    time.Duration
	log      *slog.Logger
	random   func() float64

	places chan struct{}  // filled by each job from its lease until it is reported
	outbox chan *parcel   // no more than there are places
	held   sync.WaitGroup // leases, until they are settled or lost

	calls    context.Context // of the calls to the server; it ends last
	draining context.Context // ends when the worker is to
	work     context.Context // of the handlers; it ends with the drain's time
}

// holding is a lease and what is done under it.
type holding struct {
	lease    Lease
	attempt  *Attempt
	stop     context.CancelCauseFunc
	settled  chan struct{} // closed when there is nothing to renew any more
	deadline time.Time     // of the lease, by this machine's clock
	lost     context.Context
	lose     context.CancelFunc
}

// parcel is a report that waits to be made. It holds the place of its job.
type parcel struct {
	*holding
	report   Report
	bytes    int
	refusals int
}

func (r *workerRun) run(ctx context.Context) error {
	calls, endCalls := context.WithCancel(context.WithoutCancel(ctx))
	defer endCalls()
	work, stopWork := context.WithCancelCause(calls)
	defer stopWork(nil)
	draining, beginDrain := context.WithCancel(ctx)
	defer beginDrain()
	r.calls, r.draining, r.work = calls, draining, work

	var reporting sync.WaitGroup
	for range reporters {
		reporting.Go(r.reportAll)
	}
	err := r.leaseAll(draining)
	beginDrain()

	finished := make(chan struct{})
	go func() {
		r.held.Wait()
		close(r.outbox)
		reporting.Wait()
		close(finished)
	}()
	for _, next := range []struct {
		after time.Duration
		do    func()
	}{{r.drain, func() { stopWork(ErrDraining) }}, {2 * farewell, endCalls}} {
		timer := time.NewTimer(next.after)
		select {
		case <-finished:
			timer.Stop()
			return err
		case <-timer.C:
			next.do()
		}
	}
	<-finished
	return err
}

// leaseAll takes jobs for the places that are free, until the context ends or the server refuses for good.
func (r *workerRun) leaseAll(ctx context.Context) error {
	for failures := 0; ; {
		free, ok := r.take(ctx)
		if !ok {
			return nil
		}
		asked := time.Now()
		var answer Answer
		leased, err := r.api.Lease(ctx, LeaseRequest{Types: r.types, Max: free, Wait: Duration(leaseWait), Worker: r.name}, WithMaxAttempts(1), WithAnswer(&answer))
		if err == nil {
			r.start(leased.Leases, free, answer.Header)
		} else {
			r.free(free)
		}
		rest := time.Duration(0)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil && (len(leased.Leases) > 0 || time.Since(asked) >= time.Second):
			failures = 0
			continue
		case err == nil: // the server does not wait for work, so the worker does
			failures++
			rest = pause(failures, 0, r.random())
		case baseOf(err) == nil || !baseOf(err).retry:
			return fmt.Errorf("tallygate: worker: %w", err)
		default:
			failures++
			rest = pause(failures, baseOf(err).RetryAfter, r.random())
			r.log.Warn("the server gives no lease", "error", err, "wait", rest)
		}
		if sleep(ctx, rest) != nil {
			return nil
		}
	}
}

// take waits for a place, and takes every other that is free.
func (r *workerRun) take(ctx context.Context) (n int, ok bool) {
	select {
	case r.places <- struct{}{}:
	case <-ctx.Done():
		return 0, false
	}
	for n = 1; ; n++ {
		select {
		case r.places <- struct{}{}:
		default:
			return n, true
		}
	}
}

func (r *workerRun) free(n int) {
	for range n {
		<-r.places
	}
}

// start begins the leased jobs in the places that were taken for them, and frees the others. While the worker drains it
// gives them back.
func (r *workerRun) start(leases []Lease, places int, header http.Header) {
	came := time.Now() // not when they were asked for: the server may have waited for them longer than they last
	if len(leases) > places {
		r.log.Error("the server gave more leases than were asked for", "leases", len(leases), "places", places)
		leases = leases[:places] // the others end by themselves
	}
	r.free(places - len(leases))
	for _, l := range leases {
		h := &holding{lease: l, attempt: newAttempt(l), settled: make(chan struct{}), deadline: came.Add(leaseTime(l.ExpiresAt, came, header))}
		h.lost, h.lose = context.WithCancel(r.calls)
		r.held.Add(1)
		if r.draining.Err() != nil {
			r.send(h, Report{Outcome: OutcomeReleased})
			continue
		}
		var ctx context.Context
		ctx, h.stop = context.WithCancelCause(r.work)
		go r.keep(h)
		go r.do(ctx, h)
	}
}

// leaseTime is how long a lease is good for, as safe as it can be told: Date has whole seconds, so that it may be a second
// less than it seems.
func leaseTime(expires, asked time.Time, header http.Header) time.Duration {
	now := asked
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		now = date
	}
	d := max(0, expires.Sub(now))
	if d > 2*time.Second {
		return d - time.Second
	}
	return d / 2
}

// do runs a job's handler and puts its report into the outbox.
func (r *workerRun) do(ctx context.Context, h *holding) {
	end := make(chan Report, 1)
	go func() { end <- r.handle(ctx, h) }()
	var report Report
	select {
	case report = <-end:
	case <-r.work.Done(): // the drain's time is over
		timer := time.NewTimer(farewell)
		defer timer.Stop()
		select {
		case report = <-end:
		case <-timer.C:
			r.log.Error("a handler does not heed its context: its job is given back while it runs", "job", h.lease.Job.ID)
			report = Report{Outcome: OutcomeReleased}
		}
	}
	h.stop(nil)
	r.send(h, report)
}

// send puts a report into the outbox, which has room for one of each place.
func (r *workerRun) send(h *holding, report Report) {
	report.JobID, report.Token = h.lease.Job.ID, h.lease.Token
	encoded, _ := json.Marshal(report) // handle has made sure that it can be
	r.outbox <- &parcel{holding: h, report: report, bytes: len(encoded)}
}

// finish ends what belongs to a lease, but not its place.
func (r *workerRun) finish(h *holding) {
	close(h.settled)
	h.lose()
	r.held.Done()
}

// handle runs the handler and tells its end as a report without names.
func (r *workerRun) handle(ctx context.Context, h *holding) (report Report) {
	defer func() {
		if p := recover(); p != nil { // one job must not end the others
			r.log.Error("a handler panicked", "job", h.lease.Job.ID, "type", h.lease.Job.Type, "panic", p, "stack", string(debug.Stack()))
			report = Report{Outcome: OutcomeFailed, Error: &JobError{Message: "the handler panicked"}}
		}
	}()
	handler := r.handlers[h.lease.Job.Type]
	if handler == nil {
		return Report{Outcome: OutcomeReleased}
	}
	result, err := handler(ctx, h.attempt)
	cause := context.Cause(ctx)
	if err == nil {
		encoded, marshalErr := json.Marshal(result)
		if marshalErr == nil {
			return Report{Outcome: OutcomeSucceeded, Result: json.RawMessage(encoded), Units: h.attempt.Used()}
		}
		err = Final(fmt.Errorf("the result is not to be encoded: %w", marshalErr))
	}
	said, _ := errors.AsType[*attemptError](err)
	if said == nil {
		said = &attemptError{}
	}
	switch {
	case !said.final && errors.Is(cause, ErrDraining):
		return Report{Outcome: OutcomeReleased}
	case !said.final && errors.Is(cause, ErrCancelRequested):
		return Report{Outcome: OutcomeFailed, Error: &JobError{Message: "cancelled on request"}, Retry: new(false)}
	}
	report = Report{
		Outcome: OutcomeFailed, Error: &JobError{Message: cmp.Or(cut(err.Error(), mostMessage), "failed")},
		RetryAfter: Duration(min(max(0, said.retryAfter), mostDelay)),
	}
	if said.final {
		report.Retry = new(false)
	}
	if said.external {
		report.Error.Code = CodeExternalServiceError
	}
	return report
}

// keep renews a lease until its job is settled, and tells progress and log lines on the way.
func (r *workerRun) keep(h *holding) {
	last := time.Now()
	due := last.Add(time.Until(h.deadline) / 3)
	for failures := 0; ; {
		timer := time.NewTimer(time.Until(due))
		select {
		case <-h.settled:
			timer.Stop()
			return
		case <-h.attempt.news:
			timer.Stop()
			if soon := last.Add(newsInterval); failures == 0 && soon.Before(due) {
				due = soon
			}
			continue
		case <-timer.C:
		}
		if time.Until(h.deadline) <= 0 {
			h.lose()
			h.stop(fmt.Errorf("%w: no heartbeat got through", ErrLeaseLost))
			return
		}
		renewal, err := r.beat(h)
		last = time.Now()
		switch {
		case err == nil:
			failures = 0
			due = last.Add(time.Until(h.deadline) / 3)
			if renewal.CancelRequested {
				h.stop(ErrCancelRequested)
			}
		case baseOf(err) == nil: // the calls are over
			return
		case !baseOf(err).retry:
			h.lose()
			h.stop(fmt.Errorf("%w: %w", ErrLeaseLost, err))
			return
		default:
			failures++
			due = last.Add(min(pause(failures, baseOf(err).RetryAfter, r.random()), time.Until(h.deadline)))
			r.log.Warn("a heartbeat failed", "job", h.lease.Job.ID, "error", err)
		}
	}
}

// beat sends one heartbeat.
func (r *workerRun) beat(h *holding) (*Renewal, error) {
	progress, lines := h.attempt.take()
	sent := time.Now()
	var answer Answer
	renewal, err := r.api.Heartbeat(r.calls, h.lease.Job.ID, Heartbeat{Token: h.lease.Token, Progress: progress, Logs: lines},
		WithMaxAttempts(1), WithTimeout(max(time.Second, time.Until(h.deadline))), WithAnswer(&answer))
	if err != nil {
		h.attempt.putBack(progress, lines)
		return nil, err
	}
	h.deadline = sent.Add(leaseTime(renewal.ExpiresAt, sent, answer.Header))
	return renewal, nil
}

// reportAll makes the reports of the outbox, as many in one call as have come together.
func (r *workerRun) reportAll() {
	for first := range r.outbox {
		batch, bytes := []*parcel{first}, first.bytes
	gather:
		for len(batch) < mostReports && bytes < mostBatchBytes {
			select {
			case p, ok := <-r.outbox:
				if !ok {
					break gather
				}
				batch, bytes = append(batch, p), bytes+p.bytes
			default:
				break gather
			}
		}
		r.settle(batch)
	}
}

// settle makes the reports of a batch and takes the next jobs into their places.
func (r *workerRun) settle(batch []*parcel) {
	r.held.Add(1) // the outbox stays open while jobs may come in for those that are settled
	defer r.held.Done()
	var lasting sync.WaitGroup
	for _, p := range batch {
		if p.attempt.hasLines() { // the last lines have no other way, and are not worth another try
			lasting.Go(func() { r.lastLines(p.holding) })
		}
	}
	lasting.Wait()
	for failures := 0; ; {
		batch = slices.DeleteFunc(batch, func(p *parcel) bool {
			lost := p.lost.Err() != nil && r.calls.Err() == nil
			if lost {
				r.log.Warn("a job is abandoned: its lease is lost", "job", p.report.JobID)
				r.finish(p.holding)
				r.free(1)
			}
			return lost
		})
		if len(batch) == 0 {
			return
		}
		request := ReportBatch{Reports: make([]Report, len(batch))}
		for i, p := range batch {
			request.Reports[i] = p.report
		}
		if r.draining.Err() == nil {
			request.Lease = &LeaseRequest{Types: r.types, Max: len(batch), Worker: r.name}
		}
		var answer Answer
		results, err := r.api.Report(r.calls, request, WithMaxAttempts(1), WithAnswer(&answer))
		switch {
		case err == nil:
			refused := r.settled(batch, results.Results)
			if request.Lease == nil {
				r.free(len(batch) - len(refused))
			} else {
				r.again(results.Leases, len(batch)-len(refused), answer.Header)
			}
			for _, p := range refused {
				p.refusals++
				_ = sleep(r.calls, pause(p.refusals, 0, r.random()))
				r.settle([]*parcel{p})
			}
			return
		case baseOf(err) == nil: // the calls are over
			r.log.Error("the worker ends before the server has taken its reports", "reports", len(batch), "error", err)
			for _, p := range batch {
				r.finish(p.holding)
			}
			r.free(len(batch))
			return
		case !baseOf(err).retry && len(batch) > 1: // one of them spoils the others
			for _, p := range batch {
				r.settle([]*parcel{p})
			}
			return
		case !baseOf(err).retry:
			if p := r.refusedFor(batch[0], JobError{baseOf(err).Code, baseOf(err).Message}); p != nil {
				batch = []*parcel{p}
				continue
			}
			r.finish(batch[0].holding)
			r.free(1)
			return
		}
		failures++
		rest := pause(failures, baseOf(err).RetryAfter, r.random())
		r.log.Warn("the server does not take reports", "error", err, "wait", rest)
		_ = sleep(r.calls, rest) // its end is noticed above
	}
}

// again starts the jobs that came with the answer to reports. They outlast the drain's beginning by being given back.
func (r *workerRun) again(leases []Lease, places int, header http.Header) {
	if len(leases) > places { // places of reports that are made once more
		for _, l := range leases[places:] {
			_, _ = r.api.Release(r.calls, l.Job.ID, Giveback{Token: l.Token}) // else the lease ends by itself
		}
		leases = leases[:places]
	}
	r.start(leases, places, header)
}

// settled ends what was reported, and returns the reports that are to be made once more.
func (r *workerRun) settled(batch []*parcel, results []ReportResult) (again []*parcel) {
	for i, p := range batch {
		if i < len(results) && results[i].Error != nil {
			if next := r.refusedFor(p, JobError{results[i].Error.Code, results[i].Error.Message}); next != nil {
				again = append(again, next)
				continue
			}
		}
		r.finish(p.holding)
	}
	return again
}

// refusedFor is what to report instead of a report that was refused: a failure where the result was at fault; nil where
// nothing helps.
func (r *workerRun) refusedFor(p *parcel, why JobError) *parcel {
	r.log.Error("the server refuses a report", "job", p.report.JobID, "outcome", p.report.Outcome, "code", why.Code, "message", why.Message)
	switch why.Code {
	case CodeInvalidParameter, CodeMissingParameter, CodeInvalidFormat, CodeInvalidRequest:
	default:
		if !retried[why.Code] {
			return nil
		}
		return p
	}
	if p.report.Outcome != OutcomeSucceeded || why.Code == CodeInvalidRequest && p.bytes < mostBatchBytes {
		return nil // an old token is no fault of the result, but a body that is too large is
	}
	next := *p
	next.report = Report{
		JobID: p.report.JobID, Token: p.report.Token, Outcome: OutcomeFailed, Retry: new(false),
		Error: &JobError{Message: cut("the worker's result was refused: "+why.Message, mostMessage)},
	}
	next.bytes = 0
	return &next
}

// lastLines sends the lines that no heartbeat has taken along.
func (r *workerRun) lastLines(h *holding) {
	for h.attempt.hasLines() {
		progress, lines := h.attempt.take()
		if _, err := r.api.Heartbeat(r.calls, h.lease.Job.ID, Heartbeat{Token: h.lease.Token, Progress: progress, Logs: lines}, WithMaxAttempts(1)); err != nil {
			return
		}
	}
}
