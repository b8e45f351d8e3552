package bench

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tallygate/tallygate/testserver"
)

// onPostgres is a quick bench on a PostgreSQL.
func onPostgres(t *testing.T, only ...string) Options {
	t.Helper()
	opt := quick(t, only...)
	opt.Database = testserver.Postgres(t).URL()
	return opt
}

// databases lists those of the server that a bench has made.
func databases(t *testing.T, url string) []string {
	t.Helper()
	pg, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer pg.Close(t.Context())
	rows, _ := pg.Query(t.Context(), `SELECT datname::text FROM pg_database WHERE datname LIKE $1 || '%'`, strings.ReplaceAll(namePrefix, "_", `\_`))
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// leavesNothing checks that what a run does leaves no database behind.
func leavesNothing(t *testing.T, url string, run func()) {
	t.Helper()
	before := databases(t, url)
	run()
	for _, name := range databases(t, url) {
		if !slices.Contains(before, name) {
			t.Errorf("the database %s is left behind", name)
		}
	}
}

// The fake server keeps nothing in the database: this is about what the bench does with one.
func TestScenariosOnPostgresReport(t *testing.T) {
	opt := onPostgres(t, "submit", "drain", "snapshot", "retention")
	opt.Hold, opt.Peer, opt.PeerBinary = 500*time.Millisecond, river, opt.Binary
	var report Report
	leavesNothing(t, opt.Database, func() {
		var err error
		if report, err = Run(t.Context(), opt); err != nil {
			t.Fatal(err)
		}
	})
	var text strings.Builder
	if err := report.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	t.Log(text.String())
	for _, words := range []string{"PostgreSQL " + report.Database.Version, "beside river v0", "river's inserts", "river's no-ops", "settled in the last tenth of 500ms"} {
		if !strings.Contains(text.String(), words) {
			t.Errorf("the table does not say %q", words)
		}
	}
	if report.Database.CommitMS <= 0 {
		t.Errorf("a commit takes %v ms", report.Database.CommitMS)
	}
}

func TestAFailedRunLeavesNoDatabase(t *testing.T) {
	t.Setenv(fakeFault, "refuse")
	opt := onPostgres(t, "submit")
	leavesNothing(t, opt.Database, func() {
		if _, err := Run(t.Context(), opt); err == nil {
			t.Error("no error")
		}
	})
}

func TestAnInterruptedRunLeavesNoDatabase(t *testing.T) {
	opt := onPostgres(t, "drain")
	ctx, cancel := context.WithCancel(t.Context())
	opt.Progress = writerFunc(func([]byte) { cancel() })
	leavesNothing(t, opt.Database, func() {
		if _, err := Run(ctx, opt); !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v", err)
		}
	})
}

func TestARoleThatMayNotCreateDatabasesIsToldHowTo(t *testing.T) {
	opt := onPostgres(t, "submit")
	database := testserver.Postgres(t).Database(t)
	pg, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer pg.Close(context.Background())
	role := strings.TrimPrefix(pg.Config().Database, "test_")
	if _, err := pg.Exec(t.Context(), `CREATE ROLE "`+role+`" LOGIN`); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pg.Exec(context.Background(), `DROP ROLE "`+role+`"`) })
	opt.Database = strings.Replace(database, "postgres@", role+"@", 1)
	_, err = Run(t.Context(), opt)
	if misuse, ok := errors.AsType[*Misuse](err); !ok || !strings.Contains(misuse.Remedy, `ALTER ROLE "`+role+`" CREATEDB`) {
		t.Errorf("the error is %#v", err)
	}
}

func TestAServerThatDoesNotAnswerIsNamed(t *testing.T) {
	opt := quick(t, "submit")
	opt.Database = "postgres://somebody:secret@127.0.0.1:1/postgres"
	_, err := Run(t.Context(), opt)
	misuse, ok := errors.AsType[*Misuse](err)
	if !ok || misuse.Remedy == "" || !strings.Contains(err.Error(), "127.0.0.1") || strings.Contains(err.Error(), "secret") {
		t.Errorf("the error is %v", err)
	}
}

func TestAnotherDatabaseOfTheSameServer(t *testing.T) {
	for url, want := range map[string]string{
		"postgres://h":                                "postgres://h/x",
		"postgres://u:p@h:1/":                         "postgres://u:p@h:1/x",
		"postgres://u@h/old?sslmode=disable":          "postgres://u@h/x?sslmode=disable",
		"postgresql://a:1,b:2/old?connect_timeout=1":  "postgresql://a:1,b:2/x?connect_timeout=1",
		"postgres://u@?host=/run/postgresql&port=123": "postgres://u@/x?host=/run/postgresql&port=123",
	} {
		if got := (&host{url: url}).named("x"); got != want {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
		config, err := pgx.ParseConfig(want)
		if err != nil {
			t.Errorf("%s: %v", want, err)
		} else if config.Database != "x" {
			t.Errorf("%s: database %q", want, config.Database)
		}
	}
}

// The real program, on two nodes: that what the fake takes for granted is so.
func TestTheRealServerOnPostgres(t *testing.T) {
	opt := onPostgres(t, "submit", "drain", "start", "snapshot")
	opt.Binary = filepath.Join(t.TempDir(), "tallygate")
	build := exec.Command("go", "build", "-o", opt.Binary, "../cmd/tallygate")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	opt.Nodes, opt.Rounds, opt.Jobs, opt.Hold, opt.Duration = 2, 1, 1_000, time.Second, 200*time.Millisecond
	opt.Log = nil
	leavesNothing(t, opt.Database, func() {
		report, err := Run(t.Context(), opt)
		if err != nil {
			t.Error(err)
		}
		var text strings.Builder
		if err := report.WriteText(&text); err != nil {
			t.Error(err)
		}
		t.Log(text.String())
	})
}

func TestRiverIsMeasured(t *testing.T) {
	opt := onPostgres(t, "none")
	s := &session{Options: opt, folder: t.TempDir(), progress: newProgress(t.Output())}
	s.Peer, s.Jobs = river, 1_000
	leavesNothing(t, opt.Database, func() {
		var err error
		if s.host, err = reach(t.Context(), opt.Database); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := s.close(); err != nil {
				t.Error(err)
			}
		}()
		if s.peer, err = s.newPeer(t.Context()); err != nil {
			t.Fatal(err)
		}
		inserted, err := s.peer.insert(t.Context(), s, "insert", workload{Connections: 4, Duration: span(200 * time.Millisecond)})
		if err != nil || inserted.Done == 0 || inserted.P99MS <= 0 {
			t.Errorf("insert: %+v, %v", inserted, err)
		}
		drained, err := s.peer.drain(t.Context(), s, "drain")
		if err != nil || drained.Done != 1_000 {
			t.Errorf("drain: %+v, %v", drained, err)
		}
	})
}

func TestAPeerThatCannotBeHadIsToldHowToGet(t *testing.T) {
	missing := &session{Options: Options{Peer: river, Binary: filepath.Join(t.TempDir(), "tallygate")}}
	t.Chdir(t.TempDir())
	_, err := missing.newPeer(t.Context())
	if misuse, ok := errors.AsType[*Misuse](err); !ok || !strings.Contains(misuse.Remedy, "--peer-binary") {
		t.Errorf("without a checkout: %v", err)
	}
	missing.PeerBinary = "./missing"
	_, err = missing.newPeer(t.Context())
	if misuse, ok := errors.AsType[*Misuse](err); !ok || !strings.Contains(misuse.Remedy, "go build") {
		t.Errorf("without its program: %v", err)
	}
	if err := os.MkdirAll("bench/river", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("bench/river/go.mod", []byte("module broken\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	missing.PeerBinary, missing.progress = "", newProgress(t.Output())
	_, err = missing.newPeer(t.Context())
	if misuse, ok := errors.AsType[*Misuse](err); !ok || !strings.Contains(err.Error(), "building the peer") || misuse.Remedy == "" {
		t.Errorf("with a broken one: %v", err)
	}
}
