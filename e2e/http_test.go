package e2e

import (
	"net/http"
	"strings"
	"testing"
)

// What net/http would answer by itself has to leave in the contract's words too.

func TestWrongMethodsNameTheRightOnes(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{})
	for _, c := range []struct{ method, path, allow string }{
		{"PUT", "/v1/jobs", "GET, HEAD, OPTIONS, POST"},
		{"GET", "/v1/jobs/batch", ""}, // an ID of the wrong shape
		{"DELETE", "/v1/account", "GET, HEAD, OPTIONS"},
		{"POST", "/v1/job-types/x", "DELETE, GET, HEAD, OPTIONS, PUT"},
		{"TRACE", "/v1/account", "GET, HEAD, OPTIONS"},
		{"BREW", "/healthz", "GET, HEAD, OPTIONS"},
		{"POST", "/readyz", "GET, HEAD, OPTIONS"},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			a := s.operator(t).call(c.method, c.path, nil)
			if c.allow == "" {
				if a.status != http.StatusNotFound {
					a.refused("INVALID_REQUEST")
				}
				return
			}
			a.refused("INVALID_REQUEST").mentions(c.method)
			if got := a.header.Get("Allow"); got != c.allow {
				t.Errorf("Allow is %q, want %q", got, c.allow)
			}
		})
	}
}

func TestHeadIsAnsweredAsGetWithoutItsBody(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{})
	a := s.operator(t).call(http.MethodHead, "/v1/account", nil).ok()
	if len(a.body) > 0 || a.header.Get("Content-Type") != "application/json" {
		t.Errorf("%s with Content-Type %q", a, a.header.Get("Content-Type"))
	}
	s.as(t, "").call(http.MethodHead, "/v1/account", nil).refused("AUTHENTICATION_FAILED")
	s.as(t, "").call(http.MethodHead, "/v1/nothing", nil).refused("RESOURCE_NOT_FOUND")
	s.as(t, "").call(http.MethodHead, "/v1/jobs/batch", nil).isErrorOneOf("INVALID_REQUEST", "AUTHENTICATION_FAILED")
}

func TestPathsAreTakenAsTheyStand(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{})
	for _, path := range []string{
		"/", "/v1", "/v1/", "//v1/jobs", "/v1//jobs", "/v1/./jobs", "/v1/../v1/jobs", "/v1/jobs/", "/v1/jobs/.", "/v1/jobs/..",
		"/V1/jobs", "/v1/jobs%2f", "/v1/clients/%2e%2e/jobs", "/v2/jobs", "/favicon.ico",
	} {
		t.Run(path, func(t *testing.T) {
			w := s.dial(t)
			a := w.say(s.operator(t).requestText("GET", path)).hear("GET " + path)
			if a.status == http.StatusOK {
				t.Fatalf("%s: want no success", a)
			}
			if location := a.header.Get("Location"); location != "" {
				t.Fatalf("%s: redirected to %s", a, location)
			}
			if path == "/v1/jobs%2f" || strings.Contains(path, "%2e") {
				a.isErrorOneOf("RESOURCE_NOT_FOUND", "JOB_NOT_FOUND", "CLIENT_NOT_FOUND", "INVALID_REQUEST")
				return
			}
			a.refused("RESOURCE_NOT_FOUND")
		})
	}
}

// isErrorOneOf makes sure that the answer is a whole error of one of the codes.
func (a answer) isErrorOneOf(codes ...string) {
	a.t.Helper()
	for _, code := range codes {
		if a.header.Get("X-Error-Code") == code {
			a.refused(code)
			return
		}
	}
	a.t.Fatalf("%s: want one of %s", a, codes)
}

func TestPreflights(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{config: "allowed_origins: [https://app.example.com]\n"})
	ask := func(t *testing.T, origin string) answer {
		return s.as(t, "").call(http.MethodOptions, "/v1/jobs", nil,
			"Origin", origin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type")
	}
	t.Run("of an allowed origin", func(t *testing.T) {
		a := ask(t, "https://app.example.com").ok()
		if got := a.header.Get("Access-Control-Allow-Origin"); got != "https://app.example.com" {
			t.Errorf("Access-Control-Allow-Origin is %q", got)
		}
		if got := a.header.Get("Access-Control-Allow-Methods"); !strings.Contains(got, "POST") {
			t.Errorf("Access-Control-Allow-Methods is %q", got)
		}
		got := a.header.Get("Access-Control-Allow-Headers")
		for _, name := range []string{"Authorization", "Content-Type", "Idempotency-Key"} {
			if !strings.Contains(got, name) {
				t.Errorf("Access-Control-Allow-Headers is %q and lacks %s", got, name)
			}
		}
	})
	t.Run("of another origin", func(t *testing.T) {
		a := ask(t, "https://evil.example.com").refused("INVALID_REQUEST")
		if got := a.header.Get("Access-Control-Allow-Origin"); got != "" {
			t.Errorf("Access-Control-Allow-Origin is %q", got)
		}
	})
	t.Run("errors can be read by an allowed origin", func(t *testing.T) {
		a := s.as(t, "").get("/v1/account", "Origin", "https://app.example.com").refused("AUTHENTICATION_FAILED")
		if got := a.header.Get("Access-Control-Allow-Origin"); got != "https://app.example.com" {
			t.Errorf("Access-Control-Allow-Origin is %q", got)
		}
		if got := a.header.Get("Access-Control-Expose-Headers"); !strings.Contains(got, "Retry-After") || !strings.Contains(got, "X-Error-Code") {
			t.Errorf("Access-Control-Expose-Headers is %q", got)
		}
	})
	t.Run("without an origin", func(t *testing.T) {
		a := s.as(t, "").call(http.MethodOptions, "/v1/jobs", nil).refused("INVALID_REQUEST")
		if a.header.Get("Allow") == "" {
			t.Error("no Allow")
		}
	})
}

// rawExamples are requests that no handler gets to see, or that only a socket can send.
var rawExamples = []struct {
	name, text string
	code       string // empty: 200
}{
	{"no request line", "nonsense\r\n\r\n", "INVALID_REQUEST"},
	{"a request line with a space too many", "GET /v1/account now HTTP/1.1\r\nHost: t\r\n\r\n", "INVALID_REQUEST"},
	{"another protocol", "GET /v1/account SPDY/3\r\nHost: t\r\n\r\n", "INVALID_REQUEST"},
	{"a version to come", "GET /v1/account HTTP/3.0\r\nHost: t\r\n\r\n", "INVALID_REQUEST"},
	{"HTTP/2 without a word before", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "INVALID_REQUEST"},
	{"TLS on the plain port", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "INVALID_REQUEST"},
	{"no Host", "GET /v1/account HTTP/1.1\r\n\r\n", "INVALID_REQUEST"},
	{"two Hosts", "GET /v1/account HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "INVALID_REQUEST"},
	{"a bad Host", "GET /v1/account HTTP/1.1\r\nHost: a b\r\n\r\n", "INVALID_REQUEST"},
	{"a header without a colon", "GET /v1/account HTTP/1.1\r\nHost: t\r\nnonsense\r\n\r\n", "INVALID_REQUEST"},
	{"a header's name with a space", "GET /v1/account HTTP/1.1\r\nHost: t\r\nX Y: z\r\n\r\n", "INVALID_REQUEST"},
	{"a NUL in a header", "GET /v1/account HTTP/1.1\r\nHost: t\r\nX-Y: a\x00b\r\n\r\n", "INVALID_REQUEST"},
	{"a header over its limit", "GET /v1/account HTTP/1.1\r\nHost: t\r\nX-Y: " + strings.Repeat("x", 2<<20) + "\r\n\r\n", "INVALID_REQUEST"},
	{"a bad escape in the path", "GET /v1/jobs/%zz HTTP/1.1\r\nHost: t\r\n\r\n", "INVALID_REQUEST"},
	{"a target without a slash", "GET v1/account HTTP/1.1\r\nHost: t\r\n\r\n", "INVALID_REQUEST"},
	{"an unknown transfer coding", "POST /v1/jobs HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip\r\n\r\n", "INVALID_REQUEST"},
	{"two lengths", "POST /v1/jobs HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}", "INVALID_REQUEST"},
	{"a negative length", "POST /v1/jobs HTTP/1.1\r\nHost: t\r\nContent-Length: -1\r\n\r\n", "INVALID_REQUEST"},
	{"an unknown Expect", "POST /v1/jobs HTTP/1.1\r\nHost: t\r\nExpect: a-miracle\r\nContent-Length: 2\r\n\r\n{}", "INVALID_REQUEST"},
	{"OPTIONS of everything", "OPTIONS * HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", "INVALID_REQUEST"},
	{"CONNECT", "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\nConnection: close\r\n\r\n", "RESOURCE_NOT_FOUND"},
	{"a whole URL as the target", "GET http://t/healthz HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", ""},
	{"HTTP/1.0", "GET /healthz HTTP/1.0\r\n\r\n", ""},
}

func TestRequestsThatNoHandlerSees(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{})
	for _, c := range rawExamples {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			method, _, _ := strings.Cut(c.text, " ")
			if c.code == "" {
				s.dial(t).say(c.text).hear(method).ok()
				return
			}
			w := s.dial(t)
			w.say(c.text).hear("RAW").refused(c.code)
			w.ended()
		})
	}
}

func TestLargeHeaderIsRefusedWithoutAHandler(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{})
	s.operator(t).get("/v1/account", "X-Large", strings.Repeat("x", 128<<10)).refused("INVALID_REQUEST").mentions("header")
	s.operator(t).get("/v1/account", "X-Large", strings.Repeat("x", 16<<10)).ok()
}

func TestExpectContinue(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{config: "max_body: 1KiB\n"})
	op := s.operator(t)
	t.Run("a body that is wanted is asked for", func(t *testing.T) {
		w := s.dial(t)
		w.say(op.requestText("POST", "/v1/clients", "Expect: 100-continue", "Content-Type: application/json", "Content-Length: 14"))
		if a := w.hear("POST /v1/clients"); a.status != http.StatusContinue {
			t.Fatalf("%s: want 100", a)
		}
		w.say(`{"name":"Acme"}`[:14])
		w.hear("POST /v1/clients").refused("INVALID_FORMAT")
	})
	t.Run("a body that is too large is not asked for", func(t *testing.T) {
		w := s.dial(t)
		w.say(op.requestText("POST", "/v1/clients", "Expect: 100-continue", "Content-Type: application/json", "Content-Length: 5000"))
		if !w.hear("POST /v1/clients").refused("INVALID_REQUEST").closes {
			t.Error("the connection is kept although nobody knows whether the body comes")
		}
	})
	t.Run("a body without a key is not asked for", func(t *testing.T) {
		w := s.dial(t)
		w.say(s.as(t, "x").requestText("POST", "/v1/clients", "Expect: 100-continue", "Content-Type: application/json", "Content-Length: 14"))
		if !w.hear("POST /v1/clients").refused("AUTHENTICATION_FAILED").closes {
			t.Error("the connection is kept although nobody knows whether the body comes")
		}
	})
}

func TestBodyThatEndsEarly(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{})
	op := s.operator(t)
	t.Run("with the connection's half", func(t *testing.T) {
		w := s.dial(t)
		w.say(op.requestText("POST", "/v1/clients", "Content-Type: application/json", "Content-Length: 15") + `{"name":`)
		if err := w.conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		w.hear("POST /v1/clients").refused("INVALID_REQUEST")
		w.ended()
	})
	t.Run("with a malformed chunk", func(t *testing.T) {
		w := s.dial(t)
		w.say(op.requestText("POST", "/v1/clients", "Content-Type: application/json", "Transfer-Encoding: chunked") + "5\r\n{\"nam\r\nzz\r\n")
		w.hear("POST /v1/clients").refused("INVALID_REQUEST")
		w.ended()
	})
}

func TestBodyThatNeverComesIsGivenUp(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{})
	w := s.operator(t).begin("POST", "/v1/clients", `{"name":"slow"}`)
	w.hear("POST /v1/clients").refused("INVALID_REQUEST").mentions("did not arrive")
	w.ended()
}

func TestBodyInChunksIsTaken(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{})
	w := s.dial(t)
	w.say(s.operator(t).requestText("POST", "/v1/clients", "Content-Type: application/json", "Transfer-Encoding: chunked"))
	for _, chunk := range []string{`{"na`, `me":`, `"Acme"}`} {
		w.say(string("0123456789"[len(chunk)]) + "\r\n" + chunk + "\r\n")
	}
	if a := w.say("0\r\n\r\n").hear("POST /v1/clients").ok(); a.text("name") != "Acme" {
		t.Errorf("%s", a)
	}
}

func TestConnectionServesOnAfterAnError(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{})
	op := s.operator(t)
	w := s.dial(t)
	for range 3 {
		w.say(op.requestText("GET", "/v1/nothing")).hear("GET").refused("RESOURCE_NOT_FOUND")
		w.say(op.requestText("PUT", "/v1/jobs", "Content-Length: 2") + "{}").hear("PUT").refused("INVALID_REQUEST")
		w.say(op.requestText("GET", "/v1/account")).hear("GET").ok()
	}
	// Requests that were sent before the answers came are answered in order.
	w.say(op.requestText("GET", "/v1/nothing") + op.requestText("GET", "/v1/account"))
	w.hear("GET").refused("RESOURCE_NOT_FOUND")
	w.hear("GET").ok()
}
