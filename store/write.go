package store

import (
	"fmt"
	"strings"
)

// Verb is what a Write does.
type Verb int

// What writes do. An Upsert replaces the columns of a row that is there; an Add adds to them.
const (
	Insert Verb = iota
	Update
	Delete
	Upsert
	Add
)

// Write is the shape of writing one row. An engine whose every statement is a journey gathers the rows of one Write and
// writes them together; its arguments are the key's columns and then the others, in their order. A row that is updated
// twice ends as the later call says.
type Write struct {
	Verb    Verb
	Table   string
	Key     []string // name the row; none for an Insert
	Columns []string
	One     string // the statement for one row
}

func insert(table, columns string) *Write      { return newWrite(Insert, table, "", columns) }
func update(table, key, columns string) *Write { return newWrite(Update, table, key, columns) }
func deleteRows(table, key string) *Write      { return newWrite(Delete, table, key, "") }
func upsert(table, key, columns string) *Write { return newWrite(Upsert, table, key, columns) }
func addTo(table, key, columns string) *Write  { return newWrite(Add, table, key, columns) }
func splitColumns(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' })
}
func parameter(n int) string { return fmt.Sprintf("$%d", n) }
func joined(n int, text func(i int) string, by string) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = text(i)
	}
	return strings.Join(parts, by)
}

func newWrite(verb Verb, table, key, columns string) *Write {
	w := &Write{Verb: verb, Table: table, Key: splitColumns(key), Columns: splitColumns(columns)}
	all := w.All()
	switch verb {
	case Insert, Upsert, Add:
		w.One = "INSERT INTO " + table + " (" + strings.Join(all, ", ") + ") VALUES (" +
			joined(len(all), func(i int) string { return parameter(i + 1) }, ", ") + ")" + w.OnConflict()
	case Update:
		w.One = "UPDATE " + table + " SET " +
			joined(len(w.Columns), func(i int) string { return w.Columns[i] + " = " + parameter(len(w.Key)+i+1) }, ", ") +
			" WHERE " + joined(len(w.Key), func(i int) string { return w.Key[i] + " = " + parameter(i+1) }, " AND ")
	case Delete:
		w.One = "DELETE FROM " + table + " WHERE " + joined(len(w.Key), func(i int) string { return w.Key[i] + " = " + parameter(i+1) }, " AND ")
	}
	return w
}

// All names the columns in the order of the arguments.
func (w *Write) All() []string { return append(append([]string{}, w.Key...), w.Columns...) }

// OnConflict is the end of an Upsert's or Add's INSERT, empty for an Insert.
func (w *Write) OnConflict() string {
	if w.Verb != Upsert && w.Verb != Add {
		return ""
	}
	return " ON CONFLICT (" + strings.Join(w.Key, ", ") + ") DO UPDATE SET " + joined(len(w.Columns), func(i int) string {
		c := w.Columns[i]
		if w.Verb == Add {
			return c + " = " + w.Table + "." + c + " + excluded." + c
		}
		return c + " = excluded." + c
	}, ", ")
}

// write carries out a member's write of one row.
func (tx *Tx) write(w *Write, args ...any) error {
	if err := tx.wrote(); err != nil {
		return err
	}
	return tx.conn.Write(w, args...)
}
