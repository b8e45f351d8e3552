package sqlite

import (
	"context"
	"os"
	"strings"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/store"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// Source reads a whole file that nobody else has open, over one snapshot.
type Source struct {
	lock *os.File
	*Reader
}

var _ store.Source = (*Source)(nil)

// OpenSource opens an existing file of this version's schema and holds it against servers until Close.
func OpenSource(ctx context.Context, path string) (*Source, error) {
	reader, err := OpenReader(ctx, path)
	if err != nil {
		return nil, err
	}
	lock, err := lockFile(path)
	if err != nil {
		_ = reader.Close() // the first error is the one to tell
		return nil, err
	}
	return &Source{lock, reader}, nil
}

// Audit proves the ledger.
func (s *Source) Audit(ctx context.Context) (report *tallygate.AuditReport, err error) {
	err = s.View(ctx, func(tx tallygate.Tx) error {
		report, err = tx.Audit()
		return err
	})
	return report, err
}

// Tables lists the tables by name.
func (s *Source) Tables(ctx context.Context) (tables []string, err error) {
	err = s.each(ctx, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name`, func(stmt *sqlite.Stmt) error {
		tables = append(tables, stmt.ColumnText(0))
		return nil
	})
	return tables, err
}

// Columns lists a table's columns in their order.
func (s *Source) Columns(ctx context.Context, table string) (columns []string, err error) {
	err = s.each(ctx, `SELECT name FROM pragma_table_info('`+table+`') ORDER BY cid`, func(stmt *sqlite.Stmt) error {
		columns = append(columns, stmt.ColumnText(0))
		return nil
	})
	return columns, err
}

// Count counts a table's rows.
func (s *Source) Count(ctx context.Context, table string) (n int64, err error) {
	err = s.each(ctx, `SELECT COUNT(*) FROM `+table, func(stmt *sqlite.Stmt) error {
		n = stmt.ColumnInt64(0)
		return nil
	})
	return n, err
}

// Rows calls fn for each row.
func (s *Source) Rows(ctx context.Context, table string, columns []string, fn func(row []any) error) error {
	return s.each(ctx, `SELECT `+strings.Join(columns, ", ")+` FROM `+table, func(stmt *sqlite.Stmt) error {
		values := make([]any, len(columns))
		for i := range values {
			switch stmt.ColumnType(i) {
			case sqlite.TypeInteger:
				values[i] = stmt.ColumnInt64(i)
			case sqlite.TypeText:
				values[i] = stmt.ColumnText(i)
			case sqlite.TypeBlob:
				bytes := make([]byte, stmt.ColumnLen(i))
				stmt.ColumnBytes(i, bytes)
				values[i] = bytes
			}
		}
		return fn(values)
	})
}

func (s *Source) each(ctx context.Context, sql string, fn func(*sqlite.Stmt) error) error {
	s.conn.SetInterrupt(ctx.Done())
	defer s.conn.SetInterrupt(nil)
	return sqlitex.ExecuteTransient(s.conn.Conn, sql, &sqlitex.ExecOptions{ResultFunc: fn})
}

// Close lets go of the file: the connection first, since closing any descriptor drops SQLite's own locks.
func (s *Source) Close() error {
	err := s.Reader.Close()
	if closed := s.lock.Close(); err == nil {
		err = closed
	}
	return err
}
