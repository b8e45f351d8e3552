package tallygate

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// WorkerAPI are the routes of workers, for a key with the permission work. [Worker] does all that a worker has to do
// with them.
type WorkerAPI struct{ client *Client }

// LeaseRequest says which jobs a worker can do, and how many it takes.
type LeaseRequest struct {
	Types  []string `json:"types"`
	Max    int      `json:"max,omitzero"`  // 0: one
	Wait   Duration `json:"wait,omitzero"` // for a job, where there is none; at most a minute
	Worker string   `json:"worker,omitzero"`
}

// Lease is the right to one attempt at one job, until a deadline.
type Lease struct {
	Token     string    `json:"token"` // every word about the attempt bears it
	Attempt   int64     `json:"attempt"`
	ExpiresAt time.Time `json:"expires_at,omitzero"` // by the server's clock
	Job       Job       `json:"job"`
}

// Leases are what a lease request got.
type Leases struct {
	Leases []Lease `json:"leases"`
}

// Heartbeat renews a lease and tells how the attempt goes on.
type Heartbeat struct {
	Token    string   `json:"token"`
	Progress *float64 `json:"progress,omitempty"` // 0 to 1
	Logs     []string `json:"logs,omitempty"`     // at most 100 lines of at most 4,000 characters
}

// Renewal is the answer to a heartbeat.
type Renewal struct {
	ExpiresAt       time.Time `json:"expires_at,omitzero"`
	CancelRequested bool      `json:"cancel_requested"` // the job is to end
}

// Success says that a job is done.
type Success struct {
	Token  string           `json:"token"`
	Result any              `json:"result"` // as anything that encodes to JSON
	Units  map[string]int64 `json:"units,omitempty"`
}

// Failure says that an attempt failed.
type Failure struct {
	Token      string   `json:"token"`
	Error      JobError `json:"error"`
	Retry      *bool    `json:"retry,omitempty"`      // nil: true, as far as the type's attempts go
	RetryAfter Duration `json:"retry_after,omitzero"` // not sooner
}

// Giveback returns a job unfinished, without spending an attempt.
type Giveback struct {
	Token string `json:"token"`
}

// Outcome names what became of an attempt.
type Outcome string

// The outcomes of a report.
const (
	OutcomeSucceeded Outcome = "succeeded"
	OutcomeFailed    Outcome = "failed"
	OutcomeReleased  Outcome = "released"
)

// Report is one of a batch.
type Report struct {
	JobID      string           `json:"job_id"`
	Outcome    Outcome          `json:"outcome"`
	Token      string           `json:"token"`
	Result     any              `json:"result,omitempty"` // succeeded
	Units      map[string]int64 `json:"units,omitempty"`  // succeeded
	Error      *JobError        `json:"error,omitempty"`  // failed
	Retry      *bool            `json:"retry,omitempty"`
	RetryAfter Duration         `json:"retry_after,omitzero"`
}

// ReportBatch settles jobs, and takes the next ones in the same call.
type ReportBatch struct {
	Reports []Report      `json:"reports"`
	Lease   *LeaseRequest `json:"lease,omitempty"`
}

// Reported says that a report was taken.
type Reported struct {
	JobID string `json:"job_id"`
	OK    bool   `json:"ok"`
}

// ReportResult is what became of a report.
type ReportResult struct {
	JobID string         `json:"job_id"`
	OK    bool           `json:"ok,omitzero"`
	Error *ReportRefusal `json:"error,omitempty"` // why it was refused, such as under an old token
}

// ReportRefusal is why a report was refused.
type ReportRefusal struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

// ReportResults are the answer to a batch, in its order.
type ReportResults struct {
	Results []ReportResult `json:"results"`
	Leases  []Lease        `json:"leases"`
}

func work(operation, path string, body any, wait time.Duration) request {
	return request{operation: operation, method: http.MethodPost, path: path, body: body, wait: wait}
}

// Lease takes jobs.
func (w *WorkerAPI) Lease(ctx context.Context, r LeaseRequest, options ...CallOption) (*Leases, error) {
	return fetch[Leases](ctx, w.client, work("leaseJobs", "/v1/worker/lease", r, time.Duration(r.Wait)), options)
}

// Report settles a batch of jobs; one report that is refused holds up no other.
func (w *WorkerAPI) Report(ctx context.Context, batch ReportBatch, options ...CallOption) (*ReportResults, error) {
	var wait time.Duration
	if batch.Lease != nil {
		wait = time.Duration(batch.Lease.Wait)
	}
	return fetch[ReportResults](ctx, w.client, work("reportJobs", "/v1/worker/report", batch, wait), options)
}

// Heartbeat renews a lease.
func (w *WorkerAPI) Heartbeat(ctx context.Context, job string, h Heartbeat, options ...CallOption) (*Renewal, error) {
	return fetch[Renewal](ctx, w.client, work("heartbeatJob", at("/v1/worker/jobs/%s/heartbeat", job), h, 0), options)
}

// Succeed settles a job with its result.
func (w *WorkerAPI) Succeed(ctx context.Context, job string, s Success, options ...CallOption) (*Reported, error) {
	if s.Result == nil {
		s.Result = json.RawMessage("null")
	}
	return fetch[Reported](ctx, w.client, work("succeedJob", at("/v1/worker/jobs/%s/succeed", job), s, 0), options)
}

// Fail settles an attempt that failed.
func (w *WorkerAPI) Fail(ctx context.Context, job string, f Failure, options ...CallOption) (*Reported, error) {
	return fetch[Reported](ctx, w.client, work("failJob", at("/v1/worker/jobs/%s/fail", job), f, 0), options)
}

// Release gives a job back unfinished.
func (w *WorkerAPI) Release(ctx context.Context, job string, g Giveback, options ...CallOption) (*Reported, error) {
	return fetch[Reported](ctx, w.client, work("releaseJob", at("/v1/worker/jobs/%s/release", job), g, 0), options)
}
