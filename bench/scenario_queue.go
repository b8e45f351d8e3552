package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

const (
	drainTarget    = 12_000.0 // jobs a second, with SQLite
	drainBatch     = 100
	drainWorkers   = 4
	depthTarget    = 1.3 // times the cost of a lease from a shallow queue
	leaseSamples   = 500
	shallowQueue   = 10_000
	fairnessTarget = 100.0 // ms
	fairnessTurns  = 10
	restTarget     = 40.0 // MiB
)

// drainQueue measures how fast workers settle what is queued.
func drainQueue(ctx context.Context, s *session) error {
	i, err := s.start(ctx, "drain")
	if err != nil {
		return err
	}
	c, err := i.newCustomer(ctx, "drain", wide())
	if err != nil {
		return err
	}
	rounds := make([]round, s.Rounds)
	for n := range rounds {
		if rounds[n], err = s.queueAndDrain(ctx, fmt.Sprintf("drain %d/%d", n+1, s.Rounds), i, c, s.Jobs); err != nil {
			return err
		}
		if err := i.audit(ctx, c, int64(n+1)*int64(s.Jobs), 0); err != nil {
			return err
		}
		if s.peer != nil {
			if rounds[n].peer, err = s.peer.drain(ctx, s, fmt.Sprintf("drain %d/%d %s", n+1, s.Rounds, s.peer.name)); err != nil {
				return err
			}
		}
	}
	row := rateRow("drain", rounds)
	row.Measure, row.Unit = fmt.Sprintf("settled in batches of %d", drainBatch), "jobs/s"
	if s.host == nil {
		row = row.atLeast(drainTarget, ofValue)
	}
	s.report.add(row)
	s.report.addCost("drain", "a job", rounds)
	if s.peer != nil {
		row.Target = nil
		s.report.add(row.against(s.peer.name+"'s no-ops", peerRates(rounds)).atLeast(peerDrainTarget, ofBase))
	}
	return nil
}

// queueAndDrain queues jobs and then has workers settle them all.
func (s *session) queueAndDrain(ctx context.Context, label string, i *instance, c customer, jobs int) (round, error) {
	if err := s.fill(ctx, label+" queue", i, c, jobs); err != nil {
		return round{}, err
	}
	m, used, err := s.load(ctx, label, workload{
		Kind:        loadDrain,
		Addresses:   i.addresses(),
		Connections: drainWorkers,
		Count:       jobs,
		Worker:      i.worker(drainBatch, 0),
	}, s.spent(i))
	return round{server: m, serverCost: used}, err
}

// fill queues jobs of a client.
func (s *session) fill(ctx context.Context, label string, i *instance, c customer, jobs int) error {
	phase := s.progress.begin(label, int64(jobs))
	if err := i.queue(ctx, c, jobs, phase.add); err != nil {
		phase.end("failed")
		return err
	}
	phase.end(fmt.Sprintf("%s jobs, %s/s", whole(int64(jobs)), figure(float64(jobs)/time.Since(phase.began).Seconds())))
	return nil
}

// deepQueue measures what a long queue costs: in memory, in the time of a
// lease, and to another client.
func deepQueue(ctx context.Context, s *session) error {
	deep, err := s.start(ctx, "deep")
	if err != nil {
		return err
	}
	pause(min(s.Duration, time.Second)) // at rest
	s.part(ctx, "memory", func() error {
		return s.addMemory(deep, "resident at rest", restTarget)
	})
	many, err := deep.newCustomer(ctx, "many jobs", wide())
	if err != nil {
		return err
	}
	if err := s.fill(ctx, "deep: queue", deep, many, s.Queued); err != nil {
		return err
	}
	s.part(ctx, "memory", func() error {
		return s.addMemory(deep, fmt.Sprintf("resident with %s queued", whole(int64(s.Queued))), 0)
	})
	s.part(ctx, "lease-depth", func() error { return leaseDepth(ctx, s, deep) })
	s.part(ctx, "fairness", func() error { return fairness(ctx, s, deep) })
	return deep.conserved(ctx, many, int64(s.Queued))
}

func (s *session) addMemory(i *instance, measure string, target float64) error {
	used, err := i.resident()
	if err != nil {
		return err
	}
	row := newRow("memory", measure, "MiB", []float64{used})
	if target > 0 {
		row = row.atMost(target, ofValue)
	}
	s.report.add(row)
	return nil
}

// leaseDepth compares a lease from the deep queue with one from a shallow
// queue, in turn.
func leaseDepth(ctx context.Context, s *session, deep *instance) error {
	shallow, err := s.start(ctx, "shallow")
	if err != nil {
		return err
	}
	few, err := shallow.newCustomer(ctx, "few jobs", wide())
	if err != nil {
		return err
	}
	depth := max(min(s.Queued/100, shallowQueue), 2*leaseSamples*s.Rounds)
	if err := s.fill(ctx, "lease-depth: queue", shallow, few, depth); err != nil {
		return err
	}
	var took, base, slow, baseSlow, cost, baseCost []float64
	for n := range s.Rounds {
		for _, i := range []*instance{deep, shallow} {
			name := map[*instance]string{deep: "deep", shallow: "shallow"}[i]
			w := workload{Kind: loadLeases, Addresses: i.addresses(), Count: leaseSamples, Worker: i.worker(1, 0)}
			m, used, err := s.load(ctx, fmt.Sprintf("lease-depth %d/%d %s", n+1, s.Rounds, name), w, s.spent(i))
			if err != nil {
				return err
			}
			p50, p99, each := m.Latency.P50.milliseconds(), m.Latency.P99.milliseconds(), microseconds(used.server)/float64(m.Total)
			if i == deep {
				took, slow, cost = append(took, p50), append(slow, p99), append(cost, each)
			} else {
				base, baseSlow, baseCost = append(base, p50), append(baseSlow, p99), append(baseCost, each)
			}
		}
	}
	queued, fewer := whole(int64(s.Queued))+" queued", whole(int64(depth))+" queued"
	s.report.add(newRow("lease-depth", "p50 of a lease, "+queued, "ms", took).against(fewer, base).atMost(depthTarget, ofBase))
	s.report.add(newRow("lease-depth", "p99 of a lease, "+queued, "ms", slow).against(fewer, baseSlow))
	s.report.add(newRow("lease-depth", "CPU of lease and success", "µs", cost).against(fewer, baseCost))
	return nil
}

// fairness measures how long the first job of a client waits while another
// has a deep queue and a worker is never idle.
func fairness(ctx context.Context, s *session, deep *instance) error {
	var median, slowest []float64
	for n := range s.Rounds {
		var keys []string
		var newcomers []customer
		for k := range fairnessTurns {
			c, err := deep.newCustomer(ctx, fmt.Sprintf("newcomer %d-%d", n+1, k+1), wide())
			if err != nil {
				return err
			}
			keys, newcomers = append(keys, c.key), append(newcomers, c)
		}
		w := s.requests(deep, submitRequest(keyHole, ""), http.StatusOK, keys...)
		w.Kind, w.Pause, w.Count = loadTurns, span(min(s.Duration/100, 50*time.Millisecond)), fairnessTurns
		w.Worker = deep.worker(10, 0)
		m, _, err := s.load(ctx, fmt.Sprintf("fairness %d/%d", n+1, s.Rounds), w, s.spent(deep))
		if err != nil {
			return err
		}
		deep.counter += m.Sent
		if m.Answered != fairnessTurns {
			return errors.New("not every newcomer's job was leased")
		}
		for _, c := range newcomers {
			if err := deep.audit(ctx, c, 1, 0); err != nil {
				return err
			}
		}
		median = append(median, m.Latency.P50.milliseconds())
		slowest = append(slowest, m.Latency.Max.milliseconds())
	}
	s.report.add(newRow("fairness", "first lease of another client, p50", "ms", median))
	s.report.add(newRow("fairness", "first lease of another client, slowest", "ms", slowest).atMost(fairnessTarget, ofValue))
	return nil
}
