package api

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
)

func TestRoutesAreClean(t *testing.T) {
	for path, want := range map[string]bool{
		"/": true, "/v1": true, "/v1/jobs": true, "/v1/jobs/": true, "/v1/.x": true, "/v1/..x": true, "/v1/x..": true,
		"": false, "*": false, "v1": false, "//": false, "/v1//jobs": false, "/v1/.": false, "/v1/./x": false, "/../x": false, "/v1/..": false,
	} {
		if isClean(path) != want {
			t.Errorf("%q: %t", path, !want)
		}
	}
}

// Every refusal of one request is the first in the order of the checks.
func TestOrderOfChecks(t *testing.T) {
	clock := newClock()
	h := newHouse(t, clock.Now, nil)
	acme := text(h.ok("GET", "/v1/account", h.keys["acme"], ""), "id")
	key := text(h.ok("POST", "/v1/api-keys", h.keys["acme"],
		`{"permissions":["account:read"],"allowed_cidrs":["203.0.113.0/24"],"expires_at":"2026-01-31T13:00:00Z","limits":{"requests_per_second":0.001,"burst":1}}`), "key")
	// The request is wrong in every way: it is called from the wrong address with a key that lacks the permission, and
	// its body is not JSON. What is mended from step to step brings the next refusal.
	ask := func(address string) tallygate.Code {
		t.Helper()
		r := newRequest("POST", "/v1/jobs/17/cancel", key, "{")
		r.RemoteAddr = address
		w := h.do(r)
		code, ok := tallygate.ParseCode(w.Header().Get("X-Error-Code"))
		if !ok {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		return code
	}
	expect := func(got, want tallygate.Code) {
		t.Helper()
		if got != want {
			t.Errorf("%s, not %s", got, want)
		}
	}
	h.ok("POST", "/v1/clients/"+acme+"/suspend", h.operator, "")
	clock.Advance(2 * time.Hour)
	expect(ask("192.0.2.1:1"), tallygate.ExpiredAPIKey)
	clock.Advance(-2 * time.Hour)
	expect(ask("192.0.2.1:1"), tallygate.AuthorizationFailed)
	expect(ask("203.0.113.1:1"), tallygate.SuspendedAccount)
	h.ok("POST", "/v1/clients/"+acme+"/activate", h.operator, "")
	expect(ask("203.0.113.1:1"), tallygate.InsufficientPermissions) // it took the one request of the limit
	expect(ask("203.0.113.1:1"), tallygate.RateLimitExceeded)
	key = h.keys["acme"]
	expect(ask("203.0.113.1:1"), tallygate.InvalidFormat)
	expect(tallygate.JobNotFound, mustCode(t, h.send("POST", "/v1/jobs/17/cancel", key, "{}").Header()))
}

func mustCode(t *testing.T, h http.Header) tallygate.Code {
	t.Helper()
	code, ok := tallygate.ParseCode(h.Get("X-Error-Code"))
	if !ok {
		t.Fatal("no code")
	}
	return code
}

func TestOverloadIsRefused(t *testing.T) {
	var delay time.Duration
	h := newHouse(t, newClock().Now, func(o *Options) {
		o.MaxInFlight = 2
		o.StoreDelay = func() time.Duration { return delay }
	})
	delay = 2 * time.Second
	w := h.send("GET", "/v1/jobs", h.keys["acme"], "")
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" {
		t.Errorf("a slow store: %d %v", w.Code, w.Header())
	}
	delay = 0
	h.inFlight.Store(2)
	if w := h.send("GET", "/v1/jobs", h.keys["acme"], ""); w.Code != http.StatusServiceUnavailable {
		t.Errorf("too many at once: %d", w.Code)
	}
	if w := h.send("GET", "/healthz", "", ""); w.Code != http.StatusOK {
		t.Errorf("health: %d", w.Code)
	}
	h.inFlight.Store(1)
	h.ok("GET", "/v1/jobs", h.keys["acme"], "")
	if n := h.inFlight.Load(); n != 1 {
		t.Errorf("%d at work afterwards", n)
	}
}

func TestRateLimitHeaders(t *testing.T) {
	clock := newClock()
	h := newHouse(t, clock.Now, nil)
	key := text(h.ok("POST", "/v1/api-keys", h.keys["acme"],
		`{"permissions":["jobs:read"],"limits":{"requests_per_second":0.5,"burst":3}}`), "key")
	for _, want := range []struct {
		status                          int
		limit, left, reset, now, policy string
	}{
		{200, "3", "2", "1769860802", `"key";r=2;t=2`, `"key";q=3;w=6`},
		{200, "3", "1", "1769860804", `"key";r=1;t=4`, `"key";q=3;w=6`},
		{200, "3", "0", "1769860806", `"key";r=0;t=6`, `"key";q=3;w=6`},
		{429, "3", "0", "1769860806", `"key";r=0;t=6`, `"key";q=3;w=6`},
	} {
		w := h.send("GET", "/v1/jobs", key, "")
		if w.Code != want.status {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		for name, value := range map[string]string{
			"X-RateLimit-Limit": want.limit, "X-RateLimit-Remaining": want.left, "X-RateLimit-Reset": want.reset,
			"RateLimit": want.now, "RateLimit-Policy": want.policy,
		} {
			if got := w.Header().Get(name); got != value {
				t.Errorf("%s: %s, not %s", name, got, value)
			}
		}
		if retry := w.Header().Get("Retry-After"); want.status == 429 && retry != "2" {
			t.Errorf("Retry-After: %s", retry)
		}
	}
	if w := h.send("GET", "/v1/jobs", h.operator, ""); w.Header().Get("RateLimit") != "" {
		t.Errorf("the operator has a limit: %v", w.Header())
	}
}

func TestJobTypesHaveLimitsOfTheirOwn(t *testing.T) {
	h := newHouse(t, newClock().Now, nil)
	h.ok("PUT", "/v1/job-types/slow", h.operator, `{"limits":{"requests_per_second":0.1,"burst":2}}`)
	const job = `{"type":"slow","input":null}`
	h.ok("POST", "/v1/jobs", h.keys["acme"], job)
	h.ok("POST", "/v1/jobs", h.keys["acme"], job)
	w := h.send("POST", "/v1/jobs", h.keys["acme"], job)
	want(t, w, 429, "RATE_LIMIT_EXCEEDED", "job type")
	if got := w.Header().Get("RateLimit-Policy"); got != `"job_type";q=2;w=20` {
		t.Error(got)
	}
	h.ok("POST", "/v1/jobs", h.keys["globex"], job)
}

func TestPagesArePassedOn(t *testing.T) {
	h := newHouse(t, newClock().Now, nil)
	h.Mount("/docs", http.RedirectHandler("/docs/quickstart", http.StatusSeeOther))
	for path, status := range map[string]int{"/docs": 303, "/docs/x": 303, "/docsx": 404, "/doc": 404} {
		if w := h.send("GET", path, "", ""); w.Code != status || w.Header().Get("X-Request-Id") == "" {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
	}
}

func TestPagesTakeTheMethodsTheyAreMountedFor(t *testing.T) {
	h := newHouse(t, newClock().Now, nil)
	h.Mount("/docs", http.RedirectHandler("/docs/quickstart", http.StatusSeeOther), "GET", "HEAD")
	for _, method := range []string{"POST", "OPTIONS", "TRACE", "get"} {
		w := h.send(method, "/docs/x", "", "")
		want(t, w, 400, "INVALID_REQUEST", "is not a method of this path: use GET, HEAD")
		if w.Header().Get("Allow") != "GET, HEAD" || w.Header().Get("X-Request-Id") == "" {
			t.Error(method, w.Header())
		}
	}
	h.Drain()
	if w := h.send("GET", "/docs/x", "", ""); w.Code != 303 {
		t.Errorf("%d while draining", w.Code)
	}
}

func TestReadinessTellsMore(t *testing.T) {
	status := map[string]any{"circuits": map[string]string{"image.resize": "open"}}
	h := newHouse(t, newClock().Now, func(o *Options) { o.Ready = func() map[string]any { return status } })
	want(t, h.send("GET", "/readyz", "", ""), 200, `"status":"ok"`, `"image.resize":"open"`)
	status["status"], status["reason"] = "starting", "migrations are running"
	want(t, h.send("GET", "/readyz", "", ""), 503, "SERVICE_UNAVAILABLE", "migrations are running")
}

func TestFailuresAreLoggedOnceWithoutSecrets(t *testing.T) {
	var log bytes.Buffer
	h := newHouse(t, newClock().Now, func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelInfo}))
	})
	h.ok("GET", "/v1/jobs", h.keys["acme"], "") // so that the key is known without the store
	h.send("GET", "/v1/nothing", h.keys["acme"], "")
	h.send("GET", "/v1/jobs", "tg_live_x", "")
	if log.Len() > 0 {
		t.Errorf("callers' mistakes are logged: %s", &log)
	}
	h.store.broken.Store(true)
	w := h.send("GET", "/v1/jobs", h.keys["acme"], "")
	lines := strings.TrimSpace(log.String())
	if strings.Count(lines, "\n") != 0 {
		t.Errorf("not one line: %s", lines)
	}
	for _, part := range []string{"level=ERROR", "request_id=" + w.Header().Get("X-Request-Id"), "key_id=key_", "client_id=cl_", "code=DATABASE_ERROR", "route=/v1/jobs"} {
		if !strings.Contains(lines, part) {
			t.Errorf("no %s in %s", part, lines)
		}
	}
	for name, key := range h.keys {
		if strings.Contains(lines, key) {
			t.Errorf("the key of %s is in the log", name)
		}
	}
}

func TestOutcomesAreCountedByHourForADay(t *testing.T) {
	clock := newClock()
	h := newHouse(t, clock.Now, nil)
	id := tallygate.ClientID(text(h.ok("GET", "/v1/account", h.keys["acme"], ""), "id"))
	h.send("GET", "/v1/jobs?limit=0", h.keys["acme"], "")
	clock.Advance(time.Hour)
	h.send("GET", "/v1/jobs?limit=0", h.keys["acme"], "")
	h.send("GET", "/v1/jobs", "tg_live_x", "")
	noon := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	want := []Outcome{
		{ClientID: id, Hour: noon, Route: "GET /v1/account", Requests: 1},
		{ClientID: id, Hour: noon, Route: "GET /v1/jobs", Code: "INVALID_PARAMETER", Requests: 1},
		{ClientID: id, Hour: noon.Add(time.Hour), Route: "GET /v1/jobs", Code: "INVALID_PARAMETER", Requests: 1},
	}
	got := h.Outcomes(id, false)
	if len(got) != len(want) {
		t.Fatalf("%v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%v, not %v", got[i], want[i])
		}
	}
	if nobodys := h.Outcomes("", false); len(nobodys) != 1 || nobodys[0].Code != "AUTHENTICATION_FAILED" {
		t.Errorf("%v", nobodys)
	}
	clock.Advance(countedHours * time.Hour)
	h.ok("GET", "/v1/account", h.keys["acme"], "")
	if got := h.Outcomes("", true); len(got) != 1 {
		t.Errorf("%v", got)
	}
}

// A caller that leaves is no failure of the server's.
func TestCallersThatLeaveAreNotCounted(t *testing.T) {
	var log bytes.Buffer
	h := newHouse(t, newClock().Now, func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	ctx, leave := context.WithCancel(t.Context())
	leave()
	r := newRequest("POST", "/v1/jobs", h.keys["acme"], someJob)
	h.do(r.WithContext(ctx))
	if log.Len() > 0 {
		t.Errorf("%s", &log)
	}
	for _, o := range h.Outcomes("", true) {
		if o.Code != "" {
			t.Errorf("%v", o)
		}
	}
}
