package main

import (
	"context"
	"strconv"

	sdk "github.com/tallygate/tallygate/sdk/go"
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

func (a *app) showCustomer(c *sdk.ClientAccount) error {
	return a.printRecord(
		field{"id", c.ID},
		field{"name", c.Name},
		field{"status", string(c.Status)},
		field{"available", amount(c.Balance.Available, c.Currency)},
		field{"posted", string(c.Balance.Posted)},
		field{"held", string(c.Balance.Held)},
		field{"minimum balance", string(c.MinimumBalance)},
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

// limits are those that are named, nil where none is.
func (f clientFlags) limits() *sdk.LimitsChange {
	if f.RequestsPerSecond == nil && f.Burst == nil && f.RunningJobs == nil && f.QueuedJobs == nil {
		return nil
	}
	return &sdk.LimitsChange{RequestsPerSecond: f.RequestsPerSecond, Burst: f.Burst, RunningJobs: f.RunningJobs, QueuedJobs: f.QueuedJobs}
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
	floor, err := given("--minimum-balance", c.MinimumBalance)
	if err != nil {
		return err
	}
	client := sdk.NewClient{Name: c.Name, MinimumBalance: sdk.Money(floor), Limits: c.limits(), Metadata: metadata(c.Metadata)}
	return call(a, func(raw sdk.CallOption) (*sdk.ClientAccount, error) {
		return a.api.Clients.Create(ctx, client, raw)
	}, a.showCustomer)
}

type clientListCmd struct {
	listFlags
}

func (clientListCmd) Help() string {
	return "Examples:\n\n    tallygate client list\n    tallygate client list --all --json\n"
}

func (c *clientListCmd) Run(ctx context.Context, a *app) error {
	columns := []column{left("id"), left("name"), status("status"), right("available"), right("held"), left("created")}
	return list(a, c.listFlags, func(o sdk.ListOptions, raw sdk.CallOption) (*sdk.Page[sdk.ClientAccount], error) {
		return a.api.Clients.List(ctx, o, raw)
	}, "clients", columns, func(c sdk.ClientAccount) []string {
		return []string{c.ID, c.Name, string(c.Status), string(c.Balance.Available), string(c.Balance.Held), a.ago(c.CreatedAt)}
	})
}

type clientGetCmd struct {
	Client string `arg:"" help:"The client's ID (cl_…)."`
}

func (clientGetCmd) Help() string {
	return "Example:\n\n    tallygate client get cl_01jz3v6r1m8k4t2q9w7x5y3b0c\n"
}

func (c *clientGetCmd) Run(ctx context.Context, a *app) error {
	return call(a, func(raw sdk.CallOption) (*sdk.ClientAccount, error) {
		return a.api.Clients.Get(ctx, c.Client, raw)
	}, a.showCustomer)
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
	floor, err := given("--minimum-balance", c.MinimumBalance)
	if err != nil {
		return err
	}
	name, err := given("--name", c.Name)
	if err != nil {
		return err
	}
	change := sdk.ClientUpdate{Name: name, MinimumBalance: sdk.Money(floor), Limits: c.limits(), Metadata: metadata(c.Metadata)}
	if name == "" && floor == "" && change.Limits == nil && change.Metadata == nil {
		return usagef("nothing to change: name at least one of --name, --minimum-balance, --metadata or a limit")
	}
	return call(a, func(raw sdk.CallOption) (*sdk.ClientAccount, error) {
		return a.api.Clients.Update(ctx, c.Client, change, raw)
	}, a.showCustomer)
}

type clientSuspendCmd struct {
	Client string `arg:"" help:"The client's ID (cl_…)."`
}

func (clientSuspendCmd) Help() string {
	return "Jobs that run finish; the others wait until the client is activated.\n\nExample:\n\n" +
		"    tallygate client suspend cl_01jz3v6r1m8k4t2q9w7x5y3b0c\n"
}

func (c *clientSuspendCmd) Run(ctx context.Context, a *app) error {
	return call(a, func(raw sdk.CallOption) (*sdk.ClientAccount, error) {
		return a.api.Clients.Suspend(ctx, c.Client, raw)
	}, a.showCustomer)
}

type clientActivateCmd struct {
	Client string `arg:"" help:"The client's ID (cl_…)."`
}

func (clientActivateCmd) Help() string {
	return "Example:\n\n    tallygate client activate cl_01jz3v6r1m8k4t2q9w7x5y3b0c\n"
}

func (c *clientActivateCmd) Run(ctx context.Context, a *app) error {
	return call(a, func(raw sdk.CallOption) (*sdk.ClientAccount, error) {
		return a.api.Clients.Activate(ctx, c.Client, raw)
	}, a.showCustomer)
}
