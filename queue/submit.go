package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/ledger"
)

// Submission is one job as its client asks for it.
type Submission struct {
	Type      string
	Input     []byte // JSON
	Priority  int64
	RunAt     time.Time        // zero: now
	TimeLimit time.Duration    // zero: the type's
	MaxCost   *tallygate.Money // nil: whatever the quote is
	Metadata  []byte           // a JSON object
}

// Submit asks for jobs, all or none.
type Submit struct {
	Client      *tallygate.Client // as the call was admitted; the transaction reads it anew
	Actor       tallygate.KeyID
	Idempotency tallygate.Idempotency // no key: no record
	Admit       func() error          // has the last word before the jobs are looked at; nil: nothing to say, which is cheaper. A replay needs no leave
	Jobs        []Submission
	Batch       bool // name faults by their place in the batch
}

// errStale has a submit prepared again: a job type changed between the look and the transaction.
var errStale = errors.New("a job type has changed")

// Submit accepts the jobs and returns them once they are on disk. The same Idempotency-Key returns the first call's
// jobs as they are now, with replayed true. A refusal accepts none.
func (s *Service) Submit(ctx context.Context, sub Submit) (jobs []*tallygate.Job, replayed bool, err error) {
	if sub.Admit != nil { // a replay takes nothing from a limit
		if jobs, replayed, err = s.replay(ctx, sub.Idempotency); replayed || err != nil {
			return jobs, replayed, err
		}
		if err := sub.Admit(); err != nil {
			return nil, false, err
		}
	}
	for range 3 {
		types, err := s.prepare(ctx, sub)
		if err != nil {
			return s.replayOr(ctx, sub, err)
		}
		jobs, replayed, err = s.accept(ctx, sub, types)
		switch {
		case errors.Is(err, errStale):
		case tallygate.IsCode(err, tallygate.DatabaseError), tallygate.IsCode(err, tallygate.ServiceUnavailable):
			return s.replayOr(ctx, sub, err)
		default:
			return jobs, replayed, err
		}
	}
	return nil, false, &tallygate.Error{Code: tallygate.ServiceUnavailable, Detail: "the job type is being changed; retry after a delay", RetryAfter: time.Second}
}

const lastLook = time.Second // for the record of a submit that failed, whatever is left of its own time

// replayOr refuses a submit that did not come as far as its record, unless the record is there: what was accepted is
// replayed whatever has become of its type, price or limits since, and while nothing can be written.
func (s *Service) replayOr(ctx context.Context, sub Submit, refusal error) (jobs []*tallygate.Job, replayed bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLook)
	defer cancel()
	jobs, replayed, err = s.replay(ctx, sub.Idempotency)
	if replayed || tallygate.IsCode(err, tallygate.InvalidParameter) {
		return jobs, replayed, err
	}
	return nil, false, refusal
}

// errFresh tells that no record of a key was found.
var errFresh = errors.New("the key is fresh")

// replay returns the jobs of an earlier submit under the same Idempotency-Key as they are now; replayed is false where
// there was none.
func (s *Service) replay(ctx context.Context, asked tallygate.Idempotency) (jobs []*tallygate.Job, replayed bool, err error) {
	if asked.Key == "" {
		return nil, false, nil
	}
	var record *tallygate.Idempotency
	err = s.store.View(ctx, func(tx tallygate.Tx) error {
		record, _, err = tallygate.Remember(tx, asked, func() ([]byte, []tallygate.JobID, error) { return nil, nil, errFresh })
		return err
	})
	if errors.Is(err, errFresh) {
		return nil, false, nil
	}
	if err == nil {
		err = s.confirm(ctx)
	}
	if err != nil {
		return nil, false, err
	}
	jobs, err = s.replayed(ctx, record)
	return jobs, true, err
}

// confirm returns once what was read before is as safe as what is acknowledged. A database whose commits wait for a
// standby shows one that has given up waiting; a transaction after it waits for both.
func (s *Service) confirm(ctx context.Context) error {
	if s.opt.Shared == nil {
		return nil // what a file shows is on its disk
	}
	return s.store.Update(ctx, func(tallygate.Tx) error { return nil })
}

// replayed reads the jobs of a record.
func (s *Service) replayed(ctx context.Context, record *tallygate.Idempotency) ([]*tallygate.Job, error) {
	jobs, err := s.JobsByID(ctx, record.Jobs)
	if err == nil && len(jobs) < len(record.Jobs) {
		err = tallygate.Errorf(tallygate.JobNotFound, "the job of this %s has been removed since", tallygate.IdempotencyHeader)
	}
	return jobs, err
}

// prepare checks the request outside the transaction and returns each job's type, nil where there is none. Nobody is
// refused for what another node has changed since this one looked.
func (s *Service) prepare(ctx context.Context, sub Submit) ([]*tallygate.JobType, error) {
	types, err := s.check(ctx, sub)
	if err != nil && s.outdated(ctx, types) {
		types, err = s.check(ctx, sub)
	}
	return types, err
}

// check is prepare by the types as they are known here.
func (s *Service) check(ctx context.Context, sub Submit) ([]*tallygate.JobType, error) {
	types := make([]*tallygate.JobType, len(sub.Jobs))
	var faults Faults
	for i, j := range sub.Jobs {
		known, err := s.types.get(ctx, s.store, j.Type)
		if err != nil {
			return nil, err
		}
		if known == nil {
			continue
		}
		t := known.JobType
		types[i] = t
		if !t.OpenTo(sub.Client.ID) && !sub.Client.Operator {
			return types, tallygate.Errorf(tallygate.AuthorizationFailed, "job type %s is not open to this client", t.Name)
		}
		at := ""
		if sub.Batch {
			at = fmt.Sprintf("/jobs/%d", i)
		}
		faults = append(faults, known.check(at+"/input", j.Input)...)
		if quote := t.Price.Quote(); j.MaxCost != nil && quote > *j.MaxCost {
			faults = append(faults, Fault{Pointer: at + "/max_cost", Text: fmt.Sprintf("the job's quote is %s, more than %s", quote, *j.MaxCost)})
		}
	}
	return types, faults.Err()
}

// outdated reports whether one of the types has changed since it was looked at, and forgets it.
func (s *Service) outdated(ctx context.Context, types []*tallygate.JobType) (any bool) {
	if types == nil { // they could not be read
		return false
	}
	_ = s.store.View(ctx, func(tx tallygate.Tx) error { // where nothing can be read, what is known decides
		for _, known := range types {
			if known == nil {
				continue
			}
			t, err := tx.JobType(known.Name)
			if err != nil {
				return err
			}
			if t == nil || t.Revision != known.Revision {
				s.types.forget(known.Name)
				any = true
			}
		}
		return nil
	})
	return any
}

// accept decides and writes, in one transaction: the balance guard, the holds, the jobs, their events and the
// idempotency record.
func (s *Service) accept(ctx context.Context, sub Submit, types []*tallygate.JobType) (jobs []*tallygate.Job, replayed bool, err error) {
	var record *tallygate.Idempotency
	reads := tallygate.Reads{Clients: []tallygate.ClientID{sub.Client.ID}}
	if sub.Idempotency.Key != "" {
		reads.Keys = []tallygate.IdempotencyKey{{ClientID: sub.Idempotency.ClientID, Key: sub.Idempotency.Key}}
	}
	err = s.update(tallygate.WithReads(ctx, reads), func(tx tallygate.Tx, did *change) error {
		jobs = nil
		c, err := client(tx, sub.Client.ID)
		if err != nil {
			return err
		}
		record, replayed, err = tallygate.Remember(tx, sub.Idempotency, func() ([]byte, []tallygate.JobID, error) {
			if err := s.admit(tx, c, sub, types); err != nil {
				return nil, nil, err
			}
			jobs = make([]*tallygate.Job, len(sub.Jobs))
			ids := make([]tallygate.JobID, len(sub.Jobs))
			for i, asked := range sub.Jobs {
				job, err := s.write(tx, did, c, sub.Actor, types[i], asked)
				if err != nil {
					return nil, nil, err
				}
				jobs[i], ids[i] = job, job.ID
			}
			return nil, ids, tx.SaveAccount(c)
		})
		return err
	})
	if lost := (tallygate.ErrCommit{}); errors.As(err, &lost) && s.landed(jobs) {
		err = nil
	}
	if err == nil && replayed {
		jobs, err = s.replayed(ctx, record)
	}
	return jobs, replayed, err
}

const (
	longLook  = 30 * time.Second       // for what became of a commit: a database that restarts or fails over is back by then
	lookAgain = 100 * time.Millisecond // after a look that failed
)

// landed looks after a commit of unknown outcome whether the jobs are there. It looks in a transaction that writes, which
// waits until the lost one is over, and again until it knows: whoever is told of a failure submits once more, and would
// pay twice. It looks for the server, since the caller may have left.
func (s *Service) landed(jobs []*tallygate.Job) (all bool) {
	ctx, cancel := context.WithTimeout(context.Background(), longLook)
	defer cancel()
	for {
		err := s.store.Update(ctx, func(tx tallygate.Tx) error {
			all = len(jobs) > 0
			for _, j := range jobs {
				found, err := tx.Job(j.ID)
				if err != nil {
					return err
				}
				all = all && found != nil
			}
			return nil
		})
		if err == nil {
			return all
		}
		select {
		case <-time.After(lookAgain):
		case <-ctx.Done():
			return false
		}
	}
}

// admit decides whether all the jobs may be accepted. It writes nothing.
func (s *Service) admit(tx tallygate.Tx, c *tallygate.Client, sub Submit, types []*tallygate.JobType) error {
	var total tallygate.Money
	var stale error // once all types were looked at, so that one more try does
	for i, asked := range sub.Jobs {
		t, err := tx.JobType(asked.Type)
		if err != nil {
			return err
		}
		switch known := types[i]; {
		case t == nil && known == nil:
			return s.noType(tx, asked.Type)
		case t == nil || known == nil || t.Revision != known.Revision:
			s.types.forget(asked.Type)
			stale = errStale
		default:
			total = total.Plus(t.Price.Quote())
		}
	}
	if stale != nil {
		return stale
	}
	if n := int64(len(sub.Jobs)); c.Limits.QueuedJobs > 0 && !c.Operator && c.Queued+n > c.Limits.QueuedJobs {
		return &tallygate.Error{
			Code:       tallygate.RateLimitExceeded,
			Detail:     fmt.Sprintf("%d jobs are queued and the client's limit is %d; wait until some have run", c.Queued, c.Limits.QueuedJobs),
			RetryAfter: time.Second,
		}
	}
	return ledger.CanHold(c, total)
}

// write accepts one job. It changes c's account, which the caller saves.
func (s *Service) write(tx tallygate.Tx, did *change, c *tallygate.Client, actor tallygate.KeyID, t *tallygate.JobType, asked Submission) (*tallygate.Job, error) {
	now := tx.Now()
	job := &tallygate.Job{
		ID:           tallygate.JobID(s.opt.IDs.Next(tallygate.JobPrefix, now)),
		ClientID:     c.ID,
		Type:         t.Name,
		Priority:     asked.Priority,
		Input:        asked.Input,
		Metadata:     asked.Metadata,
		MaxAttempts:  t.MaxAttempts,
		TimeLimit:    t.TimeLimit,
		Held:         t.Price.Quote(),
		PriceVersion: t.PriceVersion,
		RunAt:        asked.RunAt.UTC().Truncate(time.Microsecond), // as it reads back
		CreatedAt:    now,
		Actor:        actor,
	}
	if asked.TimeLimit > 0 {
		job.TimeLimit = min(asked.TimeLimit, t.TimeLimit)
	}
	if job.RunAt.IsZero() {
		job.RunAt = now
	}
	job.Item = &tallygate.QueueItem{
		JobID: job.ID, ClientID: c.ID, Type: t.Name, Priority: job.Priority, Held: job.Held, PriceVersion: job.PriceVersion,
		State: tallygate.ItemReady, At: now, MaxAttempts: job.MaxAttempts, TimeLimit: job.TimeLimit, Progress: -1,
	}
	if job.RunAt.After(now) {
		job.Item.State, job.Item.At = tallygate.ItemWaiting, job.RunAt
	}
	if err := ledger.Hold(tx, s.opt.IDs, c, job.ID, job.Held); err != nil {
		return nil, err
	}
	var err error
	if job.Event, err = tx.NumberEvent(); err != nil {
		return nil, err
	}
	if err := tx.InsertJob(job); err != nil {
		return nil, err
	}
	if err := tx.Enqueue(job.Item); err != nil {
		return nil, err
	}
	c.Queued++
	if err := moveLoad(tx, t.Name, 1, 0); err != nil {
		return nil, err
	}
	if job.Item.State == tallygate.ItemReady {
		if err := moveLane(tx, did, job.Item, 1); err != nil {
			return nil, err
		}
	}
	did.job(job.ID)
	return job, nil
}

// moveLoad adds to the type's counts.
func moveLoad(tx tallygate.Tx, jobType string, live, running int64) error {
	load, err := tx.TypeLoad(jobType)
	if err != nil {
		return err
	}
	load.Live += live
	load.Running += running
	return tx.SaveTypeLoad(jobType, load)
}

// moveLane adds to the ready items of an item's lane.
func moveLane(tx tallygate.Tx, did *change, q *tallygate.QueueItem, ready int64) error {
	lane, err := tx.Lane(q.Type, q.ClientID)
	if err != nil {
		return err
	}
	if ready > 0 && (lane.Ready == 0 || lane.Before(q)) {
		lane.MoveHead(q)
	}
	lane.Ready += ready
	if ready > 0 {
		did.freed(q.Type)
	}
	return tx.SaveLane(lane)
}

// Quote returns the type and the most that a job with the input would cost, after the checks that a submit would make.
func (s *Service) Quote(ctx context.Context, c *tallygate.Client, asked Submission) (*tallygate.JobType, error) {
	types, err := s.prepare(ctx, Submit{Client: c, Jobs: []Submission{asked}})
	if err != nil {
		return nil, err
	}
	if types[0] == nil {
		return nil, s.store.View(ctx, func(tx tallygate.Tx) error { return s.noType(tx, asked.Type) })
	}
	return types[0], nil
}
