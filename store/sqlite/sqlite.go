// Package sqlite is the embedded engine: opening, migrations, one writer under group commit, a pool of readers and a
// checkpoint that does not stall the writer. It refuses a file that is not Tallygate's, that a newer version wrote, or
// that another server holds.
package sqlite

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/store"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// Options say what to open.
type Options struct {
	Path    string
	Now     func() time.Time // the clock of transactions; time.Now when nil
	Readers int              // connections for reading; four for each processor and at least 8 when 0
	Log     *slog.Logger     // for what happens in the background; slog.Default() when nil
}

// Store is one SQLite file held by this process.
type Store struct {
	path      string
	now       func() time.Time
	log       *slog.Logger
	lock      *os.File
	writer    *writer
	committer *store.Committer
	readers   chan *conn
	all       []*conn

	stop    chan struct{}
	ended   sync.WaitGroup
	closing sync.Once
}

var _ tallygate.Store = (*Store)(nil)

const (
	writerCache = "PRAGMA cache_size = -16384" // KiB, taken as it is needed
	readerCache = "PRAGMA cache_size = -8192"
	readerWait  = 2 * time.Second
)

// Open opens or makes the file, brings its schema up to date and holds it against other servers until Close.
func Open(ctx context.Context, opt Options) (*Store, error) {
	s := &Store{path: opt.Path, now: opt.Now, log: opt.Log, stop: make(chan struct{})}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	var err error
	if s.lock, err = lockFile(opt.Path); err != nil {
		return nil, err
	}
	if err := s.open(ctx, opt); err != nil {
		_ = s.closeFiles() // the first error is the one to tell
		return nil, fmt.Errorf("open database %s: %w", opt.Path, err)
	}
	s.committer = store.NewCommitter(s.writer)
	s.ended.Go(s.checkpoint)
	return s, nil
}

func (s *Store) open(ctx context.Context, opt Options) error {
	c, err := openConn(opt.Path, sqlite.OpenReadWrite|sqlite.OpenCreate, writerCache)
	if err != nil {
		return err
	}
	s.writer = &writer{store: s, conn: c, cache: store.NewCache()}
	s.all = append(s.all, c)
	c.SetInterrupt(ctx.Done())
	if err := migrate(c.Conn); err != nil {
		return err
	}
	c.SetInterrupt(nil)
	readers := opt.Readers
	if readers <= 0 {
		readers = max(8, 4*runtime.GOMAXPROCS(0))
	}
	s.readers = make(chan *conn, readers)
	for range readers {
		r, err := openConn(opt.Path, sqlite.OpenReadWrite, readerCache, "PRAGMA query_only = ON")
		if err != nil {
			return err
		}
		s.all = append(s.all, r)
		s.readers <- r
	}
	return nil
}

// openConn opens a connection with the settings that every one needs.
func openConn(path string, flags sqlite.OpenFlags, pragmas ...string) (*conn, error) {
	c, err := sqlite.OpenConn(path, flags)
	if err != nil {
		return nil, err
	}
	c.SetBusyTimeout(5 * time.Second)
	if _, err := checkMarks(c); err != nil { // before the settings, which would change a stranger's file
		_ = c.Close()
		return nil, err
	}
	settings := append([]string{
		"PRAGMA journal_mode = WAL",
		"PRAGMA synchronous = FULL",
		"PRAGMA wal_autocheckpoint = 0", // the store does it beside the writer
		"PRAGMA temp_store = MEMORY",
	}, pragmas...)
	for _, pragma := range settings {
		if err := sqlitex.ExecuteTransient(c, pragma, nil); err != nil {
			_ = c.Close()
			return nil, fmt.Errorf("%s: %w", pragma, err)
		}
	}
	return newConn(c), nil
}

// lockFile takes the kernel's lock on the database file. The lock goes with the process, however it ends.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("database %s is in use by another server: stop it, or name another file", path)
	}
	return f, nil
}

// Update runs fn in a durable transaction shared with others; see tallygate.Store.
func (s *Store) Update(ctx context.Context, fn func(tallygate.Tx) error) error {
	return s.committer.Update(ctx, fn)
}

// Delay is how long the oldest waiting update has waited.
func (s *Store) Delay() time.Duration { return s.committer.Delay() }

// View runs fn over one snapshot, on a reader of the pool. Its reading fails once ctx has ended.
func (s *Store) View(ctx context.Context, fn func(tallygate.Tx) error) error {
	c, err := s.reader(ctx)
	if err != nil {
		return err
	}
	c.caller = ctx
	defer func() {
		c.caller = nil
		s.readers <- c
	}()
	return view(c, s.now(), fn)
}

// reader takes a connection from the pool.
func (s *Store) reader(ctx context.Context) (*conn, error) {
	select {
	case c := <-s.readers:
		return c, nil
	default:
	}
	timer := time.NewTimer(readerWait)
	defer timer.Stop()
	select {
	case c := <-s.readers:
		return c, nil
	case <-ctx.Done():
		return nil, &tallygate.Error{Code: tallygate.ServiceUnavailable, Detail: "the caller left before a connection was free", Err: ctx.Err()}
	case <-s.stop:
		return nil, tallygate.Errorf(tallygate.ServiceUnavailable, "the server is shutting down")
	case <-timer.C:
		return nil, &tallygate.Error{Code: tallygate.ServiceUnavailable, Detail: "no database connection was free in time; retry after a delay", RetryAfter: time.Second}
	}
}

func view(c *conn, now time.Time, fn func(tallygate.Tx) error) (err error) {
	if _, err := c.Exec("BEGIN"); err != nil {
		return err
	}
	defer func() {
		if _, end := c.Exec("COMMIT"); err == nil {
			err = end
		}
	}()
	return fn(store.NewView(c, now))
}

// Close finishes what was accepted and lets go of the file.
func (s *Store) Close() error {
	var err error
	s.closing.Do(func() {
		s.committer.Close()
		close(s.stop)
		s.ended.Wait()
		for range cap(s.readers) {
			<-s.readers
		}
		err = sqlitex.ExecuteTransient(s.writer.conn.Conn, "PRAGMA wal_checkpoint(TRUNCATE)", nil)
		if closed := s.closeFiles(); err == nil {
			err = closed
		}
	})
	return err
}

// closeFiles closes the connections and then the lock: closing any descriptor of the file drops SQLite's own locks.
func (s *Store) closeFiles() error {
	var first error
	for _, c := range s.all {
		if err := c.Close(); first == nil {
			first = err
		}
	}
	if err := s.lock.Close(); first == nil {
		first = err
	}
	return first
}
