package queue_test

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/ledger"
	"github.com/tallygate/tallygate/queue"
	"github.com/tallygate/tallygate/store/enginetest"
)

// TestTheQueueDoesWhatItsModelDoes runs random histories against the queue over a real store and against the model, and
// after each step compares them, audits the ledger and looks for old tokens that still open something. A soak takes
// more and longer histories:
//
//	go test ./queue -run TestTheQueueDoesWhatItsModelDoes -rapid.checks=5000 -rapid.steps=200 -timeout 0
//
// A failure prints its seed and its shortest history; -rapid.seed and -rapid.failfile run it again. The race detector
// gets fewer histories unless their number is given: it looks for something else.
func TestTheQueueDoesWhatItsModelDoes(t *testing.T) {
	t.Parallel()
	if checks := flag.Lookup("rapid.checks"); raceDetector && checks.Value.String() == checks.DefValue {
		if err := checks.Value.Set("10"); err != nil {
			t.Fatal(err)
		}
	}
	test := t
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t, func(now func() time.Time) []tallygate.Store { return enginetest.UnclosedNodes(test, now, modelNodes) })
		actions := map[string]func(*rapid.T){
			"":                   m.compare,
			"submit":             m.submit,
			"submit again":       m.submit,
			"lease":              m.lease,
			"lease more":         m.lease,
			"succeed":            m.succeed,
			"fail":               m.fail,
			"release":            m.release,
			"report late":        m.reportLate,
			"heartbeat":          m.heartbeat,
			"cancel":             m.cancel,
			"wait":               m.wait,
			"wait and sweep":     m.waitAndSweep,
			"credit":             m.credit,
			"suspend, activate":  m.suspend,
			"change a job type":  m.changeType,
			"change the limits":  m.changeLimits,
			"report and lease":   m.reportAndLease,
			"sweep with nothing": m.sweepAgain,
		}
		for name, act := range actions {
			actions[name] = func(t *rapid.T) { m.turn(t); act(t) }
		}
		t.Repeat(actions)
	})
}

// modelNodes share the store where its engine lets them. Each step is taken at one of them.
const modelNodes = 3

// machine is the queue and its model side by side.
type machine struct {
	model
	node
	nodes []node
	ids   *tallygate.IDs
}

type node struct {
	store  tallygate.Store
	ledger *ledger.Service
	queue  *queue.Service
}

// turn has the next step taken at any of the nodes.
func (m *machine) turn(t *rapid.T) {
	if len(m.nodes) > 1 {
		m.node = rapid.SampledFrom(m.nodes).Draw(t, "node")
	}
}

func newMachine(t *rapid.T, open func(now func() time.Time) []tallygate.Store) *machine {
	m := &machine{ids: new(tallygate.IDs), model: model{
		now: newClock().Now(), types: map[string]*modelType{}, keys: map[modelKey]modelRecord{},
	}}
	for _, s := range open(func() time.Time { return m.now }) {
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		m.nodes = append(m.nodes, node{s, ledger.New(s, m.ids), queue.New(s, queue.Options{
			IDs: m.ids, MaxLosses: modelMaxLosses, FirstDelay: modelFirstDelay, Jitter: func(d time.Duration) time.Duration { return d },
		})})
	}
	m.node = m.nodes[0]
	for _, name := range []string{"x", "y", "z"} {
		m.types[name] = &modelType{name: name}
		m.define(t, m.types[name])
	}
	for range 3 {
		m.addClient(t)
	}
	return m
}

func (m *machine) do(t *rapid.T, fn func(tx tallygate.Tx) error) {
	t.Helper()
	if err := m.store.Update(context.Background(), fn); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) addClient(t *rapid.T) {
	c := &modelClient{
		id:          tallygate.ClientID(m.ids.Next(tallygate.ClientPrefix, m.now)),
		floor:       tallygate.Money(rapid.SampledFrom([]int64{0, 0, 50, -100}).Draw(t, "floor")),
		mostQueued:  rapid.Int64Range(3, 12).Draw(t, "queued jobs"),
		mostRunning: rapid.Int64Range(0, 3).Draw(t, "running jobs"),
	}
	m.do(t, func(tx tallygate.Tx) error {
		return tx.InsertClient(&tallygate.Client{
			ID: c.id, Status: tallygate.ClientActive, MinimumBalance: c.floor, Metadata: []byte("{}"), CreatedAt: m.now,
			Limits: tallygate.ClientLimits{RunningJobs: c.mostRunning, QueuedJobs: c.mostQueued},
		})
	})
	m.clients = append(m.clients, c)
	m.topUp(t, c, tallygate.Money(rapid.Int64Range(0, 2000).Draw(t, "money")))
}

func (m *machine) topUp(t *rapid.T, c *modelClient, amount tallygate.Money) {
	if amount == 0 {
		return
	}
	if _, _, err := m.ledger.Credit(context.Background(), ledger.TopUp{Client: c.id, Amount: amount}, func(*tallygate.Entry) []byte { return nil }); err != nil {
		t.Fatal(err)
	}
	c.posted += amount
}

// define draws a definition and gives it to the queue.
func (m *machine) define(t *rapid.T, jt *modelType) {
	price := tallygate.Price{Base: tallygate.Money(rapid.Int64Range(0, 40).Draw(t, "base"))}
	if rapid.Bool().Draw(t, "metered") {
		price.Units = map[string]tallygate.UnitPrice{"page": {Price: tallygate.Money(rapid.Int64Range(0, 10).Draw(t, "page")), Max: rapid.Int64Range(0, 10).Draw(t, "most pages")}}
	}
	jt.most = rapid.Int64Range(0, 3).Draw(t, "running jobs")
	jt.maxAttempts = rapid.Int64Range(1, 3).Draw(t, "attempts")
	price.CancelCharge = rapid.SampledFrom([]tallygate.CancelCharge{tallygate.CancelChargeNone, tallygate.CancelChargeBase, tallygate.CancelChargeHold}).Draw(t, "cancel charge")
	definition := queue.Defaults()
	definition.Name, definition.Price, definition.RunningJobs, definition.MaxAttempts, definition.CancelCharge = jt.name, price, jt.most, jt.maxAttempts, price.CancelCharge
	definition.Lease, definition.AttemptTimeout, definition.TimeLimit = modelLease, modelAttempt, modelLimit
	defined, err := m.queue.DefineType(context.Background(), definition, "")
	if err != nil {
		t.Fatal(err)
	}
	if len(jt.prices) == 0 || fmt.Sprint(jt.price()) != fmt.Sprint(price) {
		jt.prices = append(jt.prices, price)
	}
	if defined.PriceVersion != int64(len(jt.prices)) {
		t.Fatalf("type %s has price version %d, want %d", jt.name, defined.PriceVersion, len(jt.prices))
	}
}

func (m *machine) changeType(t *rapid.T) {
	m.define(t, m.types[rapid.SampledFrom(m.typeNames()).Draw(t, "type")])
}

// compare checks after every step that the queue stands where the model does.
func (m *machine) compare(t *rapid.T) {
	err := m.store.View(context.Background(), func(tx tallygate.Tx) error {
		report, err := tx.Audit()
		if err != nil {
			return err
		}
		for _, f := range report.Findings {
			t.Errorf("audit: %s: %s: %s", f.Statement, f.Subject, f.Detail)
		}
		for i, want := range m.clients {
			c, err := tx.Client(want.id)
			if err != nil {
				return err
			}
			if c.Balance.Posted != want.posted || c.Balance.Held != want.held || c.Queued != want.queued || c.Running != want.running {
				t.Errorf("client %d is %+v, want %+v", i, c.Account, *want)
			}
		}
		for _, want := range m.jobs {
			j, err := tx.Job(want.id)
			if err != nil {
				return err
			}
			if difference := want.difference(j); difference != "" {
				t.Errorf("job %s: %s", want.id, difference)
			}
		}
		return m.countEnds(t, tx)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// difference tells in what a stored job is not as the model has it.
func (j *modelJob) difference(got *tallygate.Job) string {
	switch {
	case got == nil:
		return "it is gone"
	case got.Status() != j.status:
		return fmt.Sprintf("it is %s, want %s", got.Status(), j.status)
	case got.Held != j.hold():
		return fmt.Sprintf("it holds %d, want %d", got.Held, j.hold())
	}
	if o := got.Outcome; o != nil {
		if o.Charged != j.charged || o.Released != j.hold()-j.charged || o.Token != j.settledBy || o.Attempt != j.attempts {
			return fmt.Sprintf("its outcome is %+v, want %+v", *o, *j)
		}
		return ""
	}
	q := got.Item
	if (q.State == tallygate.ItemWaiting) != j.waiting && j.status == tallygate.JobQueued || q.Token != j.token || q.Attempt != j.attempts ||
		q.Failures != j.failures || q.Losses != j.losses || q.CancelRequested != j.cancelling ||
		(j.waiting || j.status == tallygate.JobRunning) && !q.At.Equal(j.at) {
		return fmt.Sprintf("its item is %+v, want %+v", *q, *j)
	}
	return ""
}

// countEnds checks that every job that has ended did so once: in the usage and among its events.
func (m *machine) countEnds(t *rapid.T, tx tallygate.Tx) error {
	for i, c := range m.clients {
		var want, got tallygate.Usage
		for _, j := range m.jobs {
			if j.client != c || !j.status.Ended() {
				continue
			}
			switch want.Charged += j.charged; j.status {
			case tallygate.JobSucceeded:
				want.Succeeded++
			case tallygate.JobFailed:
				want.Failed++
			case tallygate.JobCancelled:
				want.Cancelled++
			}
		}
		usage, err := tx.Usage(c.id, newClock().Now(), m.now.Add(time.Hour))
		if err != nil {
			return err
		}
		for _, u := range usage {
			got.Succeeded, got.Failed, got.Cancelled, got.Charged = got.Succeeded+u.Succeeded, got.Failed+u.Failed, got.Cancelled+u.Cancelled, got.Charged+u.Charged
		}
		if got != want {
			t.Errorf("client %d's usage is %+v, want %+v", i, got, want)
		}
	}
	return nil
}

// pick draws a job that fits, or skips the step.
func (m *machine) pick(t *rapid.T, fits func(*modelJob) bool) *modelJob {
	var candidates []*modelJob
	for _, j := range m.jobs {
		if fits(j) {
			candidates = append(candidates, j)
		}
	}
	if len(candidates) == 0 {
		t.Skip("there is no such job")
	}
	return candidates[rapid.IntRange(0, len(candidates)-1).Draw(t, "job")]
}

func running(j *modelJob) bool { return j.status == tallygate.JobRunning }

func (m *machine) byID(id tallygate.JobID) *modelJob {
	at := slices.IndexFunc(m.jobs, func(j *modelJob) bool { return j.id == id })
	if at < 0 {
		return nil
	}
	return m.jobs[at]
}
