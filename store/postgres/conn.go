package postgres

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/store"
)

// conn runs the shared statements in one transaction. Every statement is a journey to the database, so writes are
// gathered, each kind as one statement, and travel with the next question or with the commit.
type conn struct {
	pg     *pgx.Conn
	caller context.Context // of a View, whose queries end with it; nil for none
	begin  string          // begins the transaction, on the way of its first query; empty once it is sent
	writes gathered
	event  counted
	failed bool // nothing is left but to roll back

	patient bool // whatever is asked may take as long as the caller waits
}

// counted is the event counter as the transaction leaves it, nil where it does not change. It travels with the number of
// the turn, which stands in the same row.
type counted struct{ number, at *int64 }

// Exec runs a statement and returns how many rows it changed.
func (c *conn) Exec(sql string, args ...any) (int64, error) {
	var tag pgconn.CommandTag
	err := c.travel(func(b *pgx.Batch) {
		b.Queue(sql, bound(args)...)
	}, func(r pgx.BatchResults) (err error) {
		tag, err = r.Exec()
		return err
	})
	return tag.RowsAffected(), err
}

// Query calls scan for each row, as long as the caller waits.
func (c *conn) Query(sql string, scan func(store.Row) error, args ...any) error {
	var scanned error
	err := c.travel(func(b *pgx.Batch) {
		b.Queue(sql, bound(args)...)
	}, func(r pgx.BatchResults) error {
		rows, err := r.Query()
		if err != nil {
			return err
		}
		defer rows.Close()
		at := row{fields: rows.FieldDescriptions(), types: c.pg.TypeMap()}
		for scanned == nil && rows.Next() {
			at.values = rows.RawValues()
			scanned = scan(at)
		}
		rows.Close()
		return rows.Err()
	})
	if err == nil {
		err = scanned
	}
	return err
}

// Write gathers the row. So many bytes are sent at once that they need not all be kept.
func (c *conn) Write(w *store.Write, args ...any) error {
	if w == store.EventCounter {
		number, at := args[1].(int64), args[2].(int64)
		c.event = counted{&number, &at}
		return nil
	}
	c.writes.add(w, args)
	if c.writes.size < maxGathered {
		return nil
	}
	return c.travel(func(*pgx.Batch) {}, func(pgx.BatchResults) error { return nil })
}

// maxGathered bounds the bytes of rows that wait to be sent.
const maxGathered = 16 << 20

// KeepsVersions tells that reading a row passes by its old versions.
func (c *conn) KeepsVersions() {}

// ReadWhole lets the rest of the transaction read and join whole tables.
func (c *conn) ReadWhole() error {
	_, err := c.Exec(wholeSQL)
	return err
}

// Aborted reports whether an error of the database's has ended the transaction.
func (c *conn) Aborted() bool { return c.failed }

// travel sends what was gathered and what the caller adds, in one journey, and has the caller read its answers.
func (c *conn) travel(add func(*pgx.Batch), read func(pgx.BatchResults) error) (err error) {
	if c.caller != nil && c.caller.Err() != nil {
		return &tallygate.Error{Code: tallygate.ServiceUnavailable, Detail: "the caller left before all was read", Err: c.caller.Err()}
	}
	batch := &pgx.Batch{}
	if c.begin != "" {
		batch.Queue(c.begin)
		c.begin = ""
	}
	c.writes.queue(batch)
	before := batch.Len()
	add(batch)
	ctx, cancel := context.WithTimeout(context.Background(), journeyTimeout)
	if c.patient {
		cancel()
		ctx, cancel = context.WithCancel(c.caller)
	}
	defer cancel()
	results := c.pg.SendBatch(ctx, batch)
	defer func() { // also after a panic of a scan
		if closed := results.Close(); err == nil {
			err = closed
		}
		if err != nil {
			c.failed, err = true, translate(err)
		}
	}()
	for range before {
		if _, err := results.Exec(); err != nil {
			return err
		}
	}
	return read(results)
}

// lost reports whether the connection is gone.
func (c *conn) lost() bool { return c.pg.IsClosed() }

// end ends a View's transaction, if it has begun.
func (c *conn) end() {
	if c.begin != "" || c.lost() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), journeyTimeout)
	defer cancel()
	if _, err := c.pg.Exec(ctx, "COMMIT"); err != nil {
		_ = c.pg.Close(ctx) // the pool makes another
	}
}

// bound makes arguments that PostgreSQL takes: a text cannot hold U+0000 or what is not UTF-8.
func bound(args []any) []any {
	for i, arg := range args {
		if s, ok := arg.(string); ok {
			args[i] = text(s)
		}
	}
	return args
}

func text(s string) string {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
