package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/tallygate/tallygate"
)

// newJob makes a job with every field set.
func (f *fixture) newJob(owner tallygate.ClientID, jobType string) *tallygate.Job {
	return &tallygate.Job{
		ID:           tallygate.JobID(f.ids.Next(tallygate.JobPrefix, noon)),
		ClientID:     owner,
		Type:         jobType,
		Priority:     -3,
		Input:        []byte(`{"text":"a \u0000 b"}`),
		Metadata:     []byte(`{"env":"prod"}`),
		MaxAttempts:  4,
		TimeLimit:    time.Hour + time.Nanosecond,
		Held:         210_000,
		PriceVersion: 2,
		RunAt:        noon.Add(time.Minute),
		CreatedAt:    noon,
		Actor:        "key_1",
		Event:        1001,
	}
}

// item makes the queue item of a job as it is enqueued.
func item(j *tallygate.Job) *tallygate.QueueItem {
	return &tallygate.QueueItem{
		JobID: j.ID, ClientID: j.ClientID, Type: j.Type, Priority: j.Priority, Held: j.Held, PriceVersion: j.PriceVersion,
		State: tallygate.ItemReady, At: noon, MaxAttempts: j.MaxAttempts, TimeLimit: j.TimeLimit, Progress: -1,
	}
}

// outcome makes a job's outcome with every field set.
func outcome(j *tallygate.Job) *tallygate.Outcome {
	return &tallygate.Outcome{
		JobID: j.ID, ClientID: j.ClientID, Type: j.Type, Status: tallygate.JobFailed,
		Result:  []byte(`{"pages":12}`),
		Error:   &tallygate.JobError{Code: tallygate.ExternalServiceError, Message: "the upstream answered 500"},
		Charged: 100_000, Released: 110_000, Units: map[string]int64{"page": 12, "image": 0},
		Attempt: 2, Token: "lease_1", LeaseEvent: 1002, Actor: "key_2", Event: 1003,
		StartedAt: noon.Add(time.Second), LeasedAt: noon.Add(2 * time.Second), FinishedAt: noon.Add(time.Minute),
	}
}

func readsJob(id tallygate.JobID) func(tx tallygate.Tx) (*tallygate.Job, error) {
	return func(tx tallygate.Tx) (*tallygate.Job, error) { return tx.Job(id) }
}

func readsOutcome(id tallygate.JobID) func(tx tallygate.Tx) (*tallygate.Outcome, error) {
	return func(tx tallygate.Tx) (*tallygate.Outcome, error) { return tx.Outcome(id) }
}

// live inserts a job and its queue item.
func live(tx tallygate.Tx, j *tallygate.Job) error {
	if err := tx.InsertJob(j); err != nil {
		return err
	}
	return tx.Enqueue(item(j))
}

// ended inserts a job and its outcome.
func ended(tx tallygate.Tx, j *tallygate.Job, o *tallygate.Outcome) error {
	if err := tx.InsertJob(j); err != nil {
		return err
	}
	return tx.InsertOutcome(o)
}

var jobCases = slices.Concat([]testCase{
	{"a live job reads with its queue item, an ended one with its outcome", func(f *fixture) {
		j := f.newJob("cl_a", "text.stats")
		filled(f, j, "Item", "Outcome")
		f.update(func(tx tallygate.Tx) error { return live(tx, j) })
		queued := *j
		queued.Item = item(j)
		seen(f, "the live job", &queued, readsJob(j.ID))
		seen(f, "its outcome", nil, readsOutcome(j.ID))

		o := outcome(j)
		filled(f, o)
		f.update(func(tx tallygate.Tx) error {
			if err := tx.RemoveItem(j.ID); err != nil {
				return err
			}
			return tx.InsertOutcome(o)
		})
		finished := *j
		finished.Outcome = o
		seen(f, "the ended job", &finished, readsJob(j.ID))
		seen(f, "its outcome", o, readsOutcome(j.ID))
		seen(f, "an unknown job", nil, readsJob("job_unknown"))
	}},
	{"an outcome may leave out result, error, units, token and start", func(f *fixture) {
		j := f.newJob("cl_a", "text.stats")
		o := &tallygate.Outcome{JobID: j.ID, ClientID: "cl_a", Type: "text.stats", Status: tallygate.JobCancelled, FinishedAt: noon}
		f.update(func(tx tallygate.Tx) error { return ended(tx, j, o) })
		seen(f, "the outcome", o, readsOutcome(j.ID))
	}},
	{"a job ends once", func(f *fixture) {
		j := f.newJob("cl_a", "text.stats")
		f.update(func(tx tallygate.Tx) error { return ended(tx, j, outcome(j)) })
		f.refuses("a second outcome", func(tx tallygate.Tx) error { return tx.InsertOutcome(outcome(j)) })
		f.refuses("a second job with the id", func(tx tallygate.Tx) error { return tx.InsertJob(j) })
	}},
	{"a deleted job is gone with its outcome and events, its ledger entries stay", func(f *fixture) {
		gone, stays := f.newJob("cl_a", "x"), f.newJob("cl_a", "x")
		var entry *tallygate.Entry
		f.update(func(tx tallygate.Tx) error {
			for _, j := range []*tallygate.Job{gone, stays} {
				if err := ended(tx, j, outcome(j)); err != nil {
					return err
				}
				if err := tx.InsertEvent(&tallygate.Event{Kind: tallygate.EventJobLog, Subject: string(j.ID), At: noon}); err != nil {
					return err
				}
			}
			entry = f.newEntry("cl_a", 1)
			entry.JobID = gone.ID
			return tx.InsertEntry(entry)
		})
		f.update(func(tx tallygate.Tx) error { return tx.DeleteJob("cl_a", gone.ID) })
		seen(f, "the job", nil, readsJob(gone.ID))
		seen(f, "its outcome", nil, readsOutcome(gone.ID))
		for id, n := range map[tallygate.JobID]int{gone.ID: 0, stays.ID: 4} { // queued, leased, told, ended
			seen(f, "the number of events", n, func(tx tallygate.Tx) (int, error) {
				events, err := tx.Events(string(id), 0, 10)
				return len(events), err
			})
		}
		seen(f, "the other's outcome", outcome(stays), readsOutcome(stays.ID))
		seen(f, "the entries", []*tallygate.Entry{entry}, func(tx tallygate.Tx) ([]*tallygate.Entry, error) {
			return tx.Entries("cl_a", tallygate.Page{Limit: 10})
		})
	}},
	{"every filter of the list chooses its jobs, newest first, each once", listedByEveryFilter},
	{"a list looks at a bounded number of rows and still finds every job", listedInBoundedScans},
	{"a page holds a bounded number of bytes, and at least one job", listedInBoundedBytes},
	{"a page looks at a bounded number of bytes of metadata", listedInBoundedMetadata},
	{"a client's list of live jobs is not slowed by others' and tells nothing of them", listedWithoutTheOthers},
}, endedJobCases)

// variety is what the jobs of a list differ in.
type variety struct {
	clients  []tallygate.ClientID
	types    []string
	statuses []tallygate.JobStatus
	metadata []string
}

// insert adds n jobs of a variety, a minute between them, and returns them newest first as the list shows them.
func (v variety) insert(f *fixture, n int) []*tallygate.Job {
	const seed = 1
	random := rand.New(rand.NewPCG(seed, 0))
	f.Logf("seed %d", seed)
	var jobs []*tallygate.Job
	f.update(func(tx tallygate.Tx) error {
		jobs = nil
		for i := range n {
			j := f.newJob(v.clients[random.IntN(len(v.clients))], v.types[random.IntN(len(v.types))])
			j.CreatedAt = noon.Add(time.Duration(i) * time.Minute)
			j.Metadata = []byte(v.metadata[random.IntN(len(v.metadata))])
			if err := tx.InsertJob(j); err != nil {
				return err
			}
			status := v.statuses[random.IntN(len(v.statuses))]
			if status.Ended() {
				j.Outcome = &tallygate.Outcome{JobID: j.ID, ClientID: j.ClientID, Type: j.Type, Status: status, FinishedAt: noon}
				if err := tx.InsertOutcome(j.Outcome); err != nil {
					return err
				}
			} else {
				j.Item = item(j)
				if j.Item.State = tallygate.ItemState(random.IntN(2)); status == tallygate.JobRunning { // ready or waiting: queued
					j.Item.State = tallygate.ItemLeased
				}
				if err := tx.Enqueue(j.Item); err != nil {
					return err
				}
			}
			jobs = append(jobs, j)
		}
		slices.Reverse(jobs)
		return nil
	})
	return jobs
}

func listedByEveryFilter(f *fixture) {
	metadata := []string{`{}`, `{"env":"prod"}`, `{"env":"prod","team":"a","n":"1"}`, `{"env":"prod","n":1}`, `{"env":{"a":1}}`, `{"env":["prod"]}`}
	members := []map[string]string{{}, {"env": "prod"}, {"env": "prod", "team": "a", "n": "1"}, {"env": "prod"}, {}, {}}
	const n = 25
	jobs := variety{
		[]tallygate.ClientID{"cl_a", "cl_b"}, []string{"x", "y"},
		[]tallygate.JobStatus{tallygate.JobQueued, tallygate.JobRunning, tallygate.JobSucceeded, tallygate.JobFailed, tallygate.JobCancelled},
		metadata,
	}.insert(f, n)
	fits := func(j *tallygate.Job, filter tallygate.JobFilter) bool {
		at := slices.Index(metadata, string(j.Metadata))
		for name, text := range filter.Metadata {
			if members[at][name] != text {
				return false
			}
		}
		return (filter.ClientID == "" || filter.ClientID == j.ClientID) && (filter.Type == "" || filter.Type == j.Type) &&
			(filter.Status == "" || filter.Status == j.Status()) &&
			(filter.CreatedAfter.IsZero() || !j.CreatedAt.Before(filter.CreatedAfter)) &&
			(filter.CreatedBefore.IsZero() || j.CreatedAt.Before(filter.CreatedBefore))
	}
	f.view(func(tx tallygate.Tx) error {
		for _, filter := range everyFilter(n) {
			var want []*tallygate.Job
			for _, j := range jobs {
				if fits(j, filter) {
					want = append(want, j)
				}
			}
			got, _, err := walk(tx, filter, 7)
			if err != nil {
				return fmt.Errorf("%+v: %w", filter, err)
			}
			if !same(got, want) {
				f.Errorf("%+v: listed %d jobs, want %d:\n%s\nwant %s", filter, len(got), len(want), show(got), show(want))
			}
		}
		return nil
	})
}

// everyFilter combines the values of every field of a filter.
func everyFilter(n int) []tallygate.JobFilter {
	statuses := []tallygate.JobStatus{"", tallygate.JobQueued, tallygate.JobRunning, tallygate.JobSucceeded, tallygate.JobFailed, tallygate.JobCancelled}
	edge := noon.Add(time.Duration(n/2) * time.Minute) // a job was created at this very time
	var filters []tallygate.JobFilter
	for _, c := range []tallygate.ClientID{"", "cl_a"} {
		for _, jobType := range []string{"", "x"} {
			for _, status := range statuses {
				for _, created := range [][2]time.Time{{}, {edge.Add(-10 * time.Minute)}, {{}, edge}, {edge.Add(-10 * time.Minute), edge}} {
					for _, metadata := range []map[string]string{nil, {"env": "prod"}, {"env": "prod", "team": "a", "n": "1"}} {
						filters = append(filters, tallygate.JobFilter{
							ClientID: c, Type: jobType, Status: status, CreatedAfter: created[0], CreatedBefore: created[1], Metadata: metadata,
						})
					}
				}
			}
		}
	}
	return filters
}

// walk reads a list to its end and returns how many pages it took.
func walk(tx tallygate.Tx, filter tallygate.JobFilter, limit int) (all []*tallygate.Job, pages int, err error) {
	for after := ""; ; {
		page, next, err := tx.Jobs(filter, tallygate.Page{After: after, Limit: limit})
		if err != nil {
			return nil, 0, err
		}
		if len(page) > limit {
			return nil, 0, fmt.Errorf("a page of %d with a limit of %d", len(page), limit)
		}
		all, pages = append(all, page...), pages+1
		if next == "" {
			return all, pages, nil
		}
		if next == after {
			return nil, 0, fmt.Errorf("the cursor %q leads to itself", next)
		}
		after = next
	}
}

func listedInBoundedScans(f *fixture) {
	const n, marked = 5100, "the oldest, one between and the newest"
	jobs := variety{[]tallygate.ClientID{"cl_a"}, []string{"x"}, []tallygate.JobStatus{tallygate.JobQueued}, []string{`{}`}}.insert(f, n)
	var want []tallygate.JobID
	f.update(func(tx tallygate.Tx) error {
		want = nil
		for _, at := range []int{0, n / 2, n - 1} {
			j := *jobs[at]
			if err := tx.DeleteJob(j.ClientID, j.ID); err != nil {
				return err
			}
			j.Metadata = []byte(`{"mark":"` + marked + `"}`)
			if err := tx.InsertJob(&j); err != nil {
				return err
			}
			want = append(want, j.ID)
		}
		return nil
	})
	for name, filter := range map[string]tallygate.JobFilter{
		"a client's":        {ClientID: "cl_a"},
		"a client's queued": {ClientID: "cl_a", Status: tallygate.JobQueued},
		"everybody's":       {},
	} {
		filter.Metadata = map[string]string{"mark": marked}
		f.view(func(tx tallygate.Tx) error {
			listed, pages, err := walk(tx, filter, 10)
			var got []tallygate.JobID
			for _, j := range listed {
				got = append(got, j.ID)
			}
			if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(want))) || pages > 10 {
				f.Errorf("%s: listed %d jobs on %d pages, want %d", name, len(got), pages, len(want))
			}
			return err
		})
	}
}

func listedInBoundedBytes(f *fixture) {
	const mib = 1 << 20
	var want []tallygate.JobID
	for _, size := range []struct{ input, result int }{
		{mib, mib}, {mib, mib}, {mib, mib}, {mib, mib}, {mib, mib}, {mib, mib}, // 12 MiB
		{9 * mib, 0}, {0, 9 * mib}, {1, 1}, {1, 1},
	} {
		j := f.newJob("cl_a", "x")
		j.Input = make([]byte, size.input)
		f.update(func(tx tallygate.Tx) error {
			o := outcome(j)
			o.Result = make([]byte, size.result)
			return ended(tx, j, o)
		})
		want = append(want, j.ID)
	}
	slices.Reverse(want)
	for _, filter := range []tallygate.JobFilter{{}, {ClientID: "cl_a"}, {ClientID: "cl_a", Status: tallygate.JobFailed}} {
		var got []tallygate.JobID
		var pages []int
		f.view(func(tx tallygate.Tx) error {
			for after := ""; ; {
				page, next, err := tx.Jobs(filter, tallygate.Page{After: after, Limit: 10})
				if err != nil {
					return err
				}
				for _, j := range page {
					got = append(got, j.ID)
				}
				pages = append(pages, len(page))
				if next == "" || len(pages) > len(want) {
					return nil
				}
				after = next
			}
		})
		if !slices.Equal(got, want) || !slices.Equal(pages, []int{3, 1, 4, 2}) {
			f.Errorf("%+v: pages of %v jobs:\n got %v\nwant %v", filter, pages, got, want)
		}
	}
}

func listedInBoundedMetadata(f *fixture) {
	const n, each = 640, 16 << 10 // 10 MiB
	variety{
		[]tallygate.ClientID{"cl_a"}, []string{"x"}, []tallygate.JobStatus{tallygate.JobQueued},
		[]string{`{"note":"` + strings.Repeat("n", each) + `"}`},
	}.insert(f, n)
	for jobType, want := range map[string]int{"x": 2, "y": 1} { // what another filter refuses is not looked at
		f.view(func(tx tallygate.Tx) error {
			filter := tallygate.JobFilter{ClientID: "cl_a", Type: jobType, Metadata: map[string]string{"note": "m"}}
			jobs, pages, err := walk(tx, filter, 10)
			if err == nil && (len(jobs) != 0 || pages != want) {
				err = fmt.Errorf("type %s: %d jobs on %d pages, want none on %d", jobType, len(jobs), pages, want)
			}
			return err
		})
	}
}

func listedWithoutTheOthers(f *fixture) {
	live := []tallygate.JobStatus{tallygate.JobQueued, tallygate.JobRunning}
	insert := func(c tallygate.ClientID, n int, statuses ...tallygate.JobStatus) []*tallygate.Job {
		return variety{[]tallygate.ClientID{c}, []string{"x"}, statuses, []string{`{}`}}.insert(f, n)
	}
	insert("cl_a", 5100, tallygate.JobSucceeded) // its own that ended before any live job was submitted
	insert("cl_b", 100, live...)
	mine := insert("cl_a", 25, live...)
	insert("cl_b", 5100, live...)
	for _, c := range []struct {
		client tallygate.ClientID
		own    []*tallygate.Job
	}{{"cl_a", mine}, {"cl_c", nil}} {
		for _, status := range live {
			var want []*tallygate.Job
			for _, j := range c.own {
				if j.Status() == status {
					want = append(want, j)
				}
			}
			var got []*tallygate.Job
			f.view(func(tx tallygate.Tx) error {
				for after := ""; ; {
					page, next, err := tx.Jobs(tallygate.JobFilter{ClientID: c.client, Status: status}, tallygate.Page{After: after, Limit: 10})
					if err != nil {
						return err
					}
					got = append(got, page...)
					if next == "" {
						return nil
					}
					if len(page) != 10 || next != string(page[9].ID) {
						return fmt.Errorf("%s: a page of %d leads to %s", c.client, len(page), next)
					}
					after = next
				}
			})
			if !same(got, want) {
				f.Errorf("%s, %s: listed %d jobs, want %d", c.client, status, len(got), len(want))
			}
		}
	}
}
