package ratelimit

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// server is a Remote in this process, on the clock of the test, with faults.
type server struct {
	mu       sync.Mutex
	arrivals map[string]int64
	calls    int
	down     error         // answers with it
	hang     time.Duration // before it answers
	late     bool          // takes the costs although nobody waits any more
	lie      func(passed bool, ahead []int64) (bool, []int64)
	closed   bool
}

func newServer() *server { return &server{arrivals: map[string]int64{}} }

func (s *server) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *server) Take(ctx context.Context, demands []Demand) (passed bool, ahead []int64, err error) {
	s.mu.Lock()
	s.calls++
	down, hang, late := s.down, s.hang, s.late
	s.mu.Unlock()
	if down != nil {
		return false, nil, down
	}
	if hang > 0 {
		if late {
			defer func() { passed, ahead, err = false, nil, ctx.Err() }()
		} else {
			select {
			case <-ctx.Done():
				return false, nil, ctx.Err()
			case <-time.After(hang):
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now, passed := time.Now().UnixNano(), true
	next := map[string]int64{}
	for _, d := range demands {
		at, again := next[d.Key]
		if !again {
			at = max(s.arrivals[d.Key], now+d.Floor, now)
		}
		if at > now+d.Tolerance+clockStep {
			at = now + d.Tolerance
		}
		ahead = append(ahead, at-now)
		if at-now > d.Room {
			passed = false
			if !again && d.Floor > 0 {
				s.arrivals[d.Key] = at
			}
		}
		next[d.Key] = at + d.Cost
	}
	if passed {
		for key, at := range next {
			s.arrivals[key] = at
		}
	}
	if s.lie != nil {
		passed, ahead = s.lie(passed, ahead)
	}
	if late && hang > 0 {
		<-ctx.Done()
	}
	return passed, ahead, nil
}

func (s *server) Close() error {
	s.set(func() { s.closed = true })
	return nil
}

// share opens a limiter on the server; it ends with the test's bubble.
func share(t *testing.T, s *server, nodes int) *Shared {
	shared := NewShared(t.Context(), s, SharedOptions{Nodes: func() int { return nodes }})
	t.Cleanup(func() { shared.Close() })
	return shared
}

// ask takes the cost from one key now.
func ask(t *testing.T, l Limiter, perSecond float64, burst, cost int64) Decision {
	t.Helper()
	return l.Take(t.Context(), time.Now(), check("client", limit(perSecond, burst), cost))
}

func shares(t *testing.T, s *Shared, want bool) {
	t.Helper()
	if state := s.State(); state.Shared != want {
		t.Fatalf("shared is %v, want %v: %+v", state.Shared, want, state)
	}
}

var errDown = errors.New("down")

func TestSharedDecidesAsMemoryDoesAndCountsNodesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		one, two, memory := share(t, s, 2), share(t, s, 2), NewMemory(100)
		for i := range 40 {
			node := one
			if i%3 == 0 {
				node = two
			}
			checks := []Check{check("client", limit(10, 6), int64(i%8)), check("key", limit(3, 5), 1), check("key", limit(3, 5), 0)}
			got, want := node.Take(t.Context(), time.Now().Add(time.Hour), checks...), memory.Take(t.Context(), time.Now(), checks...)
			if got != want {
				t.Fatalf("call %d: %+v, want %+v", i, got, want)
			}
			time.Sleep(time.Duration(i%5) * 70 * time.Millisecond)
		}
		if state := one.State(); !state.Shared || state.Local != 0 || state.Remote+two.State().Remote != 40 {
			t.Errorf("%+v", state)
		}
	})
}

func TestNothingLimitedAsksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		shared := share(t, s, 1)
		probes := s.calls
		if d := shared.Take(t.Context(), start, check("k", limit(0, 0), 1)); d != (Decision{OK: true}) || s.calls != probes {
			t.Errorf("%+v after %d calls", d, s.calls-probes)
		}
	})
}

func TestTheCallThatMeetsAFailureIsDecidedHereAndTheNextDoNotAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		shared := share(t, s, 3)
		s.set(func() { s.hang = time.Hour })
		begin := time.Now()
		if d := ask(t, shared, 1, 9, 1); !d.OK || time.Since(begin) != defaultTimeout {
			t.Errorf("%+v after %v, want it admitted after %v", d, time.Since(begin), defaultTimeout)
		}
		for range 100 {
			ask(t, shared, 1000, 1000, 1)
		}
		if waited := time.Since(begin); waited != defaultTimeout {
			t.Errorf("101 calls took %v, want one timeout", waited)
		}
		state := shared.State()
		if state.Shared || state.Lapses != 1 || state.Local != 101 || !errors.Is(state.Err, context.DeadlineExceeded) || state.Since != time.Now() {
			t.Errorf("%+v", state)
		}
	})
}

func TestCallsThatFailTogetherAreOneLapse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		shared := share(t, s, 1)
		s.set(func() { s.hang = time.Hour })
		var calls sync.WaitGroup
		for range 50 {
			calls.Go(func() { ask(t, shared, 1000, 1000, 1) })
		}
		calls.Wait()
		if state := shared.State(); state.Lapses != 1 || state.Local != 50 {
			t.Errorf("%+v, want one lapse and 50 calls decided here", state)
		}
	})
}

func TestACallerWhoGoesAwayIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := share(t, newServer(), 1)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		shared.Take(ctx, time.Now(), check("k", limit(1, 1), 1))
		shares(t, shared, true)
	})
}

func TestTheRemoteComesBackWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		shared := share(t, s, 1)
		for _, outage := range []time.Duration{0, 50 * time.Millisecond, time.Second, time.Hour} {
			s.set(func() { s.down = errDown })
			ask(t, shared, 1, 1, 0)
			shares(t, shared, false)
			time.Sleep(outage)
			s.set(func() { s.down = nil })
			time.Sleep(time.Second)
			shares(t, shared, true)
		}
		if state := shared.State(); state.Lapses != 4 || state.Err != errDown && !errors.Is(state.Err, errDown) {
			t.Errorf("%+v", state)
		}
	})
}

func TestARemoteThatIsTooSlowForCallsIsNotBroughtBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		shared := share(t, s, 1)
		s.set(func() { s.hang = 2 * defaultTimeout })
		ask(t, shared, 1, 1, 0)
		time.Sleep(10 * time.Second)
		if shares(t, shared, false); shared.State().Lapses != 1 {
			t.Errorf("%+v", shared.State())
		}
	})
}

func TestARemoteThatIsNotThereAtStartIsUsedWhenItComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		s.down = errDown
		shared := share(t, s, 2)
		shares(t, shared, false)
		if d := ask(t, shared, 1, 10, 5); !d.OK || d.Remaining != 0 {
			t.Errorf("%+v, want half of the limit admitted", d)
		}
		s.set(func() { s.down = nil })
		time.Sleep(time.Second)
		shares(t, shared, true)
		if state := shared.State(); state.Lapses != 0 {
			t.Errorf("%+v, want no lapse of what was never there", state)
		}
	})
}

// The clock stands still while the remote fails and comes back, but for the second until it does.
func TestALapseGivesNoBurstAway(t *testing.T) {
	const slow = 0.001 // next to nothing comes back during the test
	t.Run("what the remote admitted is spent here", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newServer()
			shared := share(t, s, 2)
			ask(t, shared, slow, 10, 6)
			s.set(func() { s.down = errDown })
			if d := ask(t, shared, slow, 10, 3); d.OK || d.Remaining != 4 {
				t.Errorf("%+v, want 3 refused of a half of the 4 that are left", d)
			}
			if d := ask(t, shared, slow, 10, 2); !d.OK || d.Remaining != 0 {
				t.Errorf("%+v, want a half of the 4 that are left", d)
			}
		})
	})
	t.Run("what this node admitted is spent there", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newServer()
			one, two := share(t, s, 2), share(t, s, 2)
			s.set(func() { s.down = errDown })
			ask(t, two, slow, 10, 0)
			if d := ask(t, one, slow, 10, 5); !d.OK {
				t.Fatalf("%+v, want the share admitted", d)
			}
			s.set(func() { s.down = nil })
			time.Sleep(time.Second)
			if d := ask(t, one, slow, 10, 1); d.OK || !one.State().Shared {
				t.Errorf("%+v: the burst passes again on the node that spent it", d)
			}
			if d := ask(t, two, slow, 10, 1); d.OK || !two.State().Shared {
				t.Errorf("%+v: the other node was not told", d)
			}
		})
	})
	t.Run("a remote that forgot is told what it had admitted", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newServer()
			shared := share(t, s, 2)
			ask(t, shared, slow, 10, 10)
			s.set(func() { s.down = errDown })
			shared.Take(t.Context(), time.Now(), check("other", limit(1, 1), 1))
			s.set(func() { s.down, s.arrivals = nil, map[string]int64{} })
			time.Sleep(time.Second)
			if d := ask(t, shared, slow, 10, 1); d.OK || !shared.State().Shared {
				t.Errorf("%+v: the burst passes again", d)
			}
		})
	})
	t.Run("a remote that fails over and over", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newServer()
			shared := share(t, s, 1)
			admitted := 0
			for range 20 {
				for range 30 {
					if ask(t, shared, slow, 100, 1).OK {
						admitted++
					}
				}
				s.set(func() { s.down = errDown })
				for range 30 {
					if ask(t, shared, slow, 100, 1).OK {
						admitted++
					}
				}
				s.set(func() { s.down = nil })
				time.Sleep(time.Second)
			}
			if admitted != 100 {
				t.Errorf("%d admitted, want the burst, 100", admitted)
			}
		})
	})
	t.Run("a call that the remote decided too late is counted once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newServer()
			shared := share(t, s, 1)
			s.set(func() { s.hang, s.late = time.Hour, true })
			if d := ask(t, shared, slow, 10, 6); !d.OK {
				t.Fatalf("%+v", d)
			}
			s.set(func() { s.hang = 0 })
			time.Sleep(time.Second)
			if d := ask(t, shared, slow, 10, 4); !d.OK || !shared.State().Shared {
				t.Errorf("%+v, want that the remote's six and this node's are the same six", d)
			}
		})
	})
	t.Run("what is told once is not told again", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newServer()
			shared := share(t, s, 1)
			s.set(func() { s.down = errDown })
			ask(t, shared, 1, 10, 10)
			s.set(func() { s.down = nil })
			time.Sleep(time.Second)
			ask(t, shared, 1, 10, 0)
			s.set(func() { s.arrivals = map[string]int64{} }) // as the key's end
			if d := ask(t, shared, 1, 10, 0); d.Remaining != 10 {
				t.Errorf("%+v, want that the remote alone remembers", d)
			}
		})
	})
}

func TestAnAnswerThatCantBeRightIsNotBelieved(t *testing.T) {
	for name, lie := range map[string]func(bool, []int64) (bool, []int64){
		"of too few":          func(p bool, a []int64) (bool, []int64) { return p, a[1:] },
		"of too many":         func(p bool, a []int64) (bool, []int64) { return p, append(a, 0) },
		"too far ahead":       func(p bool, a []int64) (bool, []int64) { return p, []int64{1 << 62, 0} },
		"behind":              func(p bool, a []int64) (bool, []int64) { return p, []int64{-1, 0} },
		"admits the refused":  func(bool, []int64) (bool, []int64) { return true, []int64{int64(time.Hour), 0} },
		"refuses for nothing": func(bool, []int64) (bool, []int64) { return false, []int64{0, 0} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer()
				shared := share(t, s, 1)
				s.set(func() { s.lie = lie })
				d := shared.Take(t.Context(), time.Now(), check("a", limit(1, 10), 2), check("b", limit(1, 10), 1))
				if !d.OK || d.Name != "a" || d.Remaining != 8 {
					t.Errorf("%+v, want the decision of this node", d)
				}
				shares(t, shared, false)
			})
		})
	}
}

func TestCloseEndsEverything(t *testing.T) {
	for _, down := range []error{nil, errDown} {
		synctest.Test(t, func(t *testing.T) { // which fails where a goroutine is left
			s := newServer()
			s.down = down
			shared := NewShared(t.Context(), s, SharedOptions{})
			shared.Close()
			if d := ask(t, shared, 1, 1, 1); !d.OK || !s.closed || shared.State().Shared {
				t.Errorf("%+v, %+v", d, shared.State())
			}
			shared.Close()
		})
	}
}

func TestSharedTakeTogetherAdmitsExactlyTheBurstWhileTheRemoteComesAndGoes(t *testing.T) {
	s := newServer()
	shared := NewShared(t.Context(), s, SharedOptions{})
	defer shared.Close()
	var mu sync.Mutex
	admitted := 0
	var calls sync.WaitGroup
	for w := range 8 {
		calls.Go(func() {
			for i := range 500 {
				if w == 0 && i%50 == 0 {
					s.set(func() { s.down = errDown })
				} else if w == 0 && i%50 == 25 {
					s.set(func() { s.down = nil })
				}
				if ask(t, shared, 1e-6, 1000, 1).OK {
					mu.Lock()
					admitted++
					mu.Unlock()
				}
			}
		})
	}
	calls.Wait()
	if admitted < 1000 || admitted > 1000+8 {
		t.Errorf("%d admitted, want the burst, 1000, and of calls that were under way when the remote failed up to 8 more", admitted)
	}
}
