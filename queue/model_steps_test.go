package queue_test

import (
	"context"
	"slices"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/queue"
	"pgregory.net/rapid"
)

// The machine's steps: each does the same to the queue and to the model and compares the answers.

func (m *machine) client(t *rapid.T) *modelClient {
	return m.clients[rapid.IntRange(0, len(m.clients)-1).Draw(t, "client")]
}

// submit asks for one to three jobs, often under a key that was used before.
func (m *machine) submit(t *rapid.T) {
	c := m.client(t)
	stored := &tallygate.Client{ID: c.id}
	var asks []queue.Submission
	total := tallygate.Money(0)
	for range rapid.IntRange(1, 3).Draw(t, "jobs") {
		sub := asked(rapid.SampledFrom(m.typeNames()).Draw(t, "type"))
		sub.Priority = rapid.Int64Range(-1, 1).Draw(t, "priority")
		if rapid.IntRange(0, 3).Draw(t, "later") == 0 {
			sub.RunAt = m.now.Add(time.Duration(rapid.IntRange(-5, 30).Draw(t, "seconds")) * time.Second)
		}
		asks = append(asks, sub)
		total += m.types[sub.Type].price().Quote()
	}
	key := modelKey{c.id, rapid.SampledFrom([]string{"", "", "k", "l"}).Draw(t, "key")}
	hash := byte(rapid.IntRange(0, 1).Draw(t, "request"))
	jobs, replayed, err := m.queue.Submit(context.Background(), once(stored, key.key, hash, asks...))

	earlier, known := m.keys[key]
	switch n := int64(len(asks)); {
	case known && earlier.hash != hash:
		expect(t, err, tallygate.InvalidParameter)
	case known:
		if err != nil || !replayed || !slices.Equal(ids(jobs), earlier.jobs) {
			t.Fatalf("a replay answered %v, %v, %v; want %v", ids(jobs), replayed, err, earlier.jobs)
		}
	case c.queued+n > c.mostQueued:
		expect(t, err, tallygate.RateLimitExceeded)
	case c.posted-c.held-total < c.floor:
		expect(t, err, tallygate.InsufficientBalance)
	default:
		if err != nil || replayed || len(jobs) != len(asks) {
			t.Fatalf("a submit answered %d jobs, %v, %v", len(jobs), replayed, err)
		}
		for i, sub := range asks {
			jt := m.types[sub.Type]
			m.jobs = append(m.jobs, &modelJob{
				id: jobs[i].ID, client: c, jobType: jt, priority: sub.Priority, price: jt.price(), maxAttempts: jt.maxAttempts,
				status: tallygate.JobQueued, waiting: sub.RunAt.After(m.now), at: sub.RunAt,
			})
		}
		c.queued += n
		c.held += total
		if key.key != "" {
			m.keys[key] = modelRecord{hash, ids(jobs)}
		}
	}
}

func expect(t *rapid.T, err error, code tallygate.Code) {
	t.Helper()
	if !tallygate.IsCode(err, code) {
		t.Fatalf("answered %v, want %s", err, code)
	}
}

// request draws a request for leases.
func (m *machine) request(t *rapid.T) queue.LeaseRequest {
	types := rapid.SampledFrom([][]string{{"x"}, {"y"}, {"x", "y"}, {"x", "y", "z"}, {"x", "y", "z"}}).Draw(t, "types")
	return queue.LeaseRequest{Types: types, Max: rapid.IntRange(1, 4).Draw(t, "most")}
}

func (m *machine) lease(t *rapid.T) {
	req := m.request(t)
	leases, err := m.queue.Lease(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	m.granted(t, req, leases)
}

// granted checks each lease against what may be leased at its turn, and that nothing that might was left.
func (m *machine) granted(t *rapid.T, req queue.LeaseRequest, leases []queue.Lease) {
	if len(leases) > req.Max {
		t.Fatalf("%d leases, at most %d were asked for", len(leases), req.Max)
	}
	for _, l := range leases {
		j := m.byID(l.Job.ID)
		switch {
		case j == nil:
			t.Fatalf("a lease on %s, which is nobody's", l.Job.ID)
		case !slices.Contains(req.Types, j.jobType.name):
			t.Fatalf("a lease on a %s", j.jobType.name)
		case !m.ready(j):
			t.Fatalf("a lease on a job that is %s until %s: %+v", j.status, j.at, *j)
		case !j.room():
			t.Fatalf("a lease past the limits of client %+v and type %+v", *j.client, *j.jobType)
		case !m.first(j, req.Types):
			t.Fatalf("a lease on job %s while a more urgent one of the client is ready", j.id)
		case slices.Contains(j.tokens, l.Token):
			t.Fatalf("token %s for the second time", l.Token)
		}
		if until := m.start(j, l.Token); !l.ExpiresAt.Equal(until) || l.Attempt != j.attempts {
			t.Fatalf("attempt %d until %s, want %d until %s", l.Attempt, l.ExpiresAt, j.attempts, until)
		}
	}
	if len(leases) == req.Max {
		return
	}
	for _, j := range m.jobs {
		if slices.Contains(req.Types, j.jobType.name) && m.ready(j) && j.room() {
			t.Fatalf("%d of %d leases, and job %s was left: %+v", len(leases), req.Max, j.id, *j)
		}
	}
}

// report tells of a lease and returns why it was refused.
func (m *machine) report(t *rapid.T, r queue.Report) error {
	results, _, err := m.queue.Report(context.Background(), []queue.Report{r}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return results[0]
}

// accepted reports what must be accepted.
func (m *machine) accepted(t *rapid.T, j *modelJob, r queue.Report) {
	r.JobID, r.Token = j.id, j.token
	if err := m.report(t, r); err != nil {
		t.Fatalf("%s: %v", r.Outcome, err)
	}
}

func (m *machine) succeed(t *rapid.T) {
	j := m.pick(t, running)
	r := queue.Report{Outcome: queue.Succeeded, Result: []byte("1")}
	if n := rapid.Int64Range(-1, 12).Draw(t, "pages"); n >= 0 {
		r.Units = map[string]int64{"page": n}
	}
	if _, metered := j.price.Units["page"]; r.Units != nil && !metered {
		r.JobID, r.Token = j.id, j.token
		expect(t, m.report(t, r), tallygate.InvalidParameter)
		r.Units = nil
	}
	m.accepted(t, j, r)
	m.model.succeed(j, r.Units)
}

func (m *machine) fail(t *rapid.T) {
	j := m.pick(t, running)
	r := queue.Report{Outcome: queue.Failed, Message: "no", Final: rapid.IntRange(0, 3).Draw(t, "final") == 0}
	r.RetryAfter = time.Duration(rapid.SampledFrom([]int{0, 0, 5, 40}).Draw(t, "seconds")) * time.Second
	m.accepted(t, j, r)
	m.model.fail(j, r.Final, r.RetryAfter)
}

func (m *machine) release(t *rapid.T) {
	j := m.pick(t, running)
	m.accepted(t, j, queue.Report{Outcome: queue.Released})
	m.model.release(j)
}

// reportLate uses a token that was good once.
func (m *machine) reportLate(t *rapid.T) {
	j := m.pick(t, func(j *modelJob) bool { return len(j.tokens) > 0 && (len(j.tokens) > 1 || j.token == "") })
	token := rapid.SampledFrom(j.tokens).Draw(t, "token")
	if token == j.token {
		t.Skip("it is the current one")
	}
	outcome := rapid.SampledFrom([]queue.ReportOutcome{queue.Succeeded, queue.Failed, queue.Released}).Draw(t, "outcome")
	err := m.report(t, queue.Report{JobID: j.id, Token: token, Outcome: outcome, Result: []byte("2")})
	if repeats := token == j.settledBy && (outcome == queue.Succeeded) == (j.status == tallygate.JobSucceeded); repeats {
		if err != nil {
			t.Fatalf("the settling report repeated: %v", err)
		}
	} else {
		expect(t, err, tallygate.InvalidRequest)
	}
	_, _, err = m.queue.Heartbeat(context.Background(), queue.Beat{JobID: j.id, Token: token})
	expect(t, err, tallygate.InvalidRequest)
}

func (m *machine) heartbeat(t *rapid.T) {
	j := m.pick(t, running)
	expires, cancelling, err := m.queue.Heartbeat(context.Background(), queue.Beat{JobID: j.id, Token: j.token})
	m.renew(j)
	if err != nil || cancelling != j.cancelling || !expires.Equal(j.at) {
		t.Fatalf("renewed until %s, cancel %v, %v; want %s, %v", expires, cancelling, err, j.at, j.cancelling)
	}
}

// reportAndLease settles one job and takes the next in one call.
func (m *machine) reportAndLease(t *rapid.T) {
	j := m.pick(t, running)
	req := m.request(t)
	results, leases, err := m.queue.Report(context.Background(), []queue.Report{
		{JobID: j.id, Token: j.token, Outcome: queue.Succeeded, Result: []byte("1")},
		{JobID: j.id, Token: "stale", Outcome: queue.Succeeded},
	}, &req)
	if err != nil || results[0] != nil {
		t.Fatalf("%v, %v", results, err)
	}
	expect(t, results[1], tallygate.InvalidRequest)
	m.model.succeed(j, nil)
	m.granted(t, req, leases)
}

func (m *machine) cancel(t *rapid.T) {
	j := m.pick(t, func(*modelJob) bool { return true })
	abandon := rapid.IntRange(0, 3).Draw(t, "abandon") == 0
	got, _, err := m.queue.Cancel(context.Background(), queue.Cancel{JobID: j.id, Client: j.client.id, Abandon: abandon})
	m.model.cancel(j, abandon)
	if err != nil || got.Status() != j.status {
		t.Fatalf("%+v, %v; want %s", got, err, j.status)
	}
	for _, c := range m.clients {
		if c != j.client {
			_, _, err := m.queue.Cancel(context.Background(), queue.Cancel{JobID: j.id, Client: c.id})
			expect(t, err, tallygate.JobNotFound)
		}
	}
}

func (m *machine) wait(t *rapid.T) {
	m.now = m.now.Add(time.Duration(rapid.IntRange(0, 20_000).Draw(t, "milliseconds")) * time.Millisecond)
}

func (m *machine) waitAndSweep(t *rapid.T) {
	m.wait(t)
	m.sweepAgain(t)
}

func (m *machine) sweepAgain(t *rapid.T) {
	if err := m.queue.Sweep(context.Background()); err != nil {
		t.Fatal(err)
	}
	m.sweep()
}

func (m *machine) credit(t *rapid.T) {
	m.topUp(t, m.client(t), tallygate.Money(rapid.Int64Range(1, 300).Draw(t, "amount")))
}

// change changes what is stored of a client.
func (m *machine) change(t *rapid.T, c *modelClient, change func(*tallygate.Client)) {
	m.do(t, func(tx tallygate.Tx) error {
		stored, err := tx.Client(c.id)
		if err != nil {
			return err
		}
		change(stored)
		return tx.SaveClient(stored)
	})
}

func (m *machine) suspend(t *rapid.T) {
	c := m.client(t)
	c.suspended = !c.suspended
	m.change(t, c, func(stored *tallygate.Client) {
		if stored.Status = tallygate.ClientActive; c.suspended {
			stored.Status = tallygate.ClientSuspended
		}
	})
}

func (m *machine) changeLimits(t *rapid.T) {
	c := m.client(t)
	c.mostRunning = rapid.Int64Range(0, 3).Draw(t, "running jobs")
	c.mostQueued = rapid.Int64Range(1, 12).Draw(t, "queued jobs")
	c.floor = tallygate.Money(rapid.Int64Range(-100, 100).Draw(t, "floor"))
	m.change(t, c, func(stored *tallygate.Client) {
		stored.Limits.RunningJobs, stored.Limits.QueuedJobs, stored.MinimumBalance = c.mostRunning, c.mostQueued, c.floor
	})
}
