package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// fact is what the contract fixes for one code.
type fact struct {
	Code     string `json:"code"`
	Status   int    `json:"status"`
	Message  string `json:"message"`
	Solution string `json:"solution"`
}

// contract reads the codes in their order.
func contract(t testing.TB) []fact {
	t.Helper()
	text, err := os.ReadFile("testdata/errors.json")
	if err != nil {
		t.Fatal(err)
	}
	var facts []fact
	if err := json.Unmarshal(text, &facts); err != nil {
		t.Fatal(err)
	}
	return facts
}

func factOf(t testing.TB, code string) fact {
	t.Helper()
	for _, f := range contract(t) {
		if f.Code == code {
			return f
		}
	}
	t.Fatalf("the contract has no code %q", code)
	return fact{}
}

// refused makes sure that the answer is the contract's error of the code, to the last header.
func (a answer) refused(code string) answer {
	a.t.Helper()
	// The contract's remedy says whether the same request may succeed later.
	retry := strings.Contains(strings.ToLower(factOf(a.t, code).Solution), "retry")
	return a.isError(code, retry)
}

// refusedForGood is refused for an error that the same request would meet again: that of a job which has failed.
func (a answer) refusedForGood(code string) answer {
	a.t.Helper()
	return a.isError(code, false)
}

func (a answer) isError(code string, retry bool) answer {
	a.t.Helper()
	f := factOf(a.t, code)
	if a.status != f.Status {
		a.t.Fatalf("%s: want %d %s", a, f.Status, f.Code)
	}
	a.hasErrorHeaders(f, retry)
	if strings.HasPrefix(a.route, http.MethodHead+" ") {
		if len(a.body) > 0 {
			a.t.Errorf("%s: an answer to HEAD has a body", a)
		}
		return a
	}
	a.hasErrorBody(f)
	return a
}

// hasErrorBody makes sure of exactly {"error": {"code": …, "message": …}}.
func (a answer) hasErrorBody(f fact) {
	a.t.Helper()
	var outer map[string]json.RawMessage
	var inner map[string]string
	d := json.NewDecoder(bytes.NewReader(a.body))
	if err := d.Decode(&outer); err != nil || d.More() || len(outer) != 1 {
		a.t.Fatalf("%s: the body is not one object with the one member error", a)
	}
	if err := json.Unmarshal(outer["error"], &inner); err != nil || len(inner) != 2 {
		a.t.Fatalf("%s: error does not consist of code and message", a)
	}
	if inner["code"] != f.Code {
		a.t.Fatalf("%s: want %s", a, f.Code)
	}
	if detail, ok := strings.CutPrefix(inner["message"], f.Message+": "); !ok || detail == "" {
		a.t.Errorf("%s: the message does not begin with %q and go on", a, f.Message)
	}
}

var wholeSeconds = regexp.MustCompile(`^[1-9][0-9]*$`)

func (a answer) hasErrorHeaders(f fact, retry bool) {
	a.t.Helper()
	for name, want := range map[string]string{
		"Content-Type":   "application/json",
		"Cache-Control":  "no-store",
		"X-Error-Code":   f.Code,
		"X-Should-Retry": strconv.FormatBool(retry),
	} {
		if got := a.header.Values(name); len(got) != 1 || got[0] != want {
			a.t.Errorf("%s: %s is %q, want %q", a, name, got, want)
		}
	}
	if id := a.header.Values("X-Request-Id"); len(id) != 1 || id[0] == "" {
		a.t.Errorf("%s: X-Request-Id is %q", a, id)
	}
	if link := a.header.Get("Link"); !strings.HasSuffix(link, "/docs/errors/"+f.Code+`>; rel="help"`) || link[0] != '<' {
		a.t.Errorf("%s: Link is %q", a, link)
	}
	after := a.header.Values("Retry-After")
	if f.Status == 429 || f.Status == 503 || f.Code == "DATABASE_ERROR" {
		if len(after) != 1 || !wholeSeconds.MatchString(after[0]) {
			a.t.Errorf("%s: Retry-After is %q, want whole seconds", a, after)
		}
	} else if len(after) > 0 {
		a.t.Errorf("%s: Retry-After is %q, want none", a, after)
	}
	challenge := a.header.Get("WWW-Authenticate")
	if want := f.Status == http.StatusUnauthorized; strings.HasPrefix(challenge, "Bearer ") != want || (challenge != "") != want {
		a.t.Errorf("%s: WWW-Authenticate is %q", a, challenge)
	}
}

// mentions makes sure that the error's message names each of the words.
func (a answer) mentions(words ...string) answer {
	a.t.Helper()
	message := a.text("error.message")
	for _, word := range words {
		if !strings.Contains(message, word) {
			a.t.Errorf("%s: the message does not mention %q", a, word)
		}
	}
	return a
}
