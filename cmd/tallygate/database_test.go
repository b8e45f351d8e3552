package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/tallygate/tallygate/testserver"
)

// okCall makes a call with the operator's key that must succeed, and returns the answer.
func okCall(t *testing.T, r running, method, path, body string) (answer map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.operatorKey)
	req.Header.Set("Content-Type", "application/json")
	if method == http.MethodPost {
		req.Header.Set("Idempotency-Key", path+body)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %d %v, %v", method, path, res.StatusCode, answer, err)
	}
	return answer
}

// work puts a queued, a running, a succeeded and a failed job into the server, and returns the running one's ID and token and the
// client's key.
func work(t *testing.T, r running) (job, token, key string) {
	t.Helper()
	client := okCall(t, r, "POST", "/v1/clients", `{"name":"Acme"}`)["id"].(string)
	okCall(t, r, "POST", "/v1/clients/"+client+"/credits", `{"amount":"25.00"}`)
	key = okCall(t, r, "POST", "/v1/clients/"+client+"/api-keys", `{"name":"ci","permissions":["jobs:write","jobs:read"]}`)["key"].(string)
	acme := r
	acme.operatorKey = key
	for i := range 4 {
		okCall(t, acme, "POST", "/v1/jobs", fmt.Sprintf(`{"type":"text.stats","input":{"text":"%d"}}`, i))
	}
	for _, report := range []string{`/succeed {"token":%q,"result":{"n":1}}`, `/fail {"token":%q,"error":{"message":"no"},"retry":false}`, ""} {
		lease := okCall(t, r, "POST", "/v1/worker/lease", `{"types":["text.stats"],"max":1}`)["leases"].([]any)[0].(map[string]any)
		job, token = lease["job"].(map[string]any)["id"].(string), lease["token"].(string)
		if path, body, ok := strings.Cut(report, " "); ok {
			okCall(t, r, "POST", "/v1/worker/jobs/"+job+path, fmt.Sprintf(body, token))
		}
	}
	return job, token, key
}

func TestAFileMovesToPostgresWithAllThatIsInIt(t *testing.T) {
	r := startServer(t)
	job, token, key := work(t, r)
	url := testserver.Postgres(t).Database(t)

	if got := tally(t.Context(), "", "copy", "--from", r.database, "--to", url); got.code != exitUsage || !strings.Contains(got.stderr, "in use by another server") {
		t.Errorf("copying a file that is served: exit %d: %s", got.code, got.stderr)
	}
	r.stop()
	got := tally(t.Context(), "", "copy", "--from", r.database, "--to", url, "--json")
	if got.code != exitOK || !strings.Contains(got.stderr, "both sides") && !strings.Contains(got.stdout, `"live_jobs":2`) {
		t.Fatalf("copy: exit %d: %s%s", got.code, got.stdout, got.stderr)
	}
	before, after := tally(t.Context(), "", "audit", "--database", r.database), tally(t.Context(), "", "audit", "--database", url)
	if before.code != exitOK || after.code != exitOK || before.stdout != after.stdout {
		t.Errorf("audits differ:\n%s%s\n%s%s", before.stdout, before.stderr, after.stdout, after.stderr)
	}
	if got := tally(t.Context(), "", "copy", "--from", r.database, "--to", url); got.code != exitUsage || !strings.Contains(got.stderr, "not empty") {
		t.Errorf("copying twice: exit %d: %s", got.code, got.stderr)
	}

	r.url, r.stop = serveUntil(t, "--database", url, "--config", r.config)
	okCall(t, r, "POST", "/v1/worker/jobs/"+job+"/succeed", fmt.Sprintf(`{"token":%q,"result":{"n":3}}`, token)) // its lease went along
	if status := okCall(t, r, "GET", "/v1/jobs/"+job, "")["status"]; status != "succeeded" {
		t.Errorf("the job that ran across the move has %v", status)
	}
	lease := okCall(t, r, "POST", "/v1/worker/lease", `{"types":["text.stats"],"max":9}`)["leases"].([]any)
	if len(lease) != 1 {
		t.Errorf("%d jobs can be leased, want the one that was queued", len(lease))
	}
	acme := r
	acme.operatorKey = key
	okCall(t, acme, "POST", "/v1/jobs", `{"type":"text.stats","input":{"text":"new"}}`) // numbers go on where they were
	if jobs := okCall(t, r, "GET", "/v1/jobs", "")["data"].([]any); len(jobs) != 5 {
		t.Errorf("%d jobs are listed, want 5", len(jobs))
	}
	r.stop()
	if got := tally(t.Context(), "", "audit", "--database", url); got.code != exitOK {
		t.Errorf("audit at the end: exit %d: %s%s", got.code, got.stdout, got.stderr)
	}
}

func TestACopyThatCannotBeMadeLeavesTheDatabaseEmpty(t *testing.T) {
	r := startServer(t)
	work(t, r)
	url := testserver.Postgres(t).Database(t)
	if got := tally(t.Context(), "", "copy", "--from", filepath.Join(t.TempDir(), "none.db"), "--to", url); got.code != exitUsage || !strings.Contains(got.stderr, "there is no file") {
		t.Errorf("a file that is not there: exit %d: %s", got.code, got.stderr)
	}
	r.stop()
	if got := tally(t.Context(), "", "copy", "--from", r.database, "--to", "postgres://nobody:secret@127.0.0.1:1/x"); got.code != exitUnreachable || strings.Contains(got.stderr, "secret") {
		t.Errorf("a database that is not there: exit %d: %s", got.code, got.stderr)
	}
	spare := testserver.Postgres(t).Database(t)
	if got := tally(t.Context(), "", "serve", "--database", spare); got.code != exitUsage || !strings.Contains(got.stderr, "no operator yet") {
		t.Errorf("serving what is not initialised: exit %d: %s", got.code, got.stderr)
	}
	if got := tally(t.Context(), "", "copy", "--from", r.database, "--to", spare); got.code != exitOK {
		t.Errorf("a database that a server refused: exit %d: %s", got.code, got.stderr)
	}
	_, stop := serveUntil(t, "--database", makePostgres(t, url), "--config", r.config)
	if got := tally(t.Context(), "", "copy", "--from", r.database, "--to", url); got.code != exitUsage || !strings.Contains(got.stderr, "nodes use the database") {
		t.Errorf("a database that is served: exit %d: %s", got.code, got.stderr)
	}
	stop()
	backup, err := pgconn.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer backup.Close(t.Context()) // it only read
	if _, err := backup.Exec(t.Context(), `BEGIN; SELECT FROM clients`).ReadAll(); err != nil {
		t.Fatal(err)
	}
	if got := tally(t.Context(), "", "copy", "--from", r.database, "--to", url); got.code != exitUsage || !strings.Contains(got.stderr, "another session uses the tables") {
		t.Errorf("a database that is read: exit %d: %s", got.code, got.stderr)
	}
}

func TestACopyOfWhatDoesNotAddUpIsNotMade(t *testing.T) {
	r := startServer(t)
	work(t, r)
	r.stop()
	url := testserver.Postgres(t).Database(t)
	if got := tally(t.Context(), "", "migrate", "--database", url); got.code != exitOK {
		t.Fatalf("migrate: exit %d: %s", got.code, got.stderr)
	}
	rows := func() string {
		t.Helper()
		return sayTo(t, url, `SELECT (SELECT COUNT(*) FROM clients) + (SELECT COUNT(*) FROM entries) + (SELECT COUNT(*) FROM jobs)`)
	}
	sayTo(t, url, `CREATE FUNCTION more() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.posted := NEW.posted + 1; RETURN NEW; END';
		CREATE TRIGGER more BEFORE INSERT ON clients FOR EACH ROW EXECUTE FUNCTION more()`)
	got := tally(t.Context(), "", "copy", "--from", r.database, "--to", url)
	if got.code == exitOK || !strings.Contains(got.stderr, "the audit of the copy finds faults") || rows() != "0" {
		t.Errorf("a database that adds to balances: exit %d, %s rows: %s", got.code, rows(), got.stderr)
	}
	sayTo(t, url, `DROP FUNCTION more CASCADE`)

	file, err := sqlite.OpenConn(r.database, sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(sqlitex.ExecuteTransient(file, `UPDATE clients SET posted = posted + 1 WHERE name = 'Acme'`, nil), file.Close()); err != nil {
		t.Fatal(err)
	}
	got = tally(t.Context(), "", "copy", "--from", r.database, "--to", url)
	if got.code != exitFound || !strings.Contains(got.stderr, "nothing was copied") || rows() != "0" {
		t.Errorf("a file whose balances are off: exit %d, %s rows: %s", got.code, rows(), got.stderr)
	}
}

// sayTo runs statements in a PostgreSQL database and returns what the last one's first row begins with, if there is one.
func sayTo(t *testing.T, url, sql string) string {
	t.Helper()
	pg, err := pgconn.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer pg.Close(t.Context())
	results, err := pg.Exec(t.Context(), sql).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if last := results[len(results)-1]; len(last.Rows) > 0 {
		return string(last.Rows[0][0])
	}
	return ""
}

func TestACopyWhoseEndIsUnknownIsNotToldAsLeftOut(t *testing.T) {
	r := startServer(t)
	work(t, r)
	r.stop()
	url := testserver.Postgres(t).Database(t)
	if got := tally(t.Context(), "", "migrate", "--database", url); got.code != exitOK {
		t.Fatalf("migrate: exit %d: %s", got.code, got.stderr)
	}
	sayTo(t, url, `CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END';
		CREATE CONSTRAINT TRIGGER cut AFTER INSERT ON clients DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION cut()`) // in COMMIT
	got := tally(t.Context(), "", "copy", "--from", r.database, "--to", url)
	if got.code != exitUsage || !strings.Contains(got.stderr, "may hold the copy, or be empty") || strings.Contains(got.stderr, "left as it was") {
		t.Errorf("a connection lost in COMMIT: exit %d: %s", got.code, got.stderr)
	}
	sayTo(t, url, `DROP FUNCTION cut CASCADE`)
	if got := tally(t.Context(), "", "copy", "--from", r.database, "--to", url); got.code != exitOK {
		t.Errorf("again, once the database was seen to be empty: exit %d: %s", got.code, got.stderr)
	}
}

// makePostgres initialises the database.
func makePostgres(t *testing.T, url string) string {
	t.Helper()
	if got := tally(t.Context(), "", "init", "--database", url); got.code != exitOK {
		t.Fatalf("init: exit %d: %s", got.code, got.stderr)
	}
	return url
}

func TestMigratePrintsWhatIsMissingAndAppliesIt(t *testing.T) {
	url := testserver.Postgres(t).Database(t)
	printed := tally(t.Context(), "", "migrate", "--print", "--database", url)
	if printed.code != exitOK || !regexp.MustCompile(`(?s)^BEGIN;.*CREATE TABLE jobs .*COMMIT;\n$`).MatchString(printed.stdout) {
		t.Errorf("print: exit %d: %.200s", printed.code, printed.stdout)
	}
	if got := tally(t.Context(), "", "audit", "--database", url); got.code == exitOK || !strings.Contains(got.stderr, "tallygate migrate") {
		t.Errorf("an audit without a schema: exit %d: %s", got.code, got.stderr)
	}
	for _, want := range []string{"applied", "was there"} {
		got := tally(t.Context(), "", "migrate", "--database", url)
		if got.code != exitOK || !strings.Contains(got.stdout, want) {
			t.Errorf("migrate: exit %d: %s%s; want %q", got.code, got.stdout, got.stderr, want)
		}
	}
	byHand := testserver.Postgres(t).Database(t)
	sayTo(t, byHand, printed.stdout)
	for _, database := range []string{url, byHand} {
		if got := tally(t.Context(), "", "migrate", "--print", "--database", database); got.code != exitOK || got.stdout != "" {
			t.Errorf("nothing is missing, but printed: %s", got.stdout)
		}
	}
	makePostgres(t, byHand)
	if got := tally(t.Context(), "", "migrate", "--database", "file.db"); got.code != exitUsage {
		t.Errorf("migrate of a file: exit %d", got.code)
	}
}

// TestAnOutageIsNotToldAsAWrongName: a script can tell the database's absence from its own mistake.
func TestAnOutageIsNotToldAsAWrongName(t *testing.T) {
	away := "postgres://nobody@127.0.0.1:1/x"
	for url, want := range map[string]int{away: exitUnreachable, testserver.Postgres(t).URL() + "&nonsense=1": exitUsage} {
		for _, command := range []string{"audit", "migrate", "init", "serve"} {
			if got := tally(t.Context(), "", command, "--database", url); got.code != want {
				t.Errorf("%s of %s: exit %d: %s", command, url, got.code, got.stderr)
			}
		}
	}
	if got := tally(t.Context(), "", "audit", "--database", away); !strings.Contains(got.stderr, "remedy: see whether the database runs") {
		t.Errorf("the remedy: %s", got.stderr)
	}
}

func TestWhatIsMeantAsAURLIsNotTakenForAFile(t *testing.T) {
	for text, want := range map[string]bool{
		"tallygate.db": false, "/var/lib/tallygate/a:b@c.db": false, "./a:b@c.db": false, "C.db": false, "a@b.db": false, "": false,
		"postgres://h/x": true, "mysql://h/x": true, "postgres:/u:p@h/x": true, "postgres:x": true, "u:p@h/x": true,
		"postgres//u:p@h/x": true, "redis//:p@h": true, "host=db password=x": true, "backup:a@b.db": true, "backup:a.db": false,
	} {
		if got := isURL(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	for text, want := range map[string]string{"mysql://h/x": "mysql:// is no database", "postgres:/h/x": "neither a file's nor a URL"} {
		if got := tally(t.Context(), "", "audit", "--database", text); got.code != exitUsage || !strings.Contains(got.stderr, want) {
			t.Errorf("%s: exit %d: %s", text, got.code, got.stderr)
		}
	}
}

func TestNoPasswordIsShown(t *testing.T) {
	t.Setenv("TALLYGATE_LIMITER", ":hunter2@redis:6379")
	if got := tally(t.Context(), "", "serve", "--database", filepath.Join(t.TempDir(), "none.db")); got.code != exitUsage ||
		strings.Contains(got.stderr, "hunter2") || !strings.Contains(got.stderr, "must be a URL") {
		t.Errorf("a limiter without a scheme: exit %d: %s", got.code, got.stderr)
	}
	t.Setenv("TALLYGATE_LIMITER", "")
	for _, url := range []string{"postgres://u:hunter2@h/x", "postgres://h/x?user=u&password=hunter2", "postgres://u:hunter2@h/%zz", "postgres:/u:hunter2@h/x", "u:hunter2@h/x",
		"postgres//u:hunter2@h/x", "host=db@h password=hunter2"} {
		if shown := shownURL(url); strings.Contains(shown, "hunter2") {
			t.Errorf("%s is shown as %s", url, shown)
		}
		got := tally(t.Context(), "", "init", "--database", strings.Replace(url, "@h", "@127.0.0.1:1", 1))
		if got.code == exitOK || strings.Contains(got.stdout+got.stderr, "hunter2") {
			t.Errorf("init: exit %d: %s", got.code, got.stderr)
		}
	}
}
