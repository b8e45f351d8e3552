package tallygate

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// The cases of ../cases, which every SDK replays. README.md there says what their members mean.

type sdkCase struct {
	Name      string      `json:"name"`
	Client    *caseClient `json:"client"`
	Call      *caseCall   `json:"call"`
	Calls     []caseCall  `json:"calls"`
	Random    []float64   `json:"random"`
	Exchanges []exchange  `json:"exchanges"`
	Told      []float64   `json:"told"`
	Hides     []string    `json:"hides"`
	caseEnd
}

type caseClient struct {
	MaxAttempts *int            `json:"max_attempts"`
	Timeout     Duration        `json:"timeout"`
	Deadline    json.RawMessage `json:"deadline"`
	RetryBudget *int            `json:"retry_budget"`
}

type caseCall struct {
	Operation   string        `json:"operation"`
	Arguments   caseArguments `json:"arguments"`
	Options     caseOptions   `json:"options"`
	CancelAfter Duration      `json:"cancel_after"`
	caseEnd
}

type caseEnd struct {
	Returns json.RawMessage `json:"returns"`
	Raises  *raised         `json:"raises"`
}

type caseOptions struct {
	IdempotencyKey string   `json:"idempotency_key"`
	Timeout        Duration `json:"timeout"`
	Deadline       Duration `json:"deadline"`
	MaxAttempts    int      `json:"max_attempts"`
}

type caseArguments struct {
	ID              string            `json:"id"`
	Client          string            `json:"client"`
	Key             string            `json:"key"`
	Name            string            `json:"name"`
	Type            string            `json:"type"`
	Wait            Duration          `json:"wait"`
	Limit           int               `json:"limit"`
	Cursor          string            `json:"cursor"`
	Status          JobStatus         `json:"status"`
	CreatedAfter    time.Time         `json:"created_after"`
	CreatedBefore   time.Time         `json:"created_before"`
	Metadata        map[string]string `json:"metadata"`
	ClientID        string            `json:"client_id"`
	From            string            `json:"from"`
	To              string            `json:"to"`
	LastEventID     string            `json:"last_event_id"`
	Timeout         Duration          `json:"timeout"`
	CancelOnTimeout bool              `json:"cancel_on_timeout"`
	Progress        bool              `json:"progress"`
	Input           json.RawMessage   `json:"input"`
	Body            json.RawMessage   `json:"body"`
	Payload         string            `json:"payload"`
	Headers         map[string]string `json:"headers"`
	Secret          string            `json:"secret"`
	Now             int64             `json:"now"`
}

type exchange struct {
	After   Duration `json:"after"`
	Takes   Duration `json:"takes"`
	Request struct {
		Method  string            `json:"method"`
		Target  string            `json:"target"`
		Headers map[string]string `json:"headers"`
		Absent  []string          `json:"absent"`
		Body    json.RawMessage   `json:"body"`
	} `json:"request"`
	Answer struct {
		Status  int               `json:"status"`
		Headers map[string]string `json:"headers"`
		Body    json.RawMessage   `json:"body"`
		Text    *string           `json:"text"`
		Stream  *string           `json:"stream"`
		Breaks  bool              `json:"breaks"`
		Fails   string            `json:"fails"`
	} `json:"answer"`
}

type raised struct {
	Type       string          `json:"type"`
	Code       *string         `json:"code"`
	Message    *string         `json:"message"`
	Status     *int            `json:"status"`
	RequestID  *string         `json:"request_id"`
	RetryAfter json.RawMessage `json:"retry_after"`
	Attempts   *int            `json:"attempts"`
	Job        *string         `json:"job"`
}

func readCases(t *testing.T) map[string][]sdkCase {
	t.Helper()
	files, err := filepath.Glob("../cases/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	cases := map[string][]sdkCase{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		var list []sdkCase
		if err := decoder.Decode(&list); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		cases[strings.TrimSuffix(filepath.Base(file), ".json")] = list
	}
	return cases
}

func TestCases(t *testing.T) {
	for theme, list := range readCases(t) {
		t.Run(theme, func(t *testing.T) {
			for _, c := range list {
				passed := t.Run(c.Name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { replay(t, c) })
				})
				fmt.Printf("case %s go %s\n", map[bool]string{true: "PASS", false: "FAIL"}[passed], c.Name)
			}
		})
	}
}

const caseKey = "tg_live_case"

// replay makes the calls of a case. It runs in a bubble whose clock moves only while everybody waits.
func replay(t *testing.T, c sdkCase) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	time.Sleep(time.Until(start))
	server := &script{t: t, exchanges: c.Exchanges, free: start}
	var log bytes.Buffer
	options := []Option{
		WithURL("http://server.test"), WithKey(caseKey), WithHTTPClient(&http.Client{Transport: server}),
		WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))),
	}
	if o := c.Client; o != nil {
		if o.MaxAttempts != nil {
			options = append(options, WithMaxAttempts(*o.MaxAttempts))
		}
		if o.Timeout != 0 {
			options = append(options, WithTimeout(time.Duration(o.Timeout)))
		}
		if o.Deadline != nil {
			var deadline Duration
			if err := json.Unmarshal(o.Deadline, &deadline); err != nil {
				t.Fatal(err)
			}
			options = append(options, WithDeadline(time.Duration(deadline)))
		}
		if o.RetryBudget != nil {
			options = append(options, WithRetryBudget(*o.RetryBudget))
		}
	}
	client, err := New(options...)
	if err != nil {
		t.Fatal(err)
	}
	random := append([]float64{}, c.Random...)
	if len(random) == 0 {
		random = []float64{0.5}
	}
	client.random = func() float64 {
		u := random[0]
		if len(random) > 1 {
			random = random[1:]
		}
		return u
	}
	calls := c.Calls
	if c.Call != nil {
		call := *c.Call
		call.caseEnd = c.caseEnd
		calls = append(calls, call)
	}
	hidden := append(c.Hides, caseKey)
	for _, call := range calls {
		var told []float64
		value, err := makeCall(t, client, call, &told)
		if call.Raises != nil {
			checkRaised(t, *call.Raises, err)
		} else if err != nil {
			t.Errorf("raised %v", err)
		} else {
			checkReturned(t, call.Returns, value)
		}
		if c.Told != nil && !slices.Equal(told, c.Told) {
			t.Errorf("progress %v was told, want %v", told, c.Told)
		}
		for _, printed := range append(printings(err), append(printings(value), printings(client)...)...) {
			for _, secret := range hidden {
				if strings.Contains(printed, secret) {
					t.Errorf("%q is in a printed form: %s", secret, printed)
				}
			}
		}
	}
	for _, secret := range hidden {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%q is in the log:\n%s", secret, log.String())
		}
	}
	if n := len(server.exchanges); n > 0 {
		t.Errorf("%d exchanges were not made", n)
	}
}

// printings are the ways in which a program may print a value.
func printings(v any) (all []string) {
	if v == nil {
		return nil
	}
	values := []any{v}
	if r := reflect.ValueOf(v); r.Kind() == reflect.Pointer && !r.IsNil() && r.Elem().Kind() == reflect.Struct && r.Elem().Type() != reflect.TypeFor[Client]() {
		values = append(values, r.Elem().Interface())
	}
	for _, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			all = append(all, fmt.Sprintf(verb, v))
		}
		for _, handler := range []func(io.Writer) slog.Handler{
			func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) },
			func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) },
		} {
			var b bytes.Buffer
			slog.New(handler(&b)).Info("here it is", "value", v)
			all = append(all, b.String())
		}
	}
	return all
}

// script is the server of a case: a transport that answers what the exchanges say.
type script struct {
	t         *testing.T
	exchanges []exchange
	before    http.Header // of the request before
	free      time.Time   // when the last exchange was over
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	defer func() { s.free = time.Now() }()
	if len(s.exchanges) == 0 {
		s.t.Errorf("%s %s was not to be sent", r.Method, r.URL.RequestURI())
		return nil, errors.New("the case is over")
	}
	e := s.exchanges[0]
	s.exchanges = s.exchanges[1:]
	if waited := time.Since(s.free); (waited - time.Duration(e.After)).Abs() >= time.Millisecond {
		s.t.Errorf("%s %s came after %v, want %v", r.Method, r.URL.RequestURI(), waited, e.After)
	}
	s.check(e, r)
	s.before = r.Header
	if e.Takes > 0 {
		if err := sleep(r.Context(), time.Duration(e.Takes)); err != nil {
			return nil, err
		}
	}
	header := http.Header{}
	var body io.Reader = http.NoBody
	switch a := e.Answer; {
	case a.Fails != "":
		switch a.Fails {
		case "refused":
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
		case "reset":
			return nil, &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
		case "timeout":
			<-r.Context().Done()
			s.free = time.Now()
			return nil, r.Context().Err()
		case "half":
			header.Set("Content-Type", "application/json")
			return answered(r, http.StatusOK, header, io.MultiReader(strings.NewReader(`{"id": "`), broken{})), nil
		case "certificate":
			return nil, &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}
		}
		s.t.Fatalf("the case fails by %q", a.Fails)
	case a.Stream != nil:
		header.Set("Content-Type", "text/event-stream")
		body = strings.NewReader(*a.Stream)
		if a.Breaks {
			body = io.MultiReader(body, broken{})
		}
	case a.Text != nil:
		header.Set("Content-Type", "text/html")
		body = strings.NewReader(*a.Text)
	case a.Body != nil:
		header.Set("Content-Type", "application/json")
		body = bytes.NewReader(a.Body)
	}
	for name, value := range e.Answer.Headers {
		header.Set(name, value)
	}
	return answered(r, e.Answer.Status, header, body), nil
}

func answered(r *http.Request, status int, header http.Header, body io.Reader) *http.Response {
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(body), Request: r}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func (s *script) check(e exchange, r *http.Request) {
	s.t.Helper()
	want, err := url.Parse(e.Request.Target)
	if err != nil {
		s.t.Fatal(err)
	}
	if r.Method != e.Request.Method || r.URL.EscapedPath() != want.EscapedPath() || !reflect.DeepEqual(r.URL.Query(), want.Query()) {
		s.t.Errorf("sent %s %s, want %s %s", r.Method, r.URL.RequestURI(), e.Request.Method, e.Request.Target)
	}
	for name, value := range e.Request.Headers {
		got, before := r.Header.Get(name), s.before.Get(name)
		switch value {
		case "*":
			if got == "" {
				s.t.Errorf("%s %s lacks %s", r.Method, r.URL, name)
			}
		case "=":
			if got == "" || got != before {
				s.t.Errorf("%s is %q, before it was %q", name, got, before)
			}
		case "!":
			if got == "" || got == before {
				s.t.Errorf("%s is %q again", name, got)
			}
		default:
			if got != value {
				s.t.Errorf("%s is %q, want %q", name, got, value)
			}
		}
	}
	for _, name := range e.Request.Absent {
		if got := r.Header.Get(name); got != "" {
			s.t.Errorf("%s is there: %q", name, got)
		}
	}
	if e.Request.Body != nil {
		var sent []byte
		if r.Body != nil {
			sent, _ = io.ReadAll(r.Body)
		}
		if got, want := jsonValue(s.t, sent), jsonValue(s.t, e.Request.Body); !reflect.DeepEqual(got, want) {
			s.t.Errorf("sent the body %s, want %s", sent, e.Request.Body)
		}
	}
}

func jsonValue(t *testing.T, text []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(text, &v); err != nil {
		t.Errorf("%q is no JSON: %v", text, err)
	}
	return v
}

func makeCall(t *testing.T, client *Client, call caseCall, told *[]float64) (any, error) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if call.CancelAfter > 0 {
		defer time.AfterFunc(time.Duration(call.CancelAfter), cancel).Stop()
	}
	a, o := call.Arguments, call.Options
	var options []CallOption
	if o.IdempotencyKey != "" {
		options = append(options, WithIdempotencyKey(o.IdempotencyKey))
	}
	if o.Timeout > 0 {
		options = append(options, WithTimeout(time.Duration(o.Timeout)))
	}
	if o.Deadline > 0 {
		options = append(options, WithDeadline(time.Duration(o.Deadline)))
	}
	if o.MaxAttempts > 0 {
		options = append(options, WithMaxAttempts(o.MaxAttempts))
	}
	if a.Wait > 0 {
		options = append(options, WithWait(time.Duration(a.Wait)))
	}
	if a.LastEventID != "" {
		options = append(options, WithLastEventID(a.LastEventID))
	}
	if a.Timeout > 0 {
		options = append(options, WithTimeLimit(time.Duration(a.Timeout)))
	}
	if a.CancelOnTimeout {
		options = append(options, WithCancelOnTimeout())
	}
	if a.Progress {
		options = append(options, WithProgress(func(p float64) { *told = append(*told, p) }))
	}
	operation := operations[call.Operation]
	if operation == nil {
		t.Fatalf("no method is known for %s", call.Operation)
	}
	return operation(ctx, t, client, a, options)
}

type operationFunc func(ctx context.Context, t *testing.T, c *Client, a caseArguments, options []CallOption) (any, error)

// body reads a request's body into its type, which has to know every member.
func body[T any](t *testing.T, a caseArguments) (v T) {
	t.Helper()
	if a.Body == nil {
		return v
	}
	decoder := json.NewDecoder(bytes.NewReader(a.Body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&v); err != nil {
		t.Fatalf("%T cannot say %s: %v", v, a.Body, err)
	}
	return v
}

func (a caseArguments) list() ListOptions { return ListOptions{a.Limit, a.Cursor} }

func (a caseArguments) filter() JobFilter {
	return JobFilter{a.Status, a.Type, a.CreatedAfter, a.CreatedBefore, a.Metadata, a.ClientID, a.list()}
}

func (a caseArguments) days(t *testing.T) (r UsageRange) {
	for text, to := range map[string]*time.Time{a.From: &r.From, a.To: &r.To} {
		if text != "" {
			day, err := time.Parse(time.DateOnly, text)
			if err != nil {
				t.Fatal(err)
			}
			*to = day
		}
	}
	return r
}

// collect gathers a sequence.
func collect[T any](sequence func(yield func(*T, error) bool)) (any, error) {
	items := []*T{}
	for item, err := range sequence {
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

// operations make a case's call: one for each operation of the OpenAPI document, and for what is above them.
var operations = map[string]operationFunc{
	"submitJob": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Jobs.Submit(ctx, body[Submission](t, a), o...)
	},
	"submitJobBatch": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		jobs, err := c.Jobs.SubmitBatch(ctx, body[submissions](t, a).Jobs, o...)
		return jobBatch{jobs}, err
	},
	"listJobs": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Jobs.List(ctx, a.filter(), o...)
	},
	"all:listJobs": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return collect(c.Jobs.All(ctx, a.filter(), o...))
	},
	"getJob": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Jobs.Get(ctx, a.ID, o...)
	},
	"getJobResult": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Jobs.Result(ctx, a.ID, o...)
	},
	"streamJobEvents": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return collect(c.Jobs.Events(ctx, a.ID, o...))
	},
	"events": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return collect(c.Jobs.Events(ctx, a.ID, o...))
	},
	"cancelJob": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Jobs.Cancel(ctx, a.ID, o...)
	},
	"wait": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Jobs.Wait(ctx, a.ID, o...)
	},
	"run": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Run(ctx, a.Type, a.Input, o...)
	},
	"runJob": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Jobs.RunDirect(ctx, a.Type, a.Body, o...)
	},
	"listJobTypes": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.JobTypes.List(ctx, a.list(), o...)
	},
	"getJobType": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.JobTypes.Get(ctx, a.Name, o...)
	},
	"defineJobType": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.JobTypes.Define(ctx, a.Name, body[JobTypeDefinition](t, a), o...)
	},
	"deleteJobType": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.JobTypes.Delete(ctx, a.Name, o...)
	},
	"quoteJob": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Quote(ctx, body[Submission](t, a), o...)
	},
	"getAccount": func(ctx context.Context, _ *testing.T, c *Client, _ caseArguments, o []CallOption) (any, error) {
		return c.Account.Get(ctx, o...)
	},
	"listAccountEntries": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Account.Entries(ctx, a.list(), o...)
	},
	"all:listAccountEntries": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return collect(c.Account.AllEntries(ctx, a.list(), o...))
	},
	"getAccountUsage": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		days, err := c.Account.Usage(ctx, a.days(t), o...)
		return Page[Usage]{Data: days}, err
	},
	"getAccountErrors": func(ctx context.Context, _ *testing.T, c *Client, _ caseArguments, o []CallOption) (any, error) {
		return c.Account.Errors(ctx, o...)
	},
	"listApiKeys": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.APIKeys.List(ctx, a.list(), o...)
	},
	"all:listApiKeys": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return collect(c.APIKeys.All(ctx, a.list(), o...))
	},
	"createApiKey": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.APIKeys.Create(ctx, body[NewAPIKey](t, a), o...)
	},
	"getApiKey": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.APIKeys.Get(ctx, a.ID, o...)
	},
	"revokeApiKey": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.APIKeys.Revoke(ctx, a.ID, o...)
	},
	"rotateApiKey": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.APIKeys.Rotate(ctx, a.ID, body[Rotation](t, a), o...)
	},
	"listClients": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Clients.List(ctx, a.list(), o...)
	},
	"all:listClients": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return collect(c.Clients.All(ctx, a.list(), o...))
	},
	"createClient": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Clients.Create(ctx, body[NewClient](t, a), o...)
	},
	"getClient": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Clients.Get(ctx, a.ID, o...)
	},
	"updateClient": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Clients.Update(ctx, a.ID, body[ClientUpdate](t, a), o...)
	},
	"suspendClient": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Clients.Suspend(ctx, a.ID, o...)
	},
	"activateClient": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Clients.Activate(ctx, a.ID, o...)
	},
	"creditClient": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Clients.Credit(ctx, a.ID, body[Credit](t, a), o...)
	},
	"listClientEntries": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Clients.Entries(ctx, a.ID, a.list(), o...)
	},
	"getClientUsage": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		days, err := c.Clients.Usage(ctx, a.ID, a.days(t), o...)
		return Page[Usage]{Data: days}, err
	},
	"getClientErrors": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Clients.Errors(ctx, a.ID, o...)
	},
	"listClientApiKeys": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Clients.APIKeys.List(ctx, a.Client, a.list(), o...)
	},
	"all:listClientApiKeys": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return collect(c.Clients.APIKeys.All(ctx, a.Client, a.list(), o...))
	},
	"createClientApiKey": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Clients.APIKeys.Create(ctx, a.Client, body[NewAPIKey](t, a), o...)
	},
	"getClientApiKey": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Clients.APIKeys.Get(ctx, a.Client, a.Key, o...)
	},
	"revokeClientApiKey": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Clients.APIKeys.Revoke(ctx, a.Client, a.Key, o...)
	},
	"rotateClientApiKey": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Clients.APIKeys.Rotate(ctx, a.Client, a.Key, body[Rotation](t, a), o...)
	},
	"listAuditRecords": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Audit.List(ctx, a.list(), o...)
	},
	"all:listAuditRecords": func(ctx context.Context, _ *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return collect(c.Audit.All(ctx, a.list(), o...))
	},
	"leaseJobs": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Worker.Lease(ctx, body[LeaseRequest](t, a), o...)
	},
	"reportJobs": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Worker.Report(ctx, body[ReportBatch](t, a), o...)
	},
	"heartbeatJob": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Worker.Heartbeat(ctx, a.ID, body[Heartbeat](t, a), o...)
	},
	"succeedJob": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Worker.Succeed(ctx, a.ID, body[Success](t, a), o...)
	},
	"failJob": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Worker.Fail(ctx, a.ID, body[Failure](t, a), o...)
	},
	"releaseJob": func(ctx context.Context, t *testing.T, c *Client, a caseArguments, o []CallOption) (any, error) {
		return c.Worker.Release(ctx, a.ID, body[Giveback](t, a), o...)
	},
	"getHealth": func(ctx context.Context, _ *testing.T, c *Client, _ caseArguments, o []CallOption) (any, error) {
		return c.Health(ctx, o...)
	},
	"getReadiness": func(ctx context.Context, _ *testing.T, c *Client, _ caseArguments, o []CallOption) (any, error) {
		return c.Ready(ctx, o...)
	},
	"getOpenAPI": func(ctx context.Context, _ *testing.T, c *Client, _ caseArguments, o []CallOption) (any, error) {
		return c.OpenAPI(ctx, o...)
	},
	"verify": func(_ context.Context, _ *testing.T, _ *Client, a caseArguments, _ []CallOption) (any, error) {
		header := http.Header{}
		for name, value := range a.Headers {
			header.Set(name, value)
		}
		return nil, verifyWebhook([]byte(a.Payload), header, a.Secret, time.Unix(a.Now, 0))
	},
}

// kindOf is what a case calls an error's type.
func kindOf(err error) string {
	switch {
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.Is(err, ErrInvalidWebhook):
		return "invalid_webhook"
	}
	switch e := err.(type) {
	case *ConnectionError:
		return "connection"
	case *TimeoutError:
		return "timeout"
	case *UnexpectedAnswerError:
		return "unexpected_answer"
	case *WaitTimeoutError:
		return "wait_timeout"
	case *JobCancelledError:
		return "job_cancelled"
	case *Error:
		return "unknown_code"
	default:
		for code, of := range errorTypes {
			if reflect.TypeOf(of(nil)) == reflect.TypeOf(e) {
				return string(code)
			}
		}
	}
	return fmt.Sprintf("%T", err)
}

func checkRaised(t *testing.T, want raised, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("raised nothing, want %s", want.Type)
		return
	}
	if got := kindOf(err); got != want.Type {
		t.Errorf("raised %s (%v), want %s", got, err, want.Type)
		return
	}
	e := baseOf(err)
	if e == nil {
		e = &Error{}
	}
	if _, known := errorTypes[Code(want.Type)]; known && !errors.Is(err, Code(want.Type)) {
		t.Errorf("errors.Is does not find %s in %v", want.Type, err)
	}
	if want.Code != nil && string(e.Code) != *want.Code {
		t.Errorf("code %s, want %s", e.Code, *want.Code)
	}
	if want.Message != nil && !strings.Contains(e.Message, *want.Message) {
		t.Errorf("message %q, want %q in it", e.Message, *want.Message)
	}
	if want.Status != nil && e.Status != *want.Status {
		t.Errorf("status %d, want %d", e.Status, *want.Status)
	}
	if want.RequestID != nil && e.RequestID != *want.RequestID {
		t.Errorf("request id %q, want %q", e.RequestID, *want.RequestID)
	}
	if want.Attempts != nil && e.Attempts != *want.Attempts {
		t.Errorf("%d attempts, want %d", e.Attempts, *want.Attempts)
	}
	if want.RetryAfter != nil {
		var seconds float64
		if err := json.Unmarshal(want.RetryAfter, &seconds); err != nil {
			t.Fatal(err)
		}
		if math.Abs(e.RetryAfter.Seconds()-seconds) > 0.001 {
			t.Errorf("retry after %v, want %v s", e.RetryAfter, seconds)
		}
	}
	if want.Job != nil {
		var job *Job
		if e, ok := errors.AsType[*WaitTimeoutError](err); ok {
			job = e.Job
		} else if e, ok := errors.AsType[*JobCancelledError](err); ok {
			job = e.Job
		}
		if job == nil || job.ID != *want.Job {
			t.Errorf("job %+v, want %s", job, *want.Job)
		}
	}
}

func checkReturned(t *testing.T, want json.RawMessage, value any) {
	t.Helper()
	got, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	if at, ok := within(jsonValue(t, want), jsonValue(t, got)); !ok {
		t.Errorf("returned %s, want %s: they differ at %q", got, want, at)
	}
}

// within reports whether everything that want says is in got, and where not. What is null may be left out.
func within(want, got any) (at string, ok bool) {
	switch want := want.(type) {
	case map[string]any:
		have, ok := got.(map[string]any)
		if !ok {
			return "", false
		}
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if at, ok := within(want[name], have[name]); !ok {
				return "/" + name + at, false
			}
		}
		return "", true
	case []any:
		have, ok := got.([]any)
		if !ok || len(have) != len(want) {
			return "", false
		}
		for i := range want {
			if at, ok := within(want[i], have[i]); !ok {
				return fmt.Sprintf("/%d%s", i, at), false
			}
		}
		return "", true
	}
	return "", reflect.DeepEqual(want, got)
}
