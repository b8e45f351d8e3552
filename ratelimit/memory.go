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

// Memory limits within one process. It keeps two integers per key and forgets keys only when it is full: first those
// whose burst is whole again, by which nothing is lost, then those nearest to it.
type Memory struct {
	seed   maphash.Seed
	shards []shard
}

// shard holds the keys of one hash; most is how many.
type shard struct {
	mu       sync.Mutex
	arrivals map[string]*arrival
	most     int
	_        [40]byte // keeps neighbours' locks on other cache lines
}

// arrival is what is kept of a key.
type arrival struct {
	at    int64  // when its burst is whole again, Unix nanoseconds
	heard uint64 // the term of Shared in which the remote told it; 0: it never did
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
		m.shards[i].arrivals = map[string]*arrival{}
		m.shards[i].most = max(1, maxKeys/count)
	}
	return m
}

var _ Limiter = (*Memory)(nil)

// claim is a check in the course of a Take.
type claim struct {
	pace
	shard   int
	kept    *arrival // what is kept of the key; nil: nothing yet
	settled int64    // the arrival time before the cost
	next    int64    // and after it
}

// few is how many checks a Take holds without the heap.
const few = 4

// Take decides for all checks at once, under the locks of all their keys.
func (m *Memory) Take(_ context.Context, now time.Time, checks ...Check) Decision {
	return m.take(now.UnixNano(), 1, checks)
}

// take is Take for one of so many nodes.
func (m *Memory) take(now int64, nodes int, checks []Check) Decision {
	var space [few]claim
	claims := space[:]
	if len(checks) > len(space) {
		claims = make([]claim, len(checks))
	}
	locks := m.locate(checks, claims)
	m.lock(locks)
	d := m.decide(now, nodes, checks, claims)
	m.unlock(locks)
	return d
}

// locate finds the shards of the checks' keys, and the set of locks that guards them.
func (m *Memory) locate(checks []Check, claims []claim) (locks uint64) {
	for i := range checks {
		if checks[i].Limit.Unlimited() {
			continue
		}
		claims[i].shard = int(maphash.String(m.seed, checks[i].Key) % uint64(len(m.shards)))
		locks |= 1 << claims[i].shard
	}
	return locks
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

func (m *Memory) decide(now int64, nodes int, checks []Check, claims []claim) Decision {
	var v verdict
	for i := range checks {
		if checks[i].Limit.Unlimited() {
			continue
		}
		cl := &claims[i]
		cl.pace = paceOf(checks[i].Limit).share(nodes)
		cl.settled = cl.settle(m.arrival(i, checks, claims), now)
		if cl.kept != nil && cl.settled < cl.kept.at {
			cl.kept.at = cl.settled // also when it is refused: the burst is empty as of now, not anew at each call
		}
		v.add(cl.judge(&checks[i], now))
	}
	d := v.decision()
	if !d.OK {
		return d
	}
	for i := range checks {
		if cl := &claims[i]; cl.next > now && !checks[i].Limit.Unlimited() {
			m.shards[cl.shard].put(checks[i].Key, cl, now)
		}
	}
	return d
}

// arrival is the arrival time of a check's key: what an earlier check of the same key leaves, or what is kept.
func (m *Memory) arrival(i int, checks []Check, claims []claim) int64 {
	if j := earlier(i, checks); j >= 0 {
		return claims[j].next
	}
	cl := &claims[i]
	if cl.kept = m.shards[cl.shard].arrivals[checks[i].Key]; cl.kept == nil {
		return 0
	}
	return cl.kept.at
}

// earlier is the check before i that has the same key, or -1.
func earlier(i int, checks []Check) int {
	for j := i - 1; j >= 0; j-- {
		if checks[j].Key == checks[i].Key && !checks[j].Limit.Unlimited() {
			return j
		}
	}
	return -1
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

// verdict finds the tightest of decisions.
type verdict struct {
	tightest Decision
	found    bool
}

func (v *verdict) add(d Decision) {
	if !v.found || tighter(d, v.tightest) {
		v.tightest, v.found = d, true
	}
}

func (v *verdict) decision() Decision {
	if !v.found {
		return Decision{OK: true}
	}
	return v.tightest
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
		cl.kept.at = cl.next
		return
	}
	s.keep(key, cl.next, now)
}

// keep returns what is kept of the key with that arrival time.
func (s *shard) keep(key string, at, now int64) *arrival {
	kept := s.arrivals[key]
	if kept == nil {
		if len(s.arrivals) >= s.most {
			s.makeRoom(now)
		}
		kept = &arrival{}
		s.arrivals[key] = kept
	}
	kept.at = at
	return kept
}

// makeRoom forgets every key whose burst is whole again. Where these are too few it forgets those nearest to it, one
// in sixteen at once, so that a full shard is searched only now and then.
func (s *shard) makeRoom(now int64) {
	maps.DeleteFunc(s.arrivals, func(_ string, kept *arrival) bool { return kept.at <= now })
	surplus := len(s.arrivals) - s.most + max(1, s.most/16)
	if surplus <= 0 {
		return
	}
	ends := make([]int64, 0, len(s.arrivals))
	for _, kept := range s.arrivals {
		ends = append(ends, kept.at)
	}
	slices.Sort(ends)
	last := ends[surplus-1]
	maps.DeleteFunc(s.arrivals, func(_ string, kept *arrival) bool {
		if kept.at > last || surplus == 0 {
			return false
		}
		surplus--
		return true
	})
}
