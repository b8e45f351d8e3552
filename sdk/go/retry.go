package tallygate

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	firstBackoff = 250 * time.Millisecond // the most before the second attempt; it doubles from there
	mostBackoff  = 8 * time.Second

	retryCost   = 5 // of the budget
	timeoutCost = 10
	successGift = 1
)

// backoff is the most to wait after so many failed attempts.
func backoff(failed int) time.Duration {
	return min(mostBackoff, firstBackoff<<min(failed-1, 16))
}

// pause is how long to wait after so many failed attempts: full jitter (Brooker, "Exponential Backoff And Jitter", 2015)
// above what the server asks for, and as wide as that, so that callers who were refused together do not return together.
func pause(failed int, retryAfter time.Duration, random float64) time.Duration {
	width := max(backoff(failed), min(retryAfter, mostBackoff))
	jitter := time.Duration(random * float64(width))
	if retryAfter > farthest-jitter {
		return farthest
	}
	return retryAfter + jitter
}

// budget is a token bucket that further attempts are taken from, as in the standard mode of AWS's SDKs.
type budget struct {
	mu     sync.Mutex
	tokens int
	most   int
}

func (b *budget) fill(tokens int) { b.tokens, b.most = max(0, tokens), max(0, tokens) }

func (b *budget) take(cost int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tokens < cost {
		return false
	}
	b.tokens -= cost
	return true
}

func (b *budget) give(tokens int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(b.most, b.tokens+tokens)
}

// tries are the attempts of one call.
type tries struct {
	client  *Client
	request *request
	limits  limits
	began   time.Time
	made    int
	failed  int // since the call, or since a stream's last event
	cost    int // of the last further attempt
}

func (c *Client) newTries(r *request, l limits) *tries {
	return &tries{client: c, request: r, limits: l, began: time.Now()}
}

// left is what is left of the deadline, and whether there is one.
func (t *tries) left() (time.Duration, bool) {
	if t.limits.deadline == 0 {
		return 0, false
	}
	return time.Until(t.began.Add(t.limits.deadline + t.request.wait)), true
}

// bound is how long an attempt may take; 0: as long as it will.
func (t *tries) bound() time.Duration {
	left, bounded := t.left()
	if t.limits.timeout == 0 {
		return max(0, left)
	}
	own := t.limits.timeout + t.request.wait
	if bounded {
		return max(1, min(own, left))
	}
	return own
}

// succeeded gives back to the budget.
func (t *tries) succeeded() {
	if t.cost > 0 {
		t.client.budget.give(t.cost)
	} else {
		t.client.budget.give(successGift)
	}
}

// progressed counts from here on: an event of a stream has come.
func (t *tries) progressed() {
	if t.failed > 0 {
		t.client.budget.give(t.cost)
	}
	t.began, t.made, t.failed, t.cost = time.Now(), 0, 0, 0
}

// again returns nil when the call may be tried again, having waited for it; else the error that the call ends in.
func (t *tries) again(ctx context.Context, err error) error {
	failure := baseOf(err)
	if failure == nil {
		return err // the caller's context, or nothing that was sent
	}
	t.failed++
	failure.Attempts = t.failed
	if !failure.retry || t.failed >= t.limits.maxAttempts {
		return err
	}
	wait := pause(t.failed, failure.RetryAfter, t.client.random())
	if left, bounded := t.left(); bounded && wait >= left {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok && wait >= time.Until(deadline) {
		return err
	}
	cost := retryCost
	if failure.timedOut {
		cost = timeoutCost
	}
	if !t.client.budget.take(cost) {
		return err
	}
	t.cost = cost
	told := Request{Operation: t.request.operation, Method: t.request.method, Path: t.request.path, Attempt: t.failed}
	for _, h := range t.client.hooks {
		if h.OnRetry != nil {
			h.OnRetry(ctx, told, failure, wait)
		}
	}
	if stopped := sleep(ctx, wait); stopped != nil {
		return fmt.Errorf("%w, before another try after: %w", stopped, err)
	}
	return nil
}

// sleep waits, or returns why the context is over.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return ctx.Err()
	}
}
