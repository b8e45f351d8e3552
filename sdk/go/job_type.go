package tallygate

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"time"
)

// JobTypes are what can be run.
type JobTypes struct{ client *Client }

// JobType is what can be run: to everyone what it does, takes and costs; to operators also how it is done.
type JobType struct {
	Name           string          `json:"name"`
	Description    string          `json:"description"`
	InputSchema    json.RawMessage `json:"input_schema"` // JSON Schema 2020-12
	Currency       string          `json:"currency"`
	Price          Price           `json:"price"`
	PriceVersion   int64           `json:"price_version"`
	MaxAttempts    int64           `json:"max_attempts"`
	TimeLimit      Duration        `json:"time_limit,omitzero"` // of a job, from its first start
	CancelCharge   CancelCharge    `json:"cancel_charge"`
	Retention      Duration        `json:"retention,omitzero"` // of ended jobs
	Limits         *RateLimit      `json:"limits"`             // of each client; nil: none
	Executor       *Executor       `json:"executor,omitempty"` // for operators, as those below
	AttemptTimeout Duration        `json:"attempt_timeout,omitzero"`
	Lease          Duration        `json:"lease,omitzero"`
	RunningJobs    int64           `json:"running_jobs,omitzero"` // at once; 0: no cap
	Clients        []string        `json:"clients,omitzero"`      // who may use it; nil: everyone
	CreatedAt      time.Time       `json:"created_at,omitzero"`
	UpdatedAt      time.Time       `json:"updated_at,omitzero"`
}

// Price is what a job costs at most: a base, and for each unit that the type meters a price and the most that is charged.
type Price struct {
	Base  Money                `json:"base,omitzero"`
	Units map[string]UnitPrice `json:"units,omitempty"`
}

// UnitPrice is the price of one unit and the most units of one job.
type UnitPrice struct {
	Price Money `json:"price"`
	Max   int64 `json:"max"`
}

// CancelCharge names what a cancelled job costs.
type CancelCharge string

// What cancellation charges.
const (
	CancelChargeNone CancelCharge = "none"
	CancelChargeBase CancelCharge = "base"
	CancelChargeHold CancelCharge = "hold"
)

// Executor tells who does a type's jobs.
type Executor struct {
	Kind    ExecutorKind `json:"kind"`
	URL     string       `json:"url,omitzero"`     // http
	Timeout Duration     `json:"timeout,omitzero"` // http: of one call
	Handler string       `json:"handler,omitzero"` // builtin
}

// ExecutorDefinition tells who is to do a type's jobs.
type ExecutorDefinition struct {
	Kind    ExecutorKind `json:"kind"`
	URL     string       `json:"url,omitzero"`     // http
	Timeout Duration     `json:"timeout,omitzero"` // http: of one call
	Secret  *Secret      `json:"secret,omitempty"` // http: signs the calls. Nil keeps the stored one, an empty one takes it away
	Handler string       `json:"handler,omitzero"` // builtin
}

// ExecutorKind names who does the work of a job type.
type ExecutorKind string

// The executors.
const (
	ExecutorPull    ExecutorKind = "pull"    // workers that lease
	ExecutorHTTP    ExecutorKind = "http"    // an upstream that the server calls
	ExecutorBuiltin ExecutorKind = "builtin" // a Go function in the server
)

// RateLimit is a smooth rate and how many requests pass at one instant.
type RateLimit struct {
	RequestsPerSecond float64 `json:"requests_per_second"`
	Burst             int64   `json:"burst,omitzero"`
}

// JobTypeDefinition is a job type to be; what it leaves out has its default.
type JobTypeDefinition struct {
	Description    string              `json:"description,omitzero"`
	InputSchema    any                 `json:"input_schema,omitempty"` // JSON Schema 2020-12, as anything that encodes to it; nil: any input
	Price          Price               `json:"price,omitzero"`
	Executor       *ExecutorDefinition `json:"executor,omitempty"` // nil: workers that lease
	MaxAttempts    int64               `json:"max_attempts,omitzero"`
	AttemptTimeout Duration            `json:"attempt_timeout,omitzero"`
	TimeLimit      Duration            `json:"time_limit,omitzero"`
	Lease          Duration            `json:"lease,omitzero"`
	CancelCharge   CancelCharge        `json:"cancel_charge,omitzero"`
	RunningJobs    int64               `json:"running_jobs,omitzero"` // at once; 0: no cap
	Retention      Duration            `json:"retention,omitzero"`
	Limits         *RateLimit          `json:"limits,omitempty"`
	Clients        []string            `json:"clients,omitzero"` // who may use it; nil: everyone; empty: nobody
}

// DeletedJobType is the answer to a deletion.
type DeletedJobType struct {
	Name    string `json:"name"`
	Deleted bool   `json:"deleted"`
}

// Quote is what a job would cost at most.
type Quote struct {
	Type         string `json:"type"`
	Currency     string `json:"currency"`
	Quoted       Money  `json:"quoted"`
	Price        Price  `json:"price"`
	PriceVersion int64  `json:"price_version"`
}

// List is one page of the job types that are open to the caller, by name.
func (j *JobTypes) List(ctx context.Context, o ListOptions, options ...CallOption) (*Page[JobType], error) {
	return list[JobType](ctx, j.client, "listJobTypes", "/v1/job-types", o.query(), options)
}

// All walks over them, page by page.
func (j *JobTypes) All(ctx context.Context, o ListOptions, options ...CallOption) iter.Seq2[*JobType, error] {
	return all(func(cursor string) (*Page[JobType], error) {
		return j.List(ctx, ListOptions{o.Limit, cursor}, options...)
	}, o.Cursor)
}

// Get is one job type.
func (j *JobTypes) Get(ctx context.Context, name string, options ...CallOption) (*JobType, error) {
	return fetch[JobType](ctx, j.client, request{operation: "getJobType", method: http.MethodGet, path: at("/v1/job-types/%s", name)}, options)
}

// Define makes or replaces a job type.
func (j *JobTypes) Define(ctx context.Context, name string, definition JobTypeDefinition, options ...CallOption) (*JobType, error) {
	return fetch[JobType](ctx, j.client, request{operation: "defineJobType", method: http.MethodPut, path: at("/v1/job-types/%s", name), body: definition}, options)
}

// Delete deletes a job type that has no live jobs.
func (j *JobTypes) Delete(ctx context.Context, name string, options ...CallOption) (*DeletedJobType, error) {
	return fetch[DeletedJobType](ctx, j.client, request{operation: "deleteJobType", method: http.MethodDelete, path: at("/v1/job-types/%s", name)}, options)
}

// Quote is what the job would cost at most, after the checks that a submit would make.
func (c *Client) Quote(ctx context.Context, job Submission, options ...CallOption) (*Quote, error) {
	return fetch[Quote](ctx, c, request{operation: "quoteJob", method: http.MethodPost, path: "/v1/quotes", body: job}, options)
}
