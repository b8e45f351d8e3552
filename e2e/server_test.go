package e2e

import (
	"cmp"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tallygate/tallygate/testserver"
)

// setup says what is special about a server.
type setup struct {
	config   string   // YAML
	listen   string   // empty: a free port
	binary   string   // empty: the tallygate under test as it is
	launcher []string // stands before the binary and its arguments
	env      []string
	attr     *syscall.SysProcAttr
	dir      string // of the database, which is a file then; empty: a temporary one
	file     bool   // the database is a file on either engine: the test is about files
	failing  bool   // its log may tell of panics
}

// server is a tallygate with a database of its own.
type server struct {
	t           testing.TB
	setup       setup
	database    string
	operatorKey string
	process     *process
	url         string
	web         *http.Client
}

// serve initialises a database and serves it until the test ends.
func serve(t testing.TB, with setup) *server {
	t.Helper()
	s := prepare(t, with)
	s.start()
	return s
}

// prepare initialises a database without serving it.
func prepare(t testing.TB, with setup) *server {
	t.Helper()
	s := &server{t: t, setup: with, web: newWeb(t)}
	if with.dir == "" && !with.file && onPostgres() {
		s.database = testserver.Postgres(t).Database(t)
	} else {
		if with.dir == "" {
			with.dir = t.TempDir()
		}
		s.database = filepath.Join(with.dir, "tallygate.db")
	}
	s.operatorKey = run(t, nil, "init", "--database", s.database, "--json").exits(0).json().text("operator_key")
	return s
}

// inFile reports whether the server's database is a file, and not PostgreSQL's.
func (s *server) inFile() bool { return !strings.Contains(s.database, "://") }

// newWeb is a caller's HTTP client: it follows no redirect.
func newWeb(t testing.TB) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     checked{t, transport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       5 * patience, // a call that hangs is told by its own test, before the suite's limit ends them all
	}
}

// start serves the database; a server that was stopped starts again, on the same port where one was asked for.
func (s *server) start() {
	s.t.Helper()
	listen := s.setup.listen
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	config := s.setup.config
	if !strings.Contains(config, "shed_delay:") {
		config += "shed_delay: 1m\n" // the machine may be slow: what is not about overload is not to meet it
	}
	path := filepath.Join(s.t.TempDir(), "tallygate.yaml")
	write(s.t, path, config)
	line := append([]string{}, s.setup.launcher...)
	line = append(line, cmp.Or(s.setup.binary, binary), "serve", "--listen", listen, "--database", s.database, "--config", path)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = append(os.Environ(), s.setup.env...)
	cmd.SysProcAttr = s.setup.attr
	s.process = spawn(s.t, cmd)
	s.t.Cleanup(func() { s.inspect() })
	url := s.process.said(s.t, "tallygate listening on ")
	if !strings.HasPrefix(url, "http://127.0.0.1:") {
		s.t.Fatalf("the server listens on %q", url)
	}
	if url != s.url { // whoever calls while the server is away goes on to read the same
		s.url = url
	}
}

// stop ends the server as a deploy does, and makes sure that it went in order.
func (s *server) stop() {
	s.t.Helper()
	s.process.signal(syscall.SIGTERM)
	if code := s.process.exitCode(s.t); code != 0 {
		s.t.Errorf("the server ended with %d after SIGTERM:\n%s", code, s.process.stderr)
	}
	s.inspect()
	s.web.CloseIdleConnections()
}

// kill ends the server without a word, as the kernel does when memory runs out.
func (s *server) kill() {
	s.process.signal(syscall.SIGKILL)
	<-s.process.ended
	s.inspect()
	s.web.CloseIdleConnections()
}

// inspect reads the log for what must never be in it.
func (s *server) inspect() {
	s.t.Helper()
	log := s.process.stderr.String()
	marks := []string{"DATA RACE", "fatal error:", "tg_live_"}
	if !s.setup.failing {
		marks = append(marks, `"msg":"panic"`, "panic:")
	}
	for _, mark := range marks {
		if i := strings.Index(log, mark); i >= 0 {
			s.t.Errorf("the log holds %q:\n%s", mark, log[max(0, i-500):min(len(log), i+6000)])
		}
	}
}

// audit has the ledger proved and fails on any finding.
func (s *server) audit() value {
	s.t.Helper()
	report := run(s.t, nil, "audit", "--database", s.database, "--json").exits(0).json()
	if findings := report.list("findings"); len(findings) > 0 {
		s.t.Fatalf("the audit found %s", findings)
	}
	return report
}
