package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/tallygate/tallygate"
	"zombiezen.com/go/sqlite"
)

// Reader reads a database beside whoever holds it: for audits and checks. It never writes.
type Reader struct{ conn *conn }

var _ tallygate.Store = (*Reader)(nil)

// OpenReader opens an existing database for reading, also while a server uses it.
func OpenReader(_ context.Context, path string) (*Reader, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	c, err := openConn(path, sqlite.OpenReadWrite, "PRAGMA query_only = ON")
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	version, err := checkMarks(c.Conn)
	if err == nil && version != schemaVersion() {
		err = fmt.Errorf("the database has schema %d and this version of tallygate reads %d: start the server once to bring it forward", version, schemaVersion())
	}
	if err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	return &Reader{c}, nil
}

// Check runs SQLite's own check of the file's structure and returns what it finds wrong.
func (r *Reader) Check(ctx context.Context) ([]string, error) {
	r.conn.SetInterrupt(ctx.Done())
	defer r.conn.SetInterrupt(nil)
	var found []string
	stmt, _, err := r.conn.PrepareTransient("PRAGMA quick_check")
	if err != nil {
		return nil, err
	}
	defer func() { _ = stmt.Finalize() }()
	for {
		more, err := stmt.Step()
		if err != nil || !more {
			return found, err
		}
		if line := stmt.ColumnText(0); line != "ok" {
			found = append(found, line)
		}
	}
}

// Update refuses.
func (r *Reader) Update(context.Context, func(tallygate.Tx) error) error {
	return errors.New("the database was opened for reading")
}

// View runs fn over one snapshot. A Reader serves one caller at a time.
func (r *Reader) View(ctx context.Context, fn func(tallygate.Tx) error) error {
	return view(r.conn, time.Now(), func(tx tallygate.Tx) error {
		r.conn.SetInterrupt(ctx.Done()) // an audit may be long
		defer r.conn.SetInterrupt(nil)
		return fn(tx)
	})
}

// Delay is always 0.
func (r *Reader) Delay() time.Duration { return 0 }

// Close closes the connection.
func (r *Reader) Close() error { return r.conn.Close() }
