package api

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
)

// clientID is the ID of the client that the key belongs to.
func (h *house) clientID(key string) string {
	h.t.Helper()
	return text(h.ok("GET", "/v1/account", key, ""), "id")
}

// spare makes another key of a client and returns it with what revokes it.
func (h *house) spare(client, permission string) (key string, revoke func()) {
	h.t.Helper()
	at := "/v1/clients/" + h.clientID(h.keys[client]) + "/api-keys"
	made := h.ok("POST", at, h.operator, `{"permissions":["`+permission+`"]}`)
	return text(made, "key"), func() { h.ok("POST", at+"/"+text(made, "id")+"/revoke", h.operator, "") }
}

// lateBody is a body during whose arrival something happens.
type lateBody struct {
	io.Reader
	meanwhile func()
}

func (b *lateBody) Read(p []byte) (int, error) {
	if b.meanwhile != nil {
		b.meanwhile()
		b.meanwhile = nil
	}
	return b.Reader.Read(p)
}

func TestAKeyRevokedWhileItsBodyComesChangesNothing(t *testing.T) {
	h := newHouse(t, newClock().Now, nil)
	acme := h.clientID(h.keys["acme"])
	key, revoke := h.spare("operator", "balance:write")
	r := newRequest("POST", "/v1/clients/"+acme+"/credits", key, `{"amount":"1000.00"}`, "Idempotency-Key: late")
	r.Body = io.NopCloser(&lateBody{r.Body, revoke})
	want(t, h.do(r), http.StatusUnauthorized, "REVOKED_API_KEY")
	want(t, h.send("GET", "/v1/account", h.keys["acme"], ""), http.StatusOK, `"posted":"25.00"`)
}

// TestAKeyRevokedWhileItsBodyComesReadsNothing: what only reads is decided about again where the body kept it waiting.
func TestAKeyRevokedWhileItsBodyComesReadsNothing(t *testing.T) {
	for path, body := range map[string]string{"/v1/jobs": someJob, "/v1/quotes": someJob} {
		t.Run(path, func(t *testing.T) {
			clock := newClock()
			h := newHouse(t, clock.Now, nil)
			h.ok("PUT", "/v1/job-types/text.stats", h.operator, strings.Replace(textStats, "{", `{"limits":{"requests_per_second":1000,"burst":1000},`, 1))
			key, revoke := h.spare("acme", "preset:full")
			h.ok("POST", path, key, body, "Idempotency-Key: late")
			r := newRequest("POST", path, key, body, "Idempotency-Key: late")
			r.Body = io.NopCloser(&lateBody{r.Body, func() {
				clock.Advance(15 * time.Second)
				revoke()
			}})
			want(t, h.do(r), http.StatusUnauthorized, "REVOKED_API_KEY")
		})
	}
}

func TestAChangeIsNotReplayedToAKeyThatWasRevokedWhileItsBodyCame(t *testing.T) {
	h := newHouse(t, newClock().Now, nil)
	key, revoke := h.spare("operator", "clients:write")
	send := func(meanwhile func()) *http.Request {
		r := newRequest("POST", "/v1/clients", key, `{"name":"late"}`, "Idempotency-Key: late")
		r.Body = io.NopCloser(&lateBody{r.Body, meanwhile})
		return r
	}
	want(t, h.do(send(nil)), http.StatusOK, `"name":"late"`)
	want(t, h.do(send(nil)), http.StatusOK, `"name":"late"`)
	want(t, h.do(send(revoke)), http.StatusUnauthorized, "REVOKED_API_KEY")
}

func TestASubmitIsDecidedAgainInItsTransaction(t *testing.T) {
	for name, c := range map[string]struct {
		lose func(h *house, acme string, revoke func())
		code tallygate.Code
	}{
		"revoked": {func(_ *house, _ string, revoke func()) { revoke() }, tallygate.RevokedAPIKey},
		"suspended": {func(h *house, acme string, _ func()) {
			h.ok("POST", "/v1/clients/"+acme+"/suspend", h.operator, "")
		}, tallygate.SuspendedAccount},
	} {
		for path, body := range map[string]string{
			"/v1/jobs": someJob, "/v1/jobs?wait=1s": someJob, "/v1/jobs/batch": `{"jobs":[` + someJob + `]}`, "/v1/run/text.stats": someInput,
		} {
			t.Run(name+" "+path, func(t *testing.T) {
				h := newHouse(t, newClock().Now, nil)
				acme := h.clientID(h.keys["acme"])
				key, revoke := h.spare("acme", "jobs:write")
				h.store.before = func() { c.lose(h, acme, revoke) }
				want(t, h.send("POST", path, key, body), c.code.Status(), c.code.String())
				want(t, h.send("GET", "/v1/clients/"+acme, h.operator, ""), http.StatusOK, `"held":"0.00"`)
				want(t, h.send("GET", "/v1/jobs?client_id="+acme, h.operator, ""), http.StatusOK, `"data":[]`)
			})
		}
	}
}

func TestARevokedWorkerGetsNoLease(t *testing.T) {
	bubble(t, func(t *testing.T, h *house) {
		key, revoke := h.spare("operator", "work")
		answer := h.sent("POST", "/v1/worker/lease", key, `{"types":["text.stats"],"wait":"30s"}`)
		revoke()
		id := h.submitted("acme")
		want(t, <-answer, http.StatusUnauthorized, "REVOKED_API_KEY")
		want(t, h.send("GET", "/v1/jobs/"+id, h.keys["acme"], ""), http.StatusOK, `"status":"queued"`)
	})
}

func TestARevokedCallersWaitsEndWithoutTheResult(t *testing.T) {
	bubble(t, func(t *testing.T, h *house) {
		id := h.submitted("acme")
		reader, revokeReader := h.spare("acme", "jobs:read")
		get := h.sent("GET", "/v1/jobs/"+id+"?wait=1m", reader, "")
		stream := h.sent("GET", "/v1/jobs/"+id+"/events", reader, "")
		revokeReader()
		h.finish("succeed", `"result":{"words":2}`)
		want(t, <-get, http.StatusUnauthorized, "REVOKED_API_KEY")
		if w := <-stream; strings.Contains(w.Body.String(), "job.succeeded") {
			t.Errorf("the stream went on: %s", w.Body)
		}

		writer, revokeWriter := h.spare("acme", "jobs:write")
		submit := h.sent("POST", "/v1/jobs?wait=1m", writer, someJob)
		revokeWriter()
		h.finish("succeed", `"result":{"words":2}`)
		want(t, <-submit, http.StatusOK, `"status":"queued"`, `"result":null`)
	})
}

func TestARunOfARevokedCallerIsAbandoned(t *testing.T) {
	bubble(t, func(t *testing.T, h *house) {
		key, revoke := h.spare("acme", "jobs:write")
		run := h.sent("POST", "/v1/run/text.stats", key, someInput)
		revoke()
		h.leased() // the wait looks again
		want(t, <-run, http.StatusUnauthorized, "REVOKED_API_KEY")
		want(t, h.send("GET", "/v1/jobs", h.keys["acme"], ""), http.StatusOK, `"status":"cancelled"`)
		want(t, h.send("GET", "/v1/account", h.keys["acme"], ""), http.StatusOK, `"held":"0.00"`)
	})
}

func TestOperatorsNeedClientsPermissionsForClientsKeys(t *testing.T) {
	h := newHouse(t, newClock().Now, nil)
	id := text(h.ok("GET", "/v1/api-keys", h.keys["acme"], ""), "id")
	narrow := text(h.ok("POST", "/v1/api-keys", h.operator, `{"permissions":["keys:read","keys:write"]}`), "key")
	at := "/v1/api-keys/" + id
	want(t, h.send("GET", at, narrow, ""), http.StatusForbidden, "INSUFFICIENT_PERMISSIONS", "clients:read")
	want(t, h.send("POST", at+"/rotate", narrow, ""), http.StatusForbidden, "INSUFFICIENT_PERMISSIONS", "clients:write")
	want(t, h.send("POST", at+"/revoke", narrow, ""), http.StatusForbidden, "INSUFFICIENT_PERMISSIONS", "clients:write")
	h.ok("GET", at, h.operator, "")
	h.ok("POST", at+"/rotate", h.operator, "")
}

func TestARefusedBatchCostsNoTypeAnything(t *testing.T) {
	h := newHouse(t, newClock().Now, nil)
	h.ok("PUT", "/v1/job-types/aa", h.operator, `{"limits":{"requests_per_second":0.01,"burst":10}}`)
	h.ok("PUT", "/v1/job-types/bb", h.operator, `{"limits":{"requests_per_second":0.01,"burst":1}}`)
	const a, b = `{"type":"aa","input":{}}`, `{"type":"bb","input":{}}`
	h.ok("POST", "/v1/jobs", h.keys["acme"], b)
	for range 20 {
		want(t, h.send("POST", "/v1/jobs/batch", h.keys["acme"], `{"jobs":[`+a+`,`+b+`]}`), http.StatusTooManyRequests, "the job type")
	}
	h.ok("POST", "/v1/jobs", h.keys["acme"], a)
}

func TestFaultsOfTheInputAreReportedWithTheRequests(t *testing.T) {
	h := newHouse(t, newClock().Now, nil)
	h.ok("PUT", "/v1/job-types/closed", h.operator, `{"clients":[]}`)
	for _, c := range []struct {
		path, body string
		status     int
		parts      []string
	}{
		{"/v1/jobs", `{"type":"text.stats","input":{},"zz":1}`, 400, []string{"MISSING_PARAMETER", "/input/text"}},
		{"/v1/jobs?zz=1", `{"type":"text.stats","input":{}}`, 400, []string{"MISSING_PARAMETER", "/input/text"}},
		{"/v1/quotes", `{"type":"text.stats","input":{},"zz":1}`, 400, []string{"MISSING_PARAMETER", "/input/text"}},
		{"/v1/run/text.stats?wait=x", `{}`, 400, []string{"MISSING_PARAMETER", "/input/text"}},
		{"/v1/jobs/batch", `{"jobs":[` + someJob + `,7,{"type":"text.stats","input":{}}]}`, 400, []string{"MISSING_PARAMETER", "/jobs/2/input/text"}},
		{"/v1/jobs/batch", `{"jobs":[{"type":"text.stats","input":{"text":1,"zz":1}},7]}`, 400, []string{"/jobs/0/input/text", "/jobs/0/input/zz", "/jobs/1: must be"}},
		{"/v1/jobs", `{"type":"closed","zz":1}`, 403, []string{"AUTHORIZATION_FAILED"}},
		{"/v1/quotes", `{"type":"closed","zz":1}`, 403, []string{"AUTHORIZATION_FAILED"}},
		{"/v1/jobs/batch", `{"jobs":[7,{"type":"closed","input":{}}]}`, 403, []string{"AUTHORIZATION_FAILED"}},
		{"/v1/run/closed?wait=x", `{`, 403, []string{"AUTHORIZATION_FAILED"}},
	} {
		t.Run(c.path+" "+c.body, func(t *testing.T) {
			want(t, h.send("POST", c.path, h.keys["acme"], c.body), c.status, c.parts...)
		})
	}
}

func TestWaitsAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T, h *house) {
		h.opt.MaxClientWaits, h.opt.MaxWaits = 2, 3
		id := h.submitted("acme")
		events := "/v1/jobs/" + id + "/events"
		first := h.sent("GET", events, h.keys["acme"], "")
		second := h.sent("GET", "/v1/jobs/"+id+"?wait=1m", h.keys["acme"], "")

		for _, path := range []string{"/v1/jobs?wait=1m", "/v1/run/text.stats"} {
			body := someJob
			if strings.Contains(path, "run") {
				body = someInput
			}
			w := h.send("POST", path, h.keys["acme"], body)
			want(t, w, http.StatusTooManyRequests, "RATE_LIMIT_EXCEEDED", "2 requests of the client wait")
			if w.Header().Get("Retry-After") == "" {
				t.Errorf("%s: no Retry-After", path)
			}
		}
		want(t, h.send("GET", events, h.keys["acme"], ""), http.StatusTooManyRequests)
		want(t, h.send("GET", "/v1/account", h.keys["acme"], ""), http.StatusOK, `"queued":1`)
		h.ok("GET", "/v1/jobs/"+id, h.keys["acme"], "")

		other := h.submitted("globex")
		third := h.sent("GET", "/v1/jobs/"+other+"?wait=1m", h.keys["globex"], "")
		w := h.send("POST", "/v1/worker/lease", h.operator, `{"types":["text.stats"],"wait":"1s"}`)
		want(t, w, http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE")

		h.finish("succeed", `"result":{}`)
		h.finish("succeed", `"result":{}`)
		<-first
		<-second
		<-third
		if h.places.all != 0 || len(h.places.byClient) != 0 {
			t.Errorf("places are still taken: %d, %v", h.places.all, h.places.byClient)
		}
		begun := time.Now()
		want(t, h.send("POST", "/v1/jobs?wait=1s", h.keys["acme"], someJob), http.StatusOK)
		if time.Since(begun) != time.Second {
			t.Error("no wait although there is room again")
		}
	})
}
