package tallygate

import "time"

// JobStatus is where a job stands.
type JobStatus string

// The states of a job. A queued or running job is live; the others are ends.
const (
	JobQueued    JobStatus = "queued"
	JobRunning   JobStatus = "running"
	JobSucceeded JobStatus = "succeeded"
	JobFailed    JobStatus = "failed"
	JobCancelled JobStatus = "cancelled"
)

// Ended reports whether nothing more happens to a job in this state.
func (s JobStatus) Ended() bool { return s == JobSucceeded || s == JobFailed || s == JobCancelled }

// Job is one piece of work of one client: what was asked, and where it stands.
type Job struct {
	ID           JobID
	ClientID     ClientID
	Type         string
	Priority     int64  // higher first, among one client's own
	Input        []byte // JSON
	Metadata     []byte // a JSON object
	MaxAttempts  int64
	TimeLimit    time.Duration // from the first start
	Held         Money         // the quote, set aside at submit
	PriceVersion int64
	RunAt        time.Time
	CreatedAt    time.Time
	Actor        KeyID // who submitted it
	Event        int64 // the number of its job.queued event, which has no row of its own

	Item    *QueueItem // set while the job is live
	Outcome *Outcome   // set once it has ended
}

// Status derives the state from where the job stands.
func (j *Job) Status() JobStatus {
	switch {
	case j.Outcome != nil:
		return j.Outcome.Status
	case j.Item != nil && j.Item.State == ItemLeased:
		return JobRunning
	}
	return JobQueued
}

// Outcome is how a job ended. It is written once, with the charge and release that settle the job.
type Outcome struct {
	JobID      JobID
	ClientID   ClientID
	Type       string
	Status     JobStatus
	Result     []byte // JSON; nil unless succeeded
	Error      *JobError
	Charged    Money
	Released   Money
	Units      map[string]int64
	Attempt    int64
	Token      string // of the report that settled it; empty where none did
	Actor      KeyID  // who ended it; empty: its course
	Event      int64  // the number of its end's event, which has no row of its own
	LeaseEvent int64  // likewise its last lease's; 0: it had none
	StartedAt  time.Time
	LeasedAt   time.Time // its last lease
	FinishedAt time.Time
}

// JobError is what a failed job says of itself: PROCESSING_FAILED or EXTERNAL_SERVICE_ERROR.
type JobError struct {
	Code    Code
	Message string
}

// ItemState is what a live job waits for.
type ItemState int64

// The states of a queue item.
const (
	ItemReady   ItemState = iota // may be leased now
	ItemWaiting                  // for its time: run_at or the end of a backoff
	ItemLeased                   // for its worker
)

// QueueItem is a live job's narrow row in the queue: what leases touch. It goes when the job ends.
type QueueItem struct {
	JobID           JobID
	ClientID        ClientID
	Type            string
	Priority        int64
	Held            Money
	PriceVersion    int64
	State           ItemState
	At              time.Time // waiting: when it may run; leased: when the lease ends; ready: since when
	Attempt         int64     // leases granted so far; the current attempt while leased
	Failures        int64     // attempts that failed
	Losses          int64     // leases lost
	MaxAttempts     int64
	TimeLimit       time.Duration
	StartedAt       time.Time // first lease; zero before it
	LeasedAt        time.Time
	AttemptDeadline time.Time // no heartbeat renews past it
	LeaseEvent      int64     // the number of the last lease's job.running event, which has no row of its own
	Token           string    // the fencing token of the current lease
	Worker          string
	CancelRequested bool
	Progress        float64 // 0 to 1; negative: none told
	LastError       *JobError
}

// Deadline is when the job's time limit ends, zero before its first start.
func (q *QueueItem) Deadline() time.Time {
	if q.StartedAt.IsZero() || q.TimeLimit == 0 {
		return time.Time{}
	}
	return q.StartedAt.Add(q.TimeLimit)
}

// Lane is one client's jobs of one type in the queue.
type Lane struct {
	Type     string
	ClientID ClientID
	Ready    int64 // items that may be leased now

	// No ready item stands before this place, in the order of leases: whoever reads the lane begins here, and passes by
	// what has been taken, which a database may keep in its index for a while.
	HeadPriority int64
	Head         JobID // empty: the beginning
}

// LaneKey names a lane.
type LaneKey struct {
	Type     string
	ClientID ClientID
}

// Before reports whether an item of the lane stands before its head.
func (l *Lane) Before(q *QueueItem) bool {
	return q.Priority > l.HeadPriority || q.Priority == l.HeadPriority && q.JobID < l.Head
}

// MoveHead puts the head at an item.
func (l *Lane) MoveHead(q *QueueItem) { l.HeadPriority, l.Head = q.Priority, q.JobID }
