package textstats

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// protocol speaks to the routes under /v1/worker.
type protocol struct {
	base, key string
	client    *http.Client
	places    int // leases that one answer may hold
}

// refusal is an answer other than 200.
type refusal struct {
	status     int
	code       string
	message    string
	retryAfter time.Duration
}

func (e *refusal) Error() string {
	return strings.TrimSpace(fmt.Sprintf("%d %s: %s", e.status, e.code, e.message))
}

// isTransient says whether the same call may succeed later: the server is
// busy, failing or out of reach. Any other refusal is final.
func isTransient(err error) bool {
	var refused *refusal
	if errors.As(err, &refused) {
		return refused.status == http.StatusTooManyRequests || refused.status >= 500
	}
	return err != nil
}

// serverClock relates the server's times to this machine's, whose clocks may differ.
type serverClock struct {
	received, server time.Time
}

func (c serverClock) local(t time.Time) time.Time { return c.received.Add(t.Sub(c.server)) }

// call posts body to a worker route and reads a 200 into answer, where one is given.
func (p *protocol) call(ctx context.Context, route string, body, answer any, timeout time.Duration) (serverClock, error) {
	encoded, err := json.Marshal(body)
	if err != nil {
		return serverClock{}, fmt.Errorf("encode %s: %w", route, err)
	}
	target, err := url.JoinPath(p.base, "v1/worker", route)
	if err != nil {
		return serverClock{}, &refusal{message: err.Error()} // no retry mends a base URL
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(encoded))
	if err != nil {
		return serverClock{}, &refusal{message: err.Error()}
	}
	request.Header.Set("Authorization", "Bearer "+p.key)
	request.Header.Set("Content-Type", "application/json")
	response, err := p.client.Do(request)
	if err != nil {
		return serverClock{}, err
	}
	defer response.Body.Close()
	clock := serverClock{received: time.Now()}
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		clock.server = date.Add(time.Second / 2) // it was cut to a second
	} else {
		clock.server = clock.received
	}

	const mostPerLease = 16 << 20
	content := io.LimitReader(response.Body, int64(p.places+1)*mostPerLease)
	if response.StatusCode != http.StatusOK {
		return clock, refusalIn(response, content, clock.received)
	}
	if answer == nil {
		// Read to the end, so that the connection can serve the next call.
		_, _ = io.Copy(io.Discard, content)
		return clock, nil
	}
	if err := json.NewDecoder(content).Decode(answer); err != nil {
		return clock, fmt.Errorf("read the answer to %s: %w", route, err)
	}
	return clock, nil
}

func refusalIn(response *http.Response, content io.Reader, now time.Time) error {
	refused := &refusal{
		status:     response.StatusCode,
		code:       http.StatusText(response.StatusCode),
		retryAfter: parseRetryAfter(response.Header.Get("Retry-After"), now),
	}
	var body struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	// Something in between may answer without the contract's body; the status says enough then.
	if json.NewDecoder(content).Decode(&body) == nil && body.Error.Code != "" {
		refused.code, refused.message = body.Error.Code, body.Error.Message
	}
	return refused
}

// parseRetryAfter reads the seconds or the date of RFC 9110, section 10.2.3;
// what is neither, or past, counts as none.
func parseRetryAfter(value string, now time.Time) time.Duration {
	const most = 5 * time.Minute
	if seconds, err := strconv.ParseUint(value, 10, 63); err == nil {
		return time.Duration(min(seconds, uint64(most/time.Second))) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return min(max(0, date.Sub(now)), most)
	}
	return 0
}

// backoff gives the pause after a number of failures in a row: exponential
// with full jitter, on top of what the server asked for.
func backoff(failures int, err error) time.Duration {
	const first, most = 250 * time.Millisecond, 20 * time.Second
	ceiling := min(most, first<<min(failures, 10))
	var refused *refusal
	if errors.As(err, &refused) {
		return refused.retryAfter + rand.N(ceiling)
	}
	return rand.N(ceiling)
}
