package storetest

import (
	"context"
	"fmt"
	"time"

	"github.com/tallygate/tallygate"
)

func readsRecord(c tallygate.ClientID, key string) func(tx tallygate.Tx) (*tallygate.Idempotency, error) {
	return func(tx tallygate.Tx) (*tallygate.Idempotency, error) { return tx.Idempotency(c, key) }
}

var idempotencyCases = []testCase{
	{"a record reads as it was inserted, under its own client", func(f *fixture) {
		full := &tallygate.Idempotency{
			ClientID: "cl_a", Key: "order 1 «ä»", RequestHash: [32]byte{1, 2, 31: 3},
			Jobs: []tallygate.JobID{"job_1", "job_2"}, Body: []byte(`{"id":"ent_1"}`), CreatedAt: noon,
		}
		filled(f, full)
		other := &tallygate.Idempotency{ClientID: "cl_b", Key: full.Key, Jobs: []tallygate.JobID{"job_3"}, CreatedAt: noon}
		f.update(func(tx tallygate.Tx) error {
			if err := tx.InsertIdempotency(full); err != nil {
				return err
			}
			return tx.InsertIdempotency(other)
		})
		seen(f, "the record", full, readsRecord("cl_a", full.Key))
		seen(f, "another client's", other, readsRecord("cl_b", full.Key))
		seen(f, "an unknown key", nil, readsRecord("cl_a", "other"))
		err := f.store.Update(context.Background(), func(tx tallygate.Tx) error { return tx.InsertIdempotency(full) })
		if !tallygate.IsCode(err, tallygate.DatabaseError) {
			f.Errorf("the second insert: %v", err)
		}
	}},
	{"old records go oldest first, at most so many at once", func(f *fixture) {
		key := func(i int) string { return fmt.Sprint("key ", i) }
		f.update(func(tx tallygate.Tx) error {
			for i := range 10 {
				rec := &tallygate.Idempotency{ClientID: "cl_a", Key: key(i), CreatedAt: longAgo.Add(time.Duration(i) * time.Hour)}
				if err := tx.InsertIdempotency(rec); err != nil {
					return err
				}
			}
			return nil
		})
		first := 0 // the oldest that is left
		for i, step := range []struct{ hour, limit, removed int }{{0, 5, 0}, {6, 4, 4}, {6, 4, 2}, {6, 4, 0}, {100, 100, 4}} {
			f.update(func(tx tallygate.Tx) error {
				n, err := tx.DeleteIdempotency(longAgo.Add(time.Duration(step.hour)*time.Hour), step.limit)
				if err == nil && n != step.removed {
					err = fmt.Errorf("step %d removed %d, want %d", i, n, step.removed)
				}
				return err
			})
			first += step.removed
			for k := range 10 {
				f.view(func(tx tallygate.Tx) error {
					rec, err := tx.Idempotency("cl_a", key(k))
					if err == nil && (rec != nil) != (k >= first) {
						err = fmt.Errorf("after step %d record %d is there: %v", i, k, rec != nil)
					}
					return err
				})
			}
		}
	}},
	{"records of the future keep none of the old ones from going", func(f *fixture) {
		f.update(func(tx tallygate.Tx) error {
			for i, at := range []time.Duration{time.Hour, time.Hour, time.Hour, -3 * time.Hour, time.Hour, -2 * time.Hour, 0} {
				if err := tx.InsertIdempotency(&tallygate.Idempotency{ClientID: "cl_a", Key: fmt.Sprint(i), CreatedAt: noon.Add(at)}); err != nil {
					return err
				}
			}
			return nil
		})
		for _, removed := range []int{2, 0} {
			f.update(func(tx tallygate.Tx) error {
				n, err := tx.DeleteIdempotency(noon.Add(-time.Hour), 2)
				if err == nil && n != removed {
					err = fmt.Errorf("removed %d, want %d", n, removed)
				}
				return err
			})
		}
	}},
}
