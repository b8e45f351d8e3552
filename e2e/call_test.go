package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// caller calls a server's API with one key.
type caller struct {
	t      testing.TB
	server *server
	key    string // empty: none is sent
}

// as is a caller with the key.
func (s *server) as(t testing.TB, key string) caller { return caller{t, s, key} }

// operator is the caller with the key of init.
func (s *server) operator(t testing.TB) caller { return s.as(t, s.operatorKey) }

// answer is what came back.
type answer struct {
	value         // the body, where it is JSON
	route  string // what was called
	status int
	header http.Header
	body   []byte
	closes bool // the connection is not to be used again
}

func (c caller) get(path string, header ...string) answer {
	c.t.Helper()
	return c.call(http.MethodGet, path, nil, header...)
}

func (c caller) post(path string, body any, header ...string) answer {
	c.t.Helper()
	return c.call(http.MethodPost, path, body, header...)
}

func (c caller) put(path string, body any, header ...string) answer {
	c.t.Helper()
	return c.call(http.MethodPut, path, body, header...)
}

// call makes a request, which has to be answered. Header is pairs of a name and a value.
func (c caller) call(method, path string, body any, header ...string) answer {
	c.t.Helper()
	a, err := c.try(method, path, body, header...)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// try makes a request. Nothing is sent for a nil body; text goes as it is, anything else as JSON.
func (c caller) try(method, path string, body any, header ...string) (answer, error) {
	r, err := c.request(method, path, body, header...)
	if err != nil {
		return answer{}, err
	}
	response, err := c.server.web.Do(r)
	if err != nil {
		return answer{}, err
	}
	return c.read(response)
}

func (c caller) request(method, path string, body any, header ...string) (*http.Request, error) {
	var content io.Reader
	switch body := body.(type) {
	case nil:
	case string:
		content = strings.NewReader(body)
	case []byte:
		content = bytes.NewReader(body)
	case io.Reader:
		content = body
	default:
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(text)
	}
	r, err := http.NewRequest(method, c.server.url+path, content)
	if err != nil {
		return nil, err
	}
	if c.key != "" {
		r.Header.Set("Authorization", "Bearer "+c.key)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i+1] == "" {
			r.Header.Del(header[i])
		} else {
			r.Header.Add(header[i], header[i+1])
		}
	}
	return r, nil
}

func (c caller) read(response *http.Response) (answer, error) {
	defer response.Body.Close()
	route := response.Request.Method + " " + response.Request.URL.Path
	a := answer{route: route, status: response.StatusCode, header: response.Header, closes: response.Close}
	var err error
	if a.body, err = io.ReadAll(response.Body); err != nil {
		return a, err
	}
	a.value = value{c.t, route, nil}
	if len(a.body) > 0 && response.Header.Get("Content-Type") == "application/json" {
		d := json.NewDecoder(bytes.NewReader(a.body))
		d.UseNumber()
		err = d.Decode(&a.v)
	}
	return a, err
}

// ok makes sure of a success, which is always 200.
func (a answer) ok() answer {
	a.t.Helper()
	if a.status != http.StatusOK {
		a.t.Fatalf("%s", a)
	}
	return a
}

func (a answer) String() string { return fmt.Sprintf("%s: %d %.2000s", a.route, a.status, a.body) }
