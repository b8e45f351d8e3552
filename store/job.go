package store

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/tallygate/tallygate"
)

var insertJob = insert("jobs", `id, client_id, type, priority, input, metadata, max_attempts, time_limit, held, price_version,
	run_at, created_at, actor, event`)

// InsertJob writes what was asked.
func (tx *Tx) InsertJob(j *tallygate.Job) error {
	return tx.write(insertJob, string(j.ID), string(j.ClientID), j.Type, j.Priority, j.Input, j.Metadata, j.MaxAttempts, int64(j.TimeLimit),
		int64(j.Held), j.PriceVersion, micros(j.RunAt), micros(j.CreatedAt), string(j.Actor), j.Event)
}

const jobColumns = `j.id, j.client_id, j.type, j.priority, j.input, j.metadata, j.max_attempts, j.time_limit, j.held,
	j.price_version, j.run_at, j.created_at, j.actor, j.event`

const jobColumnCount = 14

func scanJob(r Row) *tallygate.Job {
	return &tallygate.Job{
		ID:           tallygate.JobID(r.Text(0)),
		ClientID:     tallygate.ClientID(r.Text(1)),
		Type:         r.Text(2),
		Priority:     r.Int64(3),
		Input:        r.Bytes(4),
		Metadata:     r.Bytes(5),
		MaxAttempts:  r.Int64(6),
		TimeLimit:    nanoseconds(r.Int64(7)),
		Held:         tallygate.Money(r.Int64(8)),
		PriceVersion: r.Int64(9),
		RunAt:        moment(r.Int64(10)),
		CreatedAt:    moment(r.Int64(11)),
		Actor:        tallygate.KeyID(r.Text(12)),
		Event:        r.Int64(13),
	}
}

const outcomeColumns = `o.job_id, o.client_id, o.type, o.status, o.charged, o.released, o.units, o.attempt, o.token,
	o.error_code, o.error_message, o.started_at, o.leased_at, o.lease_event, o.finished_at, o.actor, o.event, o.result`

func scanOutcome(r Row) (*tallygate.Outcome, error) { return scanOutcomeFrom(r, 0) }

func scanOutcomeFrom(r Row, at int) (*tallygate.Outcome, error) {
	o := &tallygate.Outcome{
		JobID:      tallygate.JobID(r.Text(at)),
		ClientID:   tallygate.ClientID(r.Text(at + 1)),
		Type:       r.Text(at + 2),
		Status:     tallygate.JobStatus(r.Text(at + 3)),
		Charged:    tallygate.Money(r.Int64(at + 4)),
		Released:   tallygate.Money(r.Int64(at + 5)),
		Attempt:    r.Int64(at + 7),
		Token:      r.Text(at + 8),
		Error:      jobError(r.Text(at+9), r.Text(at+10)),
		StartedAt:  moment(r.Int64(at + 11)),
		LeasedAt:   moment(r.Int64(at + 12)),
		LeaseEvent: r.Int64(at + 13),
		FinishedAt: moment(r.Int64(at + 14)),
		Actor:      tallygate.KeyID(r.Text(at + 15)),
		Event:      r.Int64(at + 16),
		Result:     r.Bytes(at + 17),
	}
	if units := r.Bytes(at + 6); len(units) > 0 {
		return o, json.Unmarshal(units, &o.Units)
	}
	return o, nil
}

var insertOutcome = insert("outcomes", `job_id, client_id, type, status, charged, released, units, attempt, token,
	error_code, error_message, started_at, leased_at, lease_event, finished_at, actor, event, result`)

// InsertOutcome writes how a job ended.
func (tx *Tx) InsertOutcome(o *tallygate.Outcome) error {
	var units []byte
	if len(o.Units) > 0 {
		var err error
		if units, err = json.Marshal(o.Units); err != nil {
			return err
		}
	}
	code, message := errorText(o.Error)
	return tx.write(insertOutcome, string(o.JobID), string(o.ClientID), o.Type, string(o.Status), int64(o.Charged), int64(o.Released), units, o.Attempt,
		o.Token, code, message, micros(o.StartedAt), micros(o.LeasedAt), o.LeaseEvent,
		micros(o.FinishedAt), string(o.Actor), o.Event, o.Result)
}

// Outcome returns how the job ended, or nil.
func (tx *Tx) Outcome(id tallygate.JobID) (*tallygate.Outcome, error) {
	return one(tx, `SELECT `+outcomeColumns+` FROM outcomes o WHERE o.job_id = $1`, scanOutcome, string(id))
}

func scanLiveJob(r Row) (*tallygate.Job, error) {
	j := scanJob(r)
	j.Item = scanItemFrom(r, jobColumnCount)
	return j, nil
}

// Job returns the job with its queue item or its outcome, or nil.
func (tx *Tx) Job(id tallygate.JobID) (*tallygate.Job, error) {
	live, err := one(tx, `SELECT `+jobColumns+`, `+itemColumns+`
		FROM queue q JOIN jobs j ON j.client_id = q.client_id AND j.id = q.job_id WHERE q.job_id = $1`,
		scanLiveJob, string(id))
	if live != nil || err != nil {
		return live, err
	}
	return one(tx, `SELECT `+jobColumns+`, `+outcomeColumns+`
		FROM outcomes o JOIN jobs j ON j.client_id = o.client_id AND j.id = o.job_id WHERE o.job_id = $1`,
		func(r Row) (*tallygate.Job, error) {
			j := scanJob(r)
			o, err := scanOutcomeFrom(r, jobColumnCount)
			j.Outcome = o
			return j, err
		}, string(id))
}

// A page of a list looks at so many jobs, parses so many bytes of metadata and reads so many of inputs and results.
const (
	scanned   = 5000
	pageBytes = 8 << 20
)

// errEnough ends a query whose further rows nobody needs.
var errEnough = errors.New("enough rows")

// Jobs lists newest first; see tallygate.JobTx.
func (tx *Tx) Jobs(f tallygate.JobFilter, p tallygate.Page) (jobs []*tallygate.Job, next string, err error) {
	sql, args := jobsQuery(f, p)
	type candidate struct{ id, cursor string }
	var fit []candidate
	looked, parsed, last := 0, 0, ""
	err = tx.conn.Query(sql, func(r Row) error {
		looked, last = looked+1, r.Text(1)
		if r.Int64(2) != 0 {
			metadata := r.Bytes(3)
			parsed += len(metadata)
			if hasMembers(metadata, f.Metadata) {
				fit = append(fit, candidate{r.Text(0), last})
			}
		}
		if len(fit) > p.Limit || parsed >= pageBytes {
			return errEnough
		}
		return nil
	}, args...)
	switch {
	case err != nil && !errors.Is(err, errEnough):
		return nil, "", err
	case len(fit) > p.Limit:
		fit = fit[:p.Limit]
		next = fit[len(fit)-1].cursor
	case err != nil || looked == scanned:
		next = last
	}
	read := 0
	for i, c := range fit {
		j, err := tx.Job(tallygate.JobID(c.id))
		if err != nil {
			return nil, "", err
		}
		if j == nil {
			continue
		}
		jobs = append(jobs, j)
		if read += len(j.Input); j.Outcome != nil {
			read += len(j.Outcome.Result)
		}
		if read >= pageBytes && i < len(fit)-1 {
			return jobs, c.cursor, nil
		}
	}
	return jobs, next, nil
}

// jobsQuery walks the narrowest index that holds what the filter asks for and tells of each job on the way its ID, its
// cursor, whether it fits, and the metadata where the filter asks for members. $1 is the client, empty for all; $2 the
// cursor. The cursor of a client's list is always a job of that client.
func jobsQuery(f tallygate.JobFilter, p tallygate.Page) (string, []any) {
	const newest = "~" // sorts after every ID
	from := `FROM jobs j LEFT JOIN outcomes o ON o.job_id = j.id LEFT JOIN queue q ON q.job_id = j.id`
	walk, cursor := `j.client_id = $1 AND j.id < $2`, `j.id`
	var after any = newest
	if p.After != "" {
		after = p.After
	}
	live := f.Status == tallygate.JobQueued || f.Status == tallygate.JobRunning
	switch {
	case live && f.ClientID == "":
		from = `FROM queue q JOIN jobs j ON j.client_id = q.client_id AND j.id = q.job_id LEFT JOIN outcomes o ON o.job_id = ''`
		walk, cursor = `q.job_id < $2`, `q.job_id`
	case live: // the jobs of the client that are not older than the oldest live one of all
		from = `FROM jobs j LEFT JOIN outcomes o ON o.job_id = '' LEFT JOIN queue q ON q.job_id = j.id`
		walk += ` AND j.id >= (SELECT MIN(job_id) FROM queue)`
	case f.ClientID == "":
		walk, cursor = `j.number < $2`, `j.number`
		number, err := strconv.ParseInt(p.After, 10, 64)
		if err != nil {
			number = math.MaxInt64
		}
		after = number
	case f.Status == tallygate.JobFailed || f.Status == tallygate.JobCancelled:
		from = `FROM outcomes o JOIN jobs j ON j.client_id = o.client_id AND j.id = o.job_id LEFT JOIN queue q ON q.job_id = ''`
		walk, cursor = `o.client_id = $1 AND o.status <> 'succeeded' AND o.status = $4 AND o.job_id < $2`, `o.job_id`
	}
	const fits = `($1 = '' OR j.client_id = $1) AND ($3 = '' OR j.type = $3)
			AND ($4 = '' OR COALESCE(o.status, CASE WHEN q.state = 2 THEN 'running' WHEN q.state < 2 THEN 'queued' END) = $4)
			AND (j.created_at >= $5 OR $5 = 0) AND (j.created_at < $6 OR $6 = 0)`
	metadata := `''`
	if len(f.Metadata) > 0 {
		metadata = `CASE WHEN ` + fits + ` THEN j.metadata END`
	}
	sql := `SELECT j.id, CAST(` + cursor + ` AS TEXT), CASE WHEN ` + fits + ` THEN 1 ELSE 0 END, ` + metadata + `
		` + from + ` WHERE ` + walk + ` ORDER BY ` + cursor + ` DESC LIMIT $7`
	return sql, []any{string(f.ClientID), after, f.Type, string(f.Status), micros(f.CreatedAfter), micros(f.CreatedBefore), scanned}
}

// hasMembers reports whether the JSON object has each of the members with that text.
func hasMembers(object []byte, want map[string]string) bool {
	if len(want) == 0 {
		return true
	}
	var members map[string]any
	if json.Unmarshal(object, &members) != nil {
		return false
	}
	for name, text := range want {
		if members[name] != text {
			return false
		}
	}
	return true
}

// CountUsage adds one ended job to its client's usage of the day, written once a batch.
func (tx *Tx) CountUsage(o *tallygate.Outcome) error {
	if err := tx.wrote(); err != nil {
		return err
	}
	key := usageKey{o.ClientID, o.FinishedAt.Unix() / secondsPerDay, o.Type}
	u, pending := tx.cache.usage[key]
	switch o.Status {
	case tallygate.JobSucceeded:
		u.Succeeded++
	case tallygate.JobFailed:
		u.Failed++
	case tallygate.JobCancelled:
		u.Cancelled++
	}
	u.Charged += o.Charged
	tx.cache.usage[key] = u
	if !pending {
		tx.cache.dirty = append(tx.cache.dirty, func() error { return tx.addUsage(key) })
	}
	return nil
}

var addUsage = addTo("usage", "client_id, day, type", "succeeded, failed, cancelled, charged")

func (tx *Tx) addUsage(key usageKey) error {
	u := tx.cache.usage[key]
	delete(tx.cache.usage, key)
	return tx.conn.Write(addUsage, string(key.client), key.day, key.typ, u.Succeeded, u.Failed, u.Cancelled, int64(u.Charged))
}

const secondsPerDay = 24 * 60 * 60

// Usage is a client's use by day and type within [from, to), oldest first.
func (tx *Tx) Usage(c tallygate.ClientID, from, to time.Time) ([]tallygate.Usage, error) {
	var usage []tallygate.Usage
	err := tx.conn.Query(`SELECT day, type, succeeded, failed, cancelled, charged FROM usage
		WHERE client_id = $1 AND day >= $2 AND day < $3 ORDER BY day, type`, func(r Row) error {
		usage = append(usage, tallygate.Usage{
			Day:       time.Unix(r.Int64(0)*secondsPerDay, 0).UTC(),
			Type:      r.Text(1),
			Succeeded: r.Int64(2),
			Failed:    r.Int64(3),
			Cancelled: r.Int64(4),
			Charged:   tallygate.Money(r.Int64(5)),
		})
		return nil
	}, string(c), from.Unix()/secondsPerDay, (to.Unix()+secondsPerDay-1)/secondsPerDay)
	return usage, err
}

// EndedJobs walks at most limit outcomes in the order of their writing and returns those of the type that ended before
// the time. It stops at the first that ended later, so that the walk goes on from there when its time has come. Those of
// the future were written while the clock was ahead: it passes them by, and a walk from the start finds them later.
func (tx *Tx) EndedJobs(jobType string, before time.Time, after int64, limit int) (ended []tallygate.EndedJob, last int64, err error) {
	last = after
	err = tx.conn.Query(`SELECT number, job_id, type, client_id, finished_at, CASE WHEN type = $6 THEN COALESCE(LENGTH(result), 0) +
				COALESCE((SELECT LENGTH(input) FROM jobs WHERE jobs.client_id = outcomes.client_id AND jobs.id = outcomes.job_id), 0) +
				COALESCE((SELECT SUM(LENGTH(data)) FROM events WHERE subject = job_id), 0) ELSE 0 END
			FROM outcomes WHERE number > $1 AND number <=
			COALESCE((SELECT MIN(number) - 1 FROM (SELECT number, finished_at FROM outcomes WHERE number > $1 ORDER BY number LIMIT $3) AS near
				WHERE finished_at >= $2 AND finished_at <= $5), $4)
			ORDER BY number LIMIT $3`, func(r Row) error {
		last = r.Int64(0)
		if r.Text(2) == jobType && r.Int64(4) < micros(before) {
			ended = append(ended, tallygate.EndedJob{ID: tallygate.JobID(r.Text(1)), ClientID: tallygate.ClientID(r.Text(3)), Bytes: r.Int64(5)})
		}
		return nil
	}, after, micros(before), limit, int64(math.MaxInt64), micros(tx.now), jobType)
	return ended, last, err
}

var (
	deleteEvents  = deleteRows("events", "subject")
	deleteJob     = deleteRows("jobs", "client_id, id")
	deleteOutcome = deleteRows("outcomes", "job_id")
)

// DeleteJob removes an ended job, its outcome and its events.
func (tx *Tx) DeleteJob(c tallygate.ClientID, id tallygate.JobID) error {
	if err := tx.write(deleteEvents, string(id)); err != nil {
		return err
	}
	if err := tx.write(deleteJob, string(c), string(id)); err != nil {
		return err
	}
	return tx.write(deleteOutcome, string(id))
}
