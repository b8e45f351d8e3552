package postgres

import (
	"context"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/testserver"
)

func TestATransactionThatMetAnotherIsRunAgain(t *testing.T) {
	s := nodes(t, 1)[0]
	addClient(t, s, "cl_a")
	for i, code := range []string{serializationFailure, deadlockDetected} {
		runs := 0
		err := s.Update(background, func(tx tallygate.Tx) error {
			c, err := tx.Client("cl_a")
			if err != nil {
				return err
			}
			c.Balance.Posted++
			if err := tx.SaveAccount(c); err != nil {
				return err
			}
			if runs++; runs == 1 {
				_, err = s.writer.conn.Exec(`DO $$ BEGIN RAISE EXCEPTION 'as if' USING ERRCODE = '` + code + `'; END $$`)
			}
			return err
		})
		if err != nil || runs != 2 {
			t.Errorf("%s: %v after %d runs", code, err, runs)
		}
		if got := posted(t, s, "cl_a"); got != tallygate.Money(i+1) {
			t.Errorf("%s: posted %d, want %d", code, got, i+1)
		}
	}
}

// TestTLSIsSpokenAndChecked: every connection of a node is encrypted, and one to a server for which nobody vouches fails.
func TestTLSIsSpokenAndChecked(t *testing.T) {
	pg := testserver.NewPostgres(t, testserver.PostgresOptions{TLS: true})
	database, err := url.Parse(pg.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	by := func(settings url.Values) string {
		database.RawQuery = settings.Encode()
		return database.String()
	}
	s := open(t, Options{URL: by(url.Values{"sslmode": {"verify-full"}, "sslrootcert": {pg.Authority()}})})
	addClient(t, s, "cl_a")
	posted(t, s, "cl_a")
	var all, encrypted int
	if err := s.pool.QueryRow(t.Context(), `SELECT COUNT(*), COUNT(*) FILTER (WHERE ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
		WHERE datname = current_database()`).Scan(&all, &encrypted); err != nil {
		t.Fatal(err)
	}
	if all < 3 || encrypted != all { // one that writes, one that listens, one that reads
		t.Errorf("%d of %d connections are encrypted", encrypted, all)
	}
	_, err = Open(context.Background(), Options{URL: by(url.Values{"sslmode": {"verify-full"}}), Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("to a server for which nobody vouches: %v", err)
	}
}

// TestANodeHoldsFewConnections: the rest of what reads waits for one, and no statement is for ever.
func TestANodeHoldsFewConnections(t *testing.T) {
	s := open(t, Options{URL: testserver.Postgres(t).Database(t)})
	addClient(t, s, "cl_a")
	const callers = 100
	var together, left sync.WaitGroup
	together.Add(defaultReaders)
	for i := range callers {
		left.Go(func() {
			err := s.View(background, func(tx tallygate.Tx) error {
				if i < defaultReaders { // so many at once there are
					together.Done()
					together.Wait()
				}
				_, err := tx.Client("cl_a")
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
		if i == defaultReaders-1 {
			together.Wait()
		}
	}
	left.Wait()
	var held int
	if err := s.pool.QueryRow(t.Context(), `SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'tallygate%'`).Scan(&held); err != nil {
		t.Fatal(err)
	}
	if held > defaultReaders+2+choreConns {
		t.Errorf("a node holds %d connections", held)
	}
	for want, shown := range map[string]func() (string, error){
		milliseconds(readTimeout): func() (limit string, err error) {
			err = s.pool.QueryRow(t.Context(), `SELECT setting FROM pg_settings WHERE name = 'statement_timeout'`).Scan(&limit)
			return limit, err
		},
		milliseconds(writeTimeout): func() (limit string, err error) {
			err = s.Update(background, func(tallygate.Tx) error {
				return s.writer.conn.pg.QueryRow(background, `SELECT setting FROM pg_settings WHERE name = 'statement_timeout'`).Scan(&limit)
			})
			return limit, err
		},
	} {
		if limit, err := shown(); err != nil || limit != want {
			t.Errorf("a statement may take %s ms, want %s; %v", limit, want, err)
		}
	}
}

// TestANodeWhoseReadersAreAllAtWorkLives: signs of life and news do not wait for whoever reads.
func TestANodeWhoseReadersAreAllAtWorkLives(t *testing.T) {
	s := open(t, Options{URL: testserver.Postgres(t).Database(t), Readers: 1})
	err := s.View(background, func(tx tallygate.Tx) error {
		if _, err := tx.Client("cl_a"); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(background, connectTimeout)
		defer cancel()
		return s.presence.beat(ctx)
	})
	if err != nil {
		t.Error(err)
	}
}

// TestWhatIsToldInAnothersSessionIsNotKept: a pooler may give a writer the session in which a listener was.
func TestWhatIsToldInAnothersSessionIsNotKept(t *testing.T) {
	s := nodes(t, 1)[0]
	addClient(t, s, "cl_a")
	pg := s.writer.conn.pg
	if _, err := pg.Exec(background, "LISTEN "+channel); err != nil {
		t.Fatal(err)
	}
	if _, err := pg.Exec(background, "NOTIFY "+channel); err != nil { // it is told with the answer
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(background)
	cancel()
	if told, err := pg.WaitForNotification(ctx); err == nil {
		t.Errorf("the library kept %+v", told)
	}
}

// TestAStartWaitsForAnothersMigrationAlone: it says so, and where nothing is to be done it does not wait.
func TestAStartWaitsForAnothersMigrationAlone(t *testing.T) {
	url := testserver.Postgres(t).Database(t)
	other, err := pgx.Connect(background, url)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(background) // it holds nothing
	lock := func(how string) {
		t.Helper()
		if _, err := other.Exec(background, "SELECT pg_advisory_"+how+"($1)", int64(migrationLock)); err != nil {
			t.Fatal(err)
		}
	}
	missing, err := Migrations(background, url)
	if err != nil {
		t.Fatal(err)
	}
	lock("lock")
	waits := 0
	var migrated sync.WaitGroup
	migrate := func() { // another node's part, done while this one waits
		for waiting := false; !waiting; {
			if err := other.QueryRow(background, `SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory')`).Scan(&waiting); err != nil {
				t.Error(err)
				return
			}
		}
		for _, m := range missing {
			if _, err := other.PgConn().Exec(background, m.Script()).ReadAll(); err != nil {
				t.Error(err)
			}
		}
		if _, err := other.Exec(background, "SELECT pg_advisory_unlock($1)", int64(migrationLock)); err != nil {
			t.Error(err)
		}
	}
	if err := Migrate(background, url, func() { waits++; migrated.Go(migrate) }); err != nil || waits != 1 {
		t.Errorf("to an empty database: waited %d times, %v", waits, err)
	}
	migrated.Wait()
	lock("lock")
	if err := Migrate(background, url, func() { waits++; lock("unlock") }); err != nil || waits != 1 {
		t.Errorf("to one that is up to date: waited %d times, %v", waits, err)
	}
}
