package bench

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/tallygate/tallygate/child"
)

// A session is one run: its options, its processes, its report.
type session struct {
	Options
	folder   string
	host     *host // where the databases are made; nil: files
	peer     *peer // what is measured beside it; nil: nothing
	progress *progress
	running  []*instance
	report   Report
	failed   []error
	left     []error // of databases that stay behind
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
		{[]string{"start"}, startLatency},
		{[]string{"idle"}, idleWorkers},
		{[]string{"lease-depth", "fairness", "memory"}, deepQueue},
		{[]string{"stored"}, storedJobs},
		{[]string{"snapshot"}, heldSnapshot},
		{[]string{"retention"}, removal},
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

// close ends what still runs and takes away what the run made. It returns the
// error of a database that stays behind.
func (s *session) close() error {
	s.stopAll()
	if s.peer != nil {
		s.dropped(s.peer.database)
	}
	if !s.Keep {
		_ = os.RemoveAll(s.folder)
	}
	return errors.Join(s.left...)
}

// dropped takes a database of the run's away; none has no name.
func (s *session) dropped(database string) {
	switch {
	case database == "":
	case s.Keep:
		s.progress.say("the database " + database + " stays")
	default:
		if err := s.host.drop(database); err != nil {
			s.left = append(s.left, err)
		}
	}
}

// requests is the workload of one request to an instance, again and again.
func (s *session) requests(i *instance, r request, expect int, keys ...string) workload {
	return workload{
		Kind:        loadRequests,
		Addresses:   i.addresses(),
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

// load runs a workload in a process of its own, and tells what was spent on it
// meanwhile.
func (s *session) load(ctx context.Context, label string, w workload, spent func(context.Context) (spending, error)) (m measure, used cost, err error) {
	phase := s.progress.begin(label, 0)
	if w.Count == 0 {
		phase.lasts(time.Duration(w.Warmup + w.Duration))
	}
	defer func() {
		if err != nil {
			phase.end("failed")
		}
	}()
	before, err := spent(ctx)
	if err != nil {
		return m, used, err
	}
	c, err := s.spawnLoad(ctx, w)
	if err != nil {
		return m, used, err
	}
	if m, err = finished(c); err != nil {
		return m, used, fmt.Errorf("%s: %w", label, err)
	}
	now, err := spent(ctx)
	if err != nil {
		return m, used, err
	}
	used = now.since(before)
	phase.end(fmt.Sprintf("%s/s, p50 %s ms, p99 %s ms; %s µs of CPU each here, %s there", figure(m.rate()),
		figure(m.Latency.P50.milliseconds()), figure(m.Latency.P99.milliseconds()),
		figure(microseconds(time.Duration(m.CPU))/float64(m.Total)), figure(microseconds(used.server)/float64(m.Total))))
	return m, used, nil
}

// spawnLoad starts the process that runs a workload.
func (s *session) spawnLoad(ctx context.Context, w workload) (*child.Child, error) {
	description, err := json.Marshal(w)
	if err != nil {
		return nil, err
	}
	return s.spawn(ctx, child.Spec{Name: "load process", Args: []string{"bench", "--load", "-"}, Stdin: bytes.NewReader(description)})
}

// finished waits for a load process and returns what it has measured, if that
// may be reported.
func finished(c *child.Child) (m measure, err error) {
	defer c.Stop()
	if err := c.Wait(); err != nil {
		return m, err
	}
	if err := json.Unmarshal([]byte(c.Output()), &m); err != nil {
		return m, fmt.Errorf("the load process printed no measure: %w", err)
	}
	return m, m.check()
}

// A round is what the server, its base and its peer did with the same load,
// one after the other.
type round struct {
	server, base         measure
	serverCost, baseCost cost
	peer                 peerResult
}

// versus loads an instance and a bare handler that gives the same answer, in
// turn, and then the peer, where it can do the same in its own way.
func (s *session) versus(ctx context.Context, scenario string, i *instance, w workload, first answer, withPeer bool) ([]round, error) {
	description, err := json.Marshal(first)
	if err != nil {
		return nil, err
	}
	bare, err := s.spawn(ctx, child.Spec{Name: "bare handler", Args: []string{"bench", "--bare"}, Stdin: bytes.NewReader(description)})
	if err != nil {
		return nil, err
	}
	defer bare.Stop()
	onBare := w
	at, err := listens(ctx, bare)
	if err != nil {
		return nil, err
	}
	onBare.Addresses = []string{at}
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
		if r.server, r.serverCost, err = s.load(ctx, label+" tallygate", w, s.spent(i)); err != nil {
			return nil, err
		}
		i.counter += r.server.Sent
		if r.base, r.baseCost, err = s.load(ctx, label+" base", onBare, spentBy(bare)); err != nil {
			return nil, err
		}
		if withPeer && s.peer != nil {
			if r.peer, err = s.peer.insert(ctx, s, label+" "+s.peer.name, w); err != nil {
				return nil, err
			}
		}
	}
	return rounds, nil
}

// spawn starts this program, unless the spec names another, with a command.
func (s *session) spawn(ctx context.Context, spec child.Spec) (*child.Child, error) {
	spec.Name, spec.Program, spec.Log = "bench: "+spec.Name, cmp.Or(spec.Program, s.Binary), s.Log
	return child.Start(ctx, spec)
}

// listens waits until a server says where it listens, and returns host and port.
func listens(ctx context.Context, c *child.Child) (string, error) {
	url, err := c.Address(ctx)
	return strings.TrimPrefix(url, "http://"), err
}
