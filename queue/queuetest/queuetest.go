// Package queuetest is what tests of the queue and of the rooms above it share: a clock that is moved by hand, and the
// audit of what they did.
package queuetest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
)

// Clock is a time that tests move by hand.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that stands at the time.
func NewClock(at time.Time) *Clock { return &Clock{now: at} }

// Now returns the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Audit fails the test where the ledger does not add up.
func Audit(t testing.TB, store tallygate.Store) {
	t.Helper()
	err := store.View(context.Background(), func(tx tallygate.Tx) error {
		report, err := tx.Audit()
		if err == nil {
			for _, f := range report.Findings {
				t.Errorf("audit: %s: %s: %s", f.Statement, f.Subject, f.Detail)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
