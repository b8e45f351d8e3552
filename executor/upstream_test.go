package executor

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/queue"
)

func TestAnAnsweredJobIsChargedForItsUnits(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		const input = `{"pages": [1, 2],  "as sent": "é"}`
		submitted := make(chan tallygate.JobID, 1)
		w.upstream("pages.count", func(rw http.ResponseWriter, r *http.Request) {
			id := <-submitted
			body, _ := io.ReadAll(r.Body)
			if r.Method != http.MethodPost || string(body) != input || r.Header.Get("Content-Type") != "application/json" {
				w.Errorf("%s %v: %s", r.Method, r.Header, body)
			}
			if r.Header.Get("X-Tallygate-Job-Id") != string(id) || r.Header.Get("X-Tallygate-Attempt") != "1" || r.Header.Get("User-Agent") != "Tallygate" {
				w.Errorf("headers %v", r.Header)
			}
			if got, want := r.Header.Get("X-Tallygate-Lease-Token"), w.job(id).Item.Token; got != want {
				w.Errorf("token %q, want %q", got, want)
			}
			h := http.Header{}
			sign(h, "secret text", string(id)+"-1", time.Now(), body)
			for name := range h {
				if r.Header.Get(name) != h.Get(name) {
					w.Errorf("%s is %q, want %q", name, r.Header.Get(name), h.Get(name))
				}
			}
			rw.Header().Set("X-Tallygate-Units", "page=12")
			fmt.Fprint(rw, "\n{\"sum\": 3}\n")
		}, func(t *tallygate.JobType) { t.Executor.Secret = "secret text" })
		id := w.submit("pages.count", input)
		submitted <- id
		o := w.ended(id)
		if o.Status != tallygate.JobSucceeded || string(o.Result) != `{"sum": 3}` || o.Charged != 1000+12*2000 || o.Units["page"] != 12 {
			t.Errorf("%+v", o)
		}
	})
}

func TestWhatAnAnswerMeans(t *testing.T) {
	const external, processing = tallygate.ExternalServiceError, tallygate.ProcessingFailed
	reply := func(status int, body string, header ...string) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(header); i += 2 {
				rw.Header().Add(header[i], header[i+1])
			}
			rw.WriteHeader(status)
			_, _ = io.WriteString(rw, body)
		}
	}
	hijacked := func(write string) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) {
			conn, _, err := rw.(http.Hijacker).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, write)
				_ = conn.Close()
			}
		}
	}
	cases := map[string]struct {
		upstream http.HandlerFunc
		result   string // where the job succeeds
		code     tallygate.Code
		message  string
		attempts int64
	}{
		"a-result":      {upstream: reply(200, `[1]`), result: `[1]`},
		"another-2xx":   {upstream: reply(206, `"part"`), result: `"part"`},
		"no-content":    {upstream: reply(204, ""), result: "null"},
		"only-space":    {upstream: reply(200, " \n"), result: "null"},
		"not-json":      {reply(200, "<html>"), "", external, "the upstream's answer is not JSON", 2},
		"two-results":   {reply(200, "{}{}"), "", external, "the upstream's answer is not JSON", 2},
		"not-utf-8":     {reply(200, "\"\xff\""), "", external, "the upstream's answer is not JSON", 2},
		"a-name-twice":  {reply(200, `{"a":1,"a":2}`), "", external, "the upstream's answer is not JSON", 2},
		"refused":       {reply(422, `{"error": {"message": "no such page"}}`), "", processing, "the upstream answered 422 Unprocessable Entity: no such page", 1},
		"refused-plain": {reply(400, `{"message": "no\u0000\nsuch\u202e page"}`), "", processing, "the upstream answered 400 Bad Request: no such page", 1},
		"refused-mute":  {reply(404, "<html>"), "", processing, "the upstream answered 404 Not Found", 1},
		"refused-odd":   {reply(499, `{"error": "text"}`), "", processing, "the upstream answered 499", 1},
		"too-slow":      {reply(408, `{"message": "no"}`), "", external, "the upstream answered 408 Request Timeout", 2},
		"too-early":     {reply(425, ""), "", external, "the upstream answered 425 Too Early", 2},
		"too-many":      {reply(429, ""), "", external, "the upstream answered 429 Too Many Requests", 2},
		"broken":        {reply(500, `{"message": "internals"}`), "", external, "the upstream answered 500 Internal Server Error", 2},
		"bad-gateway":   {reply(502, ""), "", external, "the upstream answered 502 Bad Gateway", 2},
		"moved":         {reply(302, "", "Location", "/elsewhere"), "", processing, "the upstream answered 302 Found, and redirects are not followed: the job type's URL must be the final one", 1},
		"too-large":     {reply(200, `"`+strings.Repeat("x", mostResult)+`"`), "", processing, "the upstream's answer is larger than 16 MiB", 1},
		"hung-up":       {hijacked(""), "", external, "the connection to the upstream broke before it had answered", 2},
		"not-http":      {hijacked("hello\r\n\r\n"), "", external, "the connection to the upstream broke before it had answered", 2},
		"broken-off":    {hijacked("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}"), "", external, "the upstream's answer broke off", 2},
		"unknown-unit": {reply(200, "{}", "X-Tallygate-Units", "pgae=1"), "", processing,
			"the units that were used are refused: /units/pgae: the job type does not meter it (it meters: page)", 1},
		"wrong-units": {reply(200, "{}", "X-Tallygate-Units", "page=-1"), "", processing,
			`the upstream's header X-Tallygate-Units is wrong: page must be a whole number from 0 to 1000000000000, not "-1"`, 1},
	}
	bubble(t, Options{}, func(w *world) {
		var calls atomic.Int64
		server := w.upstream("x", func(rw http.ResponseWriter, r *http.Request) {
			calls.Add(1)
			cases[strings.TrimPrefix(r.URL.Path, "/")].upstream(rw, r)
		}, nil)
		jobs, attempts := map[string]tallygate.JobID{}, int64(0)
		for name := range cases {
			w.define(name, func(t *tallygate.JobType) {
				t.Executor = tallygate.Executor{Kind: tallygate.ExecutorHTTP, URL: server.URL + "/" + name, Timeout: time.Minute}
				t.MaxAttempts = 2
			})
			jobs[name] = w.submit(name, "{}")
		}
		for name, c := range cases {
			o := w.ended(jobs[name])
			attempts += o.Attempt
			if c.message != "" {
				w.wantFailure(o, c.code, c.message, c.attempts)
			} else if o.Status != tallygate.JobSucceeded || string(o.Result) != c.result || o.Charged != 1000 {
				t.Errorf("%s: %+v", name, o)
			}
		}
		if calls.Load() != attempts {
			t.Errorf("%d calls in %d attempts", calls.Load(), attempts)
		}
	})
}

func TestAFailingUpstreamIsTriedAgain(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		w.upstream("x", func(rw http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Tallygate-Attempt") != "3" {
				rw.WriteHeader(http.StatusBadGateway)
				return
			}
			fmt.Fprint(rw, `"ok"`)
		}, nil)
		if o := w.ended(w.submit("x", "{}")); o.Status != tallygate.JobSucceeded || o.Attempt != 3 {
			t.Errorf("%+v", o)
		}
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	cases := map[string]struct {
		status int
		wait   func(now time.Time) string
	}{
		"429-seconds": {http.StatusTooManyRequests, func(time.Time) string { return "20" }},
		"503-seconds": {http.StatusServiceUnavailable, func(time.Time) string { return "20" }},
		"429-date":    {http.StatusTooManyRequests, func(now time.Time) string { return now.Add(20 * time.Second).UTC().Format(http.TimeFormat) }},
		"503-date":    {http.StatusServiceUnavailable, func(now time.Time) string { return now.Add(20 * time.Second).UTC().Format(http.TimeFormat) }},
	}
	bubble(t, Options{}, func(w *world) {
		server := w.upstream("x", func(rw http.ResponseWriter, r *http.Request) {
			c := cases[strings.TrimPrefix(r.URL.Path, "/")]
			if r.Header.Get("X-Tallygate-Attempt") == "1" {
				rw.Header().Set("Retry-After", c.wait(time.Now()))
				rw.WriteHeader(c.status)
			}
		}, nil)
		jobs := map[string]tallygate.JobID{}
		for name := range cases {
			w.define(name, func(t *tallygate.JobType) {
				t.Executor = tallygate.Executor{Kind: tallygate.ExecutorHTTP, URL: server.URL + "/" + name, Timeout: time.Minute}
			})
			jobs[name] = w.submit(name, "{}")
		}
		for name, id := range jobs {
			o := w.ended(id)
			if waited := o.FinishedAt.Sub(o.StartedAt); o.Attempt != 2 || waited < 20*time.Second || waited > 20*time.Second+sweepEvery {
				t.Errorf("%s: %d attempts in %s", name, o.Attempt, waited)
			}
		}
	})
}

func TestAnAcceptedJobIsTheUpstreamsToReport(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		w.upstream("x", func(rw http.ResponseWriter, r *http.Request) {
			id, token := tallygate.JobID(r.Header.Get("X-Tallygate-Job-Id")), r.Header.Get("X-Tallygate-Lease-Token")
			time.Sleep(5 * time.Second) // the lease has begun; the answer renews it
			go func() {
				for range 3 {
					time.Sleep(29 * time.Second)
					if _, _, err := w.queue.Heartbeat(context.Background(), queue.Beat{JobID: id, Token: token}); err != nil {
						w.Error(err)
					}
				}
				_, _, err := w.queue.Report(context.Background(), []queue.Report{{JobID: id, Token: token, Outcome: queue.Succeeded, Result: []byte("7")}}, nil)
				if err != nil {
					w.Error(err)
				}
			}()
			rw.WriteHeader(http.StatusAccepted)
		}, nil)
		o := w.ended(w.submit("x", "{}"))
		if o.Status != tallygate.JobSucceeded || string(o.Result) != "7" || o.Attempt != 1 || o.FinishedAt.Sub(o.StartedAt) != 92*time.Second {
			t.Errorf("%+v", o)
		}
	})
}

func TestAnAcceptedJobThatNobodyRenewsIsTriedAgain(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		w.upstream("x", func(rw http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Tallygate-Attempt") == "1" {
				time.Sleep(5 * time.Second)
				rw.WriteHeader(http.StatusAccepted)
			}
		}, nil)
		o := w.ended(w.submit("x", "{}"))
		if took := o.FinishedAt.Sub(o.StartedAt); o.Status != tallygate.JobSucceeded || o.Attempt != 2 || took < 35*time.Second || took > 36*time.Second {
			t.Errorf("%+v after %s", o, took)
		}
	})
}

func TestADrainLeavesAcceptedJobsAlone(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		w.upstream("x", func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusAccepted) }, nil)
		id := w.submit("x", "{}")
		time.Sleep(3 * time.Second)
		w.executor.Drain(0)
		if job := w.job(id); job.Status() != tallygate.JobRunning || job.Item.Attempt != 1 {
			t.Errorf("%s %+v", job.Status(), job.Item)
		}
	})
}

func TestAHangingUpstreamTimesOutUnderARenewedLease(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		w.upstream("x", hang, func(t *tallygate.JobType) {
			t.Executor.Timeout = 40 * time.Second
			t.Lease = 10 * time.Second
			t.MaxAttempts = 1
		})
		o := w.ended(w.submit("x", "{}"))
		w.wantFailure(o, tallygate.ExternalServiceError, "the upstream did not answer within 40s", 1)
		if took := o.FinishedAt.Sub(o.StartedAt); took != 40*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

// hang does not answer before its caller has gone.
func hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

func TestABodyThatNeverEndsTimesOut(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		w.upstream("x", func(rw http.ResponseWriter, r *http.Request) {
			fmt.Fprint(rw, `{"a":`)
			rw.(http.Flusher).Flush()
			hang(rw, r)
		}, func(t *tallygate.JobType) { t.MaxAttempts = 1 })
		w.wantFailure(w.ended(w.submit("x", "{}")), tallygate.ExternalServiceError, "the upstream did not answer within 30s", 1)
	})
}

// roundTrip is a transport made of a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestOverTCP(t *testing.T) {
	var headRead chan struct{} // by the executor
	for name, c := range map[string]struct {
		upstream http.HandlerFunc // nil: nobody listens
		message  string           // empty: the job succeeds
	}{
		"a result": {upstream: func(rw http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			_, _ = rw.Write(body)
		}},
		"a refused connection": {message: "the upstream could not be reached"},
		"a connection reset mid-body": {upstream: func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Length", "1000")
			_, _ = rw.Write(bytes.Repeat([]byte(" "), 500))
			rw.(http.Flusher).Flush()
			<-headRead // else the reset may overtake it
			conn, _, err := rw.(http.Hijacker).Hijack()
			if err == nil {
				_ = conn.(*net.TCPConn).SetLinger(0)
				_ = conn.Close()
			}
		}, message: "the upstream's answer broke off"},
	} {
		t.Run(name, func(t *testing.T) {
			url := "http://127.0.0.1:1" // a port that is given to nobody who asks for any
			if c.upstream != nil {
				server := httptest.NewServer(c.upstream)
				defer server.Close()
				url = server.URL
			}
			w := newWorld(t, Options{})
			headRead = make(chan struct{}, 1)
			transport := w.executor.client.Transport
			w.executor.client.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				res, err := transport.RoundTrip(r)
				headRead <- struct{}{}
				return res, err
			})
			w.define("x", func(t *tallygate.JobType) {
				t.Executor = tallygate.Executor{Kind: tallygate.ExecutorHTTP, URL: url, Timeout: time.Minute}
				t.MaxAttempts = 1
			})
			w.executor.lookAgain()
			o := w.ended(w.submit("x", `{"a":1}`))
			if c.message != "" {
				w.wantFailure(o, tallygate.ExternalServiceError, c.message, 1)
			} else if string(o.Result) != `{"a":1}` {
				t.Errorf("%+v", o)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                              0,
		"0":                             0,
		"120":                           2 * time.Minute,
		"-1":                            0,
		"1.5":                           0,
		" 1":                            0,
		"999999999":                     mostRetryAfter,
		"99999999999999999999":          0,
		"Sun, 01 Mar 2026 12:00:30 GMT": 30 * time.Second,
		"Sun, 01 Mar 2026 11:00:00 GMT": 0,
		"Sun, 01 Mar 2099 12:00:00 GMT": mostRetryAfter,
		"soon":                          0,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q is %s, want %s", value, got, want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	f.Add("120")
	f.Add("Sun, 01 Mar 2026 12:00:30 GMT")
	f.Fuzz(func(t *testing.T, value string) {
		if got := retryAfter(value, now); got < 0 || got > mostRetryAfter {
			t.Errorf("%q is %s", value, got)
		}
	})
}

func FuzzReason(f *testing.F) {
	f.Add([]byte(`{"error":{"message":"no\nsuch \u202epage"}}`))
	f.Add([]byte(`{"message":"` + strings.Repeat("é", 600) + `"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got := reason(body)
		if len(got) > mostMessage || clean(got) != got {
			t.Errorf("%q", got)
		}
	})
}
