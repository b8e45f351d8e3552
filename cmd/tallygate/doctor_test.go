package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/testserver"
)

// examined are the results of doctor by check.
func examined(t *testing.T, args ...string) (code int, results map[string]check) {
	t.Helper()
	var stdout, stderr buffer
	code = run(t.Context(), append([]string{"doctor", "--json"}, args...), process{strings.NewReader(""), &stdout, &stderr, time.Now})
	var found struct{ Data []check }
	if err := json.Unmarshal([]byte(stdout.String()), &found); err != nil {
		t.Fatalf("exit %d: %s%s", code, stdout.String(), stderr.String())
	}
	results = map[string]check{}
	for _, c := range found.Data {
		if results[c.Check].Result == "" || c.Result != "ok" {
			results[c.Check] = c
		}
		if c.Result != "ok" && c.Remedy == "" {
			t.Errorf("%s: %s without a remedy", c.Check, c.Result)
		}
	}
	return code, results
}

func wantResults(t *testing.T, results map[string]check, want map[string]string) {
	t.Helper()
	for name, result := range want {
		if results[name].Result != result {
			t.Errorf("%s: %+v, want %s", name, results[name], result)
		}
	}
}

func TestDoctorFindsARunningServerWell(t *testing.T) { onEachEngine(t, doctorFindsWell) }

func doctorFindsWell(t *testing.T, s running) {
	code, results := examined(t, "--config", s.config, "--database", s.database, "--url", s.url, "--key", s.operatorKey)
	if code != exitOK {
		t.Errorf("exit %d", code)
	}
	wantResults(t, results, map[string]string{"configuration": "ok", "job types": "ok", "database": "ok", "clock": "ok", "server": "ok",
		"server's clock": "ok", "API key": "ok"})
	if s.inFile() {
		wantResults(t, results, map[string]string{"file permissions": "ok", "lock": "ok", "integrity": "ok"})
		if !strings.Contains(results["lock"].Detail, "a server holds") {
			t.Errorf("the lock: %s", results["lock"].Detail)
		}
	} else {
		wantResults(t, results, map[string]string{"database server": "ok", "durability": "ok", "database's clock": "ok"})
	}
	if code, results := examined(t, "--database", s.database, "--url", s.url, "--key", "tg_live_wrong"); code != exitFound || results["API key"].Result != "fail" {
		t.Errorf("a wrong key: exit %d, %+v", code, results["API key"])
	}
}

func TestDoctorFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	typo := write("typo.yaml", "lisen: x\n", 0o600)
	schema := write("schema.yaml", "job_types: [{name: a, input_schema: {type: 3}}]\n", 0o600)
	secret := write("secret.yaml", "job_types: [{name: a, executor: {kind: http, url: 'http://x/', secret: s}}]\n", 0o644)
	junk := write("junk.db", strings.Repeat("junk\n", 1000), 0o644)
	empty := write("empty.db", "", 0o600)
	for _, test := range []struct {
		args []string
		want map[string]string
	}{
		{[]string{"--config", typo}, map[string]string{"configuration": "fail"}},
		{[]string{"--config", schema}, map[string]string{"configuration": "ok", "job types": "fail"}},
		{[]string{"--config", secret, "--database", filepath.Join(dir, "none.db")}, map[string]string{"file permissions": "warn", "database": "fail"}},
		{[]string{"--database", junk}, map[string]string{"file permissions": "warn", "database": "fail"}},
		{[]string{"--database", empty}, map[string]string{"file permissions": "ok", "database": "fail"}},
		{[]string{"--database", "postgres://localhost/x"}, map[string]string{"database": "fail"}},
	} {
		code, results := examined(t, append(test.args, "--url", "http://127.0.0.1:1")...)
		if code != exitFound {
			t.Errorf("%v: exit %d", test.args, code)
		}
		test.want["server"] = "warn"
		wantResults(t, results, test.want)
	}
}

func TestDoctorHasTheLimiterDecide(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t, "--requirepass", "hunter2")
	with := strings.Replace(server.URL, "redis://", "redis://:hunter2@", 1)
	for url, want := range map[string]string{with: "ok", server.URL: "fail", "redis://127.0.0.1:1": "fail", with + "/notanumber": "fail", "http://127.0.0.1:1": "fail"} {
		_, results := examined(t, "--limiter", url, "--url", "http://127.0.0.1:1")
		if got := results["limiter"]; got.Result != want || strings.Contains(got.Detail, "hunter2") {
			t.Errorf("%s: %+v, want %s", url, got, want)
		}
	}
}

func TestDoctorKnowsAClockThatStandsBack(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "tallygate.db")
	server := testserver.NewPostgres(t, testserver.PostgresOptions{}).Database(t)
	for database, want := range map[string]struct {
		line string
		code int
	}{
		file:   {"fail  clock", exitFound},
		server: {"warn  database's clock", exitOK}, // by which everything goes, and which is right
	} {
		if r := tally(t.Context(), "", "init", "--database", database); r.code != exitOK {
			t.Fatal(r.stderr)
		}
		early := func() time.Time { return time.Now().Add(-time.Hour) }
		var stdout, stderr buffer
		code := run(t.Context(), []string{"doctor", "--database", database, "--url", "http://127.0.0.1:1"}, process{strings.NewReader(""), &stdout, &stderr, early})
		if code != want.code || !strings.Contains(stdout.String(), want.line) {
			t.Errorf("exit %d: %s", code, stdout.String())
		}
	}
}

func TestWhereAServerIsReached(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:8080": "http://127.0.0.1:8080", ":8080": "http://127.0.0.1:8080", "0.0.0.0:80": "http://127.0.0.1:80",
		"[::]:80": "http://127.0.0.1:80", "[::1]:80": "http://[::1]:80", "jobs.example:80": "http://jobs.example:80",
	} {
		if got := urlOf(listen); got != want {
			t.Errorf("%s is reached at %s, want %s", listen, got, want)
		}
	}
}

func TestAuditFindingsAreShown(t *testing.T) {
	report := &tallygate.AuditReport{
		Clients: 2, Entries: 1234, LiveJobs: 1, EndedJobs: 5,
		Statements: []string{"every balance equals its entries", "a job is either live or ended"},
		Findings:   []tallygate.AuditFinding{{Statement: "every balance equals its entries", Subject: "cl_1", Detail: "posted 1.00, entries 2.00"}},
	}
	for _, asJSON := range []bool{false, true} {
		var b bytes.Buffer
		a := &app{process: process{stdout: &b, now: time.Now}, json: asJSON}
		if err := a.showAudit(report); err != nil {
			t.Fatal(err)
		}
		golden(t, map[bool]string{false: "audit", true: "audit_json"}[asJSON], b.String())
	}
}
