package tallygate

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestTheServerAndKeyComeFromTheEnvironment(t *testing.T) {
	t.Setenv("TALLYGATE_URL", "https://jobs.example.com/behind/a/proxy/")
	t.Setenv("TALLYGATE_KEY", " tg_live_x\n")
	c, err := New()
	if err != nil || c.URL() != "https://jobs.example.com/behind/a/proxy" || c.key() != "tg_live_x" {
		t.Errorf("%v, %q, %v", c, c.key(), err)
	}
	if c, err = New(WithURL("http://other"), WithKey("k")); err != nil || c.URL() != "http://other" || c.key() != "k" {
		t.Errorf("options do not win: %v, %v", c, err)
	}
	t.Setenv("TALLYGATE_URL", "")
	if c, err = New(); err != nil || c.URL() != DefaultURL {
		t.Errorf("without an address: %v, %v", c, err)
	}
}

func TestAnAddressThatIsNoneIsRefused(t *testing.T) {
	for _, address := range []string{"localhost:8080", "ftp://host", "http://", "://", "http://u:hunter2@host", "http://host?key=x"} {
		if _, err := New(WithURL(address)); !errors.Is(err, ErrURL) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", address, err)
		}
	}
	if _, err := New(WithKey("tg_live\r\nX: y")); err == nil || strings.Contains(err.Error(), "tg_live") {
		t.Errorf("a key of two lines: %v", err)
	}
}

func TestErrorsAreFoundByBaseByTypeAndByCode(t *testing.T) {
	for code, of := range errorTypes {
		err := fmt.Errorf("while paying: %w", of(&Error{Code: code, Message: "m", Attempts: 2, Err: os.ErrDeadlineExceeded}))
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Code != code || !errors.Is(err, code) || errors.Is(err, Code("OTHER")) || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %+v", code, err)
		}
	}
	limited, ok := errors.AsType[*RateLimitExceededError](fmt.Errorf("x: %w", typed(&Error{Code: CodeRateLimitExceeded, RetryAfter: time.Second})))
	if !ok || limited.RetryAfter != time.Second {
		t.Errorf("%v", limited)
	}
	if _, ok := errors.AsType[*DatabaseError](error(limited)); ok {
		t.Error("a rate limit is no database")
	}
}

func TestHooksHearOfEveryAttempt(t *testing.T) {
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Request-Id", "r1")
		if calls++; calls == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, `{"status":"ok"}`)
	}))
	defer server.Close()
	var heard []string
	c, err := New(WithURL(server.URL), WithHooks(Hooks{
		OnRequest: func(_ context.Context, r Request) { heard = append(heard, fmt.Sprintf("request %v", r)) },
		OnResponse: func(_ context.Context, r Request, res Response) {
			heard = append(heard, fmt.Sprintf("answer %d %s %v", res.Status, res.RequestID, res.Err == nil))
		},
		OnRetry: func(_ context.Context, r Request, failure *Error, wait time.Duration) {
			heard = append(heard, fmt.Sprintf("retry after %d %d %v", r.Attempt, failure.Status, wait))
		},
	}), WithHooks(Hooks{}))
	if err != nil {
		t.Fatal(err)
	}
	c.random = func() float64 { return 0 }
	var answer Answer
	if _, err := c.Health(t.Context(), WithAnswer(&answer)); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"request {getHealth GET /healthz 1}", "answer 503 r1 false", "retry after 1 503 0s",
		"request {getHealth GET /healthz 2}", "answer 200 r1 true",
	}
	if !slices.Equal(heard, want) {
		t.Errorf("heard %q", heard)
	}
	if string(answer.Body) != `{"status":"ok"}` || answer.Header.Get("X-Request-Id") != "r1" || answer.Replayed() {
		t.Errorf("answer %s %v", answer.Body, answer.Header)
	}
}

func TestTheGivenHTTPClientMakesTheRequests(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, `{}`)
	}))
	defer server.Close()
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	trusting, err := New(WithURL(server.URL), WithHTTPClient(server.Client()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trusting.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := trusting.Health(t.Context()); baseOf(err) == nil || baseOf(err).Status != http.StatusFound {
		t.Errorf("a redirect: %v", err)
	}
	if server.Client().CheckRedirect != nil {
		t.Error("the given client was changed")
	}
	doubting, err := New(WithURL(server.URL))
	if err != nil {
		t.Fatal(err)
	}
	_, err = doubting.Ready(t.Context())
	unreached, ok := errors.AsType[*ConnectionError](err)
	if !ok || unreached.Attempts != 1 {
		t.Errorf("a certificate that nobody knows: %v", err)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok {
		t.Errorf("the cause is lost: %v", err)
	}
}

func TestAProxyIsUsed(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"status":"by proxy to %s"}`, r.URL.Host)
	}))
	defer proxy.Close()
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(WithURL("http://jobs.invalid"), WithHTTPClient(&http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(at)}}))
	if err != nil {
		t.Fatal(err)
	}
	if h, err := c.Health(t.Context()); err != nil || h.Status != "by proxy to jobs.invalid" {
		t.Errorf("%+v, %v", h, err)
	}
}

func TestTheContextsDeadlineIsNotWaitedOut(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	c, err := New(WithURL(server.URL))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err = c.Health(ctx)
	if e := baseOf(err); e == nil || e.Attempts != 1 || e.RetryAfter != time.Minute || ctx.Err() != nil {
		t.Errorf("%v", err)
	}
}

func TestACallMayBeMadeByPath(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, `{"said":%q}`, r.Method+" "+r.RequestURI+" "+string(body)+" "+r.Header.Get("Idempotency-Key"))
	}))
	defer server.Close()
	c, err := New(WithURL(server.URL))
	if err != nil {
		t.Fatal(err)
	}
	var answer struct{ Said string }
	err = c.Do(t.Context(), http.MethodPost, "/v1/novelties", url.Values{"a": {"b c"}}, map[string]int{"n": 1}, &answer, WithIdempotencyKey("k"))
	if err != nil || answer.Said != `POST /v1/novelties?a=b+c {"n":1} k` {
		t.Errorf("%+v, %v", answer, err)
	}
}

func TestMoneyIsExact(t *testing.T) {
	for text, micros := range map[Money]int64{"0.00": 0, "25.00": 25_000_000, "-0.002": -2_000, "1234567.654321": 1_234_567_654_321} {
		if n, err := text.Micros(); err != nil || n != micros {
			t.Errorf("%s is %d, %v", text, n, err)
		}
		if got := MoneyFromMicros(micros); got != text {
			t.Errorf("%d is %s, want %s", micros, got, text)
		}
	}
	for _, text := range []Money{"", "1.", ".5", "1,5", "1e3", "0.1234567", "--1", "99999999999999", "+1"} {
		if n, err := text.Micros(); err == nil {
			t.Errorf("%q is %d", text, n)
		}
	}
}

func TestDurationsAreWrittenShort(t *testing.T) {
	for text, d := range map[string]time.Duration{
		`"30s"`: 30 * time.Second, `"10m"`: 10 * time.Minute, `"720h"`: 720 * time.Hour, `"1h0m5s"`: time.Hour + 5*time.Second,
		`"0s"`: 0, `"1.5s"`: 1500 * time.Millisecond,
	} {
		if got, err := json.Marshal(Duration(d)); err != nil || string(got) != text {
			t.Errorf("%v is written %s, %v", d, got, err)
		}
		var back Duration
		if err := json.Unmarshal([]byte(text), &back); err != nil || time.Duration(back) != d {
			t.Errorf("%s is read as %v, %v", text, back, err)
		}
	}
}

func TestEventsAreParsed(t *testing.T) {
	stream := ": hello\n\nid: 1\nevent: job.queued\ndata: {\"a\":1}\n\nid: 2\r\nevent:job.log\r\ndata: one\r\ndata:two\r\n\r\nretry: 100\n\ndata: last\n\ndata: never ended\n"
	want := []string{`1 job.queued {"a":1}`, "2 job.log one\ntwo", "2 message last"}
	for name, r := range map[string]io.Reader{
		"at once":      strings.NewReader(stream),
		"byte by byte": iotest.OneByteReader(strings.NewReader(stream)),
	} {
		var got []string
		broken, stopped := readEvents(r, "", func(e serverEvent) error {
			got = append(got, e.id+" "+e.name+" "+string(e.data))
			return nil
		})
		if broken != nil || stopped != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v, %v", name, got, broken, stopped)
		}
	}
}

func TestACallerMayStopListening(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "id: 1\ndata: {\"kind\":\"job.queued\"}\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done() // the caller closes the stream
	}))
	defer server.Close()
	c, err := New(WithURL(server.URL))
	if err != nil {
		t.Fatal(err)
	}
	for event, err := range c.Jobs.Events(t.Context(), "job_1") {
		if err != nil || event.Kind != "job.queued" || event.LastEventID != "1" {
			t.Errorf("%+v, %v", event, err)
		}
		break
	}
}

func FuzzEvents(f *testing.F) {
	f.Add("id: 1\nevent: x\ndata: y\n\n")
	f.Add("\uFEFFdata\r\rdata:\r\n\r\n")
	f.Fuzz(func(t *testing.T, stream string) {
		count := func(r io.Reader) (n int) {
			_, _ = readEvents(r, "", func(serverEvent) error { n++; return nil })
			return n
		}
		if whole, bytewise := count(strings.NewReader(stream)), count(iotest.OneByteReader(strings.NewReader(stream))); whole != bytewise {
			t.Errorf("%d events at once, %d byte by byte", whole, bytewise)
		}
	})
}

func FuzzMoney(f *testing.F) {
	f.Add(int64(0))
	f.Add(int64(-1))
	f.Add(int64(1) << 62)
	f.Fuzz(func(t *testing.T, micros int64) {
		back, err := MoneyFromMicros(micros).Micros()
		if micros != -1<<63 && (err != nil || back != micros) {
			t.Errorf("%d came back as %d, %v", micros, back, err)
		}
	})
}

func FuzzWebhook(f *testing.F) {
	f.Add("job_1", "1772366400", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", []byte("{}"))
	f.Add("", "-9223372036854775808", "v1, v1,= ,", []byte(nil))
	f.Fuzz(func(t *testing.T, id, timestamp, given string, body []byte) {
		header := http.Header{}
		header.Set("webhook-id", id)
		header.Set("webhook-timestamp", timestamp)
		header.Set("webhook-signature", given)
		if err := verifyWebhook(body, header, "a key that nobody knows", time.Unix(1772366400, 0)); err == nil {
			t.Error("an arbitrary signature is taken")
		}
	})
}
