package tallygate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// untilStopped is work that ends only with its context.
func untilStopped(ctx context.Context, _ *Attempt) (any, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// done is work that is nothing.
func done(context.Context, *Attempt) (any, error) { return "done", nil }

// start runs the worker; what it returns stops it and gives what Run returned.
func start(t *testing.T, worker *Worker) (stopped func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	end := make(chan error, 1)
	go func() { end <- worker.Run(ctx) }()
	return func() error {
		cancel()
		return <-end
	}
}

// inBubble gives the test a worker and its server with a clock of their own.
func inBubble(t *testing.T, handler Handler, test func(t *testing.T, jobs *jobServer, worker *Worker)) {
	synctest.Test(t, func(t *testing.T) {
		jobs := newJobServer()
		listener := &pipeListener{dialled: make(chan net.Conn), closed: make(chan struct{})}
		server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: jobs}}
		server.Start()
		transport := &http.Transport{DialContext: listener.dial}
		client, err := New(WithURL("http://jobs.test"), WithKey(testKey), WithHTTPClient(&http.Client{Transport: transport}))
		if err != nil {
			t.Fatal(err)
		}
		test(t, jobs, &Worker{Client: client, Handlers: map[string]Handler{testType: handler}, Name: "w1", Log: slog.New(slog.DiscardHandler)})
		synctest.Wait()
		transport.CloseIdleConnections()
		server.Close()
	})
}

func TestAWorkerDoesJobsAndReportsResultsAndUnits(t *testing.T) {
	type input struct{ Text string }
	type output struct {
		Length int `json:"length"`
	}
	length := HandlerOf(func(_ context.Context, attempt *Attempt, in input) (output, error) {
		if attempt.Number != 1 || attempt.Job.Type != testType {
			return output{}, errors.New("another job")
		}
		attempt.Use("letter", 1)
		attempt.Use("letter", int64(len(in.Text))-1)
		return output{len(in.Text)}, nil
	})
	inBubble(t, length, func(t *testing.T, jobs *jobServer, worker *Worker) {
		worker.Concurrency = 2
		jobs.add("job_1", `{"text":"one two"}`)
		jobs.add("job_2", `{"text":"three"}`)
		jobs.add("job_3", `{"text":7}`)
		stopped := start(t, worker)
		for range 3 {
			<-jobs.settled
		}
		if err := stopped(); err != nil {
			t.Fatal(err)
		}
		first := jobs.only("jobs/job_1/succeed").body
		if string(first["result"]) != `{"length":7}` || string(first["units"]) != `{"letter":7}` {
			t.Errorf("job_1: %s", first)
		}
		jobs.only("jobs/job_2/succeed")
		failed := jobs.only("jobs/job_3/fail").body
		if string(failed["retry"]) != "false" || !strings.Contains(string(failed["error"]), "the input cannot be used") {
			t.Errorf("job_3: %s", failed)
		}
		want := map[string]string{"types": `["text.stats"]`, "max": `2`, "wait": `"30s"`, "worker": `"w1"`}
		for field, value := range want {
			if got := jobs.calls("lease")[0].body[field]; string(got) != value {
				t.Errorf("lease asks for %s %s, want %s", field, got, value)
			}
		}
	})
}

func TestResultsTravelTogetherAndBringTheNextJobs(t *testing.T) {
	inBubble(t, func(ctx context.Context, _ *Attempt) (any, error) {
		return nil, sleep(ctx, time.Second)
	}, func(t *testing.T, jobs *jobServer, worker *Worker) {
		const all = 40
		worker.Concurrency = 10
		for i := range all {
			jobs.add(fmt.Sprintf("job_%d", i), `{}`)
		}
		stopped := start(t, worker)
		for range all {
			<-jobs.settled
		}
		stopped()
		if n := len(jobs.calls("report")); n > all/2 {
			t.Errorf("%d jobs took %d reports", all, n)
		}
		if n := len(jobs.calls("lease")); n > 3 {
			t.Errorf("%d leases were asked for beside the reports'", n)
		}
	})
}

func TestHeartbeatsComeAtAThirdOfTheLease(t *testing.T) {
	for _, skew := range []time.Duration{0, time.Hour, -time.Hour} {
		inBubble(t, func(ctx context.Context, _ *Attempt) (any, error) {
			return nil, sleep(ctx, 25*time.Second)
		}, func(t *testing.T, jobs *jobServer, worker *Worker) {
			jobs.skew = skew
			jobs.add("job_1", `{}`)
			stopped := start(t, worker)
			<-jobs.settled
			stopped()
			beats := jobs.calls("jobs/job_1/heartbeat")
			if len(beats) != 2 {
				t.Fatalf("skew %v: %d heartbeats, want 2", skew, len(beats))
			}
			last := jobs.calls("lease")[0].at
			for i, beat := range beats {
				if after := beat.at.Sub(last); after < 9*time.Second || after > 10*time.Second {
					t.Errorf("skew %v: heartbeat %d comes after %v of a lease of 30s", skew, i, after)
				}
				last = beat.at
			}
		})
	}
}

// TestALeaseThatWasLongInComingIsNotLost has the job come when the server has waited for it nearly as long as a lease lasts.
func TestALeaseThatWasLongInComingIsNotLost(t *testing.T) {
	inBubble(t, func(ctx context.Context, _ *Attempt) (any, error) {
		return "done", sleep(ctx, 5*time.Second)
	}, func(t *testing.T, jobs *jobServer, worker *Worker) {
		stopped := start(t, worker)
		if err := sleep(t.Context(), leaseWait-500*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		jobs.add("job_1", `{}`)
		until := time.NewTimer(time.Minute)
		defer until.Stop()
		select {
		case <-jobs.settled:
		case <-until.C:
			t.Error("the job is not reported")
		}
		stopped()
		if n := len(jobs.calls("lease")); n > 2 {
			t.Errorf("%d calls for leases", n)
		}
	})
}

func TestProgressAndLinesGoOutOnceASecond(t *testing.T) {
	inBubble(t, func(ctx context.Context, attempt *Attempt) (any, error) {
		attempt.Progress(0.25)
		attempt.Log("a quarter")
		_ = sleep(ctx, 1500*time.Millisecond)
		attempt.Progress(0.5)
		attempt.Logf("%d of %d", 1, 2)
		attempt.Progress(0.6)
		_ = sleep(ctx, time.Second)
		attempt.Log("nearly")
		attempt.Progress(7)
		return nil, nil
	}, func(t *testing.T, jobs *jobServer, worker *Worker) {
		jobs.add("job_1", `{}`)
		stopped := start(t, worker)
		<-jobs.settled
		stopped()
		beats := jobs.calls("jobs/job_1/heartbeat")
		want := []struct{ progress, logs string }{{`0.25`, `["a quarter"]`}, {`0.6`, `["1 of 2"]`}, {`1`, `["nearly"]`}}
		if len(beats) != len(want) {
			t.Fatalf("%d heartbeats, want %d", len(beats), len(want))
		}
		for i, beat := range beats {
			if string(beat.body["progress"]) != want[i].progress || string(beat.body["logs"]) != want[i].logs {
				t.Errorf("heartbeat %d says %s %s", i, beat.body["progress"], beat.body["logs"])
			}
		}
		if first := beats[0].at.Sub(jobs.calls("lease")[0].at); first != time.Second {
			t.Errorf("the first news come after %v", first)
		}
	})
}

func TestManyLinesTakeManyHeartbeats(t *testing.T) {
	inBubble(t, func(_ context.Context, attempt *Attempt) (any, error) {
		for i := range 1250 {
			attempt.Logf("line %d", i)
		}
		attempt.Log(strings.Repeat("é", 3000) + "\xff")
		return nil, nil
	}, func(t *testing.T, jobs *jobServer, worker *Worker) {
		jobs.add("job_1", `{}`)
		stopped := start(t, worker)
		<-jobs.settled
		stopped()
		var all []string
		for _, beat := range jobs.calls("jobs/job_1/heartbeat") {
			var lines []string
			if err := json.Unmarshal(beat.body["logs"], &lines); err != nil || len(lines) > 100 {
				t.Errorf("%d lines, %v", len(lines), err)
			}
			all = append(all, lines...)
		}
		if len(all) != 1000 || all[0] != "line 251" || len(all[999]) > 4000 || !strings.HasSuffix(all[999], "é…") {
			t.Errorf("%d lines came, from %q to %d bytes", len(all), all[0], len(all[len(all)-1]))
		}
	})
}

func TestACancelStopsTheJobForGood(t *testing.T) {
	var cause error
	inBubble(t, func(ctx context.Context, _ *Attempt) (any, error) {
		<-ctx.Done()
		cause = context.Cause(ctx)
		return nil, ctx.Err()
	}, func(t *testing.T, jobs *jobServer, worker *Worker) {
		jobs.cancel["job_1"] = true
		jobs.add("job_1", `{}`)
		stopped := start(t, worker)
		<-jobs.settled
		stopped()
		if failed := jobs.only("jobs/job_1/fail"); string(failed.body["retry"]) != "false" {
			t.Errorf("fail = %s", failed.body)
		}
		if !errors.Is(cause, ErrCancelRequested) {
			t.Errorf("cause %v", cause)
		}
	})
}

func TestASuccessAfterACancelStillCounts(t *testing.T) {
	inBubble(t, func(ctx context.Context, _ *Attempt) (any, error) {
		<-ctx.Done()
		return "done all the same", nil
	}, func(t *testing.T, jobs *jobServer, worker *Worker) {
		jobs.cancel["job_1"] = true
		jobs.add("job_1", `{}`)
		stopped := start(t, worker)
		<-jobs.settled
		stopped()
		jobs.only("jobs/job_1/succeed")
	})
}

func TestARefusedHeartbeatAbandonsTheJobWithoutAReport(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, jobs *jobServer, worker *Worker) {
		causes := make(chan error, 1)
		worker.Handlers[testType] = func(ctx context.Context, attempt *Attempt) (any, error) {
			if string(attempt.Job.Input) == `"next"` {
				return nil, nil
			}
			<-ctx.Done()
			causes <- context.Cause(ctx)
			return nil, ctx.Err()
		}
		jobs.refuse["jobs/job_1/heartbeat"] = always(fenced)
		jobs.add("job_1", `{}`)
		stopped := start(t, worker)
		if cause := <-causes; !errors.Is(cause, ErrLeaseLost) || !errors.Is(cause, CodeInvalidRequest) {
			t.Errorf("cause %v", cause)
		}
		jobs.add("job_2", `"next"`)
		<-jobs.settled
		stopped()
		if got := jobs.reports("job_1"); len(got) != 0 {
			t.Errorf("reported %v", got)
		}
		jobs.only("jobs/job_2/succeed")
	})
}

func TestALeaseThatCannotBeRenewedIsAbandonedAtItsEnd(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, jobs *jobServer, worker *Worker) {
		abandoned := make(chan time.Time, 1)
		worker.Handlers[testType] = func(ctx context.Context, attempt *Attempt) (any, error) {
			defer func() { abandoned <- time.Now() }()
			return untilStopped(ctx, attempt)
		}
		jobs.refuse["jobs/job_1/heartbeat"] = always(denial{503, "", "SERVICE_UNAVAILABLE"})
		jobs.add("job_1", `{}`)
		stopped := start(t, worker)
		held := (<-abandoned).Sub(jobs.calls("lease")[0].at)
		stopped()
		if held < 28*time.Second || held > 30*time.Second {
			t.Errorf("a lease of 30s is held for %v", held)
		}
		if got := jobs.reports("job_1"); len(got) != 0 {
			t.Errorf("reported %v", got)
		}
	})
}

func TestWhatAFailedHeartbeatToldGoesWithTheNext(t *testing.T) {
	inBubble(t, func(ctx context.Context, attempt *Attempt) (any, error) {
		attempt.Log("first")
		attempt.Progress(0.1)
		return nil, sleep(ctx, 15*time.Second)
	}, func(t *testing.T, jobs *jobServer, worker *Worker) {
		jobs.refuse["jobs/job_1/heartbeat"] = times(1, denial{503, "", "SERVICE_UNAVAILABLE"})
		jobs.add("job_1", `{}`)
		stopped := start(t, worker)
		<-jobs.settled
		stopped()
		beats := jobs.calls("jobs/job_1/heartbeat")
		if len(beats) < 2 || string(beats[1].body["logs"]) != `["first"]` || string(beats[1].body["progress"]) != `0.1` {
			t.Errorf("heartbeats = %v", beats)
		}
	})
}

func TestFailuresSayWhetherAndWhenToTryAgain(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"plain":    {errors.New("no luck"), `{"error":{"message":"no luck"}}`},
		"final":    {fmt.Errorf("page 3: %w", Final(errors.New("broken"))), `{"error":{"message":"page 3: broken"},"retry":false}`},
		"later":    {RetryAfter(90*time.Second, errors.New("busy")), `{"error":{"message":"busy"},"retry_after":"1m30s"}`},
		"external": {External(errors.New("the bank is closed")), `{"error":{"code":"EXTERNAL_SERVICE_ERROR","message":"the bank is closed"}}`},
		"silent":   {errors.New(""), `{"error":{"message":"failed"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(context.Context, *Attempt) (any, error) { return nil, test.err }, func(t *testing.T, jobs *jobServer, worker *Worker) {
				jobs.add("job_1", `{}`)
				stopped := start(t, worker)
				<-jobs.settled
				stopped()
				body := jobs.only("jobs/job_1/fail").body
				for _, member := range []string{"job_id", "token", "outcome"} {
					delete(body, member)
				}
				if got, _ := json.Marshal(body); string(got) != test.want {
					t.Errorf("reported %s, want %s", got, test.want)
				}
			})
		})
	}
}

func TestAPanicFailsTheJobAndNotTheWorker(t *testing.T) {
	inBubble(t, func(_ context.Context, attempt *Attempt) (any, error) {
		if attempt.Job.ID == "job_1" {
			panic("secret of the worker")
		}
		return nil, nil
	}, func(t *testing.T, jobs *jobServer, worker *Worker) {
		jobs.add("job_1", `{}`)
		jobs.add("job_2", `{}`)
		stopped := start(t, worker)
		<-jobs.settled
		<-jobs.settled
		stopped()
		if failed := string(jobs.only("jobs/job_1/fail").body["error"]); !strings.Contains(failed, "panicked") || strings.Contains(failed, "secret") {
			t.Errorf("fail = %s", failed)
		}
		jobs.only("jobs/job_2/succeed")
	})
}

func TestAResultThatIsRefusedFailsTheJob(t *testing.T) {
	for name, at := range map[string]string{"by itself": "jobs/job_1/succeed", "with its batch": "report"} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, done, func(t *testing.T, jobs *jobServer, worker *Worker) {
				jobs.refuse[at] = times(1, denial{400, "", "INVALID_PARAMETER"})
				jobs.add("job_1", `{}`)
				jobs.add("job_2", `{}`)
				stopped := start(t, worker)
				<-jobs.settled
				<-jobs.settled
				stopped()
				failed := jobs.only("jobs/job_1/fail").body
				if string(failed["retry"]) != "false" || !strings.Contains(string(failed["error"]), "result was refused") {
					t.Errorf("fail = %s", failed)
				}
				jobs.only("jobs/job_2/succeed")
			})
		})
	}
	inBubble(t, func(context.Context, *Attempt) (any, error) { return func() {}, nil }, func(t *testing.T, jobs *jobServer, worker *Worker) {
		jobs.add("job_1", `{}`)
		stopped := start(t, worker)
		<-jobs.settled
		stopped()
		if failed := jobs.only("jobs/job_1/fail").body; string(failed["retry"]) != "false" {
			t.Errorf("a function as result: %s", failed)
		}
	})
}

func TestARefusedReportIsNotRepeatedAndTheNextJobIsDone(t *testing.T) {
	inBubble(t, done, func(t *testing.T, jobs *jobServer, worker *Worker) {
		jobs.refuse["jobs/job_1/succeed"] = always(fenced)
		jobs.add("job_1", `{}`)
		jobs.add("job_2", `{}`)
		stopped := start(t, worker)
		<-jobs.settled
		stopped()
		jobs.only("jobs/job_1/succeed")
		jobs.only("jobs/job_2/succeed")
	})
}

func TestTransientRefusalsAreTriedAgainAfterWhatTheServerAsks(t *testing.T) {
	for name, refused := range map[string]denial{
		"draining": {503, "7", "SERVICE_UNAVAILABLE"}, "too many": {429, "7", "RATE_LIMIT_EXCEEDED"}, "failing": {500, "7", "DATABASE_ERROR"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, done, func(t *testing.T, jobs *jobServer, worker *Worker) {
				jobs.refuse["lease"], jobs.refuse["report"] = times(2, refused), times(2, refused)
				jobs.add("job_1", `{}`)
				stopped := start(t, worker)
				<-jobs.settled
				stopped()
				for _, route := range []string{"lease", "report"} {
					calls := jobs.calls(route)
					if len(calls) < 3 {
						t.Fatalf("%d calls of %s", len(calls), route)
					}
					for i := range 2 {
						if wait := calls[i+1].at.Sub(calls[i].at); wait < 7*time.Second || wait >= 14*time.Second {
							t.Errorf("%s is repeated after %v, want 7s and at most as much again", route, wait)
						}
					}
				}
			})
		})
	}
}

func TestAServerOutOfReachIsTriedAgainMoreAndMoreSlowly(t *testing.T) {
	inBubble(t, done, func(t *testing.T, jobs *jobServer, worker *Worker) {
		reachable := worker.Client.http.Transport
		var tries []time.Time
		worker.Client.http.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			if tries = append(tries, time.Now()); len(tries) <= 12 {
				return nil, errors.New("connection refused")
			}
			return reachable.RoundTrip(r)
		})
		worker.Client.random = func() float64 { return 0.5 }
		jobs.add("job_1", `{}`)
		stopped := start(t, worker)
		<-jobs.settled
		stopped()
		if took := tries[12].Sub(tries[0]); took != 31875*time.Millisecond { // half of 0.25, 0.5, 1, 2, 4 and seven times 8 s
			t.Errorf("12 failures took %v", took)
		}
	})
}

func TestAShutdownLetsJobsFinishAndGivesTheRestBack(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, jobs *jobServer, worker *Worker) {
		started := make(chan struct{}, 2)
		worker.Handlers[testType] = func(ctx context.Context, attempt *Attempt) (any, error) {
			started <- struct{}{}
			if attempt.Job.ID == "job_1" {
				return "in time", sleep(ctx, 5*time.Second)
			}
			return untilStopped(ctx, attempt)
		}
		worker.Concurrency = 2
		jobs.refuse["jobs/job_2/release"] = times(1, denial{500, "", "DATABASE_ERROR"})
		jobs.add("job_1", `{}`)
		jobs.add("job_2", `{}`)
		stopped := start(t, worker)
		<-started
		<-started
		jobs.add("job_3", `{}`)
		before := time.Now()
		if err := stopped(); err != nil {
			t.Errorf("Run = %v", err)
		}
		if took := time.Since(before); took < usualDrain || took > usualDrain+farewell {
			t.Errorf("the drain took %v", took)
		}
		jobs.only("jobs/job_1/succeed")
		if got := jobs.reports("job_2"); !slices.Equal(got, []string{"release", "release"}) {
			t.Errorf("job_2 is reported as %v", got)
		}
		if got := jobs.reports("job_3"); len(got) != 0 {
			t.Errorf("job_3 was taken: %v", got)
		}
	})
}

func TestAnIdleWorkerEndsAtOnce(t *testing.T) {
	inBubble(t, done, func(t *testing.T, _ *jobServer, worker *Worker) {
		stopped := start(t, worker)
		synctest.Wait() // it polls
		before := time.Now()
		if err := stopped(); err != nil || time.Since(before) != 0 {
			t.Errorf("Run = %v after %v", err, time.Since(before))
		}
	})
}

func TestAShutdownDoesNotWaitForAServerThatIsAway(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, jobs *jobServer, worker *Worker) {
		started := make(chan struct{})
		worker.Handlers[testType] = func(ctx context.Context, attempt *Attempt) (any, error) {
			close(started)
			return untilStopped(ctx, attempt)
		}
		worker.DrainTimeout = time.Second
		jobs.refuse["report"] = always(denial{503, "", "SERVICE_UNAVAILABLE"})
		jobs.add("job_1", `{}`)
		stopped := start(t, worker)
		<-started
		before := time.Now()
		if err := stopped(); err != nil || time.Since(before) > worker.DrainTimeout+2*farewell {
			t.Errorf("Run = %v after %v", err, time.Since(before))
		}
	})
}

func TestAHandlerThatDoesNotHeedItsContextIsLeftBehind(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, jobs *jobServer, worker *Worker) {
		started, released := make(chan struct{}), make(chan struct{})
		worker.Handlers[testType] = func(context.Context, *Attempt) (any, error) {
			close(started)
			<-released
			return nil, nil
		}
		jobs.add("job_1", `{}`)
		stopped := start(t, worker)
		<-started
		before := time.Now()
		if err := stopped(); err != nil || time.Since(before) > usualDrain+2*farewell {
			t.Errorf("Run = %v after %v", err, time.Since(before))
		}
		jobs.only("jobs/job_1/release")
		close(released)
	})
}

func TestARefusedKeyEndsTheWorker(t *testing.T) {
	inBubble(t, done, func(t *testing.T, _ *jobServer, worker *Worker) {
		worker.Client.key = func() string { return "tg_live_wrong" }
		err := worker.Run(t.Context())
		if !errors.Is(err, CodeInvalidAPIKey) || strings.Contains(err.Error(), "tg_live_wrong") {
			t.Errorf("Run = %v", err)
		}
	})
	inBubble(t, done, func(t *testing.T, _ *jobServer, worker *Worker) {
		worker.Handlers = nil
		if err := worker.Run(t.Context()); err == nil {
			t.Error("Run takes a worker without handlers")
		}
	})
}

func TestAWorkerNeverDoesMoreJobsThanItHasPlaces(t *testing.T) {
	const places, all = 3, 20
	var mu sync.Mutex
	running, most := 0, 0
	inBubble(t, func(ctx context.Context, _ *Attempt) (any, error) {
		mu.Lock()
		running++
		most = max(most, running)
		mu.Unlock()
		err := sleep(ctx, time.Second)
		mu.Lock()
		running--
		mu.Unlock()
		return nil, err
	}, func(t *testing.T, jobs *jobServer, worker *Worker) {
		worker.Concurrency = places
		for i := range all {
			jobs.add(fmt.Sprintf("job_%d", i), `{}`)
		}
		stopped := start(t, worker)
		for range all {
			<-jobs.settled
		}
		stopped()
		if most != places {
			t.Errorf("%d jobs ran at a time, want %d", most, places)
		}
	})
}

func TestAServerThatDoesNotWaitIsNotAskedInALoop(t *testing.T) {
	inBubble(t, done, func(t *testing.T, jobs *jobServer, worker *Worker) {
		jobs.impatient = true
		worker.Client.random = func() float64 { return 0.5 }
		stopped := start(t, worker)
		_ = sleep(t.Context(), time.Minute)
		stopped()
		if n := len(jobs.calls("lease")); n > 30 {
			t.Errorf("%d lease calls in a minute", n)
		}
	})
}
