package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	faults "github.com/pb33f/libopenapi-validator/errors"
)

// Every exchange of the suite is held against the description of the API that the binary prints, each form of it once, by
// a library that knows nothing of the server: an answer always, a request where the server has taken it. What the server
// refuses may be wrong on purpose.

// description is the API as the binary describes it.
type description struct {
	requests, answers validator.Validator
	codes             map[string][]string // that an operation can answer, by "GET /v1/jobs"
	forms             sync.Map            // of the exchanges that were found to be as described
}

var described = sync.OnceValues(func() (*description, error) {
	text, err := exec.Command(binary, "openapi").Output()
	if err != nil {
		return nil, fmt.Errorf("print the description: %w", err)
	}
	document, err := libopenapi.NewDocument(text)
	if err != nil {
		return nil, err
	}
	d := &description{codes: map[string][]string{}}
	var faults, more []error
	d.requests, faults = validator.NewValidator(document, config.WithFormatAssertions())
	// Answers may hold nothing that is not described; of requests the server itself sees to it.
	d.answers, more = validator.NewValidator(document, config.WithFormatAssertions(), config.WithStrictMode(),
		config.WithStrictIgnorePaths(free...), config.WithStrictIgnoredHeadersExtra("Vary", "Allow", "Access-Control-Expose-Headers"))
	if faults = append(faults, more...); len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	if ok, faults := d.requests.ValidateDocument(); !ok {
		return nil, fmt.Errorf("the description is no OpenAPI document: %s", inWords(faults))
	}
	var operations struct {
		Paths map[string]map[string]struct {
			Codes []string `json:"x-codes"`
		}
	}
	if err := json.Unmarshal(text, &operations); err != nil {
		return nil, err
	}
	for path, item := range operations.Paths {
		for method, operation := range item {
			d.codes[strings.ToUpper(method)+" "+path] = operation.Codes
		}
	}
	return d, nil
})

// free are the values whose members are named by their owners. Those under a union the library does not follow to their
// schemas when it looks for members that nobody described.
var free = func() (paths []string) {
	for _, name := range []string{"input", "result", "metadata", "input_schema", "units", "codes", "executor"} {
		paths = append(paths, "$.body."+name+".**", "$.body.**."+name+".**")
	}
	return append(paths, "$.body.data[*].data.**")
}()

// bare are the operations whose answer is a value of somebody else.
var bare = []string{"GET /openapi.json", "GET /v1/jobs/{id}/result", "POST /v1/run/{type}"}

// checked is a transport that holds every exchange against the description.
type checked struct {
	t testing.TB
	http.RoundTripper
}

func (c checked) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := &recorder{}
	if r.Body != nil && r.Body != http.NoBody {
		sent.from = r.Body
		r = r.Clone(r.Context())
		r.Body = sent
	}
	response, err := c.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if kind != "application/json" {
		checkExchange(c.t, r, sent.text(), response, nil)
		return response, nil
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	response.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), failing{err}))
	if err == nil {
		checkExchange(c.t, r, sent.text(), response, body)
	}
	return response, nil
}

// CloseIdleConnections is what http.Client passes on.
func (c checked) CloseIdleConnections() { c.RoundTripper.(*http.Transport).CloseIdleConnections() }

// recorder keeps what is read through it. The transport may still read a body when its answer is there.
type recorder struct {
	from io.ReadCloser
	mu   sync.Mutex
	kept bytes.Buffer
}

func (r *recorder) Read(b []byte) (int, error) {
	n, err := r.from.Read(b)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept.Write(b[:n])
	return n, err
}

func (r *recorder) Close() error { return r.from.Close() }

func (r *recorder) text() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.kept.Bytes())
}

// failing is the end of a body, with the error that it came to.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return 0, io.EOF
}

// checkExchange fails the test where the exchange is not as described.
func checkExchange(t testing.TB, r *http.Request, sent []byte, response *http.Response, body []byte) {
	t.Helper()
	d, err := described()
	if err != nil {
		t.Fatal(err)
	}
	forms := formsOf(r, sent, response, body)
	if !slices.ContainsFunc(forms, func(form [sha256.Size]byte) bool { _, known := d.forms.Load(form); return !known }) {
		return
	}
	problem := d.check(r, sent, response, body)
	if problem == "" {
		for _, form := range forms {
			d.forms.Store(form, true)
		}
	} else {
		t.Errorf("%s %s is answered otherwise than described: %s\nsent %.2000s\nanswered %d %v\n%.2000s",
			r.Method, r.URL.RequestURI(), problem, sent, response.StatusCode, response.Header, body)
	}
}

// formsOf is what of an exchange matters to a check: all exchanges of one form differ in words that hold digits alone, in
// numbers, identifiers, amounts and times. A list has a form for each kind of item. A load makes a hundred thousand
// exchanges of a few dozen forms, and to check one costs more than to serve it.
func formsOf(r *http.Request, sent []byte, response *http.Response, body []byte) (forms [][sha256.Size]byte) {
	uri := r.URL.RequestURI()
	if cursor := r.URL.Query().Get("cursor"); cursor != "" {
		uri = strings.Replace(uri, cursor, "", 1)
	}
	frame := blurred(fmt.Appendf(nil, "%s %s %d %q %q %q", r.Method, uri, response.StatusCode, r.Header, response.Header, sent))
	var members map[string]json.RawMessage
	var items []json.RawMessage
	if json.Unmarshal(body, &members) == nil && json.Unmarshal(members["data"], &items) == nil {
		for _, item := range items {
			forms = append(forms, sha256.Sum256(slices.Concat(frame, []byte("item"), blurred(item))))
		}
		members["data"] = nil
		if bytes.HasPrefix(members["next_cursor"], []byte(`"`)) {
			members["next_cursor"] = json.RawMessage(`""`)
		}
		body = fmt.Appendf(nil, "%s", members)
	}
	return append(forms, sha256.Sum256(append(frame, blurred(body)...)))
}

// blurred is a text with nothing but the length left of each word that holds a digit.
func blurred(text []byte) []byte {
	text = bytes.Clone(text)
	begin, digit := 0, false
	for i := 0; i <= len(text); i++ {
		if i < len(text) && ('0' <= text[i] && text[i] <= '9' || 'A' <= text[i] && text[i] <= 'Z' || 'a' <= text[i] && text[i] <= 'z') {
			digit = digit || text[i] <= '9'
			continue
		}
		if digit {
			copy(text[begin:i], bytes.Repeat([]byte{'0'}, i-begin))
		}
		begin, digit = i+1, false
	}
	return text
}

// check says what is wrong with an exchange.
func (d *description) check(r *http.Request, sent []byte, response *http.Response, body []byte) (problem string) {
	// Every GET answers HEAD, with the same headers.
	head := r.Method == http.MethodHead
	asked := r.Clone(r.Context())
	if head {
		asked.Method = http.MethodGet
	}
	asked.Body = io.NopCloser(bytes.NewReader(sent))
	asked.ContentLength = int64(len(sent))
	operation, found := d.find(asked)
	code := response.Header.Get("X-Error-Code")
	if !found {
		if code == "" && response.StatusCode != http.StatusNoContent && !(r.Method == http.MethodOptions && response.StatusCode == http.StatusOK) {
			return "there is no such operation"
		}
		return ""
	}
	if code != "" && !slices.Contains(d.codes[operation], code) {
		return operation + " does not tell of " + code
	}
	if code == "" && response.StatusCode == http.StatusOK {
		if ok, faults := d.requests.ValidateHttpRequestSync(asked); !ok {
			return "the request should have been refused: " + inWords(faults)
		}
	}
	if head {
		return ""
	}
	answered := &http.Response{StatusCode: response.StatusCode, Header: response.Header, Body: io.NopCloser(bytes.NewReader(body)), Request: asked}
	by := d.answers
	if code == "" && slices.Contains(bare, operation) {
		by = d.requests
	}
	if ok, faults := by.ValidateHttpResponse(asked, answered); !ok {
		return inWords(faults)
	}
	return ""
}

// find returns the operation that a request is for, as "GET /v1/jobs/{id}". The path with the fewest parameters counts.
func (d *description) find(r *http.Request) (operation string, found bool) {
	best, path := -1, ""
	for name := range d.codes {
		_, template, _ := strings.Cut(name, " ")
		if literal, ok := fits(template, r.URL.EscapedPath()); ok && literal > best {
			best, path = literal, template
		}
	}
	operation = r.Method + " " + path
	_, found = d.codes[operation]
	return operation, found
}

// fits reports whether the path is one of the template's, and how many of its parts are literal.
func fits(template, path string) (literal int, ok bool) {
	parts, given := strings.Split(template, "/"), strings.Split(path, "/")
	if len(parts) != len(given) {
		return 0, false
	}
	for i, part := range parts {
		switch {
		case strings.HasPrefix(part, "{") && given[i] != "" && given[i] != "." && given[i] != "..":
		case part == given[i]:
			literal++
		default:
			return 0, false
		}
	}
	return literal, true
}

// inWords is the faults in words.
func inWords(list []*faults.ValidationError) string {
	var lines []string
	for _, f := range list {
		line := f.Message + ": " + f.Reason
		for _, s := range f.SchemaValidationErrors {
			line += "; " + s.FieldPath + " " + s.Reason
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestTheDescriptionIsServedAsItIsPrinted(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{})
	printed := run(t, nil, "openapi").exits(0)
	a := s.as(t, "").get("/openapi.json").ok()
	if string(a.body) != printed.stdout {
		t.Errorf("%d bytes are served and %d are printed", len(a.body), len(printed.stdout))
	}
	again := s.as(t, "").get("/openapi.json", "If-None-Match", a.header.Get("ETag"))
	if again.status != http.StatusNotModified || len(again.body) > 0 {
		t.Errorf("%s", again)
	}
}

// The check has to find what it is there for.
func TestExchangesThatAreNotAsDescribedAreFound(t *testing.T) {
	t.Parallel()
	d, err := described()
	if err != nil {
		t.Fatal(err)
	}
	const (
		usual = `{"status":"ok"}`
		job   = `{"type":"text.stats","input":{}}`
	)
	for _, c := range []struct {
		name, method, path, sent string
		status                   int
		code, body               string
		want                     string // part of the problem; empty: none
	}{
		{"a usual answer", "GET", "/healthz", "", 200, "", usual, ""},
		{"another value", "GET", "/healthz", "", 200, "", `{"status":"fine"}`, "status"},
		{"a member that nobody told of", "GET", "/healthz", "", 200, "", `{"status":"ok","more":1}`, "more"},
		{"a member that is missing", "GET", "/healthz", "", 200, "", `{}`, "status"},
		{"another status", "GET", "/healthz", "", 201, "", usual, "201"},
		{"a code that is the operation's", "GET", "/readyz", "", 503, "SERVICE_UNAVAILABLE", `{"error":{"code":"SERVICE_UNAVAILABLE","message":"The"}}`, ""},
		{"a code that is not the operation's", "GET", "/readyz", "", 404, "JOB_NOT_FOUND", `{"error":{"code":"JOB_NOT_FOUND","message":"The"}}`, "JOB_NOT_FOUND"},
		{"an error with more in it", "GET", "/readyz", "", 503, "SERVICE_UNAVAILABLE", `{"error":{"code":"SERVICE_UNAVAILABLE","message":"The","x":1}}`, "x"},
		{"an operation that there is not", "GET", "/v1/nothing", "", 200, "", usual, "no such operation"},
		{"a request that should have been refused", "POST", "/v1/quotes", `{"type":"text.stats"}`, 200, "", usual, "should have been refused"},
		{"a request with a wrong parameter", "GET", "/v1/clients?limit=101", "", 200, "", usual, "should have been refused"},
		{"a request that was refused", "POST", "/v1/quotes", `{"type":`, 400, "INVALID_FORMAT", `{"error":{"code":"INVALID_FORMAT","message":"The"}}`, ""},
		{"an answer that is not the quote", "POST", "/v1/quotes", job, 200, "", usual, "quoted"},
	} {
		r, err := http.NewRequest(c.method, "http://server.test"+c.path, strings.NewReader(c.sent))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer tg_live_x")
		r.Header.Set("Content-Type", "application/json")
		header := http.Header{"Content-Type": {"application/json"}, "X-Request-Id": {"01kg9ys7g0m4q8w2r6t0y4c8d2"}}
		if c.code != "" {
			header.Set("X-Error-Code", c.code)
			header.Set("X-Should-Retry", "true")
			header.Set("Link", `</docs/errors/`+c.code+`>; rel="help"`)
		}
		if c.status == http.StatusServiceUnavailable {
			header.Set("Retry-After", "1")
		}
		problem := d.check(r, []byte(c.sent), &http.Response{StatusCode: c.status, Header: header}, []byte(c.body))
		if (problem == "") != (c.want == "") || !strings.Contains(problem, c.want) {
			t.Errorf("%s: %q", c.name, problem)
		}
	}
}
