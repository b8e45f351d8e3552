package ratelimit

import (
	"math"
	"math/bits"
	"time"

	"github.com/tallygate/tallygate"
)

// pace is a limit in the integers of the generic cell rate algorithm (ITU-T I.371, virtual scheduling). All that is
// kept of a key is its arrival time: when the burst would be whole again, Unix nanoseconds. Each request moves it on by
// one interval, and it may run ahead of now by the tolerance.
//
// In one node's share of a limit a request moves it on by as many intervals as there are nodes, while the tolerance
// stays: so an arrival time tells the same part of a burst in a share as in the whole limit.
type pace struct {
	interval  int64 // nanoseconds a request takes to refill, rounded up so that no window admits too much
	whole     int64 // the same where one node has the whole limit
	burst     int64 // of the whole limit
	tolerance int64 // nanoseconds the burst takes to refill
	furthest  int64 // ahead of now, after the dearest call; more than the tolerance where a share's burst is below its cost
}

const (
	// maxTolerance, 73 years, keeps every sum of a present time, a tolerance and a cost within an int64.
	maxTolerance = 1 << 61
	// clockStep is how far an arrival time may lie past what the limit allows before that is taken for a clock set back
	// or a limit narrowed. Goroutines that read the clock and arrive out of order stay well below it.
	clockStep = int64(time.Second)
)

// paceOf converts a limit. One that makes no sense, such as a negative rate or no burst, admits nothing.
func paceOf(l tallygate.RateLimit) pace {
	if !(l.PerSecond > 0) || l.Burst < 1 {
		return pace{interval: 1, whole: 1}
	}
	interval := int64(maxTolerance)
	if exact := math.Ceil(1e9 / l.PerSecond); exact < maxTolerance {
		interval = max(1, int64(exact))
	}
	burst := min(l.Burst, maxTolerance/interval)
	return pace{interval: interval, whole: interval, burst: burst, tolerance: interval * burst, furthest: interval * burst}
}

// share is the pace of one of so many nodes.
func (p pace) share(nodes int) pace {
	if nodes > 1 {
		p.interval = times(p.whole, int64(nodes))
		p.furthest = times(p.interval, p.burst)
	}
	return p
}

// times multiplies without passing maxTolerance.
func times(a, b int64) int64 {
	if high, low := bits.Mul64(uint64(a), uint64(b)); high == 0 && low < maxTolerance {
		return int64(low)
	}
	return maxTolerance
}

// settle returns the arrival time that counts at now: one in the past stands for a whole burst, and one further ahead
// than can be for none.
func (p pace) settle(arrival, now int64) int64 {
	if arrival > now+p.furthest+clockStep {
		return now + p.furthest
	}
	return max(arrival, now)
}

// never reports whether the cost is above the burst.
func (p pace) never(cost int64) bool { return cost > p.burst }

// take returns the arrival time after a cost that is not above the burst, and the wait until it may be taken: not
// positive when it may be now. A cost above a share's burst passes when all of the burst is there, and is owed from
// then on.
func (p pace) take(settled, now, cost int64) (next, wait int64) {
	spent := times(p.interval, cost)
	next = settled + spent
	return next, next - max(p.tolerance, spent) - now
}

// room is how far ahead of now the arrival time may be for the cost to pass; below zero it never passes.
func (p pace) room(cost int64) int64 {
	switch {
	case p.never(cost):
		return -1
	case cost <= 0:
		return math.MaxInt64
	}
	spent := times(p.interval, cost)
	return max(p.tolerance, spent) - spent
}

// remaining is how many requests pass at now, in a share on all nodes together; 0 where none passes here.
func (p pace) remaining(settled, now int64) int64 {
	left := now + p.tolerance - settled
	if left < min(p.interval, p.tolerance) {
		return 0
	}
	return left / p.whole
}
