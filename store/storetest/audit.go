package storetest

import (
	"slices"
	"strings"

	"github.com/tallygate/tallygate"
)

// The audit's statements, by their beginnings.
const (
	balanceEqualsEntries = "every balance equals"
	ledgerIsWhole        = "every ledger is whole"
	holdAboveFloor       = "no hold was taken below"
	holdHasLiveJob       = "every open hold has a live job"
	finishedIsSettled    = "every finished job has no open hold"
	liveOrEnded          = "a job is either live or ended"
	countsEqualJobs      = "every count of queued and running"
)

// books writes what a rule would, and lets a test leave out or falsify a part.
type books struct {
	tx  tallygate.Tx
	ids *tallygate.IDs
	c   *tallygate.Client
	err error
}

func (b *books) post(kind tallygate.EntryKind, job tallygate.JobID, posted, held tallygate.Money) *tallygate.Entry {
	b.c.Entries++
	b.c.Balance.Posted += posted
	b.c.Balance.Held += held
	return &tallygate.Entry{
		ID: tallygate.EntryID(b.ids.Next(tallygate.EntryPrefix, noon)), ClientID: b.c.ID, Number: b.c.Entries, Kind: kind,
		Posted: posted, Held: held, After: b.c.Balance, Floor: b.c.MinimumBalance, JobID: job, CreatedAt: noon,
	}
}

func (b *books) do(errs ...error) {
	for _, err := range errs {
		if b.err == nil {
			b.err = err
		}
	}
}

// ready submits a job that costs at most 100.
func (b *books) ready() *tallygate.Job {
	j := &tallygate.Job{
		ID: tallygate.JobID(b.ids.Next(tallygate.JobPrefix, noon)), ClientID: b.c.ID, Type: "x", Input: []byte("1"), Metadata: []byte("{}"),
		MaxAttempts: 3, Held: 100, PriceVersion: 1, RunAt: noon, CreatedAt: noon,
	}
	b.do(b.tx.InsertEntry(b.post(tallygate.EntryHold, j.ID, 0, 100)), live(b.tx, j))
	b.c.Queued++
	b.count(1, 0, 1)
	return j
}

// lease starts an attempt.
func (b *books) lease(j *tallygate.Job) {
	q := item(j)
	q.State, q.Token, q.StartedAt = tallygate.ItemLeased, "lease_1", noon
	b.do(b.tx.SaveItem(q))
	b.c.Queued--
	b.c.Running++
	b.count(0, 1, -1)
}

// end charges 60 for a leased job.
func (b *books) end(j *tallygate.Job) {
	b.do(b.tx.InsertEntry(b.post(tallygate.EntryCharge, j.ID, -60, -60)), b.tx.InsertEntry(b.post(tallygate.EntryRelease, j.ID, 0, -40)))
	b.do(b.tx.RemoveItem(j.ID), b.tx.InsertOutcome(b.succeeded(j)))
	b.c.Running--
	b.count(-1, -1, 0)
}

func (b *books) succeeded(j *tallygate.Job) *tallygate.Outcome {
	return &tallygate.Outcome{JobID: j.ID, ClientID: b.c.ID, Type: "x", Status: tallygate.JobSucceeded, Charged: 60, Released: 40, FinishedAt: noon}
}

// count adds to the counters of type and lane.
func (b *books) count(live, running, ready int64) {
	load, err := b.tx.TypeLoad("x")
	b.do(err)
	lane, err := b.tx.Lane("x", b.c.ID)
	b.do(err)
	if b.err == nil {
		load.Live, load.Running, lane.Ready = load.Live+live, load.Running+running, lane.Ready+ready
		b.do(b.tx.SaveTypeLoad("x", load), b.tx.SaveLane(lane))
	}
}

// keep writes the books of a client with 1000 and a job in each state, and then what falsify does to them.
func (f *fixture) keep(falsify func(b *books, ready, leased, ended *tallygate.Job)) {
	f.Helper()
	f.update(func(tx tallygate.Tx) error {
		c := f.newClient()
		c.MinimumBalance = 0
		b := &books{tx: tx, ids: f.ids, c: c}
		b.do(tx.InsertClient(c), tx.SaveJobType(newJobType("x")), tx.InsertEntry(b.post(tallygate.EntryCredit, "", 1000, 0)))
		waits, runs, done := b.ready(), b.ready(), b.ready()
		b.lease(runs)
		b.lease(done)
		b.end(done)
		if falsify != nil {
			falsify(b, waits, runs, done)
		}
		b.do(tx.SaveAccount(c))
		return b.err
	})
}

func (f *fixture) audit() (report *tallygate.AuditReport) {
	f.Helper()
	f.view(func(tx tallygate.Tx) (err error) {
		report, err = tx.Audit()
		return err
	})
	return report
}

// violation breaks a statement.
type violation struct {
	name    string
	broken  []string // the statements that find it
	falsify func(b *books, ready, leased, ended *tallygate.Job)
}

// violations breaks each statement in every way that comes to mind.
var violations = []violation{
	{"a balance that no entry explains", []string{balanceEqualsEntries}, func(b *books, _, _, _ *tallygate.Job) { b.c.Balance.Posted += 5 }},
	{"held money that no entry explains", []string{balanceEqualsEntries}, func(b *books, _, _, _ *tallygate.Job) { b.c.Balance.Held -= 5 }},
	{"an entry that was never counted in", []string{balanceEqualsEntries, ledgerIsWhole}, func(b *books, _, _, _ *tallygate.Job) {
		before := b.c.Account
		b.do(b.tx.InsertEntry(b.post(tallygate.EntryCredit, "", 50, 0)))
		b.c.Account = before
	}},
	{"an entry that is missing", []string{ledgerIsWhole}, func(b *books, _, _, _ *tallygate.Job) { b.c.Entries++ }},
	{"a gap in the numbers", []string{ledgerIsWhole}, func(b *books, _, _, _ *tallygate.Job) {
		e := b.post(tallygate.EntryCredit, "", 50, 0)
		e.Number++
		b.do(b.tx.InsertEntry(e))
	}},
	{"a balance that does not follow from the one before", []string{ledgerIsWhole}, func(b *books, _, _, _ *tallygate.Job) {
		e := b.post(tallygate.EntryCredit, "", 50, 0)
		e.After.Posted++
		b.do(b.tx.InsertEntry(e), b.tx.InsertEntry(b.post(tallygate.EntryCredit, "", 50, 0)))
	}},
	{"a hold below the floor then in force", []string{holdAboveFloor}, func(b *books, _, _, _ *tallygate.Job) {
		b.c.MinimumBalance = 900
		b.ready()
	}},
	{"a hold without a job", []string{holdHasLiveJob}, func(b *books, _, _, _ *tallygate.Job) {
		b.do(b.tx.InsertEntry(b.post(tallygate.EntryHold, "job_nowhere", 0, 100)))
	}},
	{"a live job whose hold is gone", []string{holdHasLiveJob}, func(b *books, ready, _, _ *tallygate.Job) {
		b.do(b.tx.InsertEntry(b.post(tallygate.EntryRelease, ready.ID, 0, -100)))
	}},
	{"a live job whose hold is less than it says", []string{holdHasLiveJob}, func(b *books, _, leased, _ *tallygate.Job) {
		b.do(b.tx.InsertEntry(b.post(tallygate.EntryRelease, leased.ID, 0, -1)))
	}},
	{"a live job that never had a hold", []string{holdHasLiveJob}, func(b *books, _, _, _ *tallygate.Job) {
		j := &tallygate.Job{ID: "job_free", ClientID: b.c.ID, Type: "x", Input: []byte("1"), Metadata: []byte("{}"), Held: 100, CreatedAt: noon}
		b.do(live(b.tx, j))
		b.c.Queued++
		b.count(1, 0, 1)
	}},
	{"a finished job that still holds money", []string{finishedIsSettled, holdHasLiveJob}, func(b *books, _, _, ended *tallygate.Job) {
		b.do(b.tx.InsertEntry(b.post(tallygate.EntryHold, ended.ID, 0, 10)))
	}},
	{"a finished job that was charged twice", []string{finishedIsSettled}, func(b *books, _, _, ended *tallygate.Job) {
		b.do(b.tx.InsertEntry(b.post(tallygate.EntryCharge, ended.ID, -60, 0)))
	}},
	{"an outcome whose charge was never taken", []string{finishedIsSettled}, func(b *books, _, leased, _ *tallygate.Job) {
		b.do(b.tx.InsertEntry(b.post(tallygate.EntryRelease, leased.ID, 0, -100)))
		b.do(b.tx.RemoveItem(leased.ID), b.tx.InsertOutcome(b.succeeded(leased)))
		b.c.Running--
		b.count(-1, -1, 0)
	}},
	{"a job that is live and ended", []string{liveOrEnded, finishedIsSettled}, func(b *books, ready, _, _ *tallygate.Job) {
		b.do(b.tx.InsertOutcome(b.succeeded(ready)))
	}},
	{"a job that is neither live nor ended", []string{liveOrEnded, holdHasLiveJob}, func(b *books, ready, _, _ *tallygate.Job) {
		b.do(b.tx.RemoveItem(ready.ID))
		b.c.Queued--
		b.count(-1, 0, -1)
	}},
	{"a queued job that its client does not count", []string{countsEqualJobs}, func(b *books, _, _, _ *tallygate.Job) { b.c.Queued-- }},
	{"a running job that its client counts as queued", []string{countsEqualJobs}, func(b *books, _, _, _ *tallygate.Job) {
		b.c.Queued++
		b.c.Running--
	}},
	{"a live job that its type does not count", []string{countsEqualJobs}, func(b *books, _, _, _ *tallygate.Job) { b.count(-1, 0, 0) }},
	{"a running job that its type does not count", []string{countsEqualJobs}, func(b *books, _, _, _ *tallygate.Job) { b.count(0, -1, 0) }},
	{"a ready job too many in its lane", []string{countsEqualJobs}, func(b *books, _, _, _ *tallygate.Job) { b.count(0, 0, 1) }},
	{"a ready job without a lane, which nobody would lease", []string{countsEqualJobs}, func(b *books, _, _, _ *tallygate.Job) { b.count(0, 0, -1) }},
	{"a live job of a type that counts nothing", []string{countsEqualJobs}, func(b *books, _, _, _ *tallygate.Job) {
		j := &tallygate.Job{ID: "job_odd", ClientID: b.c.ID, Type: "odd", Input: []byte("1"), Metadata: []byte("{}"), CreatedAt: noon}
		b.do(live(b.tx, j), b.tx.SaveLane(&tallygate.Lane{Type: "odd", ClientID: b.c.ID, Ready: 1}))
		b.c.Queued++
	}},
}

var auditCases = []testCase{
	{"nothing is found in an empty store", func(f *fixture) {
		if report := f.audit(); len(report.Findings) > 0 || report.Clients+report.Entries+report.LiveJobs+report.EndedJobs != 0 {
			f.Errorf("report %+v", report)
		}
	}},
	{"nothing is found in books that are in order, and everything is counted", func(f *fixture) {
		f.keep(nil)
		f.keep(nil)
		report := f.audit()
		if report.Clients != 2 || report.Entries != 12 || report.LiveJobs != 4 || report.EndedJobs != 2 {
			f.Errorf("counted %+v", report)
		}
		for _, finding := range report.Findings {
			f.Errorf("found %+v", finding)
		}
	}},
	{"a free job needs no hold", func(f *fixture) {
		f.keep(func(b *books, _, _, _ *tallygate.Job) {
			j := &tallygate.Job{ID: "job_free", ClientID: b.c.ID, Type: "x", Input: []byte("1"), Metadata: []byte("{}"), CreatedAt: noon}
			b.do(live(b.tx, j))
			b.c.Queued++
			b.count(1, 0, 1)
		})
		for _, finding := range f.audit().Findings {
			f.Errorf("found %+v", finding)
		}
	}},
	{"nothing is found after ended jobs were removed", func(f *fixture) {
		f.keep(func(b *books, _, _, ended *tallygate.Job) { b.do(b.tx.DeleteJob(b.c.ID, ended.ID)) })
		for _, finding := range f.audit().Findings {
			f.Errorf("found %+v", finding)
		}
	}},
	{"each statement is broken by some test", func(f *fixture) {
		for _, statement := range f.audit().Statements {
			begins := func(begin string) bool { return strings.HasPrefix(statement, begin) }
			if !slices.ContainsFunc(violations, func(v violation) bool { return slices.ContainsFunc(v.broken, begins) }) {
				f.Errorf("nothing breaks %q", statement)
			}
		}
	}},
	{"a report lists a bounded number of findings", func(f *fixture) {
		f.update(func(tx tallygate.Tx) error {
			for range 300 {
				c := f.newClient()
				if err := tx.InsertClient(c); err != nil {
					return err
				}
				c.Balance.Posted = 1
				if err := tx.SaveAccount(c); err != nil {
					return err
				}
			}
			return nil
		})
		if n := len(f.audit().Findings); n == 0 || n > 100 {
			f.Errorf("%d findings", n)
		}
	}},
}

// violationCases is a case for each violation.
func violationCases() []testCase {
	var cases []testCase
	for _, v := range violations {
		cases = append(cases, testCase{"the audit finds " + v.name, v.isFound})
	}
	return cases
}

// isFound checks that the statements it breaks find it, and no other.
func (v violation) isFound(f *fixture) {
	f.keep(v.falsify)
	var found []string
	for _, finding := range f.audit().Findings {
		if finding.Subject == "" || finding.Detail == "" {
			f.Errorf("a finding without subject or detail: %+v", finding)
		}
		if !slices.Contains(found, finding.Statement) {
			found = append(found, finding.Statement)
		}
	}
	for _, begin := range v.broken {
		if !slices.ContainsFunc(found, func(s string) bool { return strings.HasPrefix(s, begin) }) {
			f.Errorf("not found: %s…", begin)
		}
	}
	if len(found) != len(v.broken) {
		f.Errorf("found: %s", strings.Join(found, "; "))
	}
}
