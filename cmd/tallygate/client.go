package main

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"time"
)

type clientCmd struct {
	Create   clientCreateCmd   `cmd:"" help:"Create a client."`
	List     clientListCmd     `cmd:"" help:"List clients, newest first."`
	Get      clientGetCmd      `cmd:"" help:"Show a client: balance, limits, status."`
	Update   clientUpdateCmd   `cmd:"" help:"Change a client's name, limits, floor or metadata."`
	Suspend  clientSuspendCmd  `cmd:"" help:"Suspend a client: its keys stop working, its queued jobs wait."`
	Activate clientActivateCmd `cmd:"" help:"Let a suspended client work again."`
}

func (clientCmd) Help() string {
	return "Clients are customer accounts. These commands need an operator's key.\n\nExamples:\n\n" +
		"    tallygate client create Acme --requests-per-second 50 --burst 100\n" +
		"    tallygate client list\n"
}

// customer is a client as the API shows it.
type customer struct {
	ID             string `json:"id"`
	Name           string `json:"name"`
	Status         string `json:"status"`
	Currency       string `json:"currency"`
	MinimumBalance string `json:"minimum_balance"`
	Limits         struct {
		RequestsPerSecond float64 `json:"requests_per_second"`
		Burst             int64   `json:"burst"`
		RunningJobs       int64   `json:"running_jobs"`
		QueuedJobs        int64   `json:"queued_jobs"`
	} `json:"limits"`
	Balance   balance         `json:"balance"`
	Metadata  json.RawMessage `json:"metadata"`
	CreatedAt *time.Time      `json:"created_at"`
}

type balance struct {
	Posted    string `json:"posted"`
	Held      string `json:"held"`
	Available string `json:"available"`
}

func (a *app) showCustomer(c customer) error {
	return a.printRecord(
		field{"id", c.ID},
		field{"name", c.Name},
		field{"status", c.Status},
		field{"available", c.Balance.Available + " " + c.Currency},
		field{"posted", c.Balance.Posted},
		field{"held", c.Balance.Held},
		field{"minimum balance", c.MinimumBalance},
		field{"requests per second", rate(c.Limits.RequestsPerSecond, c.Limits.Burst)},
		field{"running jobs", "at most " + count(c.Limits.RunningJobs)},
		field{"queued jobs", "at most " + count(c.Limits.QueuedJobs)},
		field{"metadata", inline(c.Metadata)},
		field{"created", a.when(c.CreatedAt)},
	)
}

// rate tells a limit; empty where there is none.
func rate(perSecond float64, burst int64) string {
	if perSecond == 0 {
		return ""
	}
	s := strconv.FormatFloat(perSecond, 'f', -1, 64)
	if burst > 0 {
		s += ", " + count(burst) + " at one instant"
	}
	return s
}

// count writes a number with its thousands apart.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// clientFlags are what may be said of a client when it is made and later.
type clientFlags struct {
	MinimumBalance    *string           `placeholder:"AMOUNT" help:"How far holds may take the available balance down; negative gives credit, as in --minimum-balance=-5.00."`
	RequestsPerSecond *float64          `placeholder:"N" help:"Requests that pass in a second."`
	Burst             *int64            `placeholder:"N" help:"Requests that pass at one instant."`
	RunningJobs       *int64            `placeholder:"N" help:"Jobs that run at once."`
	QueuedJobs        *int64            `placeholder:"N" help:"Jobs that wait at once."`
	Metadata          map[string]string `mapsep:"none" placeholder:"KEY=VALUE" help:"Your own notes; repeat for more."`
}

func (f clientFlags) request() map[string]any {
	request, limits := map[string]any{}, map[string]any{}
	put(request, "minimum_balance", f.MinimumBalance)
	put(limits, "requests_per_second", f.RequestsPerSecond)
	put(limits, "burst", f.Burst)
	put(limits, "running_jobs", f.RunningJobs)
	put(limits, "queued_jobs", f.QueuedJobs)
	if len(limits) > 0 {
		request["limits"] = limits
	}
	if len(f.Metadata) > 0 {
		request["metadata"] = f.Metadata
	}
	return request
}

type clientCreateCmd struct {
	Name string `arg:"" help:"Its name."`
	clientFlags
}

func (clientCreateCmd) Help() string {
	return "Examples:\n\n" +
		"    tallygate client create Acme\n" +
		"    tallygate client create Acme --requests-per-second 50 --burst 100 --metadata plan=pro\n"
}

func (c *clientCreateCmd) Run(ctx context.Context, a *app) error {
	request := c.request()
	request["name"] = c.Name
	return call(ctx, a, "POST", "/v1/clients", nil, request, a.showCustomer)
}

type clientListCmd struct {
	listFlags
}

func (clientListCmd) Help() string {
	return "Examples:\n\n    tallygate client list\n    tallygate client list --all --json\n"
}

func (c *clientListCmd) Run(ctx context.Context, a *app) error {
	columns := []column{left("id"), left("name"), status("status"), right("available"), right("held"), left("created")}
	return list(ctx, a, c.listFlags, "/v1/clients", url.Values{}, "clients", columns, func(c customer) []string {
		return []string{c.ID, c.Name, c.Status, c.Balance.Available, c.Balance.Held, a.ago(c.CreatedAt)}
	})
}

type clientGetCmd struct {
	Client string `arg:"" help:"The client's ID (cl_…)."`
}

func (clientGetCmd) Help() string {
	return "Example:\n\n    tallygate client get cl_01jz3v6r1m8k4t2q9w7x5y3b0c\n"
}

func (c *clientGetCmd) Run(ctx context.Context, a *app) error {
	return call(ctx, a, "GET", at("/v1/clients/%s", c.Client), nil, nil, a.showCustomer)
}

type clientUpdateCmd struct {
	Client string  `arg:"" help:"The client's ID (cl_…)."`
	Name   *string `placeholder:"NAME" help:"Its new name."`
	clientFlags
}

func (clientUpdateCmd) Help() string {
	return "What is not named stays as it is.\n\nExample:\n\n" +
		"    tallygate client update cl_01jz3v6r1m8k4t2q9w7x5y3b0c --requests-per-second 200\n"
}

func (c *clientUpdateCmd) Run(ctx context.Context, a *app) error {
	request := c.request()
	put(request, "name", c.Name)
	if len(request) == 0 {
		return usagef("nothing to change: name at least one of --name, --minimum-balance, --metadata or a limit")
	}
	return call(ctx, a, "PATCH", at("/v1/clients/%s", c.Client), nil, request, a.showCustomer)
}

type clientSuspendCmd struct {
	Client string `arg:"" help:"The client's ID (cl_…)."`
}

func (clientSuspendCmd) Help() string {
	return "Jobs that run finish; the others wait until the client is activated.\n\nExample:\n\n" +
		"    tallygate client suspend cl_01jz3v6r1m8k4t2q9w7x5y3b0c\n"
}

func (c *clientSuspendCmd) Run(ctx context.Context, a *app) error {
	return call(ctx, a, "POST", at("/v1/clients/%s/suspend", c.Client), nil, nil, a.showCustomer)
}

type clientActivateCmd struct {
	Client string `arg:"" help:"The client's ID (cl_…)."`
}

func (clientActivateCmd) Help() string {
	return "Example:\n\n    tallygate client activate cl_01jz3v6r1m8k4t2q9w7x5y3b0c\n"
}

func (c *clientActivateCmd) Run(ctx context.Context, a *app) error {
	return call(ctx, a, "POST", at("/v1/clients/%s/activate", c.Client), nil, nil, a.showCustomer)
}
