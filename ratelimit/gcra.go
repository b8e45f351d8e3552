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
type pace struct {
	interval  int64 // nanoseconds a request takes to refill, rounded up so that no window admits too much
	burst     int64
	tolerance int64 // nanoseconds the burst takes to refill
}

const (
	// maxTolerance, 73 years, keeps every sum of a present time and a tolerance within an int64.
	maxTolerance = 1 << 61
	// clockStep is how far an arrival time may lie past what the limit allows before that is taken for a clock set back
	// or a limit narrowed. Goroutines that read the clock and arrive out of order stay well below it.
	clockStep = int64(time.Second)
)

// paceOf converts a limit. One that makes no sense, such as a negative rate or no burst, admits nothing.
func paceOf(l tallygate.RateLimit) pace {
	if !(l.PerSecond > 0) || l.Burst < 1 {
		return pace{interval: 1}
	}
	interval := int64(maxTolerance)
	if exact := math.Ceil(1e9 / l.PerSecond); exact < maxTolerance {
		interval = max(1, int64(exact))
	}
	burst := l.Burst
	if high, low := bits.Mul64(uint64(interval), uint64(burst)); high != 0 || low > maxTolerance {
		burst = maxTolerance / interval
	}
	return pace{interval, burst, interval * burst}
}

// settle returns the arrival time that counts at now: one in the past stands for a whole burst, and one further ahead
// than can be for none.
func (p pace) settle(arrival, now int64) int64 {
	if arrival > now+p.tolerance+clockStep {
		return now + p.tolerance
	}
	return max(arrival, now)
}

// never reports whether the cost is above the burst.
func (p pace) never(cost int64) bool { return cost > p.burst }

// take returns the arrival time after a cost that is not above the burst, and the wait until it may be taken: not
// positive when it may be now.
func (p pace) take(settled, now, cost int64) (next, wait int64) {
	next = settled + cost*p.interval
	return next, next - p.tolerance - now
}

// remaining is how many requests pass at now.
func (p pace) remaining(settled, now int64) int64 {
	return max(0, now+p.tolerance-settled) / p.interval
}
