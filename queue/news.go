package queue

import (
	"context"
	"time"

	"github.com/tallygate/tallygate"
)

const (
	leastCatchUp = 10 * time.Millisecond // between two looks at what other nodes did
	restAfter    = 4                     // times as long as a look took is the pause after it, up to slowPoll
)

// hear notes that other nodes may have changed something. It does not block.
func (s *Service) hear() {
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// follow looks for what other nodes did whenever there are news of it, and makes it known to those who wait here. News
// carry no payload and may be lost: what counts is what the store holds, and a look that finds nothing changes nothing.
// However many news there are, looking takes a fifth of the time at most, but that the next look comes a second after one
// that took long: the store may have been away.
func (s *Service) follow(ctx context.Context) {
	known := others{events: map[tallygate.JobID]int64{}}
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.news:
		}
		began := time.Now()
		err := s.catchUp(ctx, &known)
		if err != nil && !failing && ctx.Err() == nil {
			s.opt.Log.Error("look for what other nodes did", "error", err)
		}
		failing = err != nil
		rest := time.NewTimer(min(slowPoll, max(leastCatchUp, restAfter*time.Since(began))))
		select {
		case <-ctx.Done():
		case <-rest.C:
		}
		rest.Stop()
	}
}

// others is what was last seen of what other nodes do.
type others struct {
	revision int64
	events   map[tallygate.JobID]int64 // the last event of each job that is watched
}

// catchUp wakes who waits for what has come about.
func (s *Service) catchUp(ctx context.Context, known *others) error {
	waiting := s.ready.types()
	ready := map[string]int64{}
	err := s.store.View(ctx, func(tx tallygate.Tx) error {
		clear(ready)
		revision, err := tx.Revision()
		if err != nil {
			return err
		}
		if revision != known.revision {
			known.revision = revision
			s.types.forgetAll() // one may have been defined anew
		}
		for _, jobType := range waiting {
			lanes, err := tx.ActiveLanes(jobType)
			if err != nil {
				return err
			}
			for _, lane := range lanes {
				ready[jobType] += lane.Ready
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for jobType, n := range ready {
		s.ready.wake(jobType, int(min(n, maxWoken)))
	}
	return s.watched(ctx, known)
}

// maxWoken bounds how many leases one look wakes: who gets something wakes the next.
const maxWoken = 4

// watched notifies the watchers of jobs that have a new event.
func (s *Service) watched(ctx context.Context, known *others) error {
	ids := s.jobs.ids()
	if len(ids) == 0 {
		clear(known.events)
		return nil
	}
	last, err := s.opt.Shared.LastEvents(ctx, ids)
	if err != nil {
		return err
	}
	var changed []tallygate.JobID
	for _, id := range ids { // also one that retention has taken away
		if number, seen := known.events[id]; !seen || number != last[id] {
			changed = append(changed, id)
		}
	}
	known.events = last
	s.jobs.notify(changed)
	return nil
}
