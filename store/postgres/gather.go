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
	rows := "unnest(" + strings.Join(arrays, ", ") + ")"
	var sql string
	switch w.Verb {
	case store.Insert, store.Upsert, store.Add:
		sql = "INSERT INTO " + w.Table + " (" + strings.Join(names, ", ") + ") SELECT * FROM " + rows + w.OnConflict()
	case store.Update:
		sets := make([]string, len(w.Columns))
		for i, c := range w.Columns {
			sets[i] = c + " = v." + c
		}
		sql = "UPDATE " + w.Table + " AS t SET " + strings.Join(sets, ", ") + " FROM " + rows + " AS v (" + strings.Join(names, ", ") + ") WHERE " + sameKey(w)
	case store.Delete:
		sql = "DELETE FROM " + w.Table + " AS t USING " + rows + " AS v (" + strings.Join(names, ", ") + ") WHERE " + sameKey(w)
	}
	statements.Store(w, sql)
	return sql
}

func sameKey(w *store.Write) string {
	same := make([]string, len(w.Key))
	for i, k := range w.Key {
		same[i] = "t." + k + " = v." + k
	}
	return strings.Join(same, " AND ")
}
