//go:build soak

package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tallygate/tallygate/testserver"
)

// aheadVariable says how far the clock of a program that buildAhead made is ahead, in whole seconds such as -10s.
const aheadVariable = "TALLYGATE_TEST_AHEAD"

const aheadSource = `package time

import "syscall"

var ahead = func() int64 {
	text, _ := syscall.Getenv("` + aheadVariable + `")
	d, _ := ParseDuration(text)
	return int64(d / Second)
}()
`

// buildAhead builds a tallygate whose whole process has the wrong time: by a Go library of whose time.Now the wall
// clock, and not the monotonic one, is off. All is compiled anew for it, which takes minutes where nothing is cached.
func buildAhead(t *testing.T) (program string) {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	library, dir := filepath.Join(strings.TrimSpace(string(root)), "src", "time"), t.TempDir()
	source, err := os.ReadFile(filepath.Join(library, "time.go"))
	if err != nil {
		t.Fatal(err)
	}
	const begin, reading = "\nfunc Now() Time {\n", "sec, nsec, mono := runtimeNow()\n"
	before, after, found := strings.Cut(string(source), begin+"\t"+reading)
	if !found {
		t.Fatalf("time.Now of this Go does not begin with %q", reading)
	}
	replaced := map[string]string{filepath.Join(library, "time.go"): filepath.Join(dir, "time.go"), filepath.Join(library, "ahead.go"): filepath.Join(dir, "ahead.go")}
	write(t, filepath.Join(dir, "time.go"), before+begin+"\t"+reading+"\tsec += ahead\n"+after)
	write(t, filepath.Join(dir, "ahead.go"), aheadSource)
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "overlay.json"), string(overlay))
	program = filepath.Join(dir, "tallygate")
	if said, err := build("-overlay", filepath.Join(dir, "overlay.json"), "-o", program, "./cmd/tallygate"); err != nil {
		t.Fatalf("build a server whose clock is off: %v\n%s", err, said)
	}
	return program
}

// serveApart serves a database by nodes whose clocks are ahead by so much.
func serveApart(t *testing.T, ahead ...time.Duration) *cluster {
	t.Helper()
	program := buildAhead(t)
	c := &cluster{t: t, admin: testserver.NewPostgres(t, testserver.PostgresOptions{}).Database(t)}
	key := run(t, nil, "init", "--database", c.admin, "--json").exits(0).json().text("operator_key")
	for _, d := range ahead {
		s := c.addNode(c.admin, key, setup{binary: program, env: []string{aheadVariable + "=" + d.String()}})
		if off := s.ahead() - d; off.Abs() > 4*time.Second {
			t.Fatalf("the clock of a node is ahead by %v more than the %v that were asked for", off, d)
		}
	}
	return c
}

// ahead is how far the server's clock is ahead of the test's, within a second or so.
func (s *server) ahead() time.Duration {
	s.t.Helper()
	res, err := http.Get(s.url + "/healthz") // not by s.web, which first reads the API's description
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	date, err := http.ParseTime(res.Header.Get("Date"))
	if err != nil {
		s.t.Fatal(err)
	}
	return time.Until(date)
}

// TestNodesWhoseClocksDifferLoseNothing, and nothing ends before its time or late.
func TestNodesWhoseClocksDifferLoseNothing(t *testing.T) {
	t.Parallel()
	c := serveApart(t, 20*time.Second, 0, -10*time.Second)
	c.settled()
	first := c.nodes[0]
	first.define(t, "brief", pullType(object{"lease": "3s"}))
	client, w := first.newClient(t, "10", unbounded), first.newWorker(t)
	b := c.beginLoad()
	for i, here := range c.nodes {
		there := c.nodes[(i+1)%len(c.nodes)]

		begun := time.Now()
		id := client.at(here).post("/v1/jobs", object{"type": "brief", "input": object{}}).ok().text("id")
		worker{w.at(here)}.lease("brief") // and its worker falls silent
		again := worker{w.at(there)}.lease("brief")
		onTime(t, "the end of a lease", begun, 3*time.Second)
		if again.job != id {
			t.Errorf("job %s was leased, want %s", again.job, id)
		}
		worker{w.at(here)}.succeed(again, 1).ok()

		begun = time.Now()
		made := client.at(here).post("/v1/api-keys", object{"name": "brief", "permissions": []string{"account:read"},
			"expires_at": begun.Add(5 * time.Second).UTC().Format(time.RFC3339Nano)}).ok()
		there.as(t, made.text("key")).get("/v1/account").ok()
		there.as(t, made.text("key")).onceRefused("/v1/account").refused("EXPIRED_API_KEY")
		onTime(t, "the end of a key", begun, 5*time.Second)
		for _, s := range c.nodes {
			if got := client.at(s).get("/v1/api-keys/" + made.text("id")).ok().text("status"); got != "expired" {
				t.Errorf("a key whose end has come is told to be %s", got)
			}
		}
	}
	c.faults(b, kills(t)/5, func() {
		node := c.nodes[b.random.IntN(len(c.nodes))]
		node.kill()
		b.succeed(t, 50) // at the others
		node.start()
	})
	c.judge(b)
}

// onTime makes sure that something that takes so long is seen when it ends. A clock that was believed would be off by
// ten seconds or more.
func onTime(t *testing.T, what string, begun time.Time, span time.Duration) {
	t.Helper()
	if took := time.Since(begun); took < span-50*time.Millisecond || took > span+8*time.Second {
		t.Errorf("%s came after %v, want %v", what, took, span)
	}
}
