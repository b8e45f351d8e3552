package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/store"
)

// engine keeps a log instead of a database: what begins and ends, and each statement.
type engine struct {
	log                 []string
	begin               func() error
	commit              func() error
	exec                func(sql string) error
	hopeless, transient error
	reads               []tallygate.Reads
	idle                int
}

func (e *engine) Begin() (*store.Tx, error) {
	if e.begin != nil {
		if err := e.begin(); err != nil {
			return nil, err
		}
	}
	e.log = append(e.log, "begin")
	return store.NewTx(e, time.Now(), store.NewCache()), nil
}

func (e *engine) Commit(*store.Tx) error {
	e.log = append(e.log, "commit")
	if e.commit != nil {
		return e.commit()
	}
	return nil
}

func (e *engine) Rollback(*store.Tx)       { e.log = append(e.log, "rollback") }
func (e *engine) Hopeless(err error) bool  { return e.hopeless != nil && errors.Is(err, e.hopeless) }
func (e *engine) Transient(err error) bool { return e.transient != nil && errors.Is(err, e.transient) }
func (e *engine) ReadAhead(_ *store.Tx, reads tallygate.Reads) error {
	e.reads = append(e.reads, reads)
	return nil
}
func (e *engine) Idle() { e.idle++ }

func (e *engine) Exec(sql string, _ ...any) (int64, error) {
	if e.exec != nil {
		return 1, e.exec(sql)
	}
	return 1, nil
}

func (e *engine) Write(w *store.Write, _ ...any) error {
	_, err := e.Exec(w.One)
	return err
}

func (e *engine) Aborted() bool { return false }

func (e *engine) Query(string, func(store.Row) error, ...any) error { return nil }

// ends tells how transactions ended, in order, without what went on in them.
func (e *engine) ends() string { return strings.Join(e.log, " ") }

// member is one Update and its answer.
type member struct {
	fn       func(tallygate.Tx) error
	runs     int
	err      error
	panicked any
	answered bool
}

func wrote(err error) func(tallygate.Tx) error {
	return func(tx tallygate.Tx) error {
		if _, failed := tx.RaiseRevision(); failed != nil {
			return failed
		}
		return err
	}
}

func refuse(err error) func(tallygate.Tx) error { return func(tallygate.Tx) error { return err } }

// together has the writer of a fresh Committer find all members waiting at once, and returns after their answers.
func together(t *testing.T, e *engine, members ...*member) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := store.NewCommitter(e)
		defer c.Close()
		gate := make(chan struct{})
		go func() { _ = c.Update(t.Context(), func(tallygate.Tx) error { <-gate; return nil }) }()
		synctest.Wait()
		for _, m := range members {
			go m.update(t.Context(), c)
			synctest.Wait() // so that they wait in this order
		}
		e.log = nil
		close(gate)
		synctest.Wait()
		e.log = e.log[1:] // the gate's own commit
		for i, m := range members {
			if !m.answered {
				t.Fatalf("member %d has no answer", i)
			}
		}
	})
}

func (m *member) update(ctx context.Context, c *store.Committer) {
	defer func() {
		m.panicked = recover()
		m.answered = true
	}()
	m.err = c.Update(ctx, func(tx tallygate.Tx) error {
		m.runs++
		return m.fn(tx)
	})
}

func TestUpdatesThatWaitTogetherShareATransaction(t *testing.T) {
	var order []int
	members := make([]*member, 20)
	for i := range members {
		members[i] = &member{fn: func(tx tallygate.Tx) error {
			order = append(order, i)
			return wrote(nil)(tx)
		}}
	}
	e := new(engine)
	together(t, e, members...)
	if got := e.ends(); got != "begin commit" {
		t.Errorf("transactions: %s", got)
	}
	if len(order) != len(members) || !slices.IsSorted(order) {
		t.Errorf("members ran in the order %d", order)
	}
}

func TestABatchIsBounded(t *testing.T) {
	members := make([]*member, 600)
	for i := range members {
		members[i] = &member{fn: wrote(nil)}
	}
	e := new(engine)
	together(t, e, members...)
	if got := e.ends(); got != "begin commit begin commit" {
		t.Errorf("transactions: %s", got)
	}
	if e.idle < 2 {
		t.Errorf("the engine was idle %d times", e.idle)
	}
}

func TestAnErrorBeforeTheFirstWriteHarmsNobodyElse(t *testing.T) {
	refused := errors.New("refused")
	a, b, c := &member{fn: wrote(nil)}, &member{fn: refuse(refused)}, &member{fn: wrote(nil)}
	e := new(engine)
	together(t, e, a, b, c)
	if got := e.ends(); got != "begin commit" {
		t.Errorf("transactions: %s", got)
	}
	if a.err != nil || b.err != refused || c.err != nil || b.runs != 1 {
		t.Errorf("answers %v, %v, %v; the refused one ran %d times", a.err, b.err, c.err, b.runs)
	}
}

func TestAnErrorAfterAWriteMakesEachMemberRunAlone(t *testing.T) {
	guilty := errors.New("guilty")
	a, b, c := &member{fn: wrote(nil)}, &member{fn: wrote(guilty)}, &member{fn: wrote(nil)}
	e := new(engine)
	together(t, e, a, b, c)
	if got := e.ends(); got != "begin rollback begin commit begin rollback begin commit" {
		t.Errorf("transactions: %s", got)
	}
	if a.err != nil || b.err != guilty || c.err != nil {
		t.Errorf("answers %v, %v, %v", a.err, b.err, c.err)
	}
	if a.runs != 2 || b.runs != 2 || c.runs != 1 {
		t.Errorf("runs %d, %d, %d", a.runs, b.runs, c.runs)
	}
}

func TestARefusalIsNoSuccessWhereMembersRunAlone(t *testing.T) {
	refused, guilty := errors.New("refused"), errors.New("guilty")
	a, b, c := &member{fn: refuse(refused)}, &member{fn: wrote(guilty)}, &member{fn: refuse(refused)}
	together(t, new(engine), a, b, c)
	if a.err != refused || b.err != guilty || c.err != refused {
		t.Errorf("answers %v, %v, %v", a.err, b.err, c.err)
	}
}

func TestMembersThatRunAloneDoNotEachWaitForADatabaseThatIsAway(t *testing.T) {
	guilty, away := errors.New("guilty"), errors.New("the database is away")
	e := &engine{hopeless: away}
	begun := 0
	e.begin = func() error {
		if begun++; begun > 3 { // the gate's, the one of all, the first's own
			return away
		}
		return nil
	}
	a, b, c, d := &member{fn: wrote(nil)}, &member{fn: wrote(guilty)}, &member{fn: wrote(nil)}, &member{fn: wrote(nil)}
	together(t, e, a, b, c, d)
	if a.err != nil || b.err != away || c.err != away || d.err != away || begun != 4 {
		t.Errorf("answers %v, %v, %v, %v after %d transactions", a.err, b.err, c.err, d.err, begun)
	}
}

func TestASharedRowThatCannotBeWrittenMakesEachMemberRunAlone(t *testing.T) {
	bad := errors.New("the last event's number is refused")
	e := new(engine)
	fail := true
	e.exec = func(sql string) error {
		if strings.Contains(sql, "UPDATE counters SET value = $2") && fail {
			fail = false
			return bad
		}
		return nil
	}
	event := func(tx tallygate.Tx) error { return tx.InsertEvent(&tallygate.Event{Kind: "job.log", At: tx.Now()}) }
	a, b := &member{fn: event}, &member{fn: event}
	together(t, e, a, b)
	if got := e.ends(); got != "begin rollback begin commit begin commit" || a.err != nil || b.err != nil {
		t.Errorf("transactions: %s; answers %v, %v", got, a.err, b.err)
	}
}

func TestAPanicReachesItsCallerAlone(t *testing.T) {
	for name, before := range map[string]func(tallygate.Tx) error{"before a write": refuse(nil), "after a write": wrote(nil)} {
		t.Run(name, func(t *testing.T) {
			a, c := &member{fn: wrote(nil)}, &member{fn: wrote(nil)}
			b := &member{fn: func(tx tallygate.Tx) error {
				_ = before(tx)
				panic("out of hand")
			}}
			e := new(engine)
			together(t, e, a, b, c)
			if a.err != nil || c.err != nil || a.panicked != nil || c.panicked != nil {
				t.Errorf("the others: %v, %v, %v, %v", a.err, c.err, a.panicked, c.panicked)
			}
			if text := fmt.Sprint(b.panicked); !strings.Contains(text, "out of hand") || !strings.Contains(text, "commit_test.go") {
				t.Errorf("the caller's panic tells neither value nor place: %s", text)
			}
			if strings.Count(e.ends(), "commit") != 2 {
				t.Errorf("transactions: %s", e.ends())
			}
		})
	}
}

func TestAHopelessErrorIsEveryonesAndNothingIsRunAgain(t *testing.T) {
	full := errors.New("disk full")
	e := &engine{hopeless: full}
	a, b, c := &member{fn: wrote(nil)}, &member{fn: wrote(full)}, &member{fn: wrote(nil)}
	together(t, e, a, b, c)
	if got := e.ends(); got != "begin rollback" {
		t.Errorf("transactions: %s", got)
	}
	for i, m := range []*member{a, b, c} {
		if !errors.Is(m.err, full) {
			t.Errorf("member %d: %v", i, m.err)
		}
	}
}

// TestAMemberAloneIsRunAgainToo: an error of the moment that strikes one of those that run alone is no answer for the rest.
func TestAMemberAloneIsRunAgainToo(t *testing.T) {
	bad, cut := errors.New("bad row"), errors.New("connection cut")
	e := &engine{hopeless: cut, transient: cut}
	a, b, c := &member{}, &member{fn: wrote(nil)}, &member{fn: wrote(bad)}
	a.fn = func(tx tallygate.Tx) error {
		if a.runs == 2 { // its first run alone
			return wrote(cut)(tx)
		}
		return wrote(nil)(tx)
	}
	together(t, e, a, b, c)
	if a.err != nil || b.err != nil || !errors.Is(c.err, bad) {
		t.Errorf("answers %v, %v, %v", a.err, b.err, c.err)
	}
	if got, want := e.ends(), "begin rollback begin rollback begin commit begin commit begin rollback"; got != want {
		t.Errorf("transactions: %s\nwant %s", got, want)
	}
}

func TestATransactionThatCannotBeginAnswersEveryone(t *testing.T) {
	down := errors.New("no connection")
	e := new(engine)
	a, b := &member{fn: wrote(nil)}, &member{fn: wrote(nil)}
	e.hopeless = down
	first := true
	e.begin = func() error {
		if first { // the gate's
			first = false
			return nil
		}
		return down
	}
	together(t, e, a, b)
	if !errors.Is(a.err, down) || !errors.Is(b.err, down) || a.runs+b.runs != 0 {
		t.Errorf("answers %v, %v; %d runs", a.err, b.err, a.runs+b.runs)
	}
}

func TestAfterACommitOfUnknownOutcomeNothingIsRunAgain(t *testing.T) {
	lost := &tallygate.Error{Code: tallygate.DatabaseError, Err: tallygate.ErrCommit{Cause: io.ErrUnexpectedEOF}}
	e := new(engine)
	commits := 0
	e.commit = func() error {
		if commits++; commits > 1 { // past the gate's
			return lost
		}
		return nil
	}
	a, b := &member{fn: wrote(nil)}, &member{fn: wrote(nil)}
	together(t, e, a, b)
	for i, m := range []*member{a, b} {
		if !errors.Is(m.err, lost) || m.runs != 1 {
			t.Errorf("member %d: %v after %d runs", i, m.err, m.runs)
		}
	}
}

func TestALeavingCallerWithdrawsWhatHasNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := new(engine)
		c := store.NewCommitter(e)
		defer c.Close()
		gate := make(chan struct{})
		begun, leaveBegun := context.WithCancel(t.Context())
		first := &member{fn: func(tallygate.Tx) error { <-gate; return nil }}
		go first.update(begun, c)
		synctest.Wait()
		waiting, leaveWaiting := context.WithCancel(t.Context())
		second, third := &member{fn: wrote(nil)}, &member{fn: wrote(nil)}
		go second.update(waiting, c)
		go third.update(t.Context(), c)
		synctest.Wait()

		leaveWaiting()
		leaveBegun()
		synctest.Wait()
		if !second.answered || !tallygate.IsCode(second.err, tallygate.ServiceUnavailable) || !errors.Is(second.err, context.Canceled) {
			t.Errorf("the one that waited was answered %v, %v", second.answered, second.err)
		}
		if first.answered {
			t.Errorf("the one that had begun was answered before its commit: %v", first.err)
		}
		close(gate)
		synctest.Wait()
		if first.err != nil || third.err != nil || second.runs != 0 {
			t.Errorf("answers %v, %v; the withdrawn one ran %d times", first.err, third.err, second.runs)
		}
	})
}

func TestCloseLetsWhatWasAcceptedFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := store.NewCommitter(new(engine))
		gate := make(chan struct{})
		members := []*member{{fn: func(tallygate.Tx) error { <-gate; return nil }}, {fn: wrote(nil)}}
		for _, m := range members {
			go m.update(t.Context(), c)
			synctest.Wait()
		}
		var closed atomic.Int64
		for range 2 {
			go func() { c.Close(); closed.Add(1) }()
		}
		synctest.Wait()
		late := &member{fn: wrote(nil)}
		late.update(t.Context(), c)
		if !tallygate.IsCode(late.err, tallygate.ServiceUnavailable) || late.runs != 0 || closed.Load() != 0 {
			t.Errorf("an update after Close: %v; %d closed early", late.err, closed.Load())
		}
		close(gate)
		synctest.Wait()
		if members[0].err != nil || members[1].err != nil || members[1].runs != 1 || closed.Load() != 2 {
			t.Errorf("answers %v, %v; %d closed", members[0].err, members[1].err, closed.Load())
		}
	})
}

func TestUpdatesPastTheRoomToWaitAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := store.NewCommitter(new(engine))
		gate := make(chan struct{})
		go func() { _ = c.Update(t.Context(), func(tallygate.Tx) error { <-gate; return nil }) }()
		synctest.Wait()
		members := make([]*member, 8192+10)
		for i := range members {
			members[i] = &member{fn: refuse(nil)}
			go members[i].update(t.Context(), c)
		}
		synctest.Wait()
		refused := 0
		for _, m := range members {
			if m.answered {
				refused++
				if e := tallygate.AsError(m.err); e.Code != tallygate.ServiceUnavailable || e.RetryAfter == 0 {
					t.Fatalf("refused with %v", m.err)
				}
			}
		}
		if refused != 10 {
			t.Errorf("%d refused, want 10", refused)
		}
		close(gate)
		c.Close()
	})
}

func TestDelayIsHowLongTheOldestInHandHasWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := store.NewCommitter(new(engine))
		defer c.Close()
		if d := c.Delay(); d != 0 {
			t.Errorf("idle: %s", d)
		}
		gates := []chan struct{}{make(chan struct{}), make(chan struct{})}
		for _, gate := range gates {
			go func() { _ = c.Update(t.Context(), func(tallygate.Tx) error { <-gate; return nil }) }()
			synctest.Wait()
		}
		time.Sleep(3 * time.Second)
		if d := c.Delay(); d != 3*time.Second {
			t.Errorf("the first runs for 3s: %s", d)
		}
		close(gates[0])
		time.Sleep(2 * time.Second)
		if d := c.Delay(); d != 5*time.Second {
			t.Errorf("the second arrived 5s ago: %s", d)
		}
		close(gates[1])
		synctest.Wait()
		if d := c.Delay(); d != 0 {
			t.Errorf("idle again: %s", d)
		}
	})
}
