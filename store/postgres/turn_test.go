package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/store"
	"github.com/tallygate/tallygate/testserver"
)

var background = context.Background()

// nodes opens stores over one fresh database.
func nodes(t *testing.T, n int) []*Store {
	t.Helper()
	url := testserver.Postgres(t).Database(t)
	all := make([]*Store, n)
	for i := range all {
		all[i] = open(t, Options{URL: url, Readers: 2})
	}
	return all
}

func addClient(t *testing.T, s *Store, id tallygate.ClientID) {
	t.Helper()
	err := s.Update(background, func(tx tallygate.Tx) error {
		return tx.InsertClient(&tallygate.Client{ID: id, Status: tallygate.ClientActive, Metadata: []byte("{}"), CreatedAt: tx.Now()})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// post adds to the client's posted money, which is read and written in Go.
func post(s *Store, id tallygate.ClientID, amount tallygate.Money) error {
	return s.Update(background, func(tx tallygate.Tx) error {
		c, err := tx.Client(id)
		if err != nil {
			return err
		}
		c.Balance.Posted += amount
		if _, err := tx.NumberEvent(); err != nil {
			return err
		}
		return tx.SaveAccount(c)
	})
}

func posted(t *testing.T, s *Store, id tallygate.ClientID) (money tallygate.Money) {
	t.Helper()
	err := s.View(background, func(tx tallygate.Tx) error {
		c, err := tx.Client(id)
		if err == nil {
			money = c.Balance.Posted
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return money
}

// TestALostTurnIsNotTakenForAnother: a failover may lose the last turns, and a pooler keeps our connection across it. What
// a node remembers of a turn that was lost must not be written over what others have done in its place.
func TestALostTurnIsNotTakenForAnother(t *testing.T) {
	all := nodes(t, 2)
	a, b := all[0], all[1]
	addClient(t, a, "cl_a")
	set := func(statement string, args ...any) {
		t.Helper()
		if _, err := a.pool.Exec(background, statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	var value, at, turn int64
	if err := a.pool.QueryRow(background, `SELECT value, at, turn FROM counters WHERE name = 'event'`).Scan(&value, &at, &turn); err != nil {
		t.Fatal(err)
	}
	if err := post(a, "cl_a", 100); err != nil {
		t.Fatal(err)
	}
	set(`UPDATE counters SET value = $1, at = $2, turn = $3 WHERE name = 'event'`, value, at, turn) // it never was
	set(`UPDATE clients SET posted = 0 WHERE id = 'cl_a'`)
	for _, s := range []*Store{b, a} {
		if err := post(s, "cl_a", 1); err != nil {
			t.Fatal(err)
		}
	}
	if got := posted(t, a, "cl_a"); got != 2 {
		t.Errorf("%d are posted, want 2", got)
	}
}

func TestNodesThatTakeTurnsLoseNoUpdate(t *testing.T) {
	all := nodes(t, 3)
	addClient(t, all[0], "cl_a")
	var writers sync.WaitGroup
	for _, s := range all {
		for range 4 {
			writers.Go(func() {
				for range 50 {
					if err := post(s, "cl_a", 1); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	writers.Wait()
	for _, s := range all {
		if got := posted(t, s, "cl_a"); got != 600 {
			t.Errorf("%d updates of 600 are left", got)
		}
	}
	err := all[1].Update(background, func(tx tallygate.Tx) error {
		number, err := tx.NumberEvent()
		if err == nil && number != 601 {
			err = fmt.Errorf("the event after 600 has the number %d", number)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestWhatANodeRemembersIsForgottenAfterAnothersTurn(t *testing.T) {
	all := nodes(t, 2)
	a, b := all[0], all[1]
	addClient(t, a, "cl_a")
	for i, s := range []*Store{a, a, b, a, b, b, a} {
		if err := post(s, "cl_a", 1); err != nil {
			t.Fatal(err)
		}
		if got := posted(t, a, "cl_a"); got != tallygate.Money(i+1) {
			t.Fatalf("after %d updates %d are there", i+1, got)
		}
	}
	// A write that numbers no event counts as a turn, too.
	err := b.Update(background, func(tx tallygate.Tx) error {
		c, err := tx.Client("cl_a")
		if err == nil {
			c.Balance.Posted = 1000
			err = tx.SaveAccount(c)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := post(a, "cl_a", 1); err != nil {
		t.Fatal(err)
	}
	if got := posted(t, b, "cl_a"); got != 1001 {
		t.Errorf("posted %d, want 1001", got)
	}
}

func TestABatchThatFailsOnItsDataIsRunMemberByMember(t *testing.T) {
	s := nodes(t, 1)[0]
	addClient(t, s, "cl_a")
	holding, held := make(chan struct{}), make(chan struct{})
	var members sync.WaitGroup
	members.Go(func() { // holds the writer until all the others wait
		_ = s.Update(background, func(tallygate.Tx) error { close(holding); <-held; return nil })
	})
	<-holding
	errs := make([]error, 20)
	for i := range errs {
		members.Go(func() {
			errs[i] = s.Update(background, func(tx tallygate.Tx) error {
				id := tallygate.ClientID(fmt.Sprintf("cl_%d", i))
				if i%5 == 0 {
					id = "cl_a" // there is one
				}
				return tx.InsertClient(&tallygate.Client{ID: id, Status: tallygate.ClientActive, Metadata: []byte("{}"), CreatedAt: tx.Now()})
			})
		})
	}
	for s.committer.Waiting() < len(errs) {
		time.Sleep(time.Millisecond) // they are on their way
	}
	close(held)
	members.Wait()
	for i, err := range errs {
		if bad := i%5 == 0; (err != nil) != bad || bad && !tallygate.IsCode(err, tallygate.DatabaseError) {
			t.Errorf("member %d: %v", i, err)
		}
	}
	var clients []*tallygate.Client
	err := s.View(background, func(tx tallygate.Tx) (err error) {
		clients, err = tx.Clients(tallygate.Page{Limit: 100})
		return err
	})
	if err != nil || len(clients) != 17 {
		t.Errorf("%d clients, %v; want 17", len(clients), err)
	}
}

func TestAWriteThatIsMadeTwiceInABatchEndsAsTheLaterSays(t *testing.T) {
	s := nodes(t, 1)[0]
	err := s.Update(background, func(tx tallygate.Tx) error {
		q := &tallygate.QueueItem{JobID: "job_a", ClientID: "cl_a", Type: "x", State: tallygate.ItemReady, At: tx.Now(), MaxAttempts: 3, Progress: -1}
		if err := tx.Enqueue(q); err != nil {
			return err
		}
		for attempt := range int64(3) {
			q.Attempt, q.State = attempt+1, tallygate.ItemLeased
			if err := tx.SaveItem(q); err != nil {
				return err
			}
		}
		if err := tx.Enqueue(&tallygate.QueueItem{JobID: "job_b", ClientID: "cl_a", Type: "x", At: tx.Now(), MaxAttempts: 3}); err != nil {
			return err
		}
		return tx.RemoveItem("job_b")
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.View(background, func(tx tallygate.Tx) error {
		a, err := tx.Item("job_a")
		if err != nil {
			return err
		}
		b, err := tx.Item("job_b")
		if a == nil || a.Attempt != 3 || b != nil {
			t.Errorf("items %+v, %+v", a, b)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestMoreThanIsKeptGoesAheadOfTheCommit(t *testing.T) {
	s := nodes(t, 1)[0]
	input := []byte(`"` + strings.Repeat("x", 1<<20) + `"`)
	err := s.Update(background, func(tx tallygate.Tx) error {
		for i := range 40 {
			j := &tallygate.Job{ID: tallygate.JobID(fmt.Sprintf("job_%02d", i)), ClientID: "cl_a", Type: "x", Input: input, Metadata: []byte("{}"), CreatedAt: tx.Now()}
			if err := tx.InsertJob(j); err != nil {
				return err
			}
			if size := s.writer.conn.writes.size; size > maxGathered {
				return fmt.Errorf("%d bytes wait", size)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOddTextsFailNobody(t *testing.T) {
	s := nodes(t, 1)[0]
	for _, name := range []string{"nul\x00here", "bad\xff\xfeutf", "''; DROP TABLE clients; --", "\u202eabc"} {
		id := tallygate.ClientID("cl_" + fmt.Sprintf("%x", name))
		err := s.Update(background, func(tx tallygate.Tx) error {
			return tx.InsertClient(&tallygate.Client{ID: id, Name: name, Status: tallygate.ClientActive, Metadata: []byte("\x00\xff"), CreatedAt: tx.Now()})
		})
		if err != nil {
			t.Errorf("%q: %v", name, err)
		}
		err = s.View(background, func(tx tallygate.Tx) error {
			c, err := tx.Client(id)
			if err == nil && (c == nil || c.Name != text(name) || string(c.Metadata) != "\x00\xff") {
				err = fmt.Errorf("read %+v", c)
			}
			return err
		})
		if err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestALostConnectionBeforeTheCommitIsNotSeen(t *testing.T) {
	s := nodes(t, 1)[0]
	addClient(t, s, "cl_a")
	for range 3 {
		kill(t, s, "pid = "+fmt.Sprint(s.writer.conn.pg.PgConn().PID()))
		if err := post(s, "cl_a", 1); err != nil {
			t.Fatal(err)
		}
	}
	runs := 0
	err := s.Update(background, func(tx tallygate.Tx) error { // in the middle of one
		if runs++; runs == 1 {
			kill(t, s, "pid = "+fmt.Sprint(s.writer.conn.pg.PgConn().PID()))
		}
		c, err := tx.Client("cl_a")
		if err != nil {
			return err
		}
		if _, err := tx.Key("key_x"); err != nil {
			return err
		}
		c.Balance.Posted++
		return tx.SaveAccount(c)
	})
	if err != nil || runs != 2 {
		t.Errorf("%v after %d runs", err, runs)
	}
	if got := posted(t, s, "cl_a"); got != 4 {
		t.Errorf("posted %d, want 4", got)
	}
}

// TestATurnThatWasTakenAwayIsTakenAgain: the database ends the session of a node that stood still within its turn.
func TestATurnThatWasTakenAwayIsTakenAgain(t *testing.T) {
	s := nodes(t, 1)[0]
	addClient(t, s, "cl_a")
	runs := 0
	err := s.Update(background, func(tx tallygate.Tx) error {
		if runs++; runs == 1 {
			pg := s.writer.conn.pg
			if _, err := pg.Exec(background, `SET LOCAL idle_in_transaction_session_timeout = '1ms'`); err != nil {
				return err
			}
			awaitSQL(t, s, fmt.Sprintf(`SELECT NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE pid = %d)`, pg.PgConn().PID()))
		}
		c, err := tx.Client("cl_a")
		if err != nil {
			return err
		}
		c.Balance.Posted++
		return tx.SaveAccount(c)
	})
	if got := posted(t, s, "cl_a"); err != nil || runs != 2 || got != 1 {
		t.Errorf("%v after %d runs; posted %d, want 1", err, runs, got)
	}
}

// awaitSQL waits until the question is answered with true.
func awaitSQL(t *testing.T, s *Store, question string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for holds := false; !holds; {
		if err := s.pool.QueryRow(ctx, question).Scan(&holds); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReadersThatWereCutOffAreReplaced(t *testing.T) {
	s := nodes(t, 1)[0]
	addClient(t, s, "cl_a")
	for range 5 {
		posted(t, s, "cl_a")
		kill(t, s, "pid <> pg_backend_pid()")
		posted(t, s, "cl_a")
	}
}

// kill ends backends of the store's database from a connection of its own.
func kill(t *testing.T, s *Store, which string) {
	err := withDatabase(background, s.config.ConnString(), func(pg *pgx.Conn) error {
		_, err := pg.Exec(background, `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND `+which)
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestACommitOfUnknownOutcomeIsTold(t *testing.T) {
	s := nodes(t, 1)[0]
	addClient(t, s, "cl_a")
	proxy := testserver.Proxy(t, s.config.ConnString())
	through := open(t, Options{URL: proxy.URL, Alone: true})
	runs := 0
	err := through.Update(background, func(tx tallygate.Tx) error {
		runs++
		c, err := tx.Client("cl_a")
		if err != nil {
			return err
		}
		c.Balance.Posted++
		proxy.Cut()
		return tx.SaveAccount(c)
	})
	if lost := (tallygate.ErrCommit{}); !errors.As(err, &lost) || !store.CommitFailed(err) || runs != 1 || !tallygate.IsCode(err, tallygate.DatabaseError) {
		t.Errorf("%v after %d runs", err, runs)
	}
	proxy.Resume()
	if !through.writer.uncertain {
		t.Error("the next commit does not know that one is uncertain")
	}
	if err := through.Update(background, func(tallygate.Tx) error { return nil }); err != nil {
		t.Error(err)
	}
	if through.writer.uncertain {
		t.Error("still uncertain after a commit")
	}
}

// TestANodeThatStandsStillWhileItSendsLosesItsTurn: the database waits without end for the rest of a batch whose
// beginning took the lock.
func TestANodeThatStandsStillWhileItSendsLosesItsTurn(t *testing.T) {
	t.Parallel()
	s := nodes(t, 1)[0]
	pg, err := pgconn.Connect(t.Context(), s.config.ConnString())
	if err != nil {
		t.Fatal(err)
	}
	still := pg.StartPipeline(t.Context())
	for _, sql := range []string{"BEGIN", beginSQL, turnSQL} {
		still.SendQueryParams(sql, nil, nil, nil, nil)
	}
	if err := still.Flush(); err != nil { // and no Sync
		t.Fatal(err)
	}
	for range 4 { // until the lock is taken
		if _, err := still.GetResults(); err != nil {
			t.Fatal(err)
		}
	}
	addClient(t, s, "cl_a")
}

// TestACopyIsNotEndedAsATurn: what loads the database locks it all, for as long as it takes, and waits for its file.
func TestACopyIsNotEndedAsATurn(t *testing.T) {
	s := nodes(t, 1)[0]
	for _, c := range []struct {
		name, lock string
		ends       bool
	}{
		{"a copy", "LOCK TABLE counters IN ACCESS EXCLUSIVE MODE; UPDATE counters SET turn = turn", false},
		{"a turn", turnSQL, true},
	} {
		err := withDatabase(t.Context(), s.config.ConnString(), func(pg *pgx.Conn) error {
			if _, err := pg.Exec(t.Context(), "BEGIN; "+c.lock, pgx.QueryExecModeSimpleProtocol); err != nil {
				return err
			}
			awaitSQL(t, s, fmt.Sprintf(`SELECT wait_event IS NOT DISTINCT FROM 'ClientRead' FROM pg_stat_activity WHERE pid = %d`, pg.PgConn().PID()))
			if ended := s.endStuck(0); ended != c.ends {
				t.Errorf("%s: ended %v", c.name, ended)
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestRowsThatAreAlikeInSomeColumnsAreWrittenAsTheyAre: what the rows of a batch have in common is sent once.
func TestRowsThatAreAlikeInSomeColumnsAreWrittenAsTheyAre(t *testing.T) {
	s := nodes(t, 1)[0]
	random := rand.New(rand.NewPCG(1, 2))
	texts, bodies := []string{"", "a", "b\x00"}, [][]byte{nil, []byte("{}"), []byte(`{"a":1}`)}
	times := []time.Time{{}, time.UnixMicro(1).UTC(), time.UnixMicro(1 << 50).UTC()}
	of := func(n int) int { return random.IntN(random.IntN(n) + 1) } // often nought
	for batch := range 60 {
		var written []*tallygate.Outcome
		var items []*tallygate.QueueItem
		for n := range 1 + of(4) {
			o := &tallygate.Outcome{
				JobID: tallygate.JobID(fmt.Sprintf("job_%03d_%d", batch, n)), ClientID: tallygate.ClientID(texts[of(2)]), Type: texts[of(2)],
				Status: tallygate.JobSucceeded, Charged: tallygate.Money(of(3)), Attempt: int64(of(3)), Token: texts[of(3)],
				StartedAt: times[of(3)], FinishedAt: times[of(3)], Event: int64(of(3)), Result: bodies[of(3)],
			}
			if of(2) > 0 {
				o.Units = map[string]int64{"page": int64(of(3))}
			}
			q := &tallygate.QueueItem{JobID: o.JobID, ClientID: o.ClientID, Type: o.Type, State: tallygate.ItemReady, Progress: -1, Priority: int64(of(3))}
			written, items = append(written, o), append(items, q)
		}
		write := func(fn func(tx tallygate.Tx, i int) error) {
			t.Helper()
			if err := s.Update(background, func(tx tallygate.Tx) (err error) {
				for i := range items {
					err = errors.Join(err, fn(tx, i))
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		write(func(tx tallygate.Tx, i int) error {
			return errors.Join(tx.InsertOutcome(written[i]), tx.Enqueue(items[i]))
		})
		write(func(tx tallygate.Tx, i int) error {
			q := items[i]
			q.State, q.At, q.Attempt, q.Token, q.Worker = tallygate.ItemState(of(3)), times[of(3)], int64(of(3)), texts[of(2)], texts[of(2)]
			return tx.SaveItem(q)
		})
		err := s.View(background, func(tx tallygate.Tx) error {
			for i, want := range written {
				got, err := tx.Outcome(want.JobID)
				if want.Token = text(want.Token); err != nil || !reflect.DeepEqual(got, want) {
					return fmt.Errorf("of %d rows, number %d: %w\n got %+v\nwant %+v", len(written), i, err, got, want)
				}
				item, err := tx.Item(want.JobID)
				if err != nil || !reflect.DeepEqual(item, items[i]) {
					return fmt.Errorf("of %d items, number %d: %w\n got %+v\nwant %+v", len(items), i, err, item, items[i])
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
