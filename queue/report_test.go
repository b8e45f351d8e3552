package queue_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/queue"
)

func TestASuccessIsChargedByWhatWasUsed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		units   map[string]int64
		charged string // empty: refused
		says    string
	}{
		{"what was used", map[string]int64{"page": 12, "image": 1}, "0.084", ""},
		{"a unit left out is none", map[string]int64{"page": 12}, "0.034", ""},
		{"no units", nil, "0.01", ""},
		{"none of each", map[string]int64{"page": 0, "image": 0}, "0.01", ""},
		{"the most", map[string]int64{"page": 100, "image": 2}, "0.31", ""},
		{"more than the most is charged as the most", map[string]int64{"page": 1 << 62, "image": 3}, "0.31", ""},
		{"an unknown unit", map[string]int64{"pages": 12}, "", "/units/pages: the job type does not meter it (it meters: image, page)"},
		{"a negative unit", map[string]int64{"page": -1}, "", "/units/page: must be 0 or more"},
		{"all that is wrong", map[string]int64{"page": -1, "a": 1, "b": 2}, "", "/units/a: the job type does not meter it (it meters: image, page); /units/b: the job type does not meter it (it meters: image, page); /units/page: must be 0 or more"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := testWorld(t)
			w.jobType("x", func(t *tallygate.JobType) {
				t.Price = tallygate.Price{Base: amount("0.01"), Units: map[string]tallygate.UnitPrice{
					"page": {Price: amount("0.002"), Max: 100}, "image": {Price: amount("0.05"), Max: 2},
				}}
			})
			client := w.client("1.00", nil)
			l := w.begin(client, "x")
			w.owns(client, "1.00", "0.31")
			w.clock.Advance(time.Second)
			err := w.say(l, queue.Report{Outcome: queue.Succeeded, Result: []byte(`{"done":true}`), Units: c.units})
			if c.charged == "" {
				if e := tallygate.AsError(err); e.Code != tallygate.InvalidParameter || e.Detail != c.says {
					t.Errorf("refused with %v", err)
				}
				w.stands(l.Job.ID, tallygate.JobRunning)
				w.tell(l, success) // the lease is still good
				w.owns(client, "0.99", "0.00")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			o := w.stands(l.Job.ID, tallygate.JobSucceeded).Outcome
			if o.Charged != amount(c.charged) || o.Released != amount("0.31")-o.Charged || string(o.Result) != `{"done":true}` || !maps.Equal(o.Units, c.units) ||
				o.Attempt != 1 || o.Error != nil || o.Token != l.Token || !o.FinishedAt.Equal(w.clock.Now()) || !o.StartedAt.Equal(w.clock.Now().Add(-time.Second)) {
				t.Errorf("the outcome is %+v", o)
			}
			w.owns(client, (amount("1.00") - o.Charged).String(), "0.00")
		})
	}
}

func TestAUnitOfATypeThatMetersNothingIsRefused(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", nil)
	l := w.begin(w.client("1.00", nil), "x")
	err := w.say(l, queue.Report{Outcome: queue.Succeeded, Units: map[string]int64{"page": 1}})
	if e := tallygate.AsError(err); e.Code != tallygate.InvalidParameter || !strings.Contains(e.Detail, "it meters: nothing") {
		t.Errorf("refused with %v", err)
	}
}

func TestAJobIsChargedByThePriceItWasSubmittedUnder(t *testing.T) {
	w := testWorld(t)
	per := func(base, page string) func(*tallygate.JobType) {
		return func(t *tallygate.JobType) {
			t.Price = tallygate.Price{Base: amount(base), Units: map[string]tallygate.UnitPrice{"page": {Price: amount(page), Max: 10}}}
			t.CancelCharge = tallygate.CancelChargeBase
		}
	}
	w.jobType("x", per("0.10", "0.01"))
	c := w.client("10.00", nil)
	old, dropped := w.submit(c, asked("x"))[0], w.submit(c, asked("x"))[0]
	w.jobType("x", per("1.00", "0.10"))
	newer := w.submit(c, asked("x"))[0]
	w.jobType("x", func(t *tallygate.JobType) { per("3.00", "0")(t); t.Price.Units = nil }) // the unit is metered no more
	w.owns(c, "10.00", "2.40")
	w.cancel(dropped.ID)
	for _, l := range w.lease(10, "x") {
		w.tell(l, queue.Report{Outcome: queue.Succeeded, Result: []byte("1"), Units: map[string]int64{"page": 5}})
	}
	for id, want := range map[tallygate.JobID]string{old.ID: "0.15", newer.ID: "1.50", dropped.ID: "0.10"} {
		if o := w.job(id).Outcome; o.Charged.String() != want {
			t.Errorf("a job was charged %s, want %s", o.Charged, want)
		}
	}
	w.owns(c, "8.25", "0.00")
}

func TestAFailedAttemptIsTriedAgainAfterABackoff(t *testing.T) {
	t.Parallel()
	w := testWorld(t)
	w.jobType("x", func(t *tallygate.JobType) { t.MaxAttempts = 12 })
	c := w.client("1.00", nil)
	id := w.submit(c, asked("x"))[0].ID
	for n, want := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300} { // seconds: doubled up to five minutes
		l := w.start("x")
		if l.Attempt != int64(n+1) {
			t.Fatalf("attempt %d, want %d", l.Attempt, n+1)
		}
		w.tell(l, failure)
		q := w.waits(id)
		if got := q.At.Sub(w.clock.Now()); got != want*time.Second {
			t.Errorf("after failure %d the backoff is %s, want %ds", n+1, got, want)
		}
		if q.Failures != int64(n+1) || q.LastError.Message != "it broke" || q.LastError.Code != tallygate.ProcessingFailed {
			t.Errorf("after failure %d the item is %+v", n+1, q)
		}
		w.clock.Advance(want*time.Second - time.Microsecond)
		w.sweep()
		if got := w.lease(1, "x"); len(got) != 0 {
			t.Fatal("it was leased before its time")
		}
		w.clock.Advance(time.Microsecond)
		w.sweep()
		w.owns(c, "1.00", "0.001")
	}
	w.tell(w.start("x"), failure)
	o := w.stands(id, tallygate.JobFailed).Outcome
	if o.Attempt != 12 || o.Error.Message != "it broke" || o.Charged != 0 || o.Released != amount("0.001") {
		t.Errorf("the outcome is %+v", o)
	}
	w.owns(c, "1.00", "0.00")
}

func TestWhatAFailureMeans(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		report queue.Report
		failed bool
		wait   time.Duration
		code   tallygate.Code
	}{
		{"a plain one", failure, false, time.Second, tallygate.ProcessingFailed},
		{"final", final, true, 0, tallygate.ProcessingFailed},
		{"upstream", queue.Report{Outcome: queue.Failed, Code: tallygate.ExternalServiceError}, false, time.Second, tallygate.ExternalServiceError},
		{"upstream and final", queue.Report{Outcome: queue.Failed, Code: tallygate.ExternalServiceError, Final: true}, true, 0, tallygate.ExternalServiceError},
		{"a code that is no job's", queue.Report{Outcome: queue.Failed, Code: tallygate.DatabaseError, Final: true}, true, 0, tallygate.ProcessingFailed},
		{"with a longer wait", queue.Report{Outcome: queue.Failed, RetryAfter: 20 * time.Second}, false, 20 * time.Second, tallygate.ProcessingFailed},
		{"with a shorter wait than the backoff", queue.Report{Outcome: queue.Failed, RetryAfter: time.Millisecond}, false, time.Second, tallygate.ProcessingFailed},
		{"with a wait past the job's time limit", queue.Report{Outcome: queue.Failed, RetryAfter: time.Hour}, true, 0, tallygate.ProcessingFailed},
		{"with a wait just within it", queue.Report{Outcome: queue.Failed, RetryAfter: time.Hour - time.Microsecond}, false, time.Hour - time.Microsecond, tallygate.ProcessingFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := testWorld(t)
			w.jobType("x", nil)
			client := w.client("1.00", nil)
			l := w.begin(client, "x")
			w.tell(l, c.report)
			if c.failed {
				o := w.stands(l.Job.ID, tallygate.JobFailed).Outcome
				if o.Error.Code != c.code || o.Charged != 0 || o.Token != l.Token {
					t.Errorf("the outcome is %+v", o)
				}
				w.owns(client, "1.00", "0.00")
				return
			}
			if q := w.waits(l.Job.ID); q.At.Sub(w.clock.Now()) != c.wait || q.LastError.Code != c.code {
				t.Errorf("the item is %+v", q)
			}
			w.owns(client, "1.00", "0.001")
		})
	}
}

func TestAReleasedJobIsReadyAtOnceAndSpendsNoAttempt(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", func(t *tallygate.JobType) { t.MaxAttempts = 1 })
	c := w.client("1.00", nil)
	first, second := asked("x"), asked("x")
	jobs := w.submit(c, first, second)
	seen := map[string]bool{}
	for range 5 {
		l := w.lease(1, "x")[0]
		if l.Job.ID != jobs[0].ID || l.Attempt != 1 || seen[l.Token] {
			t.Fatalf("the lease is %+v", l)
		}
		seen[l.Token] = true
		w.tell(l, release)
		if q := w.stands(l.Job.ID, tallygate.JobQueued).Item; q.State != tallygate.ItemReady || q.Failures != 0 || q.Losses != 0 {
			t.Fatalf("the item is %+v", q)
		}
	}
	w.owns(c, "1.00", "0.002")
}

func TestAReportUnderAnOldTokenIsRefusedAndChangesNothing(t *testing.T) {
	ways := map[string]func(w *world, l queue.Lease){
		"after a loss": func(w *world, _ queue.Lease) { w.clock.Advance(30 * time.Second); w.sweep() },
		"after an attempt's limit": func(w *world, _ queue.Lease) {
			w.keep(5 * time.Minute)
			w.sweep()
			w.clock.Advance(time.Second)
			w.sweep()
		},
		"after a release": func(w *world, l queue.Lease) { w.tell(l, release) },
		"after a failure": func(w *world, l queue.Lease) { w.tell(l, failure); w.clock.Advance(time.Second); w.sweep() },
	}
	for way, lose := range ways {
		t.Run(way, func(t *testing.T) {
			w := testWorld(t)
			w.jobType("x", nil)
			c := w.client("1.00", nil)
			old := w.begin(c, "x")
			lose(w, old)
			var current queue.Lease
			for _, stage := range []struct {
				name string
				step func()
			}{
				{"while nobody holds it", func() {}},
				{"while another holds it", func() { current = w.start("x") }},
				{"after its end", func() { w.tell(current, success) }},
			} {
				stage.step()
				before, account := show(w.job(old.Job.ID)), w.account(c)
				for _, r := range []queue.Report{success, failure, final, release} {
					if err := w.say(old, r); !tallygate.IsCode(err, tallygate.InvalidRequest) {
						t.Errorf("%s: %s: %v", stage.name, r.Outcome, err)
					}
				}
				if _, _, err := w.queue.Heartbeat(t.Context(), queue.Beat{JobID: old.Job.ID, Token: old.Token, Logs: []string{"late"}}); !tallygate.IsCode(err, tallygate.InvalidRequest) {
					t.Errorf("%s: a heartbeat: %v", stage.name, err)
				}
				if after := show(w.job(old.Job.ID)); after != before || w.account(c) != account {
					t.Errorf("%s: it was changed from\n%s to\n%s", stage.name, before, after)
				}
				for _, token := range []string{"", "lease_" + strings.Repeat("0", 26)} {
					if err := w.say(queue.Lease{Job: old.Job, Token: token}, success); !tallygate.IsCode(err, tallygate.InvalidRequest) {
						t.Errorf("%s: the token %q: %v", stage.name, token, err)
					}
				}
			}
			w.owns(c, "0.999", "0.00")
		})
	}
}

func TestAReportOfAnUnknownJobIsRefused(t *testing.T) {
	w := testWorld(t)
	if err := w.say(queue.Lease{Job: &tallygate.Job{ID: "job_00000000000000000000000000"}, Token: "t"}, success); !tallygate.IsCode(err, tallygate.JobNotFound) {
		t.Errorf("refused with %v", err)
	}
}

func TestTheReportThatSettledAJobMayBeRepeated(t *testing.T) {
	for _, c := range []struct {
		name    string
		cancel  bool
		report  queue.Report
		ended   tallygate.JobStatus
		others  []queue.Report // accepted too, since they say the same
		refused []queue.Report // with the same token
	}{
		{"a success", false, success, tallygate.JobSucceeded, nil, []queue.Report{failure, final, release}},
		{"a final failure", false, final, tallygate.JobFailed, []queue.Report{failure}, []queue.Report{success}},
		{"a release of a cancelled job", true, release, tallygate.JobCancelled, []queue.Report{failure}, []queue.Report{success}},
		{"a failure of a cancelled job", true, failure, tallygate.JobCancelled, []queue.Report{release}, []queue.Report{success}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := testWorld(t)
			w.jobType("x", priced("0.10", tallygate.CancelChargeBase))
			client := w.client("1.00", nil)
			l := w.begin(client, "x")
			if c.cancel {
				w.cancel(l.Job.ID)
			}
			w.tell(l, c.report)
			before, account := show(w.stands(l.Job.ID, c.ended)), w.account(client)
			for _, r := range append([]queue.Report{c.report, c.report}, c.others...) {
				if err := w.say(l, r); err != nil {
					t.Errorf("%s repeated: %v", r.Outcome, err)
				}
			}
			for _, r := range c.refused {
				if err := w.say(l, r); !tallygate.IsCode(err, tallygate.InvalidRequest) {
					t.Errorf("%s instead: %v", r.Outcome, err)
				}
			}
			if _, _, err := w.queue.Heartbeat(t.Context(), queue.Beat{JobID: l.Job.ID, Token: l.Token}); !tallygate.IsCode(err, tallygate.InvalidRequest) {
				t.Errorf("a heartbeat: %v", err)
			}
			if after := show(w.job(l.Job.ID)); after != before || w.account(client) != account {
				t.Errorf("it was changed from\n%s to\n%s", before, after)
			}
			w.audit()
		})
	}
}

func TestEachReportOfABatchHasAResultOfItsOwn(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", nil)
	c := w.client("1.00", nil)
	w.submit(c, many(6, "x")...)
	l := w.lease(4, "x")
	settle := func(l queue.Lease, r queue.Report) queue.Report {
		r.JobID, r.Token = l.Job.ID, l.Token
		return r
	}
	reports := []queue.Report{
		settle(l[0], success),
		settle(queue.Lease{Job: l[1].Job, Token: "stale"}, success),
		settle(l[2], queue.Report{Outcome: queue.Succeeded, Units: map[string]int64{"page": 1}}),
		settle(l[3], failure),
		settle(l[0], success), // repeated in the same batch
		settle(l[0], release),
	}
	results, next, err := w.queue.Report(t.Context(), reports, &queue.LeaseRequest{Types: []string{"x"}, Max: 10, Worker: "host-2"})
	if err != nil {
		t.Fatal(err)
	}
	for i, code := range []any{nil, tallygate.InvalidRequest, tallygate.InvalidParameter, nil, nil, tallygate.InvalidRequest} {
		if code == nil && results[i] != nil || code != nil && !tallygate.IsCode(results[i], code.(tallygate.Code)) {
			t.Errorf("report %d: %v, want %v", i, results[i], code)
		}
	}
	if len(next) != 2 {
		t.Errorf("%d next leases", len(next))
	}
	w.owns(c, "0.999", "0.005")
}

// keep renews the current lease of every running job for so long, as its worker would.
func (w *world) keep(d time.Duration) {
	w.Helper()
	for end := w.clock.Now().Add(d); w.clock.Now().Before(end); {
		w.clock.Advance(min(10*time.Second, end.Sub(w.clock.Now())))
		jobs, _, err := w.queue.Jobs(context.Background(), tallygate.JobFilter{Status: tallygate.JobRunning}, tallygate.Page{Limit: 1000})
		if err != nil {
			w.Fatal(err)
		}
		for _, j := range jobs {
			if _, _, err := w.queue.Heartbeat(context.Background(), queue.Beat{JobID: j.ID, Token: j.Item.Token}); err != nil {
				w.Fatal(err)
			}
		}
	}
}

// show is a job with where it stands, as JSON.
func show(j *tallygate.Job) string {
	text, err := json.Marshal(j)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func TestAHeartbeatRenewsTheLeaseUpToTheAttemptsLimit(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", func(t *tallygate.JobType) { t.Lease, t.AttemptTimeout = 30*time.Second, 70*time.Second })
	l := w.begin(w.client("1.00", nil), "x")
	started := w.clock.Now()
	for _, at := range []struct{ now, until time.Duration }{{10, 40}, {35, 65}, {45, 70}, {69, 70}} { // seconds
		w.clock.Advance(started.Add(at.now * time.Second).Sub(w.clock.Now()))
		w.sweep()
		expires, cancel, err := w.queue.Heartbeat(t.Context(), queue.Beat{JobID: l.Job.ID, Token: l.Token})
		if err != nil || cancel || expires.Sub(started) != at.until*time.Second {
			t.Fatalf("after %ds the lease ends after %s, cancel %v, %v", at.now, expires.Sub(started), cancel, err)
		}
	}
}

func TestAHeartbeatCarriesProgressAndLogsAndBringsBackACancel(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", nil)
	l := w.begin(w.client("1.00", nil), "x")
	for _, progress := range []float64{0, 0.29, 0.57, 1} {
		if _, _, err := w.queue.Heartbeat(t.Context(), queue.Beat{JobID: l.Job.ID, Token: l.Token, Progress: &progress}); err != nil {
			t.Fatal(err)
		}
		if got := w.job(l.Job.ID).Item.Progress; got != progress {
			t.Errorf("the progress is %v, want %v", got, progress)
		}
	}
	w.cancel(l.Job.ID)
	_, cancel, err := w.queue.Heartbeat(t.Context(), queue.Beat{JobID: l.Job.ID, Token: l.Token, Logs: []string{`a "b"`, "c\n"}})
	if err != nil || !cancel {
		t.Errorf("cancel requested %v, %v", cancel, err)
	}
	if got := w.job(l.Job.ID).Item.Progress; got != 1 {
		t.Errorf("a heartbeat without news changed the progress to %v", got)
	}
	events, err := w.queue.Events(t.Context(), l.Job.ID, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range events {
		got = append(got, strings.TrimPrefix(e.Kind, "job.")+string(e.Data))
	}
	want := []string{
		"queued", `running{"attempt":1}`, `progress{"progress":0}`, `progress{"progress":0.29}`, `progress{"progress":0.57}`,
		`progress{"progress":1}`, "cancel_requested", `log{"line":"a \"b\""}`, `log{"line":"c\n"}`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("events\n%q, want\n%q", got, want)
	}
	w.tell(l, release)
}

func TestTheEventsOfAJobTellItsCourse(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", nil)
	c := w.client("1.00", nil)
	l := w.begin(c, "x")
	w.tell(l, failure)
	w.clock.Advance(time.Second)
	w.sweep()
	w.start("x")
	w.clock.Advance(30 * time.Second)
	w.sweep()
	w.tell(w.start("x"), success)
	kinds := fmt.Sprint(w.kinds(l.Job.ID))
	want := "[job.queued job.running job.retrying job.running job.retrying job.running job.succeeded]"
	if kinds != want {
		t.Errorf("events %s, want %s", kinds, want)
	}
	events, err := w.queue.Events(t.Context(), l.Job.ID, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range events {
		if e.ClientID != c.ID || e.Subject != string(l.Job.ID) || e.At.IsZero() || i > 0 && e.Number <= events[i-1].Number {
			t.Errorf("event %d is %+v", i, e)
		}
		after, err := w.queue.Events(t.Context(), l.Job.ID, e.Number, 100)
		if err != nil || len(after) != len(events)-i-1 {
			t.Errorf("%d events after event %d, %v", len(after), i, err)
		}
	}
}
