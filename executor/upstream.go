package executor

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/queue"
)

const (
	mostResult     = 16 << 20 // bytes of an answer
	mostRefusal    = 64 << 10 // bytes of an answer that refuses, for its message
	mostMessage    = 1000     // bytes
	mostRetryAfter = 24 * time.Hour
)

// upstreamClient returns the client that calls upstreams, made from the given one or from the defaults.
func upstreamClient(from *http.Client) *http.Client {
	client := http.Client{}
	if from != nil {
		client = *from
	} else {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConns = mostPlaces
		transport.MaxIdleConnsPerHost = 64
		transport.IdleConnTimeout = 4 * time.Second // less than usual servers', so that no call meets a connection that closes
		client.Transport = transport
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client
}

// call posts the job's input to the upstream and judges the answer. The context bounds the time.
func (a *attempt) call(ctx context.Context) ending {
	to, job := a.lease.Type.Executor, a.job
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.URL, bytes.NewReader(job.Input))
	if err != nil {
		end := failed(tallygate.ProcessingFailed, "the job type's URL cannot be called")
		end.Final, end.cause = true, err
		return end
	}
	attempt := strconv.FormatInt(a.lease.Attempt, 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "Tallygate")
	req.Header.Set("X-Tallygate-Job-Id", string(job.ID))
	req.Header.Set("X-Tallygate-Attempt", attempt)
	req.Header.Set("X-Tallygate-Lease-Token", a.lease.Token)
	sign(req.Header, to.Secret, string(job.ID)+"-"+attempt, a.x.opt.Now(), job.Input)
	res, err := a.x.client.Do(req)
	if err != nil {
		return unreachable(err)
	}
	defer res.Body.Close()
	return judge(res, a.x.opt.Now())
}

// unreachable is the ending where no answer came. The message leaves out addresses, which are not the client's to know.
func unreachable(err error) ending {
	message := "the connection to the upstream broke before it had answered"
	dial, ok := errors.AsType[*net.OpError](err)
	if _, dns := errors.AsType[*net.DNSError](err); dns || ok && dial.Op == "dial" {
		message = "the upstream could not be reached"
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // the URL may hold a secret
	}
	return failing(message, err)
}

// failing is the ending where the upstream itself is in trouble: another attempt may do better.
func failing(message string, cause error) ending {
	end := failed(tallygate.ExternalServiceError, "%s", message)
	end.health, end.cause = down, cause
	return end
}

// refusing is the ending where another attempt would end the same way.
func refusing(format string, args ...any) ending {
	end := failed(tallygate.ProcessingFailed, format, args...)
	end.Final, end.health = true, alive
	return end
}

// judge reads an answer.
func judge(res *http.Response, now time.Time) ending {
	answered := "the upstream answered " + strings.TrimSpace(strconv.Itoa(res.StatusCode)+" "+http.StatusText(res.StatusCode))
	switch code := res.StatusCode; {
	case code == http.StatusAccepted:
		return ending{later: true, health: alive}
	case code >= 200 && code < 300:
		return judgeResult(res)
	case code >= 300 && code < 400:
		return refusing("%s, and redirects are not followed: the job type's URL must be the final one", answered)
	case code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable:
		end := failing(answered, nil)
		end.RetryAfter = retryAfter(res.Header.Get("Retry-After"), now)
		return end
	case code >= 400 && code < 500 && code != http.StatusRequestTimeout && code != http.StatusTooEarly:
		body, err := io.ReadAll(io.LimitReader(res.Body, mostRefusal))
		if said := reason(body); err == nil && said != "" {
			return refusing("%s: %s", answered, said)
		}
		return refusing("%s", answered)
	}
	return failing(answered, nil)
}

// judgeResult reads the answer of an upstream that has done the job.
func judgeResult(res *http.Response) ending {
	body, err := io.ReadAll(io.LimitReader(res.Body, mostResult+1))
	if err != nil {
		return failing("the upstream's answer broke off", err)
	}
	if len(body) > mostResult {
		return refusing("the upstream's answer is larger than %d MiB", mostResult>>20)
	}
	if body = bytes.Trim(body, " \t\r\n"); len(body) == 0 {
		body = []byte("null")
	}
	if !jsontext.Value(body).IsValid() {
		return failing("the upstream's answer is not JSON", nil)
	}
	units, err := parseUnits(res.Header.Values("X-Tallygate-Units"))
	if err != nil {
		return refusing("the upstream's header X-Tallygate-Units is wrong: %s", clean(err.Error()))
	}
	return ending{Report: queue.Report{Outcome: queue.Succeeded, Result: body, Units: units}, health: alive}
}

// reason finds the message in {"error": {"message": "…"}} or {"message": "…"}.
func reason(body []byte) string {
	var said struct{ Error, Message json.RawMessage }
	if json.Unmarshal(body, &said) != nil {
		return ""
	}
	var inner struct{ Message string }
	_ = json.Unmarshal(said.Error, &inner) // of another shape: it says nothing
	var message string
	_ = json.Unmarshal(said.Message, &message)
	return clean(cmp.Or(inner.Message, message))
}

// clean makes one line of text that comes from elsewhere: no control characters, nothing that turns the direction of
// writing, valid UTF-8, and not too long.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r), r == '\u2028', r == '\u2029':
			return ' '
		case r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069':
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	return cut(strings.Join(strings.Fields(text), " "), mostMessage)
}

// retryAfter reads seconds or an HTTP date (RFC 9110, section 10.2.3); 0 where it says nothing.
func retryAfter(value string, now time.Time) time.Duration {
	var wait time.Duration
	if seconds, ok := parseCount(value); ok {
		wait = time.Duration(min(seconds, int64(mostRetryAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), mostRetryAfter)
}
