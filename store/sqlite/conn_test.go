package sqlite

import (
	"path/filepath"
	"testing"

	"github.com/tallygate/tallygate/store"
	"zombiezen.com/go/sqlite"
)

func TestAPanicInARowsScanLeavesTheConnectionUsable(t *testing.T) {
	c, err := openConn(filepath.Join(t.TempDir(), "test.db"), sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Exec("BEGIN"); err != nil {
		t.Fatal(err)
	}
	const sql = `SELECT 1 UNION ALL SELECT 2`
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = c.Query(sql, func(store.Row) error { panic("in the scan") })
	}()
	rows := 0
	if err := c.Query(sql, func(r store.Row) error {
		if rows++; r.Int64(0) != int64(rows) {
			t.Errorf("row %d holds %d", rows, r.Int64(0))
		}
		return nil
	}); err != nil || rows != 2 {
		t.Errorf("%d rows, %v", rows, err)
	}
	if _, err := c.Exec("COMMIT"); err != nil {
		t.Error(err)
	}
}
