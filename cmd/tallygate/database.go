package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/ratelimit/redis"
	"github.com/tallygate/tallygate/store/postgres"
	"github.com/tallygate/tallygate/store/sqlite"
)

// isURL reports whether the setting is meant to name a server rather than a file, rightly or not: a file whose name looks
// so can be written as ./NAME.
func isURL(text string) bool {
	if strings.HasPrefix(text, "/") || strings.HasPrefix(text, ".") {
		return false
	}
	return strings.Contains(text, "://") || strings.HasPrefix(text, "postgres:") || strings.Contains(text, "password=") ||
		strings.Contains(text, ":") && strings.Contains(text, "@")
}

// isPostgres reports whether a URL is PostgreSQL's.
func isPostgres(database string) bool {
	return strings.HasPrefix(database, "postgres://") || strings.HasPrefix(database, "postgresql://")
}

// hidden stands for a text that is neither a URL nor a path as people write them: any part of it may be the password.
const hidden = "(hidden, since it may hold a password)"

// shownURL is the name of a file or server as it may be printed: without a password.
func shownURL(text string) string {
	if !isURL(text) {
		return text
	}
	u, err := url.Parse(text)
	if err != nil || !strings.Contains(text, "://") {
		return hidden
	}
	q := u.Query()
	for name := range q {
		if strings.Contains(name, "password") {
			q.Set(name, "xxxxx")
		}
	}
	u.RawQuery = q.Encode()
	return u.Redacted()
}

// openStore opens what the database setting names, for a server. A nil log is a command's: it does not stay.
func openStore(ctx context.Context, database string, log *slog.Logger) (tallygate.Store, error) {
	if isPostgres(database) {
		store, err := postgres.Open(ctx, postgres.Options{URL: database, Alone: log == nil, Log: log})
		if err != nil {
			return nil, databaseFault(err, "")
		}
		return store, nil
	}
	if isURL(database) {
		return nil, errNoSuchDatabase(database)
	}
	store, err := sqlite.Open(ctx, sqlite.Options{Path: database, Log: log})
	if err != nil {
		return nil, usagef("%w", err)
	}
	return store, nil
}

// openReader opens the database for reading, also beside those who use it.
func openReader(ctx context.Context, database string) (tallygate.Store, error) {
	if isPostgres(database) {
		return postgres.OpenReader(ctx, database)
	}
	if isURL(database) {
		return nil, errNoSuchDatabase(database)
	}
	return sqlite.OpenReader(ctx, database)
}

func errNoSuchDatabase(database string) error {
	scheme, _, whole := strings.Cut(database, "://")
	if !whole {
		return usagef("the database's name is neither a file's nor a URL: name a file for SQLite, as ./NAME if need be, or postgres://user:password@host:5432/name")
	}
	return usagef("%s:// is no database that tallygate knows: name a file for SQLite, or postgres://…", scheme)
}

// databaseFault is why a database could not be opened: it is away, or else it or its name is not right; then there is the
// remedy.
func databaseFault(err error, remedy string) error {
	if postgres.Unreachable(err) {
		return &exitError{code: exitUnreachable, err: err, remedy: "see whether the database runs and this machine reaches it, and run the command again"}
	}
	return &exitError{code: exitUsage, err: err, remedy: remedy}
}

// cluster tells /readyz how this node stands among the others.
func (s *server) cluster() map[string]any {
	state := s.shared.State()
	listener := map[string]any{"status": "ok", "since": state.Since.UTC()}
	if !state.Listening {
		listener["status"], listener["problem"] = "polling", state.Problem
	}
	return map[string]any{"nodes": state.Nodes, "leader": state.Leader, "listener": listener}
}

// rememberedLimits is how many keys a node's own limiter remembers.
const rememberedLimits = 100_000

// openLimiter opens what keeps the rate limits: a server for all nodes where one is named, else this process, which
// takes its share where there are others.
func (s *server) openLimiter(ctx context.Context) (ratelimit.Limiter, error) {
	nodes := func() int { return 1 }
	if s.shared != nil {
		nodes = s.shared.Nodes
	}
	if s.config.Limiter == "" {
		return ratelimit.NewShare(rememberedLimits, nodes), nil
	}
	var err error
	s.limiter, err = redis.Open(ctx, s.config.Limiter, redis.Options{Nodes: nodes, MaxKeys: rememberedLimits, Log: s.log})
	if err != nil {
		return nil, usagef("--limiter: %w", err)
	}
	return s.limiter, nil
}

// stored tells /readyz how the store does: it is asked for the access revision again and again.
func (s *server) stored() map[string]any {
	answer := map[string]any{"engine": "sqlite", "status": "ok", "delay_seconds": s.store.Delay().Seconds()}
	if s.shared != nil {
		answer["engine"] = "postgres"
	}
	switch {
	case s.access.Lag() >= staleNews:
		answer["status"] = "unreachable"
	case s.store.Delay() > s.config.ShedDelay:
		answer["status"] = "slow"
	}
	return answer
}

// staleNews is how long a store may have told nothing.
const staleNews = 2 * time.Second

// limits tells /readyz who decides about limits.
func (s *server) limits() map[string]any {
	state := s.limiter.State()
	answer := map[string]any{"status": "ok", "since": state.Since.UTC(), "lapses": state.Lapses}
	if !state.Shared {
		answer["status"] = "alone"
		answer["problem"] = "the limiter's server does not answer as it should; the log says why, and tallygate doctor"
	}
	return answer
}

// migrateCmd brings a PostgreSQL database's schema forward, or tells what it would do.
type migrateCmd struct {
	Database string `env:"TALLYGATE_DATABASE" required:"" placeholder:"URL" help:"PostgreSQL database, as postgres://…"`
	Print    bool   `help:"Print the SQL of the migrations that are missing and change nothing."`
}

func (migrateCmd) Help() string {
	return "A server does this by itself when it starts; this is for those whose servers may not change the schema. Nodes and commands that start together wait for each other.\n\nExamples:\n\n" +
		"    tallygate migrate --database postgres://tallygate@db/tallygate\n" +
		"    tallygate migrate --database postgres://tallygate@db/tallygate --print | psql\n"
}

func (c *migrateCmd) Run(ctx context.Context, a *app) error {
	if !isPostgres(c.Database) {
		return usagef("migrate is for PostgreSQL: a server brings its SQLite file forward when it opens it")
	}
	before, err := postgres.Migrations(ctx, c.Database)
	if err != nil {
		return databaseFault(err, "")
	}
	if c.Print {
		return c.print(a, before)
	}
	if err := postgres.Migrate(ctx, c.Database, a.waitsForSchema); err != nil {
		return databaseFault(err, "")
	}
	after, err := postgres.Migrations(ctx, c.Database)
	if err != nil {
		return databaseFault(err, "")
	}
	type step struct {
		Version int64  `json:"version"`
		Name    string `json:"name"`
		Result  string `json:"result"`
	}
	steps, rows := make([]step, len(after)), make([][]string, len(after))
	for i, m := range after {
		result := "was there"
		if before[i].Applied.IsZero() {
			result = "applied"
		}
		steps[i], rows[i] = step{m.Version, m.Name, result}, []string{m.Name, result}
	}
	if a.json {
		return a.printValue(map[string]any{"data": steps})
	}
	return a.printTable([]column{left("migration"), left("result")}, rows)
}

// waitsForSchema tells why nothing happens.
func (a *app) waitsForSchema() { a.note("another session brings the schema forward; waiting for it") }

// print writes a script that psql can run.
func (c *migrateCmd) print(a *app, steps []postgres.Migration) error {
	var b strings.Builder
	for _, m := range steps {
		if m.Applied.IsZero() {
			b.WriteString(m.Script())
		}
	}
	_, err := fmt.Fprint(a.stdout, b.String())
	return err
}
