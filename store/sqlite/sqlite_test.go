package sqlite_test

import (
	"path/filepath"
	"testing"
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

func TestSQLitePassesTheSuite(t *testing.T) {
	storetest.Run(t, func(t *testing.T, now func() time.Time) tallygate.Store {
		return open(t, filepath.Join(t.TempDir(), "test.db"), now)
	})
}
