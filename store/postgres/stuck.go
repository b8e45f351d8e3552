package postgres

import (
	"context"
	"time"
)

// stuckAfter is how long a turn may last before its node is suspected.
const stuckAfter = 5 * time.Second

// endStuck ends the sessions that hold the turn for longer than after and wait for their nodes, and reports whether there were any.
// One that is idle ends by itself, after idleTimeout. But of a node that stood still, or lost its power, in the middle of
// sending, the database waits for the rest without end. A copy into the database, which locks it all, is no turn.
func (s *Store) endStuck(after time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	var ended int64
	err := s.chores.QueryRow(ctx, `SELECT COUNT(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event = 'ClientRead' AND xact_start < clock_timestamp() - $1 * INTERVAL '1 second' AND pid IN
			(SELECT pid FROM pg_locks WHERE locktype = 'relation' AND relation = 'counters'::regclass AND mode IN ('RowShareLock', 'RowExclusiveLock'))
			AND pid NOT IN (SELECT pid FROM pg_locks WHERE locktype = 'relation' AND relation = 'counters'::regclass AND mode = 'AccessExclusiveLock')`,
		after.Seconds()).Scan(&ended)
	switch {
	case err != nil:
		s.log.Debug("look for a node that stands still", "error", err) // whoever waits is told
	case ended > 0:
		s.log.Warn("a node stood still while it wrote; its session was ended", "sessions", ended)
	}
	return ended > 0
}
