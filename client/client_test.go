package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// answer is one prepared answer of a server.
type answer struct {
	status int
	header http.Header
	body   string
	cut    bool // the connection breaks instead
}

func envelope(status int, code, message string, header ...string) answer {
	h := http.Header{"X-Request-Id": {"req_1"}}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return answer{status: status, header: h, body: fmt.Sprintf(`{"error":{"code":%q,"message":%q}}`, code, message)}
}

// server gives the answers in turn, the last one ever after, and keeps the requests.
func server(t *testing.T, answers ...answer) (*Client, *[]*http.Request, *[]time.Duration) {
	t.Helper()
	var mu sync.Mutex // a connection that breaks is another's handler's end
	var requests []*http.Request
	var waits []time.Duration
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		mu.Lock()
		a := answers[min(len(requests), len(answers)-1)]
		requests = append(requests, r)
		mu.Unlock()
		if a.cut {
			panic(http.ErrAbortHandler)
		}
		for name, values := range a.header {
			w.Header()[name] = values
		}
		if a.status != 0 {
			w.WriteHeader(a.status)
		}
		_, _ = io.WriteString(w, a.body)
	}))
	t.Cleanup(s.Close)
	return &Client{
		BaseURL: s.URL, Key: "tg_live_x", HTTP: s.Client(),
		jitter: func(most time.Duration) time.Duration { return most / 2 },
		sleep: func(ctx context.Context, d time.Duration) error {
			waits = append(waits, d)
			return ctx.Err()
		},
	}, &requests, &waits
}

func TestACallSendsTheKeyTheQueryAndTheBody(t *testing.T) {
	c, requests, _ := server(t, answer{body: `{"id":"job_1"}`})
	c.BaseURL += "/behind/a/proxy/"
	var job struct{ ID string }
	err := c.Do(t.Context(), "POST", "/v1/jobs", url.Values{"wait": {"5s"}}, map[string]any{"type": "text.stats"}, &job)
	if err != nil || job.ID != "job_1" {
		t.Fatalf("got %+v, %v", job, err)
	}
	r := (*requests)[0]
	body, _ := io.ReadAll(r.Body)
	for _, check := range [][2]string{
		{r.URL.String(), "/behind/a/proxy/v1/jobs?wait=5s"},
		{r.Header.Get("Authorization"), "Bearer tg_live_x"},
		{r.Header.Get("Content-Type"), "application/json"},
		{string(body), `{"type":"text.stats"}`},
	} {
		if check[0] != check[1] {
			t.Errorf("got %q, want %q", check[0], check[1])
		}
	}
}

func TestRawBodiesGoOutAsTheyAre(t *testing.T) {
	for _, body := range []any{[]byte(`{"a": 1}`), json.RawMessage(`{"a": 1}`)} {
		c, requests, _ := server(t, answer{body: `{}`})
		if err := c.Do(t.Context(), "PUT", "/v1/job-types/x", nil, body, nil); err != nil {
			t.Fatal(err)
		}
		if got, _ := io.ReadAll((*requests)[0].Body); string(got) != `{"a": 1}` {
			t.Errorf("%T went out as %q", body, got)
		}
	}
}

func TestTransientFailuresAreTriedAgain(t *testing.T) {
	for name, first := range map[string]answer{
		"rate limit":               envelope(429, "RATE_LIMIT_EXCEEDED", "Rate limit exceeded"),
		"unavailable":              envelope(503, "SERVICE_UNAVAILABLE", "The service is temporarily unavailable"),
		"unavailable, from others": {status: 503, body: "<html>busy</html>"},
		"database, retry told":     envelope(500, "DATABASE_ERROR", "A database error occurred", "X-Should-Retry", "true"),
		"bad gateway":              {status: 502, body: "upstream gone"},
		"gateway timeout":          {status: 504},
		"connection cut":           {cut: true},
	} {
		t.Run(name, func(t *testing.T) {
			c, requests, _ := server(t, first, first, answer{body: `{"ok":true}`})
			if err := c.Do(t.Context(), "POST", "/v1/jobs", nil, struct{}{}, nil); err != nil {
				t.Fatal(err)
			}
			if len(*requests) != 3 {
				t.Fatalf("%d requests, want 3", len(*requests))
			}
			key := (*requests)[0].Header.Get("Idempotency-Key")
			for _, r := range *requests {
				if got := r.Header.Get("Idempotency-Key"); got == "" || got != key {
					t.Errorf("Idempotency-Key %q, the first was %q", got, key)
				}
				if body, _ := io.ReadAll(r.Body); string(body) != "{}" {
					t.Errorf("a try sent %q", body)
				}
			}
		})
	}
}

func TestRefusalsAreNotTriedAgain(t *testing.T) {
	for name, a := range map[string]answer{
		"bad request":           envelope(400, "INVALID_PARAMETER", "A parameter has an invalid value: priority"),
		"key":                   envelope(401, "INVALID_API_KEY", "The provided API key is invalid"),
		"permission":            envelope(403, "INSUFFICIENT_PERMISSIONS", "…"),
		"not found":             envelope(404, "JOB_NOT_FOUND", "…"),
		"500 that says nothing": envelope(500, "INTERNAL_ERROR", "…"),
		"500 that says no":      envelope(500, "PROCESSING_FAILED", "…", "X-Should-Retry", "false"),
		"503 that says no":      envelope(503, "SERVICE_UNAVAILABLE", "…", "X-Should-Retry", "false"),
		"redirect":              {status: 302, header: http.Header{"Location": {"/elsewhere"}}},
		"page":                  {body: "<html>hello</html>"},
		"patience":              envelope(429, "RATE_LIMIT_EXCEEDED", "…", "Retry-After", "3600"),
	} {
		t.Run(name, func(t *testing.T) {
			c, requests, _ := server(t, a)
			err := c.Do(t.Context(), "POST", "/v1/jobs", nil, nil, new(struct{}))
			failure, ok := errors.AsType[*Error](err)
			if !ok || failure.Attempts != 1 || len(*requests) != 1 {
				t.Fatalf("%d requests, %v", len(*requests), err)
			}
			if want := max(a.status, 200); failure.Status != want {
				t.Errorf("status %d, want %d", failure.Status, want)
			}
		})
	}
}

func TestAnErrorCarriesWhatTheServerSaid(t *testing.T) {
	c, _, _ := server(t, envelope(429, "RATE_LIMIT_EXCEEDED", "Rate limit exceeded: 50 a second", "Retry-After", "7"))
	c.Tries = 2
	err := c.Do(t.Context(), "GET", "/v1/jobs", nil, nil, nil)
	failure, _ := errors.AsType[*Error](err)
	want := Error{Status: 429, Code: "RATE_LIMIT_EXCEEDED", Message: "Rate limit exceeded: 50 a second", RequestID: "req_1", RetryAfter: 7 * time.Second, Attempts: 2}
	if failure == nil || *failure != want {
		t.Fatalf("got %+v, want %+v", failure, want)
	}
	if got := err.Error(); got != "RATE_LIMIT_EXCEEDED: Rate limit exceeded: 50 a second (after 2 tries)" {
		t.Error(got)
	}
}

func TestWaitsDoubleAboveTheRetryAfter(t *testing.T) {
	c, _, waits := server(t,
		envelope(503, "SERVICE_UNAVAILABLE", "…"),
		envelope(503, "SERVICE_UNAVAILABLE", "…", "Retry-After", "2"),
		envelope(503, "SERVICE_UNAVAILABLE", "…"),
		answer{body: "{}"})
	if err := c.Do(t.Context(), "GET", "/v1/jobs", nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	want := []time.Duration{125 * time.Millisecond, 2250 * time.Millisecond, 500 * time.Millisecond} // half of the most
	if !slices.Equal(*waits, want) {
		t.Errorf("waited %v, want %v", *waits, want)
	}
	if backoff(100) != mostBackoff {
		t.Errorf("the hundredth backoff is %v", backoff(100))
	}
}

func TestTriesEndWithTheLastFailure(t *testing.T) {
	c, requests, _ := server(t, envelope(503, "SERVICE_UNAVAILABLE", "…"))
	heard := 0
	c.OnRetry = func(*Error, time.Duration) { heard++ }
	err := c.Do(t.Context(), "GET", "/v1/jobs", nil, nil, nil)
	if failure, _ := errors.AsType[*Error](err); failure == nil || failure.Attempts != defaultTries || len(*requests) != defaultTries {
		t.Errorf("%d requests, %v", len(*requests), err)
	}
	if heard != defaultTries-1 {
		t.Errorf("told %d times", heard)
	}
}

func TestAServerThatIsNotThere(t *testing.T) {
	s := httptest.NewServer(nil)
	s.Close()
	c := &Client{BaseURL: s.URL, Tries: 1}
	err := c.Do(t.Context(), "GET", "/v1/jobs", nil, nil, nil)
	failure, _ := errors.AsType[*Error](err)
	if failure == nil || failure.Status != 0 || !strings.HasPrefix(failure.Message, "cannot reach "+s.URL) || failure.Err == nil {
		t.Errorf("got %v", err)
	}
}

func TestAnAddressWithoutASchemeIsRefused(t *testing.T) {
	for _, base := range []string{"", "localhost:8080", "ftp://host", "http://"} {
		if err := (&Client{BaseURL: base}).Do(t.Context(), "GET", "/v1/jobs", nil, nil, nil); !errors.Is(err, ErrBaseURL) {
			t.Errorf("%q: %v", base, err)
		}
	}
}

func TestACancelledCallStops(t *testing.T) {
	c, requests, _ := server(t, envelope(503, "SERVICE_UNAVAILABLE", "…"))
	ctx, cancel := context.WithCancel(t.Context())
	c.OnRetry = func(*Error, time.Duration) { cancel() }
	err := c.Do(ctx, "GET", "/v1/jobs", nil, nil, nil)
	if !errors.Is(err, context.Canceled) || len(*requests) != 1 {
		t.Errorf("%d requests, %v", len(*requests), err)
	}
}

func TestADeadlineIsNotSleptPast(t *testing.T) {
	c, _, waits := server(t, envelope(503, "SERVICE_UNAVAILABLE", "…", "Retry-After", "30"))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := c.Do(ctx, "GET", "/v1/jobs", nil, nil, nil)
	if _, ok := errors.AsType[*Error](err); !ok || len(*waits) != 0 {
		t.Errorf("waited %v, %v", *waits, err)
	}
}

func TestTheCallersIdempotencyKeyIsSent(t *testing.T) {
	c, requests, _ := server(t, answer{body: "{}"})
	if err := c.Do(WithIdempotencyKey(t.Context(), "order-7"), "POST", "/v1/jobs", nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.Do(t.Context(), "GET", "/v1/jobs", nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	if got := (*requests)[0].Header.Get("Idempotency-Key"); got != "order-7" {
		t.Errorf("the POST bore %q", got)
	}
	if got := (*requests)[1].Header.Get("Idempotency-Key"); got != "" {
		t.Errorf("the GET bore %q", got)
	}
}

func TestForeignAnswersAreToldAsSuch(t *testing.T) {
	c, _, _ := server(t, answer{status: 404, body: "<html>\n <h1>nginx</h1>" + strings.Repeat("x", 500)})
	err := c.Do(t.Context(), "GET", "/v1/jobs", nil, nil, nil)
	if err == nil || !strings.HasPrefix(err.Error(), `HTTP 404 Not Found, not from a Tallygate server: "<html> <h1>nginx</h1>xx`) || len(err.Error()) > 250 {
		t.Errorf("got %v", err)
	}
}

func TestRetryAfterReadsSecondsAndDates(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for s, want := range map[string]time.Duration{
		"":                              0,
		"3":                             3 * time.Second,
		"-3":                            0,
		"99999999999999999999":          0,
		"soon":                          0,
		"Fri, 02 Jan 2026 03:04:15 GMT": 10 * time.Second,
		"Fri, 02 Jan 2026 03:00:00 GMT": 0,
	} {
		if got := retryAfter(s, now); got != want {
			t.Errorf("%q is %v, want %v", s, got, want)
		}
	}
}

// FuzzAnswers checks that no answer, however odd, breaks the client.
func FuzzAnswers(f *testing.F) {
	f.Add(200, `{"data":[]}`)
	f.Add(503, `{"error":{"code":"SERVICE_UNAVAILABLE","message":"…"}}`)
	f.Add(500, "\xff\xfe")
	f.Fuzz(func(t *testing.T, status int, body string) {
		res := &http.Response{StatusCode: status, Status: fmt.Sprint(status), Body: io.NopCloser(strings.NewReader(body))}
		if e := refusal(res); e.Error() == "" {
			t.Error("a refusal without words")
		}
	})
}
