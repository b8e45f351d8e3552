package store

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tallygate/tallygate"
)

const eventColumns = `number, kind, client_id, subject, actor, data, at`

func scanEvent(r Row) (*tallygate.Event, error) {
	e := &tallygate.Event{
		Number:   r.Int64(0),
		Kind:     r.Text(1),
		ClientID: tallygate.ClientID(r.Text(2)),
		Subject:  r.Text(3),
		Actor:    tallygate.KeyID(r.Text(4)),
		Data:     r.Bytes(5),
		At:       moment(r.Int64(6)),
	}
	e.ID = tallygate.NewEventID(e.At, e.Number)
	return e, nil
}

// InsertEvent appends an event and sets its number and ID.
func (tx *Tx) InsertEvent(e *tallygate.Event) error {
	number, err := tx.NumberEvent()
	if err != nil {
		return err
	}
	e.Number = number
	return tx.KeepEvent(e)
}

var insertEvent = insert("events", "number, kind, client_id, subject, actor, data, at, people")

// KeepEvent adds an event that has its number already and sets its ID.
func (tx *Tx) KeepEvent(e *tallygate.Event) error {
	e.ID = tallygate.NewEventID(e.At, e.Number)
	people := !strings.HasPrefix(e.Kind, "job.")
	return tx.write(insertEvent, e.Number, e.Kind, string(e.ClientID), e.Subject, string(e.Actor), e.Data, micros(e.At), flag(people))
}

// NumberEvent numbers an event. The number counts as used even if no row bears it.
func (tx *Tx) NumberEvent() (int64, error) {
	n := &tx.cache.event
	if !n.loaded {
		value, err := tx.integer(`SELECT value FROM counters WHERE ` + newest("name", "'event'"))
		if err != nil {
			return 0, err
		}
		n.value, n.loaded = value, true
	}
	n.value++
	n.dirty = true
	return n.value, nil
}

// Events lists what happened to a subject after a number, oldest first. That a job was queued, leased last and ended
// is told by its own rows.
func (tx *Tx) Events(subject string, after int64, limit int) ([]*tallygate.Event, error) {
	const (
		queued = `SELECT j.event, 'job.queued', j.client_id, j.id, j.actor, NULL, j.created_at, 0 FROM `
		leased = `SELECT lease_event, 'job.running', client_id, job_id, '', NULL, leased_at, attempt FROM `
		ended  = `SELECT event, 'job.' || status, client_id, job_id, actor, NULL, finished_at, 0 FROM `
		its    = ` l JOIN jobs j ON j.client_id = l.client_id AND j.id = l.job_id WHERE l.job_id = $1 AND j.event > $2`
	)
	return all(tx, `SELECT `+eventColumns+`, 0 FROM events WHERE subject = $1 AND number > $2
		UNION ALL `+queued+`queue`+its+`
		UNION ALL `+queued+`outcomes`+its+`
		UNION ALL `+leased+`queue WHERE job_id = $1 AND lease_event > $2
		UNION ALL `+leased+`outcomes WHERE job_id = $1 AND lease_event > $2
		UNION ALL `+ended+`outcomes WHERE job_id = $1 AND event > $2
		ORDER BY 1 LIMIT $3`, func(r Row) (*tallygate.Event, error) {
		e, err := scanEvent(r)
		if attempt := r.Int64(7); attempt > 0 {
			e.Data = fmt.Appendf(nil, `{"attempt":%d}`, attempt)
		}
		return e, err
	}, subject, after, limit)
}

// AuditEvents lists what people did, newest first; the cursor is a number.
func (tx *Tx) AuditEvents(p tallygate.Page) ([]*tallygate.Event, error) {
	before, err := strconv.ParseInt(p.After, 10, 64)
	if err != nil {
		before = 1<<63 - 1
	}
	return all(tx, `SELECT `+eventColumns+` FROM events WHERE people = 1 AND number < $1 ORDER BY number DESC LIMIT $2`,
		scanEvent, before, p.Limit)
}
