package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/access"
	"github.com/tallygate/tallygate/ratelimit"
)

// The order of the checks, so that a refusal is always the same one: drain or overload, route, authentication, address,
// suspension, rate limit, permission, request, existence, state and balance, storage. ServeHTTP does the first two,
// pass those up to permission, and the handler the rest.

// call is one request on its way through the server. It stands in for the ResponseWriter between the mux and the
// route, which saves a value in the request's context.
type call struct {
	server *Server
	w      http.ResponseWriter
	r      *http.Request
	ctx    context.Context // the request's, with the handler's time limit
	route  *route          // nil where none was reached
	id     string          // the X-Request-Id
	start  time.Time
	cors   bool // the browser may read the answer
	caller *access.Caller
	limit  ratelimit.Decision // the tightest so far; zero: none
	body   []byte
	err    error

	parameters *query
	root       *object
	record     tallygate.Idempotency // the key and hash of this request; an empty key: none

	faults  faults
	status  int // of the answer, once it has begun
	read    bool
	parked  bool
	waiting bool          // it holds one of the places of requests that wait
	headers [slots]string // backs the header values of this answer alone
}

// The call as an http.ResponseWriter, for the mux, which only passes it on.
func (c *call) Header() http.Header         { return c.w.Header() }
func (c *call) Write(b []byte) (int, error) { return c.w.Write(b) }
func (c *call) WriteHeader(status int)      { c.w.WriteHeader(status) }

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if held, ok := r.Context().Value(connKey{}).(*conn); ok {
		held.serving.Store(true)
	}
	c := &call{server: s, w: w, r: r, ctx: r.Context(), start: s.opt.Now()}
	c.id = s.ids.Next("", c.start)
	defer c.finish()
	for i := range s.pages {
		p := &s.pages[i]
		if !under(r.URL.Path, p.prefix) {
			continue
		}
		if len(p.methods) > 0 && !slices.Contains(p.methods, r.Method) {
			c.begin()
			c.sendError(tallygate.AsError(c.wrongMethod(p.allow)))
			return
		}
		c.setHeader("X-Request-Id", slotRequestID, c.id)
		c.status = http.StatusOK // from here on nobody but the page knows what is sent
		p.handler.ServeHTTP(w, r)
		return
	}
	c.begin()
	if err := c.answer(); err != nil {
		c.sendError(tallygate.AsError(err))
	}
}

// under reports whether path is prefix or lies below it.
func under(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/')
}

// begin sets the headers that every answer has.
func (c *call) begin() {
	h := c.w.Header()
	c.setHeader("X-Request-Id", slotRequestID, c.id)
	c.cors = c.server.origins.allow(h, c.r)
}

// headerSlot is the place of a header's value in its call.
type headerSlot int

const (
	slotRequestID headerSlot = iota
	slotRetryAfter
	slotRateLimit
	slotRemaining
	slotReset
	slotJobID
	slots
)

// setHeader sets a header of this answer alone, without an allocation for its slice. The key is in canonical form.
func (c *call) setHeader(key string, slot headerSlot, value string) {
	c.headers[slot] = value
	c.w.Header()[key] = c.headers[slot : slot+1 : slot+1]
}

// answer leads the request through the checks to its route.
func (c *call) answer() error {
	path := c.r.URL.Path
	if path != "/healthz" && path != "/readyz" {
		if err := c.enter(); err != nil {
			return err
		}
		defer c.leave()
	}
	if c.r.RequestURI == "*" {
		return c.wrongMethod(anyMethod)
	}
	if c.r.Method == http.MethodConnect || !isClean(c.r.URL.EscapedPath()) {
		return notFound
	}
	c.server.mux.ServeHTTP(c, c.r)
	return c.err
}

// pass makes the checks between the route and the request, and hands over to the route.
func (c *call) pass() error {
	if c.route.kind == open {
		return c.route.handle(c)
	}
	s := c.server
	caller, err := s.opt.Access.Authenticate(c.ctx, c.r.Header["Authorization"], c.r.Header["X-Api-Key"],
		clientAddr(c.r, s.opt.TrustedProxies))
	if err != nil {
		return err
	}
	c.caller = caller
	decision, err := s.opt.Access.Limit(c.ctx, caller, affordable(c.route.cost, caller))
	c.tighten(decision)
	if err != nil {
		return err
	}
	if err := s.opt.Access.Authorize(caller, c.route.permission); err != nil {
		return err
	}
	c.ctx = access.WithCaller(c.ctx, caller)
	if c.route.kind == waits {
		return c.route.handle(c)
	}
	ctx, cancel := context.WithTimeout(c.ctx, s.opt.HandlerTimeout)
	defer cancel()
	c.ctx = ctx
	return c.route.handle(c)
}

// affordable keeps a route's cost within what may pass at one instant, so that no client is barred from a route.
func affordable(cost int64, caller *access.Caller) int64 {
	for _, rate := range [...]tallygate.RateLimit{caller.Client.Limits.Rate, caller.Key.Rate} {
		if !rate.Unlimited() {
			cost = min(cost, max(1, rate.Burst))
		}
	}
	return cost
}

// finish is the last word on every request: it turns a panic into an answer, or into a broken connection where an
// answer has begun and nobody may take it for a whole one; it counts and it logs.
func (c *call) finish() {
	if p := recover(); p != nil {
		if p == http.ErrAbortHandler {
			panic(p)
		}
		c.server.opt.Log.LogAttrs(context.Background(), slog.LevelError, "panic", append(c.attrs(),
			slog.Any("panic", p), slog.String("stack", string(debug.Stack())))...)
		if c.status != 0 {
			panic(http.ErrAbortHandler)
		}
		c.sendError(&tallygate.Error{Code: tallygate.InternalError})
	}
	if log := c.server.opt.Log; log.Enabled(c.ctx, slog.LevelDebug) {
		log.LogAttrs(context.Background(), slog.LevelDebug, "request", append(c.attrs(),
			slog.Int("status", c.status), slog.Duration("took", c.server.opt.Now().Sub(c.start)))...)
	}
}

// attrs are what a log line says of a request.
func (c *call) attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("request_id", c.id), slog.String("method", c.r.Method)}
	if c.route != nil {
		attrs = append(attrs, slog.String("route", c.route.path))
	} else {
		attrs = append(attrs, slog.String("path", c.r.URL.Path))
	}
	if c.caller != nil {
		attrs = append(attrs, slog.String("key_id", string(c.caller.Key.ID)),
			slog.String("client_id", string(c.caller.Client.ID)))
	}
	return attrs
}

// logError logs the server's own failures, once. Callers' mistakes are in the counts and in the debug log.
func (c *call) logError(e *tallygate.Error) {
	level := slog.LevelError
	switch {
	case !headersOf[e.Code].own || e == overloaded || e == waitsFull || e == goingDown:
		return
	case c.left():
		level = slog.LevelDebug
	case e.Code == tallygate.ServiceUnavailable:
		level = slog.LevelWarn
	case e.Final: // a job's own error
		level = slog.LevelInfo
	}
	attrs := append(c.attrs(), slog.String("code", e.Code.String()), slog.String("message", e.Message()))
	if e.Err != nil {
		attrs = append(attrs, slog.String("cause", e.Err.Error()))
	}
	c.server.opt.Log.LogAttrs(context.Background(), level, "request failed", attrs...)
}

// left reports whether the caller has closed the connection: nobody reads the answer any more, and what failed for it
// is no failure of the server's.
func (c *call) left() bool { return c.r.Context().Err() != nil }

// outOfTime tells a request's end by its time limit, or by a caller that left, from other failures.
func outOfTime(e *tallygate.Error) *tallygate.Error {
	if e.Code != tallygate.InternalError && e.Code != tallygate.ServiceUnavailable {
		return e
	}
	cut := &tallygate.Error{Code: tallygate.ServiceUnavailable, RetryAfter: time.Second, Err: e.Err}
	switch {
	case errors.Is(e.Err, context.DeadlineExceeded):
		cut.Detail = "the request took too long; retry after a delay"
	case errors.Is(e.Err, context.Canceled):
		cut.Detail = "the connection was closed before the answer"
	default:
		return e
	}
	return cut
}
