package postgres

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migration is one step of the schema.
type Migration struct {
	Version int64
	Name    string
	SQL     string
	Applied time.Time // zero: not yet
}

func (m Migration) missing() bool { return m.Applied.IsZero() }

// Keys of advisory locks, "tlgt" and what for.
const (
	migrationLock = 0x746c6774_00000001
	leaderLock    = 0x746c6774_00000002
)

// versionTable tells which migrations a database has had.
const versionTable = `CREATE TABLE IF NOT EXISTS tallygate_schema (version BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)`

func embedded() ([]Migration, error) {
	files, err := fs.ReadDir(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	steps := make([]Migration, len(files))
	for i, f := range files {
		sql, err := fs.ReadFile(migrations, "migrations/"+f.Name())
		if err != nil {
			return nil, err
		}
		steps[i] = Migration{Version: int64(i + 1), Name: f.Name(), SQL: string(sql)}
	}
	return steps, nil
}

// Migrate brings the database's schema forward, all steps in one transaction, under a lock: of nodes that start
// together one does it and the others find it done; waits is called where another is at it. A schema of a newer version
// is an error.
func Migrate(ctx context.Context, url string, waits func()) error {
	return withDatabase(ctx, url, func(pg *pgx.Conn) error {
		if steps, err := migrationsOf(ctx, pg); err != nil || !slices.ContainsFunc(steps, Migration.missing) {
			return err
		}
		tx, err := pg.Begin(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(ctx) }() // does nothing after the commit
		if err := endIfStill(ctx, tx); err != nil {
			return err
		}
		if err := lockSchema(ctx, tx, waits); err != nil {
			return err
		}
		steps, err := migrationsOf(ctx, tx)
		if err != nil {
			return err
		}
		for _, m := range steps {
			if !m.missing() {
				continue
			}
			if _, err := tx.Exec(ctx, versionTable); err != nil {
				return err
			}
			if _, err := tx.Conn().PgConn().Exec(ctx, m.SQL).ReadAll(); err != nil {
				return fmt.Errorf("migration %s: %w", m.Name, err)
			}
			if _, err := tx.Exec(ctx, `INSERT INTO tallygate_schema VALUES ($1, $2, `+clockSQL+`)`, m.Version, m.Name); err != nil {
				return err
			}
		}
		return tx.Commit(ctx)
	})
}

// lockSchema has this session alone bring the schema forward, until the transaction ends.
func lockSchema(ctx context.Context, tx pgx.Tx, waits func()) error {
	var got bool
	if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1)`, int64(migrationLock)).Scan(&got); err != nil || got {
		return err
	}
	waits()
	_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(migrationLock))
	return err
}

// stillSQL bounds a transaction that others wait for.
const stillSQL = `SET LOCAL idle_in_transaction_session_timeout = '5min';
	SET LOCAL tcp_keepalives_idle = 5; SET LOCAL tcp_keepalives_interval = 1; SET LOCAL tcp_keepalives_count = 3`

// endIfStill has the database end the transaction once its process stands still in it, or its machine is gone without a
// word: the database itself waits for two hours, or for ever.
func endIfStill(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Conn().PgConn().Exec(ctx, stillSQL).ReadAll()
	return err
}

// Migrations lists this version's migrations and which of them the database has had. It changes nothing.
func Migrations(ctx context.Context, url string) (steps []Migration, err error) {
	err = withDatabase(ctx, url, func(pg *pgx.Conn) error {
		tx, err := pg.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(ctx) }() // it has only read
		steps, err = migrationsOf(ctx, tx)
		return err
	})
	return steps, err
}

// querier is a connection, or a transaction of one.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// migrationsOf reads which migrations were applied.
func migrationsOf(ctx context.Context, tx querier) ([]Migration, error) {
	steps, err := embedded()
	if err != nil {
		return nil, err
	}
	// Asked of the catalog itself: by its name, the session would remember from before it waited that there is none.
	var fresh bool
	if err := tx.QueryRow(ctx, `SELECT NOT EXISTS (SELECT 1 FROM pg_class WHERE relname = 'tallygate_schema' AND pg_table_is_visible(oid))`).Scan(&fresh); err != nil || fresh {
		return steps, err
	}
	rows, err := tx.Query(ctx, `SELECT version, applied_at FROM tallygate_schema ORDER BY version`)
	if err != nil {
		return nil, err
	}
	var version, us int64
	_, err = pgx.ForEachRow(rows, []any{&version, &us}, func() error {
		if version > int64(len(steps)) {
			return fmt.Errorf("the database has schema %d and this version of tallygate knows %d: run the newer version, or restore a backup from before the upgrade", version, len(steps))
		}
		steps[version-1].Applied = time.UnixMicro(us).UTC()
		return nil
	})
	return steps, err
}

// withDatabase runs fn over a connection of its own.
func withDatabase(ctx context.Context, url string, fn func(*pgx.Conn) error) error {
	config, err := parseURL(url)
	if err != nil {
		return err
	}
	pg, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("open database: %w", plain(err))
	}
	defer func() { _ = pg.Close(context.WithoutCancel(ctx)) }() // it holds nothing
	if err := fn(pg); err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	return nil
}

// Script is the migration as psql can run it: in a transaction, and noted as done.
func (m Migration) Script() string {
	return fmt.Sprintf("BEGIN;\n%s;\n%s\nINSERT INTO tallygate_schema VALUES (%d, '%s', %s);\nCOMMIT;\n", versionTable, m.SQL, m.Version, m.Name, clockSQL)
}
