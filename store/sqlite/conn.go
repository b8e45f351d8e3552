package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/store"
	"zombiezen.com/go/sqlite"
)

// conn runs the shared statements on one SQLite connection and keeps them prepared.
type conn struct {
	*sqlite.Conn
	statements map[string]*sqlite.Stmt
	caller     context.Context // of the View under way, whose queries end with it; nil for none
}

func newConn(c *sqlite.Conn) *conn {
	return &conn{Conn: c, statements: map[string]*sqlite.Stmt{}}
}

// prepare returns the statement ready to bind. SQLite numbers $1 by its place in the text, ?1 by its number.
func (c *conn) prepare(sql string) (*sqlite.Stmt, error) {
	if stmt, ok := c.statements[sql]; ok {
		return stmt, nil
	}
	numbered := []byte(sql)
	for i, b := range numbered {
		if b == '$' {
			numbered[i] = '?'
		}
	}
	stmt, err := c.Conn.Prepare(string(numbered))
	if err == nil {
		c.statements[sql] = stmt
	}
	return stmt, err
}

func (c *conn) bind(sql string, args []any) (*sqlite.Stmt, error) {
	stmt, err := c.prepare(sql)
	if err != nil {
		return nil, err
	}
	for i, arg := range args {
		switch v := arg.(type) {
		case int64:
			stmt.BindInt64(i+1, v)
		case int:
			stmt.BindInt64(i+1, int64(v))
		case string:
			stmt.BindText(i+1, v)
		case []byte:
			if v == nil {
				stmt.BindNull(i + 1)
			} else {
				stmt.BindBytes(i+1, v)
			}
		default:
			return nil, fmt.Errorf("cannot bind a %T to parameter %d", arg, i+1)
		}
	}
	return stmt, nil
}

// Exec runs a statement and returns how many rows it changed.
func (c *conn) Exec(sql string, args ...any) (int64, error) {
	stmt, err := c.bind(sql, args)
	if err != nil {
		return 0, translate(err)
	}
	_, err = stmt.Step()
	if reset := stmt.Reset(); err == nil {
		err = reset
	}
	return int64(c.Changes()), translate(err)
}

// Write writes one row.
func (c *conn) Write(w *store.Write, args ...any) error {
	_, err := c.Exec(w.One, args...)
	return err
}

// Aborted is never so: a statement of SQLite's that fails leaves the transaction as it was.
func (c *conn) Aborted() bool { return false }

// Query calls scan for each row, as long as the caller waits. Looking before each row costs nanoseconds, where SQLite's
// own interrupt costs a goroutine, and suffices: no query of a View goes far without a row.
func (c *conn) Query(sql string, scan func(store.Row) error, args ...any) (err error) {
	stmt, err := c.bind(sql, args)
	if err != nil {
		return translate(err)
	}
	defer func() { // also after a panic of scan
		if reset := stmt.Reset(); err == nil {
			err = translate(reset)
		}
	}()
	for {
		if err := c.abandoned(); err != nil {
			return err
		}
		more, err := stmt.Step()
		if err != nil || !more {
			return translate(err)
		}
		if err := scan(row{stmt}); err != nil {
			return err
		}
	}
}

// abandoned is the error of a View whose caller has left.
func (c *conn) abandoned() error {
	if c.caller == nil || c.caller.Err() == nil {
		return nil
	}
	return &tallygate.Error{Code: tallygate.ServiceUnavailable, Detail: "the caller left before all was read", Err: c.caller.Err()}
}

// row reads the columns of the statement's current row.
type row struct{ stmt *sqlite.Stmt }

func (r row) Int64(column int) int64 { return r.stmt.ColumnInt64(column) }
func (r row) Text(column int) string { return r.stmt.ColumnText(column) }

func (r row) Bytes(column int) []byte {
	n := r.stmt.ColumnLen(column)
	if n == 0 {
		return nil
	}
	b := make([]byte, n)
	r.stmt.ColumnBytes(column, b)
	return b
}

// translate turns an error of SQLite's into the contract's DATABASE_ERROR. The cause is for the logs alone.
func translate(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*tallygate.Error](err); ok {
		return err
	}
	detail := "the database could not carry out the request; retry after a delay"
	if sqlite.ErrCode(err).ToPrimary() == sqlite.ResultFull {
		detail = "the database's disk is full; retry after the operator has made room"
	}
	return &tallygate.Error{Code: tallygate.DatabaseError, Detail: detail, RetryAfter: time.Second, Err: err}
}

// hopeless reports whether an error speaks of the database, not of what was written to it.
func hopeless(err error) bool {
	e, ok := errors.AsType[*tallygate.Error](err)
	if !ok || e.Code != tallygate.DatabaseError {
		return false
	}
	switch sqlite.ErrCode(e.Err).ToPrimary() {
	case sqlite.ResultFull, sqlite.ResultIOErr, sqlite.ResultReadOnly, sqlite.ResultCorrupt, sqlite.ResultCantOpen,
		sqlite.ResultNotADB, sqlite.ResultBusy, sqlite.ResultLocked, sqlite.ResultNoMem:
		return true
	}
	return false
}
