// Command river measures River (github.com/riverqueue/river) on a PostgreSQL database, for `tallygate bench --peer river`
// to compare with. It is a module of its own, so that the product does not depend on what it is measured against.
//
//	DATABASE_URL=postgres://… river insert -connections 64 -warmup 1s -duration 5s
//	DATABASE_URL=postgres://… river drain -jobs 100000
//
// Each command empties River's tables, so the database must be one made for the purpose, and prints one JSON document.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// settings are what the flags say.
type settings struct {
	connections int
	warmup      time.Duration
	duration    time.Duration
	jobs        int
}

// result is what a command prints.
type result struct {
	Version   string  `json:"version"` // of River
	Done      int     `json:"done"`    // within the measured time
	PerSecond float64 `json:"per_second"`
	P50MS     float64 `json:"p50_ms,omitempty"` // of an insert
	P99MS     float64 `json:"p99_ms,omitempty"`
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	commands := map[string]func(context.Context, *pgxpool.Pool, settings) (result, error){"insert": insert, "drain": drain}
	if len(args) == 0 || commands[args[0]] == nil {
		return errors.New("say insert or drain")
	}
	var s settings
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.IntVar(&s.connections, "connections", 64, "goroutines that insert, and connections that they share")
	flags.DurationVar(&s.warmup, "warmup", time.Second, "of inserting before the clock starts")
	flags.DurationVar(&s.duration, "duration", 5*time.Second, "of inserting")
	flags.IntVar(&s.jobs, "jobs", 100_000, "to drain")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if min(s.connections, s.jobs) < 1 || s.warmup < 0 || s.duration <= 0 {
		return errors.New("connections, jobs and duration must be positive")
	}
	url := os.Getenv("DATABASE_URL")
	if url == "" {
		return errors.New("DATABASE_URL is not set")
	}
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return errors.New("DATABASE_URL cannot be read: it must be such as postgres://user:password@host:5432/name")
	}
	if args[0] == "insert" {
		config.MaxConns = int32(s.connections)
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := reset(ctx, pool); err != nil {
		return err
	}
	got, err := commands[args[0]](ctx, pool, s)
	if err != nil {
		return err
	}
	got.Version = version()
	return json.NewEncoder(stdout).Encode(got)
}
