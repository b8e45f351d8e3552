package postgres

import (
	"context"
	"crypto/rand"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// presence tells that this node is alive and counts those that are.
type presence struct {
	store *Store
	id    string
	nodes atomic.Int64
	first atomic.Bool // of the living, in the order of their ids
}

func newPresence(s *Store) *presence {
	p := &presence{store: s, id: rand.Text()}
	p.nodes.Store(1)
	return p
}

// Nodes is how many nodes are alive, this one included, as this one last heard.
func (s *Store) Nodes() int { return int(s.presence.nodes.Load()) }

func (p *presence) run() {
	ctx := p.store.background
	for {
		pause(ctx, beatEvery)
		if ctx.Err() != nil {
			return
		}
		beating, cancel := context.WithTimeout(ctx, connectTimeout)
		err := p.beat(beating)
		cancel()
		if err != nil && ctx.Err() == nil {
			p.store.log.Debug("tell that this node is alive", "error", err) // whoever needs the database says so louder
		}
	}
}

// beat writes the row of this node, counts the living and measures the clock.
func (p *presence) beat(ctx context.Context) error {
	asked := p.store.clock.elapsed()
	var clock, nodes, before int64
	batch := &pgx.Batch{}
	batch.Queue("BEGIN")
	batch.Queue("SET LOCAL synchronous_commit = local") // nobody minds the loss of a sign of life: no standby is waited for
	batch.Queue(`WITH beat AS (INSERT INTO nodes (id, seen_at, started_at) VALUES ($1, `+clockSQL+`, `+clockSQL+`)
			ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at)
		SELECT `+clockSQL+`, COUNT(*), COUNT(*) FILTER (WHERE id < $1) FROM nodes WHERE id <> $1 AND seen_at > `+clockSQL+` - $2`,
		p.id, absentAfter.Microseconds()).QueryRow(func(r pgx.Row) error { return r.Scan(&clock, &nodes, &before) })
	batch.Queue("COMMIT")
	if err := p.store.chores.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	p.store.clock.heard(clock, asked)
	p.nodes.Store(nodes + 1)
	p.first.Store(before == 0)
	return nil
}

// count counts the living others without a row of its own.
func (p *presence) count(ctx context.Context) error {
	var nodes int64
	err := p.store.pool.QueryRow(ctx, `SELECT COUNT(*) FROM nodes WHERE seen_at > `+clockSQL+` - $1`, absentAfter.Microseconds()).Scan(&nodes)
	p.nodes.Store(nodes + 1)
	return err
}

// leave takes the node's row away, and those of nodes that went without a word.
func (p *presence) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	_, err := p.store.chores.Exec(ctx, `DELETE FROM nodes WHERE id = $1 OR seen_at < `+clockSQL+` - $2`, p.id, time.Hour.Microseconds())
	if err != nil {
		p.store.log.Debug("leave the nodes", "error", err) // its row counts no longer in a few seconds
	}
}
