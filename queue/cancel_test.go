package queue_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/queue"
)

func TestCancellingAJobThatDoesNotRunEndsItAtOnce(t *testing.T) {
	t.Parallel()
	for _, state := range []struct {
		name  string
		reach func(w *world, c *tallygate.Client) tallygate.JobID
	}{
		{"ready", func(w *world, c *tallygate.Client) tallygate.JobID { return w.submit(c, asked("x"))[0].ID }},
		{"waiting for its time", func(w *world, c *tallygate.Client) tallygate.JobID {
			sub := asked("x")
			sub.RunAt = w.clock.Now().Add(time.Hour)
			return w.submit(c, sub)[0].ID
		}},
		{"waiting for its retry", func(w *world, c *tallygate.Client) tallygate.JobID {
			l := w.begin(c, "x")
			w.tell(l, failure)
			return l.Job.ID
		}},
		{"released", func(w *world, c *tallygate.Client) tallygate.JobID {
			l := w.begin(c, "x")
			w.tell(l, release)
			return l.Job.ID
		}},
	} {
		for charge, want := range map[tallygate.CancelCharge]string{
			tallygate.CancelChargeNone: "0.00", tallygate.CancelChargeBase: "0.10", tallygate.CancelChargeHold: "0.30",
		} {
			t.Run(state.name+" charging "+string(charge), func(t *testing.T) {
				w := testWorld(t)
				w.jobType("x", func(t *tallygate.JobType) {
					t.Price = tallygate.Price{Base: amount("0.10"), Units: map[string]tallygate.UnitPrice{"page": {Price: amount("0.02"), Max: 10}}}
					t.CancelCharge = charge
				})
				c := w.client("1.00", nil)
				id := state.reach(w, c)
				o := w.cancel(id).Outcome
				if o == nil || o.Status != tallygate.JobCancelled || o.Charged.String() != want || o.Released != amount("0.30")-o.Charged || o.Token != "" || o.Error != nil {
					t.Fatalf("the outcome is %+v", o)
				}
				posted := amount("1.00") - o.Charged
				w.owns(c, posted.String(), "0.00")
				if a := w.account(c); a.Queued != 0 || a.Running != 0 {
					t.Errorf("the account is %+v", a)
				}
				before := show(w.job(id))
				if after := show(w.cancel(id)); after != before {
					t.Errorf("cancelled again it is\n%s, was\n%s", after, before)
				}
				if got := w.lease(1, "x"); len(got) != 0 {
					t.Error("it was leased after its end")
				}
				for _, r := range []queue.Report{success, failure, release} { // no token has settled it, nor has none
					if err := w.say(queue.Lease{Job: &tallygate.Job{ID: id}}, r); !tallygate.IsCode(err, tallygate.InvalidRequest) {
						t.Errorf("%s without a token: %v", r.Outcome, err)
					}
				}
				w.owns(c, posted.String(), "0.00")
			})
		}
	}
}

func TestCancellingARunningJobAsksItsWorkerToStop(t *testing.T) {
	for _, c := range []struct {
		name    string
		end     func(w *world, l queue.Lease)
		status  tallygate.JobStatus
		charged string
	}{
		{"a success that comes first wins", func(w *world, l queue.Lease) { w.tell(l, success) }, tallygate.JobSucceeded, "0.30"},
		{"a release makes it cancelled", func(w *world, l queue.Lease) { w.tell(l, release) }, tallygate.JobCancelled, "0.10"},
		{"a failure makes it cancelled", func(w *world, l queue.Lease) { w.tell(l, failure) }, tallygate.JobCancelled, "0.10"},
		{"a final failure makes it cancelled", func(w *world, l queue.Lease) { w.tell(l, final) }, tallygate.JobCancelled, "0.10"},
		{"the end of its lease makes it cancelled", func(w *world, l queue.Lease) { w.clock.Advance(30 * time.Second); w.sweep() }, tallygate.JobCancelled, "0.10"},
		{"the end of its attempt makes it cancelled", func(w *world, l queue.Lease) { w.keep(5 * time.Minute); w.sweep() }, tallygate.JobCancelled, "0.10"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := testWorld(t)
			w.jobType("x", func(t *tallygate.JobType) {
				t.Price = tallygate.Price{Base: amount("0.10"), Units: map[string]tallygate.UnitPrice{"page": {Price: amount("0.20"), Max: 1}}}
				t.CancelCharge = tallygate.CancelChargeBase
			})
			client := w.client("1.00", nil)
			l := w.begin(client, "x")
			for range 2 { // once more changes nothing
				if job := w.cancel(l.Job.ID); job.Status() != tallygate.JobRunning || !job.Item.CancelRequested {
					t.Fatalf("the job is %+v", job.Item)
				}
			}
			w.owns(client, "1.00", "0.30")
			if kinds := w.kinds(l.Job.ID); strings.Count(strings.Join(kinds, " "), "cancel_requested") != 1 {
				t.Errorf("events %q", kinds)
			}
			if c.status == tallygate.JobSucceeded {
				w.tell(l, queue.Report{Outcome: queue.Succeeded, Result: []byte("1"), Units: map[string]int64{"page": 1}})
			} else {
				c.end(w, l)
			}
			o := w.stands(l.Job.ID, c.status).Outcome
			if o.Charged.String() != c.charged {
				t.Errorf("charged %s, want %s", o.Charged, c.charged)
			}
			w.owns(client, (amount("1.00") - o.Charged).String(), "0.00")
		})
	}
}

func TestAJobThatIsCancelledWhileItRunsIsNotTriedAgain(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", nil)
	c := w.client("1.00", nil)
	l := w.begin(c, "x")
	w.cancel(l.Job.ID)
	w.clock.Advance(30 * time.Second)
	w.sweep()
	if err := w.say(l, success); !tallygate.IsCode(err, tallygate.InvalidRequest) {
		t.Errorf("its late success: %v", err)
	}
	if err := w.say(l, failure); !tallygate.IsCode(err, tallygate.InvalidRequest) {
		t.Errorf("its late failure: %v", err)
	}
	w.owns(c, "1.00", "0.00")
}

func TestAnAbandonedJobEndsAtOnceAndIsFree(t *testing.T) {
	for _, running := range []bool{false, true} {
		w := testWorld(t)
		w.jobType("x", priced("0.10", tallygate.CancelChargeHold))
		c := w.client("1.00", nil)
		id := w.submit(c, asked("x"))[0].ID
		var l queue.Lease
		if running {
			l = w.start("x")
		}
		job, _, err := w.queue.Cancel(t.Context(), queue.Cancel{JobID: id, Client: c.ID, Abandon: true})
		if err != nil || job.Status() != tallygate.JobCancelled || job.Outcome.Charged != 0 || job.Outcome.Token != "" {
			t.Fatalf("running %v: %+v, %v", running, job.Outcome, err)
		}
		if running {
			for _, r := range []queue.Report{success, failure, release} { // none of them settled it
				if err := w.say(l, r); !tallygate.IsCode(err, tallygate.InvalidRequest) {
					t.Errorf("%s after the end: %v", r.Outcome, err)
				}
			}
		}
		w.owns(c, "1.00", "0.00")
	}
}

func TestACancelledJobIsChargedByThePriceAndRuleOfItsSubmit(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", priced("0.10", tallygate.CancelChargeBase))
	c := w.client("10.00", nil)
	id := w.submit(c, asked("x"))[0].ID
	w.jobType("x", priced("5.00", tallygate.CancelChargeNone))
	if o := w.cancel(id).Outcome; o.Charged != amount("0.10") {
		t.Errorf("charged %s", o.Charged)
	}
}

func TestCancellingAJobThatHasEndedLeavesItAlone(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", priced("0.10", tallygate.CancelChargeHold))
	c := w.client("1.00", nil)
	for _, r := range []queue.Report{success, final} {
		l := w.begin(c, "x")
		w.tell(l, r)
		before, kinds := show(w.job(l.Job.ID)), len(w.kinds(l.Job.ID))
		if after := show(w.cancel(l.Job.ID)); after != before || len(w.kinds(l.Job.ID)) != kinds {
			t.Errorf("%s: it was changed from\n%s to\n%s", r.Outcome, before, after)
		}
	}
	w.owns(c, "0.90", "0.00")
}

func TestOnlyAClientsOwnJobsAreFound(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", nil)
	c, other := w.client("1.00", nil), w.client("1.00", nil)
	ended := w.begin(c, "x")
	w.tell(ended, success)
	queued := w.submit(c, asked("x"))[0].ID
	ids := map[string]queue.Cancel{
		"another's queued one": {JobID: queued, Client: other.ID},
		"another's ended one":  {JobID: ended.Job.ID, Client: other.ID},
		"none":                 {JobID: "job_00000000000000000000000000", Client: c.ID},
		"an id of no shape":    {JobID: "job_1"},
		"another kind's id":    {JobID: tallygate.JobID(c.ID)},
		"an empty id":          {},
	}
	for name, req := range ids {
		if _, _, err := w.queue.Cancel(t.Context(), req); !tallygate.IsCode(err, tallygate.JobNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, id := range []tallygate.JobID{"", "job_1", "job_00000000000000000000000000", tallygate.JobID(c.ID)} {
		if _, err := w.queue.Job(t.Context(), id); !tallygate.IsCode(err, tallygate.JobNotFound) {
			t.Errorf("job %q: %v", id, err)
		}
	}
	w.stands(queued, tallygate.JobQueued)
}
