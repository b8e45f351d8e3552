package e2e

import (
	"net"
	"testing"
)

// way leads a request into one error.
type way struct {
	code  string
	cause string
	reach func(t *testing.T, s *server) answer
	// forGood is set where the code stands for a job that has failed, so that asking again is useless.
	forGood bool
}

// ways reach every code, in the contract's order. They share a server unless they break it.
var ways = []way{
	{code: "AUTHENTICATION_FAILED", cause: "no key", reach: func(t *testing.T, s *server) answer {
		return s.as(t, "").get("/v1/account")
	}},
	{code: "INVALID_API_KEY", cause: "the key of another server", reach: func(t *testing.T, s *server) answer {
		return s.as(t, prepare(t, setup{}).operatorKey).get("/v1/account")
	}},
	{code: "EXPIRED_API_KEY", cause: "a rotated key whose overlap is over", reach: func(t *testing.T, s *server) answer {
		c := s.newClient(t, "")
		old, id := c.newKey(object{"name": "old", "permissions": []string{"account:read"}})
		old.get("/v1/account").ok()
		c.post("/v1/api-keys/"+id+"/rotate", object{"overlap": "0s"}).ok()
		return old.onceRefused("/v1/account")
	}},
	{code: "REVOKED_API_KEY", cause: "a revoked key", reach: func(t *testing.T, s *server) answer {
		c := s.newClient(t, "")
		old, id := c.newKey(object{"name": "old", "permissions": []string{"account:read"}})
		old.get("/v1/account").ok()
		c.post("/v1/api-keys/"+id+"/revoke", nil).ok()
		return old.onceRefused("/v1/account")
	}},
	{code: "AUTHORIZATION_FAILED", cause: "a client on an operator's route", reach: func(t *testing.T, s *server) answer {
		return s.newClient(t, "").get("/v1/clients")
	}},
	{code: "SUSPENDED_ACCOUNT", cause: "a suspended client", reach: func(t *testing.T, s *server) answer {
		c := s.newClient(t, "")
		s.operator(t).post("/v1/clients/"+c.id+"/suspend", nil).ok()
		return c.onceRefused("/v1/account")
	}},
	{code: "INSUFFICIENT_PERMISSIONS", cause: "a key that may only read", reach: func(t *testing.T, s *server) answer {
		c, _ := s.newClient(t, "1").newKey(object{"name": "reader", "permissions": []string{"preset:read_only"}})
		return c.post("/v1/jobs", object{"type": metered, "input": object{}})
	}},
	{code: "INVALID_REQUEST", cause: "a body that is no object", reach: func(t *testing.T, s *server) answer {
		return s.newClient(t, "").post("/v1/jobs", `[]`)
	}},
	{code: "MISSING_PARAMETER", cause: "a job without a type", reach: func(t *testing.T, s *server) answer {
		return s.newClient(t, "").post("/v1/jobs", object{"input": object{}})
	}},
	{code: "INVALID_PARAMETER", cause: "a priority that is no number", reach: func(t *testing.T, s *server) answer {
		return s.newClient(t, "").post("/v1/jobs", object{"type": metered, "input": object{}, "priority": "high"})
	}},
	{code: "INVALID_FORMAT", cause: "a body that is no JSON", reach: func(t *testing.T, s *server) answer {
		return s.newClient(t, "").post("/v1/jobs", `{"type":`)
	}},
	{code: "INSUFFICIENT_BALANCE", cause: "a quote above what is available", reach: func(t *testing.T, s *server) answer {
		return s.newClient(t, "0.20").post("/v1/jobs", object{"type": metered, "input": object{}})
	}},
	{code: "RESOURCE_NOT_FOUND", cause: "a path without a route", reach: func(t *testing.T, s *server) answer {
		return s.newClient(t, "").get("/v1/nothing")
	}},
	{code: "JOB_NOT_FOUND", cause: "a job that does not exist", reach: func(t *testing.T, s *server) answer {
		return s.newClient(t, "").get("/v1/jobs/job_0000000000000000000000000a")
	}},
	{code: "CLIENT_NOT_FOUND", cause: "a client that does not exist", reach: func(t *testing.T, s *server) answer {
		return s.operator(t).get("/v1/clients/cl_0000000000000000000000000a")
	}},
	{code: "API_KEY_NOT_FOUND", cause: "a key that does not exist", reach: func(t *testing.T, s *server) answer {
		return s.newClient(t, "").get("/v1/api-keys/key_0000000000000000000000000a")
	}},
	{code: "RATE_LIMIT_EXCEEDED", cause: "more at once than the client's limit", reach: func(t *testing.T, s *server) answer {
		c := s.newClient(t, "", object{"limits": object{"requests_per_second": 0.001, "burst": 1}})
		c.get("/v1/account").ok()
		return c.get("/v1/account")
	}},
	{code: "INTERNAL_ERROR", cause: "a stored value that cannot be read", reach: func(t *testing.T, _ *server) answer {
		d := newDamaged(t)
		return d.client.get("/v1/jobs/" + d.job)
	}},
	{code: "PROCESSING_FAILED", cause: "a worker that gives up", forGood: true, reach: func(t *testing.T, s *server) answer {
		s.define(t, "torn", pullType())
		c := s.newClient(t, "1")
		id := c.submit("torn")
		w := s.newWorker(t)
		w.fail(w.lease("torn"), false).ok()
		return c.get("/v1/jobs/" + id + "/result")
	}},
	{code: "DATABASE_ERROR", cause: "a table whose page is destroyed", reach: func(t *testing.T, _ *server) answer {
		d := newDamaged(t)
		return d.client.get("/v1/account/entries")
	}},
	{code: "EXTERNAL_SERVICE_ERROR", cause: "an upstream that nobody serves", forGood: true, reach: func(t *testing.T, s *server) answer {
		s.define(t, "nobody", object{"executor": object{"kind": "http", "url": "http://" + closedAddress(t)}, "max_attempts": 1})
		return s.newClient(t, "1").post("/v1/run/nobody?wait=20s", object{})
	}},
	{code: "SERVICE_UNAVAILABLE", cause: "more requests at work than allowed", reach: func(t *testing.T, _ *server) answer {
		s := serve(t, setup{config: "max_in_flight: 1\n"})
		slow := s.operator(t).begin("POST", "/v1/clients", `{"name":"slow"}`)
		defer slow.close()
		a := s.operator(t).get("/v1/account")
		slow.finish().ok()
		return a
	}},
}

func TestEveryCodeIsReachedOverHTTP(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{config: "failed_auth_limit: 0\n"})
	s.define(t, metered, pullType())
	t.Run("codes", func(t *testing.T) {
		for _, w := range ways {
			t.Run(w.code+" by "+w.cause, func(t *testing.T) {
				t.Parallel()
				a := w.reach(t, s)
				if w.forGood {
					a.refusedForGood(w.code)
				} else {
					a.refused(w.code)
				}
			})
		}
	})
}

func TestEveryCodeOfTheContractHasAWay(t *testing.T) {
	t.Parallel()
	facts := contract(t)
	if len(facts) != 22 || len(ways) != len(facts) {
		t.Fatalf("%d codes in the contract, %d ways", len(facts), len(ways))
	}
	for i, f := range facts {
		if ways[i].code != f.Code {
			t.Errorf("way %d reaches %s, want %s", i, ways[i].code, f.Code)
		}
	}
}

func TestEveryAnswerHasARequestIDOfItsOwn(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{})
	seen := map[string]bool{}
	for _, path := range []string{"/v1/account", "/v1/account", "/v1/nothing", "/v1/clients", "/healthz", "/readyz"} {
		id := s.operator(t).get(path).header.Get("X-Request-Id")
		if id == "" || seen[id] {
			t.Errorf("%s: X-Request-Id is %q, which is empty or was there before", path, id)
		}
		seen[id] = true
	}
}

// onceRefused asks until the answer is no success: the server promises some changes within a time, not at once.
func (c caller) onceRefused(path string) (a answer) {
	c.t.Helper()
	until(c.t, path+" is refused", func() bool {
		a = c.get(path)
		return a.status != 200
	})
	return a
}

// closedAddress is a loopback address where nobody listens.
func closedAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
