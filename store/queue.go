package store

import (
	"errors"
	"math"
	"time"

	"github.com/tallygate/tallygate"
)

const itemColumns = `q.job_id, q.client_id, q.type, -q.rank, q.held, q.price_version, q.state, q.at, q.attempt, q.failures,
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

// The columns that are left out have defaults: nothing has happened yet.
var insertItem = insert("queue", "job_id, client_id, type, rank, held, price_version, state, at, max_attempts, time_limit")

// Enqueue adds a live job.
func (tx *Tx) Enqueue(q *tallygate.QueueItem) error {
	return tx.write(insertItem, string(q.JobID), string(q.ClientID), q.Type, -q.Priority, int64(q.Held), q.PriceVersion, int64(q.State), micros(q.At),
		q.MaxAttempts, int64(q.TimeLimit))
}

// Item returns a copy of the live job's row, or nil.
func (tx *Tx) Item(id tallygate.JobID) (*tallygate.QueueItem, error) {
	if kept, ok := tx.cache.leased[id]; ok {
		return &kept, nil
	}
	return one(tx, `SELECT `+itemColumns+` FROM queue q WHERE q.job_id = $1`, scanItem, string(id))
}

var updateItem = update("queue", "job_id", `state, at, attempt, failures, losses, started_at, leased_at, attempt_deadline,
	token, worker, cancel_requested, progress, error_code, error_message, lease_event`)

// SaveItem writes everything that changes in a live job.
func (tx *Tx) SaveItem(q *tallygate.QueueItem) error {
	code, message := errorText(q.LastError)
	err := tx.write(updateItem, string(q.JobID), int64(q.State), micros(q.At), q.Attempt, q.Failures, q.Losses, micros(q.StartedAt),
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

var deleteItem = deleteRows("queue", "job_id")

// RemoveItem takes an ended job out of the queue.
func (tx *Tx) RemoveItem(id tallygate.JobID) error {
	delete(tx.cache.leased, id)
	return tx.write(deleteItem, string(id))
}

// ReadyJobs are the first of a lane that may run now, from its head on: by priority, then by age, at most limit and no more
// once their inputs come to maxReady bytes. Those past their time limit are left to OverdueItems. The items are chosen
// before their jobs are looked up, so that whatever the tables' statistics say nothing but the lane is walked.
func (tx *Tx) ReadyJobs(lane *tallygate.Lane, limit int) (jobs []*tallygate.Job, err error) {
	rank, size := -lane.HeadPriority, 0
	if lane.Head == "" {
		rank = math.MinInt64
	}
	err = tx.conn.Query(`SELECT `+jobColumns+`, `+itemColumns+`
		FROM (SELECT * FROM queue WHERE state = 0 AND type = $1 AND client_id = $2 AND (rank, job_id) >= ($3, $4)
			AND (started_at = 0 OR started_at + time_limit / 1000 > $5) ORDER BY rank, job_id LIMIT $6) AS q
		JOIN jobs j ON j.client_id = q.client_id AND j.id = q.job_id ORDER BY q.rank, q.job_id`, func(r Row) error {
		j, err := scanLiveJob(r)
		jobs = append(jobs, j)
		if size += len(j.Input); err == nil && size >= maxReady {
			err = errEnough
		}
		return err
	}, lane.Type, string(lane.ClientID), rank, string(lane.Head), micros(tx.now), limit)
	if errors.Is(err, errEnough) {
		err = nil
	}
	return jobs, err
}

// maxReady bounds the bytes of inputs that one reading of a lane brings into memory.
const maxReady = 16 << 20

// DueItems are waiting or leased and their time comes after from and by to, the longest overdue first.
func (tx *Tx) DueItems(from, to time.Time, limit int) ([]*tallygate.QueueItem, error) {
	return all(tx, `SELECT `+itemColumns+` FROM queue q WHERE q.state <> 0 AND q.at > $1 AND q.at <= $2 ORDER BY q.at LIMIT $3`,
		scanItem, micros(from), micros(to), limit)
}

// OverdueItems are ready for another try, but their job's time limit ends after from and by to.
func (tx *Tx) OverdueItems(from, to time.Time, limit int) ([]*tallygate.QueueItem, error) {
	return all(tx, `SELECT `+itemColumns+` FROM queue q WHERE q.state = 0 AND q.started_at > 0
		AND q.started_at + q.time_limit / 1000 > $1 AND q.started_at + q.time_limit / 1000 <= $2 LIMIT $3`,
		scanItem, micros(from), micros(to), limit)
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

// lanes loads the lanes of a type that have ready items, once.
func (tx *Tx) lanes(jobType string) (map[tallygate.ClientID]*cached[tallygate.Lane], error) {
	if byClient, ok := tx.cache.lanes[jobType]; ok {
		return byClient, nil
	}
	byClient := map[tallygate.ClientID]*cached[tallygate.Lane]{}
	var clients []tallygate.ClientID
	rows := 0
	scan := func(r Row) error {
		rows++
		c := tallygate.ClientID(r.Text(0))
		if r.Int64(1) > 0 && byClient[c] == nil {
			byClient[c] = &cached[tallygate.Lane]{value: tallygate.Lane{
				Type: jobType, ClientID: c, Ready: r.Int64(1), HeadPriority: r.Int64(2), Head: tallygate.JobID(r.Text(3)),
			}}
			clients = append(clients, c)
		}
		return nil
	}
	if _, keeps := tx.conn.(VersionKeeper); keeps {
		if err := tx.conn.Query(fewLanes, scan, jobType, maxFewLanes); err != nil {
			return nil, err
		}
	} else {
		rows = maxFewLanes
	}
	if rows >= maxFewLanes {
		if err := tx.conn.Query(`SELECT client_id, ready, head_priority, head FROM lanes WHERE type = $1 AND ready > 0`, scan, jobType); err != nil {
			return nil, err
		}
	}
	tx.cache.lanes[jobType] = byClient
	if tx.far {
		return byClient, tx.clientsAhead(clients) // whoever looks at the lanes asks for each
	}
	return byClient, nil
}

// VersionKeeper is a Conn of an engine that keeps old versions of rows as long as somebody may see them.
type VersionKeeper interface{ KeepsVersions() }

// maxFewLanes is how many lanes of a type are looked up one by one.
const maxFewLanes = 64

// fewLanes steps from lane to lane, each time to the newest version of the next, and passes by all others; see newest. A
// step costs more than a row of a range does, so that many lanes are read as a range.
const fewLanes = `WITH RECURSIVE found AS (
	(SELECT client_id, ready, head_priority, head, 1 AS n FROM lanes WHERE type >= $1 AND type <= $1 ORDER BY type DESC, client_id DESC LIMIT 1)
	UNION ALL
	SELECT following.*, found.n + 1 FROM found CROSS JOIN LATERAL (SELECT client_id, ready, head_priority, head FROM lanes
		WHERE (type, client_id) < ($1, found.client_id) AND type >= $1 ORDER BY type DESC, client_id DESC LIMIT 1) AS following WHERE found.n < $2)
	SELECT client_id, ready, head_priority, head FROM found`

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

var (
	upsertLane = upsert("lanes", "type, client_id", "ready, head_priority, head")
	deleteLane = deleteRows("lanes", "type, client_id")
)

// SaveLane writes a lane, once a batch. An empty one keeps its row for a while, since it may fill again at once: a row
// that goes and comes back meets, in a unique index, every version that cannot be cleaned away yet.
func (tx *Tx) SaveLane(lane *tallygate.Lane) error {
	row, err := tx.cachedLane(lane.Type, lane.ClientID)
	if err != nil {
		return err
	}
	return put(tx, row, *lane, func(lane *tallygate.Lane) error {
		return tx.conn.Write(upsertLane, lane.Type, string(lane.ClientID), lane.Ready, lane.HeadPriority, string(lane.Head))
	})
}

// EmptyLanes names lanes without ready items, in no order.
func (tx *Tx) EmptyLanes(limit int) (lanes []tallygate.LaneKey, err error) {
	err = tx.conn.Query(`SELECT type, client_id FROM lanes WHERE ready = 0 LIMIT $1`, func(r Row) error {
		lanes = append(lanes, tallygate.LaneKey{Type: r.Text(0), ClientID: tallygate.ClientID(r.Text(1))})
		return nil
	}, limit)
	return lanes, err
}

// RemoveLane takes a lane's row away if it is empty.
func (tx *Tx) RemoveLane(k tallygate.LaneKey) error {
	row, err := tx.cachedLane(k.Type, k.ClientID)
	if err != nil || row.value.Ready > 0 || row.dirty {
		return err
	}
	return tx.write(deleteLane, k.Type, string(k.ClientID))
}
