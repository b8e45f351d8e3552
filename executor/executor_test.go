package executor

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/queue"
	"github.com/tallygate/tallygate/store/enginetest"
)

func TestTypesAreFollowed(t *testing.T) {
	var done atomic.Int64
	handlers := map[string]Handler{"h": func(context.Context, *tallygate.Job, reportFunc) ([]byte, map[string]int64, error) {
		done.Add(1)
		return nil, nil, nil
	}}
	bubble(t, Options{Handlers: handlers}, func(w *world) {
		for i, name := range []string{"a", "b"} { // the second comes while the first is waited for
			w.builtin(name, "h", nil)
			at := time.Now()
			w.ended(w.submit(name, "{}"))
			if took := time.Since(at); took != 0 || done.Load() != int64(i+1) {
				t.Errorf("%s was served after %s", name, took)
			}
			time.Sleep(5 * time.Second)
		}
		if err := w.queue.DeleteType(context.Background(), "a", ""); err != nil {
			t.Fatal(err)
		}
		w.ended(w.submit("b", "{}"))
		w.define("b", func(t *tallygate.JobType) { t.Executor.Kind = tallygate.ExecutorPull })
		id := w.submit("b", "{}")
		time.Sleep(10 * time.Second)
		if job := w.job(id); job.Item == nil || job.Item.Attempt != 0 {
			t.Errorf("%+v", job)
		}
		w.builtin("b", "h", nil)
		w.ended(id)
	})
}

func TestATypeThatChangesHandsIsNoLongerCalled(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		var calls atomic.Int64
		w.upstream("x", func(http.ResponseWriter, *http.Request) { calls.Add(1) }, nil)
		w.ended(w.submit("x", "{}")) // the pool waits for more
		w.define("x", func(t *tallygate.JobType) { t.Executor.Kind = tallygate.ExecutorPull })
		id := w.submit("x", "{}")
		time.Sleep(10 * time.Second)
		if job := w.job(id); calls.Load() != 1 || job.Status() != tallygate.JobQueued || job.Item.Attempt != 0 || len(w.executor.Breakers()) != 0 {
			t.Errorf("%d calls, %+v, %+v", calls.Load(), job.Item, w.executor.Breakers())
		}
	})
}

func TestAMissingHandlersJobsWait(t *testing.T) {
	bubble(t, Options{Handlers: map[string]Handler{"h": nil}}, func(w *world) {
		w.builtin("x", "h", nil)
		id := w.submit("x", "{}")
		time.Sleep(10 * time.Second)
		if job := w.job(id); job.Item == nil || job.Item.Attempt != 0 || len(w.events(id, tallygate.EventJobRunning)) != 0 {
			t.Errorf("%+v", job)
		}
	})
}

func TestCallsAtOnceAreBounded(t *testing.T) {
	for name, c := range map[string]struct {
		running int64
		want    int64
	}{
		"by default":            {0, httpPlaces},
		"by fewer running jobs": {3, 3},
		"by more running jobs":  {25, 25},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, Options{}, func(w *world) {
				var calls gauge
				w.upstream("x", func(http.ResponseWriter, *http.Request) {
					calls.move(1)
					time.Sleep(10 * time.Second)
					calls.move(-1)
				}, func(t *tallygate.JobType) { t.RunningJobs = c.running })
				var last tallygate.JobID
				for range 2*c.want + 1 {
					last = w.submit("x", "{}")
				}
				w.ended(last)
				if most := calls.peak(); most != c.want {
					t.Errorf("%d calls at once, want %d", most, c.want)
				}
			})
		})
	}
}

func TestBuiltinJobsAtOnceAreBoundedOverAllTypes(t *testing.T) {
	var jobs gauge
	handlers := map[string]Handler{"h": func(context.Context, *tallygate.Job, reportFunc) ([]byte, map[string]int64, error) {
		jobs.move(1)
		time.Sleep(10 * time.Second)
		jobs.move(-1)
		return nil, nil, nil
	}}
	bubble(t, Options{Handlers: handlers, Concurrency: 3}, func(w *world) {
		w.builtin("a", "h", nil)
		w.builtin("b", "h", nil)
		var ids []tallygate.JobID
		for range 6 {
			ids = append(ids, w.submit("a", "{}"), w.submit("b", "{}"))
		}
		for _, id := range ids {
			w.ended(id)
		}
		if most := jobs.peak(); most != 3 {
			t.Errorf("%d at once", most)
		}
	})
}

func TestACancelledJobsCallEndsAtOnce(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		called, gone := make(chan struct{}), make(chan struct{})
		w.upstream("x", func(rw http.ResponseWriter, r *http.Request) {
			close(called)
			hang(rw, r)
			close(gone)
		}, func(t *tallygate.JobType) { t.CancelCharge = tallygate.CancelChargeBase })
		id := w.submit("x", "{}")
		<-called
		time.Sleep(time.Second)
		at := time.Now()
		w.cancel(id, false)
		<-gone
		o := w.ended(id)
		if took := time.Since(at); o.Status != tallygate.JobCancelled || o.Charged != 1000 || took != 0 {
			t.Errorf("%+v after %s", o, took)
		}
	})
}

func TestACancellationBeforeTheJobIsWatchedShowsSoon(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		w.upstream("x", hang, nil)
		id := w.submitFor(time.Now().Add(5*time.Second), "x", "{}")
		elsewhere := queue.New(w.store.Store, queue.Options{IDs: w.ids}) // which tells nobody here
		w.store.afterWrites(func() {                                     // of the lease: its holder hears of it later
			if w.job(id).Status() != tallygate.JobRunning {
				return
			}
			if _, _, err := elsewhere.Cancel(context.Background(), queue.Cancel{JobID: id}); err != nil {
				t.Error(err)
			}
		})
		o := w.ended(id)
		if took := o.FinishedAt.Sub(o.StartedAt); o.Status != tallygate.JobCancelled || took != firstLook {
			t.Errorf("%+v after %s", o, took)
		}
	})
}

func TestACancellationFromAnotherNodeShowsAtTheNextHeartbeat(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		called := make(chan struct{})
		w.upstream("x", func(rw http.ResponseWriter, r *http.Request) {
			close(called)
			hang(rw, r)
		}, nil)
		id := w.submit("x", "{}")
		<-called
		time.Sleep(time.Second)
		at := time.Now()
		elsewhere := queue.New(w.store, queue.Options{IDs: w.ids})
		if _, _, err := elsewhere.Cancel(context.Background(), queue.Cancel{JobID: id}); err != nil {
			t.Fatal(err)
		}
		if o := w.ended(id); o.Status != tallygate.JobCancelled || time.Since(at) != 9*time.Second {
			t.Errorf("%+v after %s", o, time.Since(at))
		}
	})
}

func TestAnAbandonedJobsCallEnds(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		called, gone := make(chan struct{}), make(chan struct{})
		w.upstream("x", func(rw http.ResponseWriter, r *http.Request) {
			close(called)
			hang(rw, r)
			close(gone)
		}, nil)
		id := w.submit("x", "{}")
		<-called
		at := time.Now()
		w.cancel(id, true)
		<-gone
		if took := time.Since(at); took > firstLook {
			t.Errorf("the call ended after %s", took)
		}
	})
}

func TestTheBreakerKeepsJobsWaitingWhileTheirUpstreamFails(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		var healthy atomic.Bool
		var calls []time.Duration
		start := time.Now()
		w.upstream("x", func(rw http.ResponseWriter, _ *http.Request) {
			calls = append(calls, time.Since(start).Round(time.Second))
			if !healthy.Load() {
				rw.WriteHeader(http.StatusInternalServerError)
			}
		}, func(t *tallygate.JobType) {
			t.RunningJobs = 1
			t.MaxAttempts = 100
		})
		var ids []tallygate.JobID
		for range 20 {
			ids = append(ids, w.submit("x", "{}"))
		}
		time.Sleep(40 * time.Second) // five calls open it; then one after 1, 2, 4, 8 and 16 more seconds
		state := w.executor.Breakers()
		if len(state) != 1 || state[0].Type != "x" || state[0].State != Open || state[0].Failures != 10 || len(calls) != 10 {
			t.Errorf("%+v after calls at %s", state, calls)
		}
		healthy.Store(true)
		attempts := int64(0)
		for _, id := range ids {
			attempts += w.ended(id).Attempt
		}
		if attempts != int64(len(calls)) || attempts != 30 {
			t.Errorf("%d attempts in calls at %s", attempts, calls)
		}
		if state := w.executor.Breakers(); state[0] != (BreakerState{Type: "x", State: Closed}) {
			t.Errorf("%+v", state)
		}
	})
}

func TestAJobWithoutTimeLeftIsNotTheUpstreamsFault(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		w.upstream("x", hang, func(t *tallygate.JobType) { t.TimeLimit = 5 * time.Second })
		o := w.ended(w.submit("x", "{}"))
		if o.Status != tallygate.JobFailed || o.Error.Code != tallygate.ProcessingFailed || o.Attempt != 1 {
			t.Errorf("%+v, %+v", o, o.Error)
		}
		if state := w.executor.Breakers(); state[0].Failures != 0 {
			t.Errorf("%+v", state)
		}
	})
}

func TestAnOpeningBreakerEndsTheWaitForLeases(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		var calls atomic.Int64
		w.upstream("x", func(rw http.ResponseWriter, _ *http.Request) {
			calls.Add(1)
			time.Sleep(500 * time.Millisecond) // so that all five are under way, and the pool waits for more
			rw.WriteHeader(http.StatusInternalServerError)
		}, func(t *tallygate.JobType) { t.MaxAttempts = 1 })
		for range 5 {
			w.submit("x", "{}")
		}
		for calls.Load() < 5 {
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(600 * time.Millisecond)
		synctest.Wait()
		if state := w.executor.Breakers(); state[0].State != Open {
			t.Fatalf("%+v", state)
		}
		id := w.submit("x", "{}")
		synctest.Wait()
		if job := w.job(id); !job.Item.StartedAt.IsZero() || calls.Load() != 5 {
			t.Errorf("%+v after %d calls", job.Item, calls.Load())
		}
		w.ended(id)
	})
}

func TestALeaseThatComesAfterTheBreakerHasOpenedIsGivenBack(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		var calls atomic.Int64
		w.upstream("x", func(http.ResponseWriter, *http.Request) { calls.Add(1) }, nil)
		time.Sleep(2 * followEvery)
		synctest.Wait()
		p := w.executor.pools["x"]
		asked := p.breaker.round
		for range mostFailures {
			p.learn(asked, down)
		}
		synctest.Wait()
		id := w.submit("x", "{}")
		leases, err := w.queue.Lease(context.Background(), queue.LeaseRequest{Types: []string{"x"}, Kind: tallygate.ExecutorHTTP, Max: 1})
		if err != nil || len(leases) != 1 {
			t.Fatal(leases, err)
		}
		p.begin(context.Background(), leases, asked)
		synctest.Wait()
		if job := w.job(id); calls.Load() != 0 || job.Status() != tallygate.JobQueued || job.Item.Attempt != 0 {
			t.Errorf("%d calls, %+v", calls.Load(), job.Item)
		}
		w.ended(id)
	})
}

func TestAnotherUpstreamGetsAFreshStart(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		healthy := false
		server := w.upstream("x", func(rw http.ResponseWriter, r *http.Request) {
			if healthy = r.URL.Path == "/mended"; !healthy {
				rw.WriteHeader(http.StatusInternalServerError)
			}
		}, func(t *tallygate.JobType) { t.RunningJobs = 1; t.MaxAttempts = 100 })
		id := w.submit("x", "{}")
		time.Sleep(40 * time.Second)
		if state := w.executor.Breakers(); state[0].State == Closed {
			t.Fatalf("%+v", state)
		}
		w.define("x", func(t *tallygate.JobType) {
			t.Executor = tallygate.Executor{Kind: tallygate.ExecutorHTTP, URL: server.URL + "/mended", Timeout: time.Second}
		})
		time.Sleep(followEvery)
		synctest.Wait()
		if state := w.executor.Breakers(); state[0].State != Closed {
			t.Errorf("%+v", state)
		}
		w.ended(id)
	})
}

func TestFinishedWorkOutlastsAFailingStore(t *testing.T) {
	var w *world
	handlers := map[string]Handler{"h": func(_ context.Context, _ *tallygate.Job, report reportFunc) ([]byte, map[string]int64, error) {
		time.Sleep(15 * time.Second)                         // heartbeats at 10 s
		w.store.breakUntil(time.Now().Add(20 * time.Second)) // past the end of the lease as it was granted
		time.Sleep(10 * time.Second)                         // the heartbeat at 20 s fails
		report(0.5, "done")
		return []byte("7"), nil, nil
	}}
	bubble(t, Options{Handlers: handlers}, func(world *world) {
		w = world
		w.builtin("x", "h", nil)
		id := w.submit("x", "{}")
		o := w.ended(id)
		if took := o.FinishedAt.Sub(o.StartedAt); o.Status != tallygate.JobSucceeded || o.Attempt != 1 || took < 35*time.Second || took > 40*time.Second {
			t.Errorf("%+v after %s", o, took)
		}
		if lines := w.events(id, tallygate.EventJobLog); len(lines) != 1 {
			t.Errorf("%s", lines)
		}
	})
}

func TestAShorterLeaseIsRenewedMoreOften(t *testing.T) {
	handlers := map[string]Handler{"h": func(context.Context, *tallygate.Job, reportFunc) ([]byte, map[string]int64, error) {
		time.Sleep(20 * time.Second)
		return nil, nil, nil
	}}
	bubble(t, Options{Handlers: handlers}, func(w *world) {
		w.builtin("x", "h", nil)
		id := w.submit("x", "{}")
		time.Sleep(5 * time.Second)
		w.builtin("x", "h", func(t *tallygate.JobType) { t.Lease = 2 * time.Second })
		if o := w.ended(id); o.Status != tallygate.JobSucceeded || o.Attempt != 1 {
			t.Errorf("%+v", o)
		}
	})
}

func TestALeaseThatCannotBeRenewedIsLost(t *testing.T) {
	enginetest.Prepare(t)
	synctest.Test(t, func(t *testing.T) {
		begun, cause := make(chan struct{}, 2), make(chan error, 2)
		w := newWorld(t, Options{Handlers: map[string]Handler{"h": waiting(begun, cause)}})
		w.builtin("x", "h", nil)
		id := w.submit("x", "{}")
		<-begun
		at := time.Now()
		w.store.breakUntil(at.Add(40 * time.Second))
		if got := <-cause; got != errLost || time.Since(at) != 30*time.Second {
			t.Errorf("%v after %s", got, time.Since(at))
		}
		<-begun // the store is back, the lease has run out, and the job is tried again
		if item := w.job(id).Item; item.Attempt != 2 || item.Losses != 1 || item.Failures != 0 {
			t.Errorf("%+v", item)
		}
		w.executor.Drain(0)
		w.audit()
	})
}

func TestASlowStoreHoldsNothingUpForGood(t *testing.T) {
	handlers := map[string]Handler{"h": func(context.Context, *tallygate.Job, reportFunc) ([]byte, map[string]int64, error) {
		time.Sleep(20 * time.Second)
		return []byte("7"), nil, nil
	}}
	bubble(t, Options{Handlers: handlers}, func(w *world) {
		w.builtin("x", "h", nil)
		w.store.set(func() error { time.Sleep(8 * time.Second); return nil })
		id := w.submit("x", "{}")
		if o := w.ended(id); o.Status != tallygate.JobSucceeded || o.Attempt != 1 {
			t.Errorf("%+v", o)
		}
		w.store.set(nil)
	})
}

func TestADrainGivesJobsBackWithoutSpendingAnAttempt(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		gone := make(chan struct{})
		w.upstream("x", func(rw http.ResponseWriter, r *http.Request) {
			hang(rw, r)
			close(gone)
		}, nil)
		id := w.submit("x", "{}")
		time.Sleep(3 * time.Second)
		at := time.Now()
		w.executor.Drain(2 * time.Second)
		<-gone
		job := w.job(id)
		if job.Status() != tallygate.JobQueued || job.Item.Attempt != 0 || job.Item.Failures != 0 || job.Item.Losses != 0 {
			t.Errorf("%s %+v", job.Status(), job.Item)
		}
		if took := time.Since(at); took != 2*time.Second {
			t.Errorf("drained after %s", took)
		}
		late := w.submit("x", "{}")
		time.Sleep(10 * time.Second)
		if job := w.job(late); job.Item.Attempt != 0 {
			t.Errorf("leased after the drain: %+v", job.Item)
		}
	})
}

func TestADrainWaitsForWorkThatIsAboutToEnd(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		called := make(chan struct{})
		w.upstream("x", func(http.ResponseWriter, *http.Request) {
			close(called)
			time.Sleep(time.Second)
		}, nil)
		id := w.submit("x", "{}")
		<-called
		at := time.Now()
		w.executor.Drain(2 * time.Second)
		if job := w.job(id); job.Status() != tallygate.JobSucceeded || time.Since(at) != time.Second {
			t.Errorf("%s after %s", job.Status(), time.Since(at))
		}
	})
}

func TestADrainWithoutAStoreEnds(t *testing.T) {
	enginetest.Prepare(t)
	synctest.Test(t, func(t *testing.T) {
		begun, cause := make(chan struct{}, 1), make(chan error, 1)
		w := newWorld(t, Options{Handlers: map[string]Handler{"h": waiting(begun, cause)}})
		w.builtin("x", "h", nil)
		w.submit("x", "{}")
		<-begun
		w.store.breakUntil(time.Now().Add(time.Hour))
		at := time.Now()
		w.executor.Drain(2 * time.Second)
		if took := time.Since(at); took != 2*time.Second+parting {
			t.Errorf("drained after %s", took)
		}
		w.store.set(nil)
	})
}

func TestAStoppedQueueIsNotAskedAgain(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		w.upstream("x", hang, nil)
		time.Sleep(2 * time.Second)
		w.queue.Stop()
		synctest.Wait() // would not return from a busy loop
		time.Sleep(time.Minute)
	})
}
