package bench

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// runDrain settles Count jobs, each call reporting one batch and taking the
// next. The clock runs from the first lease to the last report.
func runDrain(ctx context.Context, w workload) (measure, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d := drain{w: &w}
	pullers := make([]*puller, w.Connections)
	for i := range pullers {
		var err error
		if pullers[i], err = newPuller(ctx, w.address(i), w.Worker); err != nil {
			return measure{}, err
		}
		defer pullers[i].line.hangUp()
		pullers[i].Name = fmt.Sprintf("%s-%d", w.Worker.Name, i+1)
	}
	tallies := make([]tally, w.Connections)
	d.begin = time.Now()
	var all sync.WaitGroup
	for i, p := range pullers {
		all.Go(func() {
			if err := d.pull(ctx, p, &tallies[i]); err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	if err := context.Cause(ctx); err != nil {
		return measure{}, err
	}
	m := merge(tallies)
	m.Answered = d.settled.Load()
	m.Total = m.Answered
	m.Elapsed = span(d.last.Load())
	return m, nil
}

type drain struct {
	w       *workload
	begin   time.Time
	settled atomic.Int64
	last    atomic.Int64 // nanoseconds from begin to the latest report
}

func (d *drain) pull(ctx context.Context, p *puller, t *tally) error {
	if err := p.take(0); err != nil {
		return err
	}
	for d.settled.Load() < int64(d.w.Count) && ctx.Err() == nil {
		held := len(p.leases)
		if held == 0 {
			// The others hold what is left, or the server gives out none.
			if since := time.Since(d.begin) - time.Duration(d.last.Load()); since > patience {
				return fmt.Errorf("no job for %v, and %d of %d settled", patience, d.settled.Load(), d.w.Count)
			}
			if err := p.take(20 * time.Millisecond); err != nil {
				return err
			}
			continue
		}
		sent := time.Now()
		if err := p.settle(true); err != nil {
			return err
		}
		t.latency.record(time.Since(sent))
		d.last.Store(int64(time.Since(d.begin)))
		d.settled.Add(int64(held))
	}
	return ctx.Err()
}

// runLeases takes one lease at a time, Count of them, and times the lease
// alone; each job is then reported as succeeded. The first tenth warms up.
func runLeases(ctx context.Context, w workload) (measure, error) {
	p, err := newPuller(ctx, w.address(0), w.Worker)
	if err != nil {
		return measure{}, err
	}
	defer p.line.hangUp()
	p.Max = 1
	tallies := make([]tally, 1)
	t, warm, begin := &tallies[0], w.Count/10, time.Now()
	for i := range warm + w.Count {
		sent := time.Now()
		if err := p.take(0); err != nil {
			return measure{}, err
		}
		took := time.Since(sent)
		if len(p.leases) != 1 {
			return measure{}, fmt.Errorf("a lease of one job got %d", len(p.leases))
		}
		if err := p.succeed(); err != nil {
			return measure{}, err
		}
		if t.total++; i >= warm {
			t.answered++
			t.latency.record(took)
		}
	}
	m := merge(tallies)
	m.Elapsed = span(time.Since(begin))
	return m, ctx.Err()
}
