package ratelimit

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tallygate/tallygate"
)

// fleet is so many nodes that share by counting themselves.
type fleet struct {
	live  int
	nodes []*Share
}

func newFleet(nodes int) *fleet {
	f := &fleet{live: nodes}
	for range nodes {
		f.nodes = append(f.nodes, NewShare(1000, func() int { return f.live }))
	}
	return f
}

func TestSharesAdmitTheLimitOverAMinute(t *testing.T) {
	const perSecond, burst, seconds = 50, 50, 60
	f := newFleet(3)
	random := rand.New(rand.NewPCG(1, 2))
	admitted := 0
	for i := range 2 * perSecond * seconds {
		now := start.Add(time.Duration(i) * time.Second / (2 * perSecond))
		if f.nodes[random.IntN(3)].Take(t.Context(), now, check("client", limit(perSecond, burst), 1)).OK {
			admitted++
		}
	}
	if want := burst + perSecond*seconds; admitted > want || admitted < want*9/10 {
		t.Errorf("%d admitted, want %d or up to 10 %% less", admitted, want)
	}
}

// Of costs within a share's burst, all nodes together admit no more over any window than one limit does; of dearer ones
// each node admits one more. A caller who waits as told gets through.
func TestSharesNeverAdmitMoreThanTheLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type passed struct {
			at   time.Duration
			cost int64
		}
		perSecond := rapid.Float64Range(0.01, 10_000).Draw(t, "rate")
		burst := rapid.Int64Range(1, 60).Draw(t, "burst")
		l := limit(perSecond, burst)
		f := newFleet(rapid.IntRange(1, 7).Draw(t, "nodes"))
		part := burst / int64(f.live)
		dearest := int64(1)

		var history []passed
		var now time.Duration
		for range rapid.IntRange(1, 80).Draw(t, "calls") {
			window := time.Duration(float64(burst) / perSecond * 1e9)
			now += time.Duration(rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, int64(window/4)), rapid.Int64Range(0, int64(2*window))).Draw(t, "pause"))
			node := f.nodes[rapid.IntRange(0, f.live-1).Draw(t, "node")]
			cost := rapid.OneOf(rapid.Just(int64(1)), rapid.Int64Range(1, burst+1)).Draw(t, "cost")
			d := node.Take(t.Context(), start.Add(now), check("k", l, cost))
			if d.Limit != l || d.Remaining < 0 || d.Remaining > burst {
				t.Fatalf("tells %+v of the limit %+v", d, l)
			}
			if d.Never() != (cost > burst) {
				t.Fatalf("a cost of %d of %d: %+v", cost, burst, d)
			}
			if !d.OK && !d.Never() && rapid.Bool().Draw(t, "wait as told") {
				if node.Take(t.Context(), start.Add(now+d.RetryAfter-1), check("k", l, cost)).OK {
					t.Fatalf("passes before the wait of %v is over", d.RetryAfter)
				}
				now += d.RetryAfter
				if d = node.Take(t.Context(), start.Add(now), check("k", l, cost)); !d.OK {
					t.Fatalf("refused after the wait it was told: %+v", d)
				}
			}
			if d.OK {
				history = append(history, passed{now, cost})
				dearest = max(dearest, cost)
			}
		}
		most := float64(burst)
		if dearest > part {
			most = float64(dearest * int64(f.live))
		}
		for i := range history {
			var sum int64
			for _, h := range history[i:] {
				sum += h.cost
				if w := h.at - history[i].at; float64(sum) > most+perSecond*w.Seconds()+1e-6 {
					t.Fatalf("%d passed in %v, want at most %v and %v a second", sum, w, most, perSecond)
				}
			}
		}
	})
}

func TestAShareOfOneNodeIsTheWholeLimit(t *testing.T) {
	for _, nodes := range []int{1, 0, -1} {
		share, memory := NewShare(10, func() int { return nodes }), NewMemory(10)
		for i := range 20 {
			now := start.Add(time.Duration(i) * 30 * time.Millisecond)
			c := check("k", limit(10, 3), int64(i%4))
			if got, want := share.Take(t.Context(), now, c), memory.Take(t.Context(), now, c); got != want {
				t.Fatalf("%d nodes: %+v, want %+v", nodes, got, want)
			}
		}
	}
}

func TestAShareTellsTheWholeLimit(t *testing.T) {
	type want struct {
		cost      int64
		ok, never bool
		remaining int64
		reset     time.Duration
		retry     time.Duration
	}
	for name, c := range map[string]struct {
		nodes int
		limit tallygate.RateLimit
		calls []want
	}{
		"a third of nine": {3, limit(1, 9), []want{
			{1, true, false, 6, 3 * time.Second, 0},
			{2, true, false, 0, 9 * time.Second, 0},
			{1, false, false, 0, 9 * time.Second, 3 * time.Second},
		}},
		"a burst below one here": {4, limit(1, 2), []want{
			{0, true, false, 2, 0, 0},
			{1, true, false, 0, 4 * time.Second, 0},
			{1, false, false, 0, 4 * time.Second, 4 * time.Second},
		}},
		"a cost above the share's burst": {3, limit(1, 9), []want{
			{8, true, false, 0, 24 * time.Second, 0},
			{1, false, false, 0, 24 * time.Second, 18 * time.Second},
			{8, false, false, 0, 24 * time.Second, 24 * time.Second},
		}},
		"a cost above the whole burst": {3, limit(1, 9), []want{{10, false, true, 9, 0, 0}}},
		"more nodes than the clock has room for": {1 << 40, limit(0.001, 1e6), []want{
			{1e6, true, false, 0, maxTolerance, 0},
			{1, false, false, 0, maxTolerance, maxTolerance},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			share := NewShare(10, func() int { return c.nodes })
			for i, w := range c.calls {
				d := share.Take(t.Context(), start, check("k", c.limit, w.cost))
				wanted := Decision{w.ok, "k", c.limit, w.remaining, w.reset, w.retry}
				if fmt.Sprint(d) != fmt.Sprint(wanted) || d.Never() != w.never {
					t.Errorf("call %d: %+v, want %+v", i, d, wanted)
				}
			}
		})
	}
}

func TestNodesThatComeAndGoChangeNothingThatIsOwed(t *testing.T) {
	f := newFleet(4)
	node := f.nodes[0]
	look := check("k", limit(1, 100), 0)
	node.Take(t.Context(), start, check("k", limit(1, 100), 20)) // of its 25
	for _, live := range []int{4, 1, 2, 9} {
		f.live = live
		if d := node.Take(t.Context(), start, look); d.Remaining != 20 || d.ResetAfter != 80*time.Second {
			t.Errorf("with %d nodes: %+v, want a fifth left", live, d)
		}
	}
	f.live = 2
	if d := node.Take(t.Context(), start, check("k", limit(1, 100), 11)); d.OK {
		t.Errorf("%+v, although a fifth of 50 is 10", d)
	}
	if d := node.Take(t.Context(), start, check("k", limit(1, 100), 10)); !d.OK {
		t.Errorf("%+v, want a fifth of 50 admitted", d)
	}
}
