package store

import (
	"errors"
	"math"
	"time"

	"github.com/tallygate/tallygate"
)

const itemColumns = `q.job_id, q.client_id, q.type, q.priority, q.held, q.price_version, q.state, q.at, q.attempt, q.failures,
	q.losses, q.max_attempts, q.time_limit, q.started_at, q.leased_at, q.lease_event, q.attempt_deadline, q.token, q.worker,
	q.cancel_requested, q.progress, q.error_code, q.error_message`

func scanItem(r Row) (*tallygate.QueueItem, error) { return scanItemFrom(r, 0), nil }

func scanItemFrom(r Row, at int) *tallygate.QueueItem {
	return &tallygate.QueueItem{
		JobID:           tallygate.JobID(r.Text(at)),
		ClientID:        tallygate.ClientID(r.Text(at + 1)),
		Type:            r.Text(at + 2),
		Priority:        r.Int64(at + 3),
		Held:            tallygate.Money(r.Int64(at + 4)),
		PriceVersion:    r.Int64(at + 5),
		State:           tallygate.ItemState(r.Int64(at + 6)),
		At:              moment(r.Int64(at + 7)),
		Attempt:         r.Int64(at + 8),
		Failures:        r.Int64(at + 9),
		Losses:          r.Int64(at + 10),
		MaxAttempts:     r.Int64(at + 11),
		TimeLimit:       nanoseconds(r.Int64(at + 12)),
		StartedAt:       moment(r.Int64(at + 13)),
		LeasedAt:        moment(r.Int64(at + 14)),
		LeaseEvent:      r.Int64(at + 15),
		AttemptDeadline: moment(r.Int64(at + 16)),
		Token:           r.Text(at + 17),
		Worker:          r.Text(at + 18),
		CancelRequested: r.Int64(at+19) != 0,
		Progress:        float64(r.Int64(at+20)) / 1e6,
		LastError:       jobError(r.Text(at+21), r.Text(at+22)),
	}
}

func nanoseconds(n int64) time.Duration { return time.Duration(n) }

// jobError reads an error stored as a code's name and a message; no code is no error.
func jobError(code, message string) *tallygate.JobError {
	if code == "" {
		return nil
	}
	c, _ := tallygate.ParseCode(code)
	return &tallygate.JobError{Code: c, Message: message}
}

// errorText writes what jobError reads.
func errorText(e *tallygate.JobError) (code, message string) {
	if e == nil {
		return "", ""
	}
	return e.Code.String(), e.Message
}

func millionths(progress float64) int64 {
	if progress < 0 {
		return -1_000_000
	}
	return int64(math.Round(progress * 1e6))
}

// Enqueue adds a live job.
func (tx *Tx) Enqueue(q *tallygate.QueueItem) error {
	return tx.exec(`INSERT INTO queue (job_id, client_id, type, priority, held, price_version, state, at, attempt, failures,
		losses, max_attempts, time_limit, started_at, leased_at, lease_event, attempt_deadline, token, worker, cancel_requested,
		progress, error_code, error_message)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0, 0, $9, $10, 0, 0, 0, 0, '', '', 0, -1000000, '', '')`,
		string(q.JobID), string(q.ClientID), q.Type, q.Priority, int64(q.Held), q.PriceVersion, int64(q.State), micros(q.At),
		q.MaxAttempts, int64(q.TimeLimit))
}

// Item returns a copy of the live job's row, or nil.
func (tx *Tx) Item(id tallygate.JobID) (*tallygate.QueueItem, error) {
	if kept, ok := tx.cache.leased[id]; ok {
		return &kept, nil
	}
	return one(tx, `SELECT `+itemColumns+` FROM queue q WHERE q.job_id = $1`, scanItem, string(id))
}

// SaveItem writes everything that changes in a live job.
func (tx *Tx) SaveItem(q *tallygate.QueueItem) error {
	code, message := errorText(q.LastError)
	err := tx.exec(`UPDATE queue SET state = $2, at = $3, attempt = $4, failures = $5, losses = $6, started_at = $7,
		leased_at = $8, attempt_deadline = $9, token = $10, worker = $11, cancel_requested = $12, progress = $13,
		error_code = $14, error_message = $15, lease_event = $16 WHERE job_id = $1`,
		string(q.JobID), int64(q.State), micros(q.At), q.Attempt, q.Failures, q.Losses, micros(q.StartedAt),
		micros(q.LeasedAt), micros(q.AttemptDeadline), q.Token, q.Worker, flag(q.CancelRequested), millionths(q.Progress),
		code, message, q.LeaseEvent)
	tx.keepLeased(q)
	return err
}

// keepLeased keeps a leased item as the database holds it, to the precision of its columns: a report follows soon.
func (tx *Tx) keepLeased(q *tallygate.QueueItem) {
	if q.State != tallygate.ItemLeased {
		delete(tx.cache.leased, q.JobID)
		return
	}
	kept := *q
	for _, t := range []*time.Time{&kept.At, &kept.StartedAt, &kept.LeasedAt, &kept.AttemptDeadline} {
		*t = moment(micros(*t))
	}
	kept.Progress = float64(millionths(q.Progress)) / 1e6
	tx.cache.leased[q.JobID] = kept
}

// RemoveItem takes an ended job out of the queue.
func (tx *Tx) RemoveItem(id tallygate.JobID) error {
	delete(tx.cache.leased, id)
	return tx.exec(`DELETE FROM queue WHERE job_id = $1`, string(id))
}

// ReadyJobs are the first of a lane that may run now: by priority, then by age, at most limit and no more once their
// inputs come to maxReady bytes. Those past their time limit are left to OverdueItems.
func (tx *Tx) ReadyJobs(jobType string, c tallygate.ClientID, limit int) (jobs []*tallygate.Job, err error) {
	size := 0
	err = tx.conn.Query(`SELECT `+jobColumns+`, `+itemColumns+`
		FROM queue q JOIN jobs j ON j.client_id = q.client_id AND j.id = q.job_id
		WHERE q.state = 0 AND q.type = $1 AND q.client_id = $2
			AND (q.started_at = 0 OR q.started_at + q.time_limit / 1000 > $3)
		ORDER BY q.priority DESC, q.job_id LIMIT $4`, func(r Row) error {
		j, err := scanLiveJob(r)
		jobs = append(jobs, j)
		if size += len(j.Input); err == nil && size >= maxReady {
			err = errEnough
		}
		return err
	}, jobType, string(c), micros(tx.now), limit)
	if errors.Is(err, errEnough) {
		err = nil
	}
	return jobs, err
}

// maxReady bounds the bytes of inputs that one reading of a lane brings into memory.
const maxReady = 16 << 20

// DueItems are waiting or leased and their time has come, the longest overdue first.
func (tx *Tx) DueItems(now time.Time, limit int) ([]*tallygate.QueueItem, error) {
	return all(tx, `SELECT `+itemColumns+` FROM queue q WHERE q.state <> 0 AND q.at <= $1 ORDER BY q.at LIMIT $2`,
		scanItem, micros(now), limit)
}

// OverdueItems are ready for another try, but past their job's time limit.
func (tx *Tx) OverdueItems(now time.Time, limit int) ([]*tallygate.QueueItem, error) {
	return all(tx, `SELECT `+itemColumns+` FROM queue q WHERE q.state = 0 AND q.started_at > 0
		AND q.started_at + q.time_limit / 1000 <= $1 LIMIT $2`, scanItem, micros(now), limit)
}

// NextDue is when the next waiting or leased item's time comes; zero when there is none.
func (tx *Tx) NextDue() (time.Time, error) {
	at, err := tx.integer(`SELECT MIN(at) FROM queue WHERE state <> 0`)
	return moment(at), err
}

// Lane returns a copy of the client's lane; one that was never saved is empty.
func (tx *Tx) Lane(jobType string, c tallygate.ClientID) (*tallygate.Lane, error) {
	row, err := tx.cachedLane(jobType, c)
	if err != nil {
		return nil, err
	}
	lane := row.value
	return &lane, nil
}

func (tx *Tx) cachedLane(jobType string, c tallygate.ClientID) (*cached[tallygate.Lane], error) {
	byClient, err := tx.lanes(jobType)
	if err != nil {
		return nil, err
	}
	row, ok := byClient[c]
	if !ok { // an inactive lane is empty, whether it has a row or not
		row = &cached[tallygate.Lane]{value: tallygate.Lane{Type: jobType, ClientID: c}}
		byClient[c] = row
	}
	return row, nil
}

// lanes loads the active lanes of a type once.
func (tx *Tx) lanes(jobType string) (map[tallygate.ClientID]*cached[tallygate.Lane], error) {
	if byClient, ok := tx.cache.lanes[jobType]; ok {
		return byClient, nil
	}
	byClient := map[tallygate.ClientID]*cached[tallygate.Lane]{}
	err := tx.conn.Query(`SELECT client_id, ready FROM lanes WHERE type = $1`, func(r Row) error {
		c := tallygate.ClientID(r.Text(0))
		byClient[c] = &cached[tallygate.Lane]{value: tallygate.Lane{Type: jobType, ClientID: c, Ready: r.Int64(1)}}
		return nil
	}, jobType)
	if err == nil {
		tx.cache.lanes[jobType] = byClient
	}
	return byClient, err
}

// ActiveLanes returns copies of the type's lanes that have ready items, in no order.
func (tx *Tx) ActiveLanes(jobType string) ([]*tallygate.Lane, error) {
	byClient, err := tx.lanes(jobType)
	if err != nil {
		return nil, err
	}
	var active []*tallygate.Lane
	for id, row := range byClient {
		if row.value.Ready > 0 {
			lane := row.value
			active = append(active, &lane)
		} else if !row.dirty {
			delete(byClient, id)
		}
	}
	return active, nil
}

// SaveLane writes a lane, once a batch. An empty lane has no row.
func (tx *Tx) SaveLane(lane *tallygate.Lane) error {
	row, err := tx.cachedLane(lane.Type, lane.ClientID)
	if err != nil {
		return err
	}
	return put(tx, row, *lane, func(lane *tallygate.Lane) error {
		if lane.Ready == 0 {
			_, err := tx.conn.Exec(`DELETE FROM lanes WHERE type = $1 AND client_id = $2`, lane.Type, string(lane.ClientID))
			return err
		}
		_, err := tx.conn.Exec(`INSERT INTO lanes (type, client_id, ready) VALUES ($1, $2, $3)
			ON CONFLICT (type, client_id) DO UPDATE SET ready = excluded.ready`, lane.Type, string(lane.ClientID), lane.Ready)
		return err
	})
}
