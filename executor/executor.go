// Package executor does the jobs of http and builtin job types, under the same leases that workers pull: it calls an
// upstream or runs a Go handler, renews the lease while that lasts, and reports how it ended. What a report means is the
// queue's to decide. It follows no redirects, and takes no leases for an upstream that keeps failing.
package executor

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/queue"
)

const (
	followEvery = time.Second
	drainGrace  = 2 * time.Second        // for work in hand, when Run's context ends
	parting     = 500 * time.Millisecond // after the grace, for giving jobs back
	httpPlaces  = 16                     // calls at once of a type without a cap on running jobs
	mostPlaces  = 1000                   // calls at once of any type
)

// Options set an Executor up. Zero values choose the defaults; Queue has none.
type Options struct {
	Queue       *queue.Service
	Handlers    map[string]Handler // by the name that builtin job types give
	Concurrency int                // builtin jobs at once, of all types; GOMAXPROCS
	Client      *http.Client       // calls upstreams; its policy on redirects does not count
	Name        string             // the worker's name on leases; "executor"
	Now         func() time.Time   // dates signatures and breakers; time.Now
	Log         *slog.Logger

	Jitter func(d time.Duration) time.Duration // of what is waited after failures; from half of d to d, random
}

// Executor is a worker inside the server's process.
type Executor struct {
	opt    Options
	queue  *queue.Service
	client *http.Client
	log    *slog.Logger

	leasing     context.Context // ends when no more leases are to be taken
	stopLeasing context.CancelFunc
	working     context.Context // ends when work in hand is to be given back
	stopWorking context.CancelCauseFunc
	telling     context.Context // ends when reports that have not got through are given up
	stopTelling context.CancelFunc
	loops       sync.WaitGroup // pools that lease
	inHand      sync.WaitGroup // leases that are not settled
	drained     chan struct{}
	again       chan struct{} // holds a value when the job types are to be looked at at once

	mu       sync.Mutex
	draining bool
	pools    map[string]*pool // by http job type; builtinPool holds those of all builtin ones
	missing  map[string]bool  // handlers that were found missing, told once
	blind    bool             // the last look at the job types failed
}

// builtinPool is where the pool of the builtin types stands. No job type has this name.
const builtinPool = ""

// New returns an executor over the queue. Run has it work.
func New(opt Options) *Executor {
	if opt.Concurrency == 0 {
		opt.Concurrency = runtime.GOMAXPROCS(0)
	}
	if opt.Name == "" {
		opt.Name = "executor"
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.Default()
	}
	if opt.Jitter == nil {
		opt.Jitter = func(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }
	}
	x := &Executor{
		opt: opt, queue: opt.Queue, client: upstreamClient(opt.Client), log: opt.Log,
		drained: make(chan struct{}), again: make(chan struct{}, 1),
		pools: map[string]*pool{}, missing: map[string]bool{},
	}
	x.leasing, x.stopLeasing = context.WithCancel(context.Background())
	x.working, x.stopWorking = context.WithCancelCause(context.Background())
	x.telling, x.stopTelling = context.WithCancel(context.Background())
	return x
}

// Run does jobs, following the job types as they come, change and go, until the context ends or Drain is called. It
// returns once what was in hand has ended or was given back.
func (x *Executor) Run(ctx context.Context) {
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	for {
		x.follow()
		select {
		case <-ticker.C:
			continue
		case <-x.again:
			continue
		case <-x.queue.TypesChanged():
			continue
		case <-ctx.Done():
		case <-x.leasing.Done():
		}
		x.Drain(drainGrace)
		return
	}
}

// Drain stops leasing, waits at most the grace for work in hand, then cancels it and gives its jobs back, which costs
// them no attempt. It returns when everything is settled, half a second after the grace at the latest if the store
// answers. Later calls wait for the first.
func (x *Executor) Drain(grace time.Duration) {
	x.mu.Lock()
	first := !x.draining
	x.draining = true
	x.stopLeasing()
	x.mu.Unlock()
	if !first {
		<-x.drained
		return
	}
	defer close(x.drained)
	settled := make(chan struct{})
	go func() {
		x.loops.Wait() // a lease that is being granted comes in hand yet
		x.inHand.Wait()
		close(settled)
	}()
	if !endsWithin(settled, grace) {
		x.stopWorking(errDraining)
		if !endsWithin(settled, parting) {
			x.stopTelling()
			<-settled
		}
	}
	x.stopWorking(errDraining)
	x.stopTelling()
	if x.opt.Client == nil {
		x.client.CloseIdleConnections()
	}
}

func endsWithin(c <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-c:
		return true
	case <-timer.C:
		return false
	}
}

// follow brings the pools in line with the job types.
func (x *Executor) follow() {
	types, err := x.queue.Types(x.leasing)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.draining {
		return
	}
	if err != nil {
		if !x.blind {
			x.log.Error("look at the job types", "error", err)
		}
		x.blind = true
		return
	}
	x.blind = false
	var builtin []string
	wanted := map[string]bool{}
	for _, t := range types {
		switch t.Executor.Kind {
		case tallygate.ExecutorHTTP:
			wanted[t.Name] = true
			x.pool(t.Name, tallygate.ExecutorHTTP).follow(t)
		case tallygate.ExecutorBuiltin:
			if x.hasHandler(t) {
				builtin = append(builtin, t.Name)
			}
		}
	}
	if len(builtin) > 0 {
		wanted[builtinPool] = true
		x.pool(builtinPool, tallygate.ExecutorBuiltin).serve(builtin)
	}
	for name, p := range x.pools {
		if !wanted[name] {
			p.stop()
			delete(x.pools, name)
		}
	}
}

// pool returns the pool of the name and begins it where there is none. The caller holds mu.
func (x *Executor) pool(name string, kind tallygate.ExecutorKind) *pool {
	p := x.pools[name]
	if p != nil {
		return p
	}
	ctx, stop := context.WithCancel(x.leasing)
	p = &pool{x: x, kind: kind, stop: stop, woken: make(chan struct{}, 1)}
	if kind == tallygate.ExecutorHTTP {
		p.types, p.breaker = []string{name}, newBreaker(x.opt.Jitter)
	} else {
		p.places = x.opt.Concurrency
	}
	x.pools[name] = p
	x.loops.Go(func() { p.run(ctx) })
	return p
}

func (x *Executor) hasHandler(t *tallygate.JobType) bool {
	name := t.Executor.Handler
	if x.opt.Handlers[name] != nil {
		return true
	}
	if !x.missing[name] {
		x.missing[name] = true
		x.log.Error("no such handler; its jobs wait", "type", t.Name, "handler", name)
	}
	return false
}

// lookAgain has Run look at the job types without waiting for its tick.
func (x *Executor) lookAgain() {
	select {
	case x.again <- struct{}{}:
	default:
	}
}

// Breakers tells of each http job type whether its upstream is called, by type.
func (x *Executor) Breakers() []BreakerState {
	x.mu.Lock()
	defer x.mu.Unlock()
	states := make([]BreakerState, 0, len(x.pools))
	for name, p := range x.pools {
		if p.breaker != nil {
			states = append(states, p.breakerState(name))
		}
	}
	slices.SortFunc(states, func(a, b BreakerState) int { return strings.Compare(a.Type, b.Type) })
	return states
}

// backoff is the wait after failures in a row: it doubles up to a most.
type backoff struct{ failures int }

const (
	firstPause = 100 * time.Millisecond
	mostPause  = 5 * time.Second
)

func (b *backoff) next(jitter func(time.Duration) time.Duration) time.Duration {
	d := min(firstPause<<min(b.failures, 10), mostPause)
	b.failures++
	return jitter(d)
}

// pause waits, and reports whether the context lasted.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
