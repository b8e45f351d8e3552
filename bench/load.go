package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"
)

// A workload describes one load. The process that bench starts for it reads
// it from its standard input.
type workload struct {
	Kind        loadKind `json:"kind"`
	Addresses   []string `json:"addresses"` // of the nodes; the connections take them in turn
	Connections int      `json:"connections"`
	Warmup      span     `json:"warmup"`   // before the clock starts
	Duration    span     `json:"duration"` // of the measured window after it
	Rate        float64  `json:"rate"`     // requests a second; 0: each connection sends its next when it has its answer
	Count       int      `json:"count"`    // jobs or samples, where the load ends by number
	First       int64    `json:"first"`    // the counter of the first request
	Pause       span     `json:"pause"`    // between the turns
	Request     request  `json:"request"`
	Keys        []string `json:"keys,omitempty"` // for the key hole, in turn
	Expect      int      `json:"expect"`         // the only right status
	Tolerate    int      `json:"tolerate"`       // not counted and no fault, up to 1 % of the answers
	Worker      worker   `json:"worker"`
}

type loadKind string

const (
	loadRequests loadKind = "requests" // the same request again and again
	loadDrain    loadKind = "drain"    // workers until Count jobs are settled
	loadWhole    loadKind = "whole"    // a steady rate of submits and a worker
	loadLeases   loadKind = "leases"   // one lease at a time, and its success
	loadTurns    loadKind = "turns"    // a busy worker; now and then another client's job
	loadStarts   loadKind = "starts"   // a worker that waits; now and then a job
	loadIdle     loadKind = "idle"     // workers that wait for jobs that do not come
	loadSteady   loadKind = "steady"   // submits and workers, both as fast as they are answered
)

// A measure is what a load found; what the load process writes to its standard
// output.
type measure struct {
	Answered  int64         `json:"answered"` // as expected, within the window
	Total     int64         `json:"total"`    // as expected, warm-up included
	Sent      int64         `json:"sent"`     // counters used
	Elapsed   span          `json:"elapsed"`
	Latency   latency       `json:"latency"`
	Parts     []part        `json:"parts,omitempty"`   // of a steady load's window, each as long as the next
	Refused   int64         `json:"refused,omitempty"` // by 503 while a steady load lasted, and tried again
	Statuses  map[int]int64 `json:"statuses,omitempty"`
	Impatient int64         `json:"impatient"` // 429 and 503 without Retry-After
	Faults    int64         `json:"faults"`
	Fault     string        `json:"fault,omitempty"` // the first of them
	CPU       span          `json:"cpu"`             // of the load process itself
}

// rate is what was answered per second.
func (m measure) rate() float64 {
	if m.Elapsed <= 0 {
		return 0
	}
	return float64(m.Answered) / time.Duration(m.Elapsed).Seconds()
}

// check returns an error for a load that must not be reported as speed.
func (m measure) check() error {
	switch {
	case m.Faults > 0:
		return fmt.Errorf("%d unexpected answers of %d (by status: %s); the first: %s", m.Faults, m.Faults+m.Total, m.statuses(), m.Fault)
	case m.Impatient > 0:
		return fmt.Errorf("%d answers of 429 or 503 without Retry-After", m.Impatient)
	case m.Answered == 0:
		return fmt.Errorf("nothing was answered in the measured %v", time.Duration(m.Elapsed))
	}
	return nil
}

func (m measure) statuses() string {
	var text []byte
	for _, status := range slices.Sorted(maps.Keys(m.Statuses)) {
		text = fmt.Appendf(text, " %d×%d", status, m.Statuses[status])
	}
	if len(text) == 0 {
		return "none"
	}
	return string(text[1:])
}

// Load is the load process: it reads a load's description from stdin, runs it,
// and writes what it measured to stdout, both as JSON. Unexpected answers are
// part of the measure, a load that cannot be run is an error.
func Load(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	// It shares the machine with the server that it measures.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(min(2, runtime.NumCPU())))
	var w workload
	if err := json.NewDecoder(stdin).Decode(&w); err != nil {
		return fmt.Errorf("bench: load description: %w", err)
	}
	m, err := w.run(ctx)
	if err != nil {
		return fmt.Errorf("bench: %s load: %w", w.Kind, err)
	}
	m.CPU = span(ownCPU())
	return json.NewEncoder(stdout).Encode(m)
}

func (w workload) run(ctx context.Context) (measure, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if len(w.Addresses) == 0 {
		return measure{}, errors.New("no address")
	}
	w.Connections = max(w.Connections, 1)
	if len(w.Keys) == 0 {
		w.Keys = []string{""}
	}
	switch w.Kind {
	case loadRequests:
		return runRequests(ctx, w)
	case loadDrain:
		return runDrain(ctx, w)
	case loadWhole:
		return runWhole(ctx, w)
	case loadLeases:
		return runLeases(ctx, w)
	case loadTurns:
		return runTurns(ctx, w)
	case loadStarts:
		return runStarts(ctx, w)
	case loadIdle:
		return runIdle(ctx, w)
	case loadSteady:
		return runSteady(ctx, w)
	}
	return measure{}, fmt.Errorf("unknown kind %q", w.Kind)
}

// address is the n-th connection's node.
func (w *workload) address(n int) string { return w.Addresses[n%len(w.Addresses)] }

// farthest is a node that the first connection does not use, if there is one.
func (w *workload) farthest() string { return w.address(len(w.Addresses) - 1) }

// A tally is what one connection counts.
type tally struct {
	statuses  [600]int64
	latency   histogram
	answered  int64
	total     int64
	tolerated int64
	impatient int64
	faults    int64
	fault     string
	stretched time.Duration // how much longer than asked for the window was
}

// count judges an answer and reports whether it is the expected one.
func (t *tally) count(w *workload, r reply) bool {
	t.statuses[r.status]++
	if !r.retryAfter && (r.status == 429 || r.status == 503) {
		t.impatient++
	}
	switch r.status {
	case w.Expect:
		t.total++
		return true
	case w.Tolerate:
		t.tolerated++
		return false
	}
	t.fail(fmt.Sprintf("%d %.300s", r.status, r.body))
	return false
}

// timed records the latency of an expected answer that came at now, if that is
// within the measured window. The window of a connection stretches until it
// has one, so that a slow server has a low rate rather than none.
func (t *tally) timed(w *workload, sent, now time.Duration) {
	from, to := time.Duration(w.Warmup), time.Duration(w.Warmup+w.Duration)
	if now < from || now >= to && t.answered > 0 {
		return
	}
	t.answered++
	t.latency.record(now - sent)
	t.stretched = max(t.stretched, now-to)
}

// over reports whether the connection has sent its last request by now.
func (t *tally) over(w *workload, now time.Duration) bool {
	if t.faults >= faultLimit {
		return true
	}
	return now >= time.Duration(w.Warmup+w.Duration) && t.answered+t.tolerated > 0
}

func (t *tally) fail(fault string) {
	if t.faults++; t.fault == "" {
		t.fault = fault
	}
}

// faultLimit is how many faults a connection gathers before it gives up: the
// load has failed by then, and there is no use in hammering on.
const faultLimit = 5

func merge(tallies []tally) (m measure) {
	var all tally
	m.Statuses = map[int]int64{}
	for i := range tallies {
		t := &tallies[i]
		for status, n := range t.statuses {
			if n > 0 {
				m.Statuses[status] += n
			}
		}
		all.latency.merge(&t.latency)
		all.tolerated += t.tolerated
		all.stretched = max(all.stretched, t.stretched)
		m.Answered += t.answered
		m.Total += t.total
		m.Impatient += t.impatient
		m.Faults += t.faults
		if m.Fault == "" {
			m.Fault = t.fault
		}
	}
	if all.tolerated > 10 && all.tolerated*100 > m.Total {
		m.Faults += all.tolerated
		m.Fault = fmt.Sprintf("%d answers of a status that only a few may have", all.tolerated)
	}
	m.Latency = all.latency.summary()
	m.Elapsed = span(all.stretched)
	return m
}

// dialAll opens a load's connections before its clock starts.
func dialAll(ctx context.Context, w *workload) ([]*wire, error) {
	wires := make([]*wire, w.Connections)
	for i := range wires {
		var err error
		if wires[i], err = dial(ctx, w.address(i)); err != nil {
			return nil, err
		}
	}
	return wires, nil
}

// together runs one function per wire and waits for all.
func together(wires []*wire, run func(i int, line *wire)) {
	var all sync.WaitGroup
	for i, line := range wires {
		all.Go(func() {
			defer line.hangUp()
			run(i, line)
		})
	}
	all.Wait()
}
