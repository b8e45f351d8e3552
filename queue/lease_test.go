package queue_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/queue"
)

func TestALeaseIsTheRightToOneAttemptUntilADeadline(t *testing.T) {
	for _, c := range []struct {
		name                              string
		lease, attempt, limit, until, end time.Duration
	}{
		{"the lease", 30 * time.Second, 5 * time.Minute, time.Hour, 30 * time.Second, 5 * time.Minute},
		{"the attempt's time limit comes first", 30 * time.Second, 10 * time.Second, time.Hour, 10 * time.Second, 10 * time.Second},
		{"the job's time limit comes first", 30 * time.Second, 5 * time.Minute, 7 * time.Second, 7 * time.Second, 7 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := testWorld(t)
			w.jobType("x", func(t *tallygate.JobType) { t.Lease, t.AttemptTimeout, t.TimeLimit = c.lease, c.attempt, c.limit })
			client := w.client("1.00", nil)
			submitted := w.submit(client, queue.Submission{Type: "x", Input: []byte(`{"a":1}`), Metadata: []byte(`{"b":"c"}`)})[0]
			w.clock.Advance(time.Minute)
			now := w.clock.Now()
			l := w.start("x")
			if l.Attempt != 1 || l.Token == "" || !l.ExpiresAt.Equal(now.Add(c.until)) || l.Type.Name != "x" {
				t.Errorf("the lease is %+v", l)
			}
			if string(l.Job.Input) != `{"a":1}` || string(l.Job.Metadata) != `{"b":"c"}` || l.Job.ID != submitted.ID || l.Job.Status() != tallygate.JobRunning {
				t.Errorf("its job is %+v", l.Job)
			}
			q := w.stands(submitted.ID, tallygate.JobRunning).Item
			if !q.StartedAt.Equal(now) || !q.LeasedAt.Equal(now) || !q.AttemptDeadline.Equal(now.Add(c.end)) || q.Worker != "host-1" || q.Token != l.Token || q.Progress >= 0 {
				t.Errorf("the item is %+v", q)
			}
			if a := w.account(client); a.Queued != 0 || a.Running != 1 {
				t.Errorf("the account is %+v", a)
			}
			w.audit()
		})
	}
}

func TestOneClientsJobsRunByPriorityThenByAge(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", nil)
	w.jobType("y", nil)
	c := w.client("1.00", func(c *tallygate.Client) { c.Limits.RunningJobs = 0 })
	with := func(priority int64, jobType string) queue.Submission {
		sub := asked(jobType)
		sub.Priority = priority
		return sub
	}
	jobs := w.submit(c, with(0, "x"), with(-1, "x"), with(5, "y"), with(0, "y"), with(5, "x"), with(9, "y"), with(0, "x"))
	want := []tallygate.JobID{jobs[5].ID, jobs[2].ID, jobs[4].ID, jobs[0].ID, jobs[3].ID, jobs[6].ID, jobs[1].ID}
	var got []tallygate.JobID
	for _, most := range []int{1, 3, 10} { // over both types, whatever is asked for at once
		got = append(got, leased(w.lease(most, "y", "x"))...)
	}
	if !slices.Equal(got, want) {
		t.Errorf("they ran as %v, want %v", got, want)
	}
}

func TestALeaseTakesItsOwnTypesAlone(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", nil)
	w.jobType("y", nil)
	c := w.client("1.00", nil)
	jobs := w.submit(c, asked("x"), asked("y"))
	if got := leased(w.lease(10, "y")); !slices.Equal(got, ids(jobs[1:])) {
		t.Errorf("leased %v", got)
	}
	if got := w.lease(0, "x"); len(got) != 0 {
		t.Errorf("of none %d were leased", len(got))
	}
	if got := leased(w.lease(10, "x", "x")); !slices.Equal(got, ids(jobs[:1])) {
		t.Errorf("leased %v", got)
	}
}

func TestAClientRunsAtMostItsLimitAtOnce(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", nil)
	w.jobType("y", nil)
	small := w.client("1.00", func(c *tallygate.Client) { c.Limits.RunningJobs = 3 })
	w.submit(small, append(many(5, "x"), many(5, "y")...)...)
	first := append(w.lease(2, "x"), w.lease(100, "x", "y")...)
	if len(first) != 3 || len(w.lease(100, "x")) != 0 || len(w.lease(100, "y")) != 0 {
		t.Fatalf("%d run", len(first))
	}
	w.tell(first[0], success)
	w.tell(first[1], release)
	w.tell(first[2], failure)
	if again := w.lease(100, "x", "y"); len(again) != 3 {
		t.Errorf("%d run after three had ended", len(again))
	}
	for name, change := range map[string]func(*tallygate.Client){
		"no limit": func(c *tallygate.Client) { c.Limits.RunningJobs = 0 },
		"operator": func(c *tallygate.Client) { c.Limits.RunningJobs = 1; c.Operator = true },
	} {
		w.submit(w.client("1.00", change), many(50, "x")...)
		if got := w.lease(100, "x"); len(got) != 50 {
			t.Errorf("%s: %d run", name, len(got))
		}
	}
	w.audit()
}

func TestATypeRunsAtMostItsLimitAtOnce(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", func(t *tallygate.JobType) { t.RunningJobs = 3 })
	w.jobType("y", nil)
	a, b := w.client("1.00", nil), w.client("1.00", nil)
	w.submit(a, many(4, "x")...)
	w.submit(b, append(many(4, "x"), many(2, "y")...)...)
	first := w.lease(100, "x", "y")
	count := map[string]int{}
	for _, l := range first {
		count[l.Job.Type]++
	}
	if count["x"] != 3 || count["y"] != 2 || len(w.lease(100, "x", "y")) != 0 {
		t.Fatalf("there run %v", count)
	}
	for i, end := range []queue.Report{success, failure, release} {
		at := slices.IndexFunc(first, func(l queue.Lease) bool { return l.Job.Type == "x" })
		w.tell(first[at], end)
		first = slices.Delete(first, at, at+1)
		if got := w.lease(100, "x"); len(got) != 1 {
			t.Fatalf("after end %d %d could run", i, len(got))
		} else {
			first = append(first, got...)
		}
	}
	w.jobType("x", func(t *tallygate.JobType) { t.RunningJobs = 1 }) // lowered while three run
	if got := w.lease(100, "x"); len(got) != 0 {
		t.Errorf("above the new limit %d could run", len(got))
	}
	w.jobType("x", func(t *tallygate.JobType) { t.RunningJobs = 0 })
	if got := w.lease(100, "x"); len(got) != 3 { // of eight one has ended, one waits for its retry and three run
		t.Errorf("without a limit %d could run", len(got))
	}
	w.audit()
}

func TestASuspendedClientsQueuedJobsWaitAndItsRunningOnesFinish(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", nil)
	c, other := w.client("1.00", nil), w.client("1.00", nil)
	w.submit(c, many(3, "x")...)
	running := w.lease(1, "x")[0]
	w.suspend(c, tallygate.ClientSuspended)
	w.submit(other, asked("x"))
	if got := w.lease(10, "x"); len(got) != 1 || got[0].Job.ClientID != other.ID {
		t.Errorf("leased %v", leased(got))
	}
	if _, _, err := w.queue.Heartbeat(t.Context(), queue.Beat{JobID: running.Job.ID, Token: running.Token}); err != nil {
		t.Error(err)
	}
	w.tell(running, success)
	w.owns(c, "0.999", "0.002")
	w.suspend(c, tallygate.ClientActive)
	if got := w.lease(10, "x"); len(got) != 2 {
		t.Errorf("after activation %d were leased", len(got))
	}
}

func TestTypesThatAWorkerCannotLeaseAreAllNamed(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", nil)
	w.jobType("upstream", func(t *tallygate.JobType) {
		t.Executor.Kind, t.Executor.URL = tallygate.ExecutorHTTP, "http://worker.example"
	})
	_, err := w.queue.Lease(t.Context(), queue.LeaseRequest{Types: []string{"x", "y", "upstream"}, Max: 1})
	if e := tallygate.AsError(err); e.Code != tallygate.InvalidParameter || e.Field != "types" ||
		!strings.Contains(e.Message(), `"y"`) || !strings.Contains(e.Message(), "upstream") || !strings.Contains(e.Message(), "its executor is http") {
		t.Errorf("a worker that pulls: %v", err)
	}
	c := w.client("1.00", nil)
	w.submit(c, asked("upstream"))
	leases, err := w.queue.Lease(t.Context(), queue.LeaseRequest{Types: []string{"upstream"}, Kind: tallygate.ExecutorHTTP, Max: 1})
	if err != nil || len(leases) != 1 {
		t.Errorf("the executor: %d leases, %v", len(leases), err)
	}
	// Beside reports such types are left out: finished work is not refused for the sake of what would come next.
	w.submit(c, asked("x"))
	results, next, err := w.queue.Report(t.Context(), []queue.Report{{JobID: leases[0].Job.ID, Token: leases[0].Token, Outcome: queue.Succeeded, Result: []byte("1")}},
		&queue.LeaseRequest{Types: []string{"y", "upstream", "x"}, Max: 5})
	if err != nil || results[0] != nil || len(next) != 1 || next[0].Job.Type != "x" {
		t.Errorf("beside a report: %v, %d leases, %v", results, len(next), err)
	}
}

func TestLeasesOfACallerWhoHasLeftAreGivenBack(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", nil)
	c := w.client("1.00", nil)
	jobs := w.submit(c, many(2, "x")...)
	hooked := &afterStore{Store: w.store}
	s := queue.New(hooked, queue.Options{IDs: w.ids})
	ctx, leave := context.WithCancel(t.Context())
	hooked.after = leave
	if leases, err := s.Lease(ctx, queue.LeaseRequest{Types: []string{"x"}, Max: 2}); err != nil || len(leases) != 0 {
		t.Errorf("%d leases, %v", len(leases), err)
	}
	for _, j := range jobs {
		if q := w.stands(j.ID, tallygate.JobQueued).Item; q.State != tallygate.ItemReady || q.Attempt != 0 || q.Failures+q.Losses != 0 {
			t.Errorf("the item is %+v", q)
		}
	}
	if got := leased(w.lease(2, "x")); !slices.Equal(got, ids(jobs)) {
		t.Errorf("the next worker has %v", got)
	}
	w.audit()
}

func TestTheJobsOfOneAnswerAreBoundedInBytes(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", nil)
	c := w.client("1.00", func(c *tallygate.Client) { c.Limits.RunningJobs = 0 })
	large := asked("x")
	large.Input = []byte(`"` + strings.Repeat("x", 1<<20) + `"`)
	w.submit(c, slices.Repeat([]queue.Submission{large}, 20)...)
	if first, second := len(w.lease(20, "x")), len(w.lease(20, "x")); first != 16 || second != 4 {
		t.Errorf("%d leases, then %d", first, second)
	}
}

func TestALeaseLeavesItsCallersListAlone(t *testing.T) {
	w := testWorld(t)
	for _, name := range []string{"a", "b", "c"} {
		w.jobType(name, nil)
	}
	types := []string{"c", "a", "b", "a"} // shared by workers
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := w.queue.Lease(context.Background(), queue.LeaseRequest{Types: types, Max: 1}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if strings.Join(types, "") != "caba" {
		t.Errorf("the list is now %q", types)
	}
}

func TestWorkersThatRaceNeverShareAJobNorPassALimit(t *testing.T) {
	t.Parallel()
	w := testNodes(t, 3)
	const most, typeMost, clients, each = 5, 13, 4, 40
	w.jobType("x", func(t *tallygate.JobType) { t.RunningJobs = typeMost })
	w.jobType("y", nil)
	owners := make([]*tallygate.Client, clients)
	for i := range owners {
		owners[i] = w.client("1.00", func(c *tallygate.Client) { c.Limits.RunningJobs = most })
		w.submit(owners[i], append(many(each, "x"), many(each, "y")...)...)
	}
	limits := func(tx tallygate.Tx) error {
		for _, owner := range owners {
			if c, err := tx.Client(owner.ID); err != nil || c.Running > most {
				return fmt.Errorf("client %s runs %d, %w", c.ID, c.Running, err)
			}
		}
		if load, err := tx.TypeLoad("x"); err != nil || load.Running > typeMost {
			return fmt.Errorf("type x runs %d, %w", load.Running, err)
		}
		return nil
	}
	var mu sync.Mutex
	holders := map[tallygate.JobID]int{}
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			w := w.at(i)
			var reports []queue.Report
			for done := false; !done; {
				_, leases, err := w.queue.Report(context.Background(), reports, &queue.LeaseRequest{Types: []string{"x", "y"}, Max: 3})
				if err != nil {
					t.Error(err)
					return
				}
				done = len(leases) == 0 && len(reports) == 0
				reports = reports[:0]
				mu.Lock()
				for _, l := range leases {
					holders[l.Job.ID]++
					reports = append(reports, queue.Report{JobID: l.Job.ID, Token: l.Token, Outcome: queue.Succeeded, Result: []byte("1")})
				}
				mu.Unlock()
				if err := w.store.View(context.Background(), limits); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, l := range w.lease(100, "x", "y") { // what freed its place after the last worker had looked
		holders[l.Job.ID]++
	}
	for id, n := range holders {
		if n != 1 {
			t.Errorf("job %s had %d holders", id, n)
		}
	}
	if len(holders) < clients*2*each-6*3 {
		t.Errorf("%d jobs were leased of %d", len(holders), clients*2*each)
	}
	w.audit()
}
