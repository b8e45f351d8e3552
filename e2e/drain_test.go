package e2e

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// TestDrainAnswersWhatIsInHand: after SIGTERM a submit that waits is answered with its job as it is, a request that is
// still being read is carried out, waits of workers end empty, and new requests get 503.
func TestDrainAnswersWhatIsInHand(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{config: "drain_timeout: 1m\n"})
	s.define(t, metered, pullType())
	s.define(t, "other", pullType())
	c, w := s.newClient(t, "10"), s.newWorker(t)

	var hands sync.WaitGroup
	var submitted, leased answer
	hands.Go(func() {
		var err error
		if submitted, err = c.try("POST", "/v1/jobs?wait=5m", someJob); err != nil {
			t.Errorf("submit: %v", err)
		}
	})
	hands.Go(func() {
		var err error
		if leased, err = w.try("POST", "/v1/worker/lease", object{"types": []string{"other"}, "wait": "1m"}); err != nil {
			t.Errorf("lease: %v", err)
		}
	})
	until(t, "the submit waits", func() bool { return len(c.pages("/v1/jobs")) == 1 })
	slow := c.begin("POST", "/v1/jobs", someJob)

	s.process.signal(syscall.SIGTERM)
	hands.Wait()
	if submitted.ok().text("status") != "queued" {
		t.Errorf("%s: want the job as it is, queued", submitted)
	}
	if len(leased.ok().list("leases")) != 0 {
		t.Errorf("%s: want no leases", leased)
	}
	slow.finish().ok()
	if code := s.process.exitCode(t); code != 0 {
		t.Errorf("exit code %d:\n%s", code, s.process.stderr)
	}
	s.start()
	if jobs := c.pages("/v1/jobs"); len(jobs) != 2 {
		t.Errorf("%d jobs after the restart, want both that were acknowledged", len(jobs))
	}
	s.audit()
}

func TestDrainRefusesNewRequests(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{config: "drain_timeout: 1m\n"})
	s.define(t, metered, pullType())
	c := s.newClient(t, "10")
	kept := s.dial(t)
	kept.say(c.requestText("GET", "/v1/account")).hear("GET /v1/account").ok()
	slow := c.begin("POST", "/v1/jobs", someJob)

	s.process.signal(syscall.SIGTERM)
	until(t, "the server drains", func() bool { return strings.Contains(s.process.stderr.String(), `"draining"`) })
	t.Run("on an idle connection", func(t *testing.T) {
		kept.t = t
		kept.say(c.requestText("GET", "/v1/account")).hear("GET /v1/account").refused("SERVICE_UNAVAILABLE")
	})
	t.Run("on a new connection", func(t *testing.T) {
		a, err := s.as(t, c.key).try("GET", "/v1/account", nil)
		if err != nil {
			t.Fatalf("want 503 while requests in hand are awaited: %v", err)
		}
		a.refused("SERVICE_UNAVAILABLE")
	})
	slow.finish().ok()
	if code := s.process.exitCode(t); code != 0 {
		t.Errorf("exit code %d:\n%s", code, s.process.stderr)
	}
}

// TestDrainDelayLetsABalancerTurnAwayFirst: the server says that it goes, and still takes what comes.
func TestDrainDelayLetsABalancerTurnAwayFirst(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{config: "drain_delay: 1h\n"})
	s.define(t, metered, pullType())
	c := s.newClient(t, "10")
	s.as(t, "").get("/readyz").ok()
	s.process.signal(syscall.SIGTERM)
	until(t, "the server is not ready any more", func() bool {
		a, err := s.as(t, "").try("GET", "/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		return a.status == http.StatusServiceUnavailable
	})
	c.post("/v1/jobs", someJob).ok()
	s.as(t, "").get("/healthz").ok()
	s.process.signal(syscall.SIGTERM) // the second ends it at once
	s.process.exitCode(t)
}

// TestDrainGivesUpOnWhatTakesTooLong: a request that never ends does not hold up the restart.
func TestDrainGivesUpOnWhatTakesTooLong(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{config: "drain_timeout: 100ms\n"})
	slow := s.operator(t).begin("POST", "/v1/clients", `{"name":"slow"}`)
	defer slow.close()
	s.stop()
}

func TestDrainEndsStreams(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{config: "drain_timeout: 1m\n"})
	s.define(t, metered, pullType())
	c := s.newClient(t, "1")
	path := "/v1/jobs/" + c.submit(metered) + "/events"
	r, err := c.request(http.MethodGet, path, nil)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := s.web.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	first := make([]byte, 1)
	if _, err := io.ReadFull(stream.Body, first); err != nil {
		t.Fatal(err)
	}
	s.process.signal(syscall.SIGTERM)
	if rest, err := io.ReadAll(stream.Body); err != nil || stream.StatusCode != http.StatusOK {
		t.Errorf("the stream of status %d ended with %v after %q", stream.StatusCode, err, rest)
	}
	if code := s.process.exitCode(t); code != 0 {
		t.Errorf("exit code %d:\n%s", code, s.process.stderr)
	}
}

func TestPulledLeaseOutlivesARestart(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{})
	s.define(t, metered, pullType(object{"max_attempts": 1}))
	c, w := s.newClient(t, "10"), s.newWorker(t)
	id := c.submit(metered)
	l := w.lease(metered)
	s.stop()
	s.start()
	// The worker outlived the server: its lease still holds.
	w.succeed(l, 3).ok()
	job := c.get("/v1/jobs/" + id).ok()
	if job.text("status") != "succeeded" || job.text("receipt.charged") != "0.016" || job.number("attempt") != 1 {
		t.Errorf("%s: want one attempt, succeeded, charged 0.016", job)
	}
}

// TestDrainUnderLoadAnswersWhatItCommits: whoever is told anything but 200, or nothing at all, has no job.
func TestDrainUnderLoadAnswersWhatItCommits(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{listen: freeAddress(t)})
	s.define(t, metered, pullType())
	c := s.newClient(t, "10000", object{"limits": object{"requests_per_second": 100_000, "burst": 100_000}})
	var acknowledged atomic.Int64
	for round := range 5 {
		var callers sync.WaitGroup
		for range 16 {
			callers.Go(func() {
				for {
					a, err := c.try("POST", "/v1/jobs", someJob)
					if err != nil || a.status == http.StatusServiceUnavailable {
						return
					}
					if a.status != http.StatusOK {
						t.Errorf("%s", a)
						return
					}
					acknowledged.Add(1)
				}
			})
		}
		enough := int64((round + 1) * 100)
		until(t, "the load is on", func() bool { return acknowledged.Load() >= enough })
		s.stop()
		callers.Wait()
		s.start()
		if n := int64(len(c.pages("/v1/jobs"))); n != acknowledged.Load() {
			t.Fatalf("%d jobs after round %d, %d were acknowledged", n, round+1, acknowledged.Load())
		}
	}
	s.audit()
}
