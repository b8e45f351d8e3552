// Package ratelimit decides how many requests pass: smooth rates with bursts, several limits in one decision. It holds
// the arithmetic and where the numbers are kept; whose limit is asked, and what a refusal is called, is for its callers.
package ratelimit

import (
	"context"
	"time"

	"github.com/tallygate/tallygate"
)

// Check asks one limit for the cost of a call.
type Check struct {
	Key   string // what is limited, such as "client:cl_…"; one state is kept under it
	Name  string // what the limit is called where it is reported: "client", "key", "job_type", "auth"
	Limit tallygate.RateLimit
	Cost  int64 // in requests; above the limit's burst it is never admitted
}

// Decision tells what became of a call, by the tightest of its limits: the one that refuses, of several the one with
// the longest wait; where none refuses, the one with the least share of its burst left.
type Decision struct {
	OK         bool
	Name       string
	Limit      tallygate.RateLimit
	Remaining  int64         // requests of cost 1 that would pass at this instant, after this call
	ResetAfter time.Duration // until the whole burst is there again
	RetryAfter time.Duration // of a refusal: the same call passes after it, if nobody else comes; 0: it never will
}

// Never reports whether a refused call can't pass however long it waits, because it costs more than the burst.
func (d Decision) Never() bool { return !d.OK && d.RetryAfter == 0 }

// Limiter admits or refuses calls.
type Limiter interface {
	// Take admits the call if every check does, and only then takes the costs; a refusal costs nothing. Checks of a
	// limit that limits nothing are passed over; with none left the decision is OK and otherwise zero. The checks
	// may be shared and are not changed.
	Take(ctx context.Context, now time.Time, checks ...Check) Decision
}
