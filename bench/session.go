package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/tallygate/tallygate/child"
)

// A session is one run: its options, its processes, its report.
type session struct {
	Options
	folder   string
	progress *progress
	running  []*instance
	report   Report
	failed   []error
}

// A group is scenarios that share servers, since filling one takes long.
type group struct {
	names []string
	run   func(context.Context, *session) error
}

func groups() []group {
	return []group{
		{[]string{"refuse-junk", "refuse-unknown", "refuse-limited"}, refuse},
		{[]string{"submit"}, submit},
		{[]string{"submit-idempotent"}, submitIdempotent},
		{[]string{"drain"}, drainQueue},
		{[]string{"whole"}, submitToCharge},
		{[]string{"lease-depth", "fairness", "memory"}, deepQueue},
		{[]string{"stored"}, storedJobs},
	}
}

// Scenarios lists the names that Options.Only takes, in the order of their
// running.
func Scenarios() []string {
	var names []string
	for _, g := range groups() {
		names = append(names, g.names...)
	}
	return names
}

// try runs a group if any of it is wanted, and ends its servers.
func (s *session) try(ctx context.Context, g group) {
	var wanted []string
	for _, name := range g.names {
		if s.wants(name) {
			wanted = append(wanted, name)
		}
	}
	if len(wanted) == 0 {
		return
	}
	defer s.stopAll()
	if err := g.run(ctx, s); err != nil {
		s.fail(ctx, strings.Join(wanted, ", "), err)
	}
}

// part runs one scenario of a group, if it is wanted; the others go on when it
// fails.
func (s *session) part(ctx context.Context, name string, run func() error) {
	if !s.wants(name) {
		return
	}
	if err := run(); err != nil {
		s.fail(ctx, name, err)
	}
}

// fail notes what came of a scenario, unless it was the run's end.
func (s *session) fail(ctx context.Context, scenario string, err error) {
	if ctx.Err() != nil {
		return
	}
	s.progress.say(fmt.Sprintf("%s: FAILED: %v", scenario, err))
	s.report.Failures = append(s.report.Failures, Failure{Scenario: scenario, Error: err.Error()})
	s.failed = append(s.failed, fmt.Errorf("%s: %w", scenario, err))
}

func (s *session) stopAll() {
	for _, i := range s.running {
		i.stop(s)
	}
	s.running = nil
}

func (s *session) close() {
	s.stopAll()
	if !s.Keep {
		_ = os.RemoveAll(s.folder)
	}
}

// requests is the workload of one request to an instance, again and again.
func (s *session) requests(i *instance, r request, expect int, keys ...string) workload {
	return workload{
		Kind:        loadRequests,
		Address:     i.at,
		Connections: s.Connections,
		Warmup:      span(min(s.Duration/5, time.Second)),
		Duration:    span(s.Duration),
		First:       i.counter,
		Request:     r,
		Keys:        keys,
		Expect:      expect,
	}
}

func (i *instance) worker(max int, wait time.Duration) worker {
	return worker{Key: i.key, Type: jobType, Max: max, Wait: span(wait), Name: "bench"}
}

// load runs a workload in a process of its own. The processor time is what the
// server spent on it meanwhile.
func (s *session) load(ctx context.Context, label string, w workload, server *child.Child) (measure, time.Duration, error) {
	description, err := json.Marshal(w)
	if err != nil {
		return measure{}, 0, err
	}
	phase := s.progress.begin(label, 0)
	if w.Count == 0 {
		phase.lasts(time.Duration(w.Warmup + w.Duration))
	}
	before := cpuOf(server.PID())
	c, err := s.spawn(ctx, "load process", bytes.NewReader(description), "bench", "--load", "-")
	if err != nil {
		phase.end("failed")
		return measure{}, 0, err
	}
	defer c.Stop()
	if err := c.Wait(); err != nil {
		phase.end("failed")
		return measure{}, 0, err
	}
	used := cpuOf(server.PID()) - before
	var m measure
	if err := json.Unmarshal([]byte(c.Output()), &m); err != nil {
		phase.end("failed")
		return measure{}, 0, fmt.Errorf("the load process printed no measure: %w", err)
	}
	if err := m.check(); err != nil {
		phase.end("failed")
		return measure{}, 0, fmt.Errorf("%s: %w", label, err)
	}
	phase.end(fmt.Sprintf("%s/s, p50 %s ms, p99 %s ms; %s µs of CPU each here, %s there", figure(m.rate()),
		figure(m.Latency.P50.milliseconds()), figure(m.Latency.P99.milliseconds()),
		figure(microseconds(time.Duration(m.CPU))/float64(m.Total)), figure(microseconds(used)/float64(m.Total))))
	return m, used, nil
}

// A round is what the server and its base did with the same load, one after
// the other.
type round struct {
	server, base       measure
	serverCPU, baseCPU time.Duration
}

// versus loads an instance and a bare handler that gives the same answer, in
// turn.
func (s *session) versus(ctx context.Context, scenario string, i *instance, w workload, first answer) ([]round, error) {
	description, err := json.Marshal(first)
	if err != nil {
		return nil, err
	}
	bare, err := s.spawn(ctx, "bare handler", bytes.NewReader(description), "bench", "--bare")
	if err != nil {
		return nil, err
	}
	defer bare.Stop()
	onBare := w
	if onBare.Address, err = listens(ctx, bare); err != nil {
		return nil, err
	}
	again, err := capture(ctx, onBare)
	if err != nil {
		return nil, err
	}
	if err := first.same(again); err != nil {
		return nil, err
	}
	rounds := make([]round, s.Rounds)
	for n := range rounds {
		r := &rounds[n]
		label := fmt.Sprintf("%s %d/%d", scenario, n+1, s.Rounds)
		w.First = i.counter
		if r.server, r.serverCPU, err = s.load(ctx, label+" tallygate", w, i.process); err != nil {
			return nil, err
		}
		i.counter += r.server.Sent
		if r.base, r.baseCPU, err = s.load(ctx, label+" base", onBare, bare); err != nil {
			return nil, err
		}
	}
	return rounds, nil
}

// spawn starts this program with a command.
func (s *session) spawn(ctx context.Context, name string, stdin io.Reader, args ...string) (*child.Child, error) {
	return child.Start(ctx, child.Spec{Name: "bench: " + name, Program: s.Binary, Args: args, Stdin: stdin, Log: s.Log})
}

// listens waits until a server says where it listens, and returns host and port.
func listens(ctx context.Context, c *child.Child) (string, error) {
	url, err := c.Address(ctx)
	return strings.TrimPrefix(url, "http://"), err
}
