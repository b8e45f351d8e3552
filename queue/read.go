package queue

import (
	"context"
	"time"

	"github.com/tallygate/tallygate"
)

// errNoJob answers for a job that does not exist or is another client's.
func errNoJob(id tallygate.JobID) error {
	return tallygate.Errorf(tallygate.JobNotFound, "no job has the id %.40q", id)
}

// Job returns the job with where it stands, or JOB_NOT_FOUND.
func (s *Service) Job(ctx context.Context, id tallygate.JobID) (job *tallygate.Job, err error) {
	if !tallygate.ValidID(tallygate.JobPrefix, string(id)) {
		return nil, errNoJob(id)
	}
	err = s.store.View(ctx, func(tx tallygate.Tx) error {
		job, err = tx.Job(id)
		return err
	})
	if err == nil && job == nil {
		err = errNoJob(id)
	}
	return job, err
}

// JobsByID returns the jobs in the order of the IDs; one that retention has removed is missing.
func (s *Service) JobsByID(ctx context.Context, ids []tallygate.JobID) (jobs []*tallygate.Job, err error) {
	err = s.store.View(ctx, func(tx tallygate.Tx) error {
		jobs = jobs[:0]
		for _, id := range ids {
			job, err := tx.Job(id)
			if err != nil {
				return err
			}
			if job != nil {
				jobs = append(jobs, job)
			}
		}
		return nil
	})
	return jobs, err
}

// Jobs lists jobs, newest first, and the cursor of the next page, empty at the end.
func (s *Service) Jobs(ctx context.Context, f tallygate.JobFilter, p tallygate.Page) (jobs []*tallygate.Job, next string, err error) {
	err = s.store.View(ctx, func(tx tallygate.Tx) error {
		jobs, next, err = tx.Jobs(f, p)
		return err
	})
	return jobs, next, err
}

// Events lists what happened to a job after the event with the number, oldest first.
func (s *Service) Events(ctx context.Context, id tallygate.JobID, after int64, limit int) (events []*tallygate.Event, err error) {
	err = s.store.View(ctx, func(tx tallygate.Tx) error {
		events, err = tx.Events(string(id), after, limit)
		return err
	})
	return events, err
}

// Usage is a client's use by day and type within [from, to), oldest first.
func (s *Service) Usage(ctx context.Context, c tallygate.ClientID, from, to time.Time) (usage []tallygate.Usage, err error) {
	err = s.store.View(ctx, func(tx tallygate.Tx) error {
		usage, err = tx.Usage(c, from, to)
		return err
	})
	return usage, err
}

// AuditEvents lists what people did, newest first; the cursor is an event's number.
func (s *Service) AuditEvents(ctx context.Context, p tallygate.Page) (events []*tallygate.Event, err error) {
	err = s.store.View(ctx, func(tx tallygate.Tx) error {
		events, err = tx.AuditEvents(p)
		return err
	})
	return events, err
}
