// Package enginetest opens stores for the tests of what stands above them, so that the same tests run on every engine:
// on SQLite, and on PostgreSQL where TALLYGATE_TEST_ENGINE says so.
package enginetest

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/store/postgres"
	"github.com/tallygate/tallygate/store/sqlite"
	"github.com/tallygate/tallygate/testserver"
)

// Variable names the engine.
const Variable = "TALLYGATE_TEST_ENGINE"

// Postgres reports whether tests run on PostgreSQL.
func Postgres() bool { return os.Getenv(Variable) == "postgres" }

// Open opens an empty store with the clock, nil for the engine's own, and closes it at the end of the test. It stays
// alone: what it does is heard and told by nobody.
func Open(t testing.TB, now func() time.Time) tallygate.Store {
	t.Helper()
	store := Unclosed(t, now)
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// Prepare starts what Open needs. Tests call it before they enter a bubble of their own time, where no server starts.
func Prepare(t testing.TB) {
	t.Helper()
	if Postgres() {
		testserver.Postgres(t)
	}
}

// Unclosed opens a store as Open does and leaves closing it to the caller.
func Unclosed(t testing.TB, now func() time.Time) tallygate.Store {
	t.Helper()
	return UnclosedNodes(t, now, 1)[0]
}

// UnclosedNodes opens a store as so many nodes know it: as one where the engine has no more. Each is to be closed.
func UnclosedNodes(t testing.TB, now func() time.Time, n int) (nodes []tallygate.Store) {
	t.Helper()
	add := func(node tallygate.Store, err error) {
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, node)
	}
	quiet := slog.New(slog.DiscardHandler)
	switch engine := os.Getenv(Variable); engine {
	case "", "sqlite":
		add(sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "tallygate.db"), Now: now, Readers: 2, Log: quiet}))
	case "postgres":
		url := testserver.Postgres(t).Database(t)
		for range n {
			add(postgres.Open(t.Context(), postgres.Options{URL: url, Now: now, Readers: 4, Alone: true, Log: quiet}))
		}
	default:
		t.Fatalf("%s is %q: it must be sqlite or postgres", Variable, engine)
	}
	return nodes
}
