package store

import (
	"errors"
	"time"

	"github.com/tallygate/tallygate"
)

// Tx is a transaction of either engine. It keeps the rows that many members of one batch share, so that each is read
// and written once a batch.
type Tx struct {
	conn     Conn
	now      time.Time
	cache    *Cache
	records  map[tallygate.IdempotencyKey]*tallygate.Idempotency // read ahead; nil: known to be missing
	readOnly bool
	writes   int  // how many writes members have made
	broken   bool // a member panicked
	far      bool // every question is a journey
}

var _ tallygate.Tx = (*Tx)(nil)

// Cache holds rows that members share: counters that move with every job. An engine with one writer keeps it between
// transactions, any other starts each with an empty one.
type Cache struct {
	clients map[tallygate.ClientID]*cached[tallygate.Client]
	types   map[string]*tallygate.JobType // nil: known to be missing
	prices  map[priceKey]tallygate.Price
	loads   map[string]*cached[tallygate.TypeLoad]
	lanes   map[string]map[tallygate.ClientID]*cached[tallygate.Lane] // all active ones of a type, once it is loaded
	usage   map[usageKey]tallygate.Usage                              // to be added
	leased  map[tallygate.JobID]tallygate.QueueItem                   // saved ones, as the database holds them
	event   counter

	dirty []func() error // in the order of first change
}

type cached[T any] struct {
	value T
	dirty bool
}

type counter struct {
	value         int64
	loaded, dirty bool
}

type priceKey struct {
	jobType string
	version int64
}

type usageKey struct {
	client tallygate.ClientID
	day    int64
	typ    string
}

// maxCached bounds the clients and lanes that stay between transactions.
const maxCached = 20_000

// NewCacheAt returns an empty cache that knows the last event's number.
func NewCacheAt(event int64) *Cache {
	c := NewCache()
	c.event = counter{value: event, loaded: true}
	return c
}

// NewCache returns an empty cache.
func NewCache() *Cache {
	return &Cache{
		clients: map[tallygate.ClientID]*cached[tallygate.Client]{},
		types:   map[string]*tallygate.JobType{},
		prices:  map[priceKey]tallygate.Price{},
		loads:   map[string]*cached[tallygate.TypeLoad]{},
		lanes:   map[string]map[tallygate.ClientID]*cached[tallygate.Lane]{},
		usage:   map[usageKey]tallygate.Usage{},
		leased:  map[tallygate.JobID]tallygate.QueueItem{},
	}
}

// Reusable reports whether the cache may serve the next transaction: nothing in it is unwritten and it is not too large.
func (c *Cache) Reusable() bool {
	lanes := 0
	for _, byClient := range c.lanes {
		lanes += len(byClient)
	}
	return len(c.dirty) == 0 && len(c.clients) < maxCached && len(c.leased) < maxCached && lanes < maxCached && len(c.prices) < maxCached
}

// NewTx makes the transaction of an engine that has begun one on conn. Its cache must be empty or hold what the
// database holds.
func NewTx(conn Conn, now time.Time, cache *Cache) *Tx {
	return &Tx{conn: conn, now: storable(now), cache: cache}
}

// NewView makes a read-only transaction over the snapshot of conn.
func NewView(conn Conn, now time.Time) *Tx {
	return &Tx{conn: conn, now: storable(now), cache: NewCache(), readOnly: true}
}

// Wrote reports whether anything is to be committed.
func (tx *Tx) Wrote() bool { return tx.writes > 0 || tx.cache.event.dirty || len(tx.cache.dirty) > 0 }

// Now is the time of the transaction.
func (tx *Tx) Now() time.Time { return tx.now }

// Seen is a time of which this transaction sees every write up to then; see tallygate.Tx.
func (tx *Tx) Seen() (time.Time, error) {
	at, err := tx.integer(`SELECT at FROM counters WHERE ` + newest("name", "'event'"))
	return moment(at), err
}

// newest is the end of a query for the one row of a key. While somebody holds a snapshot of a database that keeps old
// versions of rows, a row that changes with every batch has tens of thousands. An index keeps equal keys in the order
// of their places, and new versions go to the end of a table: from there on the newest is the first. The range of one
// key, and not the key, is asked for, since the order of what is all equal would be left out.
func newest(key, is string) string {
	return key + ` >= ` + is + ` AND ` + key + ` <= ` + is + ` ORDER BY ` + key + ` DESC LIMIT 1`
}

var errReadOnly = errors.New("a write in a read-only transaction")

// wrote notes a write of a member; every writing method begins with it.
func (tx *Tx) wrote() error {
	if tx.readOnly {
		return errReadOnly
	}
	tx.writes++
	return nil
}

// exec is a write that goes to the database at once.
func (tx *Tx) exec(sql string, args ...any) error {
	if err := tx.wrote(); err != nil {
		return err
	}
	_, err := tx.conn.Exec(sql, args...)
	return err
}

// EventCounter writes the last event's number, and the time of the write, before the commit.
var EventCounter = update("counters", "name", "value, at")

// flush writes the shared rows that changed.
func (tx *Tx) flush() error {
	for _, write := range tx.cache.dirty {
		if err := write(); err != nil {
			return err
		}
	}
	tx.cache.dirty = tx.cache.dirty[:0]
	if tx.cache.event.dirty {
		tx.cache.event.dirty = false
		return tx.conn.Write(EventCounter, "event", tx.cache.event.value, micros(tx.now))
	}
	return nil
}

// put stores a value in a cached row and has it written by save before the commit.
func put[T any](tx *Tx, row *cached[T], value T, save func(*T) error) error {
	if err := tx.wrote(); err != nil {
		return err
	}
	row.value = value
	if !row.dirty {
		row.dirty = true
		tx.cache.dirty = append(tx.cache.dirty, func() error {
			row.dirty = false
			return save(&row.value)
		})
	}
	return nil
}

// one runs a query that finds at most one row and returns it scanned, or nil.
func one[T any](tx *Tx, sql string, scan func(Row) (*T, error), args ...any) (*T, error) {
	rows, err := all(tx, sql, scan, args...)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[0], nil
}

// all runs a query and returns its rows scanned.
func all[T any](tx *Tx, sql string, scan func(Row) (*T, error), args ...any) ([]*T, error) {
	var rows []*T
	err := tx.conn.Query(sql, func(r Row) error {
		v, err := scan(r)
		rows = append(rows, v)
		return err
	}, args...)
	return rows, err
}

// integer runs a query for one integer, 0 where it finds no row or NULL.
func (tx *Tx) integer(sql string, args ...any) (value int64, err error) {
	err = tx.conn.Query(sql, func(r Row) error { value = r.Int64(0); return nil }, args...)
	return value, err
}
