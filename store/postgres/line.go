package postgres

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	turnTimeout  = 10 * time.Second // to wait for our turn
	idleTimeout  = 3 * time.Second  // that a node which stands still may hold a turn
	writeTimeout = 15 * time.Second // of one statement
)

// beginSQL sets the bounds of a turn and how its statements are planned: by their keys, once for all. The settings end
// with the transaction, so that they hold behind a pooler, too.
var beginSQL = fmt.Sprintf(`SELECT set_config('lock_timeout', '%d', true), set_config('idle_in_transaction_session_timeout', '%d', true),
	set_config('statement_timeout', '%d', true), set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
	set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true)`,
	turnTimeout.Milliseconds(), idleTimeout.Milliseconds(), writeTimeout.Milliseconds())

// turnSQL waits for the turn.
const turnSQL = `SELECT value, turn FROM counters WHERE name = 'event' FOR UPDATE`

// line is a connection that writes.
type line struct {
	conn   *conn
	fresh  bool        // the connection is new, and so perhaps the database behind it
	warned atomic.Bool // by the database, in the course of a commit
}

// turn is what the database said when it was a line's turn to write.
type turn struct {
	number int64 // of the turn before
	event  int64 // the last event's number
	clock  int64 // see clockSQL
	asked  time.Duration
	err    error
}

// await begins a transaction and waits for its turn.
func (l *line) await(s *Store) (t turn) {
	if t.err = l.connect(s.config); t.err != nil {
		return t
	}
	ctx, cancel := context.WithTimeout(context.Background(), journeyTimeout)
	defer cancel()
	t.asked = s.clock.elapsed()
	batch := &pgx.Batch{}
	batch.Queue("BEGIN")
	batch.Queue(beginSQL)
	batch.Queue(turnSQL).QueryRow(func(r pgx.Row) error { return r.Scan(&t.event, &t.number) })
	batch.Queue(`SELECT ` + clockSQL).QueryRow(func(r pgx.Row) error { return r.Scan(&t.clock) }) // in a statement of its own: after the wait
	err := l.conn.pg.SendBatch(ctx, batch).Close()
	if err == nil {
		return t
	}
	l.rollback()
	if gone(err) {
		l.disconnect()
	}
	if codeOf(err) == lockNotAvailable && s.endStuck() {
		return l.await(s)
	}
	t.err = translate(err)
	return t
}

// connect makes sure of a connection.
func (l *line) connect(config *pgx.ConnConfig) error {
	if l.conn != nil && !l.conn.lost() {
		return nil
	}
	config = config.Copy()
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if n.SeverityUnlocalized == "WARNING" {
			l.warned.Store(true) // such as: the wait for the standby was given up
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), journeyTimeout)
	defer cancel()
	pg, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return translate(err)
	}
	l.conn, l.fresh = &conn{pg: pg}, true
	return nil
}

// rollback ends the transaction without a trace.
func (l *line) rollback() {
	if l.conn == nil || l.conn.lost() {
		return
	}
	l.conn.writes = gathered{}
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	if _, err := l.conn.pg.Exec(ctx, "ROLLBACK"); err != nil {
		l.disconnect()
	}
}

func (l *line) disconnect() {
	if l.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	_ = l.conn.pg.Close(ctx) // it is of no use any more
}
