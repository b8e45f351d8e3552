package executor

import "time"

// State is where a breaker stands.
type State string

// The states of a breaker.
const (
	Closed   State = "closed"    // the upstream is called
	Open     State = "open"      // it kept failing: no jobs are taken
	HalfOpen State = "half_open" // one job is let through
)

// BreakerState tells whether a job type's upstream is called.
type BreakerState struct {
	Type     string
	State    State
	Failures int       // in a row
	Until    time.Time // when an open breaker lets a job through; zero otherwise
}

// health is what a call says of its upstream.
type health int

const (
	unknown health = iota // the call did not get to its end
	alive                 // it answered, if only to refuse the job
	down
)

const (
	mostFailures = 5 // in a row, while closed
	firstOpen    = time.Second
	mostOpen     = time.Minute
)

// breaker keeps jobs in the queue while their upstream fails: it opens after failures in a row, for a time that doubles
// with each opening until the one job that it lets through afterwards comes back well (Nygard, Release It!, 2007).
type breaker struct {
	jitter   func(time.Duration) time.Duration
	state    State
	failures int
	wait     time.Duration // of the last opening, before jitter
	until    time.Time
	probing  bool // half open: the one job is under way
	round    int  // rises with each change of state; what a call of an earlier round says is old
}

func newBreaker(jitter func(time.Duration) time.Duration) *breaker {
	return &breaker{jitter: jitter, state: Closed}
}

// admit is how many of the free places may be filled now, and where it is none how long to wait; 0: until something
// changes.
func (b *breaker) admit(now time.Time, free int) (n int, wait time.Duration) {
	if b.state == Open {
		if now.Before(b.until) {
			return 0, b.until.Sub(now)
		}
		b.move(HalfOpen)
	}
	switch {
	case b.state == Closed:
		return free, 0
	case b.probing:
		return 0, 0
	}
	return min(free, 1), 0
}

// begin reports whether a job that was admitted in the round may still be let through.
func (b *breaker) begin(round int) bool {
	if round != b.round || b.probing {
		return false
	}
	b.probing = b.state == HalfOpen
	return true
}

// record hears the end of a call that was begun in the round.
func (b *breaker) record(now time.Time, round int, h health) {
	if round != b.round {
		return
	}
	b.probing = false
	switch h {
	case alive:
		b.failures = 0
		if b.state == HalfOpen {
			b.reset()
		}
	case down:
		if b.failures++; b.state == HalfOpen || b.failures >= mostFailures {
			b.wait = min(max(2*b.wait, firstOpen), mostOpen)
			b.until = now.Add(b.jitter(b.wait))
			b.move(Open)
		}
	}
}

// reset closes the breaker and forgets what was.
func (b *breaker) reset() {
	b.failures, b.wait = 0, 0
	b.move(Closed)
}

func (b *breaker) move(s State) {
	b.state, b.probing = s, false
	b.round++
}
