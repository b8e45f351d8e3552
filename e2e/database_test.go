package e2e

import (
	"context"
	"os"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// onPostgres reports whether the servers' databases are PostgreSQL's where a test does not say so itself.
func onPostgres() bool { return os.Getenv(engineVariable) == "postgres" }

// beside is a connection of the test's own to a server's database, on either engine.
type beside struct {
	t    testing.TB
	file *sqlite.Conn
	pg   *pgconn.PgConn
}

// openDatabase opens the server's database beside it.
func (s *server) openDatabase() beside {
	s.t.Helper()
	b := beside{t: s.t}
	var err error
	if s.inFile() {
		b.file, err = sqlite.OpenConn(s.database, sqlite.OpenReadWrite)
	} else {
		b.pg, err = pgconn.Connect(s.t.Context(), s.database)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// exec runs a statement and returns how many rows it changed.
func (b beside) exec(statement string) int {
	b.t.Helper()
	var changed int
	var err error
	if b.file != nil {
		err = sqlitex.ExecuteTransient(b.file, statement, nil)
		changed = b.file.Changes()
	} else {
		var results []*pgconn.Result
		if results, err = b.pg.Exec(context.Background(), statement).ReadAll(); err == nil {
			changed = int(results[0].CommandTag.RowsAffected())
		}
	}
	if err != nil {
		b.t.Fatalf("%s: %v", statement, err)
	}
	return changed
}

func (b beside) close() {
	b.t.Helper()
	var err error
	if b.file != nil {
		err = b.file.Close()
	} else {
		err = b.pg.Close(context.Background())
	}
	if err != nil {
		b.t.Errorf("close the database: %v", err)
	}
}
