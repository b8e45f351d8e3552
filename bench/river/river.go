package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// task is a job that does nothing, and bears what the product's jobs bear in the same measure.
type task struct {
	N    string `json:"n,omitempty"`
	Text string `json:"text,omitempty"`
}

func (task) Kind() string { return "task" }

type worker struct{ river.WorkerDefaults[task] }

func (worker) Work(context.Context, *river.Job[task]) error { return nil }

// inputBytes is the size of an inserted job's input, the same as the product's.
const inputBytes = 300

// reset makes River's tables, empty and small.
func reset(ctx context.Context, pool *pgxpool.Pool) error {
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("River's migrations: %w", err)
	}
	for _, sql := range []string{"TRUNCATE river_job", "VACUUM FULL river_job"} {
		if _, err := pool.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

func newClient(pool *pgxpool.Pool, config *river.Config) (*river.Client[pgx.Tx], error) {
	config.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return river.NewClient(riverpgxv5.New(pool), config)
}

// insert has goroutines insert one job at a time, each when it has the answer to the last.
func insert(ctx context.Context, pool *pgxpool.Pool, s settings) (result, error) {
	client, err := newClient(pool, &river.Config{})
	if err != nil {
		return result{}, err
	}
	var all sync.WaitGroup
	took := make([][]time.Duration, s.connections)
	failed := make([]error, s.connections)
	begin := time.Now()
	for i := range s.connections {
		all.Go(func() { took[i], failed[i] = insertUntil(ctx, client, begin.Add(s.warmup), s.duration) })
	}
	all.Wait()
	if err := errors.Join(failed...); err != nil {
		return result{}, err
	}
	each := slices.Concat(took...)
	if len(each) == 0 {
		return result{}, fmt.Errorf("no insert ended in %v", s.duration)
	}
	slices.Sort(each)
	at := func(q float64) float64 {
		return float64(each[min(int(q*float64(len(each))), len(each)-1)]) / float64(time.Millisecond)
	}
	return result{Done: len(each), PerSecond: float64(len(each)) / s.duration.Seconds(), P50MS: at(0.50), P99MS: at(0.99)}, nil
}

// insertUntil inserts until the time is over and returns how long each insert took that ended within it.
func insertUntil(ctx context.Context, client *river.Client[pgx.Tx], from time.Time, duration time.Duration) (took []time.Duration, err error) {
	job := task{N: strings.Repeat("0", 10)}
	job.Text = strings.Repeat("x", inputBytes-len(`{"n":"0123456789","text":""}`))
	for to := from.Add(duration); ; {
		sent := time.Now()
		if !sent.Before(to) {
			return took, nil
		}
		if _, err := client.Insert(ctx, job, nil); err != nil {
			return nil, err
		}
		if now := time.Now(); !now.Before(from) && now.Before(to) {
			took = append(took, now.Sub(sent))
		}
	}
}

// batch is how many jobs are queued at once before a drain.
const batch = 5000

// drain queues jobs and then works them all. The settings are those that River's own bench works with, far from its
// defaults; the clock runs, as there, from the client's start to the last completion.
func drain(ctx context.Context, pool *pgxpool.Pool, s settings) (result, error) {
	workers := river.NewWorkers()
	river.AddWorker(workers, worker{})
	client, err := newClient(pool, &river.Config{
		FetchCooldown:     2 * time.Millisecond,
		FetchPollInterval: 20 * time.Millisecond,
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 2000}},
		Workers:           workers,
	})
	if err != nil {
		return result{}, err
	}
	jobs := make([]river.InsertManyParams, batch)
	for i := range jobs {
		jobs[i].Args = task{}
	}
	for left := s.jobs; left > 0; left -= batch {
		if _, err := client.InsertMany(ctx, jobs[:min(left, batch)]); err != nil {
			return result{}, err
		}
	}
	// A completion is told after it is committed. The channel holds them all, since one that finds no room is lost.
	completed, unsubscribe := client.SubscribeConfig(&river.SubscribeConfig{ChanSize: s.jobs, Kinds: []river.EventKind{river.EventKindJobCompleted}})
	defer unsubscribe()
	if err := client.Start(ctx); err != nil {
		return result{}, err
	}
	begin := time.Now()
	for range s.jobs {
		select {
		case <-completed:
		case <-ctx.Done():
			return result{}, context.Cause(ctx)
		case <-time.After(time.Minute):
			return result{}, errors.New("no job was completed for a minute")
		}
	}
	elapsed := time.Since(begin)
	if err := client.Stop(ctx); err != nil {
		return result{}, err
	}
	var done int
	if err := pool.QueryRow(ctx, "SELECT count(*) FROM river_job WHERE state = 'completed'").Scan(&done); err != nil {
		return result{}, err
	}
	if done != s.jobs {
		return result{}, fmt.Errorf("%d of %d jobs are completed", done, s.jobs)
	}
	return result{Done: done, PerSecond: float64(done) / elapsed.Seconds()}, nil
}

// version is River's, as this program was built with it.
func version() string {
	info, _ := debug.ReadBuildInfo()
	for _, dependency := range info.Deps {
		if dependency.Path == "github.com/riverqueue/river" {
			return cmp.Or(dependency.Version, "unknown")
		}
	}
	return "unknown"
}
