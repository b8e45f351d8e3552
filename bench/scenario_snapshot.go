package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

const snapshotTarget = 0.9 // of the first part's jobs a second, in the last

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
	w := s.requests(i, submitRequest(c.key, ""), http.StatusOK)
	w.Kind, w.Warmup, w.Duration, w.Count = loadSteady, span(min(s.Hold/10, 5*time.Second)), span(s.Hold), drainWorkers
	w.Worker, w.Tolerate = i.worker(drainBatch, 0), http.StatusServiceUnavailable
	m, _, err := s.load(ctx, "snapshot held for "+s.Hold.String(), w, s.spent(i))
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
	first, last := m.Parts[0], m.Parts[len(m.Parts)-1]
	rate := func(p part) []float64 {
		return []float64{float64(p.Settled) * float64(len(m.Parts)) / s.Hold.Seconds()}
	}
	s.report.add(newRow("snapshot", fmt.Sprintf("settled in the last tenth of %v", s.Hold), "jobs/s", rate(last)).against("the first", rate(first)).atLeast(snapshotTarget, ofBase))
	s.report.add(newRow("snapshot", "p50 of a report, last tenth", "ms", []float64{last.Latency.P50.milliseconds()}).
		against("the first", []float64{first.Latency.P50.milliseconds()}))
	s.report.add(newRow("snapshot", "p99 of a report, last tenth", "ms", []float64{last.Latency.P99.milliseconds()}).
		against("the first", []float64{first.Latency.P99.milliseconds()}))
	if m.Refused > 0 {
		s.report.add(newRow("snapshot", "503 answers, tried again", "", []float64{float64(m.Refused)}))
	}
	for _, table := range tables {
		s.report.add(newRow("snapshot", "dead rows of "+table, "", []float64{float64(dead[table])}))
	}
	return nil
}
