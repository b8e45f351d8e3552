// Package queue takes jobs from submit to their end: it decides what is accepted, who is served next, what a report
// changes and what a lost lease means, inside transactions that settle the money too. It refuses reports under an old
// token, and it knows nothing of HTTP or SQL.
//
// A job stands in the queue while it is live (ready, waiting for its time, or leased) and has an outcome afterwards,
// never both. Whatever ends it, finish, cancel, time limit or loss, goes through one function, so that it is settled
// once.
package queue

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tallygate/tallygate"
)

// Options set a Service up. Zero values choose the defaults.
type Options struct {
	IDs      *tallygate.IDs
	Log      *slog.Logger
	Handlers []string         // names of the builtin handlers that job types may use
	Shared   tallygate.Shared // the store that other nodes use, too; nil where there are none

	MaxLosses  int64                               // lost leases after which a job fails; 10
	FirstDelay time.Duration                       // backoff after the first failure; 1s, doubled by each further one
	MaxDelay   time.Duration                       // most backoff; 5m
	Jitter     func(d time.Duration) time.Duration // from half of d to d; random
	Every      time.Duration                       // how often the clock's work is looked for; 100ms
}

// Service is the queue over a store.
type Service struct {
	store tallygate.Store
	opt   Options
	types typeCache
	fair  fairness
	ready wakeups
	jobs  watchers
	swept swept
	news  chan struct{} // of other nodes' doings: holds one

	stopping chan struct{}
	stopOnce sync.Once
}

// New returns the queue over the store. Run does its background work.
func New(store tallygate.Store, opt Options) *Service {
	if opt.IDs == nil {
		opt.IDs = new(tallygate.IDs)
	}
	if opt.Log == nil {
		opt.Log = slog.Default()
	}
	if opt.MaxLosses == 0 {
		opt.MaxLosses = 10
	}
	if opt.FirstDelay == 0 {
		opt.FirstDelay = time.Second
	}
	if opt.MaxDelay == 0 {
		opt.MaxDelay = 5 * time.Minute
	}
	if opt.Jitter == nil {
		opt.Jitter = func(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }
	}
	if opt.Every == 0 {
		opt.Every = 100 * time.Millisecond
	}
	s := &Service{store: store, opt: opt, stopping: make(chan struct{}), news: make(chan struct{}, 1)}
	s.types.changed = make(chan struct{}, 1)
	if opt.Shared != nil {
		opt.Shared.OnNews(s.hear)
	}
	return s
}

// Stop has every wait return early with what is known and leases grant nothing more. It does not end Run.
func (s *Service) Stop() { s.stopOnce.Do(func() { close(s.stopping) }) }

func (s *Service) stopped() bool {
	select {
	case <-s.stopping:
		return true
	default:
		return false
	}
}

// change is what one transaction function did that others wait for. It is begun afresh with each run of the function
// and made known after the commit.
type change struct {
	jobs     []tallygate.JobID // that changed
	ready    map[string]int    // how many items of a type may be leased since
	uncapped bool              // a client that was at its cap may run jobs of any type again
}

func (c *change) reset() { *c = change{jobs: c.jobs[:0]} }

func (c *change) job(id tallygate.JobID) { c.jobs = append(c.jobs, id) }

func (c *change) freed(jobType string) {
	if c.ready == nil {
		c.ready = map[string]int{}
	}
	c.ready[jobType]++
}

// update runs fn in a transaction and makes its change known.
func (s *Service) update(ctx context.Context, fn func(tx tallygate.Tx, did *change) error) error {
	var did change
	err := s.store.Update(ctx, func(tx tallygate.Tx) error {
		did.reset()
		return fn(tx, &did)
	})
	if err != nil {
		return err
	}
	for jobType, n := range did.ready {
		s.ready.wake(jobType, n)
	}
	if did.uncapped {
		s.ready.wakeAll(s.ready.types())
	}
	s.jobs.notify(did.jobs)
	return nil
}

// event appends what happened to a job.
func event(tx tallygate.Tx, did *change, kind string, q *tallygate.QueueItem, actor tallygate.KeyID, data []byte) error {
	did.job(q.JobID)
	return tx.InsertEvent(&tallygate.Event{Kind: kind, ClientID: q.ClientID, Subject: string(q.JobID), Actor: actor, Data: data, At: tx.Now()})
}
