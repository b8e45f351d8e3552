package queue_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/queue"
)

func TestALostLeaseCountsApartFromFailures(t *testing.T) {
	t.Parallel()
	w := testWorld(t)
	w.jobType("x", func(t *tallygate.JobType) { t.MaxAttempts = 2; t.TimeLimit = 24 * time.Hour })
	c := w.client("1.00", nil)
	id := w.submit(c, asked("x"))[0].ID
	for n := 1; n <= 9; n++ {
		l := w.start("x")
		if l.Attempt != int64(n) {
			t.Fatalf("attempt %d, want %d", l.Attempt, n)
		}
		w.clock.Advance(30*time.Second - time.Microsecond)
		w.sweep()
		w.stands(id, tallygate.JobRunning)
		w.clock.Advance(time.Microsecond)
		w.sweep()
		q := w.stands(id, tallygate.JobQueued).Item
		if q.State != tallygate.ItemReady || q.Losses != int64(n) || q.Failures != 0 {
			t.Fatalf("after loss %d the item is %+v", n, q)
		}
		w.owns(c, "1.00", "0.001")
	}
	w.tell(w.start("x"), failure) // the one failure that it may have
	w.clock.Advance(time.Second)
	w.sweep()
	w.start("x")
	w.clock.Advance(30 * time.Second)
	w.sweep()
	o := w.stands(id, tallygate.JobFailed).Outcome
	if o.Error.Code != tallygate.ProcessingFailed || !strings.Contains(o.Error.Message, "lost too often") || !strings.Contains(o.Error.Message, "it broke") || o.Token != "" {
		t.Errorf("the outcome is %+v, %+v", o, o.Error)
	}
	w.owns(c, "1.00", "0.00")
}

func TestAnAttemptPastItsTimeLimitCountsAsAFailure(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", func(t *tallygate.JobType) { t.MaxAttempts, t.AttemptTimeout, t.TimeLimit = 2, time.Minute, time.Hour })
	c := w.client("1.00", nil)
	l := w.begin(c, "x")
	w.keep(time.Minute)
	w.sweep()
	if q := w.waits(l.Job.ID); q.Failures != 1 || q.Losses != 0 || !strings.Contains(q.LastError.Message, "longer than its time limit") {
		t.Errorf("the item is %+v", q)
	}
	w.clock.Advance(time.Second)
	w.sweep()
	w.start("x")
	w.keep(time.Minute)
	w.sweep()
	if o := w.stands(l.Job.ID, tallygate.JobFailed).Outcome; o.Attempt != 2 || o.Error.Code != tallygate.ProcessingFailed || o.Token != "" {
		t.Errorf("the outcome is %+v", o)
	}
	w.owns(c, "1.00", "0.00")
}

func TestAJobPastItsTimeLimitFailsWhereverItStands(t *testing.T) {
	const limit = 2 * time.Minute
	for _, c := range []struct {
		name string
		// reach takes a job that has started to where it stands at its time limit.
		reach func(w *world, l queue.Lease, end time.Time)
	}{
		{"while it runs", func(w *world, l queue.Lease, end time.Time) { w.keep(end.Sub(w.clock.Now())) }},
		{"while it is ready for another attempt", func(w *world, l queue.Lease, end time.Time) {
			w.tell(l, release)
			w.clock.Advance(end.Sub(w.clock.Now()))
		}},
		{"while it waits for its retry", func(w *world, l queue.Lease, end time.Time) {
			w.tell(l, queue.Report{Outcome: queue.Failed, Message: "it broke", RetryAfter: limit - time.Microsecond})
			w.clock.Advance(end.Sub(w.clock.Now()))
		}},
		{"after its retry became ready", func(w *world, l queue.Lease, end time.Time) {
			w.tell(l, queue.Report{Outcome: queue.Failed, Message: "it broke", RetryAfter: limit - time.Microsecond})
			w.clock.Advance(end.Add(-time.Microsecond).Sub(w.clock.Now()))
			w.sweep()
			w.stands(l.Job.ID, tallygate.JobQueued)
			w.clock.Advance(time.Microsecond)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := testWorld(t)
			w.jobType("x", func(t *tallygate.JobType) { t.TimeLimit, t.AttemptTimeout = limit, time.Hour })
			client := w.client("1.00", nil)
			w.submit(client, asked("x"))
			w.clock.Advance(time.Hour) // in the queue it has no limit
			w.sweep()
			l := w.start("x")
			c.reach(w, l, w.clock.Now().Add(limit))
			if leases := w.lease(1, "x"); len(leases) > 0 {
				t.Error("it was leased at its time limit")
			}
			w.sweep()
			o := w.stands(l.Job.ID, tallygate.JobFailed).Outcome
			if o.Error.Code != tallygate.ProcessingFailed || !strings.Contains(o.Error.Message, "time limit of 2m0s has passed") || o.Token != "" || o.Charged != 0 {
				t.Errorf("the outcome is %+v, %+v", o, o.Error)
			}
			if tells := strings.Contains(o.Error.Message, "it broke"); tells != strings.Contains(c.name, "retry") {
				t.Errorf("the message is %q", o.Error.Message)
			}
			w.owns(client, "1.00", "0.00")
		})
	}
}

func TestAJobRunsNotBeforeItsTime(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", nil)
	c := w.client("1.00", nil)
	later, past := asked("x"), asked("x")
	later.RunAt, past.RunAt = w.clock.Now().Add(time.Hour), w.clock.Now().Add(-time.Hour)
	jobs := w.submit(c, later, past)
	first := w.start("x")
	if first.Job.ID != jobs[1].ID {
		t.Error("a job whose time has passed was not ready")
	}
	w.tell(first, success)
	w.clock.Advance(time.Hour - time.Microsecond)
	w.sweep()
	for _, l := range w.lease(1, "x") {
		t.Errorf("job %s was leased before its time", l.Job.ID)
	}
	w.waits(jobs[0].ID)
	w.clock.Advance(time.Microsecond)
	w.sweep()
	if got := w.start("x"); got.Job.ID != jobs[0].ID {
		t.Errorf("at its time %v was leased", got)
	}
	w.owns(c, "0.999", "0.001")
}

func TestOneSweepDoesAllThatIsDue(t *testing.T) {
	t.Parallel()
	w := testWorld(t)
	w.jobType("x", nil)
	c := w.client("10.00", func(c *tallygate.Client) { c.Limits = tallygate.ClientLimits{} })
	w.submit(c, many(700, "x")...)
	if n := len(w.lease(700, "x")); n != 700 {
		t.Fatalf("%d leases", n)
	}
	later := many(700, "x")
	for i := range later {
		later[i].RunAt = w.clock.Now().Add(time.Second)
	}
	w.submit(c, later...)
	w.clock.Advance(time.Minute)
	w.sweep()
	if a := w.account(c); a.Running != 0 || a.Queued != 1400 {
		t.Errorf("the account is %+v", a)
	}
	if n := len(w.lease(2000, "x")); n != 1400 {
		t.Errorf("%d are ready", n)
	}
	w.audit()
}

func TestASweepWithNothingDueWritesNothing(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", nil)
	w.begin(w.client("1.00", nil), "x")
	counting := &countingStore{Store: w.store}
	s := queue.New(counting, queue.Options{IDs: w.ids})
	for range 10 {
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := counting.updates.Load(); n != 0 {
		t.Errorf("%d updates", n)
	}
}

func TestATimeLimitFinerThanTheClockEndsAJobOnce(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", func(t *tallygate.JobType) { t.TimeLimit = time.Second + 500*time.Nanosecond })
	c := w.client("1.00", nil)
	l := w.begin(c, "x")
	w.tell(l, release)
	for range 3 {
		w.clock.Advance(time.Second)
		w.sweep()
		w.sweep()
		w.audit()
	}
	w.stands(l.Job.ID, tallygate.JobFailed)
	w.owns(c, "1.00", "0.00")
}

// watchedStore tells where the last look for due items began. While it is blind its views see nothing that was written
// after a time: a commit hangs.
type watchedStore struct {
	tallygate.Store
	from  time.Time
	blind time.Time // zero: it sees everything
}

type watchedTx struct {
	tallygate.Tx
	store *watchedStore
}

func (s *watchedStore) View(ctx context.Context, fn func(tallygate.Tx) error) error {
	return s.Store.View(ctx, func(tx tallygate.Tx) error { return fn(watchedTx{tx, s}) })
}

func (tx watchedTx) DueItems(from, to time.Time, limit int) ([]*tallygate.QueueItem, error) {
	if tx.store.from = from; !tx.store.blind.IsZero() {
		return nil, nil
	}
	return tx.Tx.DueItems(from, to, limit)
}

func (tx watchedTx) Seen() (time.Time, error) {
	if blind := tx.store.blind; !blind.IsZero() {
		return blind, nil
	}
	return tx.Tx.Seen()
}

func watchedWorld(t *testing.T) (*world, *watchedStore) {
	w := testWorld(t)
	watched := &watchedStore{Store: w.store}
	w.queue = queue.New(watched, queue.Options{IDs: w.ids, Jitter: func(d time.Duration) time.Duration { return d }})
	w.jobType("x", nil)
	return w, watched
}

// TestASweepBeginsWhereTheLastOneFoundNothing: what is long done may lie in the database's index for as long as somebody
// holds a snapshot.
func TestASweepBeginsWhereTheLastOneFoundNothing(t *testing.T) {
	w, watched := watchedWorld(t)
	c := w.client("1.00", nil)
	w.sweep()
	if !watched.from.IsZero() {
		t.Errorf("the first look began at %v", watched.from)
	}
	for range 3 {
		w.clock.Advance(10 * time.Second)
		written := w.clock.Now()
		w.submit(c, asked("x"))
		w.clock.Advance(time.Second)
		w.sweep()
		w.clock.Advance(time.Second)
		if w.sweep(); !watched.from.Equal(written) {
			t.Errorf("a look at %v began at %v, the last write was at %v", w.clock.Now(), watched.from, written)
		}
	}
	last := w.clock.Now()
	w.clock.Advance(10 * time.Minute)
	if w.sweep(); watched.from.IsZero() || last.Sub(watched.from) < time.Minute {
		t.Errorf("a look after minutes began at %v, where others began", watched.from)
	}
	w.clock.Advance(time.Hour)
	if w.sweep(); !watched.from.IsZero() {
		t.Errorf("a look after an hour began at %v, not at the beginning", watched.from)
	}
	w.clock.Advance(-10 * time.Minute)
	w.submit(c, asked("x"))
	w.sweep()
	w.clock.Advance(-10 * time.Minute)
	if w.sweep(); !watched.from.IsZero() {
		t.Errorf("a look after the clock was set back began at %v, not at the beginning", watched.from)
	}
}

func TestASweepFindsWhatWasCommittedLongAfterItsTime(t *testing.T) {
	w, watched := watchedWorld(t)
	c := w.client("1.00", nil)
	w.sweep()
	w.clock.Advance(time.Second)
	watched.blind = w.clock.Now().Add(-time.Second)
	l := w.begin(c, "x")
	for range 4 {
		w.clock.Advance(10 * time.Minute)
		w.sweep()
	}
	w.stands(l.Job.ID, tallygate.JobRunning)
	watched.blind = time.Time{}
	w.sweep()
	w.stands(l.Job.ID, tallygate.JobQueued)
	w.audit()
}

func TestLanesThatStayEmptyAreRemoved(t *testing.T) {
	inBubble(t, func(w *world) {
		w.jobType("x", nil)
		busy, idle := w.client("1.00", nil), w.client("1.00", nil)
		w.run()
		for range 5 { // half minutes
			w.submit(busy, asked("x"))
			w.tell(w.start("x"), success)
			if w.empty() == 0 {
				t.Error("an empty lane was removed at once")
			}
			time.Sleep(30 * time.Second)
		}
		w.submit(idle, asked("x"))
		w.tell(w.start("x"), success)
		time.Sleep(3 * time.Minute)
		if n := w.empty(); n != 0 {
			t.Errorf("%d empty lanes stay", n)
		}
		w.submit(idle, asked("x"))
		w.tell(w.start("x"), success)
		w.audit()
		w.queue.Stop()
	})
}

// empty counts the lanes that have a row without need.
func (w *world) empty() (n int) {
	w.Helper()
	err := w.store.View(context.Background(), func(tx tallygate.Tx) error {
		lanes, err := tx.EmptyLanes(10)
		n = len(lanes)
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	return n
}
