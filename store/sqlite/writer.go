package sqlite

import (
	"os"
	"sync/atomic"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/store"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// writer is the one connection that writes. The committer calls it from one goroutine.
type writer struct {
	store   *Store
	conn    *conn
	cache   *store.Cache // what the database holds, kept between transactions since nobody else writes
	restart atomic.Bool  // the checkpoint asks for a fresh log
}

// Begin starts a transaction.
func (w *writer) Begin() (*store.Tx, error) {
	if _, err := w.conn.Exec("BEGIN IMMEDIATE"); err != nil {
		return nil, err
	}
	return store.NewTx(w.conn, w.store.now(), w.cache), nil
}

// Commit returns after the log is on disk.
func (w *writer) Commit(*store.Tx) error {
	_, err := w.conn.Exec("COMMIT")
	if err != nil {
		w.Rollback(nil)
		return &tallygate.Error{Code: tallygate.DatabaseError, Detail: tallygate.AsError(err).Detail, RetryAfter: time.Second, Err: tallygate.ErrCommit{Cause: err}}
	}
	if !w.cache.Reusable() {
		w.cache = store.NewCache()
	}
	return nil
}

// Rollback ends the transaction without a trace. Some failures have made SQLite do so already.
func (w *writer) Rollback(*store.Tx) {
	w.cache = store.NewCache()
	if !w.conn.AutocommitEnabled() {
		if _, err := w.conn.Exec("ROLLBACK"); err != nil {
			w.store.log.Error("roll back a transaction", "database", w.store.path, "error", err)
		}
	}
}

// ReadAhead does nothing: asking is no journey here.
func (w *writer) ReadAhead(*store.Tx, tallygate.Reads) error { return nil }

// Transient is never so: nobody else writes.
func (w *writer) Transient(error) bool { return false }

// Hopeless reports whether an error strikes whatever is written.
func (w *writer) Hopeless(err error) bool { return hopeless(err) }

// Idle gives the log a fresh start where the checkpoint has asked for it: what it left over is little, and no write is
// under way that would add to it.
func (w *writer) Idle() {
	if w.restart.CompareAndSwap(true, false) {
		w.conn.SetBusyTimeout(50 * time.Millisecond) // readers of an old snapshot: another time
		if err := sqlitex.ExecuteTransient(w.conn.Conn, "PRAGMA wal_checkpoint(RESTART)", nil); err != nil && sqlite.ErrCode(err).ToPrimary() != sqlite.ResultBusy {
			w.store.log.Error("restart the write-ahead log", "database", w.store.path, "error", err)
		}
		w.conn.SetBusyTimeout(5 * time.Second)
	}
}

const (
	checkpointEvery = 200 * time.Millisecond
	checkpointSize  = 16 << 20 // bytes of log that are worth copying into the database
	restartSize     = 64 << 20 // bytes of log after which it is to start afresh
)

// checkpoint copies the log into the database beside the writer, on a connection of its own. While writes go on the
// log never comes to its end, so past a size the writer is asked to copy the rest and begin it anew.
func (s *Store) checkpoint() {
	c, err := openConn(s.path, sqlite.OpenReadWrite, readerCache)
	if err != nil {
		s.log.Error("open a connection for checkpoints", "database", s.path, "error", err)
		return
	}
	defer func() { _ = c.Close() }() // it holds nothing of its own
	ticker := time.NewTicker(checkpointEvery)
	defer ticker.Stop()
	done := int64(0) // size of the log at the last checkpoint
	for {
		select {
		case <-s.stop:
			return
		case <-ticker.C:
		}
		size := s.logSize()
		if size < done {
			done = 0
		}
		if size-done < checkpointSize && size < restartSize {
			continue
		}
		if err := sqlitex.ExecuteTransient(c.Conn, "PRAGMA wal_checkpoint(PASSIVE)", nil); err != nil {
			s.log.Error("checkpoint the write-ahead log", "database", s.path, "error", err)
			continue
		}
		if done = size; size >= restartSize {
			s.writer.restart.Store(true)
		}
	}
}

func (s *Store) logSize() int64 {
	info, err := os.Stat(s.path + "-wal")
	if err != nil {
		return 0
	}
	return info.Size()
}
