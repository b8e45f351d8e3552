package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/store"
)

// writer is the one connection of this node that writes. The committer calls it from one goroutine.
type writer struct {
	store *Store
	conn  *conn
	cache *store.Cache
	last  int64      // the mark of our last turn, after which the cache holds what the database held; 0: none
	turn  int64      // the one before this transaction's
	place pgtype.TID // of the row that says so
	now   time.Time  // of the last transaction; time does not go back

	uncertain bool        // a commit's outcome is not known: the next one is to be on the standby's disk, too
	warned    atomic.Bool // by the database, in the course of a commit
}

const (
	turnTimeout  = 10 * time.Second // to wait for our turn
	idleTimeout  = 3 * time.Second  // that a node which stands still may hold a turn
	writeTimeout = 15 * time.Second // of one statement
)

// setSQL sets the bounds of turns for a session, and notes there that it has done so. beginSQL sets them for a turn whose
// session lacks that note: behind a pooler each may have another, and they must not outlast the turn there. To set them
// each time cost a tenth of what the database spends on a turn beside its rows.
var setSQL, beginSQL = func() (string, string) {
	bounds := append([]setting{
		{"lock_timeout", milliseconds(turnTimeout)},
		{"idle_in_transaction_session_timeout", milliseconds(idleTimeout)},
		{"statement_timeout", milliseconds(writeTimeout)},
	}, byKeys...)
	var session, turn []string
	for _, s := range bounds {
		session = append(session, fmt.Sprintf("set_config('%s', '%s', false)", s.name, s.value))
		turn = append(turn, fmt.Sprintf("set_config('%s', '%s', true)", s.name, s.value))
	}
	return "SELECT " + strings.Join(session, ", ") + ", set_config('" + boundedNote + "', 'yes', false)",
		"SELECT CASE WHEN current_setting('" + boundedNote + "', true) IS DISTINCT FROM 'yes' THEN concat(" + strings.Join(turn, ", ") + ") END"
}()

// boundedNote is the setting that tells that a session has the bounds of turns.
const boundedNote = "tallygate.bounded"

// turnSQL waits for the turn and finds the row from its newest version on; see newest. takeTurnSQL marks the turn, at
// random: numbers that count up would come again after a failover that lost turns, and one node take another's for its own.
const (
	turnSQL     = `SELECT value, turn, ctid FROM counters WHERE name >= 'event' AND name <= 'event' ORDER BY name DESC LIMIT 1 FOR UPDATE`
	takeTurnSQL = `UPDATE counters SET turn = $2, value = COALESCE($3, value), at = COALESCE($4, at) WHERE ctid = $1`
)

// Begin starts a transaction and waits for its turn. What this node remembers holds if the last turn was its own.
func (w *writer) Begin() (*store.Tx, error) {
	if err := w.connect(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), journeyTimeout)
	defer cancel()
	asked := w.store.clock.elapsed()
	batch := &pgx.Batch{}
	batch.Queue("BEGIN")
	batch.Queue(beginSQL)
	var event, clock int64
	batch.Queue(turnSQL).QueryRow(func(r pgx.Row) error { return r.Scan(&event, &w.turn, &w.place) })
	batch.Queue(`SELECT ` + clockSQL).QueryRow(func(r pgx.Row) error { return r.Scan(&clock) }) // in a statement of its own: after the wait
	if err := w.conn.pg.SendBatch(ctx, batch).Close(); err != nil {
		w.Rollback(nil)
		if codeOf(err) == lockNotAvailable && w.store.endStuck(stuckAfter) {
			return w.Begin()
		}
		return nil, translate(err)
	}
	if w.turn != w.last || w.last == 0 {
		w.cache = store.NewCacheAt(event)
	}
	w.conn.failed, w.conn.writes, w.conn.event = false, gathered{}, counted{}
	return store.NewTx(w.conn, w.time(clock, asked), w.cache), nil
}

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
func (w *writer) Commit(tx *store.Tx) error {
	mark := rand.Int64() | 1
	wrote := tx.Wrote() || w.conn.event.number != nil || w.uncertain
	w.warned.Store(false)
	var tag pgconn.CommandTag
	err := w.conn.travel(func(b *pgx.Batch) {
		if wrote {
			b.Queue(takeTurnSQL, w.place, mark, w.conn.event.number, w.conn.event.at)
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
	case err != nil || w.warned.Load() || tag.String() != "COMMIT":
		w.Rollback(tx)
		w.uncertain = true
		return &tallygate.Error{Code: tallygate.DatabaseError, Detail: "the database did not tell whether the request was carried out; look before you retry",
			RetryAfter: time.Second, Err: tallygate.ErrCommit{Cause: fmt.Errorf("%q: %w", tag, cmp.Or(err, errWarned))}}
	}
	w.uncertain = false
	if wrote {
		w.last = mark
		w.store.notifier.tell()
	} else {
		w.last = w.turn
	}
	if !w.cache.Reusable() {
		w.cache, w.last = store.NewCache(), 0
	}
	return nil
}

// Rollback ends the transaction without a trace.
func (w *writer) Rollback(*store.Tx) {
	w.cache, w.last = store.NewCache(), 0
	w.conn.writes = gathered{}
	if w.conn.lost() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	if _, err := w.conn.pg.Exec(ctx, "ROLLBACK"); err != nil {
		w.disconnect()
	}
}

// Transient reports whether the members may succeed if they are run again: another session was in the way, or the
// connection was lost before the commit was sent.
func (w *writer) Transient(err error) bool {
	e := tallygate.AsError(err)
	if e.Code != tallygate.DatabaseError || store.CommitFailed(err) || e.Err == nil {
		return false
	}
	if codeOf(e.Err) == "" && w.conn != nil && !w.conn.lost() {
		return false // it was not the connection
	}
	if gone(e.Err) {
		w.disconnect()
	}
	return transient(e.Err)
}

// Hopeless reports whether an error strikes whatever is written.
func (w *writer) Hopeless(err error) bool { return hopeless(err) }

// Idle does nothing.
func (w *writer) Idle() {}

// connect makes sure of a connection.
func (w *writer) connect() error {
	if w.conn != nil && !w.conn.lost() {
		return nil
	}
	w.cache, w.last = store.NewCache(), 0
	config := w.store.config.Copy()
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if n.SeverityUnlocalized == "WARNING" {
			w.warned.Store(true) // such as: the wait for the standby was given up
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), journeyTimeout)
	defer cancel()
	pg, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return translate(err)
	}
	takeArrays(pg.TypeMap())
	if config.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement { // else a pooler is between
		if _, err := pg.Exec(ctx, setSQL); err != nil {
			_ = pg.Close(ctx)
			return translate(err)
		}
	}
	w.conn = &conn{pg: pg}
	return nil
}

func (w *writer) disconnect() {
	if w.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	_ = w.conn.pg.Close(ctx) // it is of no use any more
}

// errWarned is the cause of an uncertain commit that the database answered with a warning, or otherwise than by COMMIT.
var errWarned = errors.New("it came with a warning")
