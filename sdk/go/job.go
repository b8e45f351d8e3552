package tallygate

import (
	"context"
	"encoding/json"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// Jobs are the caller's jobs; an operator sees everybody's.
type Jobs struct{ client *Client }

// JobStatus is where a job stands.
type JobStatus string

// The states of a job.
const (
	JobQueued    JobStatus = "queued"
	JobRunning   JobStatus = "running"
	JobSucceeded JobStatus = "succeeded"
	JobFailed    JobStatus = "failed"
	JobCancelled JobStatus = "cancelled"
)

// Ended reports whether nothing more happens to a job in this state.
func (s JobStatus) Ended() bool { return s == JobSucceeded || s == JobFailed || s == JobCancelled }

// Job is one piece of work: what was asked, where it stands, what it costs.
type Job struct {
	ID              string          `json:"id"`
	Type            string          `json:"type"`
	ClientID        string          `json:"client_id"`
	Status          JobStatus       `json:"status"`
	Priority        int64           `json:"priority"` // higher first, among one client's own
	Input           json.RawMessage `json:"input"`
	Result          json.RawMessage `json:"result"` // null unless it succeeded
	Error           *JobError       `json:"error"`  // nil unless it failed
	Progress        *float64        `json:"progress"`
	Attempt         int64           `json:"attempt"` // so many have begun
	MaxAttempts     int64           `json:"max_attempts"`
	TimeLimit       Duration        `json:"time_limit,omitzero"` // from its first start
	Receipt         Receipt         `json:"receipt"`
	CancelRequested bool            `json:"cancel_requested,omitzero"` // of a running job that is to end
	LastError       *JobError       `json:"last_error,omitempty"`      // of the last attempt, while the job goes on
	Metadata        map[string]any  `json:"metadata"`
	RunAt           time.Time       `json:"run_at,omitzero"` // not before
	CreatedAt       time.Time       `json:"created_at,omitzero"`
	StartedAt       time.Time       `json:"started_at,omitzero"`  // zero: not yet
	FinishedAt      time.Time       `json:"finished_at,omitzero"` // zero: not yet
}

// JobError says why a job, or an attempt at it, failed.
type JobError struct {
	Code    Code   `json:"code,omitzero"` // PROCESSING_FAILED, or EXTERNAL_SERVICE_ERROR where an upstream did
	Message string `json:"message"`
}

// Receipt says what a job costs. What was held is charged or released once the job has ended.
type Receipt struct {
	Currency     string           `json:"currency"`
	Quoted       Money            `json:"quoted"` // at most
	Held         Money            `json:"held"`   // set aside when it was submitted
	Charged      Money            `json:"charged"`
	Released     Money            `json:"released"`
	Units        map[string]int64 `json:"units"` // used, by name
	PriceVersion int64            `json:"price_version"`
}

// Submission is a job to be.
type Submission struct {
	Type       string         `json:"type"`
	Input      any            `json:"input"` // what the type's schema allows, as anything that encodes to it
	Priority   int64          `json:"priority,omitzero"`
	RunAt      time.Time      `json:"run_at,omitzero"`     // not before; zero: at once
	TimeLimit  Duration       `json:"time_limit,omitzero"` // within the type's own
	MaxCost    Money          `json:"max_cost,omitzero"`   // refuse the job if it may cost more
	Metadata   map[string]any `json:"metadata,omitempty"`
	WebhookURL string         `json:"webhook_url,omitzero"`
}

// JobFilter narrows a list of jobs.
type JobFilter struct {
	Status        JobStatus
	Type          string
	CreatedAfter  time.Time
	CreatedBefore time.Time
	Metadata      map[string]string // jobs with all of these members
	ClientID      string            // for operators
	ListOptions
}

func (f JobFilter) query() url.Values {
	q := f.ListOptions.query()
	for name, value := range map[string]string{"status": string(f.Status), "type": f.Type, "client_id": f.ClientID} {
		if value != "" {
			q.Set(name, value)
		}
	}
	for name, value := range map[string]time.Time{"created_after": f.CreatedAfter, "created_before": f.CreatedBefore} {
		if !value.IsZero() {
			q.Set(name, value.UTC().Format(time.RFC3339Nano))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.Metadata)) {
		q.Set("metadata["+name+"]", f.Metadata[name])
	}
	return q
}

// waitQuery asks the server to hold its answer.
func waitQuery(d time.Duration) url.Values {
	if d <= 0 {
		return nil
	}
	return url.Values{"wait": {Duration(d).String()}}
}

// Submit submits a job. With [WithWait] the answer comes when the job has ended, or after that time. However often the
// call is tried, there is one job, paid once.
func (j *Jobs) Submit(ctx context.Context, job Submission, options ...CallOption) (*Job, error) {
	one := j.client.newCall(options)
	return fetchAs[Job](ctx, j.client, submitRequest(job, one.wait), one)
}

func submitRequest(job Submission, wait time.Duration) request {
	return request{operation: "submitJob", method: http.MethodPost, path: "/v1/jobs", query: waitQuery(wait), body: job, keyed: true, wait: wait}
}

// SubmitBatch submits up to 1,000 jobs, all or none, and returns them in order.
func (j *Jobs) SubmitBatch(ctx context.Context, jobs []Submission, options ...CallOption) ([]Job, error) {
	batch, err := fetch[jobBatch](ctx, j.client, request{
		operation: "submitJobBatch", method: http.MethodPost, path: "/v1/jobs/batch", body: submissions{jobs}, keyed: true,
	}, options)
	if err != nil {
		return nil, err
	}
	return batch.Data, nil
}

type submissions struct {
	Jobs []Submission `json:"jobs"`
}

type jobBatch struct {
	Data []Job `json:"data"`
}

// List is one page of jobs, newest first.
func (j *Jobs) List(ctx context.Context, filter JobFilter, options ...CallOption) (*Page[Job], error) {
	return list[Job](ctx, j.client, "listJobs", "/v1/jobs", filter.query(), options)
}

// All walks over all jobs that the filter lets through, page by page.
func (j *Jobs) All(ctx context.Context, filter JobFilter, options ...CallOption) iter.Seq2[*Job, error] {
	return all(func(cursor string) (*Page[Job], error) {
		filter.Cursor = cursor
		return j.List(ctx, filter, options...)
	}, filter.Cursor)
}

// Get is the job as it stands. With [WithWait] the answer comes when the job has ended, or after that time.
func (j *Jobs) Get(ctx context.Context, id string, options ...CallOption) (*Job, error) {
	one := j.client.newCall(options)
	return fetchAs[Job](ctx, j.client, getRequest(id, one.wait), one)
}

func getRequest(id string, wait time.Duration) request {
	return request{operation: "getJob", method: http.MethodGet, path: at("/v1/jobs/%s", id), query: waitQuery(wait), wait: wait}
}

// Result is the bare result of a job that succeeded. For one that failed it is the error with the job's code, for one
// that was cancelled or goes on an [*InvalidRequestError].
func (j *Jobs) Result(ctx context.Context, id string, options ...CallOption) (json.RawMessage, error) {
	result, err := fetch[json.RawMessage](ctx, j.client, request{operation: "getJobResult", method: http.MethodGet, path: at("/v1/jobs/%s/result", id)}, options)
	if err != nil {
		return nil, err
	}
	return *result, nil
}

// Cancel cancels a job, running or not, and returns it: a queued one has ended, a running one is told, one that had ended
// is unchanged.
func (j *Jobs) Cancel(ctx context.Context, id string, options ...CallOption) (*Job, error) {
	return fetch[Job](ctx, j.client, request{operation: "cancelJob", method: http.MethodPost, path: at("/v1/jobs/%s/cancel", id), keyed: true}, options)
}

// usualRunWait is how long the server holds the answer of a run that does not say.
const usualRunWait = 30 * time.Second

// RunDirect is POST /v1/run/{type}: one request with the input as its body and the result as its answer. A job that takes
// longer than [WithWait] (30 s) is refused with SERVICE_UNAVAILABLE, and the next attempt joins the same job. [Run] has no
// such bound, and tells progress.
func (j *Jobs) RunDirect(ctx context.Context, jobType string, input any, options ...CallOption) (json.RawMessage, error) {
	one := j.client.newCall(options)
	r := request{operation: "runJob", method: http.MethodPost, path: at("/v1/run/%s", jobType), query: waitQuery(one.wait), body: input, keyed: true, wait: one.wait}
	if one.wait == 0 {
		r.wait = usualRunWait
	}
	if input == nil {
		r.body = json.RawMessage("null")
	}
	result, err := fetchAs[json.RawMessage](ctx, j.client, r, one)
	if err != nil {
		return nil, err
	}
	return *result, nil
}
