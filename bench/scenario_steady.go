package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

const (
	steadyTarget = 0.9 // of the first part's jobs a second, in the last
	keptTarget   = 1.2 // times what ends in two minutes: one that it is kept, one until upkeep comes by
)

// heldSnapshot measures whether a steady load slows down while another session
// holds a snapshot, so that no dead row can be cleaned away. It runs only where
// it is asked for.
func heldSnapshot(ctx context.Context, s *session) error {
	if !slices.Contains(s.Only, "snapshot") {
		return nil
	}
	i, err := s.start(ctx, "snapshot")
	if err != nil {
		return err
	}
	c, err := i.newCustomer(ctx, "snapshot", wide())
	if err != nil {
		return err
	}
	release, err := s.host.hold(ctx, i.database)
	if err != nil {
		return err
	}
	m, err := s.steady(ctx, "snapshot held for "+s.Hold.String(), i, c)
	if err != nil {
		return errors.Join(err, release())
	}
	tables, dead, err := s.host.dead(ctx, i.database)
	if err := errors.Join(err, release()); err != nil {
		return err
	}
	if err := i.audit(ctx, c, m.Total, 0); err != nil {
		return err
	}
	s.addSteady("snapshot", m, 0)
	for _, table := range tables {
		s.report.add(newRow("snapshot", "dead rows of "+table, "", []float64{float64(dead[table])}))
	}
	return nil
}

// removal measures whether a steady load slows down, and what it leaves on the
// disk, while the jobs that ended a minute ago are removed. It runs only where
// it is asked for.
func removal(ctx context.Context, s *session) error {
	if !slices.Contains(s.Only, "retention") {
		return nil
	}
	i, err := s.start(ctx, "retention")
	if err != nil {
		return err
	}
	if err := i.defineJobType(ctx, leastRetention); err != nil {
		return err
	}
	c, err := i.newCustomer(ctx, "retention", wide())
	if err != nil {
		return err
	}
	half := make(chan sizesOrErr, 1)
	go func() {
		pause(s.Hold / 2)
		sizes, err := s.host.sizes(ctx, i.database)
		half <- sizesOrErr{sizes, err}
	}()
	m, err := s.steady(ctx, "jobs kept for "+leastRetention.String(), i, c)
	if err != nil {
		return err
	}
	before := <-half
	kept, notCounted := s.host.ended(ctx, i.database)
	after, err := s.host.sizes(ctx, i.database)
	if err := errors.Join(before.err, notCounted, err); err != nil {
		return err
	}
	if err := i.audit(ctx, c, m.Total, 0); err != nil {
		return err
	}
	s.addSteady("retention", m, s.firstRemoving())
	due := float64(m.Answered) * (2 * leastRetention).Seconds() / s.Hold.Seconds()
	s.report.add(newRow("retention", "ended and still there at the end", "jobs", []float64{float64(kept)}).against("ended in 2m", []float64{due}).atMost(keptTarget, ofBase))
	for _, table := range []string{"jobs", "outcomes", "queue", "events"} {
		if before.sizes[table] > 0 {
			s.report.add(newRow("retention", table+" with its indexes at the end", "MiB", []float64{after[table]}).against("half-way", []float64{before.sizes[table]}))
		}
	}
	return nil
}

// leastRetention is the shortest that a job type may have.
const leastRetention = time.Minute

// firstRemoving is the first tenth of the load in which jobs are removed all
// the time: upkeep takes the first of them within a minute after they may go.
func (s *session) firstRemoving() int {
	return min(int((2*leastRetention-1)/(s.Hold/steadyParts))+1, steadyParts/2)
}

type sizesOrErr struct {
	sizes map[string]float64
	err   error
}

// steady submits and settles for as long as it is to be held.
func (s *session) steady(ctx context.Context, label string, i *instance, c customer) (measure, error) {
	w := s.requests(i, submitRequest(c.key, ""), http.StatusOK)
	w.Kind, w.Warmup, w.Duration, w.Count = loadSteady, span(min(s.Hold/10, 5*time.Second)), span(s.Hold), drainWorkers
	w.Worker, w.Tolerate = i.worker(drainBatch, 0), http.StatusServiceUnavailable
	m, _, err := s.load(ctx, label, w, s.spent(i))
	return m, err
}

// addSteady compares the last tenth of a steady load with an earlier one, and
// that one with the first.
func (s *session) addSteady(scenario string, m measure, base int) {
	first, from, last := m.Parts[0], m.Parts[base], m.Parts[len(m.Parts)-1]
	rate := func(p part) []float64 {
		return []float64{float64(p.Settled) * float64(len(m.Parts)) / s.Hold.Seconds()}
	}
	name := ordinals[base]
	if base > 0 {
		s.report.add(newRow(scenario, "settled in "+name+" tenth", "jobs/s", rate(from)).against(ordinals[0], rate(first)))
	}
	s.report.add(newRow(scenario, fmt.Sprintf("settled in the last tenth of %v", s.Hold), "jobs/s", rate(last)).against(name, rate(from)).atLeast(steadyTarget, ofBase))
	s.report.add(newRow(scenario, "p50 of a report, last tenth", "ms", []float64{last.Latency.P50.milliseconds()}).
		against(name, []float64{from.Latency.P50.milliseconds()}))
	s.report.add(newRow(scenario, "p99 of a report, last tenth", "ms", []float64{last.Latency.P99.milliseconds()}).
		against(name, []float64{from.Latency.P99.milliseconds()}))
	if m.Refused > 0 {
		s.report.add(newRow(scenario, "503 answers, tried again", "", []float64{float64(m.Refused)}))
	}
}

// ordinals are those of the tenths that others are compared with.
var ordinals = []string{"the first", "the second", "the third", "the fourth", "the fifth", "the sixth"}
