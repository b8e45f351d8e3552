package postgres

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/store/storetest"
	"github.com/tallygate/tallygate/testserver"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, now func() time.Time) tallygate.Store {
		return open(t, Options{URL: testserver.Postgres(t).Database(t), Now: now, Readers: 2})
	})
}

// open opens a store that ends with the test.
func open(t *testing.T, opt Options) *Store {
	t.Helper()
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	s, err := Open(context.Background(), opt)
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
