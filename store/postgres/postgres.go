// Package postgres is the engine for many nodes: one writer under group commit in each, which take turns, a pool of
// readers, and a session that hears of what other nodes have done. It refuses a database that a newer version wrote.
//
// Nodes take turns by the lock on one row, the counter of events, which every commit raises anyway. So whatever is
// decided in a transaction, balances, caps, leases, idempotency, is decided on what is committed, rows are locked in one
// order by nature, and events are numbered in the order of their commits. A turn carries everything that has come to its
// node meanwhile, and a node that had the last turn, too, need not read again what it remembers.
package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/store"
)

// Options say what to open.
type Options struct {
	URL     string           // postgres://…; several hosts with target_session_attrs=read-write follow a failover
	Readers int              // connections for reading; 8 when 0
	Now     func() time.Time // for tests: the time instead of the database's
	Alone   bool             // for a process that does not stay, such as a command: hears and tells nothing
	Log     *slog.Logger     // for what happens in the background; slog.Default() when nil

	local func() time.Time // for tests: this machine's clock
}

// Store is this node's part in a database that nodes share.
type Store struct {
	config    *pgx.ConnConfig
	now       func() time.Time
	log       *slog.Logger
	clock     *clock
	pool      *pgxpool.Pool // of readers
	chores    *pgxpool.Pool // for what must not wait for them: whoever tells nothing in time counts as gone
	writer    *writer
	committer *store.Committer
	session   *session
	notifier  *notifier
	presence  *presence

	background context.Context
	stop       context.CancelFunc
	tasks      sync.WaitGroup
	closing    sync.Once
}

var _ tallygate.Shared = (*Store)(nil)

const (
	defaultReaders = 8
	choreConns     = 5 // mostly one: a try that gets no answer holds its own for 15 s more, and the next comes 4 s later
	connectTimeout = 3 * time.Second
	readerWait     = 2 * time.Second  // for a free connection
	readTimeout    = 10 * time.Second // of one statement of a View
	journeyTimeout = 20 * time.Second // of whatever is sent, so that a dead network ends some time
)

// Open connects, brings the schema up to date and joins the nodes that share the database.
func Open(ctx context.Context, opt Options) (*Store, error) {
	config, err := parseURL(opt.URL)
	if err != nil {
		return nil, err
	}
	s := &Store{config: config, now: opt.Now, log: opt.Log, clock: newClock(opt.local)}
	if s.log == nil {
		s.log = slog.Default()
	}
	if err := Migrate(ctx, opt.URL, func() { s.log.Info("another session brings the schema forward; waiting for it") }); err != nil {
		return nil, err
	}
	if s.pool, err = newPool(config, cmp.Or(opt.Readers, defaultReaders)); err != nil {
		return nil, err
	}
	if s.chores, err = newPool(config, choreConns); err != nil {
		return nil, err
	}
	s.background, s.stop = context.WithCancel(context.Background())
	s.writer = &writer{store: s, cache: store.NewCache()}
	s.session, s.notifier, s.presence = newSession(s), newNotifier(s), newPresence(s)
	if err := s.join(ctx, opt.Alone); err != nil {
		s.stop()
		s.pool.Close()
		s.chores.Close()
		return nil, fmt.Errorf("open database: %w", plain(err))
	}
	s.committer = store.NewCommitter(s.writer)
	if !opt.Alone {
		s.tasks.Go(s.session.run)
		s.tasks.Go(s.presence.run)
	}
	s.tasks.Go(s.notifier.run)
	return s, nil
}

// parseURL reads the URL. Its errors do not repeat it, since it may hold a password.
func parseURL(url string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, errors.New("the database's URL cannot be read: it must be such as postgres://user:password@host:5432/name?sslmode=verify-full")
	}
	if config.ConnectTimeout == 0 || config.ConnectTimeout > connectTimeout {
		config.ConnectTimeout = connectTimeout
	}
	config.DialFunc = dial
	// A pooler may give us a session in which another has listened. What is told there is nobody's to read, and the
	// library would keep it for ever.
	config.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) {}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "tallygate"
	}
	return config, nil
}

// newPool returns a pool of so many connections, none of which is made before it is needed.
func newPool(config *pgx.ConnConfig, most int) (*pgxpool.Pool, error) {
	pooled, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, err
	}
	pooled.ConnConfig = config.Copy()
	pooled.MaxConns = int32(most) //nolint:gosec // a handful
	pooled.MaxConnIdleTime = 5 * time.Minute
	var settings strings.Builder
	for _, s := range append(slices.Clone(byKeys), setting{"statement_timeout", milliseconds(readTimeout)}, setting{"idle_in_transaction_session_timeout", milliseconds(journeyTimeout)}) {
		fmt.Fprintf(&settings, "SET %s = %s; ", s.name, s.value)
	}
	fmt.Fprintf(&settings, "SET %s = 'no'; ", boundedNote) // a pooler may have given a writer's session
	pooled.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.PgConn().Exec(ctx, settings.String()).ReadAll()
		return err
	}
	return pgxpool.NewWithConfig(context.Background(), pooled)
}

// join measures the clock and tells the other nodes of this one, unless it does not stay.
func (s *Store) join(ctx context.Context, alone bool) error {
	ctx, cancel := context.WithTimeout(ctx, journeyTimeout)
	defer cancel()
	asked := s.clock.elapsed()
	var us int64
	if err := s.pool.QueryRow(ctx, "SELECT "+clockSQL).Scan(&us); err != nil {
		return err
	}
	s.clock.heard(us, asked)
	if alone {
		return s.presence.count(ctx)
	}
	return s.presence.beat(ctx)
}

// Clock is the database's time as this node knows it.
func (s *Store) Clock() time.Time {
	if s.now != nil {
		return s.now()
	}
	return s.clock.now()
}

// Update runs fn in a durable transaction shared with others; see tallygate.Store.
func (s *Store) Update(ctx context.Context, fn func(tallygate.Tx) error) error {
	return s.committer.Update(ctx, fn)
}

// Delay is how long the oldest waiting update has waited.
func (s *Store) Delay() time.Duration { return s.committer.Delay() }

// View runs fn over one snapshot, on a connection of the pool. One that turns out to be dead is replaced, and fn run
// again.
func (s *Store) View(ctx context.Context, fn func(tallygate.Tx) error) error {
	for try := 1; ; try++ {
		lost, err := s.reading(ctx, func(c *conn) error { return fn(store.NewView(c, s.Clock())) })
		if !lost || try > int(s.pool.Config().MaxConns) || ctx.Err() != nil {
			return err
		}
	}
}

// reading runs fn in a snapshot of a connection of the pool, and tells whether the connection was lost.
func (s *Store) reading(ctx context.Context, fn func(*conn) error) (lost bool, err error) {
	waiting, cancel := context.WithTimeout(ctx, readerWait)
	defer cancel()
	pooled, err := s.pool.Acquire(waiting)
	if err != nil {
		return false, s.notAcquired(ctx, err)
	}
	defer pooled.Release()
	c := &conn{pg: pooled.Conn(), caller: ctx, begin: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"}
	defer c.end()
	err = fn(c)
	return c.lost(), err
}

// notAcquired is the error of a View that got no connection.
func (s *Store) notAcquired(caller context.Context, err error) error {
	switch {
	case caller.Err() != nil:
		return &tallygate.Error{Code: tallygate.ServiceUnavailable, Detail: "the caller left before a connection was free", Err: caller.Err()}
	case s.background.Err() != nil:
		return tallygate.Errorf(tallygate.ServiceUnavailable, "the server is shutting down")
	case errors.Is(err, context.DeadlineExceeded) && s.pool.Stat().AcquiredConns() >= s.pool.Stat().MaxConns():
		return &tallygate.Error{Code: tallygate.ServiceUnavailable, Detail: "no database connection was free in time; retry after a delay", RetryAfter: time.Second}
	}
	return translate(err)
}

// Close finishes what was accepted and leaves the nodes.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.committer.Close()
		s.stop()
		s.tasks.Wait()
		s.presence.leave()
		s.writer.disconnect()
		s.pool.Close()
		s.chores.Close()
	})
	return nil
}
