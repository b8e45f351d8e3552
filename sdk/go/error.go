package tallygate

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Error is a call that failed: refused by the server, answered by something else on the way, or never answered. Every
// error of a call is one, in the type of its code or of its kind, unless its context ended it.
type Error struct {
	Code       Code          // as the answer has it; empty: the answer was none of the API's, or none came
	Message    string        // safe to show: it holds no key
	Status     int           // of the answer; 0: none came
	RequestID  string        // what the operator needs to find the call; may be empty
	RetryAfter time.Duration // how long the server asks to wait; 0: it does not
	Attempts   int           // that were made
	Header     http.Header   // of the answer
	Body       []byte        // of the answer, or its beginning; the client's key is struck out
	Err        error         // the cause, where the network failed

	retry    bool // another attempt may succeed
	timedOut bool
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Code != "" {
		b.WriteString(string(e.Code) + ": ")
	}
	b.WriteString(e.Message)
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	if e.Attempts > 1 {
		fmt.Fprintf(&b, " (after %d tries)", e.Attempts)
	}
	return b.String()
}

// GoString is for %#v: what Error says, without the raw answer.
func (e *Error) GoString() string { return fmt.Sprintf("tallygate.Error(%q)", e.Error()) }

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is the error's code.
func (e *Error) Is(target error) bool {
	code, ok := target.(Code)
	return ok && code == e.Code
}

// As finds the Error inside the types that embed one.
func (e *Error) As(target any) bool {
	to, ok := target.(**Error)
	if ok {
		*to = e
	}
	return ok
}

// ConnectionError is a call without a whole answer: nobody there, a connection that broke off, a certificate that is
// not trusted.
type ConnectionError struct{ *base }

// TimeoutError is a call whose last attempt took too long.
type TimeoutError struct{ *base }

// UnexpectedAnswerError is an answer in another shape than the API's, such as a proxy's page.
type UnexpectedAnswerError struct{ *base }

// WaitTimeoutError is a wait for a job that ended before the job did.
type WaitTimeoutError struct {
	Job   *Job // as last known
	Limit time.Duration
}

func (e *WaitTimeoutError) Error() string {
	return fmt.Sprintf("job %s was %s when the wait of %s was over", e.Job.ID, e.Job.Status, e.Limit)
}

// JobCancelledError is a job that was cancelled where its result was wanted.
type JobCancelledError struct {
	Job *Job
}

func (e *JobCancelledError) Error() string {
	return fmt.Sprintf("job %s was cancelled and has no result", e.Job.ID)
}

// typed gives an error the type of its code.
func typed(e *Error) error {
	if of := errorTypes[e.Code]; of != nil {
		return of(e)
	}
	return e
}

const (
	mostRefusal = 1 << 20 // bytes that are read of an answer that is no success
	mostQuote   = 120     // bytes that are quoted of one
)

// refusal reads an answer other than 200.
func (c *Client) refusal(res *http.Response) error {
	answer, err := io.ReadAll(io.LimitReader(res.Body, mostRefusal))
	if err != nil {
		return c.brokeOff(res, err)
	}
	var envelope struct {
		Error struct {
			Code    Code   `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal(answer, &envelope); err != nil || envelope.Error.Code == "" {
		message := "HTTP " + status(res) + ", not from a Tallygate server"
		if where := res.Header.Get("Location"); where != "" {
			message += ", points to " + where
		}
		return c.unexpected(res, answer, message)
	}
	e := c.fromAnswer(res, answer)
	e.Code, e.Message = envelope.Error.Code, c.clean(envelope.Error.Message)
	if errorTypes[e.Code] != nil {
		e.retry = retried[e.Code]
	}
	e.retry = shouldRetry(res, e.retry)
	return typed(e)
}

func status(res *http.Response) string {
	return strings.TrimSpace(strconv.Itoa(res.StatusCode) + " " + http.StatusText(res.StatusCode))
}

// unexpected is an answer in another shape than the API's, with its beginning where that is text.
func (c *Client) unexpected(res *http.Response, answer []byte, message string) error {
	e := c.fromAnswer(res, answer)
	start := strings.ToValidUTF8(string(e.Body[:min(len(e.Body), 8*mostQuote)]), "\uFFFD")
	start = strings.Join(strings.Fields(start), " ")
	if len(start) > mostQuote {
		start = strings.ToValidUTF8(start[:mostQuote], "") + "…"
	}
	e.Message = c.clean(message)
	if start != "" {
		e.Message += fmt.Sprintf(": %q", start)
	}
	return &UnexpectedAnswerError{e}
}

// fromAnswer is an error with what the headers tell.
func (c *Client) fromAnswer(res *http.Response, answer []byte) *Error {
	e := &Error{
		Status: res.StatusCode, RequestID: res.Header.Get("X-Request-Id"), Header: res.Header,
		RetryAfter: retryAfter(res.Header, time.Now()), Body: answer,
	}
	if key := c.key(); key != "" {
		e.Body = bytes.ReplaceAll(answer, []byte(key), []byte(struckOut))
	}
	switch res.StatusCode {
	case http.StatusOK, http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		e.retry = true
	}
	e.retry = shouldRetry(res, e.retry)
	return e
}

// brokeOff is an answer whose body did not come to its end.
func (c *Client) brokeOff(res *http.Response, err error) error {
	e := c.fromAnswer(res, nil)
	e.Message, e.Err = "the answer (HTTP "+status(res)+") broke off", err
	e.retry = shouldRetry(res, true)
	return &ConnectionError{e}
}

// unanswered is a request that got no answer.
func (c *Client) unanswered(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // without the address, which may bear what a log must not
	}
	if n, ok := errors.AsType[net.Error](err); ok && n.Timeout() {
		return c.timedOut("no answer in time", err)
	}
	_, distrusted := errors.AsType[*tls.CertificateVerificationError](err)
	return &ConnectionError{&Error{Message: "cannot reach " + c.url, Err: err, retry: !distrusted}}
}

func (c *Client) timedOut(message string, err error) error {
	return &TimeoutError{&Error{Message: message, Err: err, retry: true, timedOut: true}}
}

const struckOut = "tg_live_…"

// clean takes the client's key out of a text that came from elsewhere.
func (c *Client) clean(text string) string {
	if key := c.key(); key != "" {
		return strings.ReplaceAll(text, key, struckOut)
	}
	return text
}

// shouldRetry is what X-Should-Retry says, or the habit where it says nothing.
func shouldRetry(res *http.Response, habit bool) bool {
	switch res.Header.Get("X-Should-Retry") {
	case "true":
		return true
	case "false":
		return false
	}
	return habit
}

// farthest is as long as a Retry-After can be told.
const farthest = time.Duration(1<<63 - 1)

// retryAfter reads seconds or an HTTP date (RFC 9110, section 10.2.3), which the answer's own clock judges where it
// tells it; 0 for anything else.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil || seconds > int64(farthest/time.Second) {
			return farthest
		}
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return max(0, at.Sub(now))
}
