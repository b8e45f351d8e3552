package queue_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/queue"
	"github.com/tallygate/tallygate/store/enginetest"
)

func TestEndedJobsAreRemovedAfterTheirTypesTimeInBatches(t *testing.T) {
	t.Parallel()
	enginetest.Prepare(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, time.Now, queue.Options{})
		counting := &countingStore{Store: w.store}
		w.queue = queue.New(counting, queue.Options{IDs: w.ids, Every: time.Hour})
		w.jobType("short", func(t *tallygate.JobType) { t.Retention = 10 * time.Minute })
		w.jobType("large", func(t *tallygate.JobType) { t.Retention = 10 * time.Minute })
		w.jobType("long", nil)
		c := w.client("10.00", func(c *tallygate.Client) { c.Limits = tallygate.ClientLimits{} })
		w.submit(c, append(many(1200, "short"), many(5, "long")...)...)
		w.tellAll(w.lease(2000, "short", "long"), success)
		for _, large := range many(12, "large") {
			large.Input = []byte(`"` + strings.Repeat("x", 1<<20) + `"`)
			w.submit(c, large)
		}
		w.tellAll(w.lease(6, "large"), success)
		w.tellAll(w.lease(6, "large"), success)
		live := w.submit(c, asked("short"))[0].ID
		listed := func() map[string]int {
			count := map[string]int{}
			after := ""
			for {
				jobs, next, err := w.queue.Jobs(t.Context(), tallygate.JobFilter{}, tallygate.Page{After: after, Limit: 1000})
				if err != nil {
					t.Fatal(err)
				}
				for _, j := range jobs {
					count[j.Type]++
				}
				if next == "" {
					return count
				}
				after = next
			}
		}
		account := w.account(c)
		w.run()
		time.Sleep(10 * time.Minute)
		if got := listed(); got["short"] != 1201 || got["large"] != 12 || got["long"] != 5 {
			t.Errorf("before their time there are %v", got)
		}
		counting.updates.Store(0)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := listed(); got["short"] != 1 || got["large"] != 0 || got["long"] != 5 {
			t.Errorf("after their time there are %v", got)
		}
		if counting.updates.Load() < 1200/200+12/3 {
			t.Errorf("1200 small jobs and 12 of a MiB were removed in %d transactions", counting.updates.Load())
		}
		w.stands(live, tallygate.JobQueued)
		if w.account(c) != account {
			t.Errorf("the account is now %+v", w.account(c))
		}
		w.audit()

		// What ends after all was removed is removed in its turn.
		w.tell(w.start("short"), success)
		time.Sleep(12 * time.Minute)
		synctest.Wait()
		if got := listed(); got["short"] != 0 {
			t.Errorf("of those that ended later there are %v", got)
		}
	})
}

func TestWhatEndedWhileTheClockWasAheadIsRemovedInItsTime(t *testing.T) {
	enginetest.Prepare(t)
	synctest.Test(t, func(t *testing.T) {
		ahead := 30 * time.Minute
		w := newWorld(t, func() time.Time { return time.Now().Add(ahead) }, queue.Options{Every: time.Hour})
		w.jobType("x", func(t *tallygate.JobType) { t.Retention = time.Minute })
		c := w.client("1.00", nil)
		w.submit(c, many(3, "x")...)
		early := w.lease(3, "x")
		w.tellAll(early, success)
		ahead = 0
		late := w.begin(c, "x")
		w.tell(late, success)
		kept := func(l queue.Lease) bool {
			_, err := w.queue.Job(t.Context(), l.Job.ID)
			if err != nil && !tallygate.IsCode(err, tallygate.JobNotFound) {
				t.Fatal(err)
			}
			return err == nil
		}
		w.run()
		for _, c := range []struct {
			after       time.Duration
			early, late bool
		}{{30 * time.Second, true, true}, {30 * time.Minute, true, false}, {62 * time.Minute, false, false}} {
			time.Sleep(c.after - time.Since(late.Job.CreatedAt))
			synctest.Wait()
			if kept(late) != c.late || kept(early[0]) != c.early || kept(early[2]) != c.early {
				t.Errorf("after %s: ended early %v, late %v", c.after, kept(early[0]), kept(late))
			}
		}
	})
}

func TestIdempotencyRecordsAreKeptForADay(t *testing.T) {
	enginetest.Prepare(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, time.Now, queue.Options{})
		day := time.Now().Add(-24 * time.Hour)
		w.do(func(tx tallygate.Tx) error {
			for i := range 1200 { // more than one batch
				rec := &tallygate.Idempotency{ClientID: "cl_a", Key: fmt.Sprint("old ", i), CreatedAt: day.Add(time.Second)}
				if err := tx.InsertIdempotency(rec); err != nil {
					return err
				}
			}
			return tx.InsertIdempotency(&tallygate.Idempotency{ClientID: "cl_a", Key: "young", CreatedAt: day.Add(5 * time.Minute)})
		})
		kept := func() (n int) {
			t.Helper()
			if err := w.store.View(t.Context(), func(tx tallygate.Tx) error {
				n = 0
				for _, key := range []string{"old 0", "old 600", "old 1199", "young"} {
					rec, err := tx.Idempotency("cl_a", key)
					if err != nil {
						return err
					}
					if rec != nil {
						n++
					}
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			return n
		}
		w.run()
		time.Sleep(time.Second)
		if n := kept(); n != 4 {
			t.Errorf("within a day %d are left of 4", n)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n := kept(); n != 1 {
			t.Errorf("after a day %d are left, want the young one", n)
		}
	})
}

func TestUsageCountsEndedJobsByDayAndType(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", priced("0.10", tallygate.CancelChargeBase))
	w.jobType("y", nil)
	c, other := w.client("10.00", nil), w.client("10.00", nil)
	today := w.clock.Now().Truncate(24 * time.Hour)
	for _, end := range []queue.Report{success, success, final} {
		w.tell(w.begin(c, "x"), end)
	}
	w.cancel(w.submit(c, asked("x"))[0].ID)
	w.tell(w.begin(c, "y"), success)
	w.tell(w.begin(other, "x"), success)
	w.tell(w.begin(c, "x"), failure) // not an end
	w.clock.Advance(24 * time.Hour)
	w.sweep() // it waited past its time limit
	usage, err := w.queue.Usage(t.Context(), c.ID, today, today.AddDate(0, 0, 2))
	if err != nil {
		t.Fatal(err)
	}
	want := []tallygate.Usage{
		{Day: today, Type: "x", Succeeded: 2, Failed: 1, Cancelled: 1, Charged: amount("0.30")},
		{Day: today, Type: "y", Succeeded: 1, Charged: amount("0.001")},
		{Day: today.AddDate(0, 0, 1), Type: "x", Failed: 1},
	}
	if fmt.Sprint(usage) != fmt.Sprint(want) {
		t.Errorf("usage\n%+v, want\n%+v", usage, want)
	}
}
