package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"
)

// runWhole submits at a steady rate while one worker takes and settles what
// comes. The latency is the whole way: from when the submit was to be sent to
// the acknowledgement of the report that charged the job.
func runWhole(ctx context.Context, w workload) (measure, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	made, err := w.Request.compile(w.address(0))
	if err != nil {
		return measure{}, err
	}
	wires, err := dialAll(ctx, &w)
	if err != nil {
		return measure{}, err
	}
	p, err := newPuller(ctx, w.address(0), w.Worker)
	if err != nil {
		return measure{}, err
	}
	defer p.line.hangUp()

	submits := requests{w: &w, template: made}
	way := wholeWay{w: &w, begin: time.Now(), total: w.tickets()}
	worked := make(chan error, 1)
	go func() { worked <- way.work(ctx, p) }()
	submits.open(ctx, way.begin, wires)
	m := submits.measure()
	if m.Total < int64(way.total) {
		// Some jobs will never come; check reports why.
		cancel(errors.New("not every submit was accepted"))
	}
	if err := <-worked; err != nil && m.Faults == 0 {
		return measure{}, err
	}
	m.Answered = way.settled.Load()
	m.Latency = way.latency.summary()
	return m, nil
}

type wholeWay struct {
	w       *workload
	begin   time.Time
	total   int
	settled atomic.Int64 // after the warm-up
	latency histogram
}

// work pulls until every job of this load is settled.
func (way *wholeWay) work(ctx context.Context, p *puller) error {
	var held []time.Duration
	for done := 0; done < way.total; done += len(held) {
		if err := p.take(time.Duration(p.Wait)); err != nil {
			return errors.Join(context.Cause(ctx), err)
		}
		held = held[:0]
		for _, l := range p.leases {
			i, err := ordinal(l, way.w.First, way.total)
			if err != nil {
				return err
			}
			held = append(held, way.w.due(i))
		}
		if len(held) == 0 {
			if time.Since(way.begin) > way.w.due(way.total)+patience {
				return fmt.Errorf("no job for %v, and %d of %d settled", patience, done, way.total)
			}
			continue
		}
		if err := p.settle(false); err != nil {
			return errors.Join(context.Cause(ctx), err)
		}
		now := time.Since(way.begin)
		for _, due := range held {
			if due >= time.Duration(way.w.Warmup) {
				way.settled.Add(1)
				way.latency.record(now - due)
			}
		}
	}
	return nil
}

// ordinal tells which of this load's jobs a lease is for.
func ordinal(l lease, first int64, total int) (int, error) {
	n, err := strconv.ParseInt(string(l.n), 10, 64)
	if err != nil || n < first || n-first >= int64(total) {
		return 0, fmt.Errorf("a lease for job %s, which this load did not submit", l.job)
	}
	return int(n - first), nil
}

// runTurns keeps one worker busy with what is queued, and submits one job
// after the other, each of the next key's client. The latency is from a
// submit's sending to the lease of its job.
func runTurns(ctx context.Context, w workload) (measure, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	made, err := w.Request.compile(w.address(0))
	if err != nil {
		return measure{}, err
	}
	line, err := dial(ctx, w.farthest())
	if err != nil {
		return measure{}, err
	}
	defer line.hangUp()
	p, err := newPuller(ctx, w.address(0), w.Worker)
	if err != nil {
		return measure{}, err
	}
	defer p.line.hangUp()

	seen := make(chan time.Time, 1)
	quit := make(chan struct{})
	worked := make(chan error, 1)
	go func() {
		err := busy(p, seen, quit)
		if err != nil {
			cancel(err)
		}
		worked <- err
	}()
	begin := time.Now()
	submits := requests{w: &w, template: made, tallies: make([]tally, 1)}
	err = submits.turns(ctx, line, seen)
	close(quit)
	if fault := <-worked; fault != nil {
		err = fault
	}
	if err != nil {
		return measure{}, err
	}
	m := submits.measure()
	m.Elapsed = span(time.Since(begin))
	return m, nil
}

func (r *requests) turns(ctx context.Context, line *wire, seen <-chan time.Time) error {
	t, buf := &r.tallies[0], []byte(nil)
	for range r.w.Keys {
		pause(time.Duration(r.w.Pause)) // let the worker get back to the others' jobs
		if err := line.limit(time.Now().Add(patience)); err != nil {
			return err
		}
		sent := time.Now()
		var answer reply
		if answer, buf = r.send(line, t, buf, r.sent.Add(1)-1); answer.status != r.w.Expect {
			return nil // counted as a fault
		}
		select {
		case at := <-seen:
			t.answered++
			t.latency.record(at.Sub(sent))
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(patience):
			return fmt.Errorf("another client's job was not leased within %v", patience)
		}
	}
	return nil
}

// busy works without a break until quit, and says when it sees a job that
// bears a counter.
func busy(p *puller, seen chan<- time.Time, quit <-chan struct{}) error {
	if err := p.take(0); err != nil {
		return err
	}
	for {
		for _, l := range p.leases {
			if l.n != nil {
				seen <- time.Now()
			}
		}
		select {
		case <-quit:
			return p.settle(false)
		default:
		}
		if len(p.leases) == 0 {
			return errors.New("the queue ran empty while it was to be deep")
		}
		if err := p.settle(true); err != nil {
			return err
		}
	}
}
