package tallygate

import "time"

// ClientStatus tells whether a client may call.
type ClientStatus string

// The states of a client.
const (
	ClientActive    ClientStatus = "active"
	ClientSuspended ClientStatus = "suspended"
)

// OperatorClientID is the fixed ID of the built-in client that owns the operator's keys. No made ID equals it, and it
// sorts before all of them.
const OperatorClientID ClientID = "cl_00000000000000000000000000"

// Client is a customer account: it owns keys, a balance, limits and jobs.
type Client struct {
	ID             ClientID
	Name           string
	Status         ClientStatus
	Operator       bool // the built-in client of the team that runs the server: no limits, never suspended
	MinimumBalance Money
	Limits         ClientLimits
	Metadata       []byte // a JSON object
	CreatedAt      time.Time
	Revision       int64 // the access revision of its last change of status, limits or keys
	Account
}

// Account is the part of a client that moves with its jobs and money.
type Account struct {
	Balance Balance
	Queued  int64 // live jobs that no worker holds
	Running int64 // live jobs under a lease
	Entries int64 // the number of the newest ledger entry; they count from 1 without gaps
}

// ClientLimits bound what a client may do at once.
type ClientLimits struct {
	Rate        RateLimit
	RunningJobs int64
	QueuedJobs  int64
}

// RateLimit is a smooth rate and how many requests pass at one instant. The zero value limits nothing.
type RateLimit struct {
	PerSecond float64
	Burst     int64
}

// Unlimited reports whether the limit limits nothing.
func (l RateLimit) Unlimited() bool { return l.PerSecond == 0 }

// DefaultClientLimits are those of a client for whom none are named.
var DefaultClientLimits = ClientLimits{
	Rate:        RateLimit{PerSecond: 50, Burst: 100},
	RunningJobs: 20,
	QueuedJobs:  100_000,
}

// Balance is posted money and the part of it that is set aside for live jobs.
type Balance struct {
	Posted Money
	Held   Money
}

// Available is what may still be held.
func (b Balance) Available() Money { return b.Posted - b.Held }
