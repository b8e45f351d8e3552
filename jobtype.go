package tallygate

import (
	"slices"
	"time"
)

// ExecutorKind names who does the work of a job type.
type ExecutorKind string

// The executors.
const (
	ExecutorPull    ExecutorKind = "pull"
	ExecutorHTTP    ExecutorKind = "http"
	ExecutorBuiltin ExecutorKind = "builtin"
)

// Executor tells how a type's jobs are done.
type Executor struct {
	Kind    ExecutorKind
	URL     string        // http
	Timeout time.Duration // http: one call
	Secret  string        // http: signs the calls; never shown
	Handler string        // builtin: the registered name
}

// CancelCharge names what a cancelled job costs.
type CancelCharge string

// What cancellation charges.
const (
	CancelChargeNone CancelCharge = "none"
	CancelChargeBase CancelCharge = "base"
	CancelChargeHold CancelCharge = "hold"
)

// JobType is what can be run.
type JobType struct {
	Name           string
	Description    string
	InputSchema    []byte // JSON Schema 2020-12; empty: any JSON value
	Price          Price
	PriceVersion   int64 // rises with every change of the price
	Executor       Executor
	MaxAttempts    int64
	AttemptTimeout time.Duration
	TimeLimit      time.Duration // from the first start
	Lease          time.Duration
	CancelCharge   CancelCharge // of jobs submitted from now on
	RunningJobs    int64        // most jobs under a lease at once; 0: no cap
	Rate           RateLimit
	Retention      time.Duration
	Clients        []ClientID // who may use it; nil: everyone
	Revision       int64      // the access revision of its last change
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// OpenTo reports whether the client may use the type.
func (t *JobType) OpenTo(id ClientID) bool {
	return t.Clients == nil || slices.Contains(t.Clients, id)
}

// Price is what a job may cost: a base and, per unit that the type meters, a price and the most that is charged for.
type Price struct {
	Base         Money
	Units        map[string]UnitPrice
	CancelCharge CancelCharge // the type's, kept with each version of its price
}

// UnitPrice is the price of one unit and the most units of one job.
type UnitPrice struct {
	Price Money
	Max   int64
}

// Quote is the most a job can cost: the base and every unit's most.
func (p Price) Quote() Money {
	total := p.Base
	for _, u := range p.Units {
		total = total.Plus(u.Price.Times(u.Max))
	}
	return total
}

// Charge is what the used units cost, at most the quote. Units over their most are charged at it.
func (p Price) Charge(used map[string]int64) Money {
	total := p.Base
	for name, u := range p.Units {
		total = total.Plus(u.Price.Times(min(used[name], u.Max)))
	}
	return total
}

// TypeLoad is the part of a job type that moves with its jobs.
type TypeLoad struct {
	Live    int64         // jobs that have not ended
	Running int64         // live jobs under a lease
	Cost    time.Duration // smoothed time from lease to end, what fairness counts
}
