package queue_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/queue"
)

// The world's verbs: each must succeed unless its name says otherwise.

// asked is a submission of the type.
func asked(jobType string) queue.Submission {
	return queue.Submission{Type: jobType, Input: []byte("{}"), Metadata: []byte("{}")}
}

// many is n submissions of the type.
func many(n int, jobType string) []queue.Submission {
	jobs := make([]queue.Submission, n)
	for i := range jobs {
		jobs[i] = asked(jobType)
	}
	return jobs
}

func (w *world) submit(c *tallygate.Client, jobs ...queue.Submission) []*tallygate.Job {
	w.Helper()
	accepted, _, err := w.queue.Submit(context.Background(), submission(c, jobs...))
	if err != nil {
		w.Fatal("submit:", err)
	}
	return accepted
}

// refuse submits and checks that the refusal bears the code and left nothing behind.
func (w *world) refuse(code tallygate.Code, sub queue.Submit) *tallygate.Error {
	w.Helper()
	before := w.account(sub.Client)
	_, _, err := w.queue.Submit(context.Background(), sub)
	if !tallygate.IsCode(err, code) {
		w.Fatalf("submit: %v, want %s", err, code)
	}
	if after := w.account(sub.Client); after != before {
		w.Fatalf("the refused submit changed the account from %+v to %+v", before, after)
	}
	return tallygate.AsError(err)
}

func (w *world) lease(most int, types ...string) []queue.Lease {
	w.Helper()
	leases, err := w.queue.Lease(context.Background(), queue.LeaseRequest{Types: types, Max: most, Worker: "host-1"})
	if err != nil {
		w.Fatal("lease:", err)
	}
	return leases
}

// start leases the one job that there is to lease.
func (w *world) start(types ...string) queue.Lease {
	w.Helper()
	leases := w.lease(2, types...)
	if len(leases) != 1 {
		w.Fatalf("%d leases, want 1", len(leases))
	}
	return leases[0]
}

// begin submits a job and starts it.
func (w *world) begin(c *tallygate.Client, jobType string) queue.Lease {
	w.Helper()
	w.submit(c, asked(jobType))
	return w.start(jobType)
}

// say reports on a lease and returns why it was refused.
func (w *world) say(l queue.Lease, r queue.Report) error {
	w.Helper()
	r.JobID, r.Token = l.Job.ID, l.Token
	results, _, err := w.queue.Report(context.Background(), []queue.Report{r}, nil)
	if err != nil {
		w.Fatal("report:", err)
	}
	return results[0]
}

// tell reports on a lease.
func (w *world) tell(l queue.Lease, r queue.Report) {
	w.Helper()
	if err := w.say(l, r); err != nil {
		w.Fatal("report:", err)
	}
}

// tellAll reports the same on each of the leases, in one call.
func (w *world) tellAll(leases []queue.Lease, r queue.Report) {
	w.Helper()
	reports := make([]queue.Report, len(leases))
	for i, l := range leases {
		reports[i] = r
		reports[i].JobID, reports[i].Token = l.Job.ID, l.Token
	}
	results, _, err := w.queue.Report(context.Background(), reports, nil)
	if err = errors.Join(append(results, err)...); err != nil {
		w.Fatal("report:", err)
	}
}

var (
	success = queue.Report{Outcome: queue.Succeeded, Result: []byte("{}")}
	failure = queue.Report{Outcome: queue.Failed, Message: "it broke"}
	final   = queue.Report{Outcome: queue.Failed, Message: "it broke", Final: true}
	release = queue.Report{Outcome: queue.Released}
)

func (w *world) sweep() {
	w.Helper()
	if err := w.queue.Sweep(context.Background()); err != nil {
		w.Fatal("sweep:", err)
	}
}

func (w *world) cancel(id tallygate.JobID) *tallygate.Job {
	w.Helper()
	job, _, err := w.queue.Cancel(context.Background(), queue.Cancel{JobID: id, Actor: "key_1"})
	if err != nil {
		w.Fatal("cancel:", err)
	}
	return job
}

func (w *world) job(id tallygate.JobID) *tallygate.Job {
	w.Helper()
	job, err := w.queue.Job(context.Background(), id)
	if err != nil {
		w.Fatal("job:", err)
	}
	return job
}

func (w *world) account(c *tallygate.Client) (a tallygate.Account) {
	w.Helper()
	err := w.store.View(context.Background(), func(tx tallygate.Tx) error {
		stored, err := tx.Client(c.ID)
		if err == nil {
			a = stored.Account
		}
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	return a
}

// stands checks where a job stands.
func (w *world) stands(id tallygate.JobID, want tallygate.JobStatus) *tallygate.Job {
	w.Helper()
	job := w.job(id)
	if got := job.Status(); got != want {
		w.Fatalf("job %s is %s, want %s", id, got, want)
	}
	return job
}

// waits checks that a job waits for its time.
func (w *world) waits(id tallygate.JobID) *tallygate.QueueItem {
	w.Helper()
	job := w.stands(id, tallygate.JobQueued)
	if job.Item.State != tallygate.ItemWaiting {
		w.Fatalf("job %s is ready", id)
	}
	return job.Item
}

// owns checks a client's balance, posted and held, and audits.
func (w *world) owns(c *tallygate.Client, posted, held string) {
	w.Helper()
	if b := w.account(c).Balance; b.Posted.String() != posted || b.Held.String() != held {
		w.Errorf("posted %s and held %s, want %s and %s", b.Posted, b.Held, posted, held)
	}
	w.audit()
}

// suspend changes a client's status.
func (w *world) suspend(c *tallygate.Client, status tallygate.ClientStatus) {
	w.Helper()
	w.do(func(tx tallygate.Tx) error {
		stored, err := tx.Client(c.ID)
		if err != nil {
			return err
		}
		stored.Status = status
		return tx.SaveClient(stored)
	})
}

// priced has a type cost so much, charged on cancellation as named.
func priced(base string, charge tallygate.CancelCharge) func(*tallygate.JobType) {
	return func(t *tallygate.JobType) { t.Price.Base, t.CancelCharge = amount(base), charge }
}

// amount reads an amount that is well written.
func amount(s string) tallygate.Money {
	m, err := tallygate.ParseMoney(s)
	if err != nil {
		panic(err)
	}
	return m
}

// ids names jobs in order.
func ids(jobs []*tallygate.Job) []tallygate.JobID {
	var named []tallygate.JobID
	for _, j := range jobs {
		named = append(named, j.ID)
	}
	return named
}

// leased names leased jobs in order.
func leased(leases []queue.Lease) []tallygate.JobID {
	var named []tallygate.JobID
	for _, l := range leases {
		named = append(named, l.Job.ID)
	}
	return named
}

// kinds lists the kinds of a job's events, in order.
func (w *world) kinds(id tallygate.JobID) []string {
	w.Helper()
	events, err := w.queue.Events(context.Background(), id, 0, 1000)
	if err != nil {
		w.Fatal(err)
	}
	var kinds []string
	for _, e := range events {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

func TestTheWorldIsInOrder(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", priced("0.10", tallygate.CancelChargeNone))
	c := w.client("1.00", nil)
	l := w.begin(c, "x")
	w.owns(c, "1.00", "0.10")
	w.tell(l, success)
	w.owns(c, "0.90", "0.00")
	if got := fmt.Sprint(w.kinds(l.Job.ID)); got != "[job.queued job.running job.succeeded]" {
		t.Errorf("events %s", got)
	}
}
