// Package access decides whether a call may pass: key, address, account, rate limit, permission. It also holds what
// changes those answers: clients, their API keys, and the revision by which every node hears of a change. It knows
// neither HTTP nor SQL, and it moves no money.
package access

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/ratelimit"
)

// Service decides about calls and administers clients and keys.
type Service struct {
	store    tallygate.Store
	now      func() time.Time
	clock    func() time.Time
	limiter  ratelimit.Limiter
	ids      *tallygate.IDs
	currency string
	log      *slog.Logger

	cache *cache
	uses  *uses

	// Failures are counted in this process alone: refusing them must stay cheap, and junk from many addresses must not
	// push clients' limits out of the limiter that holds those.
	failureLimit tallygate.RateLimit
	failures     *ratelimit.Memory
}

// Options are what a Service depends on. Those that are zero have a working default.
type Options struct {
	Now        func() time.Time // this machine's time
	Clock      func() time.Time // by which keys expire, where nodes share one; Now when nil
	Limiter    ratelimit.Limiter
	IDs        *tallygate.IDs
	Currency   string              // of the server; a client may name no other
	FailedAuth tallygate.RateLimit // failed authentication per address; zero: not limited
	CacheSize  int                 // keys kept in memory, and as many unknown ones
	Log        *slog.Logger
}

const (
	defaultCacheSize = 20_000
	limitedKeys      = 100_000 // remembered by the default limiter, and addresses by the one of failures
)

// New makes a Service over the store.
func New(store tallygate.Store, opt Options) *Service {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Clock == nil {
		opt.Clock = opt.Now
	}
	if opt.Limiter == nil {
		opt.Limiter = ratelimit.NewMemory(limitedKeys)
	}
	if opt.IDs == nil {
		opt.IDs = &tallygate.IDs{}
	}
	if opt.CacheSize <= 0 {
		opt.CacheSize = defaultCacheSize
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{
		store:        store,
		now:          opt.Now,
		clock:        opt.Clock,
		limiter:      opt.Limiter,
		ids:          opt.IDs,
		currency:     opt.Currency,
		log:          opt.Log,
		cache:        newCache(opt.CacheSize, opt.Now()),
		uses:         newUses(),
		failureLimit: opt.FailedAuth,
		failures:     ratelimit.NewMemory(limitedKeys),
	}
}

const (
	followEvery = 500 * time.Millisecond
	flushEvery  = time.Minute
	lastFlush   = 5 * time.Second // the most that the flush after the end may take
)

// Run follows the access revision and writes down when keys were last used, until ctx ends; then it writes once more.
func (s *Service) Run(ctx context.Context) error {
	var tasks sync.WaitGroup
	tasks.Go(func() { s.followAll(ctx) })
	tasks.Go(func() { s.flushAll(ctx) })
	tasks.Wait()

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastFlush)
	defer cancel()
	s.flush(ctx)
	return nil
}

// followAll asks for the revision again and again. It logs when news stop and when they come again, not each failure.
func (s *Service) followAll(ctx context.Context) {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	failing := false
	for {
		err := s.followWithin(ctx, staleAfter)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			s.log.WarnContext(ctx, "no news of the access revision; keys are looked up until there are", "err", err)
		case err == nil && failing:
			s.log.InfoContext(ctx, "news of the access revision again")
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Lag is how old the last news of the access revision is: what has changed since may not be known here yet. From two
// seconds on nothing that is kept is believed.
func (s *Service) Lag() time.Duration { return s.cache.age(s.now()) }

// Clock is the time by which keys expire.
func (s *Service) Clock() time.Time { return s.clock() }

func (s *Service) followWithin(ctx context.Context, most time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	return s.follow(ctx)
}

// follow asks the store for the revision and drops the cache if it has moved.
func (s *Service) follow(ctx context.Context) error {
	asked := s.now()
	var revision int64
	err := s.store.View(ctx, func(tx tallygate.Tx) (err error) {
		revision, err = tx.Revision()
		return err
	})
	if err == nil {
		s.cache.observe(revision, asked)
	}
	return err
}

func (s *Service) flushAll(ctx context.Context) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.flush(ctx)
		}
	}
}
