package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

const (
	submitTarget = 0.20 // of the base's requests a second
	storedTarget = 0.8  // of an empty database's submits a second
	inputBytes   = 300
	storedChunk  = 100_000
)

// submitRequest submits one job with an input of 300 bytes.
func submitRequest(key, idempotencyKey string) request {
	before, after := `{"n":"`+counterHole+`","text":"`, `"}`
	filling := inputBytes - len(before) - len(after) + len(counterHole) - counterWidth
	r := request{
		Method: http.MethodPost,
		Path:   "/v1/jobs",
		Header: [][2]string{{"Authorization", "Bearer " + key}},
		Body:   `{"type":"` + jobType + `","input":` + before + strings.Repeat("x", filling) + after + `}`,
	}
	if idempotencyKey != "" {
		r.Header = append(r.Header, [2]string{"Idempotency-Key", idempotencyKey})
	}
	return r
}

func submit(ctx context.Context, s *session) error {
	return submits(ctx, s, "submit", "")
}

func submitIdempotent(ctx context.Context, s *session) error {
	return submits(ctx, s, "submit-idempotent", "bench-"+counterHole)
}

// submits measures durable submits, one per request, and then has the ledger
// say whether each that was acknowledged is there.
func submits(ctx context.Context, s *session, scenario, idempotencyKey string) error {
	i, err := s.start(ctx, scenario)
	if err != nil {
		return err
	}
	c, err := i.newCustomer(ctx, scenario, wide())
	if err != nil {
		return err
	}
	w := s.requests(i, submitRequest(c.key, idempotencyKey), http.StatusOK)
	first, err := capture(ctx, w)
	if err != nil {
		return err
	}
	if first.Status != http.StatusOK {
		return fmt.Errorf("a submit is answered %d %.300s", first.Status, first.Body)
	}
	i.counter++
	rounds, err := s.versus(ctx, scenario, i, w, first, idempotencyKey == "")
	if err != nil {
		return err
	}
	acknowledged := int64(1)
	for _, r := range rounds {
		acknowledged += r.server.Total
	}
	if err := i.audit(ctx, c, 0, acknowledged); err != nil {
		return err
	}
	row := rateRow(scenario, rounds)
	s.report.add(row.atLeast(submitTarget, ofBase))
	if s.peer != nil && idempotencyKey == "" {
		row.Target = nil
		s.report.add(row.against(s.peer.name+"'s inserts", peerRates(rounds)).atLeast(peerInsertTarget, ofBase))
	}
	s.report.addLatency(scenario, "", rounds)
	s.report.addCost(scenario, "a request", rounds)
	return nil
}

// storedJobs compares submits into a database that holds many finished jobs
// with submits into an empty one.
func storedJobs(ctx context.Context, s *session) error {
	if s.Stored == 0 {
		if len(s.Only) > 0 {
			return errors.New("needs Options.Stored")
		}
		return nil
	}
	var instances [2]*instance
	var customers [2]customer
	for n, name := range []string{"full", "empty"} {
		var err error
		if instances[n], err = s.start(ctx, name); err != nil {
			return err
		}
		if customers[n], err = instances[n].newCustomer(ctx, name, wide()); err != nil {
			return err
		}
	}
	full := instances[0]
	for stored := 0; stored < s.Stored; {
		chunk := min(storedChunk, s.Stored-stored)
		label := fmt.Sprintf("stored: fill to %s", whole(int64(stored+chunk)))
		if _, err := s.queueAndDrain(ctx, label, full, customers[0], chunk); err != nil {
			return err
		}
		stored += chunk
	}
	if err := full.audit(ctx, customers[0], int64(s.Stored), 0); err != nil {
		return err
	}
	var counts [2]int64
	rounds := make([]round, s.Rounds)
	for n := range rounds {
		for k, i := range instances {
			label := fmt.Sprintf("stored %d/%d %s", n+1, s.Rounds, []string{"full", "empty"}[k])
			w := s.requests(i, submitRequest(customers[k].key, ""), http.StatusOK)
			m, used, err := s.load(ctx, label, w, s.spent(i))
			if err != nil {
				return err
			}
			i.counter += m.Sent
			counts[k] += m.Total
			if k == 0 {
				rounds[n].server, rounds[n].serverCost = m, used
			} else {
				rounds[n].base, rounds[n].baseCost = m, used
			}
		}
	}
	for k, i := range instances {
		done := int64(0)
		if k == 0 {
			done = int64(s.Stored)
		}
		if err := i.audit(ctx, customers[k], done, counts[k]); err != nil {
			return err
		}
	}
	row := rateRow("stored", rounds)
	row.Base.Name = "empty"
	row.Measure = fmt.Sprintf("submits with %s jobs stored", whole(int64(s.Stored)))
	s.report.add(row.atLeast(storedTarget, ofBase))
	return nil
}

// submitToCharge measures the time from a submit's sending to its charge, at a
// steady rate with one worker.
func submitToCharge(ctx context.Context, s *session) error {
	i, err := s.start(ctx, "whole")
	if err != nil {
		return err
	}
	c, err := i.newCustomer(ctx, "whole", wide())
	if err != nil {
		return err
	}
	rounds := make([]round, s.Rounds)
	var jobs int64
	for n := range rounds {
		w := s.requests(i, submitRequest(c.key, ""), http.StatusOK)
		w.Kind, w.Rate, w.Connections = loadWhole, s.Rate, min(s.Connections, 16)
		w.Worker = i.worker(10, 20*time.Second)
		m, used, err := s.load(ctx, fmt.Sprintf("whole %d/%d", n+1, s.Rounds), w, s.spent(i))
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
	s.report.addLatency("whole", fmt.Sprintf("submit to charged at %s/s", figure(s.Rate)), rounds)
	return nil
}
