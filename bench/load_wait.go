package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// runStarts has one worker wait at the first node and submits one job after the
// other at the last, Count of them, with a pause of no fixed length between
// them. The latency is from a submit's sending to the lease of its job. The
// first tenth warms up.
func runStarts(ctx context.Context, w workload) (measure, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	made, err := w.Request.compile(w.farthest())
	if err != nil {
		return measure{}, err
	}
	line, err := dial(ctx, w.farthest())
	if err != nil {
		return measure{}, err
	}
	defer line.hangUp()
	working, quit := context.WithCancel(ctx) // ends the wait for a job that never comes
	defer quit()
	p, err := newPuller(working, w.address(0), w.Worker)
	if err != nil {
		return measure{}, err
	}
	defer p.line.hangUp()

	seen := make(chan leased, 1)
	var worked sync.WaitGroup
	worked.Go(func() {
		if err := attend(working, p, w.First, w.Count+w.Count/10, seen); err != nil {
			cancel(err)
		}
	})
	begin := time.Now()
	submits := requests{w: &w, template: made, tallies: make([]tally, 1)}
	err = submits.starts(ctx, line, seen)
	quit()
	worked.Wait()
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return measure{}, err
	}
	m := submits.measure()
	m.Elapsed = span(time.Since(begin))
	return m, nil
}

// leased is when a worker got a job, by its place among the load's own.
type leased struct {
	place int
	at    time.Time
}

// attend waits for jobs, reports each as succeeded, and then says when it came,
// until the context ends.
func attend(ctx context.Context, p *puller, first int64, total int, seen chan<- leased) error {
	var got []leased
	for ctx.Err() == nil {
		err := p.take(time.Duration(p.Wait))
		now := time.Now()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		got = got[:0]
		for _, l := range p.leases {
			place, err := ordinal(l, first, total)
			if err != nil {
				return err
			}
			got = append(got, leased{place, now})
		}
		if len(got) == 0 {
			continue
		}
		if err := p.settle(false); err != nil {
			return err
		}
		for _, l := range got {
			seen <- l
		}
	}
	return nil
}

func (r *requests) starts(ctx context.Context, line *wire, seen <-chan leased) error {
	t, buf := &r.tallies[0], []byte(nil)
	warm := r.w.Count / 10
	for n := range warm + r.w.Count {
		pause(time.Duration(r.w.Pause)/2 + rand.N(time.Duration(r.w.Pause)+1)) // the worker gets back to waiting
		if err := line.limit(time.Now().Add(patience)); err != nil {
			return err
		}
		sent := time.Now()
		var answer reply
		if answer, buf = r.send(line, t, buf, r.sent.Add(1)-1); answer.status != r.w.Expect {
			return nil // counted as a fault
		}
		select {
		case l := <-seen:
			if l.place != n {
				return fmt.Errorf("job %d was leased when it was job %d's turn", l.place, n)
			}
			if n >= warm {
				t.answered++
				t.latency.record(l.at.Sub(sent))
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(patience):
			return fmt.Errorf("a job was not leased within %v", patience)
		}
	}
	return nil
}

// runIdle keeps a worker waiting on each connection for as long as the load
// lasts. The first wait of each is cut to a random length, so that their later
// ones end evenly spread.
func runIdle(ctx context.Context, w workload) (measure, error) {
	lasts, cancel := context.WithTimeout(ctx, time.Duration(w.Warmup+w.Duration))
	defer cancel()
	tallies := make([]tally, w.Connections)
	begin := time.Now()
	var all sync.WaitGroup
	for i := range w.Connections {
		p, err := newPuller(lasts, w.address(i), w.Worker)
		if err != nil {
			return measure{}, err
		}
		all.Go(func() {
			defer p.line.hangUp()
			pause(time.Duration(w.Warmup) / 2 * time.Duration(i) / time.Duration(w.Connections)) // workers do not all start at once
			t, wait := &tallies[i], rand.N(time.Duration(w.Worker.Wait))+time.Millisecond
			for lasts.Err() == nil {
				err := p.take(wait.Round(time.Millisecond))
				switch wait = time.Duration(w.Worker.Wait); {
				case lasts.Err() != nil:
					t.answered++ // it waited to the end
				case err != nil:
					t.fail(err.Error())
					return
				case len(p.leases) > 0:
					t.fail("a lease where nothing was queued")
					return
				default:
					t.total++
				}
			}
		})
	}
	all.Wait()
	m := merge(tallies)
	m.Elapsed = span(time.Since(begin))
	return m, ctx.Err()
}
