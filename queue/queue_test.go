package queue_test

import (
	"context"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/ledger"
	"github.com/tallygate/tallygate/queue"
	"github.com/tallygate/tallygate/queue/queuetest"
	"github.com/tallygate/tallygate/store/enginetest"
)

func newClock() *queuetest.Clock {
	return queuetest.NewClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
}

// world is a queue over a fresh store.
type world struct {
	testing.TB
	clock *queuetest.Clock
	store tallygate.Store
	ids   *tallygate.IDs
	queue *queue.Service
	nodes []*world // this one, and those that share its store
}

func newWorld(t testing.TB, now func() time.Time, opt queue.Options) *world {
	t.Helper()
	return newNodes(t, 1, now, opt)
}

// newNodes is a world of so many nodes, where the engine has more than one.
func newNodes(t testing.TB, n int, now func() time.Time, opt queue.Options) *world {
	t.Helper()
	opt.IDs = new(tallygate.IDs)
	var nodes []*world
	for _, s := range enginetest.UnclosedNodes(t, now, n) {
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		nodes = append(nodes, &world{TB: t, store: s, ids: opt.IDs, queue: queue.New(s, opt)})
	}
	nodes[0].nodes = nodes
	return nodes[0]
}

func testWorld(t testing.TB) *world { return testNodes(t, 1) }

func testNodes(t testing.TB, n int) *world {
	c := newClock()
	w := newNodes(t, n, c.Now, queue.Options{Jitter: func(d time.Duration) time.Duration { return d }})
	for _, node := range w.nodes {
		node.clock = c
	}
	return w
}

// at is one of the nodes, whichever number i has.
func (w *world) at(i int) *world { return w.nodes[i%len(w.nodes)] }

func (w *world) do(fn func(tx tallygate.Tx) error) {
	w.Helper()
	if err := w.store.Update(context.Background(), fn); err != nil {
		w.Fatal(err)
	}
}

// client adds a client with money.
func (w *world) client(credit string, change func(*tallygate.Client)) *tallygate.Client {
	w.Helper()
	amount, err := tallygate.ParseMoney(credit)
	if err != nil {
		w.Fatal(err)
	}
	c := &tallygate.Client{Name: "Acme", Status: tallygate.ClientActive, Limits: tallygate.DefaultClientLimits, Metadata: []byte("{}")}
	if change != nil {
		change(c)
	}
	w.do(func(tx tallygate.Tx) error {
		c.ID = tallygate.ClientID(w.ids.Next(tallygate.ClientPrefix, tx.Now()))
		c.CreatedAt = tx.Now()
		if err := tx.InsertClient(c); err != nil || amount == 0 {
			return err
		}
		stored, err := tx.Client(c.ID)
		if err != nil {
			return err
		}
		if _, err := ledger.Credit(tx, w.ids, stored, amount, ""); err != nil {
			return err
		}
		return tx.SaveAccount(stored)
	})
	return c
}

func (w *world) jobType(name string, change func(*tallygate.JobType)) {
	w.Helper()
	t := queue.Defaults()
	t.Name = name
	t.Price.Base, _ = tallygate.ParseMoney("0.001")
	if change != nil {
		change(&t)
	}
	if _, err := w.queue.DefineType(context.Background(), t, ""); err != nil {
		w.Fatal(err)
	}
}

func submission(c *tallygate.Client, jobs ...queue.Submission) queue.Submit {
	return queue.Submit{Client: c, Jobs: jobs}
}

func (w *world) audit() {
	w.Helper()
	queuetest.Audit(w, w.store)
}

func TestAJobGoesFromSubmitToCharge(t *testing.T) {
	w := testWorld(t)
	w.jobType("text.stats", nil)
	c := w.client("1.00", nil)
	jobs, _, err := w.queue.Submit(t.Context(), submission(c, queue.Submission{Type: "text.stats", Input: []byte(`{"a":1}`), Metadata: []byte("{}")}))
	if err != nil {
		t.Fatal(err)
	}
	leases, err := w.queue.Lease(t.Context(), queue.LeaseRequest{Types: []string{"text.stats"}, Max: 10, Worker: "w"})
	if err != nil || len(leases) != 1 || leases[0].Job.ID != jobs[0].ID {
		t.Fatalf("leases %v, %v", leases, err)
	}
	results, _, err := w.queue.Report(t.Context(), []queue.Report{{JobID: jobs[0].ID, Token: leases[0].Token, Outcome: queue.Succeeded, Result: []byte("{}")}}, nil)
	if err != nil || results[0] != nil {
		t.Fatal(results, err)
	}
	job, err := w.queue.Job(t.Context(), jobs[0].ID)
	if err != nil || job.Status() != tallygate.JobSucceeded || job.Outcome.Charged.String() != "0.001" {
		t.Fatalf("%+v %v", job, err)
	}
	w.audit()
}
