package queue

import (
	"context"
	"sync"
	"time"

	"github.com/tallygate/tallygate"
)

const (
	sweepBatch      = 500
	removeBatch     = 50          // jobs, which may be large
	slowPoll        = time.Second // for what frees a job without a wake-up of its own
	upkeepEvery     = time.Minute // retention and old idempotency records
	idempotencyKept = 24 * time.Hour
)

// Run does what the clock asks for until the context ends: jobs whose time has come, leases that were lost, time
// limits, retention.
func (s *Service) Run(ctx context.Context) {
	var tasks sync.WaitGroup
	walk := retention{}
	tasks.Go(func() { s.every(ctx, s.opt.Every, s.Sweep) })
	tasks.Go(func() { s.every(ctx, upkeepEvery, func(ctx context.Context) error { return s.upkeep(ctx, walk) }) })
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

// Sweep does what is due now.
func (s *Service) Sweep(ctx context.Context) error {
	for {
		due, err := s.due(ctx)
		if err != nil || !due {
			return err
		}
		n := 0
		err = s.update(ctx, func(tx tallygate.Tx, did *change) error {
			n, err = s.sweep(tx, did)
			return err
		})
		if err != nil || n < sweepBatch {
			return err
		}
	}
}

// due looks, without writing, whether there is anything to do.
func (s *Service) due(ctx context.Context) (due bool, err error) {
	err = s.store.View(ctx, func(tx tallygate.Tx) error {
		next, err := tx.NextDue()
		if err != nil {
			return err
		}
		if due = !next.IsZero() && !next.After(tx.Now()); due {
			return nil
		}
		overdue, err := tx.OverdueItems(tx.Now(), 1)
		due = len(overdue) > 0
		return err
	})
	return due, err
}

func (s *Service) sweep(tx tallygate.Tx, did *change) (int, error) {
	items, err := tx.DueItems(tx.Now(), sweepBatch)
	if err != nil {
		return 0, err
	}
	overdue, err := tx.OverdueItems(tx.Now(), sweepBatch-len(items))
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

// retention remembers how far each type's ended jobs have been walked.
type retention map[string]int64

// upkeep removes what is older than its type keeps it (a deleted type as long as the default), and old idempotency records, in bounded batches.
func (s *Service) upkeep(ctx context.Context, walk retention) error {
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
	for jobType, retention := range kept {
		if err := s.removeEnded(ctx, jobType, retention, walk); err != nil {
			return err
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
	return nil
}

func (s *Service) removeEnded(ctx context.Context, jobType string, kept time.Duration, walk retention) error {
	for ctx.Err() == nil {
		var ended []tallygate.EndedJob
		last := walk[jobType]
		err := s.store.View(ctx, func(tx tallygate.Tx) (err error) {
			ended, last, err = tx.EndedJobs(jobType, tx.Now().Add(-kept), walk[jobType], removeBatch)
			return err
		})
		if err != nil {
			return err
		}
		if len(ended) > 0 {
			err = s.store.Update(ctx, func(tx tallygate.Tx) error {
				for _, j := range ended {
					if err := tx.DeleteJob(j.ClientID, j.ID); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		if last == walk[jobType] {
			return nil
		}
		walk[jobType] = last
	}
	return ctx.Err()
}
