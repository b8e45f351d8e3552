// Package client calls the Tallygate API over HTTP: one request at a time, tried again where it may succeed later, its
// refusals told as the contract's codes. It knows how the API speaks and nothing of what is said: routes and shapes
// belong to those who call it.
package client

import (
	"bytes"
	"context"
	cryptorand "crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Client calls one server with one key. Its fields are set before the first call; then it is safe for concurrent use.
type Client struct {
	BaseURL string       // such as "https://jobs.example.com"; a path before /v1 is kept
	Key     string       // sent as a bearer token; empty: none
	HTTP    *http.Client // nil: one that gives up on an answer that has not begun after six minutes
	Tries   int          // tries of one call, the first included; 0: 5

	// OnRetry, where set, hears of each failure that another try follows, and when.
	OnRetry func(failure *Error, wait time.Duration)

	sleep  func(context.Context, time.Duration) error // nil: the clock
	jitter func(most time.Duration) time.Duration     // nil: random
}

const (
	defaultTries = 5
	firstBackoff = 250 * time.Millisecond // the most before the second try; it doubles from there
	mostBackoff  = 8 * time.Second
	mostPatience = time.Minute // a longer Retry-After is told to the caller, not waited for
	mostAnswer   = 256 << 20   // bytes of one answer
)

// ErrBaseURL is returned where BaseURL names no server.
var ErrBaseURL = errors.New("is not the address of a server: write it as http://HOST:PORT or https://HOST")

var defaultHTTP = &http.Client{Transport: slowStart()}

// slowStart is the default transport, with a bound on the wait for an answer's first byte that long polls stay within.
func slowStart() http.RoundTripper {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	t = t.Clone()
	t.ResponseHeaderTimeout = 6 * time.Minute // longer than the longest long poll
	return t
}

type idempotencyKey struct{}

// WithIdempotencyKey returns a context under which a POST bears the key. Without one, each call of Do makes its own
// and keeps it over its tries, so that a lost answer never does a thing twice.
func WithIdempotencyKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, idempotencyKey{}, key)
}

// Do sends a request and decodes the answer into the value that into points to; a nil into drops it. The path begins
// with a slash and is already escaped. The body is encoded as JSON, a []byte or json.RawMessage sent as it is, nil as
// nothing. Failures of the network, 429, 503, a proxy's 502 and 504, and a 500 that says it may succeed are tried
// again, with exponential backoff, full jitter, and Retry-After as the least wait. A refusal is an *Error.
func (c *Client) Do(ctx context.Context, method, path string, query url.Values, body, into any) error {
	payload, err := encode(body)
	if err != nil {
		return fmt.Errorf("encoding the request: %w", err)
	}
	return c.send(ctx, method, path, query, payload, http.Header{"Accept": {"application/json"}}, func(res *http.Response) error {
		answer, err := io.ReadAll(io.LimitReader(res.Body, mostAnswer+1))
		if err != nil {
			return &Error{Message: "the answer broke off", RequestID: res.Header.Get("X-Request-Id"), Err: err}
		}
		if len(answer) > mostAnswer {
			return foreign(res, nil, fmt.Sprintf("the answer is over %d MiB", mostAnswer>>20))
		}
		if into == nil {
			return nil
		}
		if err := json.Unmarshal(answer, into); err != nil {
			return foreign(res, answer, "the answer is not the JSON of a Tallygate server ("+err.Error()+")")
		}
		return nil
	})
}

// send makes the request until accept has taken an answer 200, or another try cannot help. accept owns the answer's
// body only until it returns.
func (c *Client) send(ctx context.Context, method, path string, query url.Values, payload []byte, header http.Header, accept func(*http.Response) error) error {
	target := strings.TrimRight(c.BaseURL, "/") + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	if u, err := url.Parse(target); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("%q %w", c.BaseURL, ErrBaseURL)
	}
	if payload != nil {
		header.Set("Content-Type", "application/json")
	}
	if c.Key != "" {
		header.Set("Authorization", "Bearer "+c.Key)
	}
	if method == http.MethodPost {
		key, ok := ctx.Value(idempotencyKey{}).(string)
		if !ok || key == "" {
			key = cryptorand.Text()
		}
		header.Set("Idempotency-Key", key)
	}
	header.Set("User-Agent", "tallygate-client")

	for attempt := 1; ; attempt++ {
		err := c.try(ctx, method, target, payload, header, accept)
		failure, ok := errors.AsType[*Error](err)
		if !ok {
			return err
		}
		failure.Attempts = attempt
		wait := failure.RetryAfter + c.spread(backoff(attempt))
		if !failure.mayPass() || attempt >= c.tries() || failure.RetryAfter > mostPatience {
			return failure
		}
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait {
			return failure
		}
		if c.OnRetry != nil {
			c.OnRetry(failure, wait)
		}
		if err := c.pause(ctx, wait); err != nil {
			return fmt.Errorf("%w, before another try after: %w", err, failure)
		}
	}
}

// try makes one request. Only an *Error may be worth another.
func (c *Client) try(ctx context.Context, method, target string, payload []byte, header http.Header, accept func(*http.Response) error) error {
	var body io.Reader
	if payload != nil {
		body = bytes.NewReader(payload)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return err
	}
	req.Header = header.Clone()
	res, err := c.http().Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &Error{Message: "cannot reach " + c.BaseURL, Err: unwrapURL(err)}
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return refusal(res)
	}
	err = accept(res)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// unwrapURL drops the method and address that net/http puts before a cause: an address may bear what a log must not.
func unwrapURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// http never follows a redirect: the API answers none, and following one would turn a POST into a GET.
func (c *Client) http() *http.Client {
	h := defaultHTTP
	if c.HTTP != nil {
		h = c.HTTP
	}
	own := *h
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &own
}

func (c *Client) tries() int {
	if c.Tries > 0 {
		return c.Tries
	}
	return defaultTries
}

// backoff is the most to wait after the given number of failed tries.
func backoff(attempt int) time.Duration {
	return min(mostBackoff, firstBackoff<<min(attempt-1, 16))
}

// spread is full jitter (Brooker, "Exponential Backoff And Jitter", 2015): anything up to the most.
func (c *Client) spread(most time.Duration) time.Duration {
	if c.jitter != nil {
		return c.jitter(most)
	}
	return rand.N(most)
}

func (c *Client) pause(ctx context.Context, wait time.Duration) error {
	if c.sleep != nil {
		return c.sleep(ctx, wait)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func encode(body any) ([]byte, error) {
	switch b := body.(type) {
	case nil:
		return nil, nil
	case []byte:
		return b, nil
	case json.RawMessage:
		return b, nil
	}
	return json.Marshal(body)
}

// isCertificate reports whether the server could not be trusted, which no later try mends.
func isCertificate(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}
