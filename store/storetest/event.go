package storetest

import (
	"slices"
	"strconv"
	"time"

	"github.com/tallygate/tallygate"
)

var eventCases = []testCase{
	{"events are numbered in order and read as they were appended, oldest first", func(f *fixture) {
		var want []*tallygate.Event
		for i := range 5 {
			e := &tallygate.Event{
				Kind: tallygate.EventJobLog, ClientID: "cl_owner", Subject: "job_1", Actor: "key_1",
				Data: []byte(`{"line":"` + strconv.Itoa(i) + `"}`), At: noon,
			}
			bare := &tallygate.Event{Kind: tallygate.EventJobQueued, Subject: "job_2", At: noon}
			f.update(func(tx tallygate.Tx) error {
				if err := tx.InsertEvent(e); err != nil {
					return err
				}
				return tx.InsertEvent(bare)
			})
			filled(f, e)
			if e.ID != tallygate.NewEventID(e.At, e.Number) || bare.Number != e.Number+1 {
				f.Errorf("event %d has the id %s, the next the number %d", e.Number, e.ID, bare.Number)
			}
			want = append(want, e)
		}
		of := func(subject string, after int64, limit int) func(tx tallygate.Tx) ([]*tallygate.Event, error) {
			return func(tx tallygate.Tx) ([]*tallygate.Event, error) { return tx.Events(subject, after, limit) }
		}
		seen(f, "all", want, of("job_1", 0, 10))
		seen(f, "those after the second", want[2:], of("job_1", want[1].Number, 10))
		seen(f, "the first two", want[:2], of("job_1", 0, 2))
		seen(f, "those of nothing", nil, of("job_3", 0, 10))
	}},
	{"a job's last lease is told as an event, while it is live and after it has ended", func(f *fixture) {
		j := f.newJob("cl_a", "x")
		queued, ends := &tallygate.Event{Kind: tallygate.EventJobQueued, Subject: string(j.ID), ClientID: "cl_a", At: noon}, outcome(j)
		lease := &tallygate.Event{Kind: tallygate.EventJobRunning, ClientID: "cl_a", Subject: string(j.ID), Data: []byte(`{"attempt":2}`), At: noon.Add(time.Second)}
		f.update(func(tx tallygate.Tx) (err error) {
			if err := live(tx, j); err != nil {
				return err
			}
			if err := tx.InsertEvent(queued); err != nil {
				return err
			}
			q := item(j)
			q.State, q.Attempt, q.LeasedAt = tallygate.ItemLeased, 2, lease.At
			if q.LeaseEvent, err = tx.NumberEvent(); err != nil {
				return err
			}
			lease.Number, lease.ID = q.LeaseEvent, tallygate.NewEventID(lease.At, q.LeaseEvent)
			ends.LeaseEvent, ends.LeasedAt, ends.Attempt = q.LeaseEvent, q.LeasedAt, q.Attempt
			return tx.SaveItem(q)
		})
		finished := &tallygate.Event{Kind: tallygate.EventJobFailed, Subject: string(j.ID), ClientID: "cl_a", At: noon.Add(time.Minute)}
		of := func(after int64, limit int) func(tx tallygate.Tx) ([]*tallygate.Event, error) {
			return func(tx tallygate.Tx) ([]*tallygate.Event, error) { return tx.Events(string(j.ID), after, limit) }
		}
		seen(f, "the live job's events", []*tallygate.Event{queued, lease}, of(0, 10))
		f.update(func(tx tallygate.Tx) error {
			if err := tx.RemoveItem(j.ID); err != nil {
				return err
			}
			if err := tx.InsertOutcome(ends); err != nil {
				return err
			}
			return tx.InsertEvent(finished)
		})
		seen(f, "the ended job's events", []*tallygate.Event{queued, lease, finished}, of(0, 10))
		seen(f, "those after the first", []*tallygate.Event{lease, finished}, of(queued.Number, 10))
		seen(f, "the one after the first", []*tallygate.Event{lease}, of(queued.Number, 1))
		seen(f, "those after the lease", []*tallygate.Event{finished}, of(lease.Number, 10))
	}},
	{"an event that was rolled back leaves its number to the next", func(f *fixture) {
		var first, second tallygate.Event
		f.update(func(tx tallygate.Tx) error {
			first = tallygate.Event{Kind: tallygate.EventJobLog, Subject: "job_1", At: noon}
			return tx.InsertEvent(&first)
		})
		f.fails(func(tx tallygate.Tx) error {
			if err := tx.InsertEvent(&tallygate.Event{Kind: tallygate.EventJobLog, Subject: "job_1", At: noon}); err != nil {
				return err
			}
			return errGuilty
		})
		f.update(func(tx tallygate.Tx) error {
			second = tallygate.Event{Kind: tallygate.EventJobLog, Subject: "job_1", At: noon}
			return tx.InsertEvent(&second)
		})
		if second.Number <= first.Number {
			f.Errorf("numbers %d and %d", first.Number, second.Number)
		}
		seen(f, "the events", []*tallygate.Event{&first, &second}, func(tx tallygate.Tx) ([]*tallygate.Event, error) { return tx.Events("job_1", 0, 10) })
	}},
	{"the audit trail holds what people did, newest first, each once", func(f *fixture) {
		var want []int64
		for i, kind := range []string{
			tallygate.EventJobQueued, tallygate.EventClientCreated, tallygate.EventJobCancelRequested, tallygate.EventKeyRevoked,
			tallygate.EventTypeDefined, tallygate.EventJobSucceeded, tallygate.EventClientCredited, tallygate.EventTypeDeleted,
		} {
			e := &tallygate.Event{Kind: kind, Subject: "s" + strconv.Itoa(i), Actor: "key_1", At: noon}
			f.update(func(tx tallygate.Tx) error { return tx.InsertEvent(e) })
			if kind[:4] != "job." {
				want = append(want, e.Number)
			}
		}
		slices.Reverse(want)
		seen(f, "the trail", want, func(tx tallygate.Tx) (numbers []int64, err error) {
			after := ""
			for {
				page, err := tx.AuditEvents(tallygate.Page{After: after, Limit: 2})
				if err != nil || len(page) == 0 {
					return numbers, err
				}
				for _, e := range page {
					numbers = append(numbers, e.Number)
				}
				after = strconv.FormatInt(numbers[len(numbers)-1], 10)
			}
		})
	}},
}
