package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/store"
)

// ownTables are those that no other engine has.
var ownTables = []string{"tallygate_schema", "nodes"}

// lockPatience is how long a copy waits for whoever uses the tables.
const lockPatience = 5 * time.Second

// Load copies a whole store into an empty database, in one transaction, and returns the audit of what it wrote. Where
// that finds anything, or something fails, the database stays empty; after a tallygate.ErrCommit nobody knows whether it
// did. The schema has to be there; see Migrate. progress is called now and then, and at the end of each table.
func Load(ctx context.Context, url string, from store.Source, progress func(table string, done, all int64)) (report *tallygate.AuditReport, err error) {
	err = withDatabase(ctx, url, func(pg *pgx.Conn) error {
		tx, err := pg.Begin(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // does nothing after the commit
		if err := endIfStill(ctx, tx); err != nil {
			return err
		}
		tables, err := loadable(ctx, tx, from)
		if err != nil {
			return err
		}
		for _, table := range tables {
			if err := load(ctx, tx, from, table, progress); err != nil {
				return fmt.Errorf("copy %s: %w", table, err)
			}
		}
		// Whoever has read the empty database must not believe what it remembers of it.
		if _, err := tx.Exec(ctx, `UPDATE counters SET turn = turn + 1`); err != nil {
			return err
		}
		if report, err = auditIn(ctx, pg); err != nil {
			return err
		}
		if len(report.Findings) > 0 {
			return errors.New("the audit of the copy finds faults: nothing was kept")
		}
		err = tx.Commit(ctx)
		if err != nil && (codeOf(err) == "" || gone(err)) {
			err = tallygate.ErrCommit{Cause: err}
		}
		return err
	})
	return report, err
}

// Analyze has the planner know what was loaded. Without it the database finds out by itself, some minutes later.
func Analyze(ctx context.Context, url string) error {
	return withDatabase(ctx, url, func(pg *pgx.Conn) error {
		_, err := pg.Exec(ctx, "ANALYZE")
		return err
	})
}

// loadable checks that the database is empty and nobody uses it, locks it, and lists the tables to be copied.
func loadable(ctx context.Context, tx pgx.Tx, from store.Source) ([]string, error) {
	tables, err := from.Tables(ctx)
	if err != nil {
		return nil, err
	}
	var own []string
	rows, err := tx.Query(ctx, `SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema() AND tablename <> ALL($1) ORDER BY tablename::text COLLATE "C"`, ownTables)
	if err != nil {
		return nil, err
	}
	if own, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		return nil, err
	}
	for _, table := range tables {
		if !slices.Contains(own, table) {
			return nil, fmt.Errorf("the database has no table %s: the file is another version's; start a server of this version on it once", table)
		}
	}
	var alive int64
	if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM nodes WHERE seen_at > `+clockSQL+` - $1`, absentAfter.Microseconds()).Scan(&alive); err != nil {
		return nil, err
	}
	if alive > 0 {
		return nil, fmt.Errorf("%d nodes use the database: stop them first", alive)
	}
	if _, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d", lockPatience.Milliseconds())); err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, "LOCK TABLE "+strings.Join(tables, ", ")+" IN ACCESS EXCLUSIVE MODE"); err != nil {
		if codeOf(err) == lockNotAvailable {
			err = fmt.Errorf("another session uses the tables, such as another copy or a backup: wait for its end, or end it: %w", err)
		}
		return nil, err
	}
	for _, table := range tables {
		if table == "counters" {
			continue
		}
		var some bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM `+table+`)`).Scan(&some); err != nil {
			return nil, err
		}
		if some {
			return nil, fmt.Errorf("the database is not empty: %s has rows; name an empty one", table)
		}
	}
	_, err = tx.Exec(ctx, `DELETE FROM counters`)
	return tables, err
}

// load copies one table.
func load(ctx context.Context, tx pgx.Tx, from store.Source, table string, progress func(table string, done, all int64)) error {
	columns, err := from.Columns(ctx, table)
	if err != nil {
		return err
	}
	all, err := from.Count(ctx, table)
	if err != nil {
		return err
	}
	head, err := tx.Query(ctx, `SELECT `+strings.Join(columns, ", ")+` FROM `+table+` LIMIT 0`)
	if err != nil {
		return err
	}
	head.Close()
	if err := head.Err(); err != nil {
		return err
	}
	kinds := make([]uint32, len(columns))
	for i, f := range head.FieldDescriptions() {
		kinds[i] = f.DataTypeOID
	}
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	source := &pump{rows: make(chan []any, 1024), failed: make(chan error, 1)}
	go func() {
		defer close(source.rows)
		source.failed <- from.Rows(reading, table, columns, func(row []any) error {
			for i := range row {
				row[i] = fitted(row[i], kinds[i])
			}
			select {
			case source.rows <- row:
				return nil
			case <-reading.Done():
				return reading.Err()
			}
		})
	}()
	source.told = func(done int64) { progress(table, done, all) }
	copied, err := tx.CopyFrom(ctx, pgx.Identifier{table}, columns, source)
	cancel()
	for range source.rows { // whoever reads the file must end before it is read again
	}
	if err != nil {
		return err
	}
	if copied != all {
		return fmt.Errorf("%d rows of %d arrived", copied, all)
	}
	progress(table, copied, all)
	if columns[0] != "number" {
		return nil
	}
	_, err = tx.Exec(ctx, `SELECT setval(pg_get_serial_sequence('`+table+`', 'number'), COALESCE(MAX(number), 1), MAX(number) IS NOT NULL) FROM `+table)
	return err
}

// fitted gives a value the type of its column: SQLite keeps what it gets.
func fitted(v any, kind uint32) any {
	switch v := v.(type) {
	case string:
		if kind == pgtype.ByteaOID {
			return []byte(v)
		}
		return text(v)
	case []byte:
		if kind == pgtype.TextOID {
			return text(string(v))
		}
	}
	return v
}

// pump hands rows from the file's reader to the copy.
type pump struct {
	rows   chan []any
	failed chan error
	row    []any
	done   int64
	last   time.Time
	told   func(done int64)
	err    error
}

func (p *pump) Next() bool {
	row, more := <-p.rows
	if !more {
		p.err = <-p.failed
		return false
	}
	p.row = row
	p.done++
	if p.done%1000 == 0 && time.Since(p.last) > 200*time.Millisecond {
		p.last = time.Now()
		p.told(p.done)
	}
	return true
}

func (p *pump) Values() ([]any, error) { return p.row, nil }
func (p *pump) Err() error             { return p.err }

// auditIn proves the ledger as the transaction under way sees it.
func auditIn(ctx context.Context, pg *pgx.Conn) (*tallygate.AuditReport, error) {
	return store.NewView(&conn{pg: pg, caller: ctx, patient: true}, time.Now()).Audit()
}
