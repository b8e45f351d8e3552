package ratelimit

import (
	"context"
	"time"
)

// Share limits where each of several nodes decides alone: a call takes from this node's part of each limit, the limit
// divided by the nodes that live. The rate is divided exactly. At one instant a node lets its part of the burst pass,
// rounded down, or one call whose cost is above that part, which then waits longer to be whole again; Never is said only
// of what the whole limit never admits. A decision tells the whole limit, and what would remain of it if all nodes had
// spent as much as this one.
//
// When nodes come or go, what is kept goes on holding: a burst of which a quarter is spent has a quarter spent.
type Share struct {
	memory *Memory
	nodes  func() int
}

var _ Limiter = (*Share)(nil)

// NewShare returns a limiter that remembers at most maxKeys keys. nodes is asked at each Take how many nodes live, this
// one included, and must not block; less than one counts as one.
func NewShare(maxKeys int, nodes func() int) *Share {
	return &Share{NewMemory(maxKeys), nodes}
}

// Take decides for this node's part of each limit.
func (s *Share) Take(_ context.Context, now time.Time, checks ...Check) Decision {
	return s.memory.take(now.UnixNano(), s.nodes(), checks)
}
