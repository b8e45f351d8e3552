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
	{"what a job's rows tell stands among its events", func(f *fixture) {
		j := f.newJob("cl_a", "x")
		of := func(after int64, limit int) func(tx tallygate.Tx) ([]*tallygate.Event, error) {
			return func(tx tallygate.Tx) ([]*tallygate.Event, error) { return tx.Events(string(j.ID), after, limit) }
		}
		event := func(kind string, number int64, actor tallygate.KeyID, data string, at time.Time) *tallygate.Event {
			e := &tallygate.Event{ID: tallygate.NewEventID(at, number), Number: number, Kind: kind, ClientID: "cl_a", Subject: string(j.ID), Actor: actor, At: at}
			if data != "" {
				e.Data = []byte(data)
			}
			return e
		}
		// Each step takes the next number and tells of its event.
		var want []*tallygate.Event
		step := func(write func(tx tallygate.Tx, number int64) (*tallygate.Event, error)) {
			f.Helper()
			var added *tallygate.Event
			f.update(func(tx tallygate.Tx) error {
				number, err := tx.NumberEvent()
				if err == nil {
					added, err = write(tx, number)
				}
				return err
			})
			want = append(want, added)
			seen(f, "the events after "+added.Kind, want, of(0, 10))
		}
		q := item(j)
		lease := func(attempt int64, at time.Time) {
			f.Helper()
			step(func(tx tallygate.Tx, number int64) (*tallygate.Event, error) {
				q.State, q.Attempt, q.LeasedAt, q.LeaseEvent = tallygate.ItemLeased, attempt, at, number
				return event("job.running", number, "", `{"attempt":`+strconv.FormatInt(attempt, 10)+`}`, at), tx.SaveItem(q)
			})
		}
		step(func(tx tallygate.Tx, number int64) (*tallygate.Event, error) {
			j.Event = number
			return event("job.queued", number, j.Actor, "", j.CreatedAt), live(tx, j)
		})
		lease(1, noon.Add(time.Second))
		first := want[1]
		f.update(func(tx tallygate.Tx) error { // the item is about to tell of another lease
			q.State, q.LeaseEvent = tallygate.ItemReady, 0
			if err := tx.KeepEvent(&tallygate.Event{Number: first.Number, Kind: first.Kind, ClientID: "cl_a", Subject: first.Subject, Data: first.Data, At: first.At}); err != nil {
				return err
			}
			return tx.SaveItem(q)
		})
		seen(f, "the events of a job that is ready again", want, of(0, 10))
		lease(2, noon.Add(2*time.Second))
		step(func(tx tallygate.Tx, number int64) (*tallygate.Event, error) {
			o := outcome(j)
			o.Event, o.LeaseEvent, o.LeasedAt, o.Attempt = number, q.LeaseEvent, q.LeasedAt, q.Attempt
			if err := tx.RemoveItem(j.ID); err != nil {
				return nil, err
			}
			return event("job.failed", number, o.Actor, "", o.FinishedAt), tx.InsertOutcome(o)
		})
		for i, e := range want {
			seen(f, "the events after "+e.Kind, want[i+1:], of(e.Number, 10))
			seen(f, "the first events", want[:i+1], of(0, i+1))
		}
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
	{"a view knows of a time up to which it sees every write", func(f *fixture) {
		seen(f, "the time before anything was written", time.Time{}, tallygate.Tx.Seen)
		var at time.Time
		for range 2 {
			f.update(func(tx tallygate.Tx) error {
				at = tx.Now()
				_, err := tx.NumberEvent()
				return err
			})
			seen(f, "the time of the last write", at, tallygate.Tx.Seen)
		}
	}},
}
