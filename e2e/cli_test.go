package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The exit codes that the help of the command lists.
const (
	exitDone      = 0
	exitUsage     = 2
	exitKey       = 3
	exitForbidden = 4
	exitRequest   = 5
	exitNotFound  = 6
	exitJob       = 9
	exitAway      = 10
	exitFound     = 11
)

// terminal is somebody at a command line, with a key in the environment.
type terminal struct {
	t   testing.TB
	env []string
}

func (c caller) terminal() terminal {
	return terminal{c.t, []string{"TALLYGATE_URL=" + c.server.url, "TALLYGATE_KEY=" + c.key}}
}

// run runs a command with --json.
func (c terminal) run(args ...string) ran {
	c.t.Helper()
	return run(c.t, c.env, append(args, "--json")...)
}

func TestCommandsOfTheOperator(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{})
	op := s.operator(t).terminal()

	id := op.run("client", "create", "Acme", "--metadata", "plan=pro").exits(exitDone).json().text("id")
	if c := op.run("client", "get", id).exits(exitDone).json(); c.text("name") != "Acme" || c.text("metadata.plan") != "pro" {
		t.Errorf("the client is %s", c)
	}
	op.run("client", "update", id, "--name", "Zenith").exits(exitDone)
	if list := op.run("client", "list").exits(exitDone).json().list("data"); list[0].text("name") != "Zenith" {
		t.Errorf("the clients are %s", list)
	}
	op.run("credit", "add", id, "25.00", "--note", "invoice 1042", "--idempotency-key", "invoice-1042").exits(exitDone)
	op.run("credit", "add", id, "25.00", "--note", "invoice 1042", "--idempotency-key", "invoice-1042").exits(exitDone)
	if list := op.run("credit", "list", id).exits(exitDone).json().list("data"); len(list) != 1 || list[0].text("posted") != "25.00" {
		t.Errorf("the ledger is %s", list)
	}
	if c := op.run("client", "suspend", id).exits(exitDone).json(); c.text("status") != "suspended" {
		t.Errorf("the client is %s", c)
	}
	if c := op.run("client", "activate", id).exits(exitDone).json(); c.text("status") != "active" {
		t.Errorf("the client is %s", c)
	}
}

func TestCommandsForKeys(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{})
	op, c := s.operator(t).terminal(), s.newClient(t, "1")
	made := op.run("key", "create", "--client", c.id, "--name", "ci", "--permission", "preset:submit", "--expires", "720h").exits(exitDone).json()
	own := s.as(t, made.text("key")).terminal()
	own.run("job", "list").exits(exitDone)
	own.run("key", "list").exits(exitForbidden)
	if k := op.run("key", "get", made.text("id")).exits(exitDone).json(); k.text("name") != "ci" {
		t.Errorf("the key is %s", k)
	}
	next := op.run("key", "rotate", made.text("id"), "--overlap", "1h").exits(exitDone).json()
	s.as(t, next.text("key")).terminal().run("job", "list").exits(exitDone)
	op.run("key", "revoke", next.text("id")).exits(exitDone)
	if r := s.as(t, next.text("key")).terminal().run("job", "list").exits(exitKey); !strings.Contains(r.stderr, "enerate a new API key") {
		t.Errorf("no remedy in %s", r.stderr)
	}
}

func TestCommandsForJobs(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{})
	types := filepath.Join(t.TempDir(), "types.yaml")
	write(t, types, `
- name: text.stats
  price: {base: 0.01, units: {page: {price: 0.002, max: 100}}}
  executor: {kind: pull}
- name: other
  executor: {kind: pull}
`)
	op, customer := s.operator(t).terminal(), s.newClient(t, "10")
	op.run("job-type", "apply", types).exits(exitDone)
	op.run("job-type", "delete", "other").exits(exitDone)
	c := customer.terminal()
	if list := c.run("job-type", "list").exits(exitDone).json().list("data"); len(list) != 1 || list[0].text("price.units.page.price") != "0.002" {
		t.Errorf("the job types are %s", list)
	}

	id := c.run("job", "submit", metered, "--input", `{"text":"to be"}`, "--metadata", "order=7").exits(exitDone).json().text("id")
	c.run("job", "result", id).exits(exitRequest)
	if list := c.run("job", "list", "--metadata", "order=7", "--status", "queued").exits(exitDone).json().list("data"); len(list) != 1 {
		t.Errorf("the jobs are %s", list)
	}
	if j := c.run("job", "cancel", id).exits(exitDone).json(); j.text("status") != "cancelled" {
		t.Errorf("the job is %s", j)
	}

	w := s.newWorker(t)
	waits := func(report func(l lease)) *process {
		cmd := exec.Command(binary, "job", "submit", metered, "--wait", "--json")
		cmd.Env = append(os.Environ(), c.env...)
		p := spawn(t, cmd)
		l := w.lease(metered)
		w.post("/v1/worker/jobs/"+l.job+"/heartbeat", object{"token": l.token, "progress": 0.5, "logs": []string{"half of it"}}).ok()
		report(l)
		return p
	}
	p := waits(func(l lease) { w.succeed(l, 12).ok() })
	if code := p.exitCode(t); code != exitDone {
		t.Fatalf("job submit --wait ended with %d:\n%s", code, p.stderr)
	}
	job := decode(t, "job submit --wait", []byte(p.stdout.String()))
	if job.text("status") != "succeeded" || job.text("receipt.charged") != "0.034" {
		t.Errorf("the job is %s", job)
	}
	if got := c.run("job", "result", job.text("id")).exits(exitDone).json(); got.number("words") != 2 {
		t.Errorf("the result is %s", got)
	}
	if logs := run(t, c.env, "job", "logs", job.text("id")).exits(exitDone); !strings.Contains(logs.stdout, "half of it") {
		t.Errorf("the logs are %q", logs.stdout)
	}
	c.run("job", "watch", job.text("id")).exits(exitDone)

	p = waits(func(l lease) { w.fail(l, false).ok() })
	if code := p.exitCode(t); code != exitJob {
		t.Errorf("job submit --wait of a job that fails ended with %d, want %d", code, exitJob)
	}
	failed := decode(t, "job submit --wait", []byte(p.stdout.String()))
	c.run("job", "result", failed.text("id")).exits(exitJob)
}

func TestExitCodesTellFailuresApart(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{})
	c := s.newClient(t, "").terminal()
	c.run("client", "list").exits(exitForbidden)
	c.run("job", "get", "job_0000000000000000000000000a").exits(exitNotFound)
	c.run("job", "submit", "no.such.type").exits(exitNotFound)
	c.run("job", "list", "--cursor", "nonsense").exits(exitRequest)
	c.run("job", "submit", metered, "--input", "{").exits(exitUsage)
	c.run("job", "fly").exits(exitUsage)
	run(t, []string{"TALLYGATE_URL=" + s.url, "TALLYGATE_KEY="}, "job", "list").exits(exitKey)
	run(t, []string{"TALLYGATE_URL=http://" + closedAddress(t), "TALLYGATE_KEY=" + s.operatorKey}, "job", "list").exits(exitAway)
	run(t, nil, "version", "--json").exits(exitDone).json()
	run(t, nil, "--help").exits(exitDone)
}

func TestServeRefusesWhatItCannotServe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fresh, config := filepath.Join(dir, "fresh.db"), filepath.Join(dir, "tallygate.yaml")
	run(t, nil, "serve", "--listen", "127.0.0.1:0", "--database", fresh).exits(exitUsage)
	s := serve(t, setup{file: true})
	run(t, nil, "init", "--database", s.database).exits(exitUsage)
	run(t, nil, "serve", "--listen", "127.0.0.1:0", "--database", s.database).exits(exitUsage)
	run(t, nil, "serve", "--listen", "127.0.0.1:0", "--database", dir).exits(exitUsage)
	write(t, config, "listen: 127.0.0.1:0\nmax_boddy: 1MiB\n")
	r := run(t, nil, "serve", "--config", config, "--database", s.database).exits(exitUsage)
	if !strings.Contains(r.stderr, "line 2") || !strings.Contains(r.stderr, "max_body") {
		t.Errorf("the fault is not named with its line and the nearest setting: %s", r.stderr)
	}
	write(t, fresh, strings.Repeat("no database ", 1000))
	run(t, nil, "serve", "--listen", "127.0.0.1:0", "--database", fresh).exits(exitUsage)
	s.operator(t).get("/v1/account").ok() // the one that runs is not disturbed
}

func TestConfiguredJobTypesAreThere(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{config: "job_types:\n  - name: text.stats\n    price: {base: 0.01}\n    executor: {kind: pull}\n"})
	c := s.newClient(t, "1")
	c.submit(metered)
	s.stop()
	s.start()
	if got := s.operator(t).get("/v1/job-types/" + metered).ok(); got.number("price_version") != 1 {
		t.Errorf("%s: want the first version of the price, since it never changed", got)
	}
}

func TestKeyScanFindsALeakedKey(t *testing.T) {
	t.Parallel()
	dir, key := t.TempDir(), prepare(t, setup{}).operatorKey
	write(t, filepath.Join(dir, "clean.txt"), "tg_live_ and nothing that is a key: "+flip(key, 40)+"\n")
	run(t, nil, "key", "scan", dir).exits(exitDone)
	write(t, filepath.Join(dir, "leak.env"), "A=1\nTALLYGATE_KEY="+key+"\n")
	r := run(t, nil, "key", "scan", "--json", dir).exits(exitFound)
	found := r.json().list("data")
	if len(found) != 1 || found[0].number("line") != 2 || filepath.Base(found[0].text("path")) != "leak.env" ||
		!strings.HasPrefix(found[0].text("key_id"), "key_") {
		t.Errorf("found %s", found)
	}
	if strings.Contains(r.stdout+r.stderr, key) {
		t.Error("the scan prints the key that it found")
	}
	runCommand(t, binary, nil, "key: "+key, "key", "scan", "-").exits(exitFound)
}

func TestAuditFindsWhatDoesNotAddUp(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{})
	s.define(t, metered, pullType())
	c := s.newClient(t, "10")
	c.submit(metered)
	s.audit() // beside the running server
	s.stop()
	s.audit()
	db := s.openDatabase()
	db.exec(`UPDATE clients SET posted = posted + 1 WHERE id = '` + c.id + `'`)
	db.close()
	findings := run(t, nil, "audit", "--database", s.database, "--json").exits(exitFound).json().list("findings")
	if len(findings) == 0 || findings[0].text("subject") != c.id {
		t.Errorf("the findings are %s, want one of client %s", findings, c.id)
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
