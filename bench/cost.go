package bench

import (
	"context"
	"time"

	"github.com/tallygate/tallygate/child"
)

// spending is the processor time so far of a server, and of its database's
// processes where those are on this machine, by their numbers.
type spending struct {
	server   time.Duration
	backends map[int]time.Duration
}

// cost is the processor time between two looks.
type cost struct {
	server, database time.Duration
}

func (now spending) since(before spending) cost {
	c := cost{server: now.server - before.server}
	for number, used := range now.backends {
		c.database += used - before.backends[number]
	}
	return c
}

// spent looks at an instance's processes.
func (s *session) spent(i *instance) func(context.Context) (spending, error) {
	return func(ctx context.Context) (spent spending, err error) {
		if s.host != nil {
			spent.backends, err = s.host.backends(ctx, i.database)
		}
		for _, n := range i.nodes {
			spent.server += cpuOf(n.process.PID())
		}
		return spent, err
	}
}

// spentBy looks at one process.
func spentBy(c *child.Child) func(context.Context) (spending, error) {
	return func(context.Context) (spending, error) { return spending{server: cpuOf(c.PID())}, nil }
}
