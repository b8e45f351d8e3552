package queue_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/queue"
	"github.com/tallygate/tallygate/store/enginetest"
)

// inBubble runs fn in a world whose time passes by itself, and only while everybody waits.
func inBubble(t *testing.T, fn func(w *world)) {
	t.Helper()
	enginetest.Prepare(t)
	synctest.Test(t, func(t *testing.T) {
		fn(newWorld(t, time.Now, queue.Options{Jitter: func(d time.Duration) time.Duration { return d }}))
	})
}

// run does the queue's background work until the test ends.
func (w *world) run() {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.queue.Run(ctx)
	}()
	w.Cleanup(func() { stop(); <-ended })
}

// waiting is a call that waits and what it came to.
type waiting[T any] struct {
	value T
	err   error
	took  time.Duration
	ended chan struct{}
}

// done reports whether the call has returned. The rest is to be read only after it has.
func (a *waiting[T]) done() bool {
	select {
	case <-a.ended:
		return true
	default:
		return false
	}
}

func await[T any](call func() (T, error)) *waiting[T] {
	a := &waiting[T]{ended: make(chan struct{})}
	begun := time.Now()
	go func() {
		a.value, a.err = call()
		a.took = time.Since(begun)
		close(a.ended)
	}()
	synctest.Wait()
	return a
}

// worker waits for one lease of the types.
func (w *world) worker(ctx context.Context, wait time.Duration, types ...string) *waiting[[]queue.Lease] {
	return await(func() ([]queue.Lease, error) {
		return w.queue.Lease(ctx, queue.LeaseRequest{Types: types, Max: 1, Wait: wait})
	})
}

func TestAWaitReturnsOnceTheJobHasEnded(t *testing.T) {
	ends := map[string]func(w *world, l queue.Lease){
		"by a success":             func(w *world, l queue.Lease) { w.tell(l, success) },
		"by a final failure":       func(w *world, l queue.Lease) { w.tell(l, final) },
		"by being abandoned":       func(w *world, l queue.Lease) { w.abandon(l.Job.ID) },
		"after it was released":    func(w *world, l queue.Lease) { w.tell(l, release); w.cancel(l.Job.ID) },
		"by its lease's loss":      func(w *world, l queue.Lease) { w.cancel(l.Job.ID); w.clock.Advance(30 * time.Second); w.sweep() },
		"after a failure, by hand": func(w *world, l queue.Lease) { w.tell(l, failure); w.cancel(l.Job.ID) },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			enginetest.Prepare(t)
			synctest.Test(t, func(t *testing.T) {
				w := testWorld(t)
				w.jobType("x", nil)
				id := w.submit(w.client("1.00", nil), asked("x"))[0].ID
				a := await(func() (*tallygate.Job, error) { return w.queue.Wait(context.Background(), id, time.Minute) })
				l := w.start("x")
				half := 0.5
				if _, _, err := w.queue.Heartbeat(t.Context(), queue.Beat{JobID: id, Token: l.Token, Progress: &half}); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if a.done() {
					t.Fatalf("it returned before the end: %+v, %v", a.value, a.err)
				}
				time.Sleep(7 * time.Second)
				end(w, l)
				synctest.Wait()
				if !a.done() || a.err != nil || !a.value.Status().Ended() || a.took != 7*time.Second {
					t.Errorf("returned %v after %s: %+v, %v", a.done(), a.took, a.value, a.err)
				}
			})
		})
	}
}

// TestNewsAreFollowedSoonAfterTheStoreHung: what another node did meanwhile is known within two looks of the end of it.
func TestNewsAreFollowedSoonAfterTheStoreHung(t *testing.T) {
	inBubble(t, func(w *world) {
		w.jobType("x", nil)
		id := w.submit(w.client("1.00", nil), asked("x"))[0].ID
		shared := &stallingStore{Store: w.store}
		other := &world{TB: w.TB, store: w.store, queue: queue.New(shared, queue.Options{Shared: shared})}
		other.run()
		a := await(func() (*tallygate.Job, error) { return other.queue.Wait(context.Background(), id, time.Hour) })
		shared.tell() // it sees the job as it is
		time.Sleep(time.Second)
		shared.stall.Store(int64(20 * time.Second))
		shared.tell()
		synctest.Wait()
		w.abandon(id)
		time.Sleep(20 * time.Second)
		for range 3 {
			shared.tell()
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if !a.done() || a.err != nil || !a.value.Status().Ended() {
			t.Errorf("3 s after the store hung for 20 s, the wait has returned: %v", a.done())
		}
		other.queue.Stop()
		<-a.ended
	})
}

func (w *world) abandon(id tallygate.JobID) {
	w.Helper()
	if _, _, err := w.queue.Cancel(context.Background(), queue.Cancel{JobID: id, Abandon: true}); err != nil {
		w.Fatal(err)
	}
}

func TestAWaitEndsWithTheJobAsItIs(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(w *world, leave func())
		took time.Duration
	}{
		{"after its time", func(*world, func()) { time.Sleep(time.Minute) }, time.Minute},
		{"when the caller leaves", func(_ *world, leave func()) { leave() }, 0},
		{"when the queue stops", func(w *world, _ func()) { w.queue.Stop(); w.queue.Stop() }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.jobType("x", nil)
				id := w.submit(w.client("1.00", nil), asked("x"))[0].ID
				ctx, leave := context.WithCancel(context.Background())
				defer leave()
				a := await(func() (*tallygate.Job, error) { return w.queue.Wait(ctx, id, time.Minute) })
				if a.done() {
					t.Fatal("it did not wait")
				}
				c.end(w, leave)
				synctest.Wait()
				if !a.done() || a.err != nil || a.value.Status() != tallygate.JobQueued || a.took != c.took {
					t.Errorf("returned %v after %s: %+v, %v", a.done(), a.took, a.value, a.err)
				}
			})
		})
	}
}

func TestAWaitForWhatHasEndedOrIsNotThereReturnsAtOnce(t *testing.T) {
	inBubble(t, func(w *world) {
		w.jobType("x", nil)
		l := w.begin(w.client("1.00", nil), "x")
		w.tell(l, success)
		begun := time.Now()
		if job, err := w.queue.Wait(context.Background(), l.Job.ID, time.Minute); err != nil || job.Status() != tallygate.JobSucceeded {
			t.Errorf("%+v, %v", job, err)
		}
		if _, err := w.queue.Wait(context.Background(), "job_00000000000000000000000000", time.Minute); !tallygate.IsCode(err, tallygate.JobNotFound) {
			t.Error(err)
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("it took %s", took)
		}
	})
}

func TestALeaseWaitsForWhatBecomesReady(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		// prepare leaves one job that a worker cannot have yet; ready makes it leasable.
		prepare func(w *world, c *tallygate.Client) (ready func())
		within  time.Duration
	}{
		{"a submit", func(w *world, c *tallygate.Client) func() {
			return func() { w.submit(c, asked("x")) }
		}, 0},
		{"a release", func(w *world, c *tallygate.Client) func() {
			l := w.begin(c, "x")
			return func() { w.tell(l, release) }
		}, 0},
		{"an end that frees its client's place", func(w *world, c *tallygate.Client) func() {
			w.submit(c, many(21, "x")...)
			l := w.lease(20, "x")
			return func() { w.tell(l[0], success) }
		}, 0},
		{"an end that frees its type's place", func(w *world, c *tallygate.Client) func() {
			w.jobType("x", func(t *tallygate.JobType) { t.RunningJobs = 1 })
			l := w.begin(c, "x")
			w.submit(w.client("1.00", nil), asked("x"))
			return func() { w.tell(l, success) }
		}, 0},
		{"a raised limit of its type", func(w *world, c *tallygate.Client) func() {
			w.jobType("x", func(t *tallygate.JobType) { t.RunningJobs = 1 })
			w.begin(c, "x")
			w.submit(c, asked("x"))
			return func() { w.jobType("x", func(t *tallygate.JobType) { t.RunningJobs = 2 }) }
		}, 0},
		{"a backoff", func(w *world, c *tallygate.Client) func() {
			l := w.begin(c, "x")
			return func() { w.tell(l, failure) }
		}, time.Second + 100*time.Millisecond},
		{"its time", func(w *world, c *tallygate.Client) func() {
			return func() {
				sub := asked("x")
				sub.RunAt = time.Now().Add(10 * time.Second)
				w.submit(c, sub)
			}
		}, 10*time.Second + 100*time.Millisecond},
		{"a loss", func(w *world, c *tallygate.Client) func() {
			w.begin(c, "x")
			return func() {}
		}, 30*time.Second + 100*time.Millisecond},
		{"an activation", func(w *world, c *tallygate.Client) func() {
			w.submit(c, asked("x"))
			w.suspend(c, tallygate.ClientSuspended)
			return func() { w.suspend(c, tallygate.ClientActive) }
		}, time.Second},
		{"an end of another type that frees its client's place", func(w *world, c *tallygate.Client) func() {
			w.jobType("y", nil)
			w.submit(c, many(20, "y")...)
			l := w.lease(20, "y")
			w.submit(c, asked("x"))
			return func() { w.tell(l[0], success) }
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.run()
				w.jobType("x", nil)
				ready := c.prepare(w, w.client("1.00", nil))
				a := w.worker(context.Background(), time.Hour, "x")
				if a.done() {
					t.Fatalf("it did not wait: %d leases, %v", len(a.value), a.err)
				}
				ready()
				time.Sleep(c.within)
				synctest.Wait()
				if !a.done() || len(a.value) != 1 || a.err != nil {
					t.Errorf("after %s: returned %v, %d leases, %v", c.within, a.done(), len(a.value), a.err)
				}
				w.queue.Stop()
				w.audit()
			})
		})
	}
}

func TestALeaseEndsEmpty(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(w *world, leave func())
		took time.Duration
	}{
		{"after its time", func(*world, func()) { time.Sleep(30 * time.Second) }, 30 * time.Second},
		{"when the worker leaves", func(_ *world, leave func()) { leave() }, 0},
		{"when the queue stops", func(w *world, _ func()) { w.queue.Stop() }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.jobType("x", nil)
				ctx, leave := context.WithCancel(context.Background())
				defer leave()
				a := w.worker(ctx, 30*time.Second, "x")
				c.end(w, leave)
				synctest.Wait()
				if !a.done() || len(a.value) != 0 || a.err != nil || a.took != c.took {
					t.Errorf("returned %v after %s: %d leases, %v", a.done(), a.took, len(a.value), a.err)
				}
			})
		})
	}
}

func TestAStoppedQueueGrantsNothingMoreAndTakesReports(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", nil)
	c := w.client("1.00", nil)
	w.submit(c, many(3, "x")...)
	l := w.lease(2, "x")
	w.queue.Stop()
	select {
	case <-w.queue.Stopping():
	default:
		t.Error("it does not tell that it stops")
	}
	if got := w.lease(1, "x"); len(got) != 0 {
		t.Errorf("%d leases", len(got))
	}
	results, next, err := w.queue.Report(t.Context(), []queue.Report{{JobID: l[0].Job.ID, Token: l[0].Token, Outcome: queue.Succeeded, Result: []byte("1")}}, &queue.LeaseRequest{Types: []string{"x"}, Max: 1, Wait: time.Hour})
	if err != nil || results[0] != nil || len(next) != 0 {
		t.Errorf("results %v, %d leases, %v", results, len(next), err)
	}
	w.tell(l[1], release)
	w.submit(c, asked("x")) // what is accepted stays for the next start
	w.owns(c, "0.999", "0.003")
}

func TestEveryJobFindsOneOfTheWorkersThatWait(t *testing.T) {
	t.Parallel()
	// Without background work there is no slow poll: a wake-up that goes astray leaves its worker waiting for ever.
	for seed := range uint64(10) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			inBubble(t, func(w *world) {
				random := rand.New(rand.NewPCG(seed, 1))
				c := w.client("1.00", func(c *tallygate.Client) { c.Limits = tallygate.ClientLimits{} })
				types := []string{"x", "y", "z"}
				for _, name := range types {
					w.jobType(name, nil)
				}
				const n = 12
				var workers []*waiting[[]queue.Lease]
				for range n {
					workers = append(workers, w.worker(context.Background(), time.Hour, types...))
				}
				var wg sync.WaitGroup
				for range n {
					jobType := types[random.IntN(len(types))]
					wg.Go(func() {
						if _, _, err := w.queue.Submit(context.Background(), submission(c, asked(jobType))); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				synctest.Wait()
				for i, a := range workers {
					if !a.done() || len(a.value) != 1 {
						t.Errorf("worker %d: returned %v, %d leases, %v", i, a.done(), len(a.value), a.err)
					}
				}
				w.queue.Stop()
			})
		})
	}
}

func TestAWakeUpThatAServedWorkerNoLongerNeedsReachesAnother(t *testing.T) {
	t.Parallel()
	for round := range 10 { // either worker may be woken
		t.Run(fmt.Sprint("round ", round), func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.jobType("x", nil)
				c := w.client("1.00", nil)
				hooked, elsewhere := &afterStore{Store: w.store}, w.queue
				w.queue = queue.New(hooked, queue.Options{IDs: w.ids})
				patient := w.worker(context.Background(), time.Hour, "x")
				if _, _, err := elsewhere.Submit(context.Background(), submission(c, asked("x"))); err != nil { // which wakes nobody here
					t.Fatal(err)
				}
				time.Sleep(time.Second)                           // so that the next one looks, although another waits
				hooked.after = func() { w.submit(c, asked("x")) } // while the served one still stands on the list
				served := w.worker(context.Background(), time.Hour, "x")
				if !served.done() || len(served.value) != 1 || !patient.done() || len(patient.value) != 1 {
					t.Errorf("served: %d leases, %v; patient: %d leases, %v", len(served.value), served.err, len(patient.value), patient.err)
				}
				w.queue.Stop()
			})
		})
	}
}

func TestAWakeUpForOneTypeThatWasUsedForAnotherReachesTheNext(t *testing.T) {
	t.Parallel()
	for round := range 10 { // either worker may be woken first
		t.Run(fmt.Sprint("round ", round), func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.jobType("x", nil)
				w.jobType("y", nil)
				c := w.client("1.00", nil)
				elsewhere := queue.New(w.store, queue.Options{IDs: w.ids})
				w.worker(context.Background(), time.Hour, "x", "y")
				picky := w.worker(context.Background(), time.Hour, "y")
				urgent := asked("x")
				urgent.Priority = 9
				if _, _, err := elsewhere.Submit(context.Background(), submission(c, urgent)); err != nil { // which wakes nobody here
					t.Fatal(err)
				}
				w.submit(c, asked("y")) // which wakes one, who may take x
				synctest.Wait()
				if !picky.done() || len(picky.value) != 1 {
					t.Errorf("the worker that does nothing else has %d leases, %v", len(picky.value), picky.err)
				}
				w.queue.Stop()
			})
		})
	}
}

func TestABatchWakesAsManyWorkersAsItNeeds(t *testing.T) {
	inBubble(t, func(w *world) {
		w.jobType("x", nil)
		c := w.client("1.00", nil)
		var workers []*waiting[[]queue.Lease]
		for range 10 {
			workers = append(workers, w.worker(context.Background(), time.Hour, "x"))
		}
		w.submit(c, many(7, "x")...)
		synctest.Wait()
		served := 0
		for _, a := range workers {
			if a.done() {
				served += len(a.value)
			}
		}
		if served != 7 {
			t.Errorf("%d jobs were leased", served)
		}
		w.queue.Stop()
	})
}

func TestWorkersThatComeToWaitLookOnceASecondTogether(t *testing.T) {
	inBubble(t, func(w *world) {
		w.jobType("x", nil)
		w.jobType("y", nil)
		c := w.client("1.00", nil)
		counting := &countingStore{Store: w.store}
		w.queue = queue.New(counting, queue.Options{IDs: w.ids})
		w.run()
		const wait = 20 * time.Second
		var workers []*waiting[[]queue.Lease]
		for range 200 {
			workers = append(workers, w.worker(context.Background(), wait, "x", "y"))
			time.Sleep(wait / 200)
		}
		if looks := counting.updates.Load(); looks > int64(3*wait/time.Second) {
			t.Errorf("%d looks in %s", looks, wait)
		}
		w.worker(context.Background(), 0, "x").served(t, 0)
		before := counting.updates.Load()
		w.worker(context.Background(), 0, "x").served(t, 0)
		if counting.updates.Load() != before+1 {
			t.Error("a worker that does not wait did not look")
		}
		w.submit(c, many(2, "x")...)
		w.submit(c, asked("y"))
		synctest.Wait()
		served := 0
		for _, a := range workers {
			if a.done() {
				served += len(a.value)
			}
		}
		if served != 3 {
			t.Errorf("%d jobs were leased", served)
		}
		w.queue.Stop()
	})
}

// served checks what a call that has ended came to.
func (a *waiting[T]) served(t *testing.T, leases int) {
	t.Helper()
	if got, _ := any(a.value).([]queue.Lease); !a.done() || len(got) != leases || a.err != nil {
		t.Errorf("returned %v, %d leases, %v", a.done(), len(got), a.err)
	}
}

func TestAWorkerThatComesWhileOthersWaitTakesWhatIsThere(t *testing.T) {
	inBubble(t, func(w *world) {
		w.jobType("x", nil)
		c := w.client("1.00", nil)
		held := w.worker(context.Background(), time.Hour, "x")
		w.worker(context.Background(), time.Hour, "x")
		w.submit(c, many(3, "x")...)
		synctest.Wait()
		held.served(t, 1)
		w.worker(context.Background(), time.Hour, "x").served(t, 1)
		next := w.worker(context.Background(), time.Hour, "x")
		w.submit(c, asked("x"))
		synctest.Wait()
		next.served(t, 1)
		w.queue.Stop()
	})
}

func TestAWorkerThatWaitsIsNotServedATypeThatIsNoLongerForIt(t *testing.T) {
	inBubble(t, func(w *world) {
		w.jobType("x", nil)
		c := w.client("1.00", nil)
		a := w.worker(context.Background(), time.Minute, "x")
		w.jobType("x", func(t *tallygate.JobType) {
			t.Executor.Kind, t.Executor.URL = tallygate.ExecutorHTTP, "http://worker.example"
		})
		w.submit(c, asked("x"))
		time.Sleep(time.Minute)
		synctest.Wait()
		if !a.done() || len(a.value) != 0 || a.err != nil {
			t.Errorf("returned %v, %d leases, %v", a.done(), len(a.value), a.err)
		}
	})
}

func TestAWatchTellsOfEveryChangeToItsJob(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", nil)
	c := w.client("1.00", nil)
	jobs := w.submit(c, many(2, "x")...)
	changed, stop := w.queue.Watch(jobs[0].ID)
	told := func() bool {
		select {
		case <-changed:
			return true
		default:
			return false
		}
	}
	if told() {
		t.Error("it tells of what was before")
	}
	leases := w.lease(2, "x")
	for i, step := range []func(){
		func() {}, // the lease
		func() {
			if _, _, err := w.queue.Heartbeat(t.Context(), queue.Beat{JobID: jobs[0].ID, Token: leases[0].Token, Logs: []string{"a", "b"}}); err != nil {
				t.Fatal(err)
			}
		},
		func() { w.cancel(jobs[0].ID) },
		func() { w.tell(leases[0], success) },
	} {
		if step(); !told() || told() {
			t.Errorf("step %d was not told once", i)
		}
	}
	w.tell(leases[1], success)
	if told() {
		t.Error("it tells of another job")
	}
	stop()
}
