package ratelimit

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tallygate/tallygate"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func limit(perSecond float64, burst int64) tallygate.RateLimit {
	return tallygate.RateLimit{PerSecond: perSecond, Burst: burst}
}

func check(key string, l tallygate.RateLimit, cost int64) Check {
	return Check{Key: key, Name: key, Limit: l, Cost: cost}
}

func TestTake(t *testing.T) {
	type step struct {
		after     time.Duration // since the first step
		cost      int64
		ok        bool
		remaining int64
		reset     time.Duration
		retry     time.Duration
	}
	for name, c := range map[string]struct {
		limit tallygate.RateLimit
		steps []step
	}{
		"the burst passes at one instant": {limit(10, 3), []step{
			{0, 1, true, 2, 100 * time.Millisecond, 0},
			{0, 1, true, 1, 200 * time.Millisecond, 0},
			{0, 1, true, 0, 300 * time.Millisecond, 0},
			{0, 1, false, 0, 300 * time.Millisecond, 100 * time.Millisecond},
			{99 * time.Millisecond, 1, false, 0, 201 * time.Millisecond, time.Millisecond},
			{100 * time.Millisecond, 1, true, 0, 300 * time.Millisecond, 0},
			{time.Second, 1, true, 2, 100 * time.Millisecond, 0},
		}},
		"a refusal costs nothing": {limit(1, 1), []step{
			{0, 1, true, 0, time.Second, 0},
			{0, 1, false, 0, time.Second, time.Second},
			{500 * time.Millisecond, 1, false, 0, 500 * time.Millisecond, 500 * time.Millisecond},
			{time.Second, 1, true, 0, time.Second, 0},
		}},
		"one request in two seconds": {limit(0.5, 1), []step{
			{0, 1, true, 0, 2 * time.Second, 0},
			{1999 * time.Millisecond, 1, false, 0, time.Millisecond, time.Millisecond},
			{2 * time.Second, 1, true, 0, 2 * time.Second, 0},
		}},
		"a hundred thousand a second": {limit(100_000, 2), []step{
			{0, 2, true, 0, 20 * time.Microsecond, 0},
			{0, 1, false, 0, 20 * time.Microsecond, 10 * time.Microsecond},
			{10 * time.Microsecond, 1, true, 0, 20 * time.Microsecond, 0},
		}},
		"costs above one": {limit(10, 10), []step{
			{0, 7, true, 3, 700 * time.Millisecond, 0},
			{0, 4, false, 3, 700 * time.Millisecond, 100 * time.Millisecond},
			{0, 3, true, 0, time.Second, 0},
			{time.Second, 10, true, 0, time.Second, 0},
		}},
		"a cost above the burst is never admitted": {limit(10, 10), []step{
			{0, 11, false, 10, 0, 0},
			{time.Hour, 11, false, 10, 0, 0},
			{time.Hour, 10, true, 0, time.Second, 0},
			{2 * time.Hour, math.MaxInt64, false, 10, 0, 0},
		}},
		"a cost of nothing only looks": {limit(1, 1), []step{
			{0, 0, true, 1, 0, 0},
			{0, 1, true, 0, time.Second, 0},
			{0, 0, true, 0, time.Second, 0},
			{0, -5, true, 0, time.Second, 0},
		}},
		"a clock set back empties the burst once": {limit(10, 5), []step{
			{time.Hour, 5, true, 0, 500 * time.Millisecond, 0},
			{0, 1, false, 0, 500 * time.Millisecond, 100 * time.Millisecond},
			{100 * time.Millisecond, 1, true, 0, 500 * time.Millisecond, 0},
			{100 * time.Millisecond, 0, true, 0, 500 * time.Millisecond, 0},
			{200 * time.Millisecond, 1, true, 0, 500 * time.Millisecond, 0},
		}},
		"a negative rate admits nothing": {limit(-1, 5), []step{{0, 1, false, 0, 0, 0}}},
		"no number admits nothing":       {limit(math.NaN(), 5), []step{{0, 1, false, 0, 0, 0}}},
		"no burst admits nothing":        {limit(10, 0), []step{{0, 1, false, 0, 0, 0}}},
		"an endless rate":                {limit(math.Inf(1), 5), []step{{0, 5, true, 0, 5, 0}, {1, 1, true, 0, 5, 0}}},
		"a rate too slow for the clock": {limit(1e-300, 1<<62), []step{
			{0, 1, true, 0, maxTolerance, 0},
			{time.Hour, 1, false, 0, maxTolerance - time.Hour, maxTolerance - time.Hour},
			{time.Hour, 2, false, 0, maxTolerance - time.Hour, 0},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			m := NewMemory(10)
			for i, s := range c.steps {
				d := m.Take(t.Context(), start.Add(s.after), check("k", c.limit, s.cost))
				want := Decision{s.ok, "k", c.limit, s.remaining, s.reset, s.retry}
				if fmt.Sprint(d) != fmt.Sprint(want) { // as text, since no NaN equals another
					t.Errorf("step %d: %+v, want %+v", i, d, want)
				}
			}
		})
	}
}

func TestTakeDecidesAllOrNothing(t *testing.T) {
	m := NewMemory(1000)
	wide, narrow := check("client", limit(1, 10), 1), check("key", limit(2, 1), 1)

	if d := m.Take(t.Context(), start, wide, narrow); !d.OK || d.Name != "key" || d.Remaining != 0 {
		t.Fatalf("the first call: %+v, want it admitted and the key reported, which has nothing left", d)
	}
	for range 20 {
		if d := m.Take(t.Context(), start, wide, narrow); d.OK || d.Name != "key" || d.RetryAfter != 500*time.Millisecond {
			t.Fatalf("past the key's burst: %+v, want the key's refusal", d)
		}
	}
	if d := m.Take(t.Context(), start, check("client", limit(1, 10), 9)); !d.OK || d.Remaining != 0 {
		t.Fatalf("the refusals cost the client something: %+v", d)
	}
	if d := m.Take(t.Context(), start, wide, narrow); d.OK || d.Name != "client" || d.RetryAfter != time.Second {
		t.Fatalf("both refuse: %+v, want the longer wait", d)
	}
	if d := m.Take(t.Context(), start, wide, check("other", limit(1, 1), 2)); d.Name != "other" || !d.Never() {
		t.Fatalf("a cost above one burst: %+v, want that limit's refusal for good", d)
	}
	if d := m.Take(t.Context(), start, check("other", limit(1, 1), 2), wide); d.Name != "other" || !d.Never() {
		t.Fatalf("a cost above one burst: %+v, want that limit's refusal for good", d)
	}
}

func TestTakeCountsChecksOfOneKeyTogether(t *testing.T) {
	m := NewMemory(10)
	c := check("k", limit(1, 3), 2)
	if d := m.Take(t.Context(), start, c, c); d.OK || d.RetryAfter != time.Second {
		t.Fatalf("two of two out of three: %+v, want a refusal", d)
	}
	if d := m.Take(t.Context(), start, check("k", limit(1, 3), 1), c); !d.OK || d.Remaining != 0 {
		t.Fatalf("one and two out of three: %+v, want them admitted", d)
	}
}

func TestTakePassesOverUnlimitedChecks(t *testing.T) {
	m := NewMemory(10)
	none := check("none", tallygate.RateLimit{}, 1000)
	if d := m.Take(t.Context(), start); d != (Decision{OK: true}) {
		t.Errorf("no checks: %+v", d)
	}
	if d := m.Take(t.Context(), start, none); d != (Decision{OK: true}) {
		t.Errorf("nothing limited: %+v", d)
	}
	if d := m.Take(t.Context(), start, none, check("k", limit(1, 2), 1), none, none, none); !d.OK || d.Name != "k" || d.Remaining != 1 {
		t.Errorf("one of several limited: %+v", d)
	}
}

// Over any window no more passes than the burst and what the window refills; a caller who waits as told gets through;
// what is said to remain passes, and after the reset the burst is whole.
func TestTakeAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type passed struct{ at, cost int64 }
		thousandths := rapid.OneOf(rapid.Int64Range(1, 5_000), rapid.Int64Range(5_000, 1_000_000_000)).Draw(t, "rate in thousandths")
		burst := rapid.Int64Range(1, 50).Draw(t, "burst")
		l := limit(float64(thousandths)/1000, burst)
		interval := (1e12 + thousandths - 1) / thousandths
		m := NewMemory(1000)

		var history []passed
		var now, level int64 // of the model: nanoseconds of refill owed at now
		for range rapid.IntRange(1, 60).Draw(t, "calls") {
			pause := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, interval), rapid.Int64Range(0, interval*burst*2)).Draw(t, "pause")
			now += pause
			level = max(0, level-pause)
			cost := rapid.Int64Range(1, burst+1).Draw(t, "cost")
			at := start.Add(time.Duration(now))

			d := m.Take(t.Context(), at, check("k", l, cost))
			if fits := level+cost*interval <= burst*interval; d.OK != fits {
				t.Fatalf("cost %d at %d: %+v, the model says %v", cost, now, d, fits)
			}
			if d.OK {
				level += cost * interval
				history = append(history, passed{now, cost})
			}
			if want := (burst*interval - level) / interval; d.Remaining != want {
				t.Fatalf("%d remain, the model says %d", d.Remaining, want)
			}
			if d.ResetAfter != time.Duration(level) {
				t.Fatalf("whole again after %v, the model says %v", d.ResetAfter, time.Duration(level))
			}
			switch {
			case d.OK:
			case cost > burst:
				if !d.Never() {
					t.Fatalf("a cost above the burst is refused with a wait of %v", d.RetryAfter)
				}
			case d.Never():
				t.Fatalf("a cost within the burst is refused for good")
			case rapid.Bool().Draw(t, "wait as told"):
				if early := m.Take(t.Context(), at.Add(d.RetryAfter-1), check("k", l, cost)); early.OK {
					t.Fatalf("passes before the wait of %v is over", d.RetryAfter)
				}
				now += int64(d.RetryAfter)
				level = max(0, level-int64(d.RetryAfter)) + cost*interval
				if d := m.Take(t.Context(), start.Add(time.Duration(now)), check("k", l, cost)); !d.OK {
					t.Fatalf("refused after the wait it was told: %+v", d)
				}
				history = append(history, passed{now, cost})
			}
		}
		for i := range history {
			var sum int64
			for _, h := range history[i:] {
				sum += h.cost
				if window := h.at - history[i].at; float64(sum) > float64(burst)+float64(thousandths)*float64(window)/1e12+1e-6 {
					t.Fatalf("%d passed in %v", sum, time.Duration(window))
				}
			}
		}
	})
}

func TestMemoryForgetsWholeBurstsFirst(t *testing.T) {
	const most = 100
	m := NewMemory(most)
	slow, fast := limit(1, 10), limit(1000, 10)
	for i := range most / 2 {
		m.Take(t.Context(), start, check(fmt.Sprint("slow", i), slow, 10))
		m.Take(t.Context(), start, check(fmt.Sprint("fast", i), fast, 10))
	}
	later := start.Add(time.Second)
	for i := range most / 2 {
		m.Take(t.Context(), later, check(fmt.Sprint("new", i), fast, 1))
	}
	for i := range most / 2 {
		if d := m.Take(t.Context(), later, check(fmt.Sprint("slow", i), slow, 2)); d.OK {
			t.Fatalf("slow%d was forgotten while whole bursts were kept", i)
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	for _, most := range []int{-1, 0, 1, 7, 300, 5000} {
		m := NewMemory(most)
		for i := range 3*most + 10 {
			m.Take(t.Context(), start, check(fmt.Sprint(i), limit(0.001, 1000), int64(i%900+1)))
			m.Take(t.Context(), start, check(fmt.Sprint("same", i), limit(1, 1), 1))
		}
		kept := 0
		for i := range m.shards {
			kept += len(m.shards[i].arrivals)
		}
		if kept > max(1, most) || kept < most/2 {
			t.Errorf("of most %d keys %d are kept", most, kept)
		}
	}
}

func TestMemoryForgetsAFewAtATime(t *testing.T) {
	m := NewMemory(160)
	for i := range 161 {
		m.Take(t.Context(), start, check(fmt.Sprint(i), limit(1, 1), 1))
	}
	if kept := len(m.shards[0].arrivals); kept != 151 {
		t.Errorf("%d keys are kept, want the full 160 less a sixteenth and the new one", kept)
	}
}

func TestTakeTogetherAdmitsExactlyTheBurst(t *testing.T) {
	m := NewMemory(10_000)
	keys := []Check{check("a", limit(1, 500), 1), check("b", limit(1, 400), 1), check("c", limit(1, 300), 1)}
	var admitted atomic.Int64
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 400 { // each in another order
				a, b, c := keys[(i+w)%3], keys[(i+w+1)%3], keys[(i+w+2)%3]
				if m.Take(t.Context(), start, a, b, c).OK {
					admitted.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if admitted.Load() != 300 {
		t.Errorf("%d admitted, want the least burst, 300", admitted.Load())
	}
}

func TestTakeAllocatesNothing(t *testing.T) {
	m := NewMemory(1000)
	a, b := check("client:a", limit(1000, 100), 1), check("key:b", limit(10, 10), 1)
	m.Take(t.Context(), start, a, b)
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() { m.Take(ctx, start, a, b) }); n != 0 {
		t.Errorf("%v allocations in a Take of two checks", n)
	}
}

func BenchmarkTake(b *testing.B) {
	for name, checks := range map[string][]Check{
		"one":     {check("client:cl_01jz", limit(1e6, 1e6), 1)},
		"two":     {check("client:cl_01jz", limit(1e6, 1e6), 1), check("key:key_01jz", limit(1e6, 1e6), 1)},
		"refused": {check("client:cl_01jz", limit(1, 1), 1), check("key:key_01jz", limit(1e6, 1e6), 1)},
	} {
		b.Run(name, func(b *testing.B) {
			m := NewMemory(100_000)
			ctx, now := b.Context(), start
			b.ReportAllocs()
			for b.Loop() {
				m.Take(ctx, now, checks...)
				now = now.Add(time.Microsecond)
			}
		})
	}
}

// Each call brings a key that was never seen, into a memory that is full of owing ones: the dearest case.
func BenchmarkTakeOfNewKeys(b *testing.B) {
	m := NewMemory(10_000)
	keys := make([]string, 100_000)
	for i := range keys {
		keys[i] = fmt.Sprint("auth:192.0.2.", i)
	}
	ctx, i := b.Context(), 0
	b.ReportAllocs()
	for b.Loop() {
		m.Take(ctx, start.Add(time.Duration(i)), Check{keys[i%len(keys)], "auth", limit(0.001, 10), 1})
		i++
	}
}

func TestARaisedLimitHoldsForWhoeverTheOldOneRefused(t *testing.T) {
	m, now := NewMemory(10), start
	slow := Check{Key: "client:a", Limit: tallygate.RateLimit{PerSecond: 0.001, Burst: 1}, Cost: 1}
	fast := Check{Key: "client:a", Limit: tallygate.RateLimit{PerSecond: 1000, Burst: 1000}, Cost: 1}
	if !m.Take(t.Context(), now, slow).OK || m.Take(t.Context(), now, slow).OK {
		t.Fatal("the old limit lets one pass")
	}
	d := m.Take(t.Context(), now, fast)
	for tries := 0; !d.OK; tries++ {
		if tries == 2 {
			t.Fatalf("refused again after the wait: %+v", d)
		}
		now = now.Add(d.RetryAfter)
		d = m.Take(t.Context(), now, fast)
	}
}
