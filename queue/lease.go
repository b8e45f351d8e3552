package queue

import (
	"container/heap"
	"context"
	"crypto/rand"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tallygate/tallygate"
)

// LeaseRequest asks for jobs to do.
type LeaseRequest struct {
	Types  []string
	Kind   tallygate.ExecutorKind // who asks; pull when empty
	Max    int
	Wait   time.Duration // how long to wait for the first
	Worker string        // a name for people
}

// Lease is the right to one attempt at a job until a deadline.
type Lease struct {
	Token     string // the fencing token: reports bear it
	Attempt   int64
	ExpiresAt time.Time
	Job       *tallygate.Job
	Type      *tallygate.JobType
}

// maxLeased bounds the jobs of one answer: bytes of inputs after which no further job is added.
const maxLeased = 16 << 20

// leasable is what one type offers to a lease.
type leasable struct {
	jobType *tallygate.JobType
	load    *tallygate.TypeLoad
	room    int64
}

// Lease grants at most Max leases as soon as there is one to grant, none after the wait. A type that is unknown or
// another executor's is INVALID_PARAMETER.
func (s *Service) Lease(ctx context.Context, req LeaseRequest) ([]Lease, error) {
	_, leases, err := s.Report(ctx, nil, &req)
	return leases, err
}

// await waits for the first lease to grant.
func (s *Service) await(ctx context.Context, req LeaseRequest) ([]Lease, error) {
	timer := time.NewTimer(req.Wait)
	defer timer.Stop()
	looks := req.Wait == 0 // and whoever was woken looks
	for {
		z, spared := s.ready.add(req.Types)
		var leases []Lease
		var err error
		if !spared || looks {
			leases, err = s.grant(ctx, req)
		}
		if err != nil || len(leases) > 0 {
			s.ready.remove(z)
			if err != nil {
				s.ready.wakeAll(req.Types) // a wake-up may have been used up for nothing
			}
			return s.keep(ctx, leases), err
		}
		if !spared || looks {
			s.ready.foundNothing(z)
		}
		select {
		case <-z.woken:
			looks = true
			continue
		case <-timer.C:
		case <-ctx.Done():
		case <-s.stopping:
		}
		s.ready.remove(z)
		return nil, nil
	}
}

// keep returns the leases, or gives them back where the caller has left and would never know of them.
func (s *Service) keep(ctx context.Context, leases []Lease) []Lease {
	if ctx.Err() == nil || len(leases) == 0 {
		return leases
	}
	back := make([]Report, len(leases))
	for i, l := range leases {
		back[i] = Report{JobID: l.Job.ID, Token: l.Token, Outcome: Released}
	}
	if _, _, err := s.Report(context.WithoutCancel(ctx), back, nil); err != nil {
		s.opt.Log.Warn("give leases back", "jobs", len(back), "error", err) // they end by themselves
	}
	return nil
}

// grant takes what there is now.
func (s *Service) grant(ctx context.Context, req LeaseRequest) (leases []Lease, err error) {
	if s.stopped() {
		return nil, nil
	}
	err = s.update(ctx, func(tx tallygate.Tx, did *change) error {
		leases, err = s.take(tx, did, req)
		return err
	})
	return leases, err
}

// take serves the request inside a transaction: the client with the least service first, its most urgent item first,
// within the caps on running jobs.
func (s *Service) take(tx tallygate.Tx, did *change, req LeaseRequest) ([]Lease, error) {
	if s.stopped() {
		return nil, nil
	}
	s.fair.mu.Lock()
	defer s.fair.mu.Unlock()
	pool := s.fair.pool(req.Types)
	waiting, all, err := s.candidates(tx, pool, req)
	if err != nil {
		return nil, err
	}
	var leases []Lease
	touched := map[*laneHead]bool{}
	clients := map[*tallygate.Client]bool{}
	size := 0
	for len(leases) < req.Max && len(waiting) > 0 && size < maxLeased {
		c := waiting[0]
		head, job, err := c.next(func(l *laneHead) (err error) {
			share := (req.Max - len(leases) + len(waiting) - 1) / len(waiting) // more are read when they are needed
			share = int(min(int64(share), c.room, l.kind.room))
			l.jobs, err = tx.ReadyJobs(l.lane, share)
			return err
		})
		if err != nil {
			return nil, err
		}
		if job == nil || c.room <= 0 {
			heap.Pop(&waiting)
			continue
		}
		lease, err := s.begin(tx, did, head.kind.jobType, job, req.Worker)
		if err != nil {
			return nil, err
		}
		leases = append(leases, lease)
		size += len(job.Input)
		c.client.Queued--
		c.client.Running++
		c.room--
		head.lane.Ready--
		head.lane.MoveHead(job.Item)
		head.kind.load.Running++
		head.kind.room--
		touched[head], clients[c.client] = true, true
		pool.serve(c.client.ID, head.kind.load.Cost)
		c.served = pool.of(c.client.ID)
		heap.Fix(&waiting, 0)
	}
	if len(leases) > 0 {
		leftOver(did, all)
	}
	return leases, saveTaken(tx, touched, clients)
}

// leftOver wakes the next worker of each type that still has ready items. A wake-up for one type may have been used for
// another.
func leftOver(did *change, lanes []*laneHead) {
	for _, l := range lanes {
		if l.lane.Ready > 0 && did.ready[l.lane.Type] == 0 {
			did.freed(l.lane.Type)
		}
	}
}

func saveTaken(tx tallygate.Tx, lanes map[*laneHead]bool, clients map[*tallygate.Client]bool) error {
	for l := range lanes {
		if err := tx.SaveLane(l.lane); err != nil {
			return err
		}
		if err := tx.SaveTypeLoad(l.lane.Type, l.kind.load); err != nil {
			return err
		}
	}
	for c := range clients {
		if err := tx.SaveAccount(c); err != nil {
			return err
		}
	}
	return nil
}

// candidates gathers the clients that have ready items of the types and room to run them, and all the lanes there are.
func (s *Service) candidates(tx tallygate.Tx, pool *pool, req LeaseRequest) (waiting candidates, all []*laneHead, err error) {
	byClient := map[tallygate.ClientID]*candidate{}
	for _, name := range req.Types {
		t, err := tx.JobType(name)
		if err != nil {
			return nil, nil, err
		}
		if t == nil || t.Executor.Kind != req.Kind { // it has changed since the request was checked
			continue
		}
		kind, err := offer(tx, t)
		if err != nil {
			return nil, nil, err
		}
		lanes, err := tx.ActiveLanes(name)
		if err != nil {
			return nil, nil, err
		}
		for _, lane := range lanes {
			c, err := s.candidate(tx, pool, byClient, lane.ClientID)
			if err != nil {
				return nil, nil, err
			}
			head := &laneHead{lane: lane, kind: kind}
			c.lanes = append(c.lanes, head)
			all = append(all, head)
		}
	}
	waiting = make(candidates, 0, len(byClient))
	for _, c := range byClient {
		if c.room > 0 {
			waiting = append(waiting, c)
		}
	}
	heap.Init(&waiting)
	return waiting, all, nil
}

func (s *Service) candidate(tx tallygate.Tx, pool *pool, byClient map[tallygate.ClientID]*candidate, id tallygate.ClientID) (*candidate, error) {
	if c := byClient[id]; c != nil {
		return c, nil
	}
	client, err := tx.Client(id)
	if err != nil {
		return nil, err
	}
	c := &candidate{client: client, served: pool.of(id)}
	switch {
	case client == nil || client.Status != tallygate.ClientActive: // a suspended client's jobs wait
		c.room = 0
	case client.Operator || client.Limits.RunningJobs == 0:
		c.room = math.MaxInt64
	default:
		c.room = client.Limits.RunningJobs - client.Running
	}
	byClient[id] = c
	return c, nil
}

func offer(tx tallygate.Tx, t *tallygate.JobType) (*leasable, error) {
	load, err := tx.TypeLoad(t.Name)
	if err != nil {
		return nil, err
	}
	room := int64(math.MaxInt64)
	if t.RunningJobs > 0 {
		room = t.RunningJobs - load.Running
	}
	return &leasable{t, load, room}, nil
}

// begin starts an attempt.
func (s *Service) begin(tx tallygate.Tx, did *change, t *tallygate.JobType, job *tallygate.Job, worker string) (lease Lease, err error) {
	q, now := job.Item, tx.Now()
	if q.StartedAt.IsZero() {
		q.StartedAt = now
	}
	q.State = tallygate.ItemLeased
	q.Attempt++
	q.LeasedAt = now
	q.AttemptDeadline = earliest(now.Add(t.AttemptTimeout), q.Deadline())
	q.At = earliest(now.Add(t.Lease), q.AttemptDeadline)
	q.Token = "lease_" + rand.Text()
	q.Worker = worker
	q.Progress = -1
	if q.LeaseEvent, err = tx.NumberEvent(); err != nil {
		return Lease{}, err
	}
	did.job(q.JobID)
	return Lease{Token: q.Token, Attempt: q.Attempt, ExpiresAt: q.At, Job: job, Type: t}, tx.SaveItem(q)
}

// earliest returns the earlier time, where a zero second one does not count.
func earliest(a, b time.Time) time.Time {
	if !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// checkTypes returns the request in order, and refuses types that the executor cannot lease. A lenient check leaves them
// out: finished work is not to be refused for the sake of what would come next.
func (s *Service) checkTypes(ctx context.Context, asked LeaseRequest, lenient bool) (*LeaseRequest, error) {
	req := &asked
	req.Types = slices.Compact(slices.Sorted(slices.Values(req.Types)))
	if req.Kind == "" {
		req.Kind = tallygate.ExecutorPull
	}
	var good, bad []string
	for _, name := range req.Types {
		known, err := s.types.get(ctx, s.store, name)
		if err != nil {
			return nil, err
		}
		switch {
		case known == nil:
			bad = append(bad, "there is no job type "+strconv.Quote(name))
		case known.Executor.Kind != req.Kind:
			bad = append(bad, fmt.Sprintf("job type %s is not for %s workers: its executor is %s", name, req.Kind, known.Executor.Kind))
		default:
			good = append(good, name)
		}
	}
	if req.Types = good; len(bad) > 0 && !lenient {
		return nil, &tallygate.Error{Code: tallygate.InvalidParameter, Field: "types", Detail: "/types: " + strings.Join(bad, "; ")}
	}
	return req, nil
}
