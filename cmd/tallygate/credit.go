package main

import (
	"context"

	sdk "github.com/tallygate/tallygate/sdk/go"
)

type creditCmd struct {
	Add  creditAddCmd  `cmd:"" help:"Add money to a client's balance."`
	List creditListCmd `cmd:"" help:"List the entries of a ledger, newest first."`
}

func (creditCmd) Help() string {
	return "Examples:\n\n" +
		"    tallygate credit add cl_01jz3v6r1m8k4t2q9w7x5y3b0c 25.00 --note \"invoice 1042\"\n" +
		"    tallygate credit list cl_01jz3v6r1m8k4t2q9w7x5y3b0c\n"
}

// about is what an entry concerns: its job, or its note.
func about(e sdk.Entry) string {
	if e.JobID != "" {
		return e.JobID
	}
	return e.Note
}

type creditAddCmd struct {
	Client         string `arg:"" help:"The client's ID (cl_…)."`
	Amount         string `arg:"" help:"How much, as a decimal such as 25.00."`
	Note           string `placeholder:"TEXT" help:"What it is for; kept with the entry."`
	IdempotencyKey string `placeholder:"KEY" help:"Repeat the call under the same key and the money is added once; name one where a script may run again."`
}

func (creditAddCmd) Help() string {
	return "Examples:\n\n" +
		"    tallygate credit add cl_01jz3v6r1m8k4t2q9w7x5y3b0c 25.00\n" +
		"    tallygate credit add cl_01jz3v6r1m8k4t2q9w7x5y3b0c 25.00 --note \"invoice 1042\" --idempotency-key invoice-1042\n"
}

func (c *creditAddCmd) Run(ctx context.Context, a *app) error {
	credit := sdk.Credit{Amount: sdk.Money(c.Amount), Note: c.Note}
	return call(a, func(raw sdk.CallOption) (*sdk.Entry, error) {
		return a.api.Clients.Credit(ctx, c.Client, credit, raw, idempotent(c.IdempotencyKey))
	}, func(e *sdk.Entry) error {
		return a.printRecord(
			field{"entry", e.ID},
			field{"client", e.ClientID},
			field{"credited", string(e.Posted)},
			field{"note", e.Note},
			field{"available", string(e.Balance.Available)},
			field{"posted", string(e.Balance.Posted)},
			field{"held", string(e.Balance.Held)},
		)
	})
}

type creditListCmd struct {
	Client string `arg:"" optional:"" help:"The client's ID (cl_…); default: your own ledger."`
	listFlags
}

func (creditListCmd) Help() string {
	return "Each line shows what it moved and the balance after it.\n\nExamples:\n\n" +
		"    tallygate credit list cl_01jz3v6r1m8k4t2q9w7x5y3b0c\n" +
		"    tallygate credit list --all --json\n"
}

func (c *creditListCmd) Run(ctx context.Context, a *app) error {
	columns := []column{left("when"), left("kind"), right("posted"), right("held"), right("available"), left("about")}
	return list(a, c.listFlags, func(o sdk.ListOptions, raw sdk.CallOption) (*sdk.Page[sdk.Entry], error) {
		if c.Client == "" {
			return a.api.Account.Entries(ctx, o, raw)
		}
		return a.api.Clients.Entries(ctx, c.Client, o, raw)
	}, "entries", columns, func(e sdk.Entry) []string {
		return []string{a.ago(e.CreatedAt), string(e.Kind), string(e.Posted), string(e.Held), string(e.Balance.Available), about(e)}
	})
}
