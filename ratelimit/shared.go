package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Demand is a check in the numbers of a Remote: nanoseconds, so that the limit it came from need not be known there.
type Demand struct {
	Key       string
	Cost      int64 // by which the key's arrival time moves on
	Room      int64 // how far ahead of now it may be before that; below zero the demand never passes
	Tolerance int64 // an arrival time more than ClockStep further ahead than this is brought back to it
	Floor     int64 // the arrival time is at least so far ahead of now, whatever the remote remembers
}

// ClockStep is by how much an arrival time may lie past its tolerance.
const ClockStep = time.Duration(clockStep)

// Remote keeps arrival times for many nodes, by its own clock.
type Remote interface {
	// Take moves on the arrival times of all demands if every one passes, else of none. Demands of one key count one
	// after another. It returns whether they passed and, for each, how many nanoseconds the arrival time was ahead of
	// now before the cost. It obeys the deadline of ctx; an error may leave the costs taken, and never shows a secret.
	Take(ctx context.Context, demands []Demand) (passed bool, ahead []int64, err error)
	Close() error
}

// Shared limits across nodes with a Remote, and where that fails with this node's Share. The very call that meets a
// failure is decided by the share, and so is every other until a probe finds the remote working again.
//
// Going from one to the other gives no burst away: what a node last heard of a key it takes over into its share, and
// what a key owed before and during a lapse the node tells the remote with the key's first call after it; whichever owes
// more holds. What only other nodes know is missing until a call there, so that a key gains one burst in a lapse at most,
// and only by moving between nodes, beside the calls that were under way. It loses as little: what one node owes of its
// share counts as that part of the whole.
type Shared struct {
	remote  Remote
	local   *Share
	timeout time.Duration
	log     *slog.Logger

	// term is odd while the remote is asked, and rises with each change. What was heard in another term than the
	// present one the remote may not know.
	term atomic.Uint64

	mu    sync.Mutex // guards since and err
	since time.Time
	err   error // the last one

	askedRemote, askedLocal, lapses atomic.Int64

	lapsed chan struct{} // has one element when the term became even
	cancel context.CancelFunc
	ended  chan struct{}
}

var _ Limiter = (*Shared)(nil)

// SharedOptions are what a Shared depends on. Those that are zero have a working default.
type SharedOptions struct {
	Nodes   func() int    // that live, this one included; it must not block. None: one
	MaxKeys int           // remembered in this process
	Timeout time.Duration // of a decision by the remote
	Log     *slog.Logger
}

const (
	defaultMaxKeys = 100_000
	defaultTimeout = 100 * time.Millisecond
	patience       = time.Second // for a probe, which may have to connect
	probeEvery     = 250 * time.Millisecond
)

// NewShared returns a limiter that owns the remote. It has asked it once: where that failed, it starts with its share.
func NewShared(ctx context.Context, remote Remote, opt SharedOptions) *Shared {
	if opt.Nodes == nil {
		opt.Nodes = func() int { return 1 }
	}
	if opt.MaxKeys <= 0 {
		opt.MaxKeys = defaultMaxKeys
	}
	if opt.Timeout <= 0 {
		opt.Timeout = defaultTimeout
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	s := &Shared{
		remote:  remote,
		local:   NewShare(opt.MaxKeys, opt.Nodes),
		timeout: opt.Timeout,
		log:     opt.Log,
		since:   time.Now(),
		lapsed:  make(chan struct{}, 1),
		ended:   make(chan struct{}),
	}
	if err := s.probe(ctx); err != nil {
		s.err = err
		s.lapsed <- struct{}{}
		s.log.WarnContext(ctx, "the limiter can't be asked; this node starts with its share of each limit", "err", err)
	} else {
		s.term.Store(1)
	}
	ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go s.watch(ctx)
	return s
}

// Close stops asking the remote and closes it. What is taken later comes from the share.
func (s *Shared) Close() error {
	s.cancel()
	<-s.ended
	if term := s.term.Load(); term%2 == 1 && s.term.CompareAndSwap(term, term+1) {
		s.note(nil)
	}
	return s.remote.Close()
}

// State is how a Shared decides at present.
type State struct {
	Shared bool      // by the remote; else by this node's share
	Since  time.Time // it has been so
	Err    error     // the last failure of the remote, however long ago; it shows no secret

	Remote int64 // decisions by the remote
	Local  int64 // decisions by the share
	Lapses int64 // how often the remote failed while it was asked
}

// State tells how calls are decided now, and how many were.
func (s *Shared) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return State{
		Shared: s.term.Load()%2 == 1, Since: s.since, Err: s.err,
		Remote: s.askedRemote.Load(), Local: s.askedLocal.Load(), Lapses: s.lapses.Load(),
	}
}

// Take asks the remote, and where that fails takes from this node's share.
func (s *Shared) Take(ctx context.Context, now time.Time, checks ...Check) Decision {
	if term := s.term.Load(); term%2 == 1 {
		d, err := s.ask(ctx, term, now.UnixNano(), checks)
		if err == nil {
			s.askedRemote.Add(1)
			return d
		}
		s.lapse(ctx, term, err)
	}
	s.askedLocal.Add(1)
	return s.local.Take(ctx, now, checks...)
}

// errNumbers is the answer of something that is no Remote.
var errNumbers = errors.New("the answer can't be right")

// ask lets the remote decide. The caller's own end does not end it: a caller who goes away says nothing of the remote.
func (s *Shared) ask(ctx context.Context, term uint64, now int64, checks []Check) (Decision, error) {
	var space [few]claim
	claims := space[:]
	if len(checks) > len(space) {
		claims = make([]claim, len(checks))
	}
	demands := s.local.memory.demands(term, now, checks, claims)
	if len(demands) == 0 {
		return Decision{OK: true}, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
	defer cancel()
	passed, ahead, err := s.remote.Take(ctx, demands)
	if err != nil {
		return Decision{}, err
	}
	if len(ahead) != len(demands) {
		return Decision{}, errNumbers
	}
	var v verdict
	for i := range checks {
		if checks[i].Limit.Unlimited() {
			continue
		}
		cl := &claims[i]
		if ahead[0] < 0 || ahead[0] > cl.tolerance+clockStep {
			return Decision{}, errNumbers
		}
		cl.settled, ahead = now+ahead[0], ahead[1:]
		v.add(cl.judge(&checks[i], now))
	}
	d := v.decision()
	if d.OK != passed {
		return Decision{}, errNumbers
	}
	s.learn(term, now, checks, claims, passed)
	return d, nil
}

// demands puts the checks in the remote's numbers, and with them what it may not have heard from this node.
func (m *Memory) demands(term uint64, now int64, checks []Check, claims []claim) []Demand {
	demands := make([]Demand, 0, len(checks))
	locks := m.locate(checks, claims)
	m.lock(locks)
	defer m.unlock(locks)
	for i := range checks {
		check, cl := &checks[i], &claims[i]
		if check.Limit.Unlimited() {
			continue
		}
		cl.pace = paceOf(check.Limit)
		cost := max(0, check.Cost)
		d := Demand{Key: check.Key, Cost: times(cl.interval, cost), Room: cl.room(cost), Tolerance: cl.tolerance}
		if kept := m.shards[cl.shard].arrivals[check.Key]; kept != nil && kept.heard != term && kept.at > now {
			d.Floor = kept.at - now
		}
		demands = append(demands, d)
	}
	return demands
}

// learn keeps what the remote told, for the share to go on from. An answer that comes after the end of its term is
// dropped: the share has moved on.
func (s *Shared) learn(term uint64, now int64, checks []Check, claims []claim, passed bool) {
	m := s.local.memory
	locks := m.locate(checks, claims)
	m.lock(locks)
	defer m.unlock(locks)
	if s.term.Load() != term {
		return
	}
	for i := range checks {
		if checks[i].Limit.Unlimited() {
			continue
		}
		at, shard := claims[i].next, &m.shards[claims[i].shard]
		if !passed {
			if earlier(i, checks) >= 0 {
				continue // what it says counts the cost of the earlier one, which was not taken
			}
			at = claims[i].settled
		}
		if at > now || shard.arrivals[checks[i].Key] != nil {
			shard.keep(checks[i].Key, at, now).heard = term
		}
	}
}

// lapse ends the term for everybody; of the calls that fail together one does it.
func (s *Shared) lapse(ctx context.Context, term uint64, err error) {
	if !s.term.CompareAndSwap(term, term+1) {
		return
	}
	s.lapses.Add(1)
	s.note(err)
	s.log.WarnContext(ctx, "the limiter failed; this node goes on with its share of each limit", "err", err)
	select {
	case s.lapsed <- struct{}{}:
	default:
	}
}

// note keeps since when the present state has lasted, and what ended the one before.
func (s *Shared) note(err error) (lasted time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lasted, s.since = time.Since(s.since), time.Now()
	if err != nil {
		s.err = err
	}
	return lasted
}

// watch brings the remote back after each lapse, until ctx ends.
func (s *Shared) watch(ctx context.Context) {
	defer close(s.ended)
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.lapsed:
		}
		if !s.retry(ctx) {
			return
		}
	}
}

// retry asks the remote again and again until it answers; false: ctx ended first.
func (s *Shared) retry(ctx context.Context) bool {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
		if err := s.probe(ctx); err != nil {
			s.mu.Lock()
			s.err = err
			s.mu.Unlock()
			continue
		}
		if ctx.Err() != nil {
			return false
		}
		lasted := s.note(nil)
		s.term.Add(1)
		s.log.InfoContext(ctx, "the limiter answers again; limits are shared", "lapse", lasted)
		return true
	}
}

// probe has the remote decide as it would for a call: patiently, since it may have to connect, and once more within the
// time that a call gives it. It spends what is whole again in a millisecond.
func (s *Shared) probe(ctx context.Context) error {
	for _, timeout := range [...]time.Duration{patience, s.timeout} {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		demand := Demand{Cost: int64(time.Millisecond), Room: int64(time.Second), Tolerance: int64(time.Second)}
		one, two := demand, demand
		one.Key, two.Key = "probe:1", "probe:2"
		_, ahead, err := s.remote.Take(ctx, []Demand{one, two})
		cancel()
		if err != nil {
			return fmt.Errorf("probe: %w", err)
		}
		if len(ahead) != 2 {
			return errNumbers
		}
	}
	return nil
}
