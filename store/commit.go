package store

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tallygate/tallygate"
)

// Engine opens and ends the write transactions of a Committer. The Committer calls it from one goroutine.
type Engine interface {
	Begin() (*Tx, error)
	// Commit returns after the transaction is on disk. After an error the transaction is gone.
	Commit(*Tx) error
	Rollback(*Tx)
	// ReadAhead brings rows that the members of the transaction are going to ask for into its cache, where asking for
	// each would take long.
	ReadAhead(*Tx, tallygate.Reads) error
	// Transient reports whether the error is of the moment, so that the same members may succeed if they are run again.
	Transient(error) bool
	// Hopeless reports whether the error would strike every member alike, so that trying each alone is useless.
	Hopeless(error) bool
	// Idle is called between transactions.
	Idle()
}

const (
	maxBatch = 512 // members of one transaction, so that the first does not wait long for the last
	maxTries = 3   // of a transaction that fails for a reason of the moment
)

// Committer gathers concurrent updates into one transaction each time the one before has ended: group commit without a
// timer (DeWitt et al., 1984). Members run one after the other; each gets its own answer after the commit.
type Committer struct {
	engine  Engine
	waiting chan *member
	oldest  atomic.Int64 // when the oldest member of the running batch arrived, Unix nanoseconds; 0: none runs

	mu     sync.RWMutex // held for reading while a member is sent
	closed bool
	ended  chan struct{}
}

// member is one caller's part of a batch.
type member struct {
	fn      func(tallygate.Tx) error
	reads   tallygate.Reads
	arrived int64
	taken   atomic.Bool // by the writer, or by the caller who left before it was run
	err     error
	done    chan struct{}
}

// panicked carries a member's panic back to its caller's goroutine.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v\n%s", p.value, p.stack) }

// NewCommitter starts the writer of an engine.
func NewCommitter(engine Engine) *Committer {
	c := &Committer{engine: engine, waiting: make(chan *member, 8192), ended: make(chan struct{})}
	go c.write()
	return c
}

// errClosed answers updates that come after Close.
var errClosed = tallygate.Errorf(tallygate.ServiceUnavailable, "the server is shutting down")

// errFull answers updates that find no room to wait.
var errFull = &tallygate.Error{Code: tallygate.ServiceUnavailable, Detail: "too many writes wait for the disk; retry after a delay", RetryAfter: time.Second}

// Update runs fn in a shared transaction; see tallygate.Store. A context that ends before fn was begun withdraws it;
// after that the answer is awaited, since the effect may already be on its way to the disk.
func (c *Committer) Update(ctx context.Context, fn func(tallygate.Tx) error) error {
	m := &member{fn: fn, reads: tallygate.ReadsOf(ctx), arrived: time.Now().UnixNano(), done: make(chan struct{})}
	if err := c.send(m); err != nil {
		return err
	}
	select {
	case <-m.done:
	case <-ctx.Done():
		if m.taken.CompareAndSwap(false, true) {
			return &tallygate.Error{Code: tallygate.ServiceUnavailable, Detail: "the caller left before the write began", Err: ctx.Err()}
		}
		<-m.done
	}
	if p, ok := errors.AsType[*panicked](m.err); ok {
		panic(p)
	}
	return m.err
}

func (c *Committer) send(m *member) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.closed {
		return errClosed
	}
	select {
	case c.waiting <- m:
		return nil
	default:
		return errFull
	}
}

// Delay is how long the oldest member of the batch in hand has waited since it arrived.
func (c *Committer) Delay() time.Duration {
	oldest := c.oldest.Load()
	if oldest == 0 {
		return 0
	}
	return time.Duration(time.Now().UnixNano() - oldest)
}

// Waiting is how many updates wait for the writer.
func (c *Committer) Waiting() int { return len(c.waiting) }

// Close lets what was accepted finish and ends the writer.
func (c *Committer) Close() {
	c.mu.Lock()
	already := c.closed
	c.closed = true
	if !already {
		close(c.waiting)
	}
	c.mu.Unlock()
	<-c.ended
}

func (c *Committer) write() {
	defer close(c.ended)
	batch := make([]*member, 0, maxBatch)
	for first := range c.waiting {
		c.oldest.Store(first.arrived)
		batch = c.commit(append(batch[:0], first))
		c.oldest.Store(0)
		clear(batch)
		c.engine.Idle()
	}
}

// commit answers the first member and whoever has come until its transaction began.
func (c *Committer) commit(batch []*member) []*member {
	tx, err := c.engine.Begin()
	batch = c.gather(batch)
	if err == nil {
		err = c.together(tx, batch)
	}
	err = c.retry(err, batch)
	if err != nil && len(batch) > 1 && !CommitFailed(err) && !c.engine.Hopeless(err) {
		c.alone(batch)
		return batch
	}
	for _, m := range batch {
		if err != nil {
			m.err = err
		}
		close(m.done)
	}
	return batch
}

// alone runs each member in a transaction of its own. Once none can be carried out, the rest is told so at once: each
// would wait as long for a database that is away.
func (c *Committer) alone(batch []*member) {
	var away error
	for _, m := range batch {
		if away != nil {
			m.err = away
		} else if err := c.retry(c.again([]*member{m}), []*member{m}); err != nil { // else it has its own answer
			m.err = err
			if !CommitFailed(err) && c.engine.Hopeless(err) {
				away = err
			}
		}
		close(m.done)
	}
}

// gather adds whoever waits already and drops those who left.
func (c *Committer) gather(batch []*member) []*member {
	for len(batch) < maxBatch {
		select {
		case m, ok := <-c.waiting:
			if !ok {
				return keepTaken(batch)
			}
			batch = append(batch, m)
			continue
		default:
		}
		break
	}
	return keepTaken(batch)
}

func keepTaken(batch []*member) []*member {
	kept := batch[:0]
	for _, m := range batch {
		if m.taken.CompareAndSwap(false, true) {
			kept = append(kept, m)
		}
	}
	return kept
}

// CommitFailed reports whether the commit itself failed: what was written may be on disk, so nothing is run again.
func CommitFailed(err error) bool {
	_, ok := errors.AsType[tallygate.ErrCommit](err)
	return ok
}

// retry runs the members again while it fails for a reason of the moment, and returns how it ended.
func (c *Committer) retry(err error, batch []*member) error {
	for try := 1; err != nil && try < maxTries && c.engine.Transient(err); try++ {
		err = c.again(batch)
	}
	return err
}

// again runs the members in a transaction of their own.
func (c *Committer) again(batch []*member) error {
	tx, err := c.engine.Begin()
	if err != nil {
		return err
	}
	return c.together(tx, batch)
}

// together runs the members in the transaction and ends it. A member that fails before it wrote anything keeps its error
// and spoils nothing; any other failure rolls back everything and is returned.
func (c *Committer) together(tx *Tx, batch []*member) error {
	if err := c.engine.ReadAhead(tx, readsOf(batch)); err != nil {
		c.engine.Rollback(tx)
		return err
	}
	for _, m := range batch {
		before := tx.writes
		m.err = call(m.fn, tx)
		if m.err != nil && (tx.writes != before || tx.broken || tx.conn.Aborted()) {
			c.engine.Rollback(tx)
			return m.err
		}
	}
	if err := tx.flush(); err != nil {
		c.engine.Rollback(tx)
		return err
	}
	return c.engine.Commit(tx)
}

// readsOf puts together what the members are going to read.
func readsOf(batch []*member) (reads tallygate.Reads) {
	for _, m := range batch {
		reads.Clients = append(reads.Clients, m.reads.Clients...)
		reads.Jobs = append(reads.Jobs, m.reads.Jobs...)
		reads.Keys = append(reads.Keys, m.reads.Keys...)
	}
	return reads
}

func call(fn func(tallygate.Tx) error, tx *Tx) (err error) {
	defer func() {
		if v := recover(); v != nil {
			tx.broken = true
			err = &panicked{v, debug.Stack()}
		}
	}()
	return fn(tx)
}
