package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/queue"
	"github.com/tallygate/tallygate/ratelimit/redis"
	sdk "github.com/tallygate/tallygate/sdk/go"
	"github.com/tallygate/tallygate/store/postgres"
	"github.com/tallygate/tallygate/store/sqlite"
)

type doctorCmd struct {
	settingFlags
}

func (doctorCmd) Help() string {
	return "Takes the same settings as serve, changes nothing, and prints each check with its result and the remedy. Exits with 11 when one fails.\n\nExamples:\n\n" +
		"    tallygate doctor --config tallygate.yaml\n" +
		"    tallygate doctor --database tallygate.db --json\n"
}

// check is one thing that doctor looked at.
type check struct {
	Check  string `json:"check"`
	Result string `json:"result"` // ok, warn or fail
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

// examination collects the checks.
type examination struct {
	app    *app
	checks []check
}

func (e *examination) ok(name, format string, args ...any) {
	e.checks = append(e.checks, check{name, "ok", fmt.Sprintf(format, args...), ""})
}

func (e *examination) warn(name, remedy, format string, args ...any) {
	e.checks = append(e.checks, check{name, "warn", fmt.Sprintf(format, args...), remedy})
}

func (e *examination) fail(name, remedy, format string, args ...any) {
	e.checks = append(e.checks, check{name, "fail", fmt.Sprintf(format, args...), remedy})
}

func (c *doctorCmd) Run(ctx context.Context, a *app) error {
	e := &examination{app: a}
	settings := e.configuration(c.settingFlags)
	if isURL(settings.Database) {
		e.databaseServer(ctx, settings.Database)
	} else {
		e.database(ctx, settings.Database)
		e.disk(settings.Database)
	}
	if settings.Limiter != "" {
		e.limiter(ctx, settings.Limiter)
	}
	e.openFiles(&settings)
	e.server(ctx, &settings)
	if err := ctx.Err(); err != nil {
		return err
	}
	return e.show()
}

// show prints the checks, and fails when one of them does.
func (e *examination) show() error {
	a, failed := e.app, 0
	for _, c := range e.checks {
		if c.Result == "fail" {
			failed++
		}
	}
	if a.json {
		if err := a.printValue(map[string]any{"data": e.checks}); err != nil {
			return err
		}
	} else {
		width := 0
		for _, c := range e.checks {
			width = max(width, len(c.Check))
		}
		for _, c := range e.checks {
			fmt.Fprintf(a.stdout, "%s  %-*s  %s\n", a.paint(statusColour(c.Result), fmt.Sprintf("%-4s", c.Result)), width, c.Check, plain(c.Detail))
			if c.Remedy != "" {
				fmt.Fprintf(a.stdout, "      %-*s  %s\n", width, "", a.paint(faint, "remedy: "+plain(c.Remedy)))
			}
		}
	}
	if failed > 0 {
		return &exitError{code: exitFound, err: fmt.Errorf("%d of %d checks failed", failed, len(e.checks))}
	}
	return nil
}

// configuration reads the settings and the job types as serve would.
func (e *examination) configuration(flags settingFlags) config {
	settings, err := flags.load()
	source := "defaults, flags and environment"
	if flags.Config != "" {
		source = flags.Config
	}
	if err != nil {
		e.fail("configuration", "mend the settings; see `tallygate serve --help`", "%v", err)
		return settings
	}
	e.ok("configuration", "%s", source)
	if flags.Config != "" {
		e.secrets(flags.Config, &settings)
	}
	if len(settings.JobTypes) == 0 {
		return settings
	}
	if _, err := jobTypes(settings.JobTypes, handlerNames()); err != nil {
		e.fail("job types", "mend them in the configuration file", "%v", err)
	} else {
		e.ok("job types", "%d defined, schemas compiled", len(settings.JobTypes))
	}
	return settings
}

// secrets warns of a file with signing secrets that others on the machine may read.
func (e *examination) secrets(path string, c *config) {
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o077 == 0 {
		return
	}
	for _, d := range c.JobTypes {
		if s := d.Type.Executor.Secret; s != "" && s != queue.NoSecret {
			e.warn("file permissions", "chmod 600 "+path, "%s holds a signing secret and others may read it (%s)", path, info.Mode().Perm())
			return
		}
	}
}

// database looks at the file: there, private, held or free, readable, whole, initialised, not from the future.
func (e *examination) database(ctx context.Context, path string) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		e.fail("database", fmt.Sprintf("make it with `tallygate init --database %s`", path), "%s does not exist", path)
		return
	}
	if err != nil {
		e.fail("database", "run doctor as the user that runs the server", "%v", err)
		return
	}
	if info.Mode().Perm()&0o077 != 0 {
		e.warn("file permissions", "chmod 600 "+path, "others on this machine may open %s (%s)", path, info.Mode().Perm())
	} else {
		e.ok("file permissions", "%s is its owner's alone", path)
	}
	held, err := isHeld(path)
	switch {
	case err != nil:
		e.fail("database", "run doctor as the user that runs the server", "%v", err)
		return
	case held:
		e.ok("lock", "a server holds the database")
	default:
		e.ok("lock", "no server holds the database")
	}
	reader, err := sqlite.OpenReader(ctx, path)
	if err != nil {
		e.fail("database", "name the right file with --database, or restore a backup", "%v", err)
		return
	}
	defer func() { _ = reader.Close() }() // it only read
	e.ok("database", "%s opens and its schema is this version's", path)
	broken, err := reader.Check(ctx)
	switch {
	case err != nil:
		e.fail("integrity", "restore a backup", "%v", err)
	case len(broken) > 0:
		e.fail("integrity", "stop the server, keep a copy of the file, restore a backup", "%d faults, the first: %s", len(broken), broken[0])
	default:
		e.ok("integrity", "the file's structure is whole")
	}
	e.contents(ctx, reader, path, "this machine", e.app.now())
}

// databaseServer looks at a PostgreSQL database.
func (e *examination) databaseServer(ctx context.Context, url string) {
	shown := shownURL(url)
	if !isPostgres(url) {
		e.fail("database", "name a file for SQLite, or postgres://…", "%v", errNoSuchDatabase(url))
		return
	}
	reader, err := postgres.OpenReader(ctx, url)
	if err != nil {
		e.fail("database", "mend the URL or the server, or bring the schema forward", "%v", err)
		return
	}
	defer func() { _ = reader.Close() }() // it only read
	e.ok("database", "%s opens and its schema is this version's", shown)
	facts, err := reader.Facts(ctx)
	if err != nil {
		e.fail("database server", "", "%v", err)
		return
	}
	e.ok("database server", "PostgreSQL %s, %d of %d connections taken", facts.Version, facts.Connections, facts.MaxConnections)
	if facts.Durable {
		e.ok("durability", "fsync and synchronous_commit are on (%s), synchronous standbys: %s", facts.SynchronousCommit, cmp.Or(facts.Standbys, "none"))
	} else {
		e.fail("durability", "set fsync = on and synchronous_commit = on", "what is acknowledged may be lost: fsync is %s, synchronous_commit %s", facts.Fsync, facts.SynchronousCommit)
	}
	if facts.TLS {
		e.ok("encryption", "the connection to the database is encrypted")
	} else if !facts.Local {
		e.warn("encryption", "add sslmode=verify-full to the URL", "the connection to the database is not encrypted")
	}
	if apart := e.app.now().Sub(facts.Time).Abs(); apart > 5*time.Second {
		e.warn("database's clock", "set both clocks by NTP", "it is %s apart from this machine's", roughly(apart))
	} else {
		e.ok("database's clock", "within 5s of this machine's")
	}
	e.contents(ctx, reader, shown, "the database's machine", facts.Time)
}

// limiter has the server of shared limits decide as it would for a call.
func (e *examination) limiter(ctx context.Context, url string) {
	const remedy = "mend the URL or the server; docs/limits.md says what it needs"
	limiter, err := redis.Open(ctx, url, redis.Options{})
	if err != nil {
		e.fail("limiter", remedy, "%v", err)
		return
	}
	defer func() { _ = limiter.Close() }() // nothing is under way
	if state := limiter.State(); !state.Shared {
		e.fail("limiter", remedy, "%s does not decide, so that each node would go by its share of each limit: %v", shownURL(url), state.Err)
		return
	}
	e.ok("limiter", "%s decides", shownURL(url))
}

// contents looks at what is in the database, whose times are those of a machine, where it is now.
func (e *examination) contents(ctx context.Context, reader tallygate.Store, path, machine string, now time.Time) {
	var operator *tallygate.Client
	var newest []*tallygate.Event
	err := reader.View(ctx, func(tx tallygate.Tx) (err error) {
		if operator, err = tx.Client(tallygate.OperatorClientID); err != nil {
			return err
		}
		newest, err = tx.AuditEvents(tallygate.Page{Limit: 1})
		return err
	})
	if err != nil {
		e.fail("database", "restore a backup", "%v", err)
		return
	}
	if operator == nil {
		e.fail("operator", fmt.Sprintf("make it with `tallygate init --database %s`", path), "the database has no operator")
	}
	if len(newest) > 0 && newest[0].At.After(now.Add(time.Second)) {
		e.fail("clock", "set the clock of "+machine, "the clock shows %s, the database knows of %s", now.UTC().Format(time.RFC3339), newest[0].At.UTC().Format(time.RFC3339))
	} else {
		e.ok("clock", "not before what the database knows")
	}
}

// isHeld reports whether a server holds the kernel's lock on the database.
func isHeld(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// disk looks at the free space where the database lives.
func (e *examination) disk(path string) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(path), &s); err != nil {
		e.warn("disk space", "", "%v", err)
		return
	}
	free := s.Bavail * uint64(s.Bsize)
	text := fmt.Sprintf("%.1f GiB free", float64(free)/(1<<30))
	switch {
	case free < 100<<20:
		e.fail("disk space", "free some, or move the database: writes fail when none is left", "%s", text)
	case free < 1<<30:
		e.warn("disk space", "free some, or move the database", "%s", text)
	default:
		e.ok("disk space", "%s", text)
	}
}

// openFiles looks at how many connections the process may hold.
func (e *examination) openFiles(c *config) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return
	}
	if want := uint64(2*c.MaxInFlight + 100); limit.Cur < want {
		e.warn("open files", fmt.Sprintf("ulimit -n %d, or LimitNOFILE in the service's unit", want), "this process may open %d files; %d requests at once want more", limit.Cur, c.MaxInFlight)
		return
	}
	e.ok("open files", "%d", limit.Cur)
}

// server asks the server whether it is there, ready, of one clock with us, and takes our key.
func (e *examination) server(ctx context.Context, c *config) {
	if e.app.apiFault != nil {
		t := e.app.tell(e.app.apiFault)
		e.fail("server", t.remedy, "%s", t.text)
		return
	}
	base := e.app.api.URL()
	if base == defaultURL {
		base = urlOf(c.Listen)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/readyz", nil)
	if err != nil {
		e.fail("server", "write --url as http://HOST:PORT", "%v", err)
		return
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		e.warn("server", "start it with `tallygate serve`, or name it with --url", "nothing answers at %s", base)
		return
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		e.fail("server", "see its log", "%s answers, but is not ready (HTTP %s)", base, res.Status)
	} else {
		e.ok("server", "%s is ready", base)
	}
	if at, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		if apart := e.app.now().Sub(at).Abs(); apart > 5*time.Second {
			e.warn("server's clock", "set both clocks by NTP", "it is %s apart from this machine's", roughly(apart))
		} else {
			e.ok("server's clock", "within 5s of this machine's")
		}
	}
	if e.app.key == "" {
		return
	}
	api, err := e.app.connect(base, e.app.key, sdk.WithMaxAttempts(1))
	if err == nil {
		_, err = api.Account.Get(ctx)
	}
	if err != nil {
		t := e.app.tell(err)
		e.fail("API key", t.remedy, "%s", t.text)
		return
	}
	e.ok("API key", "accepted")
}

// urlOf is where a server that listens so is reached from this machine.
func urlOf(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "http://" + listen
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}
