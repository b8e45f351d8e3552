package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/store/sqlite"
	zombiezen "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// patience is a context that ends once it was looked at so often; a View looks before each row.
type patience struct {
	context.Context
	looks, left int
}

func (p *patience) Err() error {
	if p.looks++; p.looks > p.left {
		return context.Canceled
	}
	return nil
}

// queued inserts n queued jobs with such an input.
func queued(t *testing.T, s tallygate.Store, n int, input []byte) {
	t.Helper()
	ids := new(tallygate.IDs)
	if err := s.Update(t.Context(), func(tx tallygate.Tx) error {
		for range n {
			j := &tallygate.Job{
				ID: tallygate.JobID(ids.Next(tallygate.JobPrefix, tx.Now())), ClientID: "cl_a", Type: "x",
				Input: input, Metadata: []byte(`{"a":"b"}`), CreatedAt: tx.Now(),
			}
			if err := tx.InsertJob(j); err != nil {
				return err
			}
			if err := tx.Enqueue(&tallygate.QueueItem{JobID: j.ID, ClientID: j.ClientID, Type: j.Type}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestAViewEndsWithItsCaller(t *testing.T) {
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "test.db"), Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	queued(t, s, 1000, []byte(`{}`))
	list := func(tx tallygate.Tx) error {
		_, _, err := tx.Jobs(tallygate.JobFilter{Metadata: map[string]string{"a": "c"}}, tallygate.Page{Limit: 10})
		return err
	}
	for _, left := range []int{0, 1, 500} {
		caller := &patience{Context: t.Context(), left: left}
		err := s.View(caller, list)
		if !tallygate.IsCode(err, tallygate.ServiceUnavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("a caller who left after %d rows: %v", left, err)
		}
		if caller.looks > left+3 {
			t.Errorf("a caller who left after %d rows: the view went on for %d", left, caller.looks)
		}
		key := fmt.Sprint("after ", left)
		if err := note(s, key, nil); err != nil {
			t.Fatal(err)
		}
		if !noted(t, s, key) { // the one reader is free, whole, and no longer in its old snapshot
			t.Errorf("after a caller who left after %d rows the reader does not see what was written", left)
		}
	}
	if err := s.View(t.Context(), list); err != nil {
		t.Error(err)
	}
}

func TestAListEndsWithItsPage(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "test.db"), nil)
	queued(t, s, 1000, []byte(`{}`))
	for name, filter := range map[string]tallygate.JobFilter{
		"everybody's":        {},
		"everybody's queued": {Status: tallygate.JobQueued},
		"a client's":         {ClientID: "cl_a"},
		"a client's queued":  {ClientID: "cl_a", Status: tallygate.JobQueued},
	} {
		caller := &patience{Context: t.Context(), left: 1e9}
		if err := s.View(caller, func(tx tallygate.Tx) error {
			jobs, next, err := tx.Jobs(filter, tallygate.Page{Limit: 10})
			if err == nil && (len(jobs) != 10 || next == "") {
				err = fmt.Errorf("listed %d jobs, next %q", len(jobs), next)
			}
			return err
		}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if caller.looks > 100 {
			t.Errorf("%s: 10 jobs took %d rows", name, caller.looks)
		}
	}
}

func TestWhatMayBeLargeStandsLastInItsTable(t *testing.T) {
	c, err := zombiezen.OpenConn(ours(t), zombiezen.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for table, want := range map[string]string{"jobs": "input", "outcomes": "result", "idempotency": "body"} {
		last := ""
		if err := sqlitex.Execute(c, `SELECT name FROM pragma_table_info(?) ORDER BY cid`, &sqlitex.ExecOptions{
			Args:       []any{table},
			ResultFunc: func(stmt *zombiezen.Stmt) error { last = stmt.ColumnText(0); return nil },
		}); err != nil || last != want {
			t.Errorf("%s ends with %q, want %q: whoever reads what follows walks all its pages (%v)", table, last, want, err)
		}
	}
}
