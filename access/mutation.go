package access

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/tallygate/tallygate"
)

// Mutation is who changes something, and the name under which it is done only once: of Idempotency the key and the
// request's hash count, and an empty key is none.
type Mutation struct {
	Actor       *Caller
	Idempotency tallygate.Idempotency
}

// Effect is the answer to a change: fresh, or that of the same request before.
type Effect struct {
	Body     []byte
	Replayed bool
}

// outcome is what a decision in a transaction leaves.
type outcome struct {
	answer   []byte
	record   []byte             // what a replay answers, if not the same
	client   tallygate.ClientID // whose keys may be kept and are no longer true
	key      tallygate.KeyID
	revision int64
}

// change runs a decision in one transaction, after deciding again about who asks for it, and records its answer. It
// returns when no caller whom the change concerns is kept in this process any more.
func (s *Service) change(ctx context.Context, m Mutation, decide func(tx tallygate.Tx, actor *tallygate.APIKey) (outcome, error)) (Effect, error) {
	var done outcome
	var effect Effect
	err := s.store.Update(ctx, func(tx tallygate.Tx) error {
		done = outcome{}
		_, actor, err := s.recheck(tx, m.Actor)
		if err != nil {
			return err
		}
		record := tallygate.Idempotency{ClientID: m.Actor.Client.ID, Key: m.Idempotency.Key, RequestHash: m.Idempotency.RequestHash}
		kept, replayed, err := tallygate.Remember(tx, record, func() ([]byte, []tallygate.JobID, error) {
			if done, err = decide(tx, actor); err != nil {
				return nil, nil, err
			}
			if done.record == nil {
				done.record = done.answer
			}
			return done.record, nil, nil
		})
		if err != nil {
			return err
		}
		effect = Effect{Body: done.answer}
		if replayed {
			effect = Effect{Body: kept.Body, Replayed: true}
		}
		return nil
	})
	if err != nil {
		s.cache.forget(done.client, done.key, 0) // the commit may have come through all the same
		return Effect{}, err
	}
	s.cache.forget(done.client, done.key, done.revision)
	return effect, nil
}

// raise gives the client the next access revision and saves it.
func raise(tx tallygate.Tx, client *tallygate.Client) (revision int64, err error) {
	if client.Revision, err = tx.RaiseRevision(); err != nil {
		return 0, err
	}
	return client.Revision, tx.SaveClient(client)
}

// tell writes an event; data is its JSON object.
func (s *Service) tell(tx tallygate.Tx, kind string, client tallygate.ClientID, subject string, actor tallygate.KeyID, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("event %s of %s: %w", kind, subject, err)
	}
	now := tx.Now()
	return tx.InsertEvent(&tallygate.Event{
		ID:       tallygate.EventID(s.ids.Next(tallygate.EventPrefix, now)),
		Kind:     kind,
		ClientID: client,
		Subject:  subject,
		Actor:    actor,
		Data:     text,
		At:       now,
	})
}
