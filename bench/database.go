package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Misuse is an error of whoever asked for the run, with the way out.
type Misuse struct {
	Err    error
	Remedy string
}

func (m *Misuse) Error() string { return m.Err.Error() }

func (m *Misuse) Unwrap() error { return m.Err }

// A host is the PostgreSQL server that a run makes its databases on: one for each server under load, which is dropped
// with it.
type host struct {
	url  string // of a database that is there already
	user string
	Database
}

const (
	oldestPostgres        = 140_000
	databaseTimeout       = 2 * time.Minute // to make or drop one: both wait for a checkpoint
	namePrefix            = "tallygate_bench_"
	insufficientPrivilege = "42501" // Appendix A of PostgreSQL's manual
)

// reach connects to the server and sees whether it will do.
func reach(ctx context.Context, url string) (*host, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil { // whose text might repeat a password
		return nil, &Misuse{errors.New("bench: the database's URL cannot be read"), "name it as postgres://user:password@host:5432/postgres"}
	}
	h := &host{url: url, user: config.User}
	err = h.on(ctx, url, h.look)
	if e, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		why, _, _ := strings.Cut(e.Unwrap().Error(), "\n") // each way that was tried tells its own
		return nil, &Misuse{fmt.Errorf("bench: cannot connect to PostgreSQL: %s", why), "start the server, or mend --database"}
	}
	return h, err
}

func (h *host) look(ctx context.Context, pg *pgx.Conn) error {
	var version int
	var may, standby bool
	err := pg.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, split_part(current_setting('server_version'), ' ', 1),
		current_setting('fsync'), current_setting('synchronous_commit'), pg_is_in_recovery(), rolsuper OR rolcreatedb
		FROM pg_roles WHERE rolname = current_user`).Scan(&version, &h.Version, &h.Fsync, &h.SynchronousCommit, &standby, &may)
	switch {
	case err != nil:
		return err
	case version < oldestPostgres:
		return &Misuse{fmt.Errorf("bench: the server is PostgreSQL %s", h.Version), "name one of version 14 or newer"}
	case standby:
		return &Misuse{errors.New("bench: the server is a standby and takes no writes"), "name the primary with --database"}
	case !may:
		return h.mayNotCreate()
	}
	h.CommitMS, err = commitTime(ctx, pg)
	return err
}

func (h *host) mayNotCreate() error {
	return &Misuse{fmt.Errorf("bench: the role %s may not create databases, and a run makes some of its own", h.user),
		fmt.Sprintf("as a superuser: ALTER ROLE %s CREATEDB; or name another role in --database", pgx.Identifier{h.user}.Sanitize())}
}

// commitTime is the median time of a transaction that writes 4 KiB to the log and nothing else: the floor of any
// durable answer.
func commitTime(ctx context.Context, pg *pgx.Conn) (float64, error) {
	var took []float64
	for range 31 {
		begin := time.Now()
		if _, err := pg.Exec(ctx, `SELECT pg_logical_emit_message(true, 'tallygate bench', repeat('x', 4096))`); err != nil {
			return 0, err
		}
		took = append(took, span(time.Since(begin)).milliseconds())
	}
	return median(took), nil
}

// on runs fn over a connection of its own.
func (h *host) on(ctx context.Context, url string, fn func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	pg, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = pg.Close(context.WithoutCancel(ctx)) }()
	return fn(ctx, pg)
}

func (h *host) exec(ctx context.Context, sql string) error {
	return h.on(ctx, h.url, func(ctx context.Context, pg *pgx.Conn) error {
		_, err := pg.Exec(ctx, sql)
		return err
	})
}

// create makes an empty database and returns its name.
func (h *host) create(ctx context.Context) (string, error) {
	name := namePrefix + strings.ToLower(rand.Text()[:10])
	err := h.exec(ctx, "CREATE DATABASE "+name+" TEMPLATE template0")
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == insufficientPrivilege {
		return "", h.mayNotCreate()
	}
	if err != nil {
		return "", fmt.Errorf("bench: making a database: %w", err)
	}
	return name, nil
}

// drop takes a database away, whoever is connected to it, and also when the run has been interrupted.
func (h *host) drop(name string) error {
	if err := h.exec(context.Background(), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("bench: the database %s stays behind, drop it by hand: %w", name, err)
	}
	return nil
}

// named is the URL of another database of the server.
func (h *host) named(name string) string {
	scheme, rest, _ := strings.Cut(h.url, "://")
	authority, query := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority = rest[:i]
		if i := strings.IndexByte(rest, '?'); i >= 0 {
			query = rest[i:]
		}
	}
	return scheme + "://" + authority + "/" + name + query
}

// hold opens a transaction that sees the database as it is now, and keeps it open until release, which fails when it
// has not lasted.
func (h *host) hold(ctx context.Context, name string) (release func() error, err error) {
	pg, err := pgx.Connect(ctx, h.named(name))
	if err != nil {
		return nil, err
	}
	_, err = pg.Exec(ctx, `SET idle_in_transaction_session_timeout = 0; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT count(*) FROM pg_class`,
		pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		_ = pg.Close(context.WithoutCancel(ctx))
		return nil, err
	}
	return func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), databaseTimeout)
		defer cancel()
		defer func() { _ = pg.Close(ctx) }()
		if _, err := pg.Exec(ctx, "SELECT 1"); err != nil {
			return fmt.Errorf("the open snapshot did not last: %w", err)
		}
		return nil
	}, nil
}

// dead counts the dead rows of each table that has any.
func (h *host) dead(ctx context.Context, name string) (tables []string, rows map[string]int64, err error) {
	rows = map[string]int64{}
	err = h.on(ctx, h.named(name), func(ctx context.Context, pg *pgx.Conn) error {
		var table string
		var n int64
		found, err := pg.Query(ctx, `SELECT relname::text, n_dead_tup FROM pg_stat_user_tables WHERE n_dead_tup > 0`)
		if err != nil {
			return err
		}
		_, err = pgx.ForEachRow(found, []any{&table, &n}, func() error { rows[table] = n; return nil })
		return err
	})
	return slices.Sorted(maps.Keys(rows)), rows, err
}

// sizes is the space that each table takes with its indexes, in MiB.
func (h *host) sizes(ctx context.Context, name string) (sizes map[string]float64, err error) {
	sizes = map[string]float64{}
	err = h.on(ctx, h.named(name), func(ctx context.Context, pg *pgx.Conn) error {
		var table string
		var bytes int64
		found, err := pg.Query(ctx, `SELECT relname::text, pg_total_relation_size(oid) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace`)
		if err != nil {
			return err
		}
		_, err = pgx.ForEachRow(found, []any{&table, &bytes}, func() error { sizes[table] = float64(bytes) / (1 << 20); return nil })
		return err
	})
	return sizes, err
}

// ended is how many jobs have ended and are still there, by the server's own statistics.
func (h *host) ended(ctx context.Context, name string) (n int64, err error) {
	err = h.on(ctx, h.named(name), func(ctx context.Context, pg *pgx.Conn) error {
		return pg.QueryRow(ctx, `SELECT COALESCE(SUM(n_tup_ins - n_tup_del), 0)::bigint FROM pg_stat_user_tables WHERE relname = 'outcomes'`).Scan(&n)
	})
	return n, err
}

// backends is the processor time so far of the server's processes that serve a database, by their numbers. It is empty
// where the server is on another machine, or where the kernel does not tell.
func (h *host) backends(ctx context.Context, name string) (used map[int]time.Duration, err error) {
	used = map[int]time.Duration{}
	err = h.on(ctx, h.url, func(ctx context.Context, pg *pgx.Conn) error {
		var pid int
		found, err := pg.Query(ctx, `SELECT pid FROM pg_stat_activity WHERE datname = $1
			AND COALESCE(inet_server_addr() << '127.0.0.0/8' OR inet_server_addr() = '::1', true)`, name)
		if err != nil {
			return err
		}
		_, err = pgx.ForEachRow(found, []any{&pid}, func() error {
			called, _ := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "cmdline"))
			if strings.Contains(string(called), "postgres") {
				used[pid] = cpuOf(pid)
			}
			return nil
		})
		return err
	})
	return used, err
}
