package tallygate

import (
	"bytes"
	"context"
	cryptorand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

const (
	jsonType    = "application/json"
	streamType  = "text/event-stream"
	mostAnswer  = 256 << 20 // bytes of one answer
	idempotency = "Idempotency-Key"
)

// request is one call of a route, the same in all its attempts.
type request struct {
	operation string
	method    string
	path      string // escaped
	query     url.Values
	body      any           // nil: none
	keyed     bool          // the route heeds Idempotency-Key
	wait      time.Duration // that the call asks of the server
	mayBeOver bool          // 204 is an answer, too
}

// at puts the identifiers into a path's %s, escaped.
func at(path string, ids ...string) string {
	escaped := make([]any, len(ids))
	for i, id := range ids {
		escaped[i] = url.PathEscape(id)
	}
	return fmt.Sprintf(path, escaped...)
}

// newCall applies the options of one call to the client's limits.
func (c *Client) newCall(options []CallOption) *call {
	one := &call{limits: c.limits}
	for _, option := range options {
		option.applyCall(one)
	}
	return one
}

// fetch makes a call and decodes its answer.
func fetch[T any](ctx context.Context, c *Client, r request, options []CallOption) (*T, error) {
	return fetchAs[T](ctx, c, r, c.newCall(options))
}

func fetchAs[T any](ctx context.Context, c *Client, r request, one *call) (*T, error) {
	into := new(T)
	if _, err := c.do(ctx, r, one, into); err != nil {
		return nil, err
	}
	return into, nil
}

// Do calls a route that this package has no method for yet: the path begins with a slash and is already escaped, the
// body is encoded as JSON, nil as nothing, and the answer is decoded into what into points to. Every POST bears an
// Idempotency-Key, which a route that does not heed it passes over.
func (c *Client) Do(ctx context.Context, method, path string, query url.Values, body, into any, options ...CallOption) error {
	one := c.newCall(options)
	r := request{operation: "custom", method: method, path: path, query: query, body: body, keyed: method == http.MethodPost, wait: one.wait}
	_, err := c.do(ctx, r, one, into)
	return err
}

// do makes the call; attempts is how many it took.
func (c *Client) do(ctx context.Context, r request, one *call, into any) (attempts int, err error) {
	s, err := c.prepare(r, one, jsonType)
	if err != nil {
		return 0, err
	}
	t := c.newTries(&s.request, one.limits)
	for {
		err := c.attempt(ctx, t, s, func(res *http.Response, _ func()) error {
			return c.accept(res, one, into)
		})
		if err == nil {
			t.succeeded()
			return t.made, nil
		}
		if err := t.again(ctx, err); err != nil {
			return t.made, err
		}
	}
}

// accept reads an answer 200.
func (c *Client) accept(res *http.Response, one *call, into any) error {
	answer, err := io.ReadAll(io.LimitReader(res.Body, mostAnswer+1))
	if err != nil {
		return c.brokeOff(res, err)
	}
	if len(answer) > mostAnswer {
		err := c.unexpected(res, nil, fmt.Sprintf("HTTP %s, with an answer of more than %d MiB", status(res), mostAnswer>>20))
		baseOf(err).retry = false
		return err
	}
	if !json.Valid(answer) {
		return c.unexpected(res, answer, "HTTP "+status(res)+", but not the JSON of a Tallygate server")
	}
	if one.answer != nil {
		*one.answer = Answer{Header: res.Header, Body: answer}
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return c.unexpected(res, answer, "HTTP "+status(res)+", but not the JSON that was asked for ("+err.Error()+")")
	}
	return nil
}

// sending is a request made ready: every attempt sends the same.
type sending struct {
	request
	target  string
	payload []byte
	header  http.Header
}

func (c *Client) prepare(r request, one *call, accept string) (*sending, error) {
	s := &sending{request: r, target: c.url + r.path, header: http.Header{
		"Accept": {accept}, "User-Agent": {c.userAgent},
	}}
	if len(r.query) > 0 {
		s.target += "?" + r.query.Encode()
	}
	if r.body != nil {
		payload, err := json.Marshal(r.body)
		if err != nil {
			return nil, fmt.Errorf("tallygate: encoding the request: %w", err)
		}
		s.payload = payload
		s.header.Set("Content-Type", jsonType)
	}
	if key := c.key(); key != "" {
		s.header.Set("Authorization", "Bearer "+key)
	}
	if r.keyed {
		key := one.idempotencyKey
		if key == "" {
			key = cryptorand.Text()
		}
		s.header.Set(idempotency, key)
	}
	return s, nil
}

var errAttemptTimeout = errors.New("the attempt took too long")

// attempt sends the request once. accept gets an answer 200 and owns its body until it returns; alive, called when a piece
// of a stream has come, gives the attempt its whole time again.
func (c *Client) attempt(ctx context.Context, t *tries, s *sending, accept func(res *http.Response, alive func()) error) (err error) {
	t.made++
	told := Request{Operation: s.operation, Method: s.method, Path: s.path, Attempt: t.made}
	for _, h := range c.hooks {
		if h.OnRequest != nil {
			h.OnRequest(ctx, told)
		}
	}
	begun := time.Now()
	var response Response
	defer func() {
		response.Err = err
		response.Took = time.Since(begun)
		for _, h := range c.hooks {
			if h.OnResponse != nil {
				h.OnResponse(ctx, told, response)
			}
		}
	}()

	bounded, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	alive := func() {}
	if bound := t.bound(); bound > 0 {
		timer := time.AfterFunc(bound, func() { cancel(errAttemptTimeout) })
		defer timer.Stop()
		alive = func() { timer.Reset(bound) }
	}
	var body io.Reader
	if s.payload != nil {
		body = bytes.NewReader(s.payload)
	}
	req, err := http.NewRequestWithContext(bounded, s.method, s.target, body)
	if err != nil {
		return fmt.Errorf("tallygate: %w", err)
	}
	req.Header = s.header.Clone()
	res, err := c.http.Do(req)
	if err == nil {
		response.Status, response.RequestID = res.StatusCode, res.Header.Get("X-Request-Id")
		if res.StatusCode == http.StatusOK || res.StatusCode == http.StatusNoContent && s.mayBeOver {
			err = accept(res, alive)
		} else {
			err = c.refusal(res)
		}
		_ = res.Body.Close()
	} else {
		err = c.unanswered(err)
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(context.Cause(bounded), errAttemptTimeout) && response.Status == 0:
		return c.timedOut("no answer in time", nil)
	case errors.Is(context.Cause(bounded), errAttemptTimeout):
		return c.timedOut("the answer did not come to its end in time", nil)
	}
	return err
}

// baseOf is the Error inside an error of a call; nil where there is none.
func baseOf(err error) *Error {
	e, _ := errors.AsType[*Error](err)
	return e
}
