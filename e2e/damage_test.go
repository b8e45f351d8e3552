package e2e

import (
	"bytes"
	"os"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// damaged is a server whose database was damaged while it was stopped, as disks do: one value of a job is no longer
// what was written, and a page of the ledger is gone. The rest is whole.
type damaged struct {
	*server
	client customer
	job    string // with the value that cannot be read
}

func newDamaged(t *testing.T) damaged {
	t.Helper()
	s := serve(t, setup{})
	s.define(t, metered, pullType())
	d := damaged{server: s, client: s.newClient(t, "1")}
	d.job = d.client.submit(metered)
	w := s.newWorker(t)
	w.succeed(w.lease(metered), 1).ok()
	s.stop()

	c := openDatabase(t, s.database)
	err := sqlitex.Execute(c, `UPDATE outcomes SET units = ? WHERE job_id = ?`, &sqlitex.ExecOptions{Args: []any{[]byte(`{"page":`), d.job}})
	if err != nil || c.Changes() != 1 {
		t.Fatalf("change the units of a job: %v, %d rows", err, c.Changes())
	}
	var page, size int64
	err = sqlitex.Execute(c, `SELECT rootpage, page_size FROM sqlite_master, pragma_page_size WHERE name = 'entries'`, &sqlitex.ExecOptions{
		ResultFunc: func(row *sqlite.Stmt) error {
			page, size = row.ColumnInt64(0), row.ColumnInt64(1)
			return nil
		},
	})
	if err != nil || page == 0 {
		t.Fatalf("find the page of the entries: %v", err)
	}
	if err := sqlitex.ExecuteTransient(c, `PRAGMA wal_checkpoint(TRUNCATE)`, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(s.database, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt(bytes.Repeat([]byte{0xff}, int(size)), (page-1)*size); err != nil {
		t.Fatal(err)
	}
	s.start()
	return d
}

// openDatabase opens a server's database beside it.
func openDatabase(t testing.TB, path string) *sqlite.Conn {
	t.Helper()
	c, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDamageStaysWithinWhatItHit(t *testing.T) {
	t.Parallel()
	d := newDamaged(t)
	d.client.get("/v1/account/entries").refused("DATABASE_ERROR")
	d.client.get("/v1/jobs/" + d.job).refused("INTERNAL_ERROR")
	d.client.get("/v1/account").ok()
	d.client.get("/v1/job-types").ok()
	d.as(t, "").get("/v1/account").refused("AUTHENTICATION_FAILED")
}
