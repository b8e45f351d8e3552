package postgres

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/store"
)

// writer writes by two connections in turn, so that while one commits the other waits for the next turn already. The
// committer calls it from one goroutine.
type writer struct {
	store *Store
	lines [2]line
	line  *line     // of the transaction that is open, or was last
	ahead chan turn // of the other line, where it was asked for before it was needed
	cache *store.Cache
	last  int64     // the number of our last turn, after which the cache holds what the database held; 0: none
	turn  int64     // the turn before this transaction's
	now   time.Time // of the last transaction; time does not go back

	uncertain bool // a commit's outcome is not known: the next one is to be on the standby's disk, too
}

func newWriter(s *Store) *writer {
	w := &writer{store: s, cache: store.NewCache()}
	w.line = &w.lines[0]
	return w
}

// Begin starts a transaction and waits for its turn. What this node remembers holds if the last turn was its own.
func (w *writer) Begin() (*store.Tx, error) {
	var t turn
	if w.ahead == nil {
		t = w.line.await(w.store)
	} else {
		t, w.ahead, w.line = <-w.ahead, nil, w.other()
		if t.err != nil { // perhaps since the commit before took long
			t = w.line.await(w.store)
		}
	}
	if t.err != nil {
		w.forget()
		return nil, t.err
	}
	if w.turn = t.number; w.line.fresh || w.turn != w.last || w.last == 0 {
		w.cache = store.NewCacheAt(t.event)
	}
	w.line.fresh = false
	w.line.conn.failed, w.line.conn.writes = false, gathered{}
	return store.NewTx(w.line.conn, w.time(t.clock, t.asked), w.cache), nil
}

// askAhead has the other line wait for its turn.
func (w *writer) askAhead() {
	if w.ahead != nil {
		return
	}
	ahead, line := make(chan turn, 1), w.other()
	w.ahead = ahead
	go func() { ahead <- line.await(w.store) }()
}

func (w *writer) other() *line {
	if w.line == &w.lines[0] {
		return &w.lines[1]
	}
	return &w.lines[0]
}

// forget drops what this node remembers of the database.
func (w *writer) forget() { w.cache, w.last = store.NewCache(), 0 }

// time is the transaction's time.
func (w *writer) time(clock int64, asked time.Duration) time.Time {
	if w.store.now != nil {
		return w.store.now()
	}
	w.store.clock.heard(clock, asked)
	if now := time.UnixMicro(clock); now.After(w.now) || w.now.Sub(now) > time.Minute { // a clock that was set right is followed
		w.now = now
	}
	return w.now
}

// ReadAhead reads the rows in one journey each kind.
func (w *writer) ReadAhead(tx *store.Tx, reads tallygate.Reads) error { return tx.ReadAhead(reads) }

// Commit sends what was gathered and commits, in one journey, and returns after it is on disk: the standby's, too,
// where the database is set up so.
func (w *writer) Commit(tx *store.Tx, more bool) error {
	if more {
		w.askAhead()
	}
	wrote := tx.Wrote() || w.uncertain
	w.line.warned.Store(false)
	var tag pgconn.CommandTag
	err := w.line.conn.travel(func(b *pgx.Batch) {
		if wrote {
			b.Queue(`UPDATE counters SET turn = $1 WHERE name = 'event'`, w.turn+1)
		}
		b.Queue("COMMIT")
	}, func(r pgx.BatchResults) (err error) {
		if wrote {
			if _, err := r.Exec(); err != nil {
				return err
			}
		}
		tag, err = r.Exec()
		return err
	})
	switch {
	case err != nil && codeOf(err) != "" && !gone(err): // the database says that it did not commit
		w.Rollback(tx)
		return err
	case err != nil || w.line.warned.Load() || tag.String() != "COMMIT":
		w.Rollback(tx)
		w.uncertain = true
		return &tallygate.Error{Code: tallygate.DatabaseError, Detail: "the database did not tell whether the request was carried out; look before you retry",
			RetryAfter: time.Second, Err: tallygate.ErrCommit{Cause: fmt.Errorf("%q: %w", tag, cmp.Or(err, errWarned))}}
	}
	w.uncertain = false
	if wrote {
		w.last = w.turn + 1
		w.store.notifier.tell()
	} else {
		w.last = w.turn
	}
	if !w.cache.Reusable() {
		w.forget()
	}
	return nil
}

// Rollback ends the transaction without a trace.
func (w *writer) Rollback(*store.Tx) {
	w.forget()
	w.line.rollback()
}

// Transient reports whether the members may succeed if they are run again: another session was in the way, or the
// connection was lost before the commit was sent.
func (w *writer) Transient(err error) bool {
	e := tallygate.AsError(err)
	if e.Code != tallygate.DatabaseError || store.CommitFailed(err) || e.Err == nil {
		return false
	}
	if codeOf(e.Err) == "" && w.line.conn != nil && !w.line.conn.lost() {
		return false // it was not the connection
	}
	if gone(e.Err) {
		w.line.disconnect()
	}
	return transient(e.Err)
}

// Hopeless reports whether an error strikes whatever is written.
func (w *writer) Hopeless(err error) bool { return hopeless(err) }

// Idle does nothing.
func (w *writer) Idle() {}

// close hangs up.
func (w *writer) close() {
	if w.ahead != nil {
		<-w.ahead
	}
	for i := range w.lines {
		w.lines[i].disconnect()
	}
}

// errWarned is the cause of an uncertain commit that the database answered with a warning, or otherwise than by COMMIT.
var errWarned = errors.New("it came with a warning")
