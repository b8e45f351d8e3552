package executor

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/queue"
)

const leaseWait = 20 * time.Second

// pool takes leases of one http job type, or of all builtin ones, as it has places free.
type pool struct {
	x     *Executor
	kind  tallygate.ExecutorKind
	stop  context.CancelFunc
	woken chan struct{} // holds a value after a change that the loop may wait for

	mu        sync.Mutex
	types     []string
	places    int
	taken     int
	executor  tallygate.Executor // of an http type, as it is defined now
	breaker   *breaker           // nil for builtin types
	interrupt context.CancelFunc // ends the wait for a lease; nil while there is none
}

// follow takes over what an http type's definition says. Another upstream gets a fresh start.
func (p *pool) follow(t *tallygate.JobType) {
	p.mu.Lock()
	defer p.mu.Unlock()
	places := httpPlaces
	if t.RunningJobs > 0 {
		places = int(min(t.RunningJobs, mostPlaces))
	}
	if places == p.places && t.Executor == p.executor {
		return
	}
	if t.Executor != p.executor {
		p.executor = t.Executor
		p.breaker.reset()
		p.changed()
	}
	p.places = places
	p.wake()
}

// serve takes over which builtin types there are.
func (p *pool) serve(types []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Equal(types, p.types) {
		p.types = types
		p.changed()
		p.wake()
	}
}

// changed ends the wait for a lease that was asked for under other circumstances. The caller holds mu.
func (p *pool) changed() {
	if p.interrupt != nil {
		p.interrupt()
	}
}

func (p *pool) wake() {
	select {
	case p.woken <- struct{}{}:
	default: // it holds one already
	}
}

// run leases until the context ends or the queue grants nothing more.
func (p *pool) run(ctx context.Context) {
	defer p.stop()
	var failing backoff
	for ctx.Err() == nil && !p.queueStopped() {
		asking, done, req, round, wait := p.ask(ctx)
		if req.Max == 0 {
			p.idle(ctx, wait)
			continue
		}
		leases, err := p.x.queue.Lease(asking, req)
		interrupted := asking.Err() != nil
		done()
		if err != nil {
			if !interrupted {
				p.refused(ctx, req.Types, err, &failing)
			}
			continue
		}
		if p.begin(ctx, leases, round) {
			failing = backoff{}
			continue
		}
		p.x.lookAgain()
		pause(ctx, failing.next(p.x.opt.Jitter))
	}
}

func (p *pool) queueStopped() bool {
	select {
	case <-p.x.queue.Stopping():
		return true
	default:
		return false
	}
}

// ask is what to ask the queue for: Max is 0 where nothing is, for the time of wait or, where that is 0, until something
// changes. done must be called after the answer.
func (p *pool) ask(ctx context.Context) (asking context.Context, done func(), req queue.LeaseRequest, round int, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	free := max(0, p.places-p.taken)
	if p.breaker != nil {
		free, wait = p.breaker.admit(p.x.opt.Now(), free)
		round = p.breaker.round
	}
	asking, p.interrupt = context.WithCancel(ctx)
	req = queue.LeaseRequest{Types: slices.Clone(p.types), Kind: p.kind, Max: free, Wait: leaseWait, Worker: p.x.opt.Name}
	return asking, p.answered, req, round, wait
}

func (p *pool) answered() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.interrupt()
	p.interrupt = nil
}

func (p *pool) idle(ctx context.Context, wait time.Duration) {
	p.answered()
	var over <-chan time.Time
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-p.woken:
	case <-over:
	case <-p.x.queue.Stopping():
	case <-ctx.Done():
	}
}

// refused waits after a lease that was refused. A job type may have gone or changed hands: that shows at the next look.
func (p *pool) refused(ctx context.Context, types []string, err error, failing *backoff) {
	if tallygate.IsCode(err, tallygate.InvalidParameter) {
		p.x.lookAgain()
	} else if failing.failures == 0 {
		p.x.log.Error("lease jobs", "types", types, "error", err)
	}
	pause(ctx, failing.next(p.x.opt.Jitter))
}

// begin starts the attempts and gives back what is not to be done now. It returns false where a lease is not of the
// kind that was asked for.
func (p *pool) begin(ctx context.Context, leases []queue.Lease, round int) (ok bool) {
	ok = true
	for _, l := range leases {
		a := newAttempt(p.x, l)
		switch {
		case l.Type.Executor.Kind != p.kind || p.kind == tallygate.ExecutorBuiltin && p.x.opt.Handlers[l.Type.Executor.Handler] == nil:
			ok = false
			p.x.inHand.Go(a.giveBack)
		case ctx.Err() != nil || !p.take(round):
			p.x.inHand.Go(a.giveBack)
		default:
			p.x.inHand.Add(1)
			go a.run(p, round)
		}
	}
	return ok
}

// take occupies a place, unless the upstream is no longer to be called.
func (p *pool) take(round int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.breaker != nil && !p.breaker.begin(round) {
		return false
	}
	p.taken++
	return true
}

// learn hears how the upstream is.
func (p *pool) learn(round int, h health) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.breaker == nil {
		return
	}
	before := p.breaker.state
	p.breaker.record(p.x.opt.Now(), round, h)
	switch after := p.breaker.state; {
	case after == before:
	case after == Open:
		p.changed()
		p.x.log.Warn("the upstream keeps failing; its jobs wait", "type", p.types[0], "failures", p.breaker.failures, "until", p.breaker.until)
	case after == Closed:
		p.x.log.Info("the upstream answers again", "type", p.types[0])
	}
	p.wake()
}

// leave frees a place.
func (p *pool) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	p.wake()
}

func (p *pool) breakerState(name string) BreakerState {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := BreakerState{Type: name, State: p.breaker.state, Failures: p.breaker.failures}
	if s.State == Open {
		s.Until = p.breaker.until
	}
	return s
}
