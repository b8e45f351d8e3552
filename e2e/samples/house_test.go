package samples

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/child"
	"github.com/tallygate/tallygate/docs"
	sdk "github.com/tallygate/tallygate/sdk/go"
)

// house is a server with a customer and a worker, in which samples find what they name.
type house struct {
	t           *testing.T
	root        string // of the tree
	binary      string
	url         string
	operator    *sdk.Client
	operatorKey string
	customer    *sdk.Client
	customerKey string
	customerID  string
	made        int // names that were given out
}

// worked is the type whose jobs are done; those of held ones wait for a sample that leases them.
const worked = "text.stats"

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t}
	var err error
	if h.root, err = filepath.Abs("../.."); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	database := filepath.Join(folder, "tallygate.db")
	h.binary = filepath.Join(folder, "tallygate")
	build := exec.Command("go", "build", "-trimpath", "-o", h.binary, "./cmd/tallygate")
	build.Dir = h.root
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the server: %v\n%s", err, said)
	}
	said, err := exec.Command(h.binary, "init", "--database", database, "--json").Output()
	if err != nil {
		t.Fatalf("init: %v", err)
	}
	var initialised struct {
		OperatorKey string `json:"operator_key"`
	}
	if err := json.Unmarshal(said, &initialised); err != nil {
		t.Fatal(err)
	}
	server, err := child.Start(context.Background(), child.Spec{Name: "server", Program: h.binary, Args: []string{"serve", "--listen", "127.0.0.1:0", "--database", database}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	if h.url, err = server.Address(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.operatorKey = initialised.OperatorKey
	h.operator = h.client(h.operatorKey)
	h.defineType(worked)
	var account *sdk.ClientAccount
	account, h.customerKey = h.newCustomer()
	h.customerID, h.customer = account.ID, h.client(h.customerKey)
	work, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); h.work(work) }()
	t.Cleanup(func() { stop(); <-done })
	return h
}

func (h *house) client(key string) *sdk.Client {
	c, err := sdk.New(sdk.WithURL(h.url), sdk.WithKey(key))
	must(h.t, err)
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// defineType makes a job type as the reference shows it, with leases that outlast a slow machine.
func (h *house) defineType(name string) string {
	_, err := h.operator.JobTypes.Define(h.t.Context(), name, sdk.JobTypeDefinition{
		Price: sdk.Price{Base: "0.01", Units: map[string]sdk.UnitPrice{"page": {Price: "0.002", Max: 100}}},
		Lease: sdk.Duration(10 * time.Minute), AttemptTimeout: sdk.Duration(10 * time.Minute),
	})
	must(h.t, err)
	return name
}

// newCustomer makes a client with money, and a key that may do all that a client may.
func (h *house) newCustomer() (*sdk.ClientAccount, string) {
	ctx := h.t.Context()
	account, err := h.operator.Clients.Create(ctx, sdk.NewClient{Name: "Acme", Limits: &sdk.LimitsChange{
		RequestsPerSecond: new(10_000.0), Burst: new(int64(10_000)), RunningJobs: new(int64(1000)),
	}})
	must(h.t, err)
	_, err = h.operator.Clients.Credit(ctx, account.ID, sdk.Credit{Amount: "1000.00"})
	must(h.t, err)
	key, err := h.operator.Clients.APIKeys.Create(ctx, account.ID, sdk.NewAPIKey{Name: "full", Permissions: []string{"preset:full"}})
	must(h.t, err)
	return account, key.Key.Reveal()
}

// work does the jobs of the one type until the context ends.
func (h *house) work(ctx context.Context) {
	for ctx.Err() == nil {
		got, err := h.operator.Worker.Lease(ctx, sdk.LeaseRequest{Types: []string{worked}, Max: 10, Wait: sdk.Duration(30 * time.Second)})
		if err != nil {
			continue // the server goes, or the test is over
		}
		for _, lease := range got.Leases {
			result := map[string]int{"words": 3, "characters": 16}
			if _, err := h.operator.Worker.Succeed(ctx, lease.Job.ID, sdk.Success{Token: lease.Token, Result: result}); err != nil && ctx.Err() == nil {
				h.t.Errorf("succeed: %v", err)
			}
		}
	}
}

// submit submits a job of the type.
func (h *house) submit(jobType string) string {
	job, err := h.customer.Jobs.Submit(h.t.Context(), sdk.Submission{Type: jobType, Input: map[string]any{"text": "Call me Ishmael."}})
	must(h.t, err)
	return job.ID
}

// ended is a job that has succeeded.
func (h *house) ended() string {
	id := h.submit(worked)
	job, err := h.customer.Jobs.Wait(h.t.Context(), id)
	must(h.t, err)
	if job.Status != sdk.JobSucceeded {
		h.t.Fatalf("the job %s", job.Status)
	}
	return id
}

// leased is a job of a type of its own that is at work, and the token of its lease.
func (h *house) leased(jobType string) (id, token string) {
	h.submit(jobType)
	got, err := h.operator.Worker.Lease(h.t.Context(), sdk.LeaseRequest{Types: []string{jobType}})
	must(h.t, err)
	return got.Leases[0].Job.ID, got.Leases[0].Token
}

// key is a fresh key of the client.
func (h *house) key(client string) string {
	key, err := h.operator.Clients.APIKeys.Create(h.t.Context(), client, sdk.NewAPIKey{Name: "ci", Permissions: []string{"jobs:read"}})
	must(h.t, err)
	return key.ID
}

// name is one that nothing else has.
func (h *house) name(prefix string) string {
	h.made++
	return fmt.Sprintf("%s.%d", prefix, h.made)
}

// What the reference's samples name.
const (
	jobID    = "job_01kg9ys7g0m4q8w2r6t0y4c8d2"
	jobID2   = "job_01kg9ys7g0m4q8w2r6t0y4c8d3"
	jobID3   = "job_01kg9ys7g0m4q8w2r6t0y4c8d4"
	clientID = "cl_01kg9ys7g0aaaaaaaaaaaaaaaa"
	keyID    = "key_01kg9ys7g0m4q8w2r6t0y4c8d2"
)

// prepare makes what the sample needs and puts it into the sample.
func (h *house) prepare(s docs.Sample) sample {
	h.t.Helper()
	instead := []string{
		"http://127.0.0.1:8080", h.url,
		"5f3c6a1e-2f0b-4c1a-9d3e-7b8a9c0d1e2f", h.name("once"), "invoice-2026-0117", h.name("invoice"),
	}
	for old, now := range h.objects(s.Operation) {
		instead = append(instead, old, now)
	}
	key := h.customerKey
	if tallygate.Permission(s.Permission).NeedsOperator() {
		key = h.operatorKey
	}
	return sample{Operation: s.Operation, Key: key, Code: strings.NewReplacer(instead...).Replace(s.Code)}
}

// objects are what stands in the place of those that the operation's samples name.
func (h *house) objects(operation string) map[string]string {
	switch operation {
	case "cancelJob":
		return map[string]string{jobID: h.submit(h.defineType(h.name("text.idle")))}
	case "defineJobType":
		return map[string]string{worked: h.name("text.defined")}
	case "deleteJobType":
		return map[string]string{worked: h.defineType(h.name("text.gone"))}
	case "leaseJobs":
		held := h.defineType(h.name("text.held"))
		h.submit(held)
		return map[string]string{worked: held}
	case "reportJobs":
		held := h.defineType(h.name("text.held"))
		objects := map[string]string{worked: held}
		for i, id := range []string{jobID, jobID2, jobID3} {
			objects[id], objects[[]string{"1-abc", "1-abd", "1-abe"}[i]] = h.leased(held)
		}
		return objects
	case "heartbeatJob", "succeedJob", "failJob", "releaseJob":
		id, token := h.leased(h.defineType(h.name("text.held")))
		return map[string]string{jobID: id, "1-abc": token}
	case "suspendClient", "activateClient", "updateClient":
		account, _ := h.newCustomer()
		return map[string]string{clientID: account.ID}
	case "getAccountUsage", "getClientUsage":
		h.ended()
		today := time.Now().UTC()
		year := fmt.Sprint(today.Year() + 1)
		// From the year's beginning to the next one's, which has today's jobs in it.
		return map[string]string{clientID: h.customerID, "2026-01-01": today.Format("2006") + "-01-01", "2026-02-01": year + "-01-01",
			"time.Date(2026, 1, 1,": "time.Date(" + today.Format("2006") + ", 1, 1,", "time.Date(2026, 2, 1,": "time.Date(" + year + ", 1, 1,"}
	}
	objects := map[string]string{clientID: h.customerID}
	if slices.Contains([]string{"getJob", "getJobResult", "streamJobEvents", "listJobs"}, operation) {
		objects[jobID] = h.ended()
	}
	if strings.HasSuffix(operation, "ApiKey") {
		objects[keyID] = h.key(h.customerID)
	}
	return objects
}
