package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func address(server *httptest.Server) string {
	return strings.TrimPrefix(server.URL, "http://")
}

func TestWireReadsWhatServersSend(t *testing.T) {
	long := strings.Repeat("0123456789", 5_000)
	mux := http.NewServeMux()
	mux.HandleFunc("/length", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
		io.WriteString(w, "slow down")
	})
	mux.HandleFunc("/chunks", func(w http.ResponseWriter, r *http.Request) {
		for part := range 3 {
			io.WriteString(w, long[part*10_000:(part+1)*10_000])
			w.(http.Flusher).Flush()
		}
		io.WriteString(w, long[30_000:])
	})
	mux.HandleFunc("/close", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		io.WriteString(w, "bye")
	})
	mux.HandleFunc("/empty", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/long", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, long) })
	server := httptest.NewServer(mux)
	defer server.Close()
	line, err := dial(t.Context(), address(server))
	if err != nil {
		t.Fatal(err)
	}
	defer line.hangUp()
	for _, c := range []struct {
		path       string
		status     int
		retryAfter bool
		body       string
	}{
		{"/length", 429, true, "slow down"},
		{"/chunks", 200, false, long},
		{"/empty", 204, false, ""},
		{"/close", 200, false, "bye"},
		{"/long", 200, false, long},
		{"/length", 429, true, "slow down"},
	} {
		got, err := line.exchange([]byte("GET " + c.path + " HTTP/1.1\r\nHost: x\r\n\r\n"))
		if err != nil {
			t.Fatalf("%s: %v", c.path, err)
		}
		if got.status != c.status || got.retryAfter != c.retryAfter || string(got.body) != c.body {
			t.Errorf("%s: status %d, Retry-After %v, body of %d bytes", c.path, got.status, got.retryAfter, len(got.body))
		}
	}
}

// replay answers everything with the same bytes and then hangs up.
func replay(t *testing.T, answer []byte) *replyReader {
	t.Helper()
	here, there := net.Pipe()
	go func() {
		there.Write(answer)
		there.Close()
	}()
	t.Cleanup(func() { here.Close() })
	return &replyReader{from: here, buf: make([]byte, 64)}
}

func TestWireRefusesBrokenAnswers(t *testing.T) {
	for _, answer := range []string{
		"",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
		"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabc",
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
		"HTTP/1.1 20x OK\r\n\r\n",
		"SSH-2.0-OpenSSH_9.6\r\n\r\n",
		"\r\n\r\n",
	} {
		line := replay(t, []byte(answer))
		_, err := line.read()
		if err == nil {
			_, err = line.read()
		}
		if err == nil {
			t.Errorf("%q: no error", answer)
		}
	}
}

func TestWireIsClosedWithItsContext(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	line, err := dial(ctx, address(server))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := line.exchange([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); err == nil {
		t.Error("an exchange outlived its context")
	}
}

// What both read, the wire reads as net/http does.
func FuzzWire(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"))
	f.Add([]byte("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\n\r\nto the end"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		if bytes.Count(answer, []byte("\n")) != bytes.Count(answer, []byte("\r\n")) {
			return // net/http lets a line end without CR
		}
		got, err := replay(t, answer).read()
		if err != nil {
			return
		}
		want, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil)
		if err != nil {
			return
		}
		body, err := io.ReadAll(want.Body)
		if err != nil {
			return
		}
		if got.status != want.StatusCode || !bytes.Equal(got.body, body) {
			t.Errorf("%q: %s, net/http reads %d %q", answer, fmt.Sprint(got.status, " ", string(got.body)), want.StatusCode, body)
		}
	})
}
