package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/store"
)

const (
	channel        = "tallygate"
	askEvery       = time.Second            // whether the session lives, and whether it may lead
	sessionTimeout = 5 * time.Second        // without a question the database ends the session
	reconnect      = 500 * time.Millisecond // the pause after a session is lost
	deafFor        = 10 * time.Second       // behind a pooler, before another look whether it still is one
	quietBetween   = 10 * time.Millisecond  // tellings
	beatEvery      = time.Second            // of a node's presence
	absentAfter    = 5 * time.Second        // without a beat a node is no more
)

// State tells how this node stands among the others.
type State struct {
	Nodes     int       // alive, this one included
	Leader    bool      // whether this node does the upkeep for all
	Listening bool      // whether it hears at once of what others do; else it asks now and then
	Since     time.Time // when Listening last changed
	Problem   string    // why it does not listen; it tells strangers nothing of the database
}

// session is one connection that listens for what other nodes tell and, as long as it lives, holds the lock of the
// leader, if it got it. It needs a session of its own: behind a pooler that pools transactions nothing is heard and no
// lock is one's own, so that there the node asks now and then, and the first of those alive leads.
type session struct {
	store *Store

	mu    sync.Mutex
	state State
	heard func()
}

func newSession(s *Store) *session { return &session{store: s, state: State{Since: time.Now()}} }

// OnNews has fn called whenever other nodes may have changed something, and once a second. It must not block.
func (s *Store) OnNews(fn func()) {
	s.session.mu.Lock()
	defer s.session.mu.Unlock()
	s.session.heard = fn
}

// State tells how this node stands among the others.
func (s *Store) State() State {
	s.session.mu.Lock()
	defer s.session.mu.Unlock()
	state := s.session.state
	state.Nodes = s.Nodes()
	return state
}

// Leads reports whether this node is the one that does the upkeep for all.
func (s *Store) Leads() bool {
	s.session.mu.Lock()
	defer s.session.mu.Unlock()
	return s.session.state.Leader
}

func (l *session) hear() {
	l.mu.Lock()
	heard := l.heard
	l.mu.Unlock()
	if heard != nil {
		heard()
	}
}

func (l *session) set(listening, leader bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state.Listening != listening {
		l.state.Since = time.Now()
	}
	l.state.Listening, l.state.Leader, l.state.Problem = listening, leader, ""
	if err != nil {
		l.state.Problem = problem(err)
	}
}

// problem says why nothing is heard, without what is for the log alone.
func problem(err error) string {
	switch {
	case errors.Is(err, errDeaf):
		return errDeaf.Error()
	case Unreachable(err):
		return "the database does not answer; the log says why"
	}
	return "the database lets nobody listen; the log says why"
}

// run keeps a session up until the store closes.
func (l *session) run() {
	ctx := l.store.background
	l.store.tasks.Go(l.poll)
	told := false
	for ctx.Err() == nil {
		err := l.listen(ctx, &told)
		if ctx.Err() != nil {
			return
		}
		l.set(false, false, err)
		if !told {
			told = true
			l.store.log.Warn("hearing nothing of other nodes; asking once a second", "error", plain(err))
		}
		if errors.Is(err, errDeaf) {
			l.leadUnheard(ctx)
			continue
		}
		pause(ctx, reconnect)
	}
}

// poll asks by itself, whatever becomes of the session.
func (l *session) poll() {
	for ctx := l.store.background; ctx.Err() == nil; pause(ctx, askEvery) {
		l.hear()
	}
}

// errDeaf is why a session that stands hears nothing.
var errDeaf = errors.New("what other nodes tell does not come through; a pooler between that pools transactions passes none of it on")

// leadUnheard has this node lead for a while, if it is the first of those alive.
func (l *session) leadUnheard(ctx context.Context) {
	for until := time.Now().Add(deafFor); ctx.Err() == nil && time.Now().Before(until); pause(ctx, askEvery) {
		l.set(false, l.store.presence.first.Load(), errDeaf)
	}
}

// listen hears until the connection is lost.
func (l *session) listen(ctx context.Context, told *bool) error {
	connecting, cancel := context.WithTimeout(ctx, journeyTimeout)
	defer cancel()
	config := l.store.config.Copy()
	config.RuntimeParams["application_name"] += " listener"
	config.OnNotification = nil // the library keeps what is told until it is asked for
	pg, err := pgx.ConnectConfig(connecting, config)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectTimeout)
		defer cancel()
		_ = pg.Close(closing) // with it goes the leader's lock
	}()
	if _, err := pg.Exec(connecting, "LISTEN "+channel); err != nil {
		return err
	}
	if err := l.hears(ctx, pg); err != nil {
		if errors.Is(err, errDeaf) {
			_, _ = pg.Exec(connecting, "UNLISTEN *") // the session is another's next, who wants to hear nothing
		}
		return err
	}
	// A node that stands still, or whose machine is gone without a word, asks no more: with its session goes its lock.
	if _, err := pg.Exec(connecting, fmt.Sprintf("SET idle_session_timeout = %d", sessionTimeout.Milliseconds())); err != nil {
		return err
	}
	leader := false
	for {
		if leader, err = l.ask(ctx, pg, leader); err != nil {
			return err
		}
		l.set(true, leader, nil)
		if *told {
			*told = false
			l.store.log.Info("hearing of other nodes again")
			l.hear()
		}
		if err := l.wait(ctx, pg); err != nil {
			return err
		}
	}
}

// hears makes sure that what is told on another connection reaches the session.
func (l *session) hears(ctx context.Context, pg *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if _, err := l.store.chores.Exec(ctx, "NOTIFY "+channel); err != nil {
		return err
	}
	_, err := pg.WaitForNotification(ctx)
	if err != nil && ctx.Err() != nil && !pg.IsClosed() {
		return errDeaf
	}
	return err
}

// ask sees whether the session lives and takes the leader's lock if it is free.
func (l *session) ask(ctx context.Context, pg *pgx.Conn, leader bool) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	sql := `SELECT pg_try_advisory_lock($1)`
	if leader {
		sql = `SELECT $1::bigint IS NOT NULL` // the lock is held as long as the session lives
	}
	err := pg.QueryRow(ctx, sql, int64(leaderLock)).Scan(&leader)
	return leader, err
}

// wait hears for a while.
func (l *session) wait(ctx context.Context, pg *pgx.Conn) error {
	until := time.Now().Add(askEvery)
	for {
		waiting, cancel := context.WithDeadline(ctx, until)
		_, err := pg.WaitForNotification(waiting)
		over := waiting.Err() != nil
		cancel()
		switch {
		case err == nil:
			l.hear()
		case over && ctx.Err() == nil && !pg.IsClosed():
			return nil
		default:
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// notifier tells the other nodes that something has changed, and no more than that: at once after a while without news,
// else a moment later for all that came in it.
type notifier struct {
	store *Store
	news  chan struct{}
}

func newNotifier(s *Store) *notifier { return &notifier{s, make(chan struct{}, 1)} }

// tell has the others told soon, if there are any.
func (n *notifier) tell() {
	if n.store.Nodes() <= 1 {
		return
	}
	select {
	case n.news <- struct{}{}:
	default:
	}
}

func (n *notifier) run() {
	ctx := n.store.background
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.news:
		}
		sending, cancel := context.WithTimeout(ctx, connectTimeout)
		_, err := n.store.chores.Exec(sending, "NOTIFY "+channel)
		cancel()
		if err != nil && ctx.Err() == nil {
			n.store.log.Debug("tell other nodes", "error", err) // they ask by themselves
		}
		pause(ctx, quietBetween)
	}
}

// LastEvents returns the number of each job's last event; see tallygate.Shared.
func (s *Store) LastEvents(ctx context.Context, ids []tallygate.JobID) (map[tallygate.JobID]int64, error) {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = string(id)
	}
	last := make(map[tallygate.JobID]int64, len(ids))
	_, err := s.reading(ctx, func(c *conn) error {
		return c.Query(`SELECT id, MAX(number) FROM (
				SELECT job_id AS id, lease_event AS number FROM queue WHERE job_id = ANY($1)
				UNION ALL SELECT job_id, event FROM outcomes WHERE job_id = ANY($1)
				UNION ALL SELECT subject, number FROM events WHERE subject = ANY($1)) AS told GROUP BY id`, func(r store.Row) error {
			last[tallygate.JobID(r.Text(0))] = r.Int64(1)
			return nil
		}, texts)
	})
	return last, err
}
