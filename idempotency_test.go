package tallygate_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
)

// records is the part of a transaction that Remember needs.
type records struct {
	tallygate.Tx
	byKey map[string]*tallygate.Idempotency
}

func (r records) Now() time.Time { return noon }

func (r records) Idempotency(c tallygate.ClientID, key string) (*tallygate.Idempotency, error) {
	return r.byKey[string(c)+key], nil
}

func (r records) InsertIdempotency(rec *tallygate.Idempotency) error {
	r.byKey[string(rec.ClientID)+rec.Key] = rec
	return nil
}

func TestAnIdempotencyKeyHasItsEffectOnce(t *testing.T) {
	tx := records{byKey: map[string]*tallygate.Idempotency{}}
	effects := 0
	remember := func(client tallygate.ClientID, key string, hash byte) (*tallygate.Idempotency, bool, error) {
		return tallygate.Remember(tx, tallygate.Idempotency{ClientID: client, Key: key, RequestHash: [32]byte{hash}},
			func() ([]byte, []tallygate.JobID, error) {
				effects++
				return []byte("answer"), []tallygate.JobID{"job_1"}, nil
			})
	}
	for _, c := range []struct {
		name     string
		client   tallygate.ClientID
		key      string
		hash     byte
		replayed bool
		refused  bool
		effects  int
	}{
		{"the first", "cl_a", "k", 1, false, false, 1},
		{"its repetition", "cl_a", "k", 1, true, false, 1},
		{"another request with the key", "cl_a", "k", 2, false, true, 1},
		{"another client's same key", "cl_b", "k", 2, false, false, 2},
		{"another key", "cl_a", "l", 1, false, false, 3},
		{"no key", "cl_a", "", 1, false, false, 4},
		{"no key again", "cl_a", "", 1, false, false, 5},
	} {
		rec, replayed, err := remember(c.client, c.key, c.hash)
		if tallygate.IsCode(err, tallygate.InvalidParameter) != c.refused || replayed != c.replayed || effects != c.effects {
			t.Fatalf("%s: replayed %v, error %v, %d effects", c.name, replayed, err, effects)
		}
		if err != nil {
			if field := tallygate.AsError(err).Field; field != tallygate.IdempotencyHeader {
				t.Errorf("%s: the fault is in %q", c.name, field)
			}
			continue
		}
		if string(rec.Body) != "answer" || !slices.Equal(rec.Jobs, []tallygate.JobID{"job_1"}) || !rec.CreatedAt.Equal(noon) {
			t.Errorf("%s: record %+v", c.name, rec)
		}
	}
}

func TestARefusalLeavesTheKeyFree(t *testing.T) {
	tx := records{byKey: map[string]*tallygate.Idempotency{}}
	refusal := errors.New("no money")
	_, _, err := tallygate.Remember(tx, tallygate.Idempotency{ClientID: "cl_a", Key: "k"}, func() ([]byte, []tallygate.JobID, error) { return nil, nil, refusal })
	if !errors.Is(err, refusal) || len(tx.byKey) != 0 {
		t.Errorf("error %v, %d records", err, len(tx.byKey))
	}
}
