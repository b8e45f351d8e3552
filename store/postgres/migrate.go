package postgres

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
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
// together one does it and the others find it done. A schema of a newer version is an error.
func Migrate(ctx context.Context, url string) error {
	return withDatabase(ctx, url, func(pg *pgx.Conn) error {
		tx, err := pg.Begin(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(ctx) }() // does nothing after the commit
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(migrationLock)); err != nil {
			return err
		}
		steps, err := migrationsOf(ctx, tx)
		if err != nil {
			return err
		}
		for _, m := range steps {
			if !m.Applied.IsZero() { // a role that may not make tables opens what is up to date
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

// migrationsOf reads which migrations were applied.
func migrationsOf(ctx context.Context, tx pgx.Tx) ([]Migration, error) {
	steps, err := embedded()
	if err != nil {
		return nil, err
	}
	var fresh bool
	if err := tx.QueryRow(ctx, `SELECT to_regclass('tallygate_schema') IS NULL`).Scan(&fresh); err != nil || fresh {
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
