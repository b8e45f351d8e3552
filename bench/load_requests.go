package bench

import (
	"context"
	"sync/atomic"
	"time"
)

// patience is how long an answer may take before its connection counts it as
// a fault.
const patience = 60 * time.Second

func runRequests(ctx context.Context, w workload) (measure, error) {
	made, err := w.Request.compile(w.address(0))
	if err != nil {
		return measure{}, err
	}
	wires, err := dialAll(ctx, &w)
	if err != nil {
		return measure{}, err
	}
	r := requests{w: &w, template: made}
	if w.Rate > 0 {
		r.open(ctx, time.Now(), wires)
	} else {
		r.closed(wires)
	}
	return r.measure(), ctx.Err()
}

func (r *requests) measure() measure {
	m := merge(r.tallies)
	m.Sent = r.sent.Load()
	m.Elapsed += r.w.Duration
	return m
}

// requests is one load of the same request.
type requests struct {
	w        *workload
	template template
	sent     atomic.Int64
	tallies  []tally
}

// closed: each connection sends its next request when it has its answer. A
// goroutine for each costs little more than its system calls; two threads that
// poll all connections were measured and took no less.
func (r *requests) closed(wires []*wire) {
	r.tallies = make([]tally, len(wires))
	begin := time.Now()
	last := begin.Add(time.Duration(r.w.Warmup+r.w.Duration) + patience)
	together(wires, func(i int, line *wire) {
		t, buf := &r.tallies[i], make([]byte, 0, 4096)
		if err := line.limit(last); err != nil {
			t.fail(err.Error())
			return
		}
		for sent := time.Since(begin); !t.over(r.w, sent); sent = time.Since(begin) {
			var answer reply
			if answer, buf = r.send(line, t, buf, r.sent.Add(1)-1); answer.status != r.w.Expect {
				continue
			}
			t.timed(r.w, sent, time.Since(begin))
		}
	})
}

// open: requests leave at a steady rate, whichever connection is free. The
// latency counts from when a request was to be sent, so that a server that
// stalls cannot hide the requests that waited for it (what Gil Tene calls
// coordinated omission).
func (r *requests) open(ctx context.Context, begin time.Time, wires []*wire) {
	r.tallies = make([]tally, len(wires))
	tickets := pace(ctx, begin, r.w)
	together(wires, func(i int, line *wire) {
		t, buf := &r.tallies[i], make([]byte, 0, 4096)
		if err := line.limit(begin.Add(time.Duration(r.w.Warmup+r.w.Duration) + patience)); err != nil {
			t.fail(err.Error())
			return
		}
		for n := range tickets {
			if t.faults >= faultLimit {
				continue // the others' tickets must not wait for this one
			}
			var answer reply
			r.sent.Add(1)
			due := r.w.due(n)
			if answer, buf = r.send(line, t, buf, int64(n)); answer.status == r.w.Expect && due >= time.Duration(r.w.Warmup) {
				t.answered++
				t.latency.record(time.Since(begin) - due)
			}
		}
	})
}

// send sends the n-th request, which it writes over buf.
func (r *requests) send(line *wire, t *tally, buf []byte, n int64) (reply, []byte) {
	buf = r.template.appendTo(buf[:0], r.w.First+n, r.w.Keys[n%int64(len(r.w.Keys))])
	answer, err := line.exchange(buf)
	if err != nil {
		t.fail(err.Error())
		return reply{}, buf
	}
	t.count(r.w, answer)
	return answer, buf
}

// pace gives a ticket whenever a request is due, warm-up included: its number.
// Tickets that nobody takes in time wait, none is left out.
func pace(ctx context.Context, begin time.Time, w *workload) <-chan int {
	total := w.tickets()
	tickets := make(chan int, total)
	go func() {
		defer close(tickets)
		for i := range total {
			if wait := w.due(i) - time.Since(begin); wait > 0 {
				pause(wait)
			}
			if ctx.Err() != nil {
				return
			}
			tickets <- i
		}
	}()
	return tickets
}

// tickets is how many requests a steady load sends.
func (w *workload) tickets() int {
	return int(w.Rate * time.Duration(w.Warmup+w.Duration).Seconds())
}

// due is when the i-th request of a steady load is to be sent.
func (w *workload) due(i int) time.Duration {
	return time.Duration(float64(i) / w.Rate * float64(time.Second))
}
