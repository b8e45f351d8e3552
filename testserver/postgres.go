package testserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tallygate/tallygate/child"
)

// PostgresVariable names the environment variable that may hold the URL of a superuser on a running PostgreSQL: Postgres then
// gives databases of that server.
const PostgresVariable = "TALLYGATE_TEST_POSTGRES"

// PostgresServer is a PostgreSQL whose superuser needs no password.
type PostgresServer struct {
	t        testing.TB // whose it is; nil: every test's
	url      string
	bin      string // the folder of PostgreSQL's programs
	folder   string
	port     int
	process  *child.Child
	log      *log
	standbys []string // the names of the synchronous ones
}

// PostgresOptions says how a server of a test's own differs.
type PostgresOptions struct {
	Settings map[string]string // of postgresql.conf
	TLS      bool              // it takes connections with TLS, too, by a certificate for which Authority vouches
}

// settings are those of every server: no file outside its folder, no socket beside its port.
var settings = map[string]string{
	"listen_addresses":           "127.0.0.1",
	"unix_socket_directories":    "",
	"dynamic_shared_memory_type": "mmap",
	"shared_buffers":             "32MB",
	"log_line_prefix":            "%m [%p] ",
}

// hasty are those of the server that all tests share: what it loses in a crash, nobody misses.
var hasty = map[string]string{"fsync": "off", "full_page_writes": "off", "max_connections": "300"}

// Postgres is the server that all tests of a process share, started with the first; Database gives a test its own
// place there. Nobody stops it: a test that wants to uses NewPostgres.
func Postgres(t testing.TB) *PostgresServer {
	t.Helper()
	s, err := Shared()
	must(t, err)
	return s
}

// Shared is the server of Postgres, for a program that is no test.
func Shared() (*PostgresServer, error) { return sharedOnce() }

var sharedOnce = sync.OnceValues(shared)

func shared() (*PostgresServer, error) {
	if given := os.Getenv(PostgresVariable); given != "" {
		if _, err := query(context.Background(), given, "SELECT 1"); err != nil {
			return nil, fmt.Errorf("%s is set, but its server does not answer (start it, or unset the variable): %w", PostgresVariable, err)
		}
		return &PostgresServer{url: given}, nil
	}
	return newPostgres(nil, PostgresOptions{Settings: hasty})
}

// NewPostgres starts a server of the test's own, which keeps what it has committed.
func NewPostgres(t testing.TB, options PostgresOptions) *PostgresServer {
	t.Helper()
	s, err := newPostgres(t, options)
	must(t, err)
	t.Cleanup(s.remove)
	return s
}

func newPostgres(t testing.TB, options PostgresOptions) (*PostgresServer, error) {
	bin, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	fresh, err := initdb(bin)
	if err != nil {
		return nil, err
	}
	folder, err := newFolder("postgres")
	if err != nil {
		return nil, err
	}
	s := &PostgresServer{t: t, bin: bin, folder: folder, log: &log{}}
	if _, err := run(context.Background(), folder, "cp", "-a", fresh, s.data()); err != nil {
		return nil, err
	}
	all := maps.Clone(settings)
	maps.Copy(all, options.Settings)
	if options.TLS {
		all["ssl"] = "on"
		if err := s.certify(); err != nil {
			return nil, err
		}
	}
	if err := s.configure("postgresql.conf", all); err != nil {
		return nil, err
	}
	return s, onFreePort(s.startOn)
}

// postgresPrograms finds the folder of initdb and its companions: in PATH, else Debian's newest.
func postgresPrograms() (string, error) {
	folders, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // fails on a bad pattern only
	version := func(folder string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(folder)))
		return n
	}
	slices.SortFunc(folders, func(a, b string) int { return version(b) - version(a) })
	programs := []string{"initdb"}
	for _, folder := range folders {
		programs = append(programs, folder+"/initdb")
	}
	program, err := find("apt-get install postgresql; set "+PostgresVariable+" to a server's URL for the tests that need none of their own", programs...)
	if err != nil {
		return "", err
	}
	program, err = filepath.EvalSymlinks(program)
	return filepath.Dir(program), err
}

var fresh struct {
	sync.Mutex
	data string
}

// initdb makes the folder that those of all servers are copies of. Text sorts there as English does, as on most people's
// servers, not by bytes: a statement that depends on it shows in a test.
func initdb(bin string) (string, error) {
	fresh.Lock()
	defer fresh.Unlock()
	if fresh.data != "" {
		return fresh.data, nil
	}
	folder, err := newFolder("initdb")
	if err != nil {
		return "", err
	}
	data := filepath.Join(folder, "data")
	_, err = run(context.Background(), folder, filepath.Join(bin, "initdb"), "--pgdata="+data, "--username=postgres", "--auth=trust", "--no-sync",
		"--encoding=UTF8", "--locale=C", "--locale-provider=icu", "--icu-locale=en-US")
	if err == nil {
		fresh.data = data
	}
	return data, err
}

func (s *PostgresServer) data() string { return filepath.Join(s.folder, "data") }

// configure adds settings to the end of a file, where they win.
func (s *PostgresServer) configure(file string, settings map[string]string) error {
	f, err := os.OpenFile(filepath.Join(s.data(), file), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if _, err := fmt.Fprintf(f, "%s = %s\n", name, literal(settings[name])); err != nil {
			return err
		}
	}
	return nil
}

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// URL is the superuser's, in the database that every server has.
func (s *PostgresServer) URL() string { return s.url }

// Database makes an empty database for the test, which goes with it, and returns its URL.
func (s *PostgresServer) Database(t testing.TB) string {
	t.Helper()
	name := "test_" + strings.ToLower(rand.Text())
	if _, err := query(t.Context(), s.url, "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
		t.Fatal(err)
	}
	if s.t == nil { // a test's own server goes, too, and may have been stopped
		t.Cleanup(func() {
			if _, err := query(context.Background(), s.url, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
				t.Error(err)
			}
		})
	}
	u := parse(s.url)
	u.Path = "/" + name
	return u.String()
}

// Start starts the server again, on its port, and returns when it answers.
func (s *PostgresServer) Start() {
	s.mine().Helper()
	must(s.t, s.start())
}

func (s *PostgresServer) startOn(port int) error {
	s.port, s.url = port, "postgres://postgres@"+address(port)+"/postgres?sslmode=disable"
	return s.start()
}

// start starts the server and waits until it answers.
func (s *PostgresServer) start() error {
	spec, err := spec(s.folder, s.log, filepath.Join(s.bin, "postgres"), "-D", s.data(), "-p", strconv.Itoa(s.port))
	if err != nil {
		return err
	}
	process, err := child.Start(context.Background(), spec)
	if err != nil {
		return err
	}
	s.process = process
	err = await(context.Background(), s.process.Ended(), func(ctx context.Context) error {
		_, err := query(ctx, s.url, "SELECT 1")
		return err
	})
	if err != nil {
		return fmt.Errorf("PostgreSQL does not start: %w; its log ends:\n%s", errors.Join(err, s.kill()), s.log)
	}
	return nil
}

// Stop ends the server: "fast" disconnects everybody and writes all to disk, "immediate" leaves that to the recovery of
// the next start.
func (s *PostgresServer) Stop(mode string) {
	s.mine().Helper()
	signals := map[string]syscall.Signal{"fast": syscall.SIGINT, "immediate": syscall.SIGQUIT}
	if signals[mode] == 0 {
		s.t.Fatalf("stopping PostgreSQL: mode %q: say fast or immediate", mode)
	}
	signal(s.process, signals[mode])
	must(s.t, s.awaitEnd())
}

// Restart is a fast Stop and a Start.
func (s *PostgresServer) Restart() {
	s.mine().Helper()
	s.Stop("fast")
	s.Start()
}

// Kill ends the server and all its processes as a crash of the machine would, but for what the system has yet to write.
func (s *PostgresServer) Kill() {
	s.mine().Helper()
	must(s.t, s.kill())
}

// kill holds the first process first, so that it neither starts others nor puts an end to them in order.
func (s *PostgresServer) kill() error {
	select {
	case <-s.process.Ended():
		return nil
	default:
	}
	signal(s.process, syscall.SIGSTOP)
	family := children(s.process.PID())
	for _, pid := range family {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
	}
	signal(s.process, syscall.SIGKILL)
	if err := s.awaitEnd(); err != nil {
		return err
	}
	return await(context.Background(), nil, func(context.Context) error {
		for _, pid := range family {
			if runs(pid) {
				return fmt.Errorf("PostgreSQL's process %d still runs", pid)
			}
		}
		return nil
	})
}

func (s *PostgresServer) awaitEnd() error {
	select {
	case <-s.process.Ended():
		return nil
	case <-time.After(patience):
		return fmt.Errorf("PostgreSQL does not end: not after %v; its log ends:\n%s", patience, s.log)
	}
}

// remove ends a server with its test. The segment that it guarded its folder with stays until the next start, which
// never comes, so it goes here.
func (s *PostgresServer) remove() {
	if err := s.kill(); err != nil {
		s.t.Error(err)
	}
	if lines, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid")); err == nil {
		if line := strings.Split(string(lines), "\n"); len(line) > 6 {
			if key := strings.Fields(line[6]); len(key) == 2 {
				_, _ = run(context.Background(), s.folder, "ipcrm", "-m", key[1])
			}
		}
	}
	if err := os.RemoveAll(s.folder); err != nil {
		s.t.Error(err)
	}
}

// mine is the test whose server this is.
func (s *PostgresServer) mine() testing.TB {
	if s.t == nil {
		panic("testserver: this PostgreSQL is every test's: stop and start one of NewPostgres")
	}
	return s.t
}

// query runs a statement on a connection of its own and returns the first row's only column, if there is one.
func query(ctx context.Context, url, statement string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := pgconn.Connect(ctx, url)
	if err != nil {
		return "", err
	}
	defer c.Close(ctx) //nolint:errcheck // it is no longer needed
	results, err := c.Exec(ctx, statement).ReadAll()
	if err != nil {
		return "", fmt.Errorf("%s: %w", statement, err)
	}
	if last := results[len(results)-1]; len(last.Rows) > 0 {
		return string(last.Rows[0][0]), nil
	}
	return "", nil
}
