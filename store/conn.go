// Package store holds the SQL that both engines share, written once with $1 placeholders, and the group commit that
// carries it. It knows tables and columns; it decides nothing, and it does not know which engine runs it.
package store

import "time"

// Conn runs statements inside one transaction of an engine. Errors come translated: a tallygate.Error of
// DATABASE_ERROR, or of SERVICE_UNAVAILABLE where no connection was to be had.
type Conn interface {
	// Exec runs a statement and returns how many rows it changed.
	Exec(sql string, args ...any) (int64, error)
	// Write writes one row, at the latest before whatever follows can see it. What is wrong with it may come out later,
	// as the error of another call.
	Write(w *Write, args ...any) error
	// Query calls scan for each row.
	Query(sql string, scan func(Row) error, args ...any) error
	// Aborted reports whether an error has left nothing to do but to roll back.
	Aborted() bool
}

// Row reads the columns of one row, counted from 0. Bytes are the caller's to keep; NULL reads as the zero value.
type Row interface {
	Int64(column int) int64
	Text(column int) string
	Bytes(column int) []byte
}

// micros writes a time as UTC microseconds, the zero time as 0.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// moment reads what micros wrote.
func moment(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// storable is the time as it reads back, so that what is decided by it holds after it has been stored.
func storable(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// flag writes a bool as 0 or 1.
func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
