package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/store/enginetest"
)

// sent makes a request in the background; the channel holds its answer.
func (h *house) sent(method, target, key, body string, headers ...string) <-chan *httptest.ResponseRecorder {
	answer := make(chan *httptest.ResponseRecorder, 1)
	go func() { answer <- h.send(method, target, key, body, headers...) }()
	synctest.Wait()
	return answer
}

// bubble runs a test in its own time.
func bubble(t *testing.T, test func(t *testing.T, h *house)) {
	enginetest.Prepare(t)
	synctest.Test(t, func(t *testing.T) { test(t, newHouse(t, time.Now, nil)) })
}

const (
	someJob   = `{"type":"text.stats","input":{"text":"a b"}}`
	someInput = `{"text":"a b"}`
)

// finish leases the next job and ends it with the report's last word, such as "succeed".
func (h *house) finish(word, report string) {
	h.t.Helper()
	lease := h.ok("POST", "/v1/worker/lease", h.operator, `{"types":["text.stats"]}`)
	_, job, _ := strings.Cut(lease, `"job":`)
	h.ok("POST", "/v1/worker/jobs/"+text(job, "id")+"/"+word, h.operator, `{"token":"`+text(lease, "token")+`",`+report+`}`)
}

func want(t *testing.T, w *httptest.ResponseRecorder, status int, parts ...string) {
	t.Helper()
	if w.Code != status {
		t.Fatalf("%d, not %d: %s", w.Code, status, w.Body)
	}
	for _, part := range parts {
		if !strings.Contains(w.Body.String(), part) {
			t.Fatalf("no %s in %s", part, w.Body)
		}
	}
}

func TestSubmitWaitsForTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T, h *house) {
		answer := h.sent("POST", "/v1/jobs?wait=30s", h.keys["acme"], someJob)
		if n := h.inFlight.Load(); n != 0 {
			t.Errorf("a wait counts as %d at work", n)
		}
		h.finish("succeed", `"result":{"words":2}`)
		want(t, <-answer, 200, `"status":"succeeded"`, `"result":{"words":2}`)
	})
}

func TestWaitEndsWithTheJobAsItIs(t *testing.T) {
	bubble(t, func(t *testing.T, h *house) {
		begun := time.Now()
		want(t, h.send("POST", "/v1/jobs?wait=30s", h.keys["acme"], someJob), 200, `"status":"queued"`)
		if took := time.Since(begun); took != 30*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

func TestDrainEndsWaits(t *testing.T) {
	bubble(t, func(t *testing.T, h *house) {
		begun := time.Now()
		id := h.submitted("acme")
		token := h.leased()
		submit := h.sent("POST", "/v1/jobs?wait=1m", h.keys["acme"], strings.Replace(someJob, "}}", `},"run_at":"2100-01-01T00:00:00Z"}`, 1))
		get := h.sent("GET", "/v1/jobs/"+id+"?wait=1m", h.keys["acme"], "")
		lease := h.sent("POST", "/v1/worker/lease", h.operator, `{"types":["text.stats"],"wait":"1m"}`)
		events := h.sent("GET", "/v1/jobs/"+id+"/events", h.keys["acme"], "")
		run := h.sent("POST", "/v1/run/text.stats", h.keys["globex"], someInput)
		h.Drain()
		want(t, <-submit, 200, `"status":"queued"`)
		want(t, <-get, 200, `"status":"running"`)
		want(t, <-events, 200, "event: state")
		want(t, <-run, 503, "SERVICE_UNAVAILABLE")
		if body := (<-lease).Body.String(); !strings.Contains(body, "leases") {
			t.Error(body)
		}
		w := h.send("GET", "/v1/jobs", h.keys["acme"], "")
		want(t, w, 503, "SERVICE_UNAVAILABLE")
		if w.Header().Get("Retry-After") == "" || w.Header().Get("Connection") != "close" {
			t.Error(w.Header())
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("took %s", took)
		}
		_ = token
	})
}

func TestRunAnswersWithTheResult(t *testing.T) {
	bubble(t, func(t *testing.T, h *house) {
		answer := h.sent("POST", "/v1/run/text.stats", h.keys["acme"], someInput)
		h.finish("succeed", `"result":{"words":2}`)
		w := <-answer
		want(t, w, 200)
		if got := w.Body.String(); got != `{"words":2}` {
			t.Errorf("%s", got)
		}
		if id := w.Header().Get("X-Tallygate-Job-Id"); !tallygate.ValidID(tallygate.JobPrefix, id) {
			t.Errorf("job %q", id)
		}
	})
}

func TestRunOfAFailedJobIsItsError(t *testing.T) {
	bubble(t, func(t *testing.T, h *house) {
		answer := h.sent("POST", "/v1/run/text.stats", h.keys["acme"], someInput)
		h.finish("fail", `"error":{"message":"no memory"},"retry":false`)
		w := <-answer
		want(t, w, 500, `"code":"PROCESSING_FAILED"`, "no memory")
		if w.Header().Get("X-Should-Retry") != "false" {
			t.Error(w.Header())
		}
	})
}

func TestRunPastItsWaitIsCancelledAndCostsNothing(t *testing.T) {
	bubble(t, func(t *testing.T, h *house) {
		for _, leased := range []bool{false, true} {
			answer := h.sent("POST", "/v1/run/text.stats?wait=5s", h.keys["acme"], someInput)
			if leased {
				h.leased()
			}
			w := <-answer
			want(t, w, 503, "SERVICE_UNAVAILABLE")
			if w.Header().Get("Retry-After") == "" || w.Header().Get("X-Should-Retry") != "true" {
				t.Error(w.Header())
			}
			want(t, h.send("GET", "/v1/account", h.keys["acme"], ""), 200, `"posted":"25.00","held":"0.00"`)
		}
	})
}

func TestRunIsAbandonedWithItsCaller(t *testing.T) {
	bubble(t, func(t *testing.T, h *house) {
		ctx, leave := context.WithCancel(t.Context())
		r := httptest.NewRequestWithContext(ctx, "POST", "/v1/run/text.stats", strings.NewReader(someInput))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Api-Key", h.keys["acme"])
		gone := make(chan struct{})
		go func() {
			h.ServeHTTP(httptest.NewRecorder(), r)
			close(gone)
		}()
		synctest.Wait()
		leave()
		<-gone
		want(t, h.send("GET", "/v1/account", h.keys["acme"], ""), 200, `"held":"0.00"`)
	})
}

func TestRunUnderAKeyIsJoined(t *testing.T) {
	bubble(t, func(t *testing.T, h *house) {
		const key = "Idempotency-Key: run-1"
		first := h.send("POST", "/v1/run/text.stats?wait=5s", h.keys["acme"], someInput, key)
		want(t, first, 503, "the same Idempotency-Key")
		second := h.sent("POST", "/v1/run/text.stats?wait=5s", h.keys["acme"], someInput, key)
		h.finish("succeed", `"result":{"words":2}`)
		w := <-second
		want(t, w, 200, `{"words":2}`)
		if w.Header().Get("Idempotent-Replayed") != "true" {
			t.Error(w.Header())
		}
		if a, b := first.Header().Get("X-Tallygate-Job-Id"), w.Header().Get("X-Tallygate-Job-Id"); a != b {
			t.Errorf("%s and %s", a, b)
		}
		want(t, h.send("GET", "/v1/account", h.keys["acme"], ""), 200, `"posted":"24.99","held":"0.00"`)
	})
}

func TestLeaseWaitsForAJob(t *testing.T) {
	bubble(t, func(t *testing.T, h *house) {
		lease := h.sent("POST", "/v1/worker/lease", h.operator, `{"types":["text.stats"],"wait":"1m"}`)
		id := h.submitted("acme")
		want(t, <-lease, 200, id)
	})
}

var eventIDs = regexp.MustCompile(`(?m)^id: (\d+)$`)

func TestEventsFollowAJobToItsEnd(t *testing.T) {
	bubble(t, func(t *testing.T, h *house) {
		id := h.submitted("acme")
		answer := h.sent("GET", "/v1/jobs/"+id+"/events", h.keys["acme"], "")
		token := h.leased()
		h.ok("POST", "/v1/worker/jobs/"+id+"/heartbeat", h.operator, `{"token":"`+token+`","progress":0.5,"logs":["half"]}`)
		time.Sleep(20 * time.Second) // the bubble's: past a keep-alive
		h.ok("POST", "/v1/worker/jobs/"+id+"/heartbeat", h.operator, `{"token":"`+token+`"}`)
		h.ok("POST", "/v1/worker/jobs/"+id+"/succeed", h.operator, `{"token":"`+token+`","result":1}`)
		w := <-answer
		want(t, w, 200, `"status":"queued"`, `"status":"running"`, "event: progress\n", `{"progress":0.5}`, "event: log\n", `"half"`,
			": keep-alive\n\n", `"kind":"job.succeeded"`)
		if kind := w.Header().Get("Content-Type"); kind != "text/event-stream" {
			t.Error(kind)
		}
		ids := eventIDs.FindAllStringSubmatch(w.Body.String(), -1)
		middle, last := ids[len(ids)/2][1], ids[len(ids)-1][1]
		resumed := h.send("GET", "/v1/jobs/"+id+"/events", h.keys["acme"], "", "Last-Event-ID: "+middle)
		want(t, resumed, 200, `"kind":"job.succeeded"`)
		if again := eventIDs.FindStringSubmatch(resumed.Body.String()); again[1] != ids[len(ids)/2+1][1] {
			t.Errorf("resumed after %s with %s: %s", middle, again[1], resumed.Body)
		}
		if over := h.send("GET", "/v1/jobs/"+id+"/events", h.keys["acme"], "", "Last-Event-ID: "+last); over.Code != http.StatusNoContent || over.Body.Len() != 0 || over.Header().Get("Content-Type") != "" {
			t.Errorf("after the end: %d %v %s", over.Code, over.Header(), over.Body)
		}
		want(t, h.send("GET", "/v1/jobs/"+id+"/events", h.keys["acme"], "", "Last-Event-ID: x"), 400, "INVALID_PARAMETER", "Last-Event-ID")
		want(t, h.send("GET", "/v1/jobs/"+id+"/events", h.keys["globex"], ""), http.StatusNotFound, "JOB_NOT_FOUND")
	})
}
