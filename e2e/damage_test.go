package e2e

import (
	"bytes"
	"os"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// damaged is a server whose database was damaged while it was stopped, as disks do: one value of a job is no longer
// what was written, and the ledger cannot be read. The rest is whole.
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

	db := s.openDatabase()
	if n := db.exec(`UPDATE outcomes SET units = substr(units, 1, 8) WHERE job_id = '` + d.job + `'`); n != 1 {
		t.Fatalf("the units of %d jobs were cut, want 1", n)
	}
	s.loseEntries(db)
	s.start()
	return d
}

// loseEntries destroys the page at which the table of the ledger's entries begins, where the database is a file; in
// PostgreSQL it takes the table away. It closes db.
func (s *server) loseEntries(db beside) {
	s.t.Helper()
	if !s.inFile() {
		db.exec(`ALTER TABLE entries RENAME TO lost`)
		db.close()
		return
	}
	var page, size int64
	err := sqlitex.Execute(db.file, `SELECT rootpage, page_size FROM sqlite_master, pragma_page_size WHERE name = 'entries'`, &sqlitex.ExecOptions{
		ResultFunc: func(row *sqlite.Stmt) error {
			page, size = row.ColumnInt64(0), row.ColumnInt64(1)
			return nil
		},
	})
	if err != nil || page == 0 {
		s.t.Fatalf("find the page of the entries: %v", err)
	}
	db.exec(`PRAGMA wal_checkpoint(TRUNCATE)`)
	db.close()
	file, err := os.OpenFile(s.database, os.O_WRONLY, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt(bytes.Repeat([]byte{0xff}, int(size)), (page-1)*size); err != nil {
		s.t.Fatal(err)
	}
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
