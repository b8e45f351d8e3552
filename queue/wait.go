package queue

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tallygate/tallygate"
)

// wakeups lets leases wait for items of their types.
type wakeups struct {
	mu      sync.Mutex
	waiting map[string]*crowd // by type; none where nobody waits
}

// crowd is who waits for a type. It knows whether a look would be in vain: many workers that wait, and come back when
// their waits are over, would otherwise cost a transaction each time.
type crowd struct {
	sleepers map[*sleeper]struct{}
	wakes    int
	vain     time.Time // when a look began that found nothing, if nobody has been woken since
}

// sleeper is one lease that waits.
type sleeper struct {
	types []string
	wakes []int // of each type, when it came
	came  time.Time
	woken chan struct{} // holds one wake-up
}

// add registers a lease before it looks, so that nothing that comes after the look is missed. It reports whether the look
// may be spared: others wait for each of the types, one of them has just looked in vain, and whatever has come since
// wakes one who waits.
func (w *wakeups) add(types []string) (z *sleeper, spared bool) {
	z = &sleeper{types: types, wakes: make([]int, len(types)), came: time.Now(), woken: make(chan struct{}, 1)}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting == nil {
		w.waiting = map[string]*crowd{}
	}
	spared = true
	for i, t := range types {
		c := w.waiting[t]
		if c == nil {
			c = &crowd{sleepers: map[*sleeper]struct{}{}}
			w.waiting[t] = c
		}
		c.sleepers[z] = struct{}{}
		z.wakes[i] = c.wakes
		spared = spared && !c.vain.IsZero() && z.came.Sub(c.vain) < slowPoll
	}
	return z, spared
}

// foundNothing notes that the lease's look was in vain, for the types that nobody was woken for since it came.
func (w *wakeups) foundNothing(z *sleeper) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, t := range z.types {
		if c := w.waiting[t]; c != nil && c.wakes == z.wakes[i] {
			if _, waits := c.sleepers[z]; waits {
				c.vain = z.came
			}
		}
	}
}

// remove takes a lease out and passes a wake-up on that came after its last look.
func (w *wakeups) remove(z *sleeper) {
	w.mu.Lock()
	w.forget(z)
	w.mu.Unlock()
	select {
	case <-z.woken:
		for _, t := range z.types {
			w.wake(t, 1)
		}
	default:
	}
}

func (w *wakeups) forget(z *sleeper) {
	for _, t := range z.types {
		c := w.waiting[t]
		if c == nil {
			continue
		}
		delete(c.sleepers, z)
		if len(c.sleepers) == 0 {
			delete(w.waiting, t)
		}
	}
}

// wake wakes at most n leases that wait for the type.
func (w *wakeups) wake(jobType string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.waiting[jobType]
	if c == nil {
		return
	}
	c.wakes++
	c.vain = time.Time{}
	for z := range c.sleepers {
		if n--; n < 0 {
			return
		}
		w.forget(z)
		z.woken <- struct{}{}
	}
}

// wakeAll wakes one lease for each of the types.
func (w *wakeups) wakeAll(types []string) {
	for _, t := range types {
		w.wake(t, 1)
	}
}

// types lists those that somebody waits for.
func (w *wakeups) types() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	types := make([]string, 0, len(w.waiting))
	for t := range w.waiting {
		types = append(types, t)
	}
	return types
}

// watchers tells who waits for a job that it changed.
type watchers struct {
	mu    sync.Mutex
	byJob map[tallygate.JobID]map[chan struct{}]struct{}
}

// watch returns a channel that holds a value after a change, and what ends the watch.
func (w *watchers) watch(id tallygate.JobID) (changed <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byJob == nil {
		w.byJob = map[tallygate.JobID]map[chan struct{}]struct{}{}
	}
	if w.byJob[id] == nil {
		w.byJob[id] = map[chan struct{}]struct{}{}
	}
	w.byJob[id][c] = struct{}{}
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.byJob[id], c)
		if len(w.byJob[id]) == 0 {
			delete(w.byJob, id)
		}
	}
}

func (w *watchers) notify(ids []tallygate.JobID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.byJob) == 0 {
		return
	}
	for _, id := range ids {
		for c := range w.byJob[id] {
			select {
			case c <- struct{}{}:
			default: // it holds one already
			}
		}
	}
}

// ids lists the jobs that somebody watches.
func (w *watchers) ids() []tallygate.JobID {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Keys(w.byJob))
}

// Watch returns a channel that holds a value after the job changed, and a function that ends the watch.
func (s *Service) Watch(id tallygate.JobID) (changed <-chan struct{}, stop func()) {
	return s.jobs.watch(id)
}

// Stopping is closed when waits are to return early.
func (s *Service) Stopping() <-chan struct{} { return s.stopping }

// Wait returns the job once it has ended, or as it is after the time, when the caller leaves or the server drains.
func (s *Service) Wait(ctx context.Context, id tallygate.JobID, most time.Duration) (*tallygate.Job, error) {
	changed, stop := s.jobs.watch(id)
	defer stop()
	timer := time.NewTimer(most)
	defer timer.Stop()
	for {
		job, err := s.Job(ctx, id)
		if err != nil || job.Status().Ended() {
			return job, err
		}
		select {
		case <-changed:
		case <-timer.C:
			return job, nil
		case <-ctx.Done():
			return job, nil
		case <-s.stopping:
			return job, nil
		}
	}
}
