package executor

import (
	"testing"
	"time"
)

func TestBreaker(t *testing.T) {
	type step struct {
		at    time.Duration
		do    string        // "call": a job is let through; "alive", "down", "unknown": the oldest call ends so; "reset"
		admit int           // of 8 free places, after it
		wait  time.Duration // told with none
		state State
	}
	const s = time.Second
	down5 := []step{
		{0, "call", 8, 0, Closed}, {0, "call", 8, 0, Closed}, {0, "call", 8, 0, Closed}, {0, "call", 8, 0, Closed}, {0, "call", 8, 0, Closed},
		{0, "down", 8, 0, Closed}, {0, "down", 8, 0, Closed}, {0, "down", 8, 0, Closed}, {0, "down", 8, 0, Closed},
		{0, "down", 0, s, Open},
	}
	for name, steps := range map[string][]step{
		"opens after five failures in a row": append(down5[:len(down5):len(down5)],
			step{s / 4, "", 0, 3 * s / 4, Open},
			step{s, "", 1, 0, HalfOpen}),
		"an answer between failures starts the count again": append(down5[:8:8],
			step{0, "alive", 8, 0, Closed}, step{0, "call", 8, 0, Closed}, step{0, "down", 8, 0, Closed}, step{0, "down", 8, 0, Closed}),
		"a call that does not get to its end says nothing": append(down5[:9:9],
			step{0, "unknown", 8, 0, Closed}, step{0, "call", 8, 0, Closed}, step{0, "down", 0, s, Open}),
		"half open lets one job through": append(down5[:len(down5):len(down5)],
			step{s, "call", 0, 0, HalfOpen},
			step{2 * s, "alive", 8, 0, Closed}),
		"the time doubles, and starts anew once closed": append(down5[:len(down5):len(down5)],
			step{s, "call", 0, 0, HalfOpen}, step{2 * s, "down", 0, 2 * s, Open},
			step{4 * s, "call", 0, 0, HalfOpen}, step{5 * s, "down", 0, 4 * s, Open},
			step{9 * s, "call", 0, 0, HalfOpen}, step{9 * s, "alive", 8, 0, Closed},
			step{9 * s, "call", 8, 0, Closed}, step{9 * s, "call", 8, 0, Closed}, step{9 * s, "call", 8, 0, Closed}, step{9 * s, "call", 8, 0, Closed}, step{9 * s, "call", 8, 0, Closed},
			step{9 * s, "down", 8, 0, Closed}, step{9 * s, "down", 8, 0, Closed}, step{9 * s, "down", 8, 0, Closed}, step{9 * s, "down", 8, 0, Closed}, step{9 * s, "down", 0, s, Open}),
		"one that comes back without a word makes room for another": append(down5[:len(down5):len(down5)],
			step{s, "call", 0, 0, HalfOpen}, step{s, "unknown", 1, 0, HalfOpen}, step{s, "call", 0, 0, HalfOpen}, step{s, "alive", 8, 0, Closed}),
		"old calls say nothing of a new round": append([]step{{0, "call", 8, 0, Closed}, {0, "call", 8, 0, Closed}, {0, "call", 8, 0, Closed}},
			append(down5[:len(down5):len(down5)],
				step{s / 2, "alive", 0, s / 2, Open}, step{s, "down", 1, 0, HalfOpen}, step{s, "alive", 1, 0, HalfOpen})...),
		"a reset closes it": append(down5[:len(down5):len(down5)],
			step{s / 2, "reset", 8, 0, Closed}, step{s / 2, "call", 8, 0, Closed}, step{s / 2, "down", 8, 0, Closed}),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBreaker(func(d time.Duration) time.Duration { return d })
			start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
			var calls []int // the rounds of those under way
			for i, step := range steps {
				now := start.Add(step.at)
				switch step.do {
				case "":
				case "call":
					b.admit(now, 8)
					if !b.begin(b.round) {
						t.Fatalf("step %d: refused", i)
					}
					calls = append(calls, b.round)
				case "reset":
					b.reset()
				default:
					b.record(now, calls[0], map[string]health{"alive": alive, "down": down, "unknown": unknown}[step.do])
					calls = calls[1:]
				}
				admit, wait := b.admit(now, 8)
				if admit != step.admit || wait != step.wait || b.state != step.state {
					t.Fatalf("step %d: admits %d, waits %s, is %s; want %d, %s, %s", i, admit, wait, b.state, step.admit, step.wait, step.state)
				}
			}
		})
	}
}

func TestAnOpenBreakersTimeHasAMost(t *testing.T) {
	b := newBreaker(func(d time.Duration) time.Duration { return d * 3 / 4 })
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var waits []time.Duration
	for range mostFailures - 1 {
		b.record(now, b.round, down)
	}
	for range 9 {
		b.begin(b.round)
		b.record(now, b.round, down)
		_, wait := b.admit(now, 1)
		waits = append(waits, wait)
		now = now.Add(wait)
		b.admit(now, 1)
	}
	want := []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60}
	for i, d := range want {
		if waits[i] != d*time.Second*3/4 {
			t.Errorf("opening %d lasts %s", i, waits[i])
		}
	}
}

func TestAJobThatWasLeasedBeforeTheBreakerOpenedIsNotLetThrough(t *testing.T) {
	b := newBreaker(func(d time.Duration) time.Duration { return d })
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	_, _ = b.admit(now, 8)
	asked := b.round
	for range mostFailures {
		b.record(now, b.round, down)
	}
	if b.begin(asked) {
		t.Error("let through")
	}
	b.admit(now.Add(time.Minute), 8)
	if b.begin(asked) || !b.begin(b.round) || b.begin(b.round) {
		t.Error("half open: not exactly one was let through")
	}
}
