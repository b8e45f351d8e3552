package tallygate

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"
)

func makeCall(t *testing.T, client *Client, call caseCall, told *[]float64) (any, error) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if call.CancelAfter > 0 {
		defer time.AfterFunc(time.Duration(call.CancelAfter), cancel).Stop()
	}
	a, o := call.Arguments, call.Options
	var options []CallOption
	if o.IdempotencyKey != "" {
		options = append(options, WithIdempotencyKey(o.IdempotencyKey))
	}
	if o.Timeout > 0 {
		options = append(options, WithTimeout(time.Duration(o.Timeout)))
	}
	if o.Deadline > 0 {
		options = append(options, WithDeadline(time.Duration(o.Deadline)))
	}
	if o.MaxAttempts > 0 {
		options = append(options, WithMaxAttempts(o.MaxAttempts))
	}
	if a.Wait > 0 {
		options = append(options, WithWait(time.Duration(a.Wait)))
	}
	if a.LastEventID != "" {
		options = append(options, WithLastEventID(a.LastEventID))
	}
	if a.Timeout > 0 {
		options = append(options, WithTimeLimit(time.Duration(a.Timeout)))
	}
	if a.CancelOnTimeout {
		options = append(options, WithCancelOnTimeout())
	}
	if a.Progress {
		options = append(options, WithProgress(func(p float64) { *told = append(*told, p) }))
	}
	operation := operations[call.Operation]
	if operation == nil {
		t.Fatalf("no method is known for %s", call.Operation)
	}
	return operation(ctx, t, client, a, options)
}

type operationFunc func(ctx context.Context, t *testing.T, c *Client, a caseArguments, options []CallOption) (any, error)

// body reads a request's body into its type, which has to know every member.
func body[T any](t *testing.T, a caseArguments) (v T) {
	t.Helper()
	if a.Body == nil {
		return v
	}
	decoder := json.NewDecoder(bytes.NewReader(a.Body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&v); err != nil {
		t.Fatalf("%T cannot say %s: %v", v, a.Body, err)
	}
	return v
}

func (a caseArguments) list() ListOptions { return ListOptions{a.Limit, a.Cursor} }

func (a caseArguments) filter() JobFilter {
	return JobFilter{a.Status, a.Type, a.CreatedAfter, a.CreatedBefore, a.Metadata, a.ClientID, a.list()}
}

func (a caseArguments) days(t *testing.T) (r UsageRange) {
	for text, to := range map[string]*time.Time{a.From: &r.From, a.To: &r.To} {
		if text != "" {
			day, err := time.Parse(time.DateOnly, text)
			if err != nil {
				t.Fatal(err)
			}
			*to = day
		}
	}
	return r
}

// collect gathers a sequence.
func collect[T any](sequence func(yield func(*T, error) bool)) (any, error) {
	items := []*T{}
	for item, err := range sequence {
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

// operations make a case's call: one for each operation of the OpenAPI document, and for what is above them.
var operations = map[string]operationFunc{
	"submitJob": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Jobs.Submit(ctx, body[Submission](t, a), o...)
	},
	"submitJobBatch": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		jobs, err := c.Jobs.SubmitBatch(ctx, body[submissions](t, a).Jobs, o...)
		return jobBatch{jobs}, err
	},
	"listJobs": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Jobs.List(ctx, a.filter(), o...)
	},
	"all:listJobs": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return collect(c.Jobs.All(ctx, a.filter(), o...))
	},
	"getJob": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Jobs.Get(ctx, a.ID, o...)
	},
	"getJobResult": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Jobs.Result(ctx, a.ID, o...)
	},
	"streamJobEvents": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return collect(c.Jobs.Events(ctx, a.ID, o...))
	},
	"events": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return collect(c.Jobs.Events(ctx, a.ID, o...))
	},
	"cancelJob": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Jobs.Cancel(ctx, a.ID, o...)
	},
	"wait": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Jobs.Wait(ctx, a.ID, o...)
	},
	"run": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Run(ctx, a.Type, a.Input, o...)
	},
	"runJob": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Jobs.RunDirect(ctx, a.Type, a.Body, o...)
	},
	"listJobTypes": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.JobTypes.List(ctx, a.list(), o...)
	},
	"getJobType": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.JobTypes.Get(ctx, a.Name, o...)
	},
	"defineJobType": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.JobTypes.Define(ctx, a.Name, body[JobTypeDefinition](t, a), o...)
	},
	"deleteJobType": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.JobTypes.Delete(ctx, a.Name, o...)
	},
	"quoteJob": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Quote(ctx, body[Submission](t, a), o...)
	},
	"getAccount": func(ctx context.Context, _ *testing.T, c *Client, _ caseArguments, o []CallOption) (any, error) {
		return c.Account.Get(ctx, o...)
	},
	"listAccountEntries": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Account.Entries(ctx, a.list(), o...)
	},
	"all:listAccountEntries": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return collect(c.Account.AllEntries(ctx, a.list(), o...))
	},
	"getAccountUsage": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		days, err := c.Account.Usage(ctx, a.days(t), o...)
		return Page[Usage]{Data: days}, err
	},
	"getAccountErrors": func(ctx context.Context, _ *testing.T, c *Client, _ caseArguments, o []CallOption) (any, error) {
		return c.Account.Errors(ctx, o...)
	},
	"listApiKeys": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.APIKeys.List(ctx, a.list(), o...)
	},
	"all:listApiKeys": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return collect(c.APIKeys.All(ctx, a.list(), o...))
	},
	"createApiKey": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.APIKeys.Create(ctx, body[NewAPIKey](t, a), o...)
	},
	"getApiKey": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.APIKeys.Get(ctx, a.ID, o...)
	},
	"revokeApiKey": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.APIKeys.Revoke(ctx, a.ID, o...)
	},
	"rotateApiKey": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.APIKeys.Rotate(ctx, a.ID, body[Rotation](t, a), o...)
	},
	"listClients": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Clients.List(ctx, a.list(), o...)
	},
	"all:listClients": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return collect(c.Clients.All(ctx, a.list(), o...))
	},
	"createClient": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Clients.Create(ctx, body[NewClient](t, a), o...)
	},
	"getClient": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Clients.Get(ctx, a.ID, o...)
	},
	"updateClient": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Clients.Update(ctx, a.ID, body[ClientUpdate](t, a), o...)
	},
	"suspendClient": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Clients.Suspend(ctx, a.ID, o...)
	},
	"activateClient": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Clients.Activate(ctx, a.ID, o...)
	},
	"creditClient": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Clients.Credit(ctx, a.ID, body[Credit](t, a), o...)
	},
	"listClientEntries": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Clients.Entries(ctx, a.ID, a.list(), o...)
	},
	"getClientUsage": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		days, err := c.Clients.Usage(ctx, a.ID, a.days(t), o...)
		return Page[Usage]{Data: days}, err
	},
	"getClientErrors": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Clients.Errors(ctx, a.ID, o...)
	},
	"listClientApiKeys": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Clients.APIKeys.List(ctx, a.Client, a.list(), o...)
	},
	"all:listClientApiKeys": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return collect(c.Clients.APIKeys.All(ctx, a.Client, a.list(), o...))
	},
	"createClientApiKey": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Clients.APIKeys.Create(ctx, a.Client, body[NewAPIKey](t, a), o...)
	},
	"getClientApiKey": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Clients.APIKeys.Get(ctx, a.Client, a.Key, o...)
	},
	"revokeClientApiKey": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Clients.APIKeys.Revoke(ctx, a.Client, a.Key, o...)
	},
	"rotateClientApiKey": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Clients.APIKeys.Rotate(ctx, a.Client, a.Key, body[Rotation](t, a), o...)
	},
	"listAuditRecords": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Audit.List(ctx, a.list(), o...)
	},
	"all:listAuditRecords": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return collect(c.Audit.All(ctx, a.list(), o...))
	},
	"leaseJobs": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Worker.Lease(ctx, body[LeaseRequest](t, a), o...)
	},
	"reportJobs": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Worker.Report(ctx, body[ReportBatch](t, a), o...)
	},
	"heartbeatJob": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Worker.Heartbeat(ctx, a.ID, body[Heartbeat](t, a), o...)
	},
	"succeedJob": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Worker.Succeed(ctx, a.ID, body[Success](t, a), o...)
	},
	"failJob": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Worker.Fail(ctx, a.ID, body[Failure](t, a), o...)
	},
	"releaseJob": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Worker.Release(ctx, a.ID, body[Giveback](t, a), o...)
	},
	"getHealth": func(ctx context.Context, _ *testing.T, c *Client, _ caseArguments, o []CallOption) (any, error) {
		return c.Health(ctx, o...)
	},
	"getReadiness": func(ctx context.Context, _ *testing.T, c *Client, _ caseArguments, o []CallOption) (any, error) {
		return c.Ready(ctx, o...)
	},
	"getOpenAPI": func(ctx context.Context, _ *testing.T, c *Client, _ caseArguments, o []CallOption) (any, error) {
		return c.OpenAPI(ctx, o...)
	},
	"verify": func(_ context.Context, _ *testing.T, _ *Client, a caseArguments, _ []CallOption) (any, error) {
		header := http.Header{}
		for name, value := range a.Headers {
			header.Set(name, value)
		}
		return nil, verifyWebhook([]byte(a.Payload), header, a.Secret, time.Unix(a.Now, 0))
	},
}
