package store

import (
	"strconv"
	"time"

	"github.com/tallygate/tallygate"
)

const entryColumns = `client_id, number, id, kind, posted, held, after_posted, after_held, floor, job_id, note, created_at`

func scanEntry(r Row) (*tallygate.Entry, error) {
	return &tallygate.Entry{
		ClientID:  tallygate.ClientID(r.Text(0)),
		Number:    r.Int64(1),
		ID:        tallygate.EntryID(r.Text(2)),
		Kind:      tallygate.EntryKind(r.Text(3)),
		Posted:    tallygate.Money(r.Int64(4)),
		Held:      tallygate.Money(r.Int64(5)),
		After:     tallygate.Balance{Posted: tallygate.Money(r.Int64(6)), Held: tallygate.Money(r.Int64(7))},
		Floor:     tallygate.Money(r.Int64(8)),
		JobID:     tallygate.JobID(r.Text(9)),
		Note:      r.Text(10),
		CreatedAt: moment(r.Int64(11)),
	}, nil
}

var insertEntry = insert("entries", entryColumns)

// InsertEntry appends a line to its client's ledger.
func (tx *Tx) InsertEntry(e *tallygate.Entry) error {
	return tx.write(insertEntry, string(e.ClientID), e.Number, string(e.ID), string(e.Kind), int64(e.Posted), int64(e.Held),
		int64(e.After.Posted), int64(e.After.Held), int64(e.Floor), string(e.JobID), e.Note, micros(e.CreatedAt))
}

// Entries lists a ledger, newest first; the cursor is a number.
func (tx *Tx) Entries(c tallygate.ClientID, p tallygate.Page) ([]*tallygate.Entry, error) {
	before, err := strconv.ParseInt(p.After, 10, 64)
	if err != nil {
		before = 1<<63 - 1
	}
	return all(tx, `SELECT `+entryColumns+` FROM entries WHERE client_id = $1 AND number < $2
		ORDER BY number DESC LIMIT $3`, scanEntry, string(c), before, p.Limit)
}

const recordColumns = `client_id, key, request_hash, jobs, body, created_at`

func scanRecord(r Row) (*tallygate.Idempotency, error) {
	rec := &tallygate.Idempotency{
		ClientID:  tallygate.ClientID(r.Text(0)),
		Key:       r.Text(1),
		Jobs:      splitJobs(r.Text(3)),
		Body:      r.Bytes(4),
		CreatedAt: moment(r.Int64(5)),
	}
	copy(rec.RequestHash[:], r.Bytes(2))
	return rec, nil
}

// Idempotency returns the client's record of the key, or nil.
func (tx *Tx) Idempotency(c tallygate.ClientID, key string) (*tallygate.Idempotency, error) {
	if rec, ahead := tx.records[tallygate.IdempotencyKey{ClientID: c, Key: key}]; ahead {
		return rec, nil
	}
	return one(tx, `SELECT `+recordColumns+` FROM idempotency WHERE client_id = $1 AND key = $2`, scanRecord, string(c), key)
}

var insertIdempotency = insert("idempotency", recordColumns)

// InsertIdempotency adds a record.
func (tx *Tx) InsertIdempotency(rec *tallygate.Idempotency) error {
	if id := (tallygate.IdempotencyKey{ClientID: rec.ClientID, Key: rec.Key}); tx.records != nil {
		kept := *rec
		kept.CreatedAt = moment(micros(rec.CreatedAt))
		tx.records[id] = &kept
	}
	return tx.write(insertIdempotency, string(rec.ClientID), rec.Key, rec.RequestHash[:], joinJobs(rec.Jobs), rec.Body, micros(rec.CreatedAt))
}

// DeleteIdempotency removes at most limit records that are older than the time, oldest first. It passes by those of the
// future, written while the clock was ahead: they go later.
func (tx *Tx) DeleteIdempotency(before time.Time, limit int) (int, error) {
	if err := tx.wrote(); err != nil {
		return 0, err
	}
	n, err := tx.conn.Exec(`DELETE FROM idempotency WHERE number IN
		(SELECT number FROM (SELECT number, created_at FROM idempotency WHERE created_at <= $3
			ORDER BY number LIMIT $2) AS oldest WHERE created_at < $1)`,
		micros(before), limit, micros(tx.now))
	return int(n), err
}
