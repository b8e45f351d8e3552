package api

import (
	"context"
	"net/http"
	"time"

	"github.com/tallygate/tallygate"
)

var (
	overloaded = &tallygate.Error{
		Code: tallygate.ServiceUnavailable, RetryAfter: time.Second,
		Detail: "the server has as much to do as it can; nothing was done",
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
	c.server.inHand.Add(-1)
	if !c.parked {
		c.server.inFlight.Add(-1)
	}
}

// park prepares for a wait of at most d: the request no longer counts as at work, the connection's time limits make
// room, and so does the returned context, which ends with the caller's connection. A drain ends the queue's waits by
// itself. done ends the wait.
func (c *call) park(d time.Duration) (ctx context.Context, done func()) {
	s := c.server
	control := http.NewResponseController(c.w)
	_ = control.SetReadDeadline(time.Time{}) // no connection behind a test's recorder
	_ = control.SetWriteDeadline(time.Now().Add(d + s.opt.HandlerTimeout + writeTime))
	ctx, cancel := context.WithTimeout(c.ctx, d+s.opt.HandlerTimeout)
	c.parked = true
	s.inFlight.Add(-1)
	return ctx, func() {
		cancel()
		c.parked = false
		s.inFlight.Add(1)
	}
}
