package tallygate

import (
	"context"
	"log/slog"
	"net/http"
	"time"
)

// Option sets up a client.
type Option interface{ applyClient(*config) }

// CallOption changes one call. Each says which calls heed it; the others pass it over.
type CallOption interface{ applyCall(*call) }

// SharedOption is for a client, where it counts for all its calls, or for one call, where it wins.
type SharedOption interface {
	Option
	CallOption
}

type config struct {
	url, key, userAgent string
	http                *http.Client
	limits              limits
	budget              int
	hooks               []Hooks
}

// call is what the options say of one call.
type call struct {
	limits          limits
	idempotencyKey  string
	wait            time.Duration
	lastEventID     string
	timeLimit       time.Duration
	cancelOnTimeout bool
	onProgress      func(float64)
	onLog           func(string)
	answer          *Answer
}

type clientOption func(*config)

func (o clientOption) applyClient(c *config) { o(c) }

type callOption func(*call)

func (o callOption) applyCall(c *call) { o(c) }

type sharedOption func(*limits)

func (o sharedOption) applyClient(c *config) { o(&c.limits) }
func (o sharedOption) applyCall(c *call)     { o(&c.limits) }

// WithURL names the server, such as "https://jobs.example.com"; a path before /v1 is kept.
func WithURL(url string) Option { return clientOption(func(c *config) { c.url = url }) }

// WithKey gives the API key.
func WithKey(key string) Option { return clientOption(func(c *config) { c.key = key }) }

// WithHTTPClient gives the client that makes the requests: with a proxy, with certificates, with a transport of your
// own. It never follows redirects; a Timeout of its own bounds each attempt too.
func WithHTTPClient(h *http.Client) Option { return clientOption(func(c *config) { c.http = h }) }

// WithUserAgent puts a program's name and version before this package's in User-Agent.
func WithUserAgent(program string) Option {
	return clientOption(func(c *config) { c.userAgent = program })
}

// WithRetryBudget is how many tokens the client holds for further attempts (500): one costs 5, or 10 after a time-out;
// an attempt that succeeds gives back what it cost, a call that succeeds at once gives 1. It keeps a fleet of callers from
// multiplying its load on a server in trouble. 0: nothing is tried again.
func WithRetryBudget(tokens int) Option { return clientOption(func(c *config) { c.budget = tokens }) }

// WithHooks has the hooks hear of what the client does. It may be given more than once.
func WithHooks(h Hooks) Option {
	return clientOption(func(c *config) { c.hooks = append(c.hooks, h) })
}

// WithLogger logs attempts and answers at the level debug, and what is tried again at warn. No line has a key in it.
func WithLogger(log *slog.Logger) Option { return WithHooks(logHooks(log)) }

// WithTimeout bounds one attempt (30 s), beside the time that a call asks the server to wait. 0: no bound.
func WithTimeout(d time.Duration) SharedOption {
	return sharedOption(func(l *limits) { l.timeout = max(0, d) })
}

// WithDeadline bounds a call with all its attempts and waits (2 min), beside the time that it asks the server to wait.
// A wait that would pass it is not begun: the failure is returned at once, with its RetryAfter. 0: no bound.
func WithDeadline(d time.Duration) SharedOption {
	return sharedOption(func(l *limits) { l.deadline = max(0, d) })
}

// WithMaxAttempts bounds how often a call is tried, the first time included (5).
func WithMaxAttempts(n int) SharedOption {
	return sharedOption(func(l *limits) { l.maxAttempts = max(1, n) })
}

// WithIdempotencyKey names the effect of a call, so that it happens once however often the call is repeated, also by
// another process: the server keeps the name for a day. Without it each call makes its own, for its own attempts. Reads,
// quotes and the routes of workers have no need of it.
func WithIdempotencyKey(key string) CallOption {
	return callOption(func(c *call) { c.idempotencyKey = key })
}

// WithWait has the server hold the answer until the job has ended, at most so long: of Jobs.Submit, Jobs.Get and
// Jobs.RunDirect.
func WithWait(d time.Duration) CallOption { return callOption(func(c *call) { c.wait = d }) }

// WithLastEventID has Jobs.Events begin after that event.
func WithLastEventID(id string) CallOption { return callOption(func(c *call) { c.lastEventID = id }) }

// WithTimeLimit bounds Jobs.Wait and Run: past it they return a [*WaitTimeoutError].
func WithTimeLimit(d time.Duration) CallOption { return callOption(func(c *call) { c.timeLimit = d }) }

// WithCancelOnTimeout has Jobs.Wait and Run cancel the job past their time limit.
func WithCancelOnTimeout() CallOption { return callOption(func(c *call) { c.cancelOnTimeout = true }) }

// WithProgress has Jobs.Wait and Run tell how far the job is, from 0 to 1, whenever that changes.
func WithProgress(tell func(float64)) CallOption {
	return callOption(func(c *call) { c.onProgress = tell })
}

// WithLogs has Jobs.Wait and Run tell the lines that the worker writes about the job.
func WithLogs(tell func(string)) CallOption { return callOption(func(c *call) { c.onLog = tell }) }

// WithAnswer fills in what the server answered to the call, or to the last of its requests that succeeded.
func WithAnswer(answer *Answer) CallOption { return callOption(func(c *call) { c.answer = answer }) }

// Answer is a success as it came.
type Answer struct {
	Header http.Header
	Body   []byte
}

// Replayed reports whether the effect was an earlier call's under the same Idempotency-Key.
func (a *Answer) Replayed() bool { return a.Header.Get("Idempotent-Replayed") == "true" }

// Hooks hear of a client's requests. Each may be nil; none may change anything, and none is told a secret.
type Hooks struct {
	OnRequest  func(context.Context, Request)
	OnResponse func(context.Context, Request, Response)
	OnRetry    func(ctx context.Context, r Request, failure *Error, wait time.Duration)
}

// Request is one attempt of a call.
type Request struct {
	Operation string // as the OpenAPI document names it, such as "submitJob"
	Method    string
	Path      string // without the query
	Attempt   int    // from 1
}

// Response is how an attempt went.
type Response struct {
	Status    int // 0: there was no answer
	RequestID string
	Took      time.Duration // until the answer was read; of a stream, until it began
	Err       error         // nil: it succeeded
}

func logHooks(log *slog.Logger) Hooks {
	attrs := func(r Request, more ...any) []any {
		return append([]any{"operation", r.Operation, "method", r.Method, "path", r.Path, "attempt", r.Attempt}, more...)
	}
	return Hooks{
		OnRequest: func(ctx context.Context, r Request) { log.DebugContext(ctx, "tallygate: request", attrs(r)...) },
		OnResponse: func(ctx context.Context, r Request, res Response) {
			more := []any{"status", res.Status, "request_id", res.RequestID, "took", res.Took}
			if res.Err != nil {
				more = append(more, "error", res.Err.Error())
			}
			log.DebugContext(ctx, "tallygate: answer", attrs(r, more...)...)
		},
		OnRetry: func(ctx context.Context, r Request, failure *Error, wait time.Duration) {
			log.WarnContext(ctx, "tallygate: trying again", attrs(r, "wait", wait, "error", failure.Error())...)
		},
	}
}
