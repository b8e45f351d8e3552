package store

import "context"

// Source is a store that is read whole, table by table, to be copied into another engine's.
type Source interface {
	Tables(ctx context.Context) ([]string, error)
	Columns(ctx context.Context, table string) ([]string, error)
	Count(ctx context.Context, table string) (int64, error)
	// Rows calls fn for each row: int64, string, []byte or nil for each column. fn may keep what it gets.
	Rows(ctx context.Context, table string, columns []string, fn func(row []any) error) error
}
