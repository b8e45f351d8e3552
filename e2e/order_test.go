package e2e

import (
	"net/http"
	"strings"
	"testing"
)

// Of several things that are wrong with a request the first in a fixed order is told, so that a refusal is always the
// same one. Each step mends what the step before was refused for and leaves everything after it wrong.
func TestChecksGoInOrder(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{config: "failed_auth_limit: 0\n"})
	s.define(t, metered, pullType())
	op, c := s.operator(t), s.newClient(t, "")
	reader := []string{"jobs:read"}
	elsewhere, id := c.newKey(object{"name": "elsewhere", "permissions": reader, "allowed_cidrs": []string{"192.0.2.0/24"}})
	limited, _ := c.newKey(object{"name": "limited", "permissions": reader, "limits": object{"requests_per_second": 0.001, "burst": 1}})
	weak, _ := c.newKey(object{"name": "weak", "permissions": reader})
	limited.get("/v1/job-types").ok()
	op.post("/v1/clients/"+c.id+"/suspend", nil).ok()
	c.onceRefused("/v1/account")

	s.as(t, "nonsense").post("/v1/job", `{`).refused("RESOURCE_NOT_FOUND")
	s.as(t, "nonsense").put("/v1/jobs", `{`).refused("INVALID_REQUEST")
	s.as(t, "nonsense").post("/v1/jobs", `{`).refused("AUTHENTICATION_FAILED")
	elsewhere.post("/v1/jobs", `{`).refused("AUTHORIZATION_FAILED").mentions(id, "127.0.0.1")
	limited.post("/v1/jobs", `{`).refused("SUSPENDED_ACCOUNT")
	op.post("/v1/clients/"+c.id+"/activate", nil).ok()
	until(t, "the client may call again", func() bool { return c.get("/v1/account").status == http.StatusOK })
	limited.post("/v1/jobs", `{`).refused("RATE_LIMIT_EXCEEDED")
	weak.post("/v1/jobs", `{`).refused("INSUFFICIENT_PERMISSIONS").mentions("jobs:write")

	c.post("/v1/jobs", `{"input":1,"priority":"high","extra":1,"type":`).refused("INVALID_FORMAT")
	c.post("/v1/jobs", `{"input":1,"priority":"high","extra":1}`).refused("MISSING_PARAMETER").mentions("type")
	c.post("/v1/jobs", `{"type":"no.such","input":1,"priority":"high","extra":1}`).refused("INVALID_PARAMETER").mentions("priority", "extra")
	c.post("/v1/jobs", `[{"type":"no.such"}]`).refused("INVALID_REQUEST")
	c.post("/v1/jobs", `{"type":"no.such","input":1}`).refused("RESOURCE_NOT_FOUND")
	c.post("/v1/jobs", someJob).refused("INSUFFICIENT_BALANCE").mentions("0.21", "0.00")
	op.post("/v1/clients/"+c.id+"/credits", object{"amount": "1"}, "Idempotency-Key", "x").ok()
	c.post("/v1/jobs", someJob).ok()
}

// TestOverloadComesBeforeTheRoute: a server that is too busy does not look at what it refuses.
func TestOverloadComesBeforeTheRoute(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{config: "max_in_flight: 1\n"})
	slow := s.operator(t).begin("POST", "/v1/clients", `{"name":"slow"}`)
	defer slow.close()
	s.as(t, "nonsense").get("/v1/account").refused("SERVICE_UNAVAILABLE")
	s.as(t, "nonsense").get("/v1/nothing").refused("SERVICE_UNAVAILABLE")
	s.as(t, "nonsense").put("/v1/jobs", `{`).refused("SERVICE_UNAVAILABLE")
	slow.finish().ok()
}

var authenticationCases = []example{
	{"no key", func(f *fixture) answer { return f.as(f.t, "").get("/v1/account") }, "AUTHENTICATION_FAILED", nil},
	{"two different keys", func(f *fixture) answer {
		return f.client.get("/v1/account", "X-API-Key", f.other.key)
	}, "AUTHENTICATION_FAILED", nil},
	{"one key in both headers", func(f *fixture) answer {
		return f.client.get("/v1/account", "X-API-Key", f.client.key)
	}, "", nil},
	{"the key in X-API-Key", func(f *fixture) answer {
		return f.as(f.t, "").get("/v1/account", "X-API-Key", f.client.key)
	}, "", nil},
	{"another scheme", func(f *fixture) answer {
		return f.as(f.t, "").get("/v1/account", "Authorization", "Basic "+f.client.key)
	}, "AUTHENTICATION_FAILED", nil},
	{"the scheme in small letters", func(f *fixture) answer {
		return f.as(f.t, "").get("/v1/account", "Authorization", "bearer "+f.client.key)
	}, "", nil},
	{"a key of the wrong shape", func(f *fixture) answer {
		return f.as(f.t, "tg_live_short").get("/v1/account")
	}, "AUTHENTICATION_FAILED", nil},
	{"a key with a wrong checksum", func(f *fixture) answer {
		return f.as(f.t, flip(f.client.key, len(f.client.key)-1)).get("/v1/account")
	}, "AUTHENTICATION_FAILED", nil},
	{"a key with a typing error", func(f *fixture) answer {
		return f.as(f.t, flip(f.client.key, 40)).get("/v1/account")
	}, "AUTHENTICATION_FAILED", nil},
	{"a key that was revoked and has expired", func(f *fixture) answer {
		k, id := f.client.newKey(object{"name": "both", "permissions": []string{"account:read"}})
		f.client.post("/v1/api-keys/"+id+"/rotate", object{"overlap": "0s"}).ok()
		f.client.post("/v1/api-keys/"+id+"/revoke", nil).ok()
		return k.onceRefused("/v1/account")
	}, "REVOKED_API_KEY", nil},
}

func TestAuthentication(t *testing.T) {
	t.Parallel()
	runCases(t, newFixture(t), authenticationCases)
}

// flip changes one character of a key into another letter of its alphabet.
func flip(key string, at int) string {
	letter := "z"
	if key[at] == 'z' {
		letter = "y"
	}
	return key[:at] + letter + key[at+1:]
}

var authorizationCases = []example{
	{"a client lists clients", func(f *fixture) answer { return f.client.get("/v1/clients") }, "AUTHORIZATION_FAILED", nil},
	{"a client adds credit", func(f *fixture) answer {
		return f.client.post("/v1/clients/"+f.client.id+"/credits", object{"amount": "1"}, "Idempotency-Key", "a")
	}, "AUTHORIZATION_FAILED", nil},
	{"a client defines a job type", func(f *fixture) answer { return f.client.put("/v1/job-types/mine", pullType()) }, "AUTHORIZATION_FAILED", nil},
	{"a client reads the audit", func(f *fixture) answer { return f.client.get("/v1/audit") }, "AUTHORIZATION_FAILED", nil},
	{"a client works", func(f *fixture) answer {
		return f.client.post("/v1/worker/lease", object{"types": []string{metered}})
	}, "AUTHORIZATION_FAILED", nil},
	{"a job type that is not open to the client", func(f *fixture) answer {
		return f.client.post("/v1/jobs", object{"type": "closed", "input": object{}})
	}, "AUTHORIZATION_FAILED", []string{"closed"}},
	{"a key that lacks the permission", func(f *fixture) answer {
		k, _ := f.client.newKey(object{"name": "reader", "permissions": []string{"jobs:read"}})
		return k.get("/v1/account")
	}, "INSUFFICIENT_PERMISSIONS", []string{"account:read"}},
	{"a key that grants what it does not have", func(f *fixture) answer {
		k, _ := f.client.newKey(object{"name": "keys", "permissions": []string{"keys:write"}})
		return k.post("/v1/api-keys", object{"name": "more", "permissions": []string{"jobs:write"}})
	}, "INSUFFICIENT_PERMISSIONS", []string{"jobs:write"}},
}

func TestAuthorization(t *testing.T) {
	t.Parallel()
	runCases(t, newFixture(t), authorizationCases)
}

var existenceCases = []example{
	{"a job of another client", func(f *fixture) answer { return f.client.get("/v1/jobs/" + f.othersID) }, "JOB_NOT_FOUND", nil},
	{"a job of another client, cancelled", func(f *fixture) answer {
		return f.client.post("/v1/jobs/"+f.othersID+"/cancel", nil)
	}, "JOB_NOT_FOUND", nil},
	{"a job's ID of the wrong shape", func(f *fixture) answer { return f.client.get("/v1/jobs/42") }, "JOB_NOT_FOUND", nil},
	{"a client's ID for a job's", func(f *fixture) answer { return f.client.get("/v1/jobs/" + f.client.id) }, "JOB_NOT_FOUND", nil},
	{"an operator reads every client's job", func(f *fixture) answer { return f.op.get("/v1/jobs/" + f.othersID) }, "", nil},
	{"a key of another client", func(f *fixture) answer { return f.client.get("/v1/api-keys/" + f.other.keyID) }, "API_KEY_NOT_FOUND", nil},
	{"a key of another client, revoked", func(f *fixture) answer {
		return f.client.post("/v1/api-keys/"+f.other.keyID+"/revoke", nil)
	}, "API_KEY_NOT_FOUND", nil},
	{"a key's ID of the wrong shape", func(f *fixture) answer { return f.client.get("/v1/api-keys/1") }, "API_KEY_NOT_FOUND", nil},
	{"a client's ID of the wrong shape", func(f *fixture) answer { return f.op.get("/v1/clients/1") }, "CLIENT_NOT_FOUND", nil},
	{"credit for nobody", func(f *fixture) answer {
		return f.op.post("/v1/clients/cl_0000000000000000000000000a/credits", object{"amount": "1"}, "Idempotency-Key", "nobody")
	}, "CLIENT_NOT_FOUND", nil},
	{"a job type that does not exist", func(f *fixture) answer {
		return f.client.post("/v1/jobs", `{"type":"text.stat","input":{}}`)
	}, "RESOURCE_NOT_FOUND", []string{"text.stat"}},
}

func TestExistence(t *testing.T) {
	t.Parallel()
	runCases(t, newFixture(t), existenceCases)
}

var stateCases = []example{
	{"the result of a queued job", func(f *fixture) answer { return f.client.get("/v1/jobs/" + f.live + "/result") }, "INVALID_REQUEST", []string{"queued"}},
	{"the result of a cancelled job", func(f *fixture) answer {
		id := f.client.submit(metered)
		f.client.post("/v1/jobs/"+id+"/cancel", nil).ok()
		return f.client.get("/v1/jobs/" + id + "/result")
	}, "INVALID_REQUEST", []string{"cancelled"}},
	{"the result of a finished job", func(f *fixture) answer { return f.client.get("/v1/jobs/" + f.job + "/result") }, "", nil},
	{"cancelling a finished job", func(f *fixture) answer {
		before := f.client.get("/v1/jobs/" + f.job).ok()
		a := f.client.post("/v1/jobs/"+f.job+"/cancel", nil)
		if string(a.body) != string(before.body) {
			f.t.Errorf("cancelling a finished job changed it: %s, before %s", a, before)
		}
		return a
	}, "", nil},
	{"deleting a job type with live jobs", func(f *fixture) answer {
		return f.op.call(http.MethodDelete, "/v1/job-types/"+metered, nil)
	}, "INVALID_REQUEST", []string{metered}},
	{"an unknown unit in a report", func(f *fixture) answer {
		f.define(f.t, "units", pullType())
		f.client.submit("units")
		w := f.newWorker(f.t)
		l := w.lease("units")
		return w.post("/v1/worker/jobs/"+l.job+"/succeed", object{"token": l.token, "result": 1, "units": object{"pages": 1}})
	}, "INVALID_PARAMETER", []string{"pages", "page"}},
	{"a report under another token", func(f *fixture) answer {
		w := f.newWorker(f.t)
		return w.succeed(lease{"another", f.live}, 1)
	}, "INVALID_REQUEST", nil},
	{"a batch that the balance covers in part", func(f *fixture) answer {
		c := f.newClient(f.t, "0.50")
		a := c.post("/v1/jobs/batch", `{"jobs":[`+someJob+`,`+someJob+`,`+someJob+`]}`)
		if jobs := c.pages("/v1/jobs"); len(jobs) > 0 || c.balance().held != 0 {
			f.t.Errorf("a batch that was refused left %d jobs and %+v", len(jobs), c.balance())
		}
		return a
	}, "INSUFFICIENT_BALANCE", []string{"0.63", "0.50"}},
	{"more queued jobs than the client may have", func(f *fixture) answer {
		c := f.newClient(f.t, "10", object{"limits": object{"queued_jobs": 1}})
		c.submit(metered)
		return c.post("/v1/jobs", someJob)
	}, "RATE_LIMIT_EXCEEDED", []string{"1"}},
}

func TestState(t *testing.T) {
	t.Parallel()
	runCases(t, newFixture(t), stateCases)
}

var requestCases = []example{
	{"no Content-Type", func(f *fixture) answer {
		return f.client.post("/v1/jobs", someJob, "Content-Type", "")
	}, "INVALID_FORMAT", []string{"Content-Type"}},
	{"a form", func(f *fixture) answer {
		return f.client.post("/v1/jobs", "type=text.stats", "Content-Type", "", "Content-Type", "application/x-www-form-urlencoded")
	}, "INVALID_FORMAT", []string{"Content-Type"}},
	{"a charset in another spelling", func(f *fixture) answer {
		return f.client.post("/v1/jobs", someJob, "Content-Type", "", "Content-Type", "Application/JSON; charset=UTF-8")
	}, "", nil},
	{"another charset", func(f *fixture) answer {
		return f.client.post("/v1/jobs", someJob, "Content-Type", "", "Content-Type", "application/json; charset=latin1")
	}, "INVALID_FORMAT", []string{"charset"}},
	{"a compressed body", func(f *fixture) answer {
		return f.client.post("/v1/jobs", someJob, "Content-Encoding", "gzip")
	}, "INVALID_FORMAT", nil},
	{"bad UTF-8", func(f *fixture) answer {
		return f.client.post("/v1/jobs", "{\"type\":\"text.stats\",\"input\":\"\xff\"}")
	}, "INVALID_FORMAT", nil},
	{"a member that stands twice", func(f *fixture) answer {
		return f.client.post("/v1/jobs", `{"type":"text.stats","type":"text.stats","input":{}}`)
	}, "INVALID_FORMAT", []string{"type"}},
	{"a member that stands twice deep inside", func(f *fixture) answer {
		return f.client.post("/v1/jobs", `{"type":"text.stats","input":{"text":"a","text":"b"}}`)
	}, "INVALID_FORMAT", []string{"text"}},
	{"something after the body", func(f *fixture) answer { return f.client.post("/v1/jobs", someJob+"{}") }, "INVALID_FORMAT", nil},
	{"an empty body where one is required", func(f *fixture) answer { return f.client.post("/v1/jobs", nil) }, "INVALID_FORMAT", []string{"empty"}},
	{"an empty body where none is required", func(f *fixture) answer {
		return f.client.post("/v1/jobs/"+f.job+"/cancel", nil)
	}, "", nil},
	{"a list for an object", func(f *fixture) answer { return f.client.post("/v1/jobs", `[]`) }, "INVALID_REQUEST", nil},
	{"null for an object", func(f *fixture) answer { return f.client.post("/v1/jobs", `null`) }, "INVALID_REQUEST", nil},
	{"every fault of a code at once", func(f *fixture) answer {
		return f.client.post("/v1/jobs", `{"type":"text.stats","input":{},"priority":1.5,"run_at":"soon","max_cost":"cheap"}`)
	}, "INVALID_PARAMETER", []string{"priority", "run_at", "max_cost"}},
	{"every missing field at once", func(f *fixture) answer { return f.client.post("/v1/jobs", `{}`) }, "MISSING_PARAMETER", []string{"type", "input"}},
	{"an unknown field, with the nearest known one", func(f *fixture) answer {
		return f.client.post("/v1/jobs", `{"type":"text.stats","input":{},"prioritty":1}`)
	}, "INVALID_PARAMETER", []string{"prioritty", `"priority"`}},
	{"an unknown query parameter", func(f *fixture) answer { return f.client.get("/v1/jobs?statuss=queued") }, "INVALID_PARAMETER", []string{"statuss"}},
	{"an input that the schema refuses", func(f *fixture) answer {
		return f.client.post("/v1/jobs", `{"type":"text.stats","input":{"text":5}}`)
	}, "INVALID_PARAMETER", []string{"/input/text"}},
	{"a quote above max_cost", func(f *fixture) answer {
		return f.client.post("/v1/jobs", `{"type":"text.stats","input":{},"max_cost":"0.20"}`)
	}, "INVALID_PARAMETER", []string{"max_cost", "0.21"}},
	{"an unknown permission", func(f *fixture) answer {
		return f.client.post("/v1/api-keys", object{"permissions": []string{"job:write"}})
	}, "INVALID_PARAMETER", []string{"job:write", "jobs:write"}},
	{"a top-up without an Idempotency-Key", func(f *fixture) answer {
		return f.op.post("/v1/clients/"+f.client.id+"/credits", object{"amount": "1"})
	}, "MISSING_PARAMETER", []string{"Idempotency-Key"}},
	{"a negative top-up", func(f *fixture) answer {
		return f.op.post("/v1/clients/"+f.client.id+"/credits", object{"amount": "-1"}, "Idempotency-Key", "neg")
	}, "INVALID_PARAMETER", []string{"amount"}},
	{"a float for money", func(f *fixture) answer {
		return f.op.post("/v1/clients/"+f.client.id+"/credits", `{"amount":"1e3"}`, "Idempotency-Key", "exp")
	}, "INVALID_PARAMETER", []string{"amount"}},
	{"a webhook where there are none", func(f *fixture) answer {
		return f.client.post("/v1/jobs", `{"type":"text.stats","input":{},"webhook_url":"http://example.com/"}`)
	}, "INVALID_PARAMETER", []string{"webhook_url"}},
	{"a body over its limit", func(f *fixture) answer {
		return f.client.post("/v1/jobs", `{"type":"text.stats","input":"`+strings.Repeat("x", 64<<10)+`"}`)
	}, "INVALID_REQUEST", []string{"65536"}},
	{"a body over its limit, of unknown length", func(f *fixture) answer {
		text := `{"type":"text.stats","input":"` + strings.Repeat("x", 1<<20) + `"}`
		return f.client.post("/v1/jobs", struct{ *strings.Reader }{strings.NewReader(text)})
	}, "INVALID_REQUEST", []string{"65536"}},
	{"a body far over its limit is read away, so that the answer arrives", func(f *fixture) answer {
		return f.client.post("/v1/jobs", `{"type":"text.stats","input":"`+strings.Repeat("x", 32<<20)+`"}`)
	}, "INVALID_REQUEST", []string{"65536"}},
	{"nesting without end", func(f *fixture) answer {
		return f.client.post("/v1/jobs", `{"type":"text.stats","input":`+strings.Repeat("[", 30000)+strings.Repeat("]", 30000)+`}`)
	}, "INVALID_REQUEST", nil},
	{"a cursor of another list", func(f *fixture) answer {
		next := f.op.get("/v1/clients?limit=1").ok().text("next_cursor")
		return f.op.get("/v1/jobs?cursor=" + next)
	}, "INVALID_PARAMETER", []string{"cursor"}},
}

func TestRequests(t *testing.T) {
	t.Parallel()
	runCases(t, newFixture(t), requestCases)
}
