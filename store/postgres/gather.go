package postgres

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5"

	"github.com/tallygate/tallygate/store"
)

// gathered are rows that wait to be written, in groups of one Write each. Nothing in the schema ties one table to
// another, so only the writes of one table keep their order.
type gathered struct {
	groups []*group
	last   map[string]*group // of a table
	size   int               // bytes, roughly
}

// group is the rows of one Write.
type group struct {
	write  *store.Write
	rows   [][]any
	places map[string]int // where the row of a key stands, for what may be written twice
}

// add gathers one row.
func (g *gathered) add(w *store.Write, args []any) {
	last := g.last[w.Table]
	if last == nil || last.write != w {
		last = &group{write: w}
		if w.Verb == store.Update || w.Verb == store.Upsert {
			last.places = map[string]int{}
		}
		g.groups = append(g.groups, last)
		if g.last == nil {
			g.last = map[string]*group{}
		}
		g.last[w.Table] = last
	}
	last.put(args)
	g.size += 8 * len(args)
	for _, arg := range args {
		switch v := arg.(type) {
		case string:
			g.size += len(v)
		case []byte:
			g.size += len(v)
		}
	}
}

// put adds a row, or replaces the one with the same key: a statement that finds two would take either.
func (r *group) put(args []any) {
	if r.places != nil {
		key := fmt.Sprint(args[:len(r.write.Key)]...)
		if at, found := r.places[key]; found {
			r.rows[at] = args
			return
		}
		r.places[key] = len(r.rows)
	}
	r.rows = append(r.rows, args)
}

// queue adds the statements to a batch and forgets the rows.
func (g *gathered) queue(b *pgx.Batch) {
	for _, r := range g.groups {
		if len(r.rows) == 1 && busy[r.write.Table] && r.write.Verb != store.Insert {
			b.Queue(single(r.write, r.rows[0]), bound(r.rows[0])...)
			continue
		}
		sql, same := many(r)
		columns := make([]any, len(r.rows[0]))
		for i := range columns {
			if same.has(i) {
				columns[i] = r.rows[0][i]
			} else {
				columns[i] = newArray(r.rows, i)
			}
		}
		b.Queue(sql, bound(columns)...)
	}
	*g = gathered{}
}

// alike are the columns, one bit each, in which the rows of a group have the same value: it is sent once, and not
// unnested for each row. Of what a submit writes that is most.
type alike uint64

func (a alike) has(column int) bool { return a>>column&1 != 0 }

// alike compares the rows, but for their keys.
func (r *group) alike() (same alike) {
	first := r.rows[0]
	for i := len(r.write.Key); i < len(first); i++ {
		if !slices.ContainsFunc(r.rows[1:], func(row []any) bool { return !equal(row[i], first[i]) }) {
			same |= 1 << i
		}
	}
	if r.write.Verb == store.Insert && len(r.rows) > 1 && same == 1<<len(first)-1 {
		same &^= 1 // something must tell how many rows there are
	}
	return same
}

func equal(a, b any) bool {
	if x, ok := a.([]byte); ok {
		y := b.([]byte)
		return bytes.Equal(x, y) && (x == nil) == (y == nil)
	}
	return a == b
}

// statements keeps the text that writes many rows, by Write and alike columns, and singles that which writes one, by
// Write.
var (
	statements, singles sync.Map
	variants            sync.Map // how many texts there are, by Write
)

type statement struct {
	write *store.Write
	same  alike
}

// maxVariants bounds the texts of one Write: each is parsed and planned by every session that uses it.
const maxVariants = 24

// many is the statement that writes a group, and the columns that it takes once: the others come as arrays, which it
// unnests side by side. One statement for a batch costs a fraction of one for each row.
func many(r *group) (string, alike) {
	key := statement{r.write, r.alike()}
	if sql, ok := statements.Load(key); ok {
		return sql.(string), key.same
	}
	count, _ := variants.LoadOrStore(r.write, new(atomic.Int64))
	if key.same != 0 && count.(*atomic.Int64).Add(1) > maxVariants {
		key.same = 0
	}
	w, names := r.write, r.write.All()
	values, named := make([]string, len(names)), make([]string, len(names))
	for i, name := range names {
		values[i] = fmt.Sprintf("unnest($%d::%s[])", i+1, kindOf(r.rows[0][i]).name)
		if key.same.has(i) {
			values[i] = fmt.Sprintf("$%d::%s", i+1, kindOf(r.rows[0][i]).name)
		}
		named[i] = values[i] + " AS " + name
	}
	rows := "(SELECT " + strings.Join(named, ", ") + ") AS v"
	into := "INSERT INTO " + w.Table + " (" + strings.Join(names, ", ") + ") SELECT "
	var sql string
	switch {
	case w.Verb == store.Update:
		sql = update(w, rows)
	case w.Verb == store.Delete:
		sql = "DELETE FROM " + w.Table + " AS t USING " + theirs(w, rows)
	case w.Verb != store.Insert && busy[w.Table]:
		sql = "WITH v AS (SELECT * FROM " + rows + "), there AS (" + update(w, "v") + " RETURNING " + of("t", w.Key) + ") " +
			into + "* FROM v WHERE NOT EXISTS (SELECT 1 FROM there WHERE " + same("there", "v", w.Key) + ")"
	default:
		sql = into + strings.Join(values, ", ") + w.OnConflict()
	}
	statements.Store(key, sql)
	return sql, key.same
}

// single is the statement that writes one row of a busy table, which is what most batches do: to join it to an array of
// one costs several times as much.
func single(w *store.Write, row []any) string {
	if sql, ok := singles.Load(w); ok {
		return sql.(string)
	}
	all, key, values := w.All(), make([]string, len(w.Key)), make([]string, len(w.All()))
	for i := range all {
		values[i] = fmt.Sprintf("$%d::%s", i+1, kindOf(row[i]).name)
	}
	copy(key, values)
	sets := make([]string, len(w.Columns))
	for i, c := range w.Columns {
		sets[i] = c + " = " + values[len(key)+i]
		if w.Verb == store.Add {
			sets[i] = c + " = " + c + " + " + values[len(key)+i]
		}
	}
	where := " WHERE ctid = (" + newest(w, strings.Join(key, ", ")) + ")"
	var sql string
	switch w.Verb {
	case store.Delete:
		sql = "DELETE FROM " + w.Table + where
	case store.Update:
		sql = "UPDATE " + w.Table + " SET " + strings.Join(sets, ", ") + where
	default:
		sql = "WITH there AS (UPDATE " + w.Table + " SET " + strings.Join(sets, ", ") + where + " RETURNING 1) INSERT INTO " + w.Table +
			" (" + strings.Join(all, ", ") + ") SELECT " + strings.Join(values, ", ") + " WHERE NOT EXISTS (SELECT 1 FROM there)"
	}
	singles.Store(w, sql)
	return sql
}

// busy are the tables of few rows that change with every batch. While somebody holds a snapshot nothing of them can be
// cleaned away, and a key's row has tens of thousands of versions, which an update by the key walks from the oldest on.
var busy = map[string]bool{"counters": true, "clients": true, "lanes": true, "type_loads": true, "usage": true}

func update(w *store.Write, values string) string {
	return "UPDATE " + w.Table + " AS t SET " + assign(w) + " FROM " + theirs(w, values)
}

// theirs joins the table's rows t to those of v that name them.
func theirs(w *store.Write, values string) string {
	if busy[w.Table] {
		return values + " CROSS JOIN LATERAL (" + newest(w, of("v", w.Key)) + ") AS newest WHERE t.ctid = newest.ctid"
	}
	return values + " WHERE " + same("t", "v", w.Key)
}

// newest finds the row of a key from its newest version on: an index keeps equal keys in the order of their places,
// and new versions go to the end of the table. The range of one key, and not the key, is asked for, since the order of
// what is all equal would be left out.
func newest(w *store.Write, sought string) string {
	key, latest := of("x", w.Key), make([]string, len(w.Key))
	for i, k := range w.Key {
		latest[i] = "x." + k + " DESC"
	}
	return "SELECT x.ctid FROM " + w.Table + " AS x WHERE (" + key + ") >= (" + sought + ") AND (" + key + ") <= (" + sought + ") ORDER BY " +
		strings.Join(latest, ", ") + " LIMIT 1"
}

// assign sets the columns of a row of v, or adds to them.
func assign(w *store.Write) string {
	sets := make([]string, len(w.Columns))
	for i, c := range w.Columns {
		sets[i] = c + " = v." + c
		if w.Verb == store.Add {
			sets[i] = c + " = t." + c + " + v." + c
		}
	}
	return strings.Join(sets, ", ")
}

func of(table string, columns []string) string {
	named := make([]string, len(columns))
	for i, c := range columns {
		named[i] = table + "." + c
	}
	return strings.Join(named, ", ")
}

func same(one, other string, key []string) string {
	equal := make([]string, len(key))
	for i, k := range key {
		equal[i] = one + "." + k + " = " + other + "." + k
	}
	return strings.Join(equal, " AND ")
}
