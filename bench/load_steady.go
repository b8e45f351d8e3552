package bench

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	steadyParts   = 10
	steadyBacklog = 5_000 // jobs that wait before the submits pause: the queue stays short, whichever side is faster
)

// part is one of the stretches that a steady load's window is cut into.
type part struct {
	Settled int64   `json:"settled"`
	Latency latency `json:"latency"` // of the reports that settled them
}

// runSteady submits over the connections and settles what comes by Count
// workers, both as fast as they are answered, for as long as the load lasts,
// and then settles the rest. It lasts long enough for a server to be overloaded
// for a moment: a 503 is tried again, and counted.
func runSteady(ctx context.Context, w workload) (measure, error) {
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
	load := steady{requests: requests{w: &w, template: made, tallies: make([]tally, len(wires))}, parts: make([][steadyParts]stretch, w.Count)}
	load.begin = time.Now()
	var workers, submitters sync.WaitGroup
	for i := range w.Count {
		p, err := newPuller(ctx, w.address(i), w.Worker)
		if err != nil {
			return measure{}, err
		}
		p.Name, p.refused = fmt.Sprintf("%s-%d", w.Worker.Name, i+1), &load.refused
		workers.Go(func() {
			defer p.line.hangUp()
			if err := load.work(p, &load.parts[i]); err != nil {
				cancel(err)
			}
		})
	}
	for i, line := range wires {
		submitters.Go(func() {
			defer line.hangUp()
			load.submit(ctx, line, &load.tallies[i])
		})
	}
	submitters.Wait()
	load.submitted.Store(true)
	workers.Wait()
	if err := context.Cause(ctx); err != nil {
		return measure{}, err
	}
	return load.measured(), nil
}

type steady struct {
	requests
	begin     time.Time
	accepted  atomic.Int64
	settled   atomic.Int64
	refused   atomic.Int64 // reports and leases
	submitted atomic.Bool  // all that there will be
	parts     [][steadyParts]stretch
}

// stretch is what one worker did in a part.
type stretch struct {
	settled int64
	latency histogram
}

func (s *steady) submit(ctx context.Context, line *wire, t *tally) {
	buf := make([]byte, 0, 4096)
	for time.Since(s.begin) < time.Duration(s.w.Warmup+s.w.Duration) && t.faults < faultLimit && ctx.Err() == nil {
		if s.accepted.Load()-s.settled.Load() > steadyBacklog {
			pause(time.Millisecond)
			continue
		}
		if err := line.limit(time.Now().Add(patience)); err != nil {
			t.fail(err.Error())
			return
		}
		var answer reply
		switch answer, buf = s.send(line, t, buf, s.sent.Add(1)-1); answer.status {
		case http.StatusOK:
			s.accepted.Add(1)
		case http.StatusServiceUnavailable:
			pause(refusedPause)
		}
	}
}

// work settles what there is until nothing more can come.
func (s *steady) work(p *puller, parts *[steadyParts]stretch) error {
	if err := p.take(0); err != nil {
		return err
	}
	var idle time.Time // since when
	for {
		held := len(p.leases)
		if held == 0 {
			if s.submitted.Load() && s.settled.Load() >= s.accepted.Load() {
				return nil
			}
			if idle.IsZero() {
				idle = time.Now()
			} else if s.submitted.Load() && time.Since(idle) > patience {
				return fmt.Errorf("no job for %v, and %d of %d settled", patience, s.settled.Load(), s.accepted.Load())
			}
			if err := p.take(100 * time.Millisecond); err != nil {
				return err
			}
			continue
		}
		idle = time.Time{}
		sent := time.Now()
		if err := p.settle(true); err != nil {
			return err
		}
		s.settled.Add(int64(held))
		if at := time.Since(s.begin) - time.Duration(s.w.Warmup); at >= 0 && at < time.Duration(s.w.Duration) {
			part := &parts[int(at*steadyParts/time.Duration(s.w.Duration))]
			part.settled += int64(held)
			part.latency.record(time.Since(sent))
		}
	}
}

func (s *steady) measured() measure {
	m := s.measure()
	m.Elapsed = s.w.Duration
	m.Refused = s.refused.Load() + m.Statuses[http.StatusServiceUnavailable]
	var whole histogram
	for n := range steadyParts {
		var sum stretch
		for i := range s.parts {
			sum.settled += s.parts[i][n].settled
			sum.latency.merge(&s.parts[i][n].latency)
		}
		whole.merge(&sum.latency)
		m.Answered += sum.settled
		m.Parts = append(m.Parts, part{sum.settled, sum.latency.summary()})
	}
	m.Latency = whole.summary()
	return m
}
