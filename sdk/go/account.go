package tallygate

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// Account is the caller's own client: balance, ledger, use and errors.
type Account struct{ client *Client }

// Clients are customer accounts, for operators.
type Clients struct {
	APIKeys *ClientAPIKeys // a client's keys

	client *Client
}

// ClientStatus tells whether a client may call.
type ClientStatus string

// The states of a client.
const (
	ClientActive    ClientStatus = "active"
	ClientSuspended ClientStatus = "suspended"
)

// ClientAccount is what the API calls a client: a customer account with keys, a balance, limits and jobs.
type ClientAccount struct {
	ID             string         `json:"id"`
	Name           string         `json:"name"`
	Status         ClientStatus   `json:"status"`
	Currency       string         `json:"currency"`
	MinimumBalance Money          `json:"minimum_balance"` // holds go no further down
	Limits         ClientLimits   `json:"limits"`
	Balance        Balance        `json:"balance"`
	Jobs           JobCounts      `json:"jobs"`
	Metadata       map[string]any `json:"metadata"`
	Operator       bool           `json:"operator"` // the built-in client of those who run the server
	CreatedAt      time.Time      `json:"created_at,omitzero"`
}

// ClientLimits bound what a client may do at once.
type ClientLimits struct {
	RequestsPerSecond float64 `json:"requests_per_second"`
	Burst             int64   `json:"burst"`
	RunningJobs       int64   `json:"running_jobs"`
	QueuedJobs        int64   `json:"queued_jobs"`
}

// Balance is posted money, the part of it that is set aside for live jobs, and what is left of it.
type Balance struct {
	Posted    Money `json:"posted"`
	Held      Money `json:"held"`
	Available Money `json:"available"`
}

// JobCounts are a client's live jobs.
type JobCounts struct {
	Queued  int64 `json:"queued"`
	Running int64 `json:"running"`
}

// NewClient is a client to be; limits that are not named are as usual.
type NewClient struct {
	Name           string         `json:"name"`
	Currency       string         `json:"currency,omitzero"` // the server's own, if named
	MinimumBalance Money          `json:"minimum_balance,omitzero"`
	Limits         *LimitsChange  `json:"limits,omitempty"`
	Metadata       map[string]any `json:"metadata,omitempty"`
}

// ClientUpdate changes a client; what is not named stays as it is.
type ClientUpdate struct {
	Name           string         `json:"name,omitzero"`
	MinimumBalance Money          `json:"minimum_balance,omitzero"`
	Limits         *LimitsChange  `json:"limits,omitempty"`
	Metadata       map[string]any `json:"metadata,omitzero"` // as a whole
}

// LimitsChange names some limits of a client: LimitsChange{RunningJobs: new(int64(5))}.
type LimitsChange struct {
	RequestsPerSecond *float64 `json:"requests_per_second,omitempty"`
	Burst             *int64   `json:"burst,omitempty"`
	RunningJobs       *int64   `json:"running_jobs,omitempty"`
	QueuedJobs        *int64   `json:"queued_jobs,omitempty"`
}

// Credit is money that is added to a balance.
type Credit struct {
	Amount Money  `json:"amount"`
	Note   string `json:"note,omitzero"`
}

// EntryKind names what an entry of a ledger did.
type EntryKind string

// The kinds of entries.
const (
	EntryCredit     EntryKind = "credit"
	EntryHold       EntryKind = "hold"
	EntryCharge     EntryKind = "charge"
	EntryRelease    EntryKind = "release"
	EntryRefund     EntryKind = "refund"
	EntryAdjustment EntryKind = "adjustment"
)

// Entry is one immutable line of a client's ledger: what it moved, and the balance after it.
type Entry struct {
	ID        string    `json:"id"`
	ClientID  string    `json:"client_id"`
	Number    int64     `json:"number"` // 1, 2, 3 … within the client
	Kind      EntryKind `json:"kind"`
	Posted    Money     `json:"posted"` // signed
	Held      Money     `json:"held"`   // signed
	Balance   Balance   `json:"balance"`
	JobID     string    `json:"job_id,omitzero"` // empty where no job is concerned
	Note      string    `json:"note"`
	CreatedAt time.Time `json:"created_at,omitzero"`
}

// Usage is what one day's jobs of one type came to.
type Usage struct {
	Day       string `json:"day"` // UTC, such as "2026-01-31"
	Type      string `json:"type"`
	Succeeded int64  `json:"succeeded"`
	Failed    int64  `json:"failed"`
	Cancelled int64  `json:"cancelled"`
	Charged   Money  `json:"charged"`
	Currency  string `json:"currency"`
}

// UsageRange says which days: from From up to, and without, To. Zero: the last 30 days, today included.
type UsageRange struct {
	From, To time.Time
}

func (r UsageRange) query() url.Values {
	q := url.Values{}
	if !r.From.IsZero() {
		q.Set("from", r.From.UTC().Format(time.DateOnly))
	}
	if !r.To.IsZero() {
		q.Set("to", r.To.UTC().Format(time.DateOnly))
	}
	return q
}

// ErrorRates are how a client's requests to one node ended, by route, in the last day at most.
type ErrorRates struct {
	Since      time.Time   `json:"since,omitzero"`
	Data       []ErrorRate `json:"data"`
	NextCursor string      `json:"next_cursor,omitzero"` // always empty
}

// ErrorRate is how the requests of one route ended.
type ErrorRate struct {
	Route     string         `json:"route,omitzero"` // such as "POST /v1/jobs"; empty: no route
	Requests  int64          `json:"requests"`
	Errors    int64          `json:"errors"`
	ErrorRate float64        `json:"error_rate"`
	Codes     map[Code]int64 `json:"codes"`
}

func get(operation, path string, query url.Values) request {
	return request{operation: operation, method: http.MethodGet, path: path, query: query}
}

// effect is a POST that heeds Idempotency-Key.
func effect(operation, path string, body any) request {
	return request{operation: operation, method: http.MethodPost, path: path, body: body, keyed: true}
}

// Get is the account as it stands.
func (a *Account) Get(ctx context.Context, options ...CallOption) (*ClientAccount, error) {
	return fetch[ClientAccount](ctx, a.client, get("getAccount", "/v1/account", nil), options)
}

// Entries is one page of the ledger, newest first.
func (a *Account) Entries(ctx context.Context, o ListOptions, options ...CallOption) (*Page[Entry], error) {
	return list[Entry](ctx, a.client, "listAccountEntries", "/v1/account/entries", o.query(), options)
}

// AllEntries walks over the ledger, page by page.
func (a *Account) AllEntries(ctx context.Context, o ListOptions, options ...CallOption) iter.Seq2[*Entry, error] {
	return all(func(cursor string) (*Page[Entry], error) {
		return a.Entries(ctx, ListOptions{o.Limit, cursor}, options...)
	}, o.Cursor)
}

// Usage is what the jobs came to by day and type, oldest first.
func (a *Account) Usage(ctx context.Context, r UsageRange, options ...CallOption) ([]Usage, error) {
	return usage(ctx, a.client, get("getAccountUsage", "/v1/account/usage", r.query()), options)
}

func usage(ctx context.Context, c *Client, r request, options []CallOption) ([]Usage, error) {
	page, err := fetch[Page[Usage]](ctx, c, r, options)
	if err != nil {
		return nil, err
	}
	return page.Data, nil
}

// Errors is how the account's requests ended.
func (a *Account) Errors(ctx context.Context, options ...CallOption) (*ErrorRates, error) {
	return fetch[ErrorRates](ctx, a.client, get("getAccountErrors", "/v1/account/errors", nil), options)
}

// List is one page of clients, newest first.
func (c *Clients) List(ctx context.Context, o ListOptions, options ...CallOption) (*Page[ClientAccount], error) {
	return list[ClientAccount](ctx, c.client, "listClients", "/v1/clients", o.query(), options)
}

// All walks over the clients, page by page.
func (c *Clients) All(ctx context.Context, o ListOptions, options ...CallOption) iter.Seq2[*ClientAccount, error] {
	return all(func(cursor string) (*Page[ClientAccount], error) {
		return c.List(ctx, ListOptions{o.Limit, cursor}, options...)
	}, o.Cursor)
}

// Create makes a client.
func (c *Clients) Create(ctx context.Context, client NewClient, options ...CallOption) (*ClientAccount, error) {
	return fetch[ClientAccount](ctx, c.client, effect("createClient", "/v1/clients", client), options)
}

// Get is one client.
func (c *Clients) Get(ctx context.Context, id string, options ...CallOption) (*ClientAccount, error) {
	return fetch[ClientAccount](ctx, c.client, get("getClient", at("/v1/clients/%s", id), nil), options)
}

// Update changes a client.
func (c *Clients) Update(ctx context.Context, id string, change ClientUpdate, options ...CallOption) (*ClientAccount, error) {
	return fetch[ClientAccount](ctx, c.client, request{operation: "updateClient", method: http.MethodPatch, path: at("/v1/clients/%s", id), body: change}, options)
}

// Suspend suspends a client: its keys stop working, its queued jobs wait, its running ones finish.
func (c *Clients) Suspend(ctx context.Context, id string, options ...CallOption) (*ClientAccount, error) {
	return fetch[ClientAccount](ctx, c.client, effect("suspendClient", at("/v1/clients/%s/suspend", id), nil), options)
}

// Activate lets a suspended client work again.
func (c *Clients) Activate(ctx context.Context, id string, options ...CallOption) (*ClientAccount, error) {
	return fetch[ClientAccount](ctx, c.client, effect("activateClient", at("/v1/clients/%s/activate", id), nil), options)
}

// Credit adds money to a client's balance. Name it with [WithIdempotencyKey] where the program itself may run again.
func (c *Clients) Credit(ctx context.Context, id string, credit Credit, options ...CallOption) (*Entry, error) {
	return fetch[Entry](ctx, c.client, effect("creditClient", at("/v1/clients/%s/credits", id), credit), options)
}

// Entries is one page of a client's ledger, newest first.
func (c *Clients) Entries(ctx context.Context, id string, o ListOptions, options ...CallOption) (*Page[Entry], error) {
	return list[Entry](ctx, c.client, "listClientEntries", at("/v1/clients/%s/entries", id), o.query(), options)
}

// AllEntries walks over a client's ledger, page by page.
func (c *Clients) AllEntries(ctx context.Context, id string, o ListOptions, options ...CallOption) iter.Seq2[*Entry, error] {
	return all(func(cursor string) (*Page[Entry], error) {
		return c.Entries(ctx, id, ListOptions{o.Limit, cursor}, options...)
	}, o.Cursor)
}

// Usage is what a client's jobs came to by day and type, oldest first.
func (c *Clients) Usage(ctx context.Context, id string, r UsageRange, options ...CallOption) ([]Usage, error) {
	return usage(ctx, c.client, get("getClientUsage", at("/v1/clients/%s/usage", id), r.query()), options)
}

// Errors is how a client's requests ended.
func (c *Clients) Errors(ctx context.Context, id string, options ...CallOption) (*ErrorRates, error) {
	return fetch[ErrorRates](ctx, c.client, get("getClientErrors", at("/v1/clients/%s/errors", id), nil), options)
}

// Audit is who did what.
type Audit struct{ client *Client }

// AuditRecord is something that somebody did to a client, a key or a job type.
type AuditRecord struct {
	ID        string          `json:"id"`
	Kind      string          `json:"kind"` // such as "client.suspended"
	Status    JobStatus       `json:"status,omitempty"`
	ClientID  string          `json:"client_id,omitzero"`
	Subject   string          `json:"subject"`        // the ID or name it happened to
	Actor     string          `json:"actor,omitzero"` // the key that did it; empty: the server itself
	Data      json.RawMessage `json:"data,omitempty"`
	CreatedAt time.Time       `json:"created_at,omitzero"`
}

// List is one page of records, newest first.
func (a *Audit) List(ctx context.Context, o ListOptions, options ...CallOption) (*Page[AuditRecord], error) {
	return list[AuditRecord](ctx, a.client, "listAuditRecords", "/v1/audit", o.query(), options)
}

// All walks over the records, page by page.
func (a *Audit) All(ctx context.Context, o ListOptions, options ...CallOption) iter.Seq2[*AuditRecord, error] {
	return all(func(cursor string) (*Page[AuditRecord], error) {
		return a.List(ctx, ListOptions{o.Limit, cursor}, options...)
	}, o.Cursor)
}

// Health is the answer of a process that serves.
type Health struct {
	Status string `json:"status"` // "ok"
}

// Readiness is what a node says of itself while it takes new requests.
type Readiness struct {
	Status    string     `json:"status"` // "ok"
	Upstreams []Upstream `json:"upstreams,omitempty"`
	Store     *struct {
		Engine       string  `json:"engine"`
		Status       string  `json:"status"`
		DelaySeconds float64 `json:"delay_seconds"` // of the oldest write that waits
	} `json:"store,omitempty"`
	Revision *struct {
		LagSeconds float64 `json:"lag_seconds"`
	} `json:"revision,omitempty"` // how old the news of revocations and suspensions are
	Cluster *struct {
		Nodes    int64 `json:"nodes"`
		Leader   bool  `json:"leader"`
		Listener struct {
			Status  string    `json:"status"`
			Since   time.Time `json:"since,omitzero"`
			Problem string    `json:"problem,omitzero"`
		} `json:"listener"`
	} `json:"cluster,omitempty"` // on PostgreSQL
	Limiter *struct {
		Status  string    `json:"status"`
		Since   time.Time `json:"since,omitzero"`
		Lapses  int64     `json:"lapses"`
		Problem string    `json:"problem,omitzero"`
	} `json:"limiter,omitempty"` // where the nodes share one
}

// Upstream tells whether the upstream of a job type is called.
type Upstream struct {
	Type     string    `json:"type"`
	State    string    `json:"state"`    // closed: it is; open: it is not; half_open: with one job
	Failures int64     `json:"failures"` // in a row
	Until    time.Time `json:"until,omitzero"`
}

// Health succeeds as long as the server's process answers.
func (c *Client) Health(ctx context.Context, options ...CallOption) (*Health, error) {
	return fetch[Health](ctx, c, get("getHealth", "/healthz", nil), options)
}

// Ready succeeds where the server takes new requests.
func (c *Client) Ready(ctx context.Context, options ...CallOption) (*Readiness, error) {
	return fetch[Readiness](ctx, c, get("getReadiness", "/readyz", nil), options)
}

// OpenAPI is the server's description of its API, a document of OpenAPI 3.1.
func (c *Client) OpenAPI(ctx context.Context, options ...CallOption) (json.RawMessage, error) {
	document, err := fetch[json.RawMessage](ctx, c, get("getOpenAPI", "/openapi.json", nil), options)
	if err != nil {
		return nil, err
	}
	return *document, nil
}
