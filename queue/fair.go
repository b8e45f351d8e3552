package queue

import (
	"cmp"
	"container/heap"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tallygate/tallygate"
)

// fairness remembers, per pool of workers (those that lease the same types), how much service each client has had. The
// client with the least is served next; a client that was idle starts where the pool stands now, so that it neither
// saves up nor waits for a backlog: start-time fair queuing (Goyal, Vin and Cheng, 1996), counted in the smoothed run
// time of each job's type. It is a memory of this process's own and may be lost.
type fairness struct {
	mu    sync.Mutex
	pools map[string]*pool
}

type pool struct {
	now    time.Duration // the service of the client that was served last
	served map[tallygate.ClientID]time.Duration
}

const (
	maxPools  = 1000
	maxServed = 100_000
	leastCost = time.Millisecond
)

// pool returns the memory of the workers that lease the types. The caller holds mu.
func (f *fairness) pool(types []string) *pool {
	types = slices.Clone(types)
	slices.Sort(types)
	key := strings.Join(types, "\n")
	p := f.pools[key]
	if p == nil {
		if f.pools == nil || len(f.pools) >= maxPools {
			f.pools = map[string]*pool{}
		}
		p = &pool{served: map[tallygate.ClientID]time.Duration{}}
		f.pools[key] = p
	}
	return p
}

// of is where the client stands: no earlier than the pool.
func (p *pool) of(c tallygate.ClientID) time.Duration { return max(p.served[c], p.now) }

// serve counts a job against its client.
func (p *pool) serve(c tallygate.ClientID, cost time.Duration) {
	start := p.of(c)
	p.now = start
	p.served[c] = start + max(cost, leastCost)
	if len(p.served) > maxServed {
		for c, at := range p.served {
			if at <= p.now {
				delete(p.served, c)
			}
		}
	}
}

// candidate is a client with items that the worker may have.
type candidate struct {
	client *tallygate.Client
	served time.Duration
	room   int64 // how many more may run
	lanes  []*laneHead
}

// laneHead reads one lane from its first job on, a few at a time.
type laneHead struct {
	lane *tallygate.Lane
	kind *leasable
	jobs []*tallygate.Job
	end  bool // the lane has no more
}

// next takes the client's most urgent job: by priority, then by age, over all its lanes. It returns nil when none is
// left. read fetches the first jobs of a lane; those that were taken are in it no more.
func (c *candidate) next(read func(*laneHead) error) (*laneHead, *tallygate.Job, error) {
	var best *laneHead
	for _, l := range c.lanes {
		if l.kind.room <= 0 {
			continue
		}
		if len(l.jobs) == 0 && !l.end {
			if err := read(l); err != nil {
				return nil, nil, err
			}
			l.end = len(l.jobs) == 0
		}
		if len(l.jobs) > 0 && (best == nil || before(l.jobs[0], best.jobs[0])) {
			best = l
		}
	}
	if best == nil {
		return nil, nil, nil
	}
	job := best.jobs[0]
	best.jobs = best.jobs[1:]
	return best, job, nil
}

func before(a, b *tallygate.Job) bool {
	return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.ID, b.ID)) < 0
}

// candidates is a heap: the client with the least service first.
type candidates []*candidate

func (h candidates) Len() int      { return len(h) }
func (h candidates) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *candidates) Push(x any)   { *h = append(*h, x.(*candidate)) }
func (h *candidates) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

func (h candidates) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(h[i].served, h[j].served), cmp.Compare(h[i].client.ID, h[j].client.ID)) < 0
}

var _ heap.Interface = (*candidates)(nil)
