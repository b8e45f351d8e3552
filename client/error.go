package client

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Error is a call that failed: refused by the server, answered by something else on the way, or never answered.
type Error struct {
	Status     int           // of the answer; 0: none came
	Code       string        // one of the contract's; empty: the answer was not one of the API's
	Message    string        // safe to show
	RequestID  string        // what the operator needs to find the call; may be empty
	RetryAfter time.Duration // least wait before another try; 0 where nothing is known
	Attempts   int           // tries that were made
	Err        error         // the cause, where the network failed

	final bool // the server says that another try cannot help
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Code != "" {
		b.WriteString(e.Code + ": ")
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

func (e *Error) Unwrap() error { return e.Err }

// mayPass reports whether the same request may succeed later.
func (e *Error) mayPass() bool {
	switch e.Status {
	case 0:
		return !isCertificate(e.Err)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusInternalServerError:
		return !e.final
	case http.StatusBadGateway, http.StatusGatewayTimeout: // from a proxy: the API answers neither
		return true
	}
	return false
}

// refusal reads an answer other than 200.
func refusal(res *http.Response) *Error {
	const most = 1 << 20
	answer, err := io.ReadAll(io.LimitReader(res.Body, most))
	if err != nil {
		return &Error{Message: fmt.Sprintf("the answer (HTTP %d) broke off", res.StatusCode), Err: err}
	}
	var envelope struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal(answer, &envelope); err != nil || envelope.Error.Code == "" {
		e := foreign(res, answer, fmt.Sprintf("HTTP %s, not from a Tallygate server", res.Status))
		if where := res.Header.Get("Location"); where != "" {
			e.Message += ", points to " + where
		}
		return e
	}
	e := fromHeader(res)
	e.Code, e.Message = envelope.Error.Code, envelope.Error.Message
	return e
}

// foreign is an answer in another shape than the API's, with its beginning where that is text.
func foreign(res *http.Response, answer []byte, message string) *Error {
	e := fromHeader(res)
	e.Message = message
	const most = 120
	start := strings.Join(strings.Fields(string(answer[:min(len(answer), 4*most)])), " ")
	if len(start) > most {
		start = start[:most] + "…"
	}
	if start != "" {
		e.Message += fmt.Sprintf(": %q", strings.ToValidUTF8(start, "�"))
	}
	return e
}

func fromHeader(res *http.Response) *Error {
	h := res.Header
	e := &Error{Status: res.StatusCode, RequestID: h.Get("X-Request-Id"), RetryAfter: retryAfter(h.Get("Retry-After"), time.Now())}
	// A 500 is tried again only when it says so; 429 and 503 unless they say no.
	told, err := strconv.ParseBool(h.Get("X-Should-Retry"))
	e.final = (err == nil && !told) || (err != nil && res.StatusCode == http.StatusInternalServerError)
	return e
}

// retryAfter reads seconds or an HTTP date (RFC 9110, section 10.2.3); 0 for anything else.
func retryAfter(s string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseInt(s, 10, 32); err == nil {
		return time.Duration(max(0, seconds)) * time.Second
	}
	if at, err := http.ParseTime(s); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
