package ratelimit

import (
	"context"
	"hash/maphash"
	"maps"
	"math/bits"
	"slices"
	"sync"
	"time"
)

// Memory limits within one process. It keeps one integer per key and forgets keys only when it is full: first those
// whose burst is whole again, by which nothing is lost, then those nearest to it.
type Memory struct {
	seed   maphash.Seed
	shards []shard
}

// shard holds the keys of one hash; most is how many.
type shard struct {
	mu       sync.Mutex
	arrivals map[string]*int64
	most     int
	_        [40]byte // keeps neighbours' locks on other cache lines
}

const (
	maxShards    = 64 // the bits of the set of locks that Take holds
	leastInShard = 256
)

// NewMemory returns a limiter that remembers at most maxKeys keys, and at least one.
func NewMemory(maxKeys int) *Memory {
	count := min(maxShards, max(1, maxKeys/leastInShard))
	m := &Memory{seed: maphash.MakeSeed(), shards: make([]shard, count)}
	for i := range m.shards {
		m.shards[i].arrivals = map[string]*int64{}
		m.shards[i].most = max(1, maxKeys/count)
	}
	return m
}

var _ Limiter = (*Memory)(nil)

// claim is a check in the course of a Take.
type claim struct {
	pace
	shard   int
	kept    *int64 // where the key's arrival time is kept; nil: nowhere yet
	settled int64  // the arrival time before the cost
	next    int64  // and after it
}

// Take decides for all checks at once, under the locks of all their keys.
func (m *Memory) Take(_ context.Context, now time.Time, checks ...Check) Decision {
	var few [4]claim // keeps the usual Take off the heap
	claims := few[:]
	if len(checks) > len(few) {
		claims = make([]claim, len(checks))
	}
	var locks uint64
	for i := range checks {
		if checks[i].Limit.Unlimited() {
			continue
		}
		claims[i].shard = int(maphash.String(m.seed, checks[i].Key) % uint64(len(m.shards)))
		locks |= 1 << claims[i].shard
	}
	m.lock(locks)
	d := m.decide(now.UnixNano(), checks, claims)
	m.unlock(locks)
	return d
}

// lock takes the locks in the order of the shards, so that no two calls wait for each other.
func (m *Memory) lock(set uint64) {
	for ; set != 0; set &= set - 1 {
		m.shards[bits.TrailingZeros64(set)].mu.Lock()
	}
}

func (m *Memory) unlock(set uint64) {
	for ; set != 0; set &= set - 1 {
		m.shards[bits.TrailingZeros64(set)].mu.Unlock()
	}
}

func (m *Memory) decide(now int64, checks []Check, claims []claim) Decision {
	tightest, found := Decision{OK: true}, false
	for i := range checks {
		if checks[i].Limit.Unlimited() {
			continue
		}
		cl := &claims[i]
		cl.pace = paceOf(checks[i].Limit)
		cl.settled = cl.settle(m.arrival(i, checks, claims), now)
		if cl.kept != nil && cl.settled < *cl.kept {
			*cl.kept = cl.settled // also when it is refused: the burst is empty as of now, not anew at each call
		}
		if d := cl.judge(&checks[i], now); !found || tighter(d, tightest) {
			tightest, found = d, true
		}
	}
	if !tightest.OK {
		return tightest
	}
	for i := range checks {
		if cl := &claims[i]; cl.next > now && !checks[i].Limit.Unlimited() {
			m.shards[cl.shard].put(checks[i].Key, cl, now)
		}
	}
	return tightest
}

// arrival is the arrival time of a check's key: what an earlier check of the same key leaves, or what is kept.
func (m *Memory) arrival(i int, checks []Check, claims []claim) int64 {
	for j := i - 1; j >= 0; j-- {
		if checks[j].Key == checks[i].Key && !checks[j].Limit.Unlimited() {
			return claims[j].next
		}
	}
	cl := &claims[i]
	if cl.kept = m.shards[cl.shard].arrivals[checks[i].Key]; cl.kept == nil {
		return 0
	}
	return *cl.kept
}

// judge decides one check and notes the arrival time that it leaves.
func (cl *claim) judge(c *Check, now int64) Decision {
	cost := max(0, c.Cost)
	d := Decision{OK: true, Name: c.Name, Limit: c.Limit}
	cl.next = cl.settled
	if cl.never(cost) {
		d.OK = false
	} else if next, wait := cl.take(cl.settled, now, cost); wait > 0 && cost > 0 {
		d.OK, d.RetryAfter = false, time.Duration(wait)
	} else {
		cl.next = next
	}
	d.Remaining = cl.remaining(cl.next, now)
	d.ResetAfter = time.Duration(cl.next - now)
	return d
}

// tighter reports whether d is to be reported rather than e.
func tighter(d, e Decision) bool {
	switch {
	case d.OK != e.OK:
		return !d.OK
	case d.OK:
		return float64(d.Remaining)*float64(e.Limit.Burst) < float64(e.Remaining)*float64(d.Limit.Burst)
	case e.Never():
		return false
	}
	return d.Never() || d.RetryAfter > e.RetryAfter
}

// put keeps the key's arrival time and makes room where there is none.
func (s *shard) put(key string, cl *claim, now int64) {
	if cl.kept != nil {
		*cl.kept = cl.next
		return
	}
	if s.arrivals[key] == nil && len(s.arrivals) >= s.most {
		s.makeRoom(now)
	}
	arrival := cl.next
	s.arrivals[key] = &arrival
}

// makeRoom forgets every key whose burst is whole again. Where these are too few it forgets those nearest to it, one
// in sixteen at once, so that a full shard is searched only now and then.
func (s *shard) makeRoom(now int64) {
	maps.DeleteFunc(s.arrivals, func(_ string, arrival *int64) bool { return *arrival <= now })
	surplus := len(s.arrivals) - s.most + max(1, s.most/16)
	if surplus <= 0 {
		return
	}
	arrivals := make([]int64, 0, len(s.arrivals))
	for _, arrival := range s.arrivals {
		arrivals = append(arrivals, *arrival)
	}
	slices.Sort(arrivals)
	last := arrivals[surplus-1]
	maps.DeleteFunc(s.arrivals, func(_ string, arrival *int64) bool {
		if *arrival > last || surplus == 0 {
			return false
		}
		surplus--
		return true
	})
}
