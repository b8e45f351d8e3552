package queue_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/queue"
)

// TestWhateverRacesAJobIsSettledOnce lets finish, failure, release, cancel, loss and time limits race for one job.
func TestWhateverRacesAJobIsSettledOnce(t *testing.T) {
	t.Parallel()
	const seed, rounds = 1, 150
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	w := testNodes(t, 3)
	w.jobType("x", func(t *tallygate.JobType) {
		t.Price = tallygate.Price{Base: amount("0.10"), Units: map[string]tallygate.UnitPrice{"page": {Price: amount("0.01"), Max: 10}}}
		t.CancelCharge, t.TimeLimit = tallygate.CancelChargeBase, 2*time.Minute
	})
	c := w.client("100.00", nil)
	want := amount("100.00")
	ended := map[tallygate.JobStatus]int64{}
	for round := range rounds {
		l := w.begin(c, "x")
		if random.IntN(3) == 0 {
			w.cancel(l.Job.ID)
		}
		w.clock.Advance([]time.Duration{0, 30 * time.Second, 2 * time.Minute}[random.IntN(3)]) // nothing, the lease or the job is over
		report := func(r queue.Report) func(*world) error {
			return func(w *world) error { return w.say(l, r) }
		}
		racers := []struct {
			name string
			act  func(*world) error
			ends []tallygate.JobStatus // what its acceptance tells of the end; nil: nothing
		}{
			{"success", report(queue.Report{Outcome: queue.Succeeded, Result: []byte("1"), Units: map[string]int64{"page": 3}}), []tallygate.JobStatus{tallygate.JobSucceeded}},
			{"failure", report(final), []tallygate.JobStatus{tallygate.JobFailed, tallygate.JobCancelled}},
			{"release", report(release), nil},
			{"cancel", func(w *world) error { w.cancel(l.Job.ID); return nil }, nil},
			{"abandon", func(w *world) error { w.abandon(l.Job.ID); return nil }, nil},
			{"sweep", func(w *world) error { return w.queue.Sweep(context.Background()) }, nil},
			{"heartbeat", func(w *world) error {
				_, _, err := w.queue.Heartbeat(context.Background(), queue.Beat{JobID: l.Job.ID, Token: l.Token})
				return err
			}, nil},
		}
		random.Shuffle(len(racers), func(i, j int) { racers[i], racers[j] = racers[j], racers[i] })
		racers = racers[:3+random.IntN(len(racers)-2)]
		answers := make([]error, len(racers))
		var wg sync.WaitGroup
		for i, r := range racers {
			wg.Go(func() { answers[i] = r.act(w.at(i)) })
		}
		wg.Wait()
		w.cancel(l.Job.ID) // what was put back or goes on
		w.clock.Advance(3 * time.Minute)
		w.sweep()

		job := w.job(l.Job.ID)
		o := job.Outcome
		if o == nil {
			t.Fatalf("round %d: the job is %s", round, job.Status())
		}
		for i, r := range racers {
			if r.ends != nil && answers[i] == nil && !slices.Contains(r.ends, o.Status) {
				t.Errorf("round %d: a %s was accepted and the job is %s", round, r.name, o.Status)
			}
		}
		want -= o.Charged
		ended[o.Status]++
		if b := w.account(c).Balance; b.Posted != want || b.Held != 0 {
			t.Fatalf("round %d: the balance is %+v, want %s: %s", round, b, want, show(job))
		}
	}
	if len(ended) != 3 {
		t.Errorf("the ends are %v", ended)
	}
	usage, err := w.queue.Usage(t.Context(), c.ID, w.clock.Now().AddDate(0, 0, -3), w.clock.Now().AddDate(0, 0, 1))
	if err != nil {
		t.Fatal(err)
	}
	counted := map[tallygate.JobStatus]int64{}
	for _, u := range usage {
		counted[tallygate.JobSucceeded] += u.Succeeded
		counted[tallygate.JobFailed] += u.Failed
		counted[tallygate.JobCancelled] += u.Cancelled
	}
	if fmt.Sprint(counted) != fmt.Sprint(ended) {
		t.Errorf("usage counts %v, there are %v", counted, ended)
	}
	w.audit()
}
