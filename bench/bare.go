package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"time"
)

// An answer is what the real server said to a request; the bare handler gives
// it again and again.
type answer struct {
	Status int         `json:"status"`
	Header http.Header `json:"header"`
	Body   []byte      `json:"body"`
}

// listening is how a server says, on its standard output, where it is ready.
const listening = "tallygate listening on http://"

// Bare is the base of the ratios: an HTTP server that does nothing but give
// the one answer that it reads from stdin as JSON. It prints its address to
// stdout as the real server does, and runs until ctx is done.
func Bare(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	var fixed answer
	if err := json.NewDecoder(stdin).Decode(&fixed); err != nil {
		return fmt.Errorf("bench: the bare handler's answer: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: fixed, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if _, err := fmt.Fprintf(stdout, "%s%s\n", listening, listener.Addr()); err != nil {
		return err
	}
	if err := server.Serve(listener); err != http.ErrServerClosed {
		return err
	}
	return nil
}

func (a answer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	header := w.Header()
	for name, values := range a.Header {
		header[name] = values
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body)
}

// capture sends one request of a load by itself and keeps the whole answer,
// without what an HTTP server writes of its own accord.
func capture(ctx context.Context, w workload) (answer, error) {
	made, err := w.Request.compile(w.address(0))
	if err != nil {
		return answer{}, err
	}
	var key string
	if len(w.Keys) > 0 {
		key = w.Keys[0]
	}
	line, err := dial(ctx, w.address(0))
	if err != nil {
		return answer{}, err
	}
	defer line.hangUp()
	if err := line.limit(time.Now().Add(patience)); err != nil {
		return answer{}, err
	}
	if _, err := line.conn.Write(made.appendTo(nil, w.First, key)); err != nil {
		return answer{}, err
	}
	got, err := http.ReadResponse(bufio.NewReader(line.conn), nil)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = got.Body.Close() }()
	body, err := io.ReadAll(got.Body)
	if err != nil {
		return answer{}, err
	}
	for _, name := range []string{"Date", "Connection", "Transfer-Encoding"} {
		got.Header.Del(name)
	}
	return answer{Status: got.StatusCode, Header: got.Header, Body: body}, nil
}

// same reports how two answers differ, for a base must answer what the real
// server answers.
func (a answer) same(b answer) error {
	if a.Status != b.Status || len(a.Body) != len(b.Body) {
		return fmt.Errorf("the base answers %d with %d bytes, the server %d with %d", b.Status, len(b.Body), a.Status, len(a.Body))
	}
	for name, values := range a.Header {
		if !slices.Equal(values, b.Header[name]) {
			return fmt.Errorf("the base answers %s: %q, the server %q", name, b.Header[name], values)
		}
	}
	return nil
}
