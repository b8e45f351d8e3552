package main

import (
	"context"
	"net/url"
	"time"

	"github.com/tallygate/tallygate/client"
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

// entry is a line of a ledger as the API shows it.
type entry struct {
	ID        string     `json:"id"`
	ClientID  string     `json:"client_id"`
	Kind      string     `json:"kind"`
	Posted    string     `json:"posted"`
	Held      string     `json:"held"`
	Balance   balance    `json:"balance"`
	JobID     *string    `json:"job_id"`
	Note      string     `json:"note"`
	CreatedAt *time.Time `json:"created_at"`
}

// about is what an entry concerns: its job, or its note.
func (e entry) about() string {
	if e.JobID != nil {
		return *e.JobID
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
	request := map[string]any{"amount": c.Amount}
	if c.Note != "" {
		request["note"] = c.Note
	}
	return call(idempotent(ctx, c.IdempotencyKey), a, "POST", at("/v1/clients/%s/credits", c.Client), nil, request, func(e entry) error {
		return a.printRecord(
			field{"entry", e.ID},
			field{"client", e.ClientID},
			field{"credited", e.Posted},
			field{"note", e.Note},
			field{"available", e.Balance.Available},
			field{"posted", e.Balance.Posted},
			field{"held", e.Balance.Held},
		)
	})
}

// idempotent puts the user's Idempotency-Key on the call; without one, the call makes its own.
func idempotent(ctx context.Context, key string) context.Context {
	if key == "" {
		return ctx
	}
	return client.WithIdempotencyKey(ctx, key)
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
	path := "/v1/account/entries"
	if c.Client != "" {
		path = at("/v1/clients/%s/entries", c.Client)
	}
	columns := []column{left("when"), left("kind"), right("posted"), right("held"), right("available"), left("about")}
	return list(ctx, a, c.listFlags, path, url.Values{}, "entries", columns, func(e entry) []string {
		return []string{a.ago(e.CreatedAt), e.Kind, e.Posted, e.Held, e.Balance.Available, e.about()}
	})
}
