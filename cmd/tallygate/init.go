package main

import (
	"context"
	"fmt"

	"github.com/tallygate/tallygate/access"
)

type initCmd struct {
	Database string `env:"TALLYGATE_DATABASE" default:"tallygate.db" placeholder:"PATH|URL" help:"SQLite file to make, or postgres://… (default: ${default})."`
	Currency string `env:"TALLYGATE_CURRENCY" default:"USD" placeholder:"CODE" help:"Currency of every amount (default: ${default})."`
}

func (initCmd) Help() string {
	return "Prints the operator's API key, once: it is stored nowhere. Where TALLYGATE_OPERATOR_KEY holds a key, exactly that one is made.\n\nExamples:\n\n" +
		"    tallygate init --database tallygate.db\n" +
		"    export TALLYGATE_OPERATOR_KEY=$(tallygate init --database tallygate.db --json | jq -r .operator_key)\n"
}

func (c *initCmd) Run(ctx context.Context, a *app) (err error) {
	// The settings are read as serve would read them.
	settings, err := settingFlags{Database: &c.Database, Currency: &c.Currency}.load()
	if err != nil {
		return err
	}
	store, err := openStore(ctx, settings.Database, nil)
	if err != nil {
		return err
	}
	defer func() {
		if closed := store.Close(); err == nil {
			err = closed
		}
	}()
	if settings.Currency, err = fixCurrency(ctx, store, settings.Currency); err != nil {
		return err
	}
	key, created, err := access.New(store, access.Options{Currency: settings.Currency}).Bootstrap(ctx, settings.OperatorKey)
	if err != nil {
		return err
	}
	if !created {
		return &exitError{
			code:   exitUsage,
			err:    fmt.Errorf("%s is initialised already: its operator has a key", shownURL(c.Database)),
			remedy: "use that key; for another one, set TALLYGATE_OPERATOR_KEY to a key of your own and start the server, or name a new file with --database",
		}
	}
	if a.json {
		return a.printValue(struct {
			OperatorKey string `json:"operator_key"`
		}{key})
	}
	if err := a.printRecord(field{"database", shownURL(c.Database)}, field{"operator key", key}); err != nil {
		return err
	}
	a.note("keep the key now: it is stored nowhere and never shown again")
	a.note("next: tallygate serve --database %s", shownURL(c.Database))
	return nil
}
