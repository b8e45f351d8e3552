package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tallygate/tallygate"
)

var errGuilty = errors.New("guilty")

// fails runs fn in a transaction that must fail with errGuilty.
func (f *fixture) fails(fn func(tx tallygate.Tx) error) {
	f.Helper()
	if err := f.store.Update(context.Background(), fn); !errors.Is(err, errGuilty) {
		f.Fatal("the transaction did not fail as it should:", err)
	}
}

// refuses runs fn in a transaction that the database must refuse.
func (f *fixture) refuses(what string, fn func(tx tallygate.Tx) error) {
	f.Helper()
	if err := f.store.Update(context.Background(), fn); !tallygate.IsCode(err, tallygate.DatabaseError) {
		f.Errorf("%s: %v", what, err)
	}
}

// together runs the updates while another holds the writer back, so that most of them come into one transaction, and
// returns each one's error or panic.
func (f *fixture) together(updates ...func(tx tallygate.Tx) error) []any {
	f.Helper()
	gate, running := make(chan struct{}), make(chan struct{})
	answers := make([]any, len(updates))
	var wg sync.WaitGroup
	wg.Go(func() {
		first := sync.OnceFunc(func() { close(running) })
		_ = f.store.Update(context.Background(), func(tallygate.Tx) error { first(); <-gate; return nil })
	})
	<-running
	var arriving atomic.Int64
	for i, fn := range updates {
		wg.Go(func() {
			defer func() {
				if v := recover(); v != nil {
					answers[i] = v
				}
			}()
			arriving.Add(1)
			if err := f.store.Update(context.Background(), fn); err != nil {
				answers[i] = err
			}
		})
	}
	for arriving.Load() < int64(len(updates)) {
		runtime.Gosched()
	}
	close(gate)
	wg.Wait()
	return answers
}

// earn adds to the client's posted balance.
func earn(id tallygate.ClientID, amount tallygate.Money) func(tx tallygate.Tx) error {
	return func(tx tallygate.Tx) error {
		c, err := tx.Client(id)
		if err != nil {
			return err
		}
		c.Balance.Posted += amount
		c.Entries++
		return tx.SaveAccount(c)
	}
}

func posted(id tallygate.ClientID) func(tx tallygate.Tx) (tallygate.Money, error) {
	return func(tx tallygate.Tx) (tallygate.Money, error) {
		c, err := tx.Client(id)
		if err != nil {
			return 0, err
		}
		return c.Balance.Posted, nil
	}
}

// then runs fn and fails after it.
func then(fn func(tx tallygate.Tx) error, err error) func(tx tallygate.Tx) error {
	return func(tx tallygate.Tx) error {
		if failed := fn(tx); failed != nil {
			return failed
		}
		return err
	}
}

var transactionCases = []testCase{
	{"the time of a transaction is one that can be stored", func(f *fixture) {
		f.update(func(tx tallygate.Tx) error {
			if now := tx.Now(); now.Location() != time.UTC || now.Nanosecond()%1000 != 0 || !now.Equal(tx.Now()) {
				return fmt.Errorf("now is %s", now)
			}
			return nil
		})
	}},
	{"a view is one snapshot while others write", func(f *fixture) {
		c := f.client()
		f.view(func(tx tallygate.Tx) error {
			before, err := posted(c.ID)(tx)
			if err != nil {
				return err
			}
			if err := f.store.Update(context.Background(), func(tx tallygate.Tx) error {
				if err := earn(c.ID, 5)(tx); err != nil {
					return err
				}
				return tx.InsertEntry(f.newEntry(c.ID, 1))
			}); err != nil {
				return err
			}
			entries, err := tx.Entries(c.ID, tallygate.Page{Limit: 1})
			if err != nil {
				return err
			}
			if after, err := posted(c.ID)(tx); err != nil || after != before || len(entries) != 0 {
				return fmt.Errorf("first %d was posted, then %d with %d entries: %v", before, after, len(entries), err)
			}
			return nil
		})
		seen(f, "the next view", 5, posted(c.ID))
	}},
	{"a view refuses every write", refusedWrites},
	{"a view hands its error on", func(f *fixture) {
		if err := f.store.View(context.Background(), func(tallygate.Tx) error { return errGuilty }); !errors.Is(err, errGuilty) {
			f.Errorf("the view returned %v", err)
		}
	}},
	{"a transaction sees what it wrote", func(f *fixture) {
		f.update(func(tx tallygate.Tx) error {
			c := f.newClient()
			if err := tx.InsertClient(c); err != nil {
				return err
			}
			for range 3 {
				if err := earn(c.ID, 5)(tx); err != nil {
					return err
				}
			}
			if got, err := posted(c.ID)(tx); err != nil || got != 15 {
				return fmt.Errorf("posted %d, %v", got, err)
			}
			if err := tx.SaveLane(&tallygate.Lane{Type: "x", ClientID: c.ID, Ready: 1}); err != nil {
				return err
			}
			if lanes, err := tx.ActiveLanes("x"); err != nil || len(lanes) != 1 {
				return fmt.Errorf("%d active lanes, %v", len(lanes), err)
			}
			if err := tx.SaveTypeLoad("x", &tallygate.TypeLoad{Live: 1}); err != nil {
				return err
			}
			if load, err := tx.TypeLoad("x"); err != nil || load.Live != 1 {
				return fmt.Errorf("the load is %+v, %v", load, err)
			}
			return nil
		})
	}},
	{"after an error nothing of a transaction is left", func(f *fixture) {
		c := f.client()
		f.update(earn(c.ID, 7))
		c.Balance.Posted, c.Entries = 7, 1
		jobType := newJobType("x")
		lane, load := &tallygate.Lane{Type: "x", ClientID: c.ID, Ready: 3}, &tallygate.TypeLoad{Live: 3, Running: 1, Cost: time.Second}
		var revision int64
		f.update(func(tx tallygate.Tx) (err error) {
			if err := tx.SaveJobType(jobType); err != nil {
				return err
			}
			if err := tx.SaveLane(lane); err != nil {
				return err
			}
			if err := tx.SaveTypeLoad("x", load); err != nil {
				return err
			}
			revision, err = tx.RaiseRevision()
			return err
		})
		j := f.newJob(c.ID, "x")
		for range 2 { // the second time on what the first left behind
			f.fails(func(tx tallygate.Tx) error {
				spoilt, other := *c, newJobType("x")
				spoilt.Name, spoilt.Status = "spoilt", tallygate.ClientSuspended
				other.Description = "spoilt"
				for _, err := range []error{
					earn(c.ID, 100)(tx), tx.SaveClient(&spoilt), live(tx, j), tx.SaveJobType(other), tx.DeleteJobType("x"),
					tx.SavePrice("x", 9, other.Price), tx.SaveLane(&tallygate.Lane{Type: "x", ClientID: c.ID}),
					tx.SaveLane(&tallygate.Lane{Type: "x", ClientID: "cl_other", Ready: 1}),
					tx.SaveTypeLoad("x", &tallygate.TypeLoad{}), tx.InsertEvent(&tallygate.Event{Kind: "job.log", Subject: "s", At: noon}),
				} {
					if err != nil {
						return err
					}
				}
				if _, err := tx.Price("x", 9); err != nil {
					return err
				}
				if _, err := tx.RaiseRevision(); err != nil {
					return err
				}
				return errGuilty
			})
			seen(f, "the client", c, reads(c.ID))
			seen(f, "the job", nil, readsJob(j.ID))
			seen(f, "the type", jobType, readsType("x"))
			seen(f, "the lane", lane, readsLane("x", c.ID))
			seen(f, "the other lane", &tallygate.Lane{Type: "x", ClientID: "cl_other"}, readsLane("x", "cl_other"))
			seen(f, "the load", load, readsLoad("x"))
			seen(f, "the revision", revision, tallygate.Tx.Revision)
			seen(f, "the newest price", 0, func(tx tallygate.Tx) (int64, error) { return tx.NewestPriceVersion("x") })
			f.fails(func(tx tallygate.Tx) error {
				if _, err := tx.Price("x", 9); tallygate.IsCode(err, tallygate.DatabaseError) {
					return errGuilty
				}
				return errors.New("the price is still there")
			})
		}
	}},
	{"an error before the first write harms nobody in the same transaction", func(f *fixture) {
		c := f.client()
		var refusals atomic.Int64
		updates := make([]func(tx tallygate.Tx) error, 20)
		for i := range updates {
			if updates[i] = earn(c.ID, 1); i%4 == 0 {
				updates[i] = func(tx tallygate.Tx) error {
					refusals.Add(1)
					_, err := tx.Client(c.ID)
					return errors.Join(err, errGuilty)
				}
			}
		}
		for i, answer := range f.together(updates...) {
			if err, _ := answer.(error); (i%4 == 0) != errors.Is(err, errGuilty) || (i%4 != 0) != (answer == nil) {
				f.Errorf("member %d: %v", i, answer)
			}
		}
		if n := refusals.Load(); n != 5 {
			f.Errorf("the refused members ran %d times, want 5: once each", n)
		}
		seen(f, "posted", 15, posted(c.ID))
	}},
	{"an error after a write fails the guilty alone", func(f *fixture) {
		c := f.client()
		updates := make([]func(tx tallygate.Tx) error, 20)
		for i := range updates {
			if updates[i] = earn(c.ID, 1); i%7 == 3 {
				updates[i] = then(earn(c.ID, 1000), errGuilty)
			}
		}
		for i, answer := range f.together(updates...) {
			if err, _ := answer.(error); (i%7 == 3) != errors.Is(err, errGuilty) || (i%7 != 3) != (answer == nil) {
				f.Errorf("member %d: %v", i, answer)
			}
		}
		seen(f, "posted", 17, posted(c.ID))
	}},
	{"what the database refuses fails the guilty alone", func(f *fixture) {
		c := f.client()
		overdrawn := func(tx tallygate.Tx) error { // written late, with the shared rows
			c, err := tx.Client(c.ID)
			if err != nil {
				return err
			}
			c.Balance.Held = -1
			return tx.SaveAccount(c)
		}
		twice := func(tx tallygate.Tx) error { return tx.InsertClient(c) } // written at once
		answers := f.together(earn(c.ID, 1), overdrawn, earn(c.ID, 1), twice, earn(c.ID, 1))
		for i, answer := range answers {
			err, _ := answer.(error)
			if guilty := i%2 == 1; guilty != tallygate.IsCode(err, tallygate.DatabaseError) || !guilty && answer != nil {
				f.Errorf("member %d: %v", i, answer)
			}
		}
		seen(f, "posted", 3, posted(c.ID))
	}},
	{"a panic reaches its caller alone", func(f *fixture) {
		c := f.client()
		wild := func(before func(tx tallygate.Tx) error) func(tx tallygate.Tx) error {
			return func(tx tallygate.Tx) error {
				if err := before(tx); err != nil {
					return err
				}
				panic("out of hand")
			}
		}
		nothing := func(tallygate.Tx) error { return nil }
		for i, answer := range f.together(earn(c.ID, 1), wild(nothing), earn(c.ID, 1), wild(earn(c.ID, 1000)), earn(c.ID, 1)) {
			if wild := strings.Contains(fmt.Sprint(answer), "out of hand"); wild != (i%2 == 1) || !wild && answer != nil {
				f.Errorf("member %d: %v", i, answer)
			}
		}
		seen(f, "posted", 3, posted(c.ID))
	}},
	{"a view that panics leaves the store in order", func(f *fixture) {
		for range 50 { // more than there are connections
			func() {
				defer func() {
					if recover() == nil {
						f.Error("the panic was swallowed")
					}
				}()
				_ = f.store.View(context.Background(), func(tallygate.Tx) error { panic("out of hand") })
			}()
		}
		f.client()
	}},
	{"concurrent updates of one client lose nothing", func(f *fixture) {
		c := f.client()
		const writers, each = 8, 25
		var wg sync.WaitGroup
		for range writers {
			wg.Go(func() {
				for range each {
					if err := f.store.Update(context.Background(), earn(c.ID, 1)); err != nil {
						f.Error(err)
					}
				}
			})
		}
		wg.Wait()
		seen(f, "posted", writers*each, posted(c.ID))
	}},
	{"a caller who leaves before the write began withdraws it", func(f *fixture) {
		c := f.client()
		gate, running := make(chan struct{}), make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			first := sync.OnceFunc(func() { close(running) })
			_ = f.store.Update(context.Background(), func(tallygate.Tx) error { first(); <-gate; return nil })
		})
		<-running
		left, leave := context.WithCancel(context.Background())
		leave()
		err := f.store.Update(left, earn(c.ID, 1))
		close(gate)
		wg.Wait()
		if !tallygate.IsCode(err, tallygate.ServiceUnavailable) || !errors.Is(err, context.Canceled) {
			f.Errorf("the update was answered %v", err)
		}
		seen(f, "posted", 0, posted(c.ID))
	}},
	{"a caller who leaves after the write began gets its answer", func(f *fixture) {
		c := f.client()
		ctx, leave := context.WithCancel(context.Background())
		if err := f.store.Update(ctx, func(tx tallygate.Tx) error { leave(); return earn(c.ID, 1)(tx) }); err != nil {
			f.Error(err)
		}
		seen(f, "posted", 1, posted(c.ID))
	}},
	{"an idle store has no delay", func(f *fixture) {
		f.client()
		for f.store.Delay() != 0 { // the writer ends its batch just after it has answered
			runtime.Gosched()
		}
	}},
}

// refusedWrites tries every writing method in a view.
func refusedWrites(f *fixture) {
	c := f.client()
	j := f.newJob(c.ID, "x")
	k := f.newKey(c.ID)
	f.update(func(tx tallygate.Tx) error {
		for _, err := range []error{live(tx, j), tx.SaveJobType(newJobType("x")), tx.InsertKey(k)} {
			if err != nil {
				return err
			}
		}
		return nil
	})
	for name, write := range map[string]func(tx tallygate.Tx) error{
		"InsertClient":  func(tx tallygate.Tx) error { return tx.InsertClient(f.newClient()) },
		"SaveClient":    func(tx tallygate.Tx) error { return tx.SaveClient(c) },
		"SaveAccount":   earn(c.ID, 1),
		"RaiseRevision": func(tx tallygate.Tx) error { _, err := tx.RaiseRevision(); return err },
		"InsertKey":     func(tx tallygate.Tx) error { return tx.InsertKey(f.newKey(c.ID)) },
		"SaveKey":       func(tx tallygate.Tx) error { return tx.SaveKey(k) },
		"TouchKey":      func(tx tallygate.Tx) error { return tx.TouchKey(k.ID, noon) },
		"InsertEntry":   func(tx tallygate.Tx) error { return tx.InsertEntry(f.newEntry(c.ID, 1)) },
		"SaveJobType":   func(tx tallygate.Tx) error { return tx.SaveJobType(newJobType("y")) },
		"DeleteJobType": func(tx tallygate.Tx) error { return tx.DeleteJobType("x") },
		"SavePrice":     func(tx tallygate.Tx) error { return tx.SavePrice("x", 1, tallygate.Price{}) },
		"SaveTypeLoad":  func(tx tallygate.Tx) error { return tx.SaveTypeLoad("x", &tallygate.TypeLoad{Live: 1}) },
		"InsertJob":     func(tx tallygate.Tx) error { return tx.InsertJob(f.newJob(c.ID, "x")) },
		"InsertOutcome": func(tx tallygate.Tx) error { return tx.InsertOutcome(outcome(j)) },
		"CountUsage":    func(tx tallygate.Tx) error { return tx.CountUsage(outcome(j)) },
		"DeleteJob":     func(tx tallygate.Tx) error { return tx.DeleteJob(c.ID, j.ID) },
		"Enqueue":       func(tx tallygate.Tx) error { return tx.Enqueue(item(f.newJob(c.ID, "x"))) },
		"SaveItem":      func(tx tallygate.Tx) error { return tx.SaveItem(item(j)) },
		"RemoveItem":    func(tx tallygate.Tx) error { return tx.RemoveItem(j.ID) },
		"SaveLane":      func(tx tallygate.Tx) error { return tx.SaveLane(&tallygate.Lane{Type: "x", ClientID: c.ID, Ready: 1}) },
		"InsertEvent":   func(tx tallygate.Tx) error { return tx.InsertEvent(&tallygate.Event{Kind: "job.log", At: noon}) },
		"KeepEvent": func(tx tallygate.Tx) error {
			return tx.KeepEvent(&tallygate.Event{Number: 9, Kind: "job.log", At: noon})
		},
		"InsertIdempotency": func(tx tallygate.Tx) error {
			return tx.InsertIdempotency(&tallygate.Idempotency{ClientID: c.ID, Key: "k"})
		},
		"DeleteIdempotency": func(tx tallygate.Tx) error { _, err := tx.DeleteIdempotency(noon, 1); return err },
	} {
		if err := f.store.View(context.Background(), write); err == nil {
			f.Errorf("%s was not refused", name)
		}
		// The error may be overlooked: the view's transaction must write nothing all the same.
		_ = f.store.View(context.Background(), func(tx tallygate.Tx) error { _ = write(tx); return nil })
	}
	seen(f, "the client", c, reads(c.ID))
	seen(f, "the item", item(j), readsItem(j.ID))
	seen(f, "the type", newJobType("x"), readsType("x"))
	seen(f, "the revision", 0, tallygate.Tx.Revision)
}
