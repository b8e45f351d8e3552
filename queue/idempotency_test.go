package queue_test

import (
	"context"
	"sync"
	"testing"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/queue"
)

// once is a submit under a key; the hash stands for the request.
func once(c *tallygate.Client, key string, hash byte, jobs ...queue.Submission) queue.Submit {
	sub := submission(c, jobs...)
	sub.Idempotency = tallygate.Idempotency{ClientID: c.ID, Key: key, RequestHash: [32]byte{hash}}
	return sub
}

func TestARepeatedSubmitAnswersTheSameJobsAsTheyAreNow(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", nil)
	c, other := w.client("1.00", nil), w.client("1.00", nil)
	first, replayed, err := w.queue.Submit(t.Context(), once(c, "k", 1, many(2, "x")...))
	if err != nil || replayed {
		t.Fatal(replayed, err)
	}
	for _, l := range w.lease(1, "x") {
		w.tell(l, success)
	}
	again, replayed, err := w.queue.Submit(t.Context(), once(c, "k", 1, many(2, "x")...))
	if err != nil || !replayed || len(again) != 2 || again[0].ID != first[0].ID || again[1].ID != first[1].ID {
		t.Fatalf("%d jobs, replayed %v, %v", len(again), replayed, err)
	}
	if again[0].Status() != tallygate.JobSucceeded || again[1].Status() != tallygate.JobQueued {
		t.Errorf("the jobs are %s and %s", again[0].Status(), again[1].Status())
	}
	if err := w.refuse(tallygate.InvalidParameter, once(c, "k", 2, asked("x"))); err.Field != tallygate.IdempotencyHeader {
		t.Errorf("another request with the key: %+v", err)
	}
	if jobs, replayed, err := w.queue.Submit(t.Context(), once(other, "k", 2, asked("x"))); err != nil || replayed || jobs[0].ClientID != other.ID {
		t.Errorf("another client with the key: %v, %v", replayed, err)
	}
	w.owns(c, "0.999", "0.001")
}

func TestARepeatedSubmitIsAnsweredWhateverHasBecomeOfItsType(t *testing.T) {
	most := amount("0.10")
	for name, change := range map[string]func(w *world){
		"dearer than the most it may cost": func(w *world) { w.jobType("x", priced("5.00", tallygate.CancelChargeNone)) },
		"with a stricter schema":           func(w *world) { w.jobType("x", func(t *tallygate.JobType) { t.InputSchema = []byte("false") }) },
		"closed":                           func(w *world) { w.jobType("x", func(t *tallygate.JobType) { t.Clients = []tallygate.ClientID{} }) },
		"deleted": func(w *world) {
			w.tell(w.start("x"), final)
			if err := w.queue.DeleteType(context.Background(), "x", ""); err != nil {
				w.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := testWorld(t)
			w.jobType("x", priced("0.10", tallygate.CancelChargeNone))
			c := w.client("0.10", nil) // and no money for another
			job := asked("x")
			job.MaxCost = &most
			first, _, err := w.queue.Submit(t.Context(), once(c, "k", 1, job))
			if err != nil {
				t.Fatal(err)
			}
			change(w)
			again, replayed, err := w.queue.Submit(t.Context(), once(c, "k", 1, job))
			if err != nil || !replayed || len(again) != 1 || again[0].ID != first[0].ID {
				t.Errorf("%d jobs, replayed %v, %v", len(again), replayed, err)
			}
		})
	}
}

func TestAFreshKeyIsLookedUpOnce(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", nil)
	c := w.client("1.00", nil)
	counting := &countingStore{Store: w.store}
	s := queue.New(counting, queue.Options{IDs: w.ids})
	for _, key := range []string{"", "k", "l"} {
		counting.views.Store(0)
		counting.updates.Store(0)
		if _, replayed, err := s.Submit(t.Context(), once(c, key, 1, asked("x"))); err != nil || replayed {
			t.Fatal(replayed, err)
		}
		if views, updates := counting.views.Load(), counting.updates.Load(); key != "" && views != 0 || updates != 1 { // the first learns the type
			t.Errorf("key %q took %d reads and %d writes", key, views, updates)
		}
	}
}

func TestARepeatedSubmitIsAnsweredWhileNothingCanBeWritten(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", nil)
	c := w.client("1.00", nil)
	first, _, err := w.queue.Submit(t.Context(), once(c, "k", 1, asked("x")))
	if err != nil {
		t.Fatal(err)
	}
	w.queue = queue.New(readOnly{w.store}, queue.Options{IDs: w.ids})
	again, replayed, err := w.queue.Submit(t.Context(), once(c, "k", 1, asked("x")))
	if err != nil || !replayed || again[0].ID != first[0].ID {
		t.Errorf("replayed %v, %v", replayed, err)
	}
	w.refuse(tallygate.InvalidParameter, once(c, "k", 2, asked("x")))
	w.refuse(tallygate.DatabaseError, once(c, "l", 1, asked("x")))
}

func TestARefusedSubmitLeavesItsKeyFree(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", priced("1.00", tallygate.CancelChargeNone))
	c := w.client("1.00", nil)
	w.refuse(tallygate.InsufficientBalance, once(c, "k", 1, many(2, "x")...))
	if _, replayed, err := w.queue.Submit(t.Context(), once(c, "k", 2, asked("x"))); err != nil || replayed {
		t.Errorf("replayed %v, %v", replayed, err)
	}
}

func TestTheSameSubmitFromManyAtOnceHasOneEffect(t *testing.T) {
	w := testNodes(t, 3)
	w.jobType("x", nil)
	c := w.client("1.00", nil)
	const callers = 30
	answers := make([]tallygate.JobID, callers)
	effects := make([]bool, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			jobs, replayed, err := w.at(i).queue.Submit(context.Background(), once(c, "k", 1, asked("x")))
			if err != nil {
				t.Error(err)
				return
			}
			answers[i], effects[i] = jobs[0].ID, !replayed
		})
	}
	wg.Wait()
	n := 0
	for i := range callers {
		if answers[i] != answers[0] {
			t.Fatalf("answers %v", answers)
		}
		if effects[i] {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d callers had the effect", n)
	}
	w.owns(c, "1.00", "0.001")
}

func TestARepeatedSubmitOfARemovedJobSaysSo(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", nil)
	c := w.client("1.00", nil)
	jobs, _, err := w.queue.Submit(t.Context(), once(c, "k", 1, asked("x")))
	if err != nil {
		t.Fatal(err)
	}
	w.tell(w.start("x"), success)
	w.do(func(tx tallygate.Tx) error { return tx.DeleteJob(c.ID, jobs[0].ID) })
	if _, _, err := w.queue.Submit(t.Context(), once(c, "k", 1, asked("x"))); !tallygate.IsCode(err, tallygate.JobNotFound) {
		t.Errorf("the repeated submit: %v", err)
	}
	w.owns(c, "0.999", "0.00")
}

func TestARepeatedCancelAnswersTheJobAsItIsNow(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", nil)
	c := w.client("1.00", nil)
	l := w.begin(c, "x")
	req := queue.Cancel{JobID: l.Job.ID, Client: c.ID, Idempotency: tallygate.Idempotency{ClientID: c.ID, Key: "k"}}
	if job, replayed, err := w.queue.Cancel(t.Context(), req); err != nil || replayed || job.Status() != tallygate.JobRunning || !job.Item.CancelRequested {
		t.Fatalf("%+v, replayed %v, %v", job, replayed, err)
	}
	w.tell(l, release)
	if job, replayed, err := w.queue.Cancel(t.Context(), req); err != nil || !replayed || job.Status() != tallygate.JobCancelled {
		t.Errorf("%+v, replayed %v, %v", job, replayed, err)
	}
}

func TestARepeatedSubmitIsReplayedWhateverWouldRefuseItNow(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", priced("0.10", tallygate.CancelChargeNone))
	c := w.client("1.00", nil)
	most := amount("0.10")
	sub := submission(c, queue.Submission{Type: "x", Input: []byte("{}"), Metadata: []byte("{}"), MaxCost: &most})
	sub.Idempotency = tallygate.Idempotency{ClientID: c.ID, Key: "k"}
	first, replayed, err := w.queue.Submit(t.Context(), sub)
	if err != nil || replayed {
		t.Fatalf("replayed %v, %v", replayed, err)
	}
	w.jobType("x", priced("5.00", tallygate.CancelChargeNone)) // past max_cost and balance
	sub.Admit = func() error { return tallygate.Errorf(tallygate.RateLimitExceeded, "no more of this type") }
	again, replayed, err := w.queue.Submit(t.Context(), sub)
	if err != nil || !replayed || again[0].ID != first[0].ID {
		t.Fatalf("replayed %v, %v", replayed, err)
	}
	sub.Idempotency.Key = "another"
	if _, _, err := w.queue.Submit(t.Context(), sub); !tallygate.IsCode(err, tallygate.RateLimitExceeded) {
		t.Errorf("a fresh submit: %v", err)
	}
}
