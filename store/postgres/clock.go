package postgres

import (
	"sync"
	"time"
)

// clockSQL is the database's time in UTC microseconds.
const clockSQL = `CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)`

// clock is the database's time as this node knows it: the node's own, which runs on by itself, and how far that is off.
// Two nodes whose own clocks differ so agree on what time it is.
type clock struct {
	local func() time.Time
	start time.Time // all is counted from here, so that it is the monotonic clock that runs on

	mu     sync.Mutex
	known  bool
	offset time.Duration
}

func newClock(local func() time.Time) *clock {
	if local == nil {
		local = time.Now
	}
	return &clock{local: local, start: local()}
}

// elapsed is the node's own time, which nobody sets.
func (c *clock) elapsed() time.Duration { return c.local().Sub(c.start) }

// now is the database's time.
func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.start.Add(c.elapsed() + c.offset)
}

// heard takes in the database's time, which was asked for at the elapsed time and has just come. It was that time
// somewhere between the two: what is known already holds if it lies within, and else moves no further than it must. So
// an answer that was long on its way, or lay there while this process stood still, sets nothing back.
func (c *clock) heard(us int64, asked time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := time.UnixMicro(us).Sub(c.start)
	least, most := at-c.elapsed(), at-asked
	if !c.known {
		c.known, c.offset = true, least+(most-least)/2
		return
	}
	c.offset = min(max(c.offset, least), most)
}
