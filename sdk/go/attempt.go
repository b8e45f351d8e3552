package tallygate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"strings"
	"sync"
	"time"
)

// Handler does one job: what it returns is the job's result, as anything that encodes to JSON; an error fails the attempt,
// and its text is the message that the client reads. The context ends when the job is to stop: [context.Cause] says why.
type Handler func(ctx context.Context, attempt *Attempt) (result any, err error)

// HandlerOf makes a handler of a function of the input's own type. An input that does not decode into it fails for good.
func HandlerOf[In, Out any](do func(ctx context.Context, attempt *Attempt, input In) (Out, error)) Handler {
	return func(ctx context.Context, attempt *Attempt) (any, error) {
		var input In
		if err := attempt.Decode(&input); err != nil {
			return nil, err
		}
		return do(ctx, attempt, input)
	}
}

// Why the context of a handler ends, beside a caller's own reasons.
var (
	ErrCancelRequested = errors.New("tallygate: the job is to be cancelled")
	ErrLeaseLost       = errors.New("tallygate: the lease is lost, and another worker may have the job")
	ErrDraining        = errors.New("tallygate: the worker is going down, and gives the job back")
)

// attemptError is a handler's error with more to say than its text.
type attemptError struct {
	error
	final      bool
	external   bool
	retryAfter time.Duration
}

func (e *attemptError) Unwrap() error { return e.error }

// Final marks an error that another attempt would end in as well, such as by a wrong input.
func Final(err error) error { return &attemptError{error: err, final: true} }

// RetryAfter marks an error that another attempt may do without, but not sooner than after d.
func RetryAfter(d time.Duration, err error) error { return &attemptError{error: err, retryAfter: d} }

// External marks an error of a service that the job needs: the job tells it as EXTERNAL_SERVICE_ERROR.
func External(err error) error { return &attemptError{error: err, external: true} }

// What the server takes.
const (
	mostMessage = 4000 // bytes
	mostLine    = 4000 // bytes
	mostLines   = 100  // of one heartbeat
	keptLines   = 1000 // until heartbeats take them along
	mostDelay   = 24 * time.Hour
)

// Attempt is one attempt at a job, for its handler. It is safe for concurrent use. One that has only a Job will do for a test
// of a handler.
type Attempt struct {
	Job    *Job
	Number int64 // from 1

	mu       sync.Mutex
	progress *float64 // not told yet
	lines    []string // not told yet
	units    map[string]int64
	news     chan struct{} // filled when there is something to tell
}

func newAttempt(l Lease) *Attempt {
	return &Attempt{Job: &l.Job, Number: l.Attempt, news: make(chan struct{}, 1)}
}

// Decode decodes the job's input. Its error is final: the same input fails every time.
func (a *Attempt) Decode(into any) error {
	if err := json.Unmarshal(a.Job.Input, into); err != nil {
		return Final(fmt.Errorf("the input cannot be used: %w", err))
	}
	return nil
}

// Progress tells how far the job is, from 0 to 1. It may be called as often as is convenient: about once a second the
// last word goes out.
func (a *Attempt) Progress(done float64) {
	if math.IsNaN(done) {
		return
	}
	done = min(1, max(0, done))
	a.mu.Lock()
	a.progress = &done
	a.mu.Unlock()
	a.tell()
}

// Log adds a line to the job's log, which its client reads. Lines go out about once a second; past 1,000 that wait the
// oldest are dropped.
func (a *Attempt) Log(line string) {
	line = cut(line, mostLine)
	a.mu.Lock()
	a.keep(append(a.lines, line))
	a.mu.Unlock()
	a.tell()
}

// Logf is [Attempt.Log] with a format.
func (a *Attempt) Logf(format string, args ...any) { a.Log(fmt.Sprintf(format, args...)) }

// Use adds to what the job has used of a unit that its type meters, which is what the client pays for.
func (a *Attempt) Use(unit string, n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.units == nil {
		a.units = map[string]int64{}
	}
	a.units[unit] += n
}

// Used is what has been used so far.
func (a *Attempt) Used() map[string]int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.units)
}

func (a *Attempt) tell() {
	select {
	case a.news <- struct{}{}:
	default:
	}
}

// take is what the next heartbeat tells.
func (a *Attempt) take() (progress *float64, lines []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := min(len(a.lines), mostLines)
	lines, a.lines = a.lines[:n:n], a.lines[n:]
	progress, a.progress = a.progress, nil
	if len(a.lines) > 0 {
		a.tell()
	}
	return progress, lines
}

// putBack returns what did not arrive, before what came since.
func (a *Attempt) putBack(progress *float64, lines []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.progress == nil {
		a.progress = progress
	}
	a.keep(append(lines, a.lines...))
}

func (a *Attempt) hasLines() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.lines) > 0
}

func (a *Attempt) keep(lines []string) { a.lines = lines[max(0, len(lines)-keptLines):] }

// cut makes valid UTF-8 of at most so many bytes.
func cut(text string, most int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-len("…")], "") + "…"
}
