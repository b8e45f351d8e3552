package textstats

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

func TestWorkerDoesJobsAndReportsResultAndUnits(t *testing.T) {
	jobs := newJobServer()
	server := httptest.NewServer(jobs)
	defer server.Close()
	worker := &Worker{BaseURL: server.URL + "/", Key: testKey, Name: "w1", Concurrency: 2, Log: quiet()}
	stopped := start(t, worker)

	jobs.add("job_1", `{"text":"one two two"}`)
	jobs.add("job_2", `{"text":"three"}`)
	jobs.add("job_3", `{"txt":"wrong"}`)
	for range 3 {
		<-jobs.settled
	}
	if err := stopped(); err != nil {
		t.Fatal(err)
	}

	done := jobs.only("jobs/job_1/succeed")
	var result Result
	if err := json.Unmarshal(done.body["result"], &result); err != nil || result.Words != 3 {
		t.Errorf("result = %s", done.body["result"])
	}
	if got := string(done.body["units"]); got != `{"kilobyte":1}` {
		t.Errorf("units = %s", got)
	}
	if got := string(done.body["token"]); got != `"token of job_1"` {
		t.Errorf("token = %s", got)
	}
	failed := jobs.only("jobs/job_3/fail")
	if string(failed.body["retry"]) != "false" || !strings.Contains(string(failed.body["error"]), `unknown field \"txt\"`) {
		t.Errorf("fail of wrong input = %s", failed.body)
	}
	lease := jobs.calls("lease")[0]
	want := map[string]string{"types": `["text.stats"]`, "max": `2`, "wait": `"20s"`, "worker": `"w1"`}
	for field, value := range want {
		if string(lease.body[field]) != value {
			t.Errorf("lease asks for %s %s, want %s", field, lease.body[field], value)
		}
	}
}

func TestHeartbeatComesAtAThirdOfTheLeaseWithProgressAndLogs(t *testing.T) {
	for _, skew := range []time.Duration{0, time.Hour, -time.Hour} {
		inBubble(t, func(t *testing.T, jobs *jobServer, worker *Worker) {
			jobs.skew = skew
			worker.analyse = func(ctx context.Context, _ []byte, report func(float64, string)) ([]byte, map[string]int64, error) {
				report(0.25, "a quarter")
				sleep(ctx, 11*time.Second)
				report(0.5, "half")
				report(0.6, "")
				sleep(ctx, 14*time.Second)
				report(0.9, "nearly")
				return []byte(`{}`), nil, nil
			}
			jobs.add("job_1", `{}`)
			stopped := start(t, worker)
			<-jobs.settled
			stopped()

			beats := jobs.calls("jobs/job_1/heartbeat")
			want := []struct{ progress, logs string }{{`0.25`, `["a quarter"]`}, {`0.6`, `["half"]`}, {`0.9`, `["nearly"]`}}
			if len(beats) != len(want) {
				t.Fatalf("skew %v: %d heartbeats, want 2 and one for the last line", skew, len(beats))
			}
			last := jobs.calls("lease")[0].at
			for i, beat := range beats {
				if string(beat.body["progress"]) != want[i].progress || string(beat.body["logs"]) != want[i].logs {
					t.Errorf("heartbeat %d says %s %s", i, beat.body["progress"], beat.body["logs"])
				}
				if after := beat.at.Sub(last); i < 2 && (after < 9*time.Second || after > 11*time.Second) {
					t.Errorf("skew %v: heartbeat %d comes after %v of a lease of 30s", skew, i, after)
				}
				last = beat.at
			}
		})
	}
}

func TestCancelRequestStopsTheJobForGood(t *testing.T) {
	inBubble(t, func(t *testing.T, jobs *jobServer, worker *Worker) {
		worker.analyse = untilStopped
		jobs.cancel["job_1"] = true
		jobs.add("job_1", `{}`)
		stopped := start(t, worker)
		<-jobs.settled
		stopped()
		if failed := jobs.only("jobs/job_1/fail"); string(failed.body["retry"]) != "false" {
			t.Errorf("fail = %s", failed.body)
		}
		if beats := jobs.calls("jobs/job_1/heartbeat"); len(beats) != 1 {
			t.Errorf("%d heartbeats", len(beats))
		}
	})
}

func TestRefusedHeartbeatAbandonsTheJobWithoutAReport(t *testing.T) {
	inBubble(t, func(t *testing.T, jobs *jobServer, worker *Worker) {
		abandoned := make(chan struct{})
		worker.analyse = func(ctx context.Context, input []byte, report func(float64, string)) ([]byte, map[string]int64, error) {
			if string(input) == `"next"` {
				return []byte(`{}`), nil, nil
			}
			defer close(abandoned)
			return untilStopped(ctx, input, report)
		}
		jobs.refuse["jobs/job_1/heartbeat"] = always(fenced)
		jobs.add("job_1", `{}`)
		stopped := start(t, worker)
		<-abandoned
		jobs.add("job_2", `"next"`)
		<-jobs.settled
		stopped()
		if got := jobs.reports("job_1"); len(got) != 0 {
			t.Errorf("reported %v", got)
		}
		jobs.only("jobs/job_2/succeed")
	})
}

func TestRefusedReportIsNotRepeatedAndTheNextJobIsDone(t *testing.T) {
	inBubble(t, func(t *testing.T, jobs *jobServer, worker *Worker) {
		jobs.refuse["jobs/job_1/succeed"] = always(fenced)
		jobs.add("job_1", `{"text":"a"}`)
		jobs.add("job_2", `{"text":"b"}`)
		stopped := start(t, worker)
		<-jobs.settled
		stopped()
		jobs.only("jobs/job_1/succeed")
		jobs.only("jobs/job_2/succeed")
	})
}

func TestTransientRefusalsAreRetriedAfterWhatTheServerAsks(t *testing.T) {
	for name, refused := range map[string]answer{
		"draining":         {503, "7", "SERVICE_UNAVAILABLE"},
		"too many":         {429, "7", "RATE_LIMIT_EXCEEDED"},
		"store is failing": {500, "7", "DATABASE_ERROR"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, jobs *jobServer, worker *Worker) {
				jobs.refuse["lease"] = times(2, refused)
				jobs.refuse["jobs/job_1/succeed"] = times(2, refused)
				jobs.add("job_1", `{"text":"a"}`)
				stopped := start(t, worker)
				<-jobs.settled
				stopped()
				for _, route := range []string{"lease", "jobs/job_1/succeed"} {
					calls := jobs.calls(route)
					if len(calls) < 3 {
						t.Fatalf("%d calls of %s", len(calls), route)
					}
					for i := range 2 {
						// A second of leeway for the jitter.
						if pause := calls[i+1].at.Sub(calls[i].at); pause < 7*time.Second || pause > 8*time.Second {
							t.Errorf("%s is repeated after %v, want 7s and the jitter", route, pause)
						}
					}
				}
			})
		})
	}
}

func TestUnreachableServerIsTriedAgainMoreAndMoreSlowly(t *testing.T) {
	inBubble(t, func(t *testing.T, jobs *jobServer, worker *Worker) {
		reachable := worker.Client.Transport
		var tries []time.Time
		worker.Client = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if tries = append(tries, time.Now()); len(tries) <= 12 {
				return nil, errors.New("connection refused")
			}
			return reachable.RoundTrip(r)
		})}
		jobs.add("job_1", `{"text":"a"}`)
		stopped := start(t, worker)
		<-jobs.settled
		stopped()
		if took := tries[12].Sub(tries[0]); took < 10*time.Second || took > 3*time.Minute {
			t.Errorf("12 failures took %v", took)
		}
		jobs.only("jobs/job_1/succeed")
	})
}

func TestLeaseThatCannotBeRenewedIsAbandonedAtItsEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, jobs *jobServer, worker *Worker) {
		abandoned := make(chan time.Time, 1)
		worker.analyse = func(ctx context.Context, input []byte, report func(float64, string)) ([]byte, map[string]int64, error) {
			defer func() { abandoned <- time.Now() }()
			return untilStopped(ctx, input, report)
		}
		jobs.refuse["jobs/job_1/heartbeat"] = always(answer{503, "", "SERVICE_UNAVAILABLE"})
		jobs.add("job_1", `{}`)
		stopped := start(t, worker)
		held := (<-abandoned).Sub(jobs.calls("lease")[0].at)
		stopped()
		if held < 29*time.Second || held > 31*time.Second {
			t.Errorf("a lease of 30s is held for %v", held)
		}
		if got := jobs.reports("job_1"); len(got) != 0 {
			t.Errorf("reported %v", got)
		}
	})
}

func TestLogsOfAFailedHeartbeatGoWithTheNext(t *testing.T) {
	inBubble(t, func(t *testing.T, jobs *jobServer, worker *Worker) {
		worker.analyse = func(ctx context.Context, _ []byte, report func(float64, string)) ([]byte, map[string]int64, error) {
			report(0.1, "first")
			sleep(ctx, 15*time.Second)
			return []byte(`{}`), nil, nil
		}
		jobs.refuse["jobs/job_1/heartbeat"] = times(1, answer{503, "", "SERVICE_UNAVAILABLE"})
		jobs.add("job_1", `{}`)
		stopped := start(t, worker)
		<-jobs.settled
		stopped()
		beats := jobs.calls("jobs/job_1/heartbeat")
		if len(beats) != 2 || string(beats[1].body["logs"]) != `["first"]` {
			t.Errorf("heartbeats = %v", beats)
		}
	})
}

func TestShutdownReleasesWhatIsUnfinished(t *testing.T) {
	inBubble(t, func(t *testing.T, jobs *jobServer, worker *Worker) {
		worker.Concurrency = 2
		started := make(chan struct{})
		worker.analyse = func(ctx context.Context, input []byte, report func(float64, string)) ([]byte, map[string]int64, error) {
			started <- struct{}{}
			return untilStopped(ctx, input, report)
		}
		jobs.refuse["jobs/job_2/release"] = times(1, answer{503, "1", "SERVICE_UNAVAILABLE"})
		jobs.add("job_1", `{}`)
		jobs.add("job_2", `{}`)
		stopped := start(t, worker)
		<-started
		<-started
		if err := stopped(); err != nil {
			t.Errorf("Run = %v", err)
		}
		jobs.only("jobs/job_1/release")
		if got := jobs.reports("job_2"); !slices.Equal(got, []string{"release", "release"}) {
			t.Errorf("job_2 is reported as %v", got)
		}
	})
}

func TestShutdownDoesNotWaitForAServerThatIsAway(t *testing.T) {
	inBubble(t, func(t *testing.T, jobs *jobServer, worker *Worker) {
		started := make(chan struct{})
		worker.analyse = func(ctx context.Context, input []byte, report func(float64, string)) ([]byte, map[string]int64, error) {
			close(started)
			return untilStopped(ctx, input, report)
		}
		jobs.refuse["jobs/job_1/release"] = always(answer{503, "", "SERVICE_UNAVAILABLE"})
		jobs.add("job_1", `{}`)
		stopped := start(t, worker)
		<-started
		before := time.Now()
		if err := stopped(); err != nil || time.Since(before) > shutdownTimeout+time.Second {
			t.Errorf("Run = %v after %v", err, time.Since(before))
		}
	})
}

func TestRefusedKeyEndsTheWorker(t *testing.T) {
	inBubble(t, func(t *testing.T, jobs *jobServer, worker *Worker) {
		worker.Key = "wrong"
		err := worker.Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), "401 INVALID_API_KEY") || strings.Contains(err.Error(), "wrong") {
			t.Errorf("Run = %v", err)
		}
	})
	if err := (&Worker{Key: "k"}).Run(t.Context()); err == nil {
		t.Error("Run takes a worker without a server")
	}
	if err := (&Worker{BaseURL: "http://[", Key: "k"}).Run(t.Context()); err == nil {
		t.Error("Run takes a server that is no URL")
	}
}

func TestPanicFailsTheJobAndNotTheWorker(t *testing.T) {
	inBubble(t, func(t *testing.T, jobs *jobServer, worker *Worker) {
		worker.analyse = func(context.Context, []byte, func(float64, string)) ([]byte, map[string]int64, error) { panic("odd") }
		jobs.add("job_1", `{}`)
		stopped := start(t, worker)
		<-jobs.settled
		stopped()
		failed := jobs.only("jobs/job_1/fail")
		if string(failed.body["retry"]) != "true" || !strings.Contains(string(failed.body["error"]), "panic: odd") {
			t.Errorf("fail = %s", failed.body)
		}
	})
}

func TestWorkerNeverHoldsMoreJobsThanItHasPlaces(t *testing.T) {
	inBubble(t, func(t *testing.T, jobs *jobServer, worker *Worker) {
		const places, all = 3, 20
		worker.Concurrency = places
		var mu sync.Mutex
		running, most := 0, 0
		worker.analyse = func(ctx context.Context, _ []byte, _ func(float64, string)) ([]byte, map[string]int64, error) {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			sleep(ctx, time.Second)
			mu.Lock()
			running--
			mu.Unlock()
			return []byte(`{}`), nil, nil
		}
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

func TestServerThatDoesNotWaitIsNotAskedInALoop(t *testing.T) {
	inBubble(t, func(t *testing.T, jobs *jobServer, worker *Worker) {
		jobs.impatient = true
		stopped := start(t, worker)
		sleep(t.Context(), time.Minute)
		stopped()
		if n := len(jobs.calls("lease")); n > 60 {
			t.Errorf("%d lease calls in a minute", n)
		}
	})
}

func TestRetryAfterIsReadAsSecondsOrDate(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                              0,
		"0":                             0,
		"12":                            12 * time.Second,
		"-5":                            0,
		"1.5":                           0,
		"soon":                          0,
		"99999999999999999999":          0,
		"9223372036854775807":           5 * time.Minute,
		"Sun, 01 Mar 2026 12:00:30 GMT": 30 * time.Second,
		"Sun, 01 Mar 2026 11:59:00 GMT": 0,
		"Sun, 01 Mar 2099 12:00:00 GMT": 5 * time.Minute,
	} {
		if got := parseRetryAfter(value, now); got != want {
			t.Errorf("Retry-After %q is %v, want %v", value, got, want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("12")
	f.Add("Sun, 01 Mar 2026 12:00:30 GMT")
	f.Fuzz(func(t *testing.T, value string) {
		if got := parseRetryAfter(value, time.Unix(1_800_000_000, 0)); got < 0 || got > 5*time.Minute {
			t.Errorf("Retry-After %q is %v", value, got)
		}
	})
}

func TestBackoffGrowsUpToItsBound(t *testing.T) {
	for _, failures := range []int{0, 1, 5, 10, 100, 1 << 30} {
		longest := time.Duration(0)
		for range 300 {
			longest = max(longest, backoff(failures, nil))
		}
		ceiling := min(20*time.Second, 250*time.Millisecond<<min(failures, 10))
		if longest > ceiling || longest < ceiling*3/4 {
			t.Errorf("after %d failures the pause goes up to %v, want nearly %v", failures, longest, ceiling)
		}
	}
}

const testKey = "tg_live_test"

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// untilStopped is work that ends only with its context.
func untilStopped(ctx context.Context, _ []byte, _ func(float64, string)) ([]byte, map[string]int64, error) {
	<-ctx.Done()
	return nil, nil, ctx.Err()
}

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
func inBubble(t *testing.T, test func(t *testing.T, jobs *jobServer, worker *Worker)) {
	synctest.Test(t, func(t *testing.T) {
		jobs := newJobServer()
		listener := &pipeListener{dialled: make(chan net.Conn), closed: make(chan struct{})}
		server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: jobs}}
		server.Start()
		transport := &http.Transport{DialContext: listener.dial}
		test(t, jobs, &Worker{
			BaseURL: "http://jobs.test",
			Key:     testKey,
			Log:     quiet(),
			Client:  &http.Client{Transport: transport},
		})
		transport.CloseIdleConnections()
		server.Close()
	})
}
