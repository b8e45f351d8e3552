package tallygate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
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
