package postgres

import (
	"fmt"
	"strings"
	"sync"

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
		columns := make([]any, len(r.rows[0]))
		for i := range columns {
			columns[i] = newArray(r.rows, i)
		}
		b.Queue(many(r), columns...)
	}
	*g = gathered{}
}

// statements keeps the text that writes many rows, by Write.
var statements sync.Map

// many is the statement that writes a group: it unnests the arrays side by side. One statement for a batch costs a
// fraction of one for each row.
func many(r *group) string {
	if sql, ok := statements.Load(r.write); ok {
		return sql.(string)
	}
	w, names := r.write, r.write.All()
	arrays := make([]string, len(names))
	for i := range names {
		arrays[i] = fmt.Sprintf("$%d::%s[]", i+1, kindOf(r.rows[0][i]).name)
	}
	rows, columns := "unnest("+strings.Join(arrays, ", ")+")", strings.Join(names, ", ")
	values := rows + " AS v (" + columns + ")"
	into := "INSERT INTO " + w.Table + " (" + columns + ") SELECT "
	var sql string
	switch {
	case w.Verb == store.Update:
		sql = update(w, values)
	case w.Verb == store.Delete:
		sql = "DELETE FROM " + w.Table + " AS t USING " + theirs(w, values)
	case w.Verb != store.Insert && busy[w.Table]:
		sql = "WITH v AS (SELECT * FROM " + values + "), there AS (" + update(w, "v") + " RETURNING " + of("t", w.Key) + ") " +
			into + "* FROM v WHERE NOT EXISTS (SELECT 1 FROM there WHERE " + same("there", "v", w.Key) + ")"
	default:
		sql = into + "* FROM " + rows + w.OnConflict()
	}
	statements.Store(r.write, sql)
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
		return values + " CROSS JOIN LATERAL " + newest(w) + " WHERE t.ctid = newest.ctid"
	}
	return values + " WHERE " + same("t", "v", w.Key)
}

// newest finds the row of a key of v from its newest version on: an index keeps equal keys in the order of their places,
// and new versions go to the end of the table. The range of one key, and not the key, is asked for, since the order of
// what is all equal would be left out.
func newest(w *store.Write) string {
	key, sought, latest := of("x", w.Key), of("v", w.Key), make([]string, len(w.Key))
	for i, k := range w.Key {
		latest[i] = "x." + k + " DESC"
	}
	return "(SELECT x.ctid FROM " + w.Table + " AS x WHERE (" + key + ") >= (" + sought + ") AND (" + key + ") <= (" + sought + ") ORDER BY " +
		strings.Join(latest, ", ") + " LIMIT 1) AS newest"
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
