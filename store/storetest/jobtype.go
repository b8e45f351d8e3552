package storetest

import (
	"context"
	"time"

	"github.com/tallygate/tallygate"
)

// newJobType makes a type with every field set.
func newJobType(name string) *tallygate.JobType {
	return &tallygate.JobType{
		Name:         name,
		Description:  "Counts words.",
		InputSchema:  []byte(`{"type":"object"}`),
		Price:        tallygate.Price{Base: 10_000, Units: map[string]tallygate.UnitPrice{"page": {Price: 2_000, Max: 100}}, CancelCharge: tallygate.CancelChargeBase},
		PriceVersion: 2,
		Executor: tallygate.Executor{
			Kind: tallygate.ExecutorHTTP, URL: "http://worker.example/run", Timeout: 10 * time.Second, Secret: "s3cret", Handler: "h",
		},
		MaxAttempts:    3,
		AttemptTimeout: time.Minute,
		TimeLimit:      time.Hour,
		Lease:          30 * time.Second,
		CancelCharge:   tallygate.CancelChargeBase,
		RunningJobs:    5,
		Rate:           tallygate.RateLimit{PerSecond: 1.5, Burst: 2},
		Retention:      720 * time.Hour,
		Clients:        []tallygate.ClientID{"cl_a", "cl_b"},
		Revision:       4,
		CreatedAt:      noon,
		UpdatedAt:      noon.Add(time.Second),
	}
}

func readsType(name string) func(tx tallygate.Tx) (*tallygate.JobType, error) {
	return func(tx tallygate.Tx) (*tallygate.JobType, error) { return tx.JobType(name) }
}

func readsLoad(name string) func(tx tallygate.Tx) (*tallygate.TypeLoad, error) {
	return func(tx tallygate.Tx) (*tallygate.TypeLoad, error) { return tx.TypeLoad(name) }
}

var jobTypeCases = []testCase{
	{"a job type reads as it was saved, and again after it was replaced", func(f *fixture) {
		jobType := newJobType("text.stats")
		filled(f, jobType)
		filled(f, jobType.Executor)
		filled(f, jobType.Price)
		f.update(func(tx tallygate.Tx) error { return tx.SaveJobType(jobType) })
		seen(f, "the type", jobType, readsType("text.stats"))
		seen(f, "an unknown type", nil, readsType("unknown"))

		changed := *jobType
		changed.Description, changed.Price.Base, changed.Revision, changed.Clients = "Counts letters.", 1, 5, nil
		f.update(func(tx tallygate.Tx) error { return tx.SaveJobType(&changed) })
		seen(f, "the replaced type", &changed, readsType("text.stats"))
	}},
	{"open to everyone is kept apart from open to nobody", func(f *fixture) {
		everyone, nobody := newJobType("everyone"), newJobType("nobody")
		everyone.Clients, nobody.Clients = nil, []tallygate.ClientID{}
		f.update(func(tx tallygate.Tx) error {
			if err := tx.SaveJobType(everyone); err != nil {
				return err
			}
			return tx.SaveJobType(nobody)
		})
		for name, want := range map[string]bool{"everyone": true, "nobody": false} {
			seen(f, name, want, func(tx tallygate.Tx) (bool, error) {
				jobType, err := tx.JobType(name)
				return err == nil && jobType.OpenTo("cl_a"), err
			})
		}
	}},
	{"job types are listed by name", func(f *fixture) {
		want := []*tallygate.JobType{newJobType("a"), newJobType("b"), newJobType("c")}
		for _, i := range []int{1, 2, 0} {
			f.update(func(tx tallygate.Tx) error { return tx.SaveJobType(want[i]) })
		}
		seen(f, "the types", want, tallygate.Tx.JobTypes)
	}},
	{"a deleted type is gone, its prices and load stay", func(f *fixture) {
		price := newJobType("text.stats").Price
		f.update(func(tx tallygate.Tx) error {
			if err := tx.SaveJobType(newJobType("text.stats")); err != nil {
				return err
			}
			if err := tx.SavePrice("text.stats", 3, price); err != nil {
				return err
			}
			return tx.SaveTypeLoad("text.stats", &tallygate.TypeLoad{Cost: time.Second})
		})
		f.update(func(tx tallygate.Tx) error { return tx.DeleteJobType("text.stats") })
		seen(f, "the type", nil, readsType("text.stats"))
		seen(f, "the list", nil, tallygate.Tx.JobTypes)
		seen(f, "the price", price, func(tx tallygate.Tx) (tallygate.Price, error) { return tx.Price("text.stats", 3) })
		seen(f, "the load", &tallygate.TypeLoad{Cost: time.Second}, readsLoad("text.stats"))
	}},
	{"each version of a price stays as it was", func(f *fixture) {
		first, second := tallygate.Price{Base: 1}, tallygate.Price{Base: 2, Units: map[string]tallygate.UnitPrice{"page": {Price: 3, Max: 4}}}
		newest := func(tx tallygate.Tx) (int64, error) { return tx.NewestPriceVersion("text.stats") }
		seen(f, "the newest of none", 0, newest)
		f.update(func(tx tallygate.Tx) error { return tx.SavePrice("text.stats", 1, first) })
		f.update(func(tx tallygate.Tx) error {
			if err := tx.SavePrice("other", 7, first); err != nil {
				return err
			}
			return tx.SavePrice("text.stats", 2, second)
		})
		seen(f, "version 1", first, func(tx tallygate.Tx) (tallygate.Price, error) { return tx.Price("text.stats", 1) })
		seen(f, "version 2", second, func(tx tallygate.Tx) (tallygate.Price, error) { return tx.Price("text.stats", 2) })
		seen(f, "the newest", 2, newest)

		err := f.store.Update(context.Background(), func(tx tallygate.Tx) error { return tx.SavePrice("text.stats", 1, second) })
		if !tallygate.IsCode(err, tallygate.DatabaseError) {
			f.Errorf("a version was written twice: %v", err)
		}
		err = f.store.View(context.Background(), func(tx tallygate.Tx) error { _, err := tx.Price("text.stats", 9); return err })
		if !tallygate.IsCode(err, tallygate.DatabaseError) {
			f.Errorf("a version that never was: %v", err)
		}
	}},
	{"a load that was never saved is empty", func(f *fixture) {
		seen(f, "the load", &tallygate.TypeLoad{}, readsLoad("text.stats"))
		load := &tallygate.TypeLoad{Live: 5, Running: 2, Cost: 1234567 * time.Nanosecond}
		filled(f, load)
		f.update(func(tx tallygate.Tx) error { return tx.SaveTypeLoad("text.stats", load) })
		seen(f, "the saved load", load, readsLoad("text.stats"))
		seen(f, "another's", &tallygate.TypeLoad{}, readsLoad("other"))
	}},
}
