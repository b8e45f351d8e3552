package tallygate

import (
	"context"
	"time"
)

// Store keeps everything. Rules live above it.
type Store interface {
	// Update runs fn in a durable write transaction and returns after it is on disk. Calls that arrive together
	// share one transaction and run one after the other in it, so fn must decide before it writes: an error before
	// the first write leaves the others alone, one after it makes the store run every call again by itself.
	// fn may run more than once and must have no effects outside the transaction.
	Update(ctx context.Context, fn func(Tx) error) error

	// View runs fn over one snapshot. Writing in it is an error, and so is reading once ctx has ended. fn may run more
	// than once.
	View(ctx context.Context, fn func(Tx) error) error

	// Delay is how long the oldest waiting Update has waited.
	Delay() time.Duration

	Close() error
}

// Tx is what rules see of a transaction, one small interface per noun. A lookup that finds nothing returns nil.
type Tx interface {
	// Now is the store's time: Go's clock where the store is one process's own.
	Now() time.Time
	// Seen is a time of which this transaction sees every write: whatever was decided then, or before, is done. It may be
	// long ago where nothing has been written since.
	Seen() (time.Time, error)

	ClientTx
	KeyTx
	EntryTx
	JobTypeTx
	JobTx
	QueueTx
	EventTx
	IdempotencyTx
	SettingTx
	AuditTx
}

// Shared is a store that other nodes read and write, too.
type Shared interface {
	Store
	// OnNews has fn called when others may have changed something, soon after they have, and now and then without
	// cause. fn must not block.
	OnNews(fn func())
	// Leads reports whether this node is the one that does the upkeep for all.
	Leads() bool
	// LastEvents returns the number of each job's last event, nothing for a job that is not there.
	LastEvents(context.Context, []JobID) (map[JobID]int64, error)
}

// Reads names rows that an Update is going to ask for. A store whose every question is a journey reads those of all the
// calls that share a transaction in one go. It is a hint: what is not named is found all the same.
type Reads struct {
	Clients []ClientID
	Jobs    []JobID // live ones
	Keys    []IdempotencyKey
}

// IdempotencyKey names an idempotency record.
type IdempotencyKey struct {
	ClientID ClientID
	Key      string
}

type readsKey struct{}

// WithReads returns a context under which an Update is going to ask for the rows, too.
func WithReads(ctx context.Context, r Reads) context.Context {
	before := ReadsOf(ctx)
	r.Clients = append(r.Clients, before.Clients...)
	r.Jobs = append(r.Jobs, before.Jobs...)
	r.Keys = append(r.Keys, before.Keys...)
	return context.WithValue(ctx, readsKey{}, r)
}

// ReadsOf returns what the context says is going to be asked for.
func ReadsOf(ctx context.Context) Reads {
	r, _ := ctx.Value(readsKey{}).(Reads)
	return r
}

// Page asks for a part of a list: at most Limit items after the cursor.
type Page struct {
	After string
	Limit int
}

// ClientTx reads and writes clients. Within one Update, Client returns the same value to every caller.
type ClientTx interface {
	Client(ClientID) (*Client, error)
	Clients(Page) ([]*Client, error) // newest first
	InsertClient(*Client) error
	SaveClient(*Client) error  // everything but the account
	SaveAccount(*Client) error // the account alone

	// Revision is the access revision: it rises with each change of what may pass.
	Revision() (int64, error)
	RaiseRevision() (int64, error)
}

// KeyTx reads and writes API keys.
type KeyTx interface {
	Key(KeyID) (*APIKey, error)
	Keys(ClientID, Page) ([]*APIKey, error) // newest first
	InsertKey(*APIKey) error
	SaveKey(*APIKey) error // expiry, revocation and replacement
	TouchKey(KeyID, time.Time) error
}

// EntryTx appends to and reads ledgers.
type EntryTx interface {
	InsertEntry(*Entry) error
	Entries(ClientID, Page) ([]*Entry, error) // newest first; the cursor is an entry's number
}

// JobTypeTx reads and writes job types and their load. Prices stay after a type is gone.
type JobTypeTx interface {
	JobType(name string) (*JobType, error)
	JobTypes() ([]*JobType, error) // by name
	SaveJobType(*JobType) error
	DeleteJobType(name string) error
	GoneTypes() ([]string, error) // deleted ones; their jobs may still be kept
	Price(jobType string, version int64) (Price, error)
	NewestPriceVersion(jobType string) (int64, error)
	SavePrice(jobType string, version int64, p Price) error
	TypeLoad(name string) (*TypeLoad, error)
	SaveTypeLoad(name string, load *TypeLoad) error
}

// JobFilter chooses jobs of a list. Zero values choose all.
type JobFilter struct {
	ClientID      ClientID
	Type          string
	Status        JobStatus
	CreatedAfter  time.Time
	CreatedBefore time.Time
	Metadata      map[string]string // each must be a member of the job's metadata
}

// JobTx writes jobs and outcomes and reads them together.
type JobTx interface {
	InsertJob(*Job) error
	InsertOutcome(*Outcome) error
	Job(JobID) (*Job, error) // with its queue item or outcome
	Outcome(JobID) (*Outcome, error)
	// Jobs lists newest first. It looks at a bounded number of rows and bytes, so that it may return fewer than the
	// limit although more follow; next is empty when none do.
	Jobs(f JobFilter, p Page) (jobs []*Job, next string, err error)
	// CountUsage adds one ended job to its client's usage of the day.
	CountUsage(*Outcome) error
	// Usage is a client's use by day and type within [from, to), oldest first.
	Usage(c ClientID, from, to time.Time) ([]Usage, error)
	// EndedJobs walks the outcomes in the order of their writing, from after a number: those of the type that ended
	// before the time, and the number to go on from. It looks at a bounded number of rows. It passes by those of the
	// future, written while the clock was ahead: a walk from the start finds them when their time has come.
	EndedJobs(jobType string, before time.Time, after int64, limit int) (ended []EndedJob, last int64, err error)
	// DeleteJob removes an ended job, its outcome and its events. Its ledger entries stay.
	DeleteJob(ClientID, JobID) error
}

// EndedJob names a job that has ended.
type EndedJob struct {
	ID       JobID
	ClientID ClientID
	Bytes    int64 // of its input, its result and its events
}

// Usage is what a client's jobs of one type came to on one day (UTC).
type Usage struct {
	Day       time.Time
	Type      string
	Succeeded int64
	Failed    int64
	Cancelled int64
	Charged   Money
}

// QueueTx moves live jobs. Items of one lane are ordered by priority, then by age.
type QueueTx interface {
	Enqueue(*QueueItem) error
	Item(JobID) (*QueueItem, error)
	SaveItem(*QueueItem) error
	RemoveItem(JobID) error
	ReadyJobs(lane *Lane, limit int) ([]*Job, error)                  // from its head on, with their items; none past its time limit
	DueItems(from, to time.Time, limit int) ([]*QueueItem, error)     // waiting or leased, whose time comes after from and by to
	OverdueItems(from, to time.Time, limit int) ([]*QueueItem, error) // ready, and likewise past their time limit

	Lane(jobType string, c ClientID) (*Lane, error) // never nil: a new lane is empty
	ActiveLanes(jobType string) ([]*Lane, error)    // with ready items
	SaveLane(*Lane) error
	EmptyLanes(limit int) ([]LaneKey, error) // those that have nothing ready, and still have a row
	RemoveLane(LaneKey) error                // if it is empty
}

// EventTx appends and reads events.
type EventTx interface {
	InsertEvent(*Event) error                                        // sets its number and ID
	NumberEvent() (int64, error)                                     // for an event that its job, item or outcome tells
	KeepEvent(*Event) error                                          // one with its number, which its item tells no more
	Events(subject string, after int64, limit int) ([]*Event, error) // oldest first
	AuditEvents(p Page) ([]*Event, error)                            // what people did: everything but the jobs' own events; newest first
}

// Idempotency is the record of an effect under a client's Idempotency-Key.
type Idempotency struct {
	ClientID    ClientID
	Key         string
	RequestHash [32]byte
	Jobs        []JobID // of a submit; replayed as they are now
	Body        []byte  // of any other effect: the answer
	CreatedAt   time.Time
}

// IdempotencyTx keeps the records.
type IdempotencyTx interface {
	Idempotency(ClientID, string) (*Idempotency, error)
	InsertIdempotency(*Idempotency) error
	DeleteIdempotency(before time.Time, limit int) (int, error) // oldest first; those of the future keep none from going
}

// SettingTx keeps what holds for the whole store, such as its currency.
type SettingTx interface {
	Setting(name string) (string, error) // empty where it was never saved
	SaveSetting(name, value string) error
}

// CurrencySetting names the setting that holds the currency of every amount in the store. It never changes.
const CurrencySetting = "currency"

// AuditFinding is one violation of one of the audit's statements.
type AuditFinding struct {
	Statement string
	Subject   string
	Detail    string
}

// AuditReport is what an audit of the ledger looked at and found, over one snapshot.
type AuditReport struct {
	Clients, Entries, LiveJobs, EndedJobs int64
	Statements                            []string // what holds where nothing was found
	Findings                              []AuditFinding
}

// AuditTx proves the ledger.
type AuditTx interface {
	Audit() (*AuditReport, error)
}
