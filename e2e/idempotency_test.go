package e2e

import (
	"net/http"
	"strings"
	"sync"
	"testing"
)

// effect is a request that has an effect, which the same Idempotency-Key has once.
type effect struct {
	name string
	make func(t *testing.T, f *fixture) attempt
}

// attempt is one effect about to be had.
type attempt struct {
	caller caller
	path   string
	body   any
	other  any // another body for the same path
	// count is how often the effect was had.
	count func() int
}

// listed counts the items of a list.
func listed(c caller, path string) func() int {
	return func() int { return len(c.pages(path)) }
}

// audited counts what the audit tells of the kind.
func (f *fixture) audited(t *testing.T, kind string) func() int {
	return func() int {
		n := 0
		for _, e := range f.operator(t).pages("/v1/audit") {
			if e.text("kind") == kind {
				n++
			}
		}
		return n
	}
}

var (
	readsJobs  = object{"permissions": []string{"jobs:read"}}
	writesJobs = object{"permissions": []string{"jobs:write"}}
)

var effects = []effect{
	{"submit", func(_ *testing.T, f *fixture) attempt {
		other := `{"type":"text.stats","input":{"text":"other"}}`
		return attempt{f.client.caller, "/v1/jobs", someJob, other, listed(f.client.caller, "/v1/jobs")}
	}},
	{"submit a batch", func(_ *testing.T, f *fixture) attempt {
		body, other := `{"jobs":[`+someJob+`]}`, `{"jobs":[`+someJob+`,`+someJob+`]}`
		return attempt{f.client.caller, "/v1/jobs/batch", body, other, listed(f.client.caller, "/v1/jobs")}
	}},
	{"cancel", func(_ *testing.T, f *fixture) attempt {
		id := f.client.submit(metered)
		return attempt{f.client.caller, "/v1/jobs/" + id + "/cancel", nil, nil, listed(f.client.caller, "/v1/jobs?status=cancelled")}
	}},
	{"create a key of one's own", func(_ *testing.T, f *fixture) attempt {
		return attempt{f.client.caller, "/v1/api-keys", readsJobs, writesJobs, listed(f.client.caller, "/v1/api-keys")}
	}},
	{"create a client's key", func(_ *testing.T, f *fixture) attempt {
		path := "/v1/clients/" + f.client.id + "/api-keys"
		return attempt{f.op, path, readsJobs, writesJobs, listed(f.op, path)}
	}},
	{"rotate a key of one's own", func(_ *testing.T, f *fixture) attempt {
		_, id := f.client.newKey(readsJobs)
		path := "/v1/api-keys/" + id + "/rotate"
		return attempt{f.client.caller, path, object{"overlap": "1h"}, object{"overlap": "2h"}, listed(f.client.caller, "/v1/api-keys")}
	}},
	{"rotate a client's key", func(_ *testing.T, f *fixture) attempt {
		_, id := f.client.newKey(readsJobs)
		path := "/v1/clients/" + f.client.id + "/api-keys"
		return attempt{f.op, path + "/" + id + "/rotate", nil, object{"overlap": "2h"}, listed(f.op, path)}
	}},
	{"revoke a key of one's own", func(t *testing.T, f *fixture) attempt {
		_, id := f.client.newKey(readsJobs)
		return attempt{f.client.caller, "/v1/api-keys/" + id + "/revoke", nil, nil, f.audited(t, "api_key.revoked")}
	}},
	{"revoke a client's key", func(t *testing.T, f *fixture) attempt {
		_, id := f.client.newKey(readsJobs)
		path := "/v1/clients/" + f.client.id + "/api-keys/" + id + "/revoke"
		return attempt{f.op, path, nil, nil, f.audited(t, "api_key.revoked")}
	}},
	{"create a client", func(_ *testing.T, f *fixture) attempt {
		return attempt{f.op, "/v1/clients", object{"name": "Acme"}, object{"name": "Zenith"}, listed(f.op, "/v1/clients")}
	}},
	{"suspend a client", func(t *testing.T, f *fixture) attempt {
		return attempt{f.op, "/v1/clients/" + f.client.id + "/suspend", nil, nil, f.audited(t, "client.suspended")}
	}},
	{"activate a client", func(t *testing.T, f *fixture) attempt {
		path := "/v1/clients/" + f.client.id
		f.op.post(path+"/suspend", nil).ok()
		return attempt{f.op, path + "/activate", nil, nil, f.audited(t, "client.activated")}
	}},
	{"add credit", func(_ *testing.T, f *fixture) attempt {
		path := "/v1/clients/" + f.client.id
		return attempt{f.op, path + "/credits", object{"amount": "5"}, object{"amount": "6"}, listed(f.op, path+"/entries")}
	}},
}

func TestSameIdempotencyKeyHasOneEffect(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, e := range effects {
		t.Run(e.name, func(t *testing.T) {
			f := f.on(t)
			f.client = f.newClient(t, "10")
			a := e.make(t, f)
			before := a.count()
			key := strings.ReplaceAll(e.name, " ", "-")

			// Two at once, and two more after them.
			answers := make([]answer, 4)
			var both sync.WaitGroup
			for i := range 2 {
				both.Go(func() { answers[i] = a.send(key, a.body) })
			}
			both.Wait()
			answers[2], answers[3] = a.send(key, a.body), a.send(key, a.body)

			if n := a.count() - before; n != 1 {
				t.Errorf("the effect was had %d times, want once", n)
			}
			a.sameAnswer(t, answers)
			if a.other != nil {
				a.send(key, a.other).refused("INVALID_PARAMETER").mentions("Idempotency-Key")
			}
			a.send(key+"-2", a.body) // another key is another request
		})
	}
}

// send makes the request. One that came while another was at work under its key may be told to come again.
func (a attempt) send(key string, body any) answer {
	for {
		got, err := a.caller.try(http.MethodPost, a.path, body, "Idempotency-Key", key)
		if err != nil {
			a.caller.t.Errorf("POST %s: %v", a.path, err)
			return got
		}
		if got.status != http.StatusServiceUnavailable {
			return got
		}
		got.refused("SERVICE_UNAVAILABLE")
	}
}

// sameAnswer makes sure that one answer was given, and given again with the mark of a replay. The secret of a key is in
// the first alone.
func (a attempt) sameAnswer(t *testing.T, answers []answer) {
	t.Helper()
	var first *answer
	for i := range answers {
		got := answers[i].ok()
		switch replayed := got.header.Get("Idempotent-Replayed"); {
		case replayed == "true":
		case replayed != "" || first != nil:
			t.Errorf("%s: Idempotent-Replayed is %q, and only the first may be without it", got, replayed)
		default:
			first = &answers[i]
		}
	}
	if first == nil {
		t.Fatal("every answer is a replay")
	}
	if secret, ok := first.find("key"); ok {
		if text, _ := secret.v.(string); text == "" {
			t.Errorf("%s: want the secret", first)
		}
		first.v.(map[string]any)["key"] = nil // as a replay has it
	}
	want := first.value.String()
	for _, got := range answers {
		if got.header.Get("Idempotent-Replayed") == "true" && got.value.String() != want {
			t.Errorf("replayed %s, first it was %s", got, first)
		}
	}
}

func TestIdempotencyKeyOfARunJoinsTheJob(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.define(t, "slow", pullType())
	c := f.newClient(t, "10")
	c.post("/v1/run/slow?wait=0s", object{}, "Idempotency-Key", "run").refused("SERVICE_UNAVAILABLE")
	answers := make([]answer, 2)
	var both sync.WaitGroup
	for i := range answers {
		both.Go(func() {
			var err error
			if answers[i], err = c.try(http.MethodPost, "/v1/run/slow?wait=0s", object{}, "Idempotency-Key", "run"); err != nil {
				t.Errorf("run: %v", err)
			}
		})
	}
	both.Wait()
	for _, a := range answers {
		a.refused("SERVICE_UNAVAILABLE")
	}
	w := f.newWorker(t)
	l := w.lease("slow")
	w.succeed(l, 2).ok()
	a := c.post("/v1/run/slow?wait=0s", object{}, "Idempotency-Key", "run").ok()
	if a.number("words") != 2 || a.header.Get("Idempotent-Replayed") != "true" || a.header.Get("X-Tallygate-Job-Id") != l.job {
		t.Errorf("%s with %v: want the result of job %s", a, a.header, l.job)
	}
	if n := len(c.pages("/v1/jobs")); n != 1 {
		t.Errorf("%d jobs, want 1", n)
	}
	if b := c.balance(); b.held != 0 || b.posted != 10_000_000-meteredBase-2*meteredPage {
		t.Errorf("the balance is %+v, want one job of two pages paid", b)
	}
}

func TestRunWithoutAnIdempotencyKeyIsAbandoned(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.define(t, "slow", pullType(object{"cancel_charge": "hold"}))
	c := f.newClient(t, "10")
	c.post("/v1/run/slow?wait=0s", object{}).refused("SERVICE_UNAVAILABLE")
	if b := c.balance(); b.held != 0 || b.posted != 10_000_000 {
		t.Errorf("the balance is %+v, want nothing held and nothing paid", b)
	}
	if job := c.get("/v1/jobs").ok().at("data.0"); job.text("status") != "cancelled" {
		t.Errorf("%s: want it cancelled", job)
	}
}

func TestReplayOfASubmitShowsTheJobAsItIsNow(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.define(t, "seen", pullType())
	c := f.newClient(t, "10")
	body := object{"type": "seen", "input": object{}}
	id := c.post("/v1/jobs", body, "Idempotency-Key", "now").ok().text("id")
	w := f.newWorker(t)
	w.succeed(w.lease("seen"), 1).ok()
	a := c.post("/v1/jobs", body, "Idempotency-Key", "now").ok()
	if a.text("id") != id || a.text("status") != "succeeded" || a.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("%s: want job %s as it is now", a, id)
	}
}

func TestRefusalLeavesTheIdempotencyKeyFree(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	c := f.newClient(t, "")
	c.post("/v1/jobs", someJob, "Idempotency-Key", "poor").refused("INSUFFICIENT_BALANCE")
	f.op.post("/v1/clients/"+c.id+"/credits", object{"amount": "1"}, "Idempotency-Key", "help").ok()
	c.post("/v1/jobs", `{"type":"text.stats","input":{"text":"other"}}`, "Idempotency-Key", "poor").ok()
}

func TestIdempotencyKeysAreEachClientsOwn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.client.post("/v1/jobs", someJob, "Idempotency-Key", "mine").ok()
	b := f.other.post("/v1/jobs", someJob, "Idempotency-Key", "mine").ok()
	if a.text("id") == b.text("id") || b.header.Get("Idempotent-Replayed") != "" {
		t.Errorf("two clients share a key: %s and %s", a, b)
	}
}

func TestIdempotencyOutlivesARestart(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.client.post("/v1/jobs", someJob, "Idempotency-Key", "kept").ok()
	f.kill()
	f.start()
	again := f.client.post("/v1/jobs", someJob, "Idempotency-Key", "kept").ok()
	if again.text("id") != first.text("id") || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("%s: want job %s again", again, first.text("id"))
	}
}

func TestManySubmitsUnderOneIdempotencyKeyMakeOneJob(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	c := f.newClient(t, "10", object{"limits": object{"requests_per_second": 1000, "burst": 1000}})
	a := attempt{caller: c.caller, path: "/v1/jobs"}
	answers := make([]answer, 50)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = a.send("one", someJob) })
	}
	all.Wait()
	id := answers[0].ok().text("id")
	for _, a := range answers {
		if a.ok().text("id") != id {
			t.Fatalf("%s: want job %s", a, id)
		}
	}
	if b := c.balance(); b.held != meteredQuote {
		t.Errorf("held is %d, want one job's %d", b.held, meteredQuote)
	}
}
