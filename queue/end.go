package queue

import (
	"encoding/json"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/ledger"
)

// end is the one way out of the queue: it settles the hold, writes the outcome and takes the item away. The outcome's
// Charged is what to take, at most the hold.
func (s *Service) end(tx tallygate.Tx, did *change, q *tallygate.QueueItem, actor tallygate.KeyID, o *tallygate.Outcome) error {
	c, err := client(tx, q.ClientID)
	if err != nil {
		return err
	}
	o.JobID, o.ClientID, o.Type, o.Attempt, o.StartedAt = q.JobID, q.ClientID, q.Type, q.Attempt, q.StartedAt
	o.LeaseEvent, o.LeasedAt, o.FinishedAt = q.LeaseEvent, q.LeasedAt, tx.Now()
	o.Charged = min(o.Charged, q.Held)
	if o.Released, err = ledger.Settle(tx, s.opt.IDs, c, q.JobID, q.Held, o.Charged); err != nil {
		return err
	}
	if err := leave(tx, did, q, c); err != nil {
		return err
	}
	if err := tx.RemoveItem(q.JobID); err != nil {
		return err
	}
	o.Actor = actor
	if o.Event, err = tx.NumberEvent(); err != nil {
		return err
	}
	if err := tx.InsertOutcome(o); err != nil {
		return err
	}
	did.job(q.JobID)
	return tx.CountUsage(o)
}

// leave takes an item out of every count and saves its client's account.
func leave(tx tallygate.Tx, did *change, q *tallygate.QueueItem, c *tallygate.Client) error {
	load, err := tx.TypeLoad(q.Type)
	if err != nil {
		return err
	}
	load.Live--
	switch q.State {
	case tallygate.ItemLeased:
		if err := uncap(tx, did, q, c); err != nil {
			return err
		}
		c.Running--
		load.Running--
		load.Cost = smooth(load.Cost, max(0, tx.Now().Sub(q.LeasedAt)))
	case tallygate.ItemReady:
		c.Queued--
		if err := moveLane(tx, did, q, -1); err != nil {
			return err
		}
	case tallygate.ItemWaiting:
		c.Queued--
	}
	if err := tx.SaveTypeLoad(q.Type, load); err != nil {
		return err
	}
	return tx.SaveAccount(c)
}

// uncap notes what may run again when the lease on q ends: something that its type's cap held back, or its client's.
func uncap(tx tallygate.Tx, did *change, q *tallygate.QueueItem, c *tallygate.Client) error {
	if most := c.Limits.RunningJobs; most > 0 && c.Running >= most {
		did.uncapped = true
	}
	t, err := tx.JobType(q.Type)
	if err != nil || t == nil || t.RunningJobs == 0 {
		return err
	}
	load, err := tx.TypeLoad(q.Type)
	if err == nil && load.Running >= t.RunningJobs {
		did.freed(q.Type)
	}
	return err
}

// smooth is an exponentially weighted mean: an eighth of the new, as TCP smooths its round-trip time (RFC 6298).
func smooth(mean, sample time.Duration) time.Duration {
	if mean == 0 {
		return sample
	}
	return mean + (sample-mean)/8
}

// cancelled ends a job as its price charges for it, or free of charge.
func (s *Service) cancelled(tx tallygate.Tx, did *change, q *tallygate.QueueItem, actor tallygate.KeyID, free bool) error {
	o := &tallygate.Outcome{Status: tallygate.JobCancelled, Token: q.Token}
	price, err := tx.Price(q.Type, q.PriceVersion)
	if err != nil {
		return err
	}
	if !free {
		switch price.CancelCharge {
		case tallygate.CancelChargeHold:
			o.Charged = q.Held
		case tallygate.CancelChargeBase:
			o.Charged = price.Base
		}
	}
	return s.end(tx, did, q, actor, o)
}

// details makes a JSON object of names and values.
func details(pairs ...any) []byte {
	b := []byte{'{'}
	for i := 0; i < len(pairs); i += 2 {
		if i > 0 {
			b = append(b, ',')
		}
		name, _ := json.Marshal(pairs[i])
		value, err := json.Marshal(pairs[i+1])
		if err != nil {
			value = []byte("null")
		}
		b = append(append(append(b, name...), ':'), value...)
	}
	return append(b, '}')
}
