package e2e

import (
	"fmt"
	"net/http"
	"testing"
)

func TestLimitHeadersCountDown(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{})
	c := s.newClient(t, "", object{"limits": object{"requests_per_second": 0.001, "burst": 2}})
	for _, step := range []struct {
		remaining string
		code      string
	}{{"1", ""}, {"0", ""}, {"0", "RATE_LIMIT_EXCEEDED"}} {
		a := c.get("/v1/account")
		if step.code == "" {
			a.ok()
		} else {
			a.refused(step.code)
		}
		for name, want := range map[string]string{"X-RateLimit-Limit": "2", "X-RateLimit-Remaining": step.remaining} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", a, name, got, want)
			}
		}
		for _, name := range []string{"RateLimit", "RateLimit-Policy", "X-RateLimit-Reset"} {
			if a.header.Get(name) == "" {
				t.Errorf("%s: no %s", a, name)
			}
		}
	}
}

func TestRaisedLimitHoldsAtOnce(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{})
	c := s.newClient(t, "", object{"limits": object{"requests_per_second": 0.001, "burst": 1}})
	c.get("/v1/account").ok()
	c.get("/v1/account").refused("RATE_LIMIT_EXCEEDED")
	s.operator(t).call(http.MethodPatch, "/v1/clients/"+c.id, object{"limits": object{"requests_per_second": 1000, "burst": 1000}}).ok()
	until(t, "the client passes under its new limit", func() bool { return c.get("/v1/account").status == http.StatusOK })
}

func TestTooManyFailedAuthenticationsAreLimitedByAddress(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{config: "failed_auth_limit: 0.001\nfailed_auth_burst: 3\n"})
	for i := range 3 {
		t.Run(fmt.Sprintf("failure %d", i+1), func(t *testing.T) {
			s.as(t, "").get("/v1/account").refused("AUTHENTICATION_FAILED")
		})
	}
	s.as(t, "").get("/v1/account").refused("RATE_LIMIT_EXCEEDED")
	s.operator(t).get("/v1/account").ok()
}
