package storetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tallygate/tallygate"
)

func readsItem(id tallygate.JobID) func(tx tallygate.Tx) (*tallygate.QueueItem, error) {
	return func(tx tallygate.Tx) (*tallygate.QueueItem, error) { return tx.Item(id) }
}

func readsLane(jobType string, c tallygate.ClientID) func(tx tallygate.Tx) (*tallygate.Lane, error) {
	return func(tx tallygate.Tx) (*tallygate.Lane, error) { return tx.Lane(jobType, c) }
}

// enqueue inserts a job whose item was changed.
func (f *fixture) enqueue(owner tallygate.ClientID, jobType string, change func(*tallygate.QueueItem)) tallygate.JobID {
	f.Helper()
	j := f.newJob(owner, jobType)
	f.update(func(tx tallygate.Tx) error {
		q := item(j)
		change(q)
		if err := tx.InsertJob(j); err != nil {
			return err
		}
		if err := tx.Enqueue(q); err != nil {
			return err
		}
		return tx.SaveItem(q)
	})
	return j.ID
}

// ids names the jobs of items, in order.
func ids(items []*tallygate.QueueItem, err error) ([]tallygate.JobID, error) {
	var named []tallygate.JobID
	for _, q := range items {
		named = append(named, q.JobID)
	}
	return named, err
}

var queueCases = []testCase{
	{"an item reads as it was enqueued and as it was saved", func(f *fixture) {
		j := f.newJob("cl_a", "x")
		q := item(j)
		f.update(func(tx tallygate.Tx) error { return live(tx, j) })
		seen(f, "the item", q, readsItem(j.ID))
		seen(f, "an unknown item", nil, readsItem("job_unknown"))

		changed := *q
		changed.State, changed.At = tallygate.ItemLeased, noon.Add(30*time.Second)
		changed.Attempt, changed.Failures, changed.Losses = 3, 1, 2
		changed.StartedAt, changed.LeasedAt, changed.AttemptDeadline = noon.Add(time.Second), noon.Add(2*time.Second), noon.Add(time.Hour)
		changed.LeaseEvent, changed.Token, changed.Worker, changed.CancelRequested = 9, "lease_1", "host-1 «ä»", true
		changed.LastError = &tallygate.JobError{Code: tallygate.ProcessingFailed, Message: "no"}
		for _, progress := range []float64{0.57, 0, 1, 0.29, 0.000001, -1} {
			changed.Progress = progress
			f.update(func(tx tallygate.Tx) error { return tx.SaveItem(&changed) })
			seen(f, "the saved item", &changed, readsItem(j.ID))
		}
		filled(f, &changed)
		f.fails(func(tx tallygate.Tx) error {
			spoilt := changed
			spoilt.Token, spoilt.Attempt = "lease_2", 4
			if err := tx.SaveItem(&spoilt); err != nil {
				return err
			}
			return errGuilty
		})
		seen(f, "the item after a rollback", &changed, readsItem(j.ID))
		f.update(func(tx tallygate.Tx) error { // what is read is a copy
			read, err := tx.Item(j.ID)
			if err == nil {
				read.Token = "lease_2"
			}
			return err
		})
		seen(f, "the item after a copy was changed", &changed, readsItem(j.ID))

		f.update(func(tx tallygate.Tx) error { return tx.SaveItem(q) })
		seen(f, "the item put back", q, readsItem(j.ID))
		f.update(func(tx tallygate.Tx) error { return tx.RemoveItem(j.ID) })
		seen(f, "the removed item", nil, readsItem(j.ID))
	}},
	{"a job is enqueued once", func(f *fixture) {
		j := f.newJob("cl_a", "x")
		f.update(func(tx tallygate.Tx) error { return live(tx, j) })
		f.refuses("a second item", func(tx tallygate.Tx) error { return tx.Enqueue(item(j)) })
	}},
	{"ready jobs come by priority, then by age, from their own lane, with their items", func(f *fixture) {
		with := func(priority int64, state tallygate.ItemState) func(*tallygate.QueueItem) {
			return func(q *tallygate.QueueItem) { q.Priority, q.State = priority, state }
		}
		older := f.enqueue("cl_a", "x", with(0, tallygate.ItemReady))
		low := f.enqueue("cl_a", "x", with(-5, tallygate.ItemReady))
		f.enqueue("cl_b", "x", with(9, tallygate.ItemReady))
		f.enqueue("cl_a", "y", with(9, tallygate.ItemReady))
		f.enqueue("cl_a", "x", with(9, tallygate.ItemWaiting))
		f.enqueue("cl_a", "x", with(9, tallygate.ItemLeased))
		f.enqueue("cl_a", "x", func(q *tallygate.QueueItem) {
			q.Priority, q.StartedAt, q.TimeLimit = 9, noon.Add(-time.Minute), time.Minute
		})
		again := f.enqueue("cl_a", "x", func(q *tallygate.QueueItem) {
			q.Priority, q.StartedAt, q.TimeLimit = 7, noon.Add(-time.Minute), time.Minute+time.Microsecond
		})
		high := f.enqueue("cl_a", "x", with(5, tallygate.ItemReady))
		newer := f.enqueue("cl_a", "x", with(0, tallygate.ItemReady))
		var want []*tallygate.Job
		for _, id := range []tallygate.JobID{again, high, older, newer, low} {
			f.view(func(tx tallygate.Tx) error {
				j, err := tx.Job(id)
				want = append(want, j)
				return err
			})
		}
		for _, limit := range []int{0, 1, 3, 10} {
			seen(f, "the ready jobs", want[:min(limit, len(want))], func(tx tallygate.Tx) ([]*tallygate.Job, error) {
				return tx.ReadyJobs(&tallygate.Lane{Type: "x", ClientID: "cl_a"}, limit)
			})
		}
	}},
	{"ready jobs of a lane are read from its head on", func(f *fixture) {
		with := func(priority int64) func(*tallygate.QueueItem) {
			return func(q *tallygate.QueueItem) { q.Priority, q.State = priority, tallygate.ItemReady }
		}
		var ids []tallygate.JobID
		for _, priority := range []int64{5, 5, 0, 0, 0, -3} {
			ids = append(ids, f.enqueue("cl_a", "x", with(priority)))
		}
		for head, id := range ids {
			item := &tallygate.QueueItem{JobID: id, Priority: []int64{5, 5, 0, 0, 0, -3}[head]}
			lane := &tallygate.Lane{Type: "x", ClientID: "cl_a", Ready: 6}
			lane.MoveHead(item)
			for _, limit := range []int{1, 2, 10} {
				seen(f, "the ready jobs from a head", ids[head:min(head+limit, len(ids))], func(tx tallygate.Tx) (found []tallygate.JobID, err error) {
					jobs, err := tx.ReadyJobs(lane, limit)
					for _, j := range jobs {
						found = append(found, j.ID)
					}
					return found, err
				})
			}
		}
	}},
	{"due items are waiting or leased and their time has come, the longest overdue first", func(f *fixture) {
		at := func(state tallygate.ItemState, seconds int) func(*tallygate.QueueItem) {
			return func(q *tallygate.QueueItem) { q.State, q.At = state, noon.Add(time.Duration(seconds)*time.Second) }
		}
		f.enqueue("cl_a", "x", at(tallygate.ItemReady, -100))
		exactly := f.enqueue("cl_a", "x", at(tallygate.ItemWaiting, 0))
		f.enqueue("cl_a", "x", at(tallygate.ItemLeased, 1))
		longest := f.enqueue("cl_b", "y", at(tallygate.ItemLeased, -10))
		long := f.enqueue("cl_a", "x", at(tallygate.ItemWaiting, -5))
		want := []tallygate.JobID{longest, long, exactly}
		for _, limit := range []int{0, 2, 10} {
			seen(f, "the due items", want[:min(limit, len(want))], func(tx tallygate.Tx) ([]tallygate.JobID, error) {
				return ids(tx.DueItems(time.Time{}, noon, limit))
			})
		}
		seen(f, "the due items after a time", []tallygate.JobID{exactly}, func(tx tallygate.Tx) ([]tallygate.JobID, error) {
			return ids(tx.DueItems(noon.Add(-5*time.Second), noon, 10))
		})
	}},
	{"overdue items are ready and past their time limit", func(f *fixture) {
		started := func(state tallygate.ItemState, at time.Time) func(*tallygate.QueueItem) {
			return func(q *tallygate.QueueItem) { q.State, q.StartedAt, q.TimeLimit = state, at, time.Minute }
		}
		past := f.enqueue("cl_a", "x", started(tallygate.ItemReady, noon.Add(-2*time.Minute)))
		exactly := f.enqueue("cl_b", "y", started(tallygate.ItemReady, noon.Add(-time.Minute)))
		f.enqueue("cl_a", "x", started(tallygate.ItemReady, noon.Add(-time.Minute+time.Microsecond)))
		f.enqueue("cl_a", "x", started(tallygate.ItemReady, time.Time{}))
		f.enqueue("cl_a", "x", started(tallygate.ItemWaiting, noon.Add(-time.Hour)))
		f.enqueue("cl_a", "x", started(tallygate.ItemLeased, noon.Add(-time.Hour)))
		seen(f, "the overdue items", []tallygate.JobID{past, exactly}, func(tx tallygate.Tx) ([]tallygate.JobID, error) {
			found, err := ids(tx.OverdueItems(time.Time{}, noon, 10))
			slices.Sort(found)
			return found, err
		})
		seen(f, "how many within a limit", 1, func(tx tallygate.Tx) (int, error) {
			found, err := tx.OverdueItems(time.Time{}, noon, 1)
			return len(found), err
		})
	}},
	{"active lanes are those with ready items", func(f *fixture) {
		active := func(tx tallygate.Tx) ([]tallygate.Lane, error) {
			lanes, err := tx.ActiveLanes("x")
			var found []tallygate.Lane
			for _, l := range lanes {
				found = append(found, *l)
			}
			slices.SortFunc(found, func(a, b tallygate.Lane) int { return int(a.Ready - b.Ready) })
			return found, err
		}
		save := func(lanes ...tallygate.Lane) {
			f.Helper()
			f.update(func(tx tallygate.Tx) error {
				for _, l := range lanes {
					if err := tx.SaveLane(&l); err != nil {
						return err
					}
				}
				return nil
			})
		}
		seen(f, "a lane that was never saved", &tallygate.Lane{Type: "x", ClientID: "cl_a"}, readsLane("x", "cl_a"))
		seen(f, "no active lanes", nil, active)
		a, b := tallygate.Lane{Type: "x", ClientID: "cl_a", Ready: 2, HeadPriority: -7, Head: "job_a"}, tallygate.Lane{Type: "x", ClientID: "cl_b", Ready: 1}
		save(a, b, tallygate.Lane{Type: "y", ClientID: "cl_a", Ready: 5})
		seen(f, "the active lanes", []tallygate.Lane{b, a}, active)
		seen(f, "a lane", &a, readsLane("x", "cl_a"))

		save(tallygate.Lane{Type: "x", ClientID: "cl_a"}) // emptied
		seen(f, "the lanes that are left", []tallygate.Lane{b}, active)
		seen(f, "the empty lane", &tallygate.Lane{Type: "x", ClientID: "cl_a"}, readsLane("x", "cl_a"))
		save(tallygate.Lane{Type: "x", ClientID: "cl_a", Ready: 7})
		seen(f, "the lane that filled again", &tallygate.Lane{Type: "x", ClientID: "cl_a", Ready: 7}, readsLane("x", "cl_a"))
		save(tallygate.Lane{Type: "z", ClientID: "cl_b"}, tallygate.Lane{Type: "z", ClientID: "cl_a"})
		empty := func(tx tallygate.Tx) ([]tallygate.LaneKey, error) {
			lanes, err := tx.EmptyLanes(10)
			slices.SortFunc(lanes, func(a, b tallygate.LaneKey) int { return strings.Compare(string(a.ClientID), string(b.ClientID)) })
			return lanes, err
		}
		seen(f, "empty lanes", []tallygate.LaneKey{{Type: "z", ClientID: "cl_a"}, {Type: "z", ClientID: "cl_b"}}, empty)
		seen(f, "how many within a limit", 1, func(tx tallygate.Tx) (int, error) {
			lanes, err := tx.EmptyLanes(1)
			return len(lanes), err
		})
		remove := func(first *tallygate.Lane, keys ...tallygate.LaneKey) {
			f.Helper()
			f.update(func(tx tallygate.Tx) error {
				if first != nil {
					if err := tx.SaveLane(first); err != nil {
						return err
					}
				}
				for _, k := range keys {
					if err := tx.RemoveLane(k); err != nil {
						return err
					}
				}
				return nil
			})
		}
		remove(nil, tallygate.LaneKey{Type: "z", ClientID: "cl_b"}, tallygate.LaneKey{Type: "x", ClientID: "cl_b"}, tallygate.LaneKey{Type: "z", ClientID: "cl_c"})
		seen(f, "the empty lane that is left", []tallygate.LaneKey{{Type: "z", ClientID: "cl_a"}}, empty)
		seen(f, "a lane that was not empty", &b, readsLane("x", "cl_b"))
		full := tallygate.Lane{Type: "z", ClientID: "cl_a", Ready: 3}
		remove(&full, tallygate.LaneKey{Type: "z", ClientID: "cl_a"})
		seen(f, "the lane that has just been filled", &full, readsLane("z", "cl_a"))
		var want []tallygate.Lane
		for n := range 150 { // more than are looked up one by one
			want = append(want, tallygate.Lane{Type: "many", ClientID: tallygate.ClientID(fmt.Sprintf("cl_%03d", n)), Ready: int64(n) + 1})
		}
		for _, n := range []int{1, 63, 64, 65, 150} {
			save(want[:n]...)
			seen(f, "many active lanes", want[:n], func(tx tallygate.Tx) ([]tallygate.Lane, error) {
				lanes, err := tx.ActiveLanes("many")
				var found []tallygate.Lane
				for _, l := range lanes {
					found = append(found, *l)
				}
				slices.SortFunc(found, func(a, b tallygate.Lane) int { return int(a.Ready - b.Ready) })
				return found, err
			})
		}
	}},
}
