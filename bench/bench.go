// Package bench measures a Tallygate server: it starts the server, the process
// that loads it and a bare net/http handler that answers the same bytes, each
// by itself, loads server and base in turn, and reports medians and ratios.
// One run on one machine is comparable within itself; figures of two machines
// are not.
//
// It speaks to the server by HTTP alone, as a client, an operator and a worker
// do; where the database is PostgreSQL's, it makes one for each server, looks at
// its statistics, and drops it. A load that meets an answer it does not expect, or leaves a balance that
// does not add up, is a failure and never a speed.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"time"
)

// Options says what Run measures. Zero values stand for the defaults.
type Options struct {
	Binary      string        // the tallygate executable
	Database    string        // postgres://… of a server to make databases on; default: SQLite files
	Nodes       int           // server processes that share a PostgreSQL database; default 1
	Dir         string        // where the fresh databases go; default: the system's folder for temporary files
	Rounds      int           // default 3
	Duration    time.Duration // of each measured phase; default 5s
	Connections int           // of the loads on requests; default 64
	Jobs        int           // drained per round; default 100,000
	Queued      int           // in a deep queue; default 1,000,000
	Stored      int           // finished jobs in the scenario "stored"; 0 leaves it out
	Rate        float64       // jobs per second in the scenario "whole"; default 200
	Hold        time.Duration // of the scenarios "snapshot" and "retention"; default 1m
	Only        []string      // names of scenarios; default: all that need not be asked for
	Peer        string        // what to measure beside it on the same server: "river", or nothing
	PeerBinary  string        // its executable; default: built from the checkout
	MakeKey     func() string // makes a well-formed API key that no server knows; "refuse-unknown" needs it
	Keep        bool          // leave the databases in Dir
	Progress    io.Writer     // a line per phase, and a moving one on a terminal
	Log         io.Writer     // what the processes write to their standard error
}

// withDefaults fills in what is not set and refuses what cannot be.
func (o Options) withDefaults() (Options, error) {
	set := func(value *int, fallback int) {
		if *value == 0 {
			*value = fallback
		}
	}
	set(&o.Nodes, 1)
	set(&o.Rounds, 3)
	set(&o.Connections, 64)
	set(&o.Jobs, 100_000)
	set(&o.Queued, 1_000_000)
	if o.Duration == 0 {
		o.Duration = 5 * time.Second
	}
	if o.Rate == 0 {
		o.Rate = 200
	}
	if o.Hold == 0 {
		o.Hold = time.Minute
	}
	switch {
	case o.Binary == "":
		return o, errors.New("bench: the path of the tallygate executable is missing")
	case min(o.Rounds, o.Connections, o.Jobs, o.Queued, o.Nodes) < 1 || o.Stored < 0:
		return o, errors.New("bench: rounds, connections, nodes and jobs cannot be negative")
	case o.Duration < 0 || o.Rate < 0 || o.Hold < 0:
		return o, errors.New("bench: duration, rate and hold cannot be negative")
	case o.Peer != "" && o.Peer != river:
		return o, &Misuse{fmt.Errorf("bench: there is no peer %q", o.Peer), "say " + river}
	case o.Database == "" && (o.Nodes > 1 || o.Peer != "" || slices.Contains(o.Only, "snapshot") || slices.Contains(o.Only, "retention")):
		return o, &Misuse{errors.New("bench: several nodes, a peer and the scenarios snapshot and retention need a PostgreSQL"), "name it with --database postgres://…"}
	}
	for _, name := range o.Only {
		if !slices.Contains(Scenarios(), name) {
			return o, fmt.Errorf("bench: there is no scenario %q; there are %q", name, Scenarios())
		}
	}
	return o, nil
}

// wants reports whether a scenario is to be run.
func (o Options) wants(name string) bool {
	return len(o.Only) == 0 || slices.Contains(o.Only, name)
}

// Run measures what opt asks for. The report holds what was measured even when
// there is an error, which joins those of the scenarios that failed. All
// processes that it started have ended when it returns.
func Run(ctx context.Context, opt Options) (Report, error) {
	opt, err := opt.withDefaults()
	if err != nil {
		return Report{}, err
	}
	if opt.Dir != "" {
		if err := os.MkdirAll(opt.Dir, 0o700); err != nil {
			return Report{}, err
		}
	}
	folder, err := os.MkdirTemp(opt.Dir, "tallygate-bench-")
	if err != nil {
		return Report{}, err
	}
	s := &session{Options: opt, folder: folder, progress: newProgress(opt.Progress)}
	s.report = Report{
		Started:     time.Now().UTC().Truncate(time.Second),
		Rounds:      opt.Rounds,
		Seconds:     opt.Duration.Seconds(),
		Connections: opt.Connections,
		Nodes:       opt.Nodes,
		Machine:     Machine{System: runtime.GOOS + "/" + runtime.GOARCH, Processors: runtime.NumCPU(), SyncMS: span(syncTime(folder)).milliseconds()},
	}
	err = s.run(ctx)
	return s.report, errors.Join(err, s.close())
}

func (s *session) run(ctx context.Context) (err error) {
	switch {
	case s.Database != "":
		if s.host, err = reach(ctx, s.Database); err != nil {
			return err
		}
		s.report.Database = &s.host.Database
	case s.Keep:
		s.progress.say("the databases stay in " + s.folder)
	}
	if s.Peer != "" {
		if s.peer, err = s.newPeer(ctx); err != nil {
			return err
		}
	}
	for _, g := range groups() {
		s.try(ctx, g)
		if ctx.Err() != nil {
			s.failed = append(s.failed, context.Cause(ctx))
			break
		}
	}
	return errors.Join(s.failed...)
}

// syncTime is the median time that 4 KiB take to reach the disk: the floor of
// any durable answer, and a warning when the folder is not on a disk.
func syncTime(folder string) time.Duration {
	file, err := os.CreateTemp(folder, "sync-")
	if err != nil {
		return 0
	}
	defer func() { _ = os.Remove(file.Name()) }()
	defer file.Close()
	var took []time.Duration
	for range 31 {
		begin := time.Now()
		if _, err := file.Write(make([]byte, 4096)); err != nil {
			return 0
		}
		if err := file.Sync(); err != nil {
			return 0
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	return took[len(took)/2]
}
