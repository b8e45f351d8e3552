package queue

import (
	"context"

	"github.com/tallygate/tallygate"
)

// Cancel asks for a job's end.
type Cancel struct {
	JobID       tallygate.JobID
	Client      tallygate.ClientID // whose job it must be; empty: anybody's
	Actor       tallygate.KeyID
	Idempotency tallygate.Idempotency
	// Abandon ends a running job at once and charges nothing, for a caller who was promised an answer in time.
	Abandon bool
}

// Cancel ends a queued job at once and asks a running one's worker to stop. A job that has ended stays as it is.
func (s *Service) Cancel(ctx context.Context, req Cancel) (job *tallygate.Job, replayed bool, err error) {
	if !tallygate.ValidID(tallygate.JobPrefix, string(req.JobID)) {
		return nil, false, errNoJob(req.JobID)
	}
	err = s.update(ctx, func(tx tallygate.Tx, did *change) error {
		_, replayed, err = tallygate.Remember(tx, req.Idempotency, func() ([]byte, []tallygate.JobID, error) {
			return nil, []tallygate.JobID{req.JobID}, s.cancel(tx, did, req)
		})
		return err
	})
	if err != nil {
		return nil, false, err
	}
	job, err = s.Job(ctx, req.JobID)
	return job, replayed, err
}

func (s *Service) cancel(tx tallygate.Tx, did *change, req Cancel) error {
	q, err := tx.Item(req.JobID)
	if err != nil {
		return err
	}
	if q == nil {
		o, err := tx.Outcome(req.JobID)
		if err == nil && (o == nil || req.Client != "" && o.ClientID != req.Client) {
			err = errNoJob(req.JobID)
		}
		return err
	}
	switch {
	case req.Client != "" && q.ClientID != req.Client:
		return errNoJob(req.JobID)
	case q.State != tallygate.ItemLeased || req.Abandon:
		q.Token = "" // no report settled it
		return s.cancelled(tx, did, q, req.Actor, req.Abandon)
	case q.CancelRequested:
		return nil
	}
	q.CancelRequested = true
	if err := tx.SaveItem(q); err != nil {
		return err
	}
	return event(tx, did, tallygate.EventJobCancelRequested, q, req.Actor, nil)
}
