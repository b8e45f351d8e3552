package api

import (
	"net/http"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/access"
)

// TestEveryCodeIsReachable makes each error of the contract happen over HTTP, and checks the whole of its answer.
func TestEveryCodeIsReachable(t *testing.T) {
	clock := newClock()
	h := newHouse(t, clock.Now, nil)
	key := func(body string) string { return text(h.ok("POST", "/v1/api-keys", h.keys["acme"], body), "key") }
	reader := key(`{"permissions":["jobs:read"]}`)
	expired := key(`{"permissions":["jobs:read"],"expires_at":"2026-01-31T12:00:01Z"}`)
	elsewhere := key(`{"permissions":["jobs:read"],"allowed_cidrs":["203.0.113.0/24"]}`)
	once := key(`{"permissions":["jobs:read"],"limits":{"requests_per_second":0.1,"burst":1}}`)
	revoked := h.ok("POST", "/v1/api-keys", h.keys["acme"], `{"permissions":["jobs:read"]}`)
	h.ok("POST", "/v1/api-keys/"+text(revoked, "id")+"/revoke", h.keys["acme"], "")
	poor := h.newClient("poor")
	poorID := text(h.ok("GET", "/v1/account", poor, ""), "id")
	h.ok("PATCH", "/v1/clients/"+poorID, h.operator, `{"minimum_balance":"25.00"}`)
	suspended := h.newClient("suspended")
	h.ok("POST", "/v1/clients/"+text(h.ok("GET", "/v1/account", suspended, ""), "id")+"/suspend", h.operator, "")
	failed, upstream := h.submitted("acme"), h.submitted("acme")
	h.finish("fail", `"error":{"message":"no memory"},"retry":false`)
	h.finish("fail", `"error":{"message":"no answer","code":"EXTERNAL_SERVICE_ERROR"},"retry":false`)
	h.mux.Handle("/explode", &location{routes: []*route{{method: "GET", kind: open, handle: func(*call) error { panic("on purpose") }}}})
	h.ok("GET", "/v1/jobs", once, "")
	clock.Advance(time.Second)

	tests := []struct {
		code              tallygate.Code
		method, path, key string
		body              string
		before            func()
	}{
		{code: tallygate.AuthenticationFailed, method: "GET", path: "/v1/jobs"},
		{code: tallygate.InvalidAPIKey, method: "GET", path: "/v1/jobs", key: access.MakeUnknownKey()},
		{code: tallygate.ExpiredAPIKey, method: "GET", path: "/v1/jobs", key: expired},
		{code: tallygate.RevokedAPIKey, method: "GET", path: "/v1/jobs", key: text(revoked, "key")},
		{code: tallygate.AuthorizationFailed, method: "GET", path: "/v1/jobs", key: elsewhere},
		{code: tallygate.SuspendedAccount, method: "GET", path: "/v1/jobs", key: suspended},
		{code: tallygate.InsufficientPermissions, method: "POST", path: "/v1/jobs", key: reader, body: someJob},
		{code: tallygate.InvalidRequest, method: "DELETE", path: "/v1/jobs"},
		{code: tallygate.MissingParameter, method: "POST", path: "/v1/jobs", key: h.keys["acme"], body: `{}`},
		{code: tallygate.InvalidParameter, method: "GET", path: "/v1/jobs?limit=0", key: h.keys["acme"]},
		{code: tallygate.InvalidFormat, method: "POST", path: "/v1/jobs", key: h.keys["acme"], body: `{`},
		{code: tallygate.InsufficientBalance, method: "POST", path: "/v1/jobs", key: poor, body: someJob},
		{code: tallygate.ResourceNotFound, method: "GET", path: "/v1/nothing"},
		{code: tallygate.JobNotFound, method: "GET", path: "/v1/jobs/17", key: h.keys["acme"]},
		{code: tallygate.ClientNotFound, method: "GET", path: "/v1/clients/17", key: h.operator},
		{code: tallygate.APIKeyNotFound, method: "GET", path: "/v1/api-keys/17", key: h.keys["acme"]},
		{code: tallygate.RateLimitExceeded, method: "GET", path: "/v1/jobs", key: once},
		{code: tallygate.InternalError, method: "GET", path: "/explode"},
		{code: tallygate.ProcessingFailed, method: "GET", path: "/v1/jobs/" + failed + "/result", key: h.keys["acme"]},
		{code: tallygate.ExternalServiceError, method: "GET", path: "/v1/jobs/" + upstream + "/result", key: h.keys["acme"]},
		{code: tallygate.DatabaseError, method: "GET", path: "/v1/jobs", key: h.keys["acme"], before: func() { h.store.broken.Store(true) }},
		{code: tallygate.ServiceUnavailable, method: "GET", path: "/v1/jobs", before: h.Drain},
	}
	reached := map[tallygate.Code]bool{}
	for _, test := range tests {
		if test.before != nil {
			test.before()
		}
		w := h.send(test.method, test.path, test.key, test.body)
		result := w.Result()
		result.Header.Set("Date", "now") // net/http's
		checkRefusal(t, result, w.Body.String(), test.code)
		reached[test.code] = true

		final := test.code == tallygate.ExternalServiceError // here it is the job's own, which has ended
		if got, want := w.Header().Get("X-Should-Retry") == "true", test.code.Facts().Retry && !final; got != want {
			t.Errorf("%s: retry %t", test.code, got)
		}
		waits := w.Code == http.StatusTooManyRequests || w.Code == http.StatusServiceUnavailable || test.code == tallygate.DatabaseError
		if got := w.Header().Get("Retry-After"); (got != "") != waits {
			t.Errorf("%s: Retry-After %q", test.code, got)
		}
		if got := w.Header().Get("WWW-Authenticate"); (got != "") != (w.Code == http.StatusUnauthorized) {
			t.Errorf("%s: WWW-Authenticate %q", test.code, got)
		}
	}
	for _, code := range tallygate.Codes() {
		if !reached[code] {
			t.Errorf("%s was not reached", code)
		}
	}
}
