package queue_test

import (
	"slices"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/queue"
)

func unlimited(c *tallygate.Client) { c.Limits = tallygate.ClientLimits{} }

// serve leases one job at a time, at each node in turn, and counts whose they were.
func (w *world) serve(n int, types ...string) map[tallygate.ClientID]int {
	w.Helper()
	count := map[tallygate.ClientID]int{}
	for i := range n {
		leases := w.at(i).lease(1, types...)
		if len(leases) != 1 {
			w.Fatalf("there was nothing to lease after %v", count)
		}
		count[leases[0].Job.ClientID]++
	}
	return count
}

// blur is by how many leases a client may be off its part: each node remembers for itself whom it served.
func (w *world) blur() int { return len(w.nodes) }

// costs sets a type's smoothed run time.
func (w *world) costs(jobType string, d time.Duration) {
	w.Helper()
	w.do(func(tx tallygate.Tx) error {
		load, err := tx.TypeLoad(jobType)
		if err != nil {
			return err
		}
		load.Cost = d
		return tx.SaveTypeLoad(jobType, load)
	})
}

func TestANewcomerIsServedNextHoweverLongAnothersBacklog(t *testing.T) {
	t.Parallel()
	w := testNodes(t, 3)
	w.jobType("x", nil)
	backlog := w.client("1000.00", unlimited)
	batches := 10
	if raceDetector {
		batches = 1
	}
	for range batches {
		w.submit(backlog, many(1000, "x")...)
	}
	w.serve(50, "x")
	w.lease(100, "x")
	newcomer := w.client("1.00", unlimited)
	first := w.submit(newcomer, asked("x"))[0]
	if got := w.lease(1, "x"); got[0].Job.ID != first.ID {
		t.Error("the newcomer's first job was not the next to be leased")
	}
	w.submit(newcomer, many(10, "x")...)
	count := map[tallygate.ClientID]int{}
	for _, l := range w.lease(20, "x") { // in one request as in many
		count[l.Job.ClientID]++
	}
	if n := count[newcomer.ID]; n < 9 || n > 10 {
		t.Errorf("of 20 leases the newcomer had %d", n)
	}
	w.audit()
}

func TestClientsWithEqualJobsAreServedEqually(t *testing.T) {
	t.Parallel()
	w := testNodes(t, 3)
	w.jobType("x", nil)
	var clients []*tallygate.Client
	for i := range 5 {
		c := w.client("1.00", unlimited)
		w.submit(c, many(40+10*i, "x")...)
		clients = append(clients, c)
	}
	count := w.serve(100, "x")
	for _, c := range clients {
		if n := count[c.ID]; n < 20-w.blur() || n > 20+w.blur() {
			t.Errorf("of 100 leases a client had %d: %v", n, count)
		}
	}
}

func TestServiceIsCountedByTheCostOfTheType(t *testing.T) {
	t.Parallel()
	w := testNodes(t, 3)
	w.jobType("slow", nil)
	w.jobType("fast", nil)
	slow, fast := w.client("1.00", unlimited), w.client("1.00", unlimited)
	w.submit(slow, many(150, "slow")...)
	w.submit(fast, many(150, "fast")...)
	w.costs("slow", 100*time.Millisecond)
	w.costs("fast", 10*time.Millisecond)
	count := w.serve(110, "slow", "fast")
	if n := count[slow.ID]; n < 10-w.blur() || n > 10+w.blur() {
		t.Errorf("a client whose jobs cost ten times as much had %d of 110 leases", n)
	}
}

func TestAJobCostsAtLeastAMillisecond(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", nil)
	w.jobType("y", nil)
	a, b := w.client("1.00", unlimited), w.client("1.00", unlimited)
	w.submit(a, many(100, "x")...)
	w.submit(b, many(100, "y")...)
	w.costs("x", time.Nanosecond) // else it would be served for ever
	w.costs("y", time.Millisecond)
	if n := w.serve(100, "x", "y")[a.ID]; n < 49 || n > 51 {
		t.Errorf("a client whose jobs take no time had %d of 100 leases", n)
	}
}

func TestAnIdleClientSavesNothingUp(t *testing.T) {
	t.Parallel()
	w := testNodes(t, 3)
	w.jobType("x", nil)
	busy, idle := w.client("1.00", unlimited), w.client("1.00", unlimited)
	w.submit(idle, asked("x"))
	w.submit(busy, many(300, "x")...)
	w.serve(200, "x")
	w.submit(idle, many(100, "x")...)
	if n := w.serve(40, "x")[idle.ID]; n < 20-w.blur() || n > 20+w.blur() {
		t.Errorf("after a long rest a client had %d of 40 leases", n)
	}
}

func TestPriorityOrdersAClientsOwnJobsAlone(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", nil)
	modest, pushy := w.client("1.00", unlimited), w.client("1.00", unlimited)
	w.submit(modest, many(50, "x")...)
	jobs := many(50, "x")
	for i := range jobs {
		jobs[i].Priority = 1_000_000
	}
	w.submit(pushy, jobs...)
	if n := w.serve(40, "x")[pushy.ID]; n < 19 || n > 21 {
		t.Errorf("with high priorities a client had %d of 40 leases", n)
	}
}

func TestAClientAtItsLimitHoldsNobodyUp(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", nil)
	capped, free := w.client("1.00", func(c *tallygate.Client) { c.Limits.RunningJobs = 2 }), w.client("1.00", unlimited)
	w.submit(capped, many(50, "x")...)
	w.submit(free, many(50, "x")...)
	count := w.serve(52, "x")
	if count[capped.ID] != 2 || count[free.ID] != 50 || len(w.lease(1, "x")) != 0 {
		t.Errorf("leases %v", count)
	}
}

func TestACappedTypeHoldsNoOtherUp(t *testing.T) {
	w := testWorld(t)
	w.jobType("capped", func(t *tallygate.JobType) { t.RunningJobs = 1 })
	w.jobType("free", nil)
	c := w.client("1.00", unlimited)
	urgent := many(10, "capped")
	for i := range urgent {
		urgent[i].Priority = 5
	}
	w.submit(c, append(many(10, "free"), urgent...)...)
	var types []string
	for _, l := range w.lease(20, "capped", "free") {
		types = append(types, l.Job.Type)
	}
	if len(types) != 11 || types[0] != "capped" || slices.Contains(types[1:], "capped") {
		t.Errorf("leased %v", types)
	}
}

func TestATypesCostIsItsSmoothedRunTime(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", nil)
	c := w.client("1.00", nil)
	for i, step := range []struct{ took, cost time.Duration }{
		{8 * time.Second, 8 * time.Second}, // the first counts whole, each further one an eighth
		{16 * time.Second, 9 * time.Second},
		{time.Second, 8 * time.Second},
		{0, 7 * time.Second},
	} {
		l := w.begin(c, "x")
		w.clock.Advance(step.took)
		w.tell(l, []queue.Report{success, final}[i%2])
		w.do(func(tx tallygate.Tx) error {
			load, err := tx.TypeLoad("x")
			if err == nil && load.Cost != step.cost {
				t.Errorf("after job %d the cost is %s, want %s", i, load.Cost, step.cost)
			}
			return err
		})
	}
}
