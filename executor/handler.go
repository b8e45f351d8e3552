package executor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/queue"
)

// Handler does one attempt at a job of a builtin type. The result is JSON, null where it is empty; units are what was
// used of what the type meters. An error's text becomes the job's message, which its client sees: of a tallygate.Error
// the detail, with its code, wait and finality, of any other its whole text. The attempt is tried again unless the error
// is final.
//
// The context ends when the job is cancelled, its time is up, its lease is lost or the server drains; what is returned
// after that counts only if it is a result. report may be called at any time: progress from 0 to 1, negative for none,
// and a log line, empty for none.
type Handler func(ctx context.Context, job *tallygate.Job, report func(progress float64, log string)) (result []byte, units map[string]int64, err error)

// finalError says that another attempt is useless.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

// Final marks a handler's error: another attempt would end the same way. Final(nil) is nil.
func Final(err error) error {
	if err == nil {
		return nil
	}
	return finalError{err}
}

// handle runs the handler. A panic is a failure like another.
func (a *attempt) handle(ctx context.Context) (end ending) {
	defer func() {
		if v := recover(); v != nil {
			end = failed(tallygate.ProcessingFailed, "the handler failed")
			a.log().Error("a handler panicked", "handler", a.lease.Type.Executor.Handler, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		}
	}()
	result, units, err := a.x.opt.Handlers[a.lease.Type.Executor.Handler](ctx, a.job, a.notes.add)
	if err != nil {
		return failedBy(err)
	}
	if len(result) == 0 {
		result = []byte("null")
	}
	if !jsontext.Value(result).IsValid() {
		end = failed(tallygate.ProcessingFailed, "the handler's result is not JSON")
		end.Final = true
		return end
	}
	return ending{Report: queue.Report{Outcome: queue.Succeeded, Result: result, Units: units}}
}

func failedBy(err error) ending {
	end := failed(tallygate.ProcessingFailed, "%s", err)
	if e, ok := errors.AsType[*tallygate.Error](err); ok {
		end.Code, end.Message = e.Code, cmp.Or(e.Detail, e.Message())
		end.RetryAfter, end.Final = e.RetryAfter, e.Final
	}
	if _, ok := errors.AsType[finalError](err); ok {
		end.Final = true
	}
	end.Message = cmp.Or(clean(end.Message), "the handler failed")
	end.cause = err
	return end
}
