package queue

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tallygate/tallygate"
)

// ReportOutcome is what a worker says of an attempt.
type ReportOutcome string

// What a worker may say.
const (
	Succeeded ReportOutcome = "succeeded"
	Failed    ReportOutcome = "failed"
	Released  ReportOutcome = "released" // it gives the job back untried
)

// Report is a worker's word on an attempt.
type Report struct {
	JobID      tallygate.JobID
	Token      string
	Outcome    ReportOutcome
	Result     []byte           // succeeded: JSON
	Units      map[string]int64 // succeeded: what was used; a missing unit is 0
	Message    string           // failed
	Code       tallygate.Code   // failed: PROCESSING_FAILED or EXTERNAL_SERVICE_ERROR; anything else counts as the former
	Final      bool             // failed: another attempt is useless
	RetryAfter time.Duration    // failed: least wait before another attempt
}

// Report settles attempts and, where next is given, takes the next leases in the same transaction; it waits for them as
// Lease does. Each report has a result of its own: nil, or why it was refused and changed nothing. A report that
// repeats the one that settled its job, with its token, is accepted and changes nothing.
func (s *Service) Report(ctx context.Context, reports []Report, next *LeaseRequest) (results []error, leases []Lease, err error) {
	if next != nil {
		if next, err = s.checkTypes(ctx, *next, len(reports) > 0); err != nil {
			return nil, nil, err
		}
	}
	if len(reports) > 0 {
		reads := tallygate.Reads{Jobs: make([]tallygate.JobID, len(reports))}
		for i := range reports {
			reads.Jobs[i] = reports[i].JobID
		}
		err = s.update(tallygate.WithReads(ctx, reads), func(tx tallygate.Tx, did *change) error {
			results, leases = make([]error, len(reports)), nil
			for i := range reports {
				refused, err := s.settle(tx, did, &reports[i])
				if err != nil {
					return err
				}
				if results[i] = nil; refused != nil {
					results[i] = refused
				}
			}
			if next == nil {
				return nil
			}
			leases, err = s.take(tx, did, *next)
			return err
		})
	}
	if err != nil || next == nil {
		return results, nil, err
	}
	if len(leases) > 0 {
		return results, s.keep(ctx, leases), nil
	}
	leases, err = s.await(ctx, *next)
	return results, leases, err
}

// settle applies one report, or refuses it before it writes anything.
func (s *Service) settle(tx tallygate.Tx, did *change, r *Report) (refused *tallygate.Error, err error) {
	q, ended, refused, err := holder(tx, r.JobID, r.Token)
	if err != nil || refused != nil {
		return refused, err
	}
	if q == nil {
		if (r.Outcome == Succeeded) != (ended == tallygate.JobSucceeded) {
			refused = tallygate.Errorf(tallygate.InvalidRequest, "outcome: this lease has settled job %s as %s", r.JobID, ended)
		}
		return refused, nil
	}
	switch {
	case r.Outcome == Succeeded:
		return s.succeed(tx, did, q, r)
	case q.CancelRequested:
		return nil, s.cancelled(tx, did, q, "", false)
	case r.Outcome == Released:
		return nil, s.requeue(tx, did, q, tx.Now(), false, details("reason", "released"))
	}
	code := tallygate.ProcessingFailed
	if r.Code == tallygate.ExternalServiceError {
		code = r.Code
	}
	return nil, s.failed(tx, did, q, tallygate.JobError{Code: code, Message: r.Message}, r.Final, r.RetryAfter)
}

// holder returns the item that the token holds, or how the job ended where this token has settled it already, or why
// the token holds nothing.
func holder(tx tallygate.Tx, id tallygate.JobID, token string) (q *tallygate.QueueItem, ended tallygate.JobStatus, refused *tallygate.Error, err error) {
	if q, err = tx.Item(id); err != nil {
		return nil, "", nil, err
	}
	if q != nil {
		if q.State == tallygate.ItemLeased && q.Token == token {
			return q, "", nil, nil
		}
		return nil, "", tallygate.Errorf(tallygate.InvalidRequest, "token: the lease on job %s has ended; drop this attempt", id), nil
	}
	o, err := tx.Outcome(id)
	switch {
	case err != nil:
		return nil, "", nil, err
	case o == nil:
		return nil, "", tallygate.Errorf(tallygate.JobNotFound, "no job has the id %.40q", id), nil
	case o.Token == "" || o.Token != token:
		return nil, "", tallygate.Errorf(tallygate.InvalidRequest, "token: job %s has ended as %s and not by this lease; drop this attempt", id, o.Status), nil
	}
	return nil, o.Status, nil, nil
}

func (s *Service) succeed(tx tallygate.Tx, did *change, q *tallygate.QueueItem, r *Report) (*tallygate.Error, error) {
	price, err := tx.Price(q.Type, q.PriceVersion)
	if err != nil {
		return nil, err
	}
	if refused := checkUnits(price, r.Units); refused != nil {
		return refused, nil
	}
	return nil, s.end(tx, did, q, "", &tallygate.Outcome{
		Status:  tallygate.JobSucceeded,
		Result:  r.Result,
		Units:   r.Units,
		Charged: price.Charge(r.Units),
		Token:   r.Token,
	})
}

func checkUnits(price tallygate.Price, used map[string]int64) *tallygate.Error {
	var bad []string
	for _, name := range slices.Sorted(maps.Keys(used)) {
		if _, ok := price.Units[name]; !ok {
			known := strings.Join(slices.Sorted(maps.Keys(price.Units)), ", ")
			bad = append(bad, fmt.Sprintf("/units/%s: the job type does not meter it (it meters: %s)", name, orNone(known)))
		} else if used[name] < 0 {
			bad = append(bad, fmt.Sprintf("/units/%s: must be 0 or more", name))
		}
	}
	if bad == nil {
		return nil
	}
	return &tallygate.Error{Code: tallygate.InvalidParameter, Field: "units", Detail: strings.Join(bad, "; ")}
}

func orNone(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// failed ends the job or has it tried again after a while.
func (s *Service) failed(tx tallygate.Tx, did *change, q *tallygate.QueueItem, failure tallygate.JobError, final bool, after time.Duration) error {
	q.Failures++
	q.LastError = &failure
	again := tx.Now().Add(max(s.backoff(q.Failures), after))
	late := !q.Deadline().IsZero() && !again.Before(q.Deadline())
	if final || late || q.Failures >= q.MaxAttempts {
		return s.end(tx, did, q, "", &tallygate.Outcome{Status: tallygate.JobFailed, Error: &failure, Token: q.Token})
	}
	return s.requeue(tx, did, q, again, true, details("reason", "failed", "message", failure.Message, "run_at", again.UTC().Format(time.RFC3339Nano)))
}

// backoff is the wait after the n-th failure: it doubles, with jitter, up to the most.
func (s *Service) backoff(failures int64) time.Duration {
	d := s.opt.MaxDelay
	if failures < 32 {
		d = min(d, s.opt.FirstDelay<<(failures-1))
	}
	return s.opt.Jitter(d)
}

// requeue ends the lease and puts the job back: ready at once, or waiting for its time. The attempt counts where it was
// spent. The lease's event gets a row of its own, since the item will tell of another.
func (s *Service) requeue(tx tallygate.Tx, did *change, q *tallygate.QueueItem, at time.Time, spent bool, data []byte) error {
	if err := tx.KeepEvent(&tallygate.Event{
		Number: q.LeaseEvent, Kind: tallygate.EventJobRunning, ClientID: q.ClientID, Subject: string(q.JobID), At: q.LeasedAt,
		Data: details("attempt", q.Attempt),
	}); err != nil {
		return err
	}
	q.LeaseEvent = 0
	if !spent {
		q.Attempt--
	}
	ready := !at.After(tx.Now())
	q.State, q.At, q.Token, q.Worker, q.Progress = tallygate.ItemWaiting, at, "", "", -1
	if ready {
		q.State = tallygate.ItemReady
	}
	if err := tx.SaveItem(q); err != nil {
		return err
	}
	c, err := client(tx, q.ClientID)
	if err != nil {
		return err
	}
	if err := uncap(tx, did, q, c); err != nil {
		return err
	}
	c.Running--
	c.Queued++
	if err := tx.SaveAccount(c); err != nil {
		return err
	}
	if err := moveLoad(tx, q.Type, 0, -1); err != nil {
		return err
	}
	if ready {
		if err := moveLane(tx, did, q, 1); err != nil {
			return err
		}
	}
	return event(tx, did, tallygate.EventJobRetrying, q, "", data)
}

// client returns a job's client as the transaction sees it. It must be there.
func client(tx tallygate.Tx, id tallygate.ClientID) (*tallygate.Client, error) {
	c, err := tx.Client(id)
	if err == nil && c == nil {
		err = tallygate.Errorf(tallygate.DatabaseError, "client %s of a job is missing", id)
	}
	return c, err
}

// Beat is a worker's sign of life.
type Beat struct {
	JobID    tallygate.JobID
	Token    string
	Progress *float64 // 0 to 1; nil: no news
	Logs     []string
}

// Heartbeat renews a lease, no further than its attempt's deadline, and records progress and log lines.
func (s *Service) Heartbeat(ctx context.Context, b Beat) (expires time.Time, cancelRequested bool, err error) {
	reads := tallygate.Reads{Jobs: []tallygate.JobID{b.JobID}}
	err = s.update(tallygate.WithReads(ctx, reads), func(tx tallygate.Tx, did *change) error {
		q, _, refused, err := holder(tx, b.JobID, b.Token)
		if err != nil {
			return err
		}
		if refused != nil {
			return refused
		}
		if q == nil {
			return tallygate.Errorf(tallygate.InvalidRequest, "job %s has ended by this lease", b.JobID)
		}
		lease := 30 * time.Second // of a type that has been deleted since
		if t, err := tx.JobType(q.Type); err != nil {
			return err
		} else if t != nil {
			lease = t.Lease
		}
		q.At = earliest(tx.Now().Add(lease), q.AttemptDeadline)
		if b.Progress != nil {
			q.Progress = *b.Progress
		}
		expires, cancelRequested = q.At, q.CancelRequested
		if err := tx.SaveItem(q); err != nil {
			return err
		}
		if b.Progress != nil {
			if err := event(tx, did, tallygate.EventJobProgress, q, "", details("progress", *b.Progress)); err != nil {
				return err
			}
		}
		for _, line := range b.Logs {
			if err := event(tx, did, tallygate.EventJobLog, q, "", details("line", line)); err != nil {
				return err
			}
		}
		return nil
	})
	return expires, cancelRequested, err
}
