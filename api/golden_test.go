package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallygate/tallygate/queue/queuetest"
)

var update = flag.Bool("update", false, "rewrite the expected responses in testdata")

// TestExchanges replays the files of testdata/exchanges. A file is a history on one server: steps that begin with a
// line "== what it shows", then the request (a request line, headers, an empty line, a body), then a line "--" and the
// expected response. The header "Key: NAME" stands for the Authorization of one of the house's keys, or of a key that
// an earlier response showed. Identifiers, key texts, tokens and cursors are written as names, numbered as they first
// appear: "{job_1}" in a request stands for the value behind "job_1". "Advance: 5s" moves the clock first; a step
// without a request line, of "Do: sweep" or "Do: drain", has the server do that.
func TestExchanges(t *testing.T) {
	files, err := filepath.Glob("testdata/exchanges/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			replay(t, file)
		})
	}
}

func replay(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	time := newClock()
	h := newHouse(t, time.Now, func(o *Options) { o.AllowedOrigins = []string{"https://app.example"} })
	names := newNames()
	preamble, steps, _ := strings.Cut("\n"+string(text), "\n== ")
	out := strings.TrimPrefix(preamble, "\n")
	for step := range strings.SplitSeq(steps, "\n== ") {
		request, want, _ := strings.Cut(strings.TrimRight(step, "\n")+"\n", "\n--\n")
		want = strings.TrimRight(want, "\n")
		title, request, _ := strings.Cut(request, "\n")
		got := strings.TrimRight(exchange(t, h, time, names, request), "\n")
		out += "\n== " + title + "\n" + strings.TrimRight(request, "\n") + "\n--\n" + got + "\n"
		if !*update && got != want {
			t.Errorf("%s:\n--- got\n%s\n--- want\n%s", title, got, want)
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(strings.TrimPrefix(out, "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// exchange makes one step and returns its response in the form of the files.
func exchange(t *testing.T, h *house, now *queuetest.Clock, names *names, step string) string {
	t.Helper()
	head, body, _ := strings.Cut(names.fill(step), "\n\n")
	lines := strings.Split(strings.TrimRight(head, "\n"), "\n")
	var method, target, key string
	var headers []string
	for i, line := range lines {
		name, value, isHeader := strings.Cut(line, ": ")
		switch {
		case i == 0 && !strings.HasPrefix(line, "Do: "):
			method, target, _ = strings.Cut(line, " ")
		case name == "Do" && value == "sweep":
			if err := h.queue.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			return "done"
		case name == "Do" && value == "drain":
			h.Drain()
			return "done"
		case name == "Advance":
			d, err := time.ParseDuration(value)
			if err != nil {
				t.Fatal(err)
			}
			now.Advance(d)
		case name == "Key":
			if key = h.keys[value]; key == "" {
				key = value
			}
		case isHeader:
			headers = append(headers, line)
		default:
			t.Fatalf("not a header: %q", line)
		}
	}
	return names.mask(show(method, h.send(method, target, key, strings.TrimRight(body, "\n"), headers...)))
}

// show writes a response: the status, the headers in order, the body with JSON set out.
func show(method string, w *httptest.ResponseRecorder) string {
	var b strings.Builder
	fmt.Fprintln(&b, w.Code)
	for _, name := range slices.Sorted(maps.Keys(w.Header())) {
		switch name {
		case "X-Request-Id", "Content-Length", "X-Ratelimit-Limit", "X-Ratelimit-Reset", "X-Ratelimit-Remaining", "Ratelimit", "Ratelimit-Policy":
			continue // the same in all answers, or tested for themselves
		}
		for _, value := range w.Header()[name] {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	b.WriteByte('\n')
	if method == "HEAD" {
		return b.String() // the recorder holds what net/http would not send
	}
	var set bytes.Buffer
	if json.Indent(&set, w.Body.Bytes(), "", "  ") == nil {
		b.Write(set.Bytes())
	} else {
		b.Write(w.Body.Bytes())
	}
	return b.String()
}

// names stand for values that differ from run to run.
type names struct {
	byValue map[string]string
	byName  map[string]string
	count   map[string]int
}

func newNames() *names {
	return &names{map[string]string{}, map[string]string{}, map[string]int{}}
}

var (
	changing = regexp.MustCompile(`tg_live_[0-9a-z_]{66}|\b(job|cl|key|ent|evt)_[0-9a-hjkmnp-tv-z]{26}\b|\blease_[0-9A-Z]{26}\b|"next_cursor": "[^"]+"`)
	held     = regexp.MustCompile(`\{[a-z]+_[0-9]+\}`)
)

func (n *names) mask(s string) string {
	return changing.ReplaceAllStringFunc(s, func(value string) string {
		prefix, before, after := "secret", "", ""
		if cursor, ok := strings.CutPrefix(value, `"next_cursor": "`); ok {
			prefix, before, after, value = "cursor", `"next_cursor": "`, `"`, strings.TrimSuffix(cursor, `"`)
		} else if !strings.HasPrefix(value, "tg_live_") {
			prefix, _, _ = strings.Cut(value, "_")
		}
		name := n.byValue[value]
		if name == "" {
			n.count[prefix]++
			name = fmt.Sprintf("%s_%d", prefix, n.count[prefix])
			n.byValue[value], n.byName[name] = name, value
		}
		return before + name + after
	})
}

func (n *names) fill(s string) string {
	return held.ReplaceAllStringFunc(s, func(name string) string {
		if value := n.byName[strings.Trim(name, "{}")]; value != "" {
			return value
		}
		return name
	})
}
