package api

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/tallygate/tallygate"
)

// counts are how many requests ended how, by client, route and hour. They are kept in memory, by this node, for a
// day, and start anew with the process: good for watching, not for billing.
type counts struct {
	mu   sync.Mutex
	hour int64
	n    map[countKey]int64
}

// countKey is what is counted apart. The zero client stands for requests that were not authenticated, the zero route
// for those that reached none.
type countKey struct {
	client tallygate.ClientID
	hour   int64
	route  int16
	code   tallygate.Code
	failed bool
}

const (
	countedHours = 24
	maxCounts    = 100_000 // of keys; past it, new ones are counted under the zero client
)

// count counts the call's end.
func (c *call) count(k countKey) {
	if c.caller != nil {
		k.client = c.caller.Client.ID
	}
	if c.route != nil {
		k.route = c.route.index
	}
	c.server.counts.add(c.start, k)
}

func (c *counts) add(now time.Time, k countKey) {
	k.hour = now.Unix() / 3600
	c.mu.Lock()
	defer c.mu.Unlock()
	if k.hour > c.hour {
		c.hour = k.hour
		for old := range c.n {
			if old.hour <= k.hour-countedHours {
				delete(c.n, old)
			}
		}
	}
	if c.n == nil {
		c.n = map[countKey]int64{}
	}
	if _, known := c.n[k]; !known && len(c.n) >= maxCounts {
		k.client = ""
	}
	c.n[k]++
}

// Outcome is how many requests of one client and route ended in one way within one hour.
type Outcome struct {
	ClientID tallygate.ClientID // empty: not authenticated
	Hour     time.Time
	Route    string // such as "POST /v1/jobs"; empty: none was reached
	Code     string // the error's code; empty: answered with success
	Requests int64
}

// Outcomes lists what this node answered in the last day, at most since its start: oldest hour first, then by client,
// route and code. all lists every client's, else only the named one's.
func (s *Server) Outcomes(client tallygate.ClientID, all bool) []Outcome {
	names := []string{""}
	for _, rt := range routes() {
		names = append(names, rt.name())
	}
	var list []Outcome
	s.counts.mu.Lock()
	for k, n := range s.counts.n {
		if !all && k.client != client {
			continue
		}
		o := Outcome{ClientID: k.client, Hour: time.Unix(k.hour*3600, 0).UTC(), Route: names[k.route], Requests: n}
		if k.failed {
			o.Code = k.code.String()
		}
		list = append(list, o)
	}
	s.counts.mu.Unlock()
	slices.SortFunc(list, func(a, b Outcome) int {
		return cmp.Or(a.Hour.Compare(b.Hour), cmp.Compare(a.ClientID, b.ClientID),
			cmp.Compare(a.Route, b.Route), cmp.Compare(a.Code, b.Code))
	})
	return list
}
