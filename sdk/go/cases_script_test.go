package tallygate

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
)

// script is the server of a case: a transport that answers what the exchanges say.
type script struct {
	t         *testing.T
	exchanges []exchange
	before    http.Header // of the request before
	free      time.Time   // when the last exchange was over
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	defer func() { s.free = time.Now() }()
	if len(s.exchanges) == 0 {
		s.t.Errorf("%s %s was not to be sent", r.Method, r.URL.RequestURI())
		return nil, errors.New("the case is over")
	}
	e := s.exchanges[0]
	s.exchanges = s.exchanges[1:]
	if waited := time.Since(s.free); (waited - time.Duration(e.After)).Abs() >= time.Millisecond {
		s.t.Errorf("%s %s came after %v, want %v", r.Method, r.URL.RequestURI(), waited, e.After)
	}
	s.check(e, r)
	s.before = r.Header
	if e.Takes > 0 {
		if err := sleep(r.Context(), time.Duration(e.Takes)); err != nil {
			return nil, err
		}
	}
	header := http.Header{}
	var body io.Reader = http.NoBody
	switch a := e.Answer; {
	case a.Fails != "":
		switch a.Fails {
		case "refused":
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
		case "reset":
			return nil, &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
		case "timeout":
			<-r.Context().Done()
			s.free = time.Now()
			return nil, r.Context().Err()
		case "half":
			header.Set("Content-Type", "application/json")
			return answered(r, http.StatusOK, header, io.MultiReader(strings.NewReader(`{"id": "`), broken{})), nil
		case "certificate":
			return nil, &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}
		}
		s.t.Fatalf("the case fails by %q", a.Fails)
	case a.Stream != nil:
		header.Set("Content-Type", "text/event-stream")
		body = strings.NewReader(*a.Stream)
		if a.Breaks {
			body = io.MultiReader(body, broken{})
		}
	case a.Text != nil:
		header.Set("Content-Type", "text/html")
		body = strings.NewReader(*a.Text)
	case a.Body != nil:
		header.Set("Content-Type", "application/json")
		body = bytes.NewReader(a.Body)
	}
	for name, value := range e.Answer.Headers {
		header.Set(name, value)
	}
	return answered(r, e.Answer.Status, header, body), nil
}

func answered(r *http.Request, status int, header http.Header, body io.Reader) *http.Response {
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(body), Request: r}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func (s *script) check(e exchange, r *http.Request) {
	s.t.Helper()
	want, err := url.Parse(e.Request.Target)
	if err != nil {
		s.t.Fatal(err)
	}
	if r.Method != e.Request.Method || r.URL.EscapedPath() != want.EscapedPath() || !reflect.DeepEqual(r.URL.Query(), want.Query()) {
		s.t.Errorf("sent %s %s, want %s %s", r.Method, r.URL.RequestURI(), e.Request.Method, e.Request.Target)
	}
	for name, value := range e.Request.Headers {
		got, before := r.Header.Get(name), s.before.Get(name)
		switch value {
		case "*":
			if got == "" {
				s.t.Errorf("%s %s lacks %s", r.Method, r.URL, name)
			}
		case "=":
			if got == "" || got != before {
				s.t.Errorf("%s is %q, before it was %q", name, got, before)
			}
		case "!":
			if got == "" || got == before {
				s.t.Errorf("%s is %q again", name, got)
			}
		default:
			if got != value {
				s.t.Errorf("%s is %q, want %q", name, got, value)
			}
		}
	}
	for _, name := range e.Request.Absent {
		if got := r.Header.Get(name); got != "" {
			s.t.Errorf("%s is there: %q", name, got)
		}
	}
	if e.Request.Body != nil {
		var sent []byte
		if r.Body != nil {
			sent, _ = io.ReadAll(r.Body)
		}
		if got, want := jsonValue(s.t, sent), jsonValue(s.t, e.Request.Body); !reflect.DeepEqual(got, want) {
			s.t.Errorf("sent the body %s, want %s", sent, e.Request.Body)
		}
	}
}

func jsonValue(t *testing.T, text []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(text, &v); err != nil {
		t.Errorf("%q is no JSON: %v", text, err)
	}
	return v
}
