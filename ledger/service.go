package ledger

import (
	"context"

	"github.com/tallygate/tallygate"
)

// Service offers the ledger to callers outside a transaction.
type Service struct {
	store tallygate.Store
	ids   *tallygate.IDs
}

// New returns a service on the store.
func New(store tallygate.Store, ids *tallygate.IDs) *Service { return &Service{store, ids} }

// TopUp asks for a credit.
type TopUp struct {
	Client      tallygate.ClientID
	Amount      tallygate.Money
	Note        string
	Actor       tallygate.KeyID
	Idempotency tallygate.Idempotency // the caller, its key and the request's hash
}

// Credit tops up a client and returns encode's text of the entry, kept for replays of the same Idempotency-Key.
func (s *Service) Credit(ctx context.Context, t TopUp, encode func(*tallygate.Entry) []byte) (body []byte, replayed bool, err error) {
	err = s.store.Update(ctx, func(tx tallygate.Tx) error {
		record, again, err := tallygate.Remember(tx, t.Idempotency, func() ([]byte, []tallygate.JobID, error) {
			entry, err := s.credit(tx, t)
			if err != nil {
				return nil, nil, err
			}
			return encode(entry), nil, nil
		})
		if err == nil {
			body, replayed = record.Body, again
		}
		return err
	})
	return body, replayed, err
}

func (s *Service) credit(tx tallygate.Tx, t TopUp) (*tallygate.Entry, error) {
	c, err := tx.Client(t.Client)
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, tallygate.Errorf(tallygate.ClientNotFound, "no client has the id %.40q", t.Client)
	}
	entry, err := Credit(tx, s.ids, c, t.Amount, t.Note)
	if err != nil {
		return nil, err
	}
	if err := tx.SaveAccount(c); err != nil {
		return nil, err
	}
	return entry, tx.InsertEvent(&tallygate.Event{
		Kind: tallygate.EventClientCredited, ClientID: c.ID, Subject: string(c.ID), Actor: t.Actor, At: tx.Now(),
		Data: []byte(`{"amount":"` + t.Amount.String() + `","entry_id":"` + string(entry.ID) + `"}`),
	})
}

// Entries lists a client's ledger, newest first; the cursor is an entry's number.
func (s *Service) Entries(ctx context.Context, c tallygate.ClientID, p tallygate.Page) (entries []*tallygate.Entry, err error) {
	err = s.store.View(ctx, func(tx tallygate.Tx) error {
		entries, err = tx.Entries(c, p)
		return err
	})
	return entries, err
}
