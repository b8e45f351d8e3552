package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tallygate/tallygate/demo/thumbnail"
	sdk "github.com/tallygate/tallygate/sdk/go"
	"github.com/tallygate/tallygate/testserver"
)

const testTypes = `
failed_auth_limit: 0
log_level: error
job_types:
  - name: image.thumbnail
    price: {base: 0.01, units: {megapixel: {price: 0.001, max: 50}}}
    executor: {kind: builtin, handler: image.thumbnail}
  - name: text.stats
    input_schema: {type: object, required: [text]}
    price: {base: 0.01}
    executor: {kind: pull}
`

// running is a server that the command serves in this process.
type running struct {
	url, operatorKey, database, config string
	stop                               func() ran
}

func (r running) inFile() bool { return !strings.Contains(r.database, "://") }

var listeningLine = regexp.MustCompile(`^tallygate listening on (http://127\.0\.0\.1:\d+)\n$`)

// onEachEngine runs a test with a server whose database is a file, and with one whose database is PostgreSQL's.
func onEachEngine(t *testing.T, test func(t *testing.T, s running)) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		test(t, startServer(t))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		test(t, startServerOn(t, testserver.NewPostgres(t, testserver.PostgresOptions{}).Database(t)))
	})
}

// startServer serves a new file until stop is called.
func startServer(t *testing.T) running {
	t.Helper()
	return startServerOn(t, filepath.Join(t.TempDir(), "tallygate.db"))
}

// startServerOn makes the database and serves it until stop is called.
func startServerOn(t *testing.T, database string) running {
	t.Helper()
	r := running{database: database, config: filepath.Join(t.TempDir(), "tallygate.yaml")}
	if err := os.WriteFile(r.config, []byte(testTypes), 0o600); err != nil {
		t.Fatal(err)
	}
	made := tally(t.Context(), "", "init", "--database", r.database, "--json")
	var key map[string]string
	if err := json.Unmarshal([]byte(made.stdout), &key); err != nil || made.code != exitOK || len(key) != 1 {
		t.Fatalf("init: exit %d: %s%s", made.code, made.stdout, made.stderr)
	}
	r.operatorKey = key["operator_key"]
	r.url, r.stop = serveUntil(t, "--database", r.database, "--config", r.config)
	return r
}

// serveUntil serves with the flags and returns the address and what ends it.
func serveUntil(t *testing.T, flags ...string) (url string, stop func() ran) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var stdout, stderr buffer
	ended := make(chan int, 1)
	go func() {
		args := append([]string{"serve", "--listen", "127.0.0.1:0"}, flags...)
		ended <- run(ctx, args, process{strings.NewReader(""), &stdout, &stderr, time.Now})
	}()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if m := listeningLine.FindStringSubmatch(stdout.String()); m != nil {
			url = m[1]
			break
		}
		if time.Now().After(deadline) || len(ended) > 0 {
			cancel()
			t.Fatalf("the server did not start: %s%s", stdout.String(), stderr.String())
		}
	}
	stopped := false
	stop = func() ran {
		stopped = true
		cancel()
		return ran{<-ended, stdout.String(), stderr.String()}
	}
	t.Cleanup(func() {
		if !stopped {
			stop()
		}
	})
	return url, stop
}

// as runs a command with a key against the server.
func (r running) as(t *testing.T, key, stdin string, args ...string) ran {
	t.Helper()
	var stdout, stderr buffer
	code := run(t.Context(), append([]string{"--url", r.url, "--key", key}, args...), process{strings.NewReader(stdin), &stdout, &stderr, time.Now})
	return ran{code, stdout.String(), stderr.String()}
}

// one decodes a document that must be there.
func decode[T any](t *testing.T, r ran) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.stdout), &v); err != nil || r.code != exitOK {
		t.Fatalf("exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
	return v
}

func TestAServerFromInitToShutdown(t *testing.T) { onEachEngine(t, fromInitToShutdown) }

func fromInitToShutdown(t *testing.T, s running) {
	operator := func(args ...string) ran { return s.as(t, s.operatorKey, "", args...) }

	cl := decode[sdk.ClientAccount](t, operator("client", "create", "Acme", "--json"))
	decode[sdk.Entry](t, operator("credit", "add", cl.ID, "1.00", "--json"))
	made := decode[sdk.CreatedAPIKey](t, operator("key", "create", "--client", cl.ID, "--permission", "preset:full", "--json"))
	acme := func(stdin string, args ...string) ran { return s.as(t, made.Key.Reveal(), stdin, args...) }

	done := decode[sdk.Job](t, acme(string(thumbnail.SampleInput()), "job", "submit", "image.thumbnail", "--input", "-", "--wait", "--json"))
	if done.Status != "succeeded" || done.Receipt.Charged == "0.00" {
		t.Errorf("got %+v", done)
	}
	if r := acme("", "job", "submit", "image.thumbnail", "--input", `{"image":"AAAA","width":10}`, "--wait"); r.code != exitJob || !strings.Contains(r.stderr, "error: PROCESSING_FAILED: ") {
		t.Errorf("a job that fails: exit %d: %s", r.code, r.stderr)
	}
	if r := acme("", "job", "submit", "text.stats"); r.code != exitRequest {
		t.Errorf("an input without text: exit %d: %s", r.code, r.stderr)
	}
	queued := decode[sdk.Job](t, acme("", "job", "submit", "text.stats", "--input", `{"text":"a"}`, "--json"))
	if r := acme("", "client", "list"); r.code != exitForbidden {
		t.Errorf("a client's key on an operator's command: exit %d: %s", r.code, r.stderr)
	}
	for _, args := range [][]string{
		{"client", "list"}, {"client", "get", cl.ID}, {"client", "update", cl.ID, "--name", "ACME"}, {"client", "suspend", cl.ID}, {"client", "activate", cl.ID},
		{"credit", "list", cl.ID}, {"credit", "list"}, {"key", "list", "--client", cl.ID}, {"key", "get", made.ID}, {"key", "rotate", made.ID},
		{"job-type", "list"}, {"job-type", "get", "text.stats"}, {"job-type", "apply", s.config + ".types"},
		{"job", "list", "--client", cl.ID, "--status", "queued"}, {"job", "get", queued.ID}, {"job", "logs", done.ID}, {"job", "watch", done.ID}, {"job", "result", done.ID},
		{"job", "cancel", queued.ID}, {"key", "revoke", made.ID}, {"audit", "--database", s.database}, {"doctor", "--config", s.config, "--database", s.database},
	} {
		if args[1] == "apply" {
			if err := os.WriteFile(args[2], []byte("name: text.stats\nprice: {base: 0.02}\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if r := operator(args...); r.code != exitOK {
			t.Errorf("%v: exit %d: %s%s", args, r.code, r.stdout, r.stderr)
		}
	}
	if r := acme("", "job", "list"); r.code != exitKey {
		t.Errorf("a revoked key: exit %d: %s", r.code, r.stderr)
	}
	if s.inFile() {
		if r := tally(t.Context(), "", "serve", "--database", s.database); r.code != exitUsage || !strings.Contains(r.stderr, "in use") {
			t.Errorf("a second server: exit %d: %s", r.code, r.stderr)
		}
	} else {
		_, stop := serveUntil(t, "--database", s.database)
		stop()
	}
	began := time.Now()
	if r := s.stop(); r.code != exitOK || r.stderr != "" || !listeningLine.MatchString(r.stdout) {
		t.Errorf("exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("an idle server took %v to end", took)
	}
	if r := tally(t.Context(), "", "audit", "--database", s.database); r.code != exitOK {
		t.Errorf("audit: exit %d: %s", r.code, r.stdout)
	}
}

func TestReadinessShowsTheUpstreams(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	res, err := http.Get(s.url + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || res.StatusCode != http.StatusOK || answer["upstreams"] == nil {
		t.Errorf("%s: %v, %v", res.Status, answer, err)
	}
}

func TestTheOperatorsKeyMayComeFromTheEnvironment(t *testing.T) {
	first := filepath.Join(t.TempDir(), "first.db")
	made := decode[map[string]string](t, tally(t.Context(), "", "init", "--database", first, "--json"))
	t.Setenv(operatorKeyVariable, made["operator_key"])

	database := filepath.Join(t.TempDir(), "second.db")
	url, _ := serveUntil(t, "--database", database)
	if r := tally(t.Context(), "", "client", "list", "--url", url); r.code != exitOK {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
}

func TestAServerNeedsAnOperator(t *testing.T) {
	t.Parallel()
	database := filepath.Join(t.TempDir(), "none.db")
	r := tally(t.Context(), "", "serve", "--database", database)
	if r.code != exitUsage || !strings.Contains(r.stderr, "remedy: make it with `tallygate init --database "+database) {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	if exists(database) {
		t.Error("a server that refused to start left a database")
	}
}

func TestInitRunsOnce(t *testing.T) {
	t.Parallel()
	database := filepath.Join(t.TempDir(), "tallygate.db")
	r := tally(t.Context(), "", "init", "--database", database)
	if r.code != exitOK || !strings.Contains(r.stdout, "operator key  tg_live_") {
		t.Errorf("exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
	r = tally(t.Context(), "", "init", "--database", database)
	if r.code != exitUsage || r.stdout != "" || !strings.Contains(r.stderr, "initialised already") {
		t.Errorf("exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
}

func TestWhatCannotBeServed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := filepath.Join(dir, "text.db")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"serve", "--database", text},
		{"serve", "--database", dir},
		{"init", "--database", text},
		{"init", "--database", filepath.Join(dir, "no", "folder.db")},
		{"init", "--currency", "dollars"},
		{"audit", "--database", text},
		{"audit", "--database", filepath.Join(dir, "none.db")},
	} {
		if r := tally(t.Context(), "", args...); r.code != exitUsage || !strings.HasPrefix(r.stderr, "error: ") {
			t.Errorf("%v: exit %d: %s", args, r.code, r.stderr)
		}
	}
}
