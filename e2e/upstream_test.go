package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

// upstream serves a job type's calls.
func upstream(t testing.TB, s *server, name string, more object, handle http.HandlerFunc) {
	t.Helper()
	u := httptest.NewServer(handle)
	t.Cleanup(func() {
		u.CloseClientConnections()
		u.Close()
	})
	def := pullType(object{"executor": object{"kind": "http", "url": u.URL, "timeout": "20s", "secret": "a shared secret of some length"}}, more)
	s.define(t, name, def)
}

func TestUpstreams(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{})
	once := object{"max_attempts": 1}
	const run = "?wait=20s"

	t.Run("an answer is the result and its units are charged", func(t *testing.T) {
		c := s.newClient(t, "1")
		upstream(t, s, "answers", nil, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil || r.Method != http.MethodPost || r.Header.Get("X-Tallygate-Job-Id") == "" || r.Header.Get("X-Tallygate-Attempt") != "1" ||
				r.Header.Get("Webhook-Signature") == "" || r.Header.Get("Webhook-Id") == "" || r.Header.Get("Webhook-Timestamp") == "" {
				t.Errorf("the call is %s with %v: %v", r.Method, r.Header, err)
			}
			w.Header().Set("X-Tallygate-Units", "page=12")
			fmt.Fprintf(w, `{"got":%s}`, body)
		})
		a := c.post("/v1/run/answers"+run, object{"text": "to be"}).ok()
		if a.text("got.text") != "to be" {
			t.Errorf("%s: want the upstream's answer", a)
		}
		job := c.get("/v1/jobs/" + a.header.Get("X-Tallygate-Job-Id")).ok()
		if job.text("receipt.charged") != "0.034" || job.number("receipt.units.page") != 12 {
			t.Errorf("%s: want 12 pages charged with 0.034", job)
		}
	})
	t.Run("one that dies while it answers", func(t *testing.T) {
		upstream(t, s, "dies", once, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"half":`)
			panic(http.ErrAbortHandler)
		})
		failsUpstream(t, s, "dies")
	})
	t.Run("one that resets the connection", func(t *testing.T) {
		upstream(t, s, "resets", once, func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_ = conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		})
		failsUpstream(t, s, "resets")
	})
	t.Run("one that hangs", func(t *testing.T) {
		upstream(t, s, "hangs", once, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		})
		def := s.operator(t).get("/v1/job-types/hangs").ok()
		s.define(t, "hangs", pullType(once, object{"executor": object{"kind": "http", "url": def.text("executor.url"), "timeout": "1s"}}))
		failsUpstream(t, s, "hangs")
	})
	t.Run("one that fails", func(t *testing.T) {
		upstream(t, s, "fails", once, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
		failsUpstream(t, s, "fails")
	})
	t.Run("one that refuses the input is not asked again", func(t *testing.T) {
		var calls atomic.Int64
		upstream(t, s, "refuses", object{"max_attempts": 3}, func(w http.ResponseWriter, _ *http.Request) {
			calls.Add(1)
			w.WriteHeader(http.StatusUnprocessableEntity)
		})
		c := s.newClient(t, "1")
		c.post("/v1/run/refuses"+run, object{}).refusedForGood("PROCESSING_FAILED")
		if n := calls.Load(); n != 1 {
			t.Errorf("%d calls, want 1", n)
		}
		if b := c.balance(); b.held != 0 || b.posted != 1_000_000 {
			t.Errorf("the failed job left the balance at %+v", b)
		}
	})
	t.Run("one that fails at first is asked again", func(t *testing.T) {
		var calls atomic.Int64
		upstream(t, s, "recovers", object{"max_attempts": 3}, func(w http.ResponseWriter, _ *http.Request) {
			if calls.Add(1) == 1 {
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
			_, _ = io.WriteString(w, `{"words":2}`)
		})
		c := s.newClient(t, "1")
		if a := c.post("/v1/run/recovers"+run, object{}).ok(); a.number("words") != 2 {
			t.Errorf("%s", a)
		}
		if b := c.balance(); b.held != 0 || b.posted != 1_000_000-meteredBase {
			t.Errorf("the balance is %+v, want one job paid once", b)
		}
	})
}

// TestUpstreamCallIsGivenBackUnspentOnDrain: a deploy does not eat the one attempt that the job has.
func TestUpstreamCallIsGivenBackUnspentOnDrain(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{config: "drain_timeout: 100ms\n"})
	called := make(chan struct{}, 10)
	var answers atomic.Bool
	upstream(t, s, "hangs", object{"max_attempts": 1}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		called <- struct{}{}
		if answers.Load() {
			_, _ = io.WriteString(w, `{}`)
			return
		}
		<-r.Context().Done()
	})
	c := s.newClient(t, "1")
	id := c.submit("hangs")
	until(t, "the upstream is called", func() bool { return len(called) == 1 })
	s.stop()
	answers.Store(true)
	s.start()
	job := c.get("/v1/jobs/" + id + "?wait=30s").ok()
	if job.text("status") != "succeeded" || job.number("attempt") != 1 {
		t.Errorf("%s: want it succeeded at its first attempt", job)
	}
	if n := len(called); n != 2 {
		t.Errorf("%d calls, want the one that was given back and one more", n)
	}
}

// failsUpstream runs a job whose upstream fails, and makes sure that it costs nothing.
func failsUpstream(t *testing.T, s *server, jobType string) {
	t.Helper()
	c := s.newClient(t, "1")
	c.post("/v1/run/"+jobType+"?wait=20s", object{}).refusedForGood("EXTERNAL_SERVICE_ERROR")
	jobs := c.get("/v1/jobs").ok().list("data")
	if len(jobs) != 1 || jobs[0].text("status") != "failed" || jobs[0].text("error.code") != "EXTERNAL_SERVICE_ERROR" {
		t.Errorf("the jobs are %s, want one that failed", jobs)
	}
	if b := c.balance(); b.held != 0 || b.posted != 1_000_000 {
		t.Errorf("the failed job left the balance at %+v", b)
	}
}
