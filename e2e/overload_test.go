package e2e

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

func TestMoreAtWorkThanAllowedIsShed(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{config: "max_in_flight: 2\n"})
	op := s.operator(t)
	first, second := op.begin("POST", "/v1/clients", `{"name":"first"}`), op.begin("POST", "/v1/clients", `{"name":"second"}`)
	op.get("/v1/account").refused("SERVICE_UNAVAILABLE")
	op.get("/healthz").ok() // whoever restarts the process has to know that it lives
	first.finish().ok()
	until(t, "a request passes again", func() bool { return op.get("/v1/account").status == http.StatusOK })
	second.finish().ok()
}

func TestLongPollsDoNotCountAsWork(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{config: "max_in_flight: 4\n"})
	s.define(t, metered, pullType())
	w := s.newWorker(t)
	var polls sync.WaitGroup
	for range 20 {
		polls.Go(func() {
			if _, err := w.try("POST", "/v1/worker/lease", object{"types": []string{metered}, "wait": "1m"}); err != nil {
				t.Errorf("lease: %v", err)
			}
		})
	}
	c := s.newClient(t, "10")
	for range 20 {
		until(t, "a submit passes", func() bool { return c.post("/v1/jobs", someJob).status == http.StatusOK })
	}
	polls.Wait()
}

// A process beside the server holds the database's write lock. What waits for it is answered once it can be, and new
// requests are turned away meanwhile instead of joining the wait.
func TestStalledWritesAreShedAndNothingIsLost(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{config: "shed_delay: 100ms\n"})
	s.define(t, metered, pullType())
	c := s.newClient(t, "10")

	release := holdWriteLock(t, s)
	waiting := make(chan answer, 1)
	go func() {
		a, err := c.try("POST", "/v1/jobs", someJob)
		if err != nil {
			t.Errorf("submit: %v", err)
		}
		waiting <- a
	}()
	shed := c.onceShed("/v1/account")
	release()
	shed.refused("SERVICE_UNAVAILABLE")
	id := (<-waiting).ok().text("id")
	until(t, "requests pass again", func() bool { return c.get("/v1/account").status == http.StatusOK })
	if jobs := c.pages("/v1/jobs"); len(jobs) != 1 || jobs[0].text("id") != id {
		t.Errorf("the jobs are %s, want the one that was acknowledged, %s", jobs, id)
	}
}

// onceShed asks until the server is too busy to answer.
func (c caller) onceShed(path string) (a answer) {
	c.t.Helper()
	until(c.t, path+" is shed", func() bool {
		a = c.get(path)
		return a.status == http.StatusServiceUnavailable
	})
	return a
}

// holdWriteLock takes the database's write lock in this process, until release.
func holdWriteLock(t *testing.T, s *server) (release func()) {
	t.Helper()
	c, err := sqlite.OpenConn(s.database, sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	if err := sqlitex.ExecuteTransient(c, "BEGIN IMMEDIATE", nil); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := sqlitex.ExecuteTransient(c, "ROLLBACK", nil); err != nil {
			t.Errorf("release the write lock: %v", err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
}

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
