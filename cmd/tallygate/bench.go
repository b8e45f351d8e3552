package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tallygate/tallygate/access"
	"github.com/tallygate/tallygate/bench"
)

type benchCmd struct {
	Database    string        `placeholder:"URL" help:"PostgreSQL server to make databases on and drop them again, as postgres://… (default: SQLite files)."`
	Nodes       int           `placeholder:"N" help:"Server processes that share a PostgreSQL database (default: 1)."`
	Peer        string        `placeholder:"NAME" help:"Measure another queue on the same PostgreSQL server, too: river."`
	PeerBinary  string        `placeholder:"PATH" help:"Its program (default: built from bench/river of the checkout)."`
	Only        []string      `placeholder:"SCENARIO" help:"Run these scenarios alone: ${scenarios}."`
	Rounds      int           `placeholder:"N" help:"Rounds of each measure (default: 3)."`
	Duration    time.Duration `placeholder:"DURATION" help:"Of each measured phase (default: 5s)."`
	Connections int           `placeholder:"N" help:"Connections of the loads on requests (default: 64)."`
	Jobs        int           `placeholder:"N" help:"Jobs drained in a round (default: 100000)."`
	Queued      int           `placeholder:"N" help:"Jobs in the deep queue (default: 1000000)."`
	Stored      int           `placeholder:"N" help:"Finished jobs in the scenario stored (default: 0, which leaves it out)."`
	Rate        float64       `placeholder:"N" help:"Jobs a second in the scenario whole (default: 200)."`
	Hold        time.Duration `placeholder:"DURATION" help:"How long the scenarios snapshot and retention last; they run where --only names them (default: 1m)."`
	Dir         string        `placeholder:"PATH" help:"Folder for the databases (default: the system's for temporary files)."`
	Keep        bool          `help:"Leave the databases there."`
	Strict      bool          `help:"Exit with 11 where a figure misses what it is to reach."`
	Log         bool          `help:"Show what the processes log."`

	Load string `hidden:"" placeholder:"-" help:"Be the load process."`
	Bare bool   `hidden:"" help:"Be the bare handler."`
}

func (benchCmd) Help() string {
	return "Starts a server, a load process and a bare HTTP handler that answers the same bytes, and reports medians and ratios. " +
		"Figures of one run are comparable with each other; those of two machines are not. Fails where a load met a wrong answer.\n\n" +
		"On PostgreSQL it needs a role that may create databases, and touches none that is there already.\n\nExamples:\n\n" +
		"    tallygate bench --only submit,drain --duration 3s\n" +
		"    tallygate bench --json > bench.json\n" +
		"    tallygate bench --database postgres://postgres@127.0.0.1/postgres --peer river --only submit,drain\n" +
		"    tallygate bench --database postgres://postgres@127.0.0.1/postgres --only snapshot --hold 10m\n"
}

func (c *benchCmd) Run(ctx context.Context, a *app) error {
	switch {
	case c.Load == "-":
		return bench.Load(ctx, a.stdin, a.stdout)
	case c.Load != "":
		return usagef("--load takes - alone")
	case c.Bare:
		return bench.Bare(ctx, a.stdin, a.stdout)
	}
	for _, name := range c.Only {
		if !slices.Contains(bench.Scenarios(), name) {
			return usagef("there is no scenario %q; there are %s", name, strings.Join(bench.Scenarios(), ", "))
		}
	}
	if c.Database != "" && !isPostgres(c.Database) {
		return &exitError{code: exitUsage, err: fmt.Errorf("--database %s: bench makes databases of its own", shownURL(c.Database)),
			remedy: "name a PostgreSQL server, as postgres://…; without --database it makes SQLite files, in the folder that --dir names"}
	}
	binary, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	log := io.Discard
	if c.Log {
		log = a.stderr
	}
	report, failed := bench.Run(ctx, bench.Options{
		Binary: binary, Database: c.Database, Nodes: c.Nodes, Dir: c.Dir, Keep: c.Keep,
		Rounds: c.Rounds, Duration: c.Duration, Connections: c.Connections,
		Jobs: c.Jobs, Queued: c.Queued, Stored: c.Stored, Rate: c.Rate, Hold: c.Hold, Only: c.Only,
		Peer: c.Peer, PeerBinary: c.PeerBinary,
		MakeKey: access.MakeUnknownKey, Progress: a.stderr, Log: log,
	})
	if len(report.Rows) > 0 || len(report.Failures) > 0 {
		if a.json {
			err = a.printValue(report)
		} else {
			err = report.WriteText(a.stdout)
		}
	}
	if misuse, ok := errors.AsType[*bench.Misuse](failed); ok {
		return &exitError{code: exitUsage, err: misuse, remedy: misuse.Remedy}
	}
	if failed != nil {
		return failed
	}
	if missed := report.Missed(); err == nil && c.Strict && len(missed) > 0 {
		return &exitError{code: exitFound, err: fmt.Errorf("missed: %s", strings.Join(missed, ", ")), remedy: "run it on a machine with nothing else to do, and compare with docs/bench.md"}
	}
	return err
}
