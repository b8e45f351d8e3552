package testserver

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// ask runs a statement that has to succeed.
func ask(t *testing.T, url, statement string) string {
	t.Helper()
	answer, err := query(t.Context(), url, statement)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestDatabasesAreFreshAndApart(t *testing.T) {
	a, b := Postgres(t).Database(t), Postgres(t).Database(t)
	ask(t, a, "CREATE TABLE here (n int)")
	if n := ask(t, b, "SELECT count(*) FROM pg_class WHERE relname = 'here'"); n != "0" {
		t.Errorf("the other database has %s tables of the first", n)
	}
}

func TestADatabaseGoesWithItsTest(t *testing.T) {
	var url string
	t.Run("inner", func(t *testing.T) { url = Postgres(t).Database(t) })
	var refusal *pgconn.PgError
	if _, err := query(t.Context(), url, "SELECT 1"); !errors.As(err, &refusal) || refusal.Code != "3D000" { // invalid_catalog_name
		t.Errorf("a database whose test is over: %v", err)
	}
}

func TestAKilledServerKeepsWhatItCommitted(t *testing.T) {
	s := NewPostgres(t, PostgresOptions{Settings: map[string]string{"work_mem": "5MB"}})
	if fsync := ask(t, s.URL(), "SHOW fsync"); fsync != "on" {
		t.Errorf("fsync is %s", fsync)
	}
	if mem := ask(t, s.URL(), "SHOW work_mem"); mem != "5MB" {
		t.Errorf("work_mem is %s", mem)
	}
	url := s.Database(t)
	ask(t, url, "CREATE TABLE kept (n int)")
	ways := map[string]func(){"kill": s.Kill, "fast": func() { s.Stop("fast") }, "immediate": func() { s.Stop("immediate") }}
	for name, end := range ways {
		ask(t, url, "INSERT INTO kept VALUES (1)")
		end()
		if _, err := query(t.Context(), url, "SELECT 1"); err == nil {
			t.Errorf("%s: it answers", name)
		}
		s.Start()
	}
	s.Restart()
	if n := ask(t, url, "SELECT count(*) FROM kept"); n != "3" {
		t.Errorf("%s rows of 3 are left", n)
	}
}

func TestAServerThatDoesNotStartSaysWhy(t *testing.T) {
	_, err := newPostgres(nil, PostgresOptions{Settings: map[string]string{"shared_buffers": "plenty"}})
	if err == nil || !strings.Contains(err.Error(), `invalid value for parameter "shared_buffers"`) {
		t.Errorf("the error does not have the log: %v", err)
	}
}

func TestTheSharedServerIsNobodysToStop(t *testing.T) {
	s := Postgres(t)
	for name, act := range map[string]func(){"Stop": func() { s.Stop("fast") }, "Start": s.Start, "Restart": s.Restart, "Kill": s.Kill, "Promote": s.Promote} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s does not panic", name)
				}
			}()
			act()
		}()
	}
}

func TestTheEnvironmentNamesARunningServer(t *testing.T) {
	running := NewPostgres(t, PostgresOptions{})
	t.Setenv(PostgresVariable, running.URL())
	s, err := shared()
	must(t, err)
	if s.URL() != running.URL() {
		t.Errorf("the server is %s", s.URL())
	}
	ask(t, s.Database(t), "SELECT 1")
	running.Stop("fast")
	if _, err := shared(); err == nil || !strings.HasPrefix(err.Error(), PostgresVariable+" is set, but ") {
		t.Errorf("a server that does not run: %v", err)
	}
	running.Start() // for the database that goes now
}
