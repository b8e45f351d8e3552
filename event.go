package tallygate

import "time"

// Event is something that happened to a job, key, client or job type, in order.
type Event struct {
	Number   int64 // rises in commit order on one writer
	ID       EventID
	Kind     string // such as "job.succeeded"
	ClientID ClientID
	Subject  string // the ID or name it happened to
	Actor    KeyID  // who did it; empty: the server itself
	Data     []byte // a JSON object, or nil
	At       time.Time
}

// The kinds of events.
const (
	EventJobQueued          = "job.queued"
	EventJobRunning         = "job.running"
	EventJobProgress        = "job.progress"
	EventJobLog             = "job.log"
	EventJobRetrying        = "job.retrying"
	EventJobCancelRequested = "job.cancel_requested"
	EventJobSucceeded       = "job.succeeded"
	EventJobFailed          = "job.failed"
	EventJobCancelled       = "job.cancelled"

	EventClientCreated   = "client.created"
	EventClientUpdated   = "client.updated"
	EventClientSuspended = "client.suspended"
	EventClientActivated = "client.activated"
	EventClientCredited  = "client.credited"

	EventKeyCreated = "api_key.created"
	EventKeyRevoked = "api_key.revoked"
	EventKeyRotated = "api_key.rotated"

	EventTypeDefined = "job_type.defined"
	EventTypeDeleted = "job_type.deleted"
)
