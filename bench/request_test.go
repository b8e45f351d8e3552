package bench

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"testing"
)

func TestTemplateFillsItsHoles(t *testing.T) {
	made, err := request{
		Method: "POST",
		Path:   "/v1/jobs",
		Header: [][2]string{{"Authorization", "Bearer {{key}}"}, {"Idempotency-Key", "r1-{{n}}"}},
		Body:   `{"n":"{{n}}","again":"{{n}}"}`,
	}.compile("127.0.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	sent := made.appendTo(nil, 42, "tg_live_x")
	got, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(sent)))
	if err != nil {
		t.Fatalf("not a request: %v\n%s", err, sent)
	}
	body, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, got, want string }{
		{"host", got.Host, "127.0.0.1:80"},
		{"key", got.Header.Get("Authorization"), "Bearer tg_live_x"},
		{"counter in the header", got.Header.Get("Idempotency-Key"), "r1-0000000042"},
		{"body", string(body), `{"n":"0000000042","again":"0000000042"}`},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", c.name, c.got, c.want)
		}
	}
}

func TestTemplateRefusesAKeyInTheBody(t *testing.T) {
	if _, err := (request{Body: `{"key":"{{key}}"}`}).compile("x"); err == nil {
		t.Error("no error")
	}
}

func TestTemplateDoesNotAllocate(t *testing.T) {
	made, err := submitRequest("x", "").compile("127.0.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { buf = made.appendTo(buf[:0], 7, "k") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
