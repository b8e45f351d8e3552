package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/store/sqlite"
	"github.com/tallygate/tallygate/store/storetest"
)

// open opens the file and closes it in the cleanup.
func open(t *testing.T, path string, now func() time.Time) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, Now: now, Readers: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// note inserts a record that is easy to look up again, as large as its body.
func note(s tallygate.Store, key string, body []byte) error {
	return s.Update(context.Background(), func(tx tallygate.Tx) error {
		return tx.InsertIdempotency(&tallygate.Idempotency{ClientID: "cl_notes", Key: key, Body: body, CreatedAt: tx.Now()})
	})
}

// noted reports whether the record is there.
func noted(t *testing.T, s tallygate.Store, key string) (found bool) {
	t.Helper()
	if err := s.View(context.Background(), func(tx tallygate.Tx) error {
		rec, err := tx.Idempotency("cl_notes", key)
		found = rec != nil
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

func TestSQLitePassesTheSuite(t *testing.T) {
	storetest.Run(t, func(t *testing.T, now func() time.Time) tallygate.Store {
		return open(t, filepath.Join(t.TempDir(), "test.db"), now)
	})
}

func TestTheTimeOfATransactionIsTheClocks(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.FixedZone("", 3600))
	s := open(t, filepath.Join(t.TempDir(), "test.db"), func() time.Time { return at })
	for name, run := range map[string]func(context.Context, func(tallygate.Tx) error) error{"update": s.Update, "view": s.View} {
		if err := run(t.Context(), func(tx tallygate.Tx) error {
			if want := at.UTC().Truncate(time.Microsecond); tx.Now() != want {
				return fmt.Errorf("now is %s, want %s", tx.Now(), want)
			}
			return nil
		}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatWasWrittenIsThereAfterReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	client := &tallygate.Client{ID: "cl_a", Name: "Acme", Status: tallygate.ClientActive, Metadata: []byte("{}")}
	client.Balance.Posted, client.Entries = 7, 1
	var last int64
	for round := range 3 {
		s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		err = s.Update(t.Context(), func(tx tallygate.Tx) error {
			if round == 0 {
				if err := tx.InsertClient(client); err != nil {
					return err
				}
				if err := tx.SaveAccount(client); err != nil {
					return err
				}
				if err := tx.SaveLane(&tallygate.Lane{Type: "x", ClientID: "cl_a", Ready: 2}); err != nil {
					return err
				}
			}
			c, err := tx.Client("cl_a")
			if err != nil {
				return err
			}
			lanes, err := tx.ActiveLanes("x")
			if err != nil || c.Balance.Posted != 7 || len(lanes) != 1 {
				return fmt.Errorf("client %+v, %d lanes, %w", c, len(lanes), err)
			}
			e := &tallygate.Event{Kind: tallygate.EventJobLog, Subject: "job_1", At: tx.Now()}
			if err := tx.InsertEvent(e); err != nil {
				return err
			}
			if e.Number <= last {
				return fmt.Errorf("event %d after %d", e.Number, last)
			}
			last = e.Number
			return nil
		})
		if closed := errors.Join(err, s.Close(), s.Close()); closed != nil {
			t.Fatalf("round %d: %v", round, closed)
		}
		if err := s.Update(t.Context(), func(tallygate.Tx) error { return nil }); !tallygate.IsCode(err, tallygate.ServiceUnavailable) {
			t.Errorf("an update of a closed store: %v", err)
		}
		if err := s.View(t.Context(), func(tallygate.Tx) error { return nil }); !tallygate.IsCode(err, tallygate.ServiceUnavailable) {
			t.Errorf("a view of a closed store: %v", err)
		}
	}
}

func TestAViewThatFindsNoConnectionInTimeIsTurnedAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	synctest.Test(t, func(t *testing.T) {
		s := open(t, path, nil)
		gate := make(chan struct{})
		for range 3 {
			go func() { _ = s.View(context.Background(), func(tallygate.Tx) error { <-gate; return nil }) }()
		}
		synctest.Wait()
		begun := time.Now()
		err := s.View(t.Context(), func(tallygate.Tx) error { return nil })
		if e := tallygate.AsError(err); e.Code != tallygate.ServiceUnavailable || e.RetryAfter == 0 || time.Since(begun) != 2*time.Second {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
		left, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, leave)
		if err := s.View(left, func(tallygate.Tx) error { return nil }); !tallygate.IsCode(err, tallygate.ServiceUnavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("a caller who left: %v", err)
		}
		time.AfterFunc(time.Second, func() { close(gate) })
		if err := s.View(t.Context(), func(tallygate.Tx) error { return nil }); err != nil {
			t.Errorf("once a connection was free: %v", err)
		}
	})
}
