package redis

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/testserver"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func limit(perSecond float64, burst int64) tallygate.RateLimit {
	return tallygate.RateLimit{PerSecond: perSecond, Burst: burst}
}

func check(key string, l tallygate.RateLimit, cost int64) ratelimit.Check {
	return ratelimit.Check{Key: key, Name: key, Limit: l, Cost: cost}
}

// patient gives a decision more time than a busy machine takes, where a test is not about time.
const patient = 20 * time.Second

func open(t testing.TB, url string, opt Options) *ratelimit.Shared {
	t.Helper()
	if opt.Timeout == 0 {
		opt.Timeout = patient
	}
	shared, err := Open(t.Context(), url, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shared.Close() })
	return shared
}

func sharing(t testing.TB, s *ratelimit.Shared) {
	t.Helper()
	if state := s.State(); !state.Shared || state.Lapses > 0 {
		t.Fatalf("the server does not decide: %+v", state)
	}
}

// admin is a client beside the limiter's, to look and to meddle.
func admin(t testing.TB, url string) *goredis.Client {
	t.Helper()
	opt, err := goredis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := goredis.NewClient(opt)
	t.Cleanup(func() { client.Close() })
	return client
}

// clock is a clock of the test's own in the server, which the script reads instead of the server's; with it, keys stay.
type clock struct {
	t     testing.TB
	admin *goredis.Client
}

func (c clock) set(at time.Time) {
	err := c.admin.MSet(context.Background(), "clock:s", at.Unix(), "clock:n", at.Nanosecond()).Err()
	if err != nil {
		c.t.Fatal(err)
	}
}

// clocked opens a limiter whose script reads the test's clock.
func clocked(t testing.TB, url string) *ratelimit.Shared {
	t.Helper()
	script := take
	for real, fake := range map[string]string{
		"redis.call('TIME')":                         "redis.call('MGET', 'clock:s', 'clock:n')",
		"tonumber(time[2]) * 1000":                   "tonumber(time[2])",
		", 'PX', string.format('%d', milliseconds))": ")",
	} {
		if !strings.Contains(script, real) {
			t.Fatalf("the script has no %s to replace", real)
		}
		script = strings.Replace(script, real, fake, 1)
	}
	r, err := dial(url, "")
	if err != nil {
		t.Fatal(err)
	}
	r.use(script)
	shared := ratelimit.NewShared(t.Context(), r, ratelimit.SharedOptions{Timeout: patient})
	t.Cleanup(func() { shared.Close() })
	sharing(t, shared)
	return shared
}

// Every decision is the one that Memory makes at the server's time, to the nanosecond, whatever this node's clock says.
func TestDecidesAsMemoryDoes(t *testing.T) {
	server := testserver.Redis(t)
	c := clock{t, admin(t, server.URL)}
	c.set(start)
	shared := clocked(t, server.URL)
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		memory := ratelimit.NewMemory(1000)
		limits := make([]tallygate.RateLimit, 4)
		for i := range limits {
			limits[i] = limit(
				rapid.OneOf(rapid.Float64Range(0.001, 5), rapid.Float64Range(5, 1_000_000), rapid.SampledFrom([]float64{0, 0.001, 1_000_000, 1e-300, math.Inf(1)})).Draw(t, "rate"),
				rapid.OneOf(rapid.Int64Range(1, 20), rapid.Int64Range(1, 1_000_000), rapid.SampledFrom([]int64{1, 1 << 62})).Draw(t, "burst"))
		}
		now := start
		for range rapid.IntRange(1, 25).Draw(t, "calls") {
			pause := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 1_000_000), rapid.Int64Range(0, 3e9),
				rapid.Int64Range(0, 1e13), rapid.Int64Range(-5e9, 0), rapid.Int64Range(-1e14, 0)).Draw(t, "pause")
			now = now.Add(time.Duration(pause))
			c.set(now)
			turn := rapid.IntRange(0, len(limits)-1).Draw(t, "turn") // a key's limit may change between calls
			checks := make([]ratelimit.Check, rapid.IntRange(1, 4).Draw(t, "checks"))
			for i := range checks {
				k := rapid.IntRange(0, len(limits)-1).Draw(t, "key")
				l := limits[(k+turn)%len(limits)]
				cost := rapid.OneOf(rapid.Int64Range(-1, 3), rapid.Int64Range(0, min(l.Burst, 1<<40)+1)).Draw(t, "cost")
				checks[i] = ratelimit.Check{Key: fmt.Sprint(run, ":", k), Name: fmt.Sprint(k), Limit: l, Cost: cost}
			}
			want := memory.Take(context.Background(), now, checks...)
			elsewhere := start.Add(time.Duration(rapid.Int64Range(-1e15, 1e15).Draw(t, "this node's clock")))
			got := shared.Take(context.Background(), elsewhere, checks...)
			if got != want {
				t.Fatalf("%+v, and from memory %+v", got, want)
			}
		}
	})
	sharing(t, shared)
}

func TestALimitThatMakesNoSenseAdmitsNothing(t *testing.T) {
	server := testserver.Redis(t)
	shared, memory := open(t, server.URL, Options{}), ratelimit.NewMemory(10)
	for _, l := range []tallygate.RateLimit{limit(-1, 5), limit(10, 0), limit(10, -1)} {
		got, want := shared.Take(t.Context(), start, check("k", l, 1)), memory.Take(t.Context(), start, check("k", l, 1))
		if got != want || !got.Never() {
			t.Errorf("%+v: %+v, and from memory %+v", l, got, want)
		}
	}
	sharing(t, shared)
}

func TestANarrowedOrRaisedLimitHoldsAtOnce(t *testing.T) {
	server := testserver.Redis(t)
	shared := open(t, server.URL, Options{})
	slow, fast := check("client", limit(0.001, 1), 1), check("client", limit(1000, 1000), 0)
	if !shared.Take(t.Context(), start, slow).OK || shared.Take(t.Context(), start, slow).OK {
		t.Fatal("the first limit lets one pass")
	}
	if d := shared.Take(t.Context(), start, fast); d.ResetAfter > time.Second {
		t.Errorf("under the raised limit the burst is whole again after %v", d.ResetAfter)
	}
	sharing(t, shared)
}

func TestNodesShareALimitExactly(t *testing.T) {
	server := testserver.Redis(t)
	var admitted atomic.Int64
	var calls sync.WaitGroup
	nodes := []*ratelimit.Shared{open(t, server.URL, Options{}), open(t, server.URL, Options{}), open(t, server.URL, Options{})}
	keys := []ratelimit.Check{check("a", limit(0.001, 500), 1), check("b", limit(0.001, 300), 1), check("c", limit(0.001, 400), 1)}
	for _, node := range nodes {
		for w := range 10 {
			calls.Go(func() {
				for i := range 20 { // each in another order
					if node.Take(t.Context(), start, keys[(i+w)%3], keys[(i+w+1)%3], keys[(i+w+2)%3]).OK {
						admitted.Add(1)
					}
				}
			})
		}
	}
	calls.Wait()
	if admitted.Load() != 300 {
		t.Errorf("%d admitted of 600, want the least burst, 300", admitted.Load())
	}
	if d := nodes[0].Take(t.Context(), start, check("a", limit(0.001, 500), 200)); !d.OK || d.Remaining != 0 {
		t.Errorf("the refusals cost something: %+v", d)
	}
	for _, node := range nodes {
		sharing(t, node)
	}
}

// Twice the limit for a minute of the server's clock, from three nodes, each in its turn.
func TestAdmitsTheLimitOverAMinute(t *testing.T) {
	server := testserver.Redis(t)
	c := clock{t, admin(t, server.URL)}
	c.set(start)
	nodes := []*ratelimit.Shared{clocked(t, server.URL), clocked(t, server.URL), clocked(t, server.URL)}
	const perSecond, burst, seconds = 50, 50, 60
	admitted := 0
	for i := range 2 * perSecond * seconds {
		now := start.Add(time.Duration(i) * time.Second / (2 * perSecond))
		c.set(now)
		if nodes[i%3].Take(t.Context(), now, check("client", limit(perSecond, burst), 1)).OK {
			admitted++
		}
	}
	if want := burst + perSecond*seconds; math.Abs(float64(admitted-want)) > 0.02*float64(want) {
		t.Errorf("%d admitted, want %d within 2 %%", admitted, want)
	}
	for _, node := range nodes {
		sharing(t, node)
	}
}

func TestKeysExpireWhenTheBurstIsWhole(t *testing.T) {
	server := testserver.Redis(t)
	shared := open(t, server.URL, Options{Prefix: "test:"})
	shared.Take(t.Context(), start, check("slow", limit(0.001, 10), 2), check("untouched", limit(1, 1), 0))
	shared.Take(t.Context(), start, check("refused", limit(1, 1), 2))
	rdb := admin(t, server.URL)
	if ttl := rdb.PTTL(t.Context(), "test:slow").Val(); ttl > 2000*time.Second || ttl < 1900*time.Second {
		t.Errorf("two requests at one in 1000 s are kept for %v", ttl)
	}
	for _, key := range rdb.Keys(t.Context(), "*").Val() {
		if key != "test:slow" && !strings.HasPrefix(key, "test:probe:") {
			t.Errorf("a key %q is kept of what cost nothing", key)
		}
	}
}

func TestAForgottenScriptIsSentAgain(t *testing.T) {
	server := testserver.Redis(t)
	shared := open(t, server.URL, Options{})
	rdb := admin(t, server.URL)
	var calls sync.WaitGroup
	for range 8 {
		calls.Go(func() {
			for i := range 50 {
				if i%10 == 0 {
					rdb.ScriptFlush(t.Context())
				}
				shared.Take(t.Context(), start, check("client", limit(1000, 1000), 1))
			}
		})
	}
	calls.Wait()
	sharing(t, shared)
}

func TestOneDatabaseDoesNotSeeAnother(t *testing.T) {
	server := testserver.Redis(t)
	one, two := open(t, server.URL+"/1", Options{}), open(t, server.URL+"?db=2", Options{})
	c := check("client", limit(0.001, 1), 1)
	if !one.Take(t.Context(), start, c).OK || !two.Take(t.Context(), start, c).OK || one.Take(t.Context(), start, c).OK {
		t.Error("the databases' limits are not their own")
	}
	sharing(t, one)
	sharing(t, two)
}

func TestAMalformedURLIsRefusedWithoutShowingIt(t *testing.T) {
	for _, url := range []string{
		"", "localhost:6379", "http://user:hunter2@host", "redis://user:hunter2@host/x", "redis://user:hunter2@host:port",
		"redis://:hun/ter2@host", "redis://user:hunter2@host/0?hunter2=1", "redis://user:hunter2@host?db=hunter2",
		"redis://hunter2@host?master_name=m&addr=hunter2", "\x7fredis://hunter2",
	} {
		shared, err := Open(t.Context(), url, Options{})
		if err == nil {
			shared.Close()
			t.Errorf("%q is accepted", url)
		} else if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "ter2") {
			t.Errorf("%q: the error shows the secret: %v", url, err)
		}
	}
}

func TestURLsAreUnderstood(t *testing.T) {
	for _, url := range []string{
		"redis://localhost", "valkey://user:p%40ss@[::1]:6380/3", "rediss://host", "valkeys://host?skip_verify=true",
		"unix:///run/redis.sock?db=1", "redis://user:pw@s1:26379/2?master_name=main&addr=s2:26379&password=x",
		"redis://s1:26379?master_name=main&route_randomly=true&route_by_latency=true",
	} {
		r, err := dial(url, "")
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		r.Close()
	}
}

// news makes channels of what a limiter logs.
type news struct {
	slog.Handler
	failed, back chan struct{}
}

func newNews() news {
	return news{slog.DiscardHandler, make(chan struct{}, 100), make(chan struct{}, 100)}
}

func (n news) logger() *slog.Logger { return slog.New(n) }

func (n news) Enabled(context.Context, slog.Level) bool { return true }

func (n news) Handle(_ context.Context, r slog.Record) error {
	if r.Level == slog.LevelWarn {
		n.failed <- struct{}{}
	} else {
		n.back <- struct{}{}
	}
	return nil
}

func BenchmarkTake(b *testing.B) {
	server := testserver.Redis(b)
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprint(callers, " callers"), func(b *testing.B) {
			shared := open(b, server.URL, Options{})
			var next atomic.Int64
			var calls sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for w := range callers {
				calls.Go(func() {
					ctx, now := b.Context(), time.Now()
					client, key := check(fmt.Sprint("client:", w), limit(1e6, 1e6), 1), check(fmt.Sprint("key:", w), limit(1e6, 1e6), 1)
					for next.Add(1) <= int64(b.N) {
						shared.Take(ctx, now, client, key)
					}
				})
			}
			calls.Wait()
			b.StopTimer()
			sharing(b, shared)
		})
	}
}
