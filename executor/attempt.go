package executor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/queue"
)

// Why work is cut short, as its context's cause.
var (
	errLost            = errors.New("the lease is lost")
	errCancelRequested = errors.New("the job is to be cancelled")
	errDraining        = errors.New("the server is shutting down")
	errNoAnswer        = errors.New("the upstream did not answer in time")
	errTimeUp          = errors.New("the attempt's time limit has passed")
)

const (
	firstLook  = 250 * time.Millisecond // for a cancellation that came before the job was watched
	newsEvery  = 250 * time.Millisecond // between heartbeats that carry progress and log lines
	cutMessage = "cancelled while it ran"
)

// attempt is one lease in hand.
type attempt struct {
	x      *Executor
	lease  queue.Lease
	job    *tallygate.Job
	length time.Duration // of the lease
	ends   time.Time     // of the lease, by this machine's clock
	limit  time.Duration // of the attempt
	notes  notes

	abort   context.CancelCauseFunc // ends the work
	timer   *time.Timer             // of the next heartbeat
	beaten  time.Time               // the last heartbeat
	failing backoff                 // of heartbeats
}

// ending is what an attempt came to. Its report names no job and token yet, and no outcome where there is nothing to
// report.
type ending struct {
	queue.Report
	later  bool   // the upstream has taken the job and reports by itself
	health health // of the upstream
	cause  error  // for the log
}

func failed(code tallygate.Code, format string, args ...any) ending {
	return ending{Report: queue.Report{Outcome: queue.Failed, Code: code, Message: fmt.Sprintf(format, args...)}}
}

// newAttempt measures the lease: only its lengths are taken from the store, whose clock may be another.
func newAttempt(x *Executor, l queue.Lease) *attempt {
	item := l.Job.Item
	return &attempt{
		x: x, lease: l, job: l.Job,
		length: l.Type.Lease,
		ends:   time.Now().Add(l.ExpiresAt.Sub(item.LeasedAt)),
		limit:  item.AttemptDeadline.Sub(item.LeasedAt),
		notes:  notes{news: make(chan struct{}, 1)},
	}
}

// run does the work and settles the lease. The place in the pool is taken until the work itself has returned.
func (a *attempt) run(p *pool, round int) {
	defer p.leave()
	ctx, cancel := context.WithCancelCause(a.x.working)
	defer cancel(nil)
	a.abort = cancel
	limit, late := a.limit, errTimeUp
	if p.kind == tallygate.ExecutorHTTP {
		fair := min(a.lease.Type.Executor.Timeout, a.lease.Type.AttemptTimeout)
		if limit >= fair { // else the job had too little time left: that is not the upstream's fault
			limit, late = fair, errNoAnswer
		}
	}
	ctx, stop := context.WithTimeoutCause(ctx, limit, late)
	defer stop()

	done := make(chan ending, 1)
	go func() {
		end := failed(tallygate.ProcessingFailed, "the handler failed")
		defer func() { done <- end }() // also where the handler ends its goroutine
		if p.kind == tallygate.ExecutorHTTP {
			end = a.call(ctx)
		} else {
			end = a.handle(ctx)
		}
	}()
	end, returned := a.tend(ctx, done)
	if ctx.Err() != nil && end.Outcome != queue.Succeeded && !end.later {
		end = cutShort(context.Cause(ctx), limit)
	}
	p.learn(round, end.health)
	a.settle(end)
	a.x.inHand.Done()
	if !returned {
		<-done // work that does not heed its context keeps its place
	}
}

// cutShort is the ending of work that was cut short.
func cutShort(cause error, limit time.Duration) ending {
	var end ending
	switch cause {
	case errDraining:
		end.Outcome = queue.Released
	case errCancelRequested:
		end = failed(tallygate.ProcessingFailed, cutMessage)
	case errNoAnswer:
		end = failed(tallygate.ExternalServiceError, "the upstream did not answer within %s", limit)
		end.health = down
	case errTimeUp:
		end = failed(tallygate.ProcessingFailed, "the attempt took longer than its time limit")
	}
	end.cause = cause
	return end
}

// tend keeps the lease until the work is done, or cut short: then returned is false.
func (a *attempt) tend(ctx context.Context, done <-chan ending) (end ending, returned bool) {
	changed, unwatch := a.x.queue.Watch(a.job.ID)
	defer unwatch()
	look := time.NewTimer(firstLook)
	defer look.Stop()
	a.timer = time.NewTimer(a.length / 3)
	defer a.timer.Stop()
	for {
		select {
		case end = <-done:
			return end, true
		case <-ctx.Done():
			select {
			case end = <-done:
				return end, true
			default:
				return ending{}, false
			}
		case <-changed:
			a.look(ctx)
		case <-look.C:
			a.look(ctx)
		case <-a.notes.news:
			if a.failing.failures == 0 {
				a.timer.Reset(max(0, time.Until(a.beaten.Add(newsEvery))))
			}
		case <-a.timer.C:
			a.beat(ctx)
		}
	}
}

// look sees whether the job is to be cancelled or has been taken away. What it can't see the next heartbeat tells.
func (a *attempt) look(ctx context.Context) {
	job, err := a.x.queue.Job(ctx, a.job.ID)
	switch {
	case tallygate.IsCode(err, tallygate.JobNotFound):
		a.abort(errLost)
	case err != nil:
	case job.Item == nil || job.Item.Token != a.lease.Token:
		a.abort(errLost)
	case job.Item.CancelRequested:
		a.abort(errCancelRequested)
	}
}

// beat renews the lease and tells the news. Where the store fails it is tried again until the lease ends.
func (a *attempt) beat(ctx context.Context) {
	cancelRequested, err := a.heartbeat(ctx)
	switch {
	case err == nil && cancelRequested:
		a.abort(errCancelRequested)
	case err == nil:
		a.failing = backoff{}
		a.timer.Reset(max(0, time.Until(a.beaten.Add(a.length/3))))
	case ctx.Err() != nil:
	case !tallygate.AsError(err).Retry() || !time.Now().Before(a.ends):
		a.abort(errLost)
	default:
		if a.failing.failures == 0 {
			a.log().Error("renew a lease", "error", err)
		}
		a.timer.Reset(min(a.failing.next(a.x.opt.Jitter), time.Until(a.ends)))
	}
}

func (a *attempt) heartbeat(ctx context.Context) (cancelRequested bool, err error) {
	a.beaten = time.Now()
	progress, lines := a.notes.take()
	_, cancelRequested, err = a.x.queue.Heartbeat(ctx, queue.Beat{JobID: a.job.ID, Token: a.lease.Token, Progress: progress, Logs: lines})
	if err != nil {
		a.notes.putBack(progress, lines)
		return false, err
	}
	if t, err := a.x.queue.Type(ctx, a.job.Type); err == nil {
		a.length = t.Lease // the queue renewed for what the type says now
	}
	a.ends = a.beaten.Add(a.length)
	return cancelRequested, nil
}

// settle tells the queue how the attempt ended.
func (a *attempt) settle(end ending) {
	if end.cause != nil {
		a.log().Info("an attempt ended without a result", "error", end.cause)
	}
	var err error
	switch {
	case end.later: // it has a whole lease until its first heartbeat
		err = a.insist(func(ctx context.Context) error {
			_, err := a.heartbeat(ctx)
			return err
		})
	case end.Outcome != "":
		if err = a.tellNews(); err == nil {
			err = a.report(end.Report)
		}
	}
	if err != nil {
		a.log().Warn("settle a lease", "error", err)
	}
}

func (a *attempt) log() *slog.Logger {
	return a.x.log.With("job", a.job.ID, "type", a.job.Type, "attempt", a.lease.Attempt)
}

// tellNews sends the progress and log lines that no heartbeat has taken yet.
func (a *attempt) tellNews() error {
	if a.notes.empty() {
		return nil
	}
	return a.insist(func(ctx context.Context) error {
		_, err := a.heartbeat(ctx)
		return err
	})
}

// giveBack returns a job that was not begun.
func (a *attempt) giveBack() { a.settle(ending{Report: queue.Report{Outcome: queue.Released}}) }

// report settles the lease. Units that the queue refuses end the job: another attempt would count the same ones.
func (a *attempt) report(r queue.Report) error {
	err := a.send(r)
	if e, ok := errors.AsType[*tallygate.Error](err); ok && r.Outcome == queue.Succeeded && e.Code == tallygate.InvalidParameter {
		refused := failed(tallygate.ProcessingFailed, "the units that were used are refused: %s", clean(e.Detail)).Report
		refused.Final = true
		return a.send(refused)
	}
	return err
}

func (a *attempt) send(r queue.Report) error {
	r.JobID, r.Token = a.job.ID, a.lease.Token
	return a.insist(func(ctx context.Context) error {
		results, _, err := a.x.queue.Report(ctx, []queue.Report{r}, nil)
		if err == nil {
			err = results[0]
		}
		return err
	})
}

// insist tries until the store has answered, at the latest when the lease ends, so that finished work is not lost to a
// store that fails for a while. To repeat a report is harmless.
func (a *attempt) insist(try func(ctx context.Context) error) error {
	var failing backoff
	for {
		err := try(a.x.telling)
		if err == nil || !tallygate.AsError(err).Retry() {
			return err
		}
		left := time.Until(a.ends)
		if left <= 0 || !pause(a.x.telling, min(failing.next(a.x.opt.Jitter), left)) {
			return err
		}
	}
}
