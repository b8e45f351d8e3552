package queue

import (
	"context"
	"iter"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/tallygate/tallygate"
)

const (
	sweepBatch      = 500
	removeBatch     = 200         // jobs
	removeBytes     = 4 << 20     // of their inputs, results and events, whose room takes time to give back
	slowPoll        = time.Second // for what frees a job without a wake-up of its own
	deputyAfter     = time.Second // that something may be due before any node does it
	upkeepEvery     = time.Minute // retention and old idempotency records
	walkAgainEvery  = 60          // upkeeps
	walkAgainBatch  = 100         // steps of a second walk in one upkeep
	maxEmpty        = 50_000      // lanes looked at in one upkeep
	idempotencyKept = 24 * time.Hour
)

// Run does what the clock asks for until the context ends: jobs whose time has come, leases that were lost, time
// limits, retention.
func (s *Service) Run(ctx context.Context) {
	var tasks sync.WaitGroup
	walk := &retention{walked: map[string]int64{}, again: map[string]int64{}}
	tasks.Go(func() { s.every(ctx, s.opt.Every, s.sweepAsLeader) })
	tasks.Go(func() {
		s.every(ctx, upkeepEvery, func(ctx context.Context) error {
			if !s.leads() {
				return nil
			}
			return s.upkeep(ctx, walk)
		})
	})
	if s.opt.Shared != nil {
		tasks.Go(func() { s.every(ctx, slowPoll, s.sweepAsDeputy) })
		tasks.Go(func() { s.follow(ctx) })
	}
	s.every(ctx, slowPoll, func(context.Context) error {
		s.ready.wakeAll(s.ready.types())
		return nil
	})
	tasks.Wait()
}

// every does a task again and again until the context ends.
func (s *Service) every(ctx context.Context, pause time.Duration, task func(context.Context) error) {
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := task(ctx); err != nil && ctx.Err() == nil {
			s.opt.Log.Error("the queue's clockwork", "error", err)
		}
	}
}

// leads reports whether upkeep is this node's to do.
func (s *Service) leads() bool { return s.opt.Shared == nil || s.opt.Shared.Leads() }

func (s *Service) sweepAsLeader(ctx context.Context) error {
	if !s.leads() {
		return nil
	}
	return s.Sweep(ctx)
}

// sweepAsDeputy does what has been due so long that the leader must be gone, or stand still.
func (s *Service) sweepAsDeputy(ctx context.Context) error {
	if s.leads() {
		return nil
	}
	return s.sweepDue(ctx, deputyAfter)
}

// Sweep does what is due now.
func (s *Service) Sweep(ctx context.Context) error { return s.sweepDue(ctx, 0) }

// sweepDue does what is due if anything has been for that long.
func (s *Service) sweepDue(ctx context.Context, late time.Duration) error {
	for {
		due, now, err := s.due(ctx, late)
		if err == nil && !due {
			s.swept.done(now)
		}
		if err != nil || !due {
			return err
		}
		var n int
		err = s.update(ctx, func(tx tallygate.Tx, did *change) error {
			now = tx.Now()
			n, err = s.sweep(tx, did)
			return err
		})
		if err != nil {
			return err
		}
		if n < sweepBatch {
			s.swept.done(now)
			return nil
		}
	}
}

// due looks, without writing, whether there is anything to do, and tells up to when it has seen all that is due.
func (s *Service) due(ctx context.Context, late time.Duration) (due bool, to time.Time, err error) {
	err = s.store.View(ctx, func(tx tallygate.Tx) error {
		from := s.swept.from(tx.Now())
		to = tx.Now().Add(-late)
		items, err := tx.DueItems(from, to, 1)
		if err == nil && len(items) == 0 {
			items, err = tx.OverdueItems(from, to, 1)
		}
		if due = len(items) > 0; err != nil || due {
			return err
		}
		seen, err := tx.Seen()
		if seen.Before(to) {
			to = seen
		}
		return err
	})
	return due, to, err
}

// swept remembers up to when all that was due has been done, so that a sweep begins there: what was done long ago may
// lie in a database's index for a while. What is decided later is due later than that. Now and then a sweep begins a bit
// before, for the clocks of nodes that are set back a little, and rarely at the beginning, for whatever else there is.
type swept struct {
	mu    sync.Mutex
	until time.Time
	back  time.Time // when a sweep last began before until
	whole time.Time // when one last began at the beginning
}

const (
	sweptBack  = 10 * time.Minute
	setBack    = 2 * time.Minute // more than a node's own time lags behind a database's clock that was set back
	sweptWhole = time.Hour
)

func (w *swept) from(now time.Time) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case now.Sub(w.whole).Abs() >= sweptWhole || w.until.After(now):
		w.until, w.back, w.whole = time.Time{}, now, now
	case !w.until.IsZero() && now.Sub(w.back).Abs() >= sweptBack:
		w.until, w.back = w.until.Add(-setBack), now
	}
	return w.until
}

func (w *swept) done(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.until = now
}

func (s *Service) sweep(tx tallygate.Tx, did *change) (int, error) {
	from := s.swept.from(tx.Now())
	items, err := tx.DueItems(from, tx.Now(), sweepBatch)
	if err != nil {
		return 0, err
	}
	overdue, err := tx.OverdueItems(from, tx.Now(), sweepBatch-len(items))
	if err != nil {
		return 0, err
	}
	for _, q := range append(items, overdue...) {
		if err := s.expire(tx, did, q); err != nil {
			return 0, err
		}
	}
	return len(items) + len(overdue), nil
}

// expire decides what the end of an item's time means.
func (s *Service) expire(tx tallygate.Tx, did *change, q *tallygate.QueueItem) error {
	now := tx.Now()
	leased := q.State == tallygate.ItemLeased
	switch {
	case leased && q.CancelRequested:
		q.Token = "" // its holder did not settle anything
		return s.cancelled(tx, did, q, "", false)
	case !q.Deadline().IsZero() && !now.Before(q.Deadline()):
		return s.end(tx, did, q, "", &tallygate.Outcome{Status: tallygate.JobFailed, Error: &tallygate.JobError{
			Code: tallygate.ProcessingFailed, Message: "the job's time limit of " + q.TimeLimit.String() + " has passed" + lastWords(q),
		}})
	case leased && !now.Before(q.AttemptDeadline):
		q.Token = ""
		return s.failed(tx, did, q, tallygate.JobError{
			Code: tallygate.ProcessingFailed, Message: "the attempt took longer than its time limit",
		}, false, 0)
	case leased:
		return s.lost(tx, did, q)
	case q.State == tallygate.ItemWaiting:
		return s.ripen(tx, did, q)
	}
	return nil // overdue by less than a microsecond: the next sweep ends it
}

func lastWords(q *tallygate.QueueItem) string {
	if q.LastError == nil {
		return ""
	}
	return "; the last attempt said: " + q.LastError.Message
}

// lost puts a job back whose worker fell silent. Losses count apart from failures.
func (s *Service) lost(tx tallygate.Tx, did *change, q *tallygate.QueueItem) error {
	q.Losses++
	if q.Losses >= s.opt.MaxLosses {
		q.Token = ""
		return s.end(tx, did, q, "", &tallygate.Outcome{Status: tallygate.JobFailed, Error: &tallygate.JobError{
			Code: tallygate.ProcessingFailed, Message: "its workers were lost too often" + lastWords(q),
		}})
	}
	return s.requeue(tx, did, q, tx.Now(), true, details("reason", "lost"))
}

// ripen makes a waiting item ready.
func (s *Service) ripen(tx tallygate.Tx, did *change, q *tallygate.QueueItem) error {
	q.State, q.At = tallygate.ItemReady, tx.Now()
	if err := tx.SaveItem(q); err != nil {
		return err
	}
	return moveLane(tx, did, q, 1)
}

// retention remembers how far each type's ended jobs have been walked. A second walk goes over them from the start, a bit
// at a time, for what the first one passed by: it was written while the clock was ahead, and its time comes later.
type retention struct {
	upkeeps int
	walked  map[string]int64
	again   map[string]int64 // second walks that go on
	empty   map[tallygate.LaneKey]bool
}

// upkeep removes what is older than its type keeps it (a deleted type as long as the default), old idempotency records,
// and lanes that have been empty since the last upkeep, in bounded batches.
func (s *Service) upkeep(ctx context.Context, walk *retention) error {
	kept := map[string]time.Duration{}
	err := s.store.View(ctx, func(tx tallygate.Tx) error {
		types, err := tx.JobTypes()
		if err != nil {
			return err
		}
		gone, err := tx.GoneTypes()
		for _, name := range gone {
			kept[name] = Defaults().Retention
		}
		for _, t := range types {
			kept[t.Name] = t.Retention
		}
		return err
	})
	if err != nil {
		return err
	}
	walk.upkeeps++
	for jobType, retention := range kept {
		if _, err := s.removeEnded(ctx, jobType, retention, walk.walked, math.MaxInt); err != nil {
			return err
		}
		if _, goesOn := walk.again[jobType]; !goesOn && walk.upkeeps%walkAgainEvery != 0 {
			continue
		}
		over, err := s.removeEnded(ctx, jobType, retention, walk.again, walkAgainBatch)
		if err != nil {
			return err
		}
		if over {
			delete(walk.again, jobType)
		}
	}
	for n := sweepBatch; n == sweepBatch; {
		err := s.store.Update(ctx, func(tx tallygate.Tx) (err error) {
			n, err = tx.DeleteIdempotency(tx.Now().Add(-idempotencyKept), sweepBatch)
			return err
		})
		if err != nil {
			return err
		}
	}
	return s.removeEmpty(ctx, walk)
}

// removeEmpty removes the lanes that were empty at the last upkeep and are so now.
func (s *Service) removeEmpty(ctx context.Context, walk *retention) error {
	var empty []tallygate.LaneKey
	err := s.store.View(ctx, func(tx tallygate.Tx) (err error) {
		empty, err = tx.EmptyLanes(maxEmpty)
		return err
	})
	if err != nil {
		return err
	}
	before := walk.empty
	walk.empty = map[tallygate.LaneKey]bool{}
	var idle []tallygate.LaneKey
	for _, lane := range empty {
		if before[lane] {
			idle = append(idle, lane)
		} else {
			walk.empty[lane] = true
		}
	}
	for some := range slices.Chunk(idle, sweepBatch) {
		err := s.store.Update(ctx, func(tx tallygate.Tx) error {
			for _, lane := range some {
				if err := tx.RemoveLane(lane); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// removeEnded walks on over a type's ended jobs, at most so many steps, and removes those whose time has come. It reports
// whether the walk has come to its end.
func (s *Service) removeEnded(ctx context.Context, jobType string, kept time.Duration, walk map[string]int64, steps int) (over bool, err error) {
	for range steps {
		var ended []tallygate.EndedJob
		last := walk[jobType]
		err := s.store.View(ctx, func(tx tallygate.Tx) (err error) {
			ended, last, err = tx.EndedJobs(jobType, tx.Now().Add(-kept), walk[jobType], removeBatch)
			return err
		})
		if err != nil {
			return false, err
		}
		for some := range portions(ended) {
			err = s.store.Update(ctx, func(tx tallygate.Tx) error {
				for _, j := range some {
					if err := tx.DeleteJob(j.ClientID, j.ID); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return false, err
			}
		}
		if last == walk[jobType] {
			return true, nil
		}
		walk[jobType] = last
	}
	return false, nil
}

// portions cuts ended jobs into what one transaction removes: removeBytes at most, or one that is larger.
func portions(ended []tallygate.EndedJob) iter.Seq[[]tallygate.EndedJob] {
	return func(yield func([]tallygate.EndedJob) bool) {
		for len(ended) > 0 {
			n, bytes := 1, ended[0].Bytes
			for n < len(ended) && bytes+ended[n].Bytes <= removeBytes {
				bytes += ended[n].Bytes
				n++
			}
			if !yield(ended[:n]) {
				return
			}
			ended = ended[n:]
		}
	}
}
