package bench

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

const (
	startTarget = 10.0 // ms
	startPause  = 50 * time.Millisecond
	idleTarget  = 2.0 // % of one processor
	idlePollers = 500
	idleWait    = 30 * time.Second // of one poll
)

// startLatency measures how soon a worker that waits gets a job that comes: at
// another node than the one that took it, where nodes can share a database.
func startLatency(ctx context.Context, s *session) error {
	nodes, where := s.Nodes, "submit to lease"
	if s.host != nil {
		nodes, where = max(nodes, 2), "submit on a node to lease on another"
	}
	i, err := s.startNodes(ctx, "start", nodes)
	if err != nil {
		return err
	}
	c, err := i.newCustomer(ctx, "start", wide())
	if err != nil {
		return err
	}
	rounds := make([]round, s.Rounds)
	var jobs int64
	for n := range rounds {
		w := s.requests(i, submitRequest(c.key, ""), http.StatusOK)
		w.Kind, w.Pause = loadStarts, span(min(startPause, s.Duration/20))
		w.Count = max(10, 2*int(s.Duration/startPause))
		w.Worker = i.worker(10, 20*time.Second)
		m, used, err := s.load(ctx, fmt.Sprintf("start %d/%d", n+1, s.Rounds), w, s.spent(i))
		if err != nil {
			return err
		}
		i.counter += m.Sent
		jobs += m.Total
		rounds[n] = round{server: m, serverCost: used}
		if err := i.audit(ctx, c, jobs, 0); err != nil {
			return err
		}
	}
	var p50, p99 []float64
	for _, r := range rounds {
		p50 = append(p50, r.server.Latency.P50.milliseconds())
		p99 = append(p99, r.server.Latency.P99.milliseconds())
	}
	s.report.add(newRow("start", where+", p50", "ms", p50).atMost(startTarget, ofValue))
	s.report.add(newRow("start", where+", p99", "ms", p99))
	return nil
}

// idleWorkers measures what workers cost that wait for jobs while there are
// none, beside what the server costs without them.
func idleWorkers(ctx context.Context, s *session) error {
	i, err := s.start(ctx, "idle")
	if err != nil {
		return err
	}
	var all, alone, database, databaseAlone []float64
	for n := range s.Rounds {
		for _, workers := range []int{0, idlePollers} {
			used, behind, err := s.rest(ctx, fmt.Sprintf("idle %d/%d %d workers", n+1, s.Rounds, workers), i, workers)
			if err != nil {
				return err
			}
			if workers == 0 {
				alone, databaseAlone = append(alone, used+behind), append(databaseAlone, behind)
			} else {
				all, database = append(all, used+behind), append(database, behind)
			}
		}
	}
	if median(all) == 0 {
		return nil // this system does not tell
	}
	name := fmt.Sprintf("%d waiting workers", idlePollers)
	s.report.add(newRow("idle", "CPU with "+name, "% of one", all).against("none", alone).atMost(idleTarget, ofExcess))
	if median(database) > 0 {
		s.report.add(newRow("idle", "of it, the database's", "% of one", database).against("none", databaseAlone))
	}
	return nil
}

// rest is the share of one processor, in percent, that the server and its
// database's processes take while so many workers wait.
func (s *session) rest(ctx context.Context, label string, i *instance, workers int) (server, database float64, err error) {
	settle, window := max(s.Duration, 200*time.Millisecond), max(6*s.Duration, 500*time.Millisecond) // most polls end once within
	phase := s.progress.begin(label, 0)
	phase.lasts(settle + window)
	defer func() {
		if err != nil {
			phase.end("failed")
			return
		}
		phase.end(fmt.Sprintf("%s %% of one CPU, %s %% by the database", figure(server), figure(database)))
	}()
	finish := func() error { return nil }
	if workers > 0 {
		w := workload{Kind: loadIdle, Addresses: i.addresses(), Connections: workers, Warmup: span(settle), Duration: span(window + time.Second),
			Worker: i.worker(10, idleWait)}
		c, err := s.spawnLoad(ctx, w)
		if err != nil {
			return 0, 0, err
		}
		defer c.Stop()
		finish = func() error { _, err := finished(c); return err }
	}
	pause(settle)
	before, err := s.spent(i)(ctx)
	if err != nil {
		return 0, 0, err
	}
	begin := time.Now()
	select {
	case <-time.After(window):
	case <-ctx.Done():
		return 0, 0, context.Cause(ctx)
	}
	now, err := s.spent(i)(ctx)
	if err != nil {
		return 0, 0, err
	}
	used, share := now.since(before), 100/time.Since(begin).Seconds()
	return share * used.server.Seconds(), share * used.database.Seconds(), finish()
}
