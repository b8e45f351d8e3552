package sqlite

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tallygate/tallygate"
	"zombiezen.com/go/sqlite/sqlitex"
)

// limit bounds the pages of the database, on the writer's own goroutine.
func (s *Store) limit(t *testing.T, pages int64) {
	t.Helper()
	if err := s.Update(t.Context(), func(tallygate.Tx) error {
		return sqlitex.ExecuteTransient(s.writer.conn.Conn, fmt.Sprintf("PRAGMA max_page_count = %d", pages), nil)
	}); err != nil {
		t.Fatal(err)
	}
}

func TestAFullDiskIsADatabaseErrorUntilRoomIsMade(t *testing.T) {
	s, err := Open(t.Context(), Options{Path: filepath.Join(t.TempDir(), "test.db"), Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	credit := func(key string) error {
		return s.Update(context.Background(), func(tx tallygate.Tx) error {
			c, err := tx.Client("cl_a")
			if err != nil {
				return err
			}
			c.Balance.Posted++
			if err := tx.SaveAccount(c); err != nil {
				return err
			}
			return tx.InsertIdempotency(&tallygate.Idempotency{ClientID: "cl_a", Key: key, Body: bytes.Repeat([]byte("x"), 10_000), CreatedAt: tx.Now()})
		})
	}
	posted := func() (m tallygate.Money) {
		if err := s.View(t.Context(), func(tx tallygate.Tx) error {
			c, err := tx.Client("cl_a")
			if err == nil {
				m = c.Balance.Posted
			}
			return err
		}); err != nil {
			t.Fatal("a view of a full database: ", err)
		}
		return m
	}
	if err := s.Update(t.Context(), func(tx tallygate.Tx) error {
		return tx.InsertClient(&tallygate.Client{ID: "cl_a", Status: tallygate.ClientActive, Metadata: []byte("{}")})
	}); err != nil {
		t.Fatal(err)
	}

	s.limit(t, 100)
	credited := tallygate.Money(0)
	for err == nil && credited < 1000 {
		if err = credit(fmt.Sprint("alone ", credited)); err == nil {
			credited++
		}
	}
	if e := tallygate.AsError(err); e.Code != tallygate.DatabaseError || e.RetryAfter == 0 || !strings.Contains(e.Message(), "full") {
		t.Fatalf("after %d credits: %v", credited, err)
	}
	var wg sync.WaitGroup
	for i := range 10 { // many at once fail as one does
		wg.Go(func() {
			if err := credit(fmt.Sprint("together ", i)); !tallygate.IsCode(err, tallygate.DatabaseError) {
				t.Errorf("credit %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if got := posted(); got != credited {
		t.Errorf("posted %d after %d credits", got, credited)
	}

	s.limit(t, 10_000)
	if err := credit("after"); err != nil {
		t.Error("after room was made: ", err)
	}
	if got := posted(); got != credited+1 {
		t.Errorf("posted %d after %d credits and one more", got, credited)
	}
}
