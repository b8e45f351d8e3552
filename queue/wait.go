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
	waiting map[string]map[*sleeper]struct{}
}

// sleeper is one lease that waits.
type sleeper struct {
	types []string
	woken chan struct{} // holds one wake-up
}

// add registers a lease before it looks, so that nothing that comes after the look is missed.
func (w *wakeups) add(types []string) *sleeper {
	z := &sleeper{types, make(chan struct{}, 1)}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting == nil {
		w.waiting = map[string]map[*sleeper]struct{}{}
	}
	for _, t := range types {
		if w.waiting[t] == nil {
			w.waiting[t] = map[*sleeper]struct{}{}
		}
		w.waiting[t][z] = struct{}{}
	}
	return z
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
		delete(w.waiting[t], z)
		if len(w.waiting[t]) == 0 {
			delete(w.waiting, t)
		}
	}
}

// wake wakes at most n leases that wait for the type.
func (w *wakeups) wake(jobType string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for z := range w.waiting[jobType] {
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
