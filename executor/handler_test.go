package executor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/store/enginetest"
)

type reportFunc = func(progress float64, log string)

func TestAHandlersJobIsChargedForItsUnits(t *testing.T) {
	handlers := map[string]Handler{"echo": func(_ context.Context, job *tallygate.Job, _ reportFunc) ([]byte, map[string]int64, error) {
		return job.Input, map[string]int64{"page": 3}, nil
	}}
	bubble(t, Options{Handlers: handlers}, func(w *world) {
		w.builtin("x", "echo", nil)
		o := w.ended(w.submit("x", `{"a": 1}`))
		if o.Status != tallygate.JobSucceeded || string(o.Result) != `{"a": 1}` || o.Charged != 1000+3*2000 {
			t.Errorf("%+v", o)
		}
	})
}

func TestWhatAHandlersReturnMeans(t *testing.T) {
	const external, processing = tallygate.ExternalServiceError, tallygate.ProcessingFailed
	cases := map[string]struct {
		result   string
		units    map[string]int64
		fail     func() error
		want     string // result where the job succeeds
		code     tallygate.Code
		message  string
		attempts int64
	}{
		"nothing":           {want: "null"},
		"not-json":          {result: "{", code: processing, message: "the handler's result is not JSON", attempts: 1},
		"an-unknown-unit":   {units: map[string]int64{"gram": 1}, code: processing, message: "the units that were used are refused: /units/gram: the job type does not meter it (it meters: page)", attempts: 1},
		"a-negative-unit":   {units: map[string]int64{"page": -1}, code: processing, message: "the units that were used are refused: /units/page: must be 0 or more", attempts: 1},
		"an-error":          {fail: func() error { return errors.New("no\nway") }, code: processing, message: "no way", attempts: 2},
		"an-empty-error":    {fail: func() error { return errors.New("") }, code: processing, message: "the handler failed", attempts: 2},
		"a-final-error":     {fail: func() error { return fmt.Errorf("open: %w", Final(errors.New("no picture"))) }, code: processing, message: "open: no picture", attempts: 1},
		"an-error-of-ours":  {fail: func() error { return tallygate.Errorf(external, "the model is away") }, code: external, message: "the model is away", attempts: 2},
		"its-hidden-cause":  {fail: func() error { return &tallygate.Error{Code: external, Final: true, Err: errors.New("hidden")} }, code: external, message: "An external service error occurred: Retry after a delay", attempts: 1},
		"a-code-of-another": {fail: func() error { return tallygate.Errorf(tallygate.InvalidAPIKey, "no") }, code: processing, message: "no", attempts: 2},
		"a-panic":           {fail: func() error { panic("boo") }, code: processing, message: "the handler failed", attempts: 2},
		"an-exit":           {fail: func() error { runtime.Goexit(); return nil }, code: processing, message: "the handler failed", attempts: 2},
	}
	handlers := map[string]Handler{}
	for name, c := range cases {
		handlers[name] = func(context.Context, *tallygate.Job, reportFunc) ([]byte, map[string]int64, error) {
			if c.fail != nil {
				return nil, nil, c.fail()
			}
			return []byte(c.result), c.units, nil
		}
	}
	bubble(t, Options{Handlers: handlers}, func(w *world) {
		jobs := map[string]tallygate.JobID{}
		for name := range cases {
			w.builtin(name, name, func(t *tallygate.JobType) { t.MaxAttempts = 2 })
			jobs[name] = w.submit(name, "{}")
		}
		for name, c := range cases {
			o := w.ended(jobs[name])
			if c.message != "" {
				w.wantFailure(o, c.code, c.message, c.attempts)
			} else if o.Status != tallygate.JobSucceeded || string(o.Result) != c.want {
				t.Errorf("%s: %+v", name, o)
			}
		}
	})
}

func TestFinalOfNothingIsNothing(t *testing.T) {
	if err := Final(nil); err != nil {
		t.Error(err)
	}
}

func TestAPanicsStackIsLogged(t *testing.T) {
	var text bytes.Buffer
	handlers := map[string]Handler{"h": func(context.Context, *tallygate.Job, reportFunc) ([]byte, map[string]int64, error) { panic("boo") }}
	bubble(t, Options{Handlers: handlers, Log: slog.New(slog.NewTextHandler(&text, nil))}, func(w *world) {
		w.builtin("x", "h", func(t *tallygate.JobType) { t.MaxAttempts = 1 })
		id := w.submit("x", "{}")
		w.ended(id)
		w.executor.Drain(0)
		for _, want := range []string{"panic=boo", "handler=h", "job=" + string(id), "TestAPanicsStackIsLogged"} {
			if !strings.Contains(text.String(), want) {
				t.Errorf("the log has no %q: %s", want, text.String())
			}
		}
	})
}

func TestProgressAndLogsAreSentABitAtATime(t *testing.T) {
	handlers := map[string]Handler{"h": func(_ context.Context, _ *tallygate.Job, report reportFunc) ([]byte, map[string]int64, error) {
		for i := range 1000 {
			report(float64(i+1)/1000, fmt.Sprintf("line %d", i))
			time.Sleep(10 * time.Millisecond)
		}
		return nil, nil, nil
	}}
	bubble(t, Options{Handlers: handlers}, func(w *world) {
		w.builtin("x", "h", nil)
		id := w.submit("x", "{}")
		w.ended(id)
		progress := w.events(id, tallygate.EventJobProgress)
		if n := len(progress); n < 38 || n > 42 || progress[n-1] != `{"progress":1}` {
			t.Errorf("%d times: %s", n, progress)
		}
		lines := w.events(id, tallygate.EventJobLog)
		if len(lines) != 1000 {
			t.Errorf("%d lines", len(lines))
		}
		for i, line := range lines {
			if line != fmt.Sprintf(`{"line":"line %d"}`, i) {
				t.Fatalf("line %d is %s", i, line)
			}
		}
	})
}

func TestTheLastWordsOfAShortJobAreSent(t *testing.T) {
	for name, failure := range map[string]error{"success": nil, "failure": Final(errors.New("no"))} {
		t.Run(name, func(t *testing.T) {
			handlers := map[string]Handler{"h": func(_ context.Context, _ *tallygate.Job, report reportFunc) ([]byte, map[string]int64, error) {
				report(0.1, "begun")
				report(0.9, "done")
				return nil, nil, failure
			}}
			bubble(t, Options{Handlers: handlers}, func(w *world) {
				w.builtin("x", "h", nil)
				id := w.submit("x", "{}")
				w.ended(id)
				progress, lines := w.events(id, tallygate.EventJobProgress), w.events(id, tallygate.EventJobLog)
				if !slices.Contains(progress, `{"progress":0.9}`) || !slices.Equal(lines, []string{`{"line":"begun"}`, `{"line":"done"}`}) {
					t.Errorf("%s %s", progress, lines)
				}
			})
		})
	}
}

func TestNotes(t *testing.T) {
	n := &notes{news: make(chan struct{}, 1)}
	n.add(-1, "")
	if !n.empty() {
		t.Error("nothing was added")
	}
	n.add(7, "a\xffb")
	n.add(-1, strings.Repeat("é", mostLine))
	for range mostLines {
		n.add(-1, "more")
	}
	progress, lines := n.take()
	if *progress != 1 || len(lines) != mostLines+1 || lines[0] != "a\uFFFDb" || len(lines[1]) > mostLine || lines[mostLines] != "(2 more lines were left out)" {
		t.Errorf("%v %q", *progress, lines)
	}
	if !n.empty() {
		t.Error("something is left")
	}
	n.add(0.5, "later")
	n.putBack(progress, []string{"earlier"})
	if progress, lines := n.take(); *progress != 0.5 || !slices.Equal(lines, []string{"earlier", "later"}) {
		t.Errorf("%v %q", *progress, lines)
	}
}

// waiting is a handler that waits for its context's end and tells its cause.
func waiting(begun chan<- struct{}, cause chan<- error) Handler {
	return func(ctx context.Context, _ *tallygate.Job, _ reportFunc) ([]byte, map[string]int64, error) {
		begun <- struct{}{}
		<-ctx.Done()
		cause <- context.Cause(ctx)
		return nil, nil, ctx.Err()
	}
}

func TestAHandlersContextEndsWithItsRightToTheJob(t *testing.T) {
	for name, c := range map[string]struct {
		do     func(w *world, id tallygate.JobID)
		cause  error
		status tallygate.JobStatus
	}{
		"cancelled":  {func(w *world, id tallygate.JobID) { w.cancel(id, false) }, errCancelRequested, tallygate.JobCancelled},
		"abandoned":  {func(w *world, id tallygate.JobID) { w.cancel(id, true) }, errLost, tallygate.JobCancelled},
		"drained":    {func(w *world, _ tallygate.JobID) { w.executor.Drain(0) }, errDraining, tallygate.JobQueued},
		"time is up": {func(*world, tallygate.JobID) {}, errTimeUp, tallygate.JobFailed},
	} {
		t.Run(name, func(t *testing.T) {
			enginetest.Prepare(t)
			synctest.Test(t, func(t *testing.T) {
				begun, cause := make(chan struct{}, 1), make(chan error, 1)
				w := newWorld(t, Options{Handlers: map[string]Handler{"h": waiting(begun, cause)}})
				w.builtin("x", "h", func(t *tallygate.JobType) { t.MaxAttempts = 1; t.AttemptTimeout = 5 * time.Second })
				id := w.submit("x", "{}")
				<-begun
				c.do(w, id)
				if got := <-cause; got != c.cause {
					t.Errorf("cause %v, want %v", got, c.cause)
				}
				time.Sleep(time.Second)
				if got := w.job(id).Status(); got != c.status {
					t.Errorf("job is %s, want %s", got, c.status)
				}
				w.audit()
			})
		})
	}
}

func TestAHandlerThatDoesNotHeedItsContextKeepsItsPlaceAlone(t *testing.T) {
	enginetest.Prepare(t)
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		w := newWorld(t, Options{Concurrency: 1, Handlers: map[string]Handler{
			"deaf": func(context.Context, *tallygate.Job, reportFunc) ([]byte, map[string]int64, error) {
				<-end
				return nil, nil, nil
			},
		}})
		w.builtin("x", "deaf", func(t *tallygate.JobType) { t.MaxAttempts = 1; t.AttemptTimeout = 10 * time.Second })
		first, second := w.submit("x", "{}"), w.submit("x", "{}")
		o := w.ended(first)
		w.wantFailure(o, tallygate.ProcessingFailed, "the attempt took longer than its time limit", 1)
		if took := o.FinishedAt.Sub(o.StartedAt); took != 10*time.Second {
			t.Errorf("ended after %s", took)
		}
		time.Sleep(10 * time.Second)
		if job := w.job(second); job.Item.Attempt != 0 {
			t.Errorf("%+v", job.Item)
		}
		close(end)
		if o := w.ended(second); o.Status != tallygate.JobSucceeded {
			t.Errorf("%+v", o)
		}
		w.audit()
	})
}

func TestADrainDoesNotWaitForADeafHandler(t *testing.T) {
	enginetest.Prepare(t)
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		w := newWorld(t, Options{Handlers: map[string]Handler{
			"deaf": func(context.Context, *tallygate.Job, reportFunc) ([]byte, map[string]int64, error) {
				<-end
				return nil, nil, nil
			},
		}})
		w.builtin("x", "deaf", nil)
		id := w.submit("x", "{}")
		time.Sleep(3 * time.Second)
		at := time.Now()
		w.executor.Drain(2 * time.Second)
		if job := w.job(id); job.Status() != tallygate.JobQueued || job.Item.Attempt != 0 || time.Since(at) != 2*time.Second {
			t.Errorf("%+v after %s", job.Item, time.Since(at))
		}
		close(end)
	})
}
