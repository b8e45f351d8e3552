package e2e

import (
	"strings"
	"testing"
)

// customer is a client of the server, seen through a key that may do all that a client's key may.
type customer struct {
	caller
	id    string
	keyID string
}

// newClient makes a client with the credit and a key. More is what else the client is made with.
func (s *server) newClient(t testing.TB, credit string, more ...object) customer {
	t.Helper()
	op := s.operator(t)
	body := object{"name": t.Name()}
	for _, m := range more {
		for name, v := range m {
			body[name] = v
		}
	}
	c := customer{id: op.post("/v1/clients", body).ok().text("id")}
	if credit != "" {
		op.post("/v1/clients/"+c.id+"/credits", object{"amount": credit}, "Idempotency-Key", "credit-"+c.id).ok()
	}
	made := op.post("/v1/clients/"+c.id+"/api-keys", object{"name": "all", "permissions": []string{"preset:full"}}).ok()
	c.keyID = made.text("id")
	c.caller = s.as(t, made.text("key"))
	return c
}

// newKey makes another key of the client and returns its caller and ID.
func (c customer) newKey(body object) (caller, string) {
	c.t.Helper()
	made := c.server.operator(c.t).post("/v1/clients/"+c.id+"/api-keys", body).ok()
	return c.server.as(c.t, made.text("key")), made.text("id")
}

// balance is the client's balance.
func (c customer) balance() balance {
	c.t.Helper()
	b := c.get("/v1/account").ok().at("balance")
	return balance{money(c.t, b.text("posted")), money(c.t, b.text("held")), money(c.t, b.text("available"))}
}

// balance is in millionths.
type balance struct{ posted, held, available int64 }

// pages walks a list to its end, newest first.
func (c caller) pages(path string) []value {
	c.t.Helper()
	more := "?limit=100"
	if strings.Contains(path, "?") {
		more = "&limit=100"
	}
	var all []value
	for cursor := ""; ; {
		a := c.get(path + more + cursor).ok()
		all = append(all, a.list("data")...)
		next, _ := a.at("next_cursor").v.(string)
		if next == "" {
			return all
		}
		cursor = "&cursor=" + next
	}
}

// The job type of most tests: done by whoever pulls it, with a quote of 0.21.
const metered = "text.stats"

const (
	meteredBase  = 10_000
	meteredPage  = 2_000
	meteredQuote = meteredBase + 100*meteredPage
)

// pullType is the definition of a job type that workers pull, changed by more.
func pullType(more ...object) object {
	def := object{
		"price":    object{"base": "0.01", "units": object{"page": object{"price": "0.002", "max": 100}}},
		"executor": object{"kind": "pull"},
	}
	for _, m := range more {
		for name, v := range m {
			def[name] = v
		}
	}
	return def
}

// define defines a job type.
func (s *server) define(t testing.TB, name string, definition object) {
	t.Helper()
	s.operator(t).put("/v1/job-types/"+name, definition).ok()
}

// submit submits a job of the type and returns its ID.
func (c caller) submit(jobType string) string {
	c.t.Helper()
	return c.post("/v1/jobs", object{"type": jobType, "input": object{"text": "to be"}}).ok().text("id")
}

// worker pulls jobs.
type worker struct{ caller }

// newWorker makes a key that may do nothing but work.
func (s *server) newWorker(t testing.TB) worker {
	t.Helper()
	made := s.operator(t).post("/v1/api-keys", object{"name": "worker", "permissions": []string{"work"}}).ok()
	return worker{s.as(t, made.text("key"))}
}

// lease is the right to one attempt.
type lease struct{ token, job string }

// lease waits for one job of the type.
func (w worker) lease(jobType string) lease {
	w.t.Helper()
	var got lease
	until(w.t, "a job of type "+jobType+" is leased", func() bool {
		a := w.post("/v1/worker/lease", object{"types": []string{jobType}, "wait": "10s"}).ok()
		for _, l := range a.list("leases") {
			got = lease{l.text("token"), l.text("job.id")}
		}
		return got.token != ""
	})
	return got
}

func (w worker) succeed(l lease, pages int) answer {
	w.t.Helper()
	return w.post("/v1/worker/jobs/"+l.job+"/succeed", object{"token": l.token, "result": object{"words": 2}, "units": object{"page": pages}})
}

func (w worker) fail(l lease, retry bool) answer {
	w.t.Helper()
	return w.post("/v1/worker/jobs/"+l.job+"/fail", object{"token": l.token, "error": object{"message": "the page is torn"}, "retry": retry})
}
