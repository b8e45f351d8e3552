package api

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/access"
)

var (
	overloaded = &tallygate.Error{
		Code: tallygate.ServiceUnavailable, RetryAfter: time.Second,
		Detail: "the server has as much to do as it can; nothing was done",
	}
	waitsFull = &tallygate.Error{
		Code: tallygate.ServiceUnavailable, RetryAfter: time.Second,
		Detail: "as many requests wait as the server can hold; nothing was done",
	}
	goingDown = &tallygate.Error{
		Code: tallygate.ServiceUnavailable, RetryAfter: 2 * time.Second,
		Detail: "the server is going down for a restart; nothing was done",
	}
)

// enter counts the request as at work, or refuses it: refusing early costs little, and slowing down for all would help
// nobody.
func (c *call) enter() error {
	s := c.server
	if s.draining() {
		return goingDown
	}
	if s.inFlight.Add(1) > int64(s.opt.MaxInFlight) || s.opt.StoreDelay() > s.opt.ShedDelay {
		s.inFlight.Add(-1)
		return overloaded
	}
	s.inHand.Add(1)
	return nil
}

func (c *call) leave() {
	if c.waiting {
		c.server.places.give(c.caller.Client.ID)
	}
	c.server.inHand.Add(-1)
	if !c.parked {
		c.server.inFlight.Add(-1)
	}
}

// places counts the requests that wait on purpose: they cost no work, but each a connection and memory.
type places struct {
	mu       sync.Mutex
	all      int
	byClient map[tallygate.ClientID]int
}

// take takes a place, if there are fewer than most in all and fewer than the client's own most; 0 is no bound.
func (p *places) take(id tallygate.ClientID, most, clientMost int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if clientMost > 0 && p.byClient[id] >= clientMost {
		return &tallygate.Error{
			Code: tallygate.RateLimitExceeded, RetryAfter: time.Second,
			Detail: fmt.Sprintf("%d requests of the client wait already, which is the most; end some, or ask without a wait", clientMost),
		}
	}
	if p.all >= most {
		return waitsFull
	}
	if p.byClient == nil {
		p.byClient = map[tallygate.ClientID]int{}
	}
	p.byClient[id]++
	p.all++
	return nil
}

func (p *places) give(id tallygate.ClientID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all--
	if p.byClient[id]--; p.byClient[id] == 0 {
		delete(p.byClient, id)
	}
}

// mayWait takes a place for a wait of at most d, which the request then holds to its end, or refuses. It comes before
// anything is done, so that a refusal leaves nothing behind. The operator's client, whose workers wait, has no bound of
// its own.
func (c *call) mayWait(d time.Duration) error {
	if d <= 0 || c.waiting {
		return nil
	}
	clientMost := c.server.opt.MaxClientWaits
	if c.caller.Operator() {
		clientMost = 0
	}
	if err := c.server.places.take(c.caller.Client.ID, c.server.opt.MaxWaits, clientMost); err != nil {
		return err
	}
	c.waiting = true
	return nil
}

// park prepares for a wait of at most d that mayWait has allowed: the request no longer counts as at work, the
// connection's time limits make room, and so does the returned context, which ends with the caller's connection. What is
// read under it is refused once the caller may no longer call. A drain ends the queue's waits by itself. done ends the
// wait. Without a wait the request goes on to count as at work.
func (c *call) park(d time.Duration) (ctx context.Context, done func()) {
	s := c.server
	if d <= 0 {
		return context.WithTimeout(c.ctx, s.opt.HandlerTimeout)
	}
	control := http.NewResponseController(c.w)
	_ = control.SetReadDeadline(time.Time{}) // no connection behind a test's recorder
	_ = control.SetWriteDeadline(time.Now().Add(d + s.opt.HandlerTimeout + commitTime + writeTime))
	ctx, cancel := context.WithTimeout(access.Parked(c.ctx), d+s.opt.HandlerTimeout)
	c.parked = true
	s.inFlight.Add(-1)
	return ctx, func() {
		cancel()
		c.parked = false
		s.inFlight.Add(1)
	}
}
