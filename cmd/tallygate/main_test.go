package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata")

func TestMain(m *testing.M) {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "TALLYGATE_") {
			_ = os.Unsetenv(name)
		}
	}
	time.Local = time.UTC
	os.Exit(m.Run())
}

var testNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// ran is what one run of the command left.
type ran struct {
	code           int
	stdout, stderr string
}

// tally runs the command in this process.
func tally(ctx context.Context, stdin string, args ...string) ran {
	var stdout, stderr buffer
	code := run(ctx, args, process{strings.NewReader(stdin), &stdout, &stderr, func() time.Time { return testNow }})
	return ran{code, stdout.String(), stderr.String()}
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// answers are what a fake server says, by method and path. An answer that begins with a number has that status; one
// that begins with "id:" or "event:" is a stream of events. Each request takes the next answer, the last one stays.
type answers map[string][]string

// fakeServer answers as told and keeps a line for each request.
func fakeServer(t *testing.T, a answers) (url string, requests func() string) {
	t.Helper()
	var mu sync.Mutex
	var lines strings.Builder
	asked := map[string]int{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		body, _ := io.ReadAll(r.Body)
		line := r.Method + " " + r.URL.Path
		said := a[line]
		if len(said) == 0 {
			t.Errorf("nobody expected %s", line)
			http.Error(w, "unexpected", http.StatusNotFound)
			return
		}
		text := said[min(asked[line], len(said)-1)]
		asked[line]++
		fmt.Fprintf(&lines, "> %s\n", strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(body)))
		if key := r.Header.Get("Idempotency-Key"); key != "" && len(key) < 20 {
			fmt.Fprintf(&lines, "> Idempotency-Key: %s\n", key)
		}
		w.Header().Set("X-Request-Id", "req_test")
		switch {
		case strings.HasPrefix(text, "<"):
			w.Header().Set("Retry-After", "3600")
		case strings.HasPrefix(text, "id:"):
			w.Header().Set("Content-Type", "text/event-stream")
		case text[0] >= '4' && text[0] <= '5':
			var status int
			var code, message string
			_, _ = fmt.Sscan(text, &status, &code)
			_, message, _ = strings.Cut(text, code+" ")
			w.Header().Set("Retry-After", "3600") // more than the client waits for
			w.WriteHeader(status)
			quoted, _ := json.Marshal(message)
			text = fmt.Sprintf(`{"error":{"code":%q,"message":%s}}`, code, quoted)
		}
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(s.Close)
	return s.URL, func() string {
		mu.Lock()
		defer mu.Unlock()
		return lines.String()
	}
}

// golden compares got with testdata/NAME.txt.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run with -update to write it", err)
	}
	if got != string(want) {
		t.Errorf("%s differs:\n--- got\n%s--- want\n%s", path, got, want)
	}
}

// transcript is a whole run as a file of testdata shows it.
func transcript(args []string, requests string, r ran) string {
	var b strings.Builder
	quoted := make([]string, len(args))
	for i, arg := range args {
		quoted[i] = arg
		if strings.ContainsAny(arg, " {}\"'") {
			quoted[i] = "'" + arg + "'"
		}
	}
	fmt.Fprintf(&b, "$ tallygate %s\n%s", strings.Join(quoted, " "), requests)
	if r.stdout != "" {
		fmt.Fprintf(&b, "--- stdout\n%s", r.stdout)
	}
	if r.stderr != "" {
		fmt.Fprintf(&b, "--- stderr\n%s", r.stderr)
	}
	fmt.Fprintf(&b, "--- exit %d\n", r.code)
	return regexp.MustCompile(`http://127\.0\.0\.1:\d{4,5}`).ReplaceAllString(b.String(), "http://server")
}

// spoken is one command against a fake server.
type spoken struct {
	name    string
	args    []string
	stdin   string
	answers answers
}

func (s spoken) run(t *testing.T) {
	t.Run(s.name, func(t *testing.T) {
		t.Parallel()
		url, requests := fakeServer(t, s.answers)
		r := tally(t.Context(), s.stdin, append([]string{"--url", url, "--key", "tg_live_test"}, s.args...)...)
		golden(t, s.name, transcript(s.args, requests(), r))
	})
}

// eachCommand visits the commands of the model.
func eachCommand(n *kong.Node, visit func(*kong.Node)) {
	for _, child := range n.Children {
		visit(child)
		eachCommand(child, visit)
	}
}

func TestEveryCommandHasHelpAndAnExample(t *testing.T) {
	parser := newParser(new(cli), process{stdout: io.Discard, stderr: io.Discard})
	eachCommand(parser.Model.Node, func(n *kong.Node) {
		if n.Help == "" {
			t.Errorf("%s has no help", n.FullPath())
		}
		if !strings.Contains(n.Detail, "Example") || !strings.Contains(n.Detail, "    ") || !strings.Contains(n.Detail, n.FullPath()) {
			t.Errorf("%s has no example of itself", n.FullPath())
		}
		for _, v := range n.Values() {
			if v.Help == "" {
				t.Errorf("%s: %s has no help", n.FullPath(), v.Name)
			}
		}
		r := tally(t.Context(), "", append(strings.Fields(n.Path()), "--help")...)
		if r.code != exitOK || !strings.HasPrefix(r.stdout, "Usage: "+n.FullPath()) || r.stderr != "" {
			t.Errorf("%s --help: exit %d, %.60q, %q", n.FullPath(), r.code, r.stdout, r.stderr)
		}
	})
}

// TestExamplesParse keeps the examples true: every line of them that runs this program must be one that it takes.
func TestExamplesParse(t *testing.T) {
	word := regexp.MustCompile(`'[^']*'|"[^"]*"|[^\s'"|>)]+`)
	parser := newParser(new(cli), process{stdout: io.Discard, stderr: io.Discard})
	eachCommand(parser.Model.Node, func(n *kong.Node) {
		for line := range strings.Lines(n.Detail) {
			_, example, ok := strings.Cut(line, "tallygate ")
			if !ok || !strings.HasPrefix(line, "    ") || strings.Contains(line, ": /") {
				continue
			}
			example, _, _ = strings.Cut(example, " | ")
			example, _, _ = strings.Cut(example, " > ")
			example, _, _ = strings.Cut(example, ")")
			words := word.FindAllString(strings.TrimSpace(example), -1)
			for i := range words {
				words[i] = strings.Trim(words[i], `'"`)
			}
			if _, err := parser.Parse(words); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: example %q: %v", n.FullPath(), example, err)
			}
		}
	})
}

func TestTheFirstPageOfHelp(t *testing.T) {
	r := tally(t.Context(), "")
	golden(t, "help", transcript(nil, "", r))
}

func TestHelpShowsNoKey(t *testing.T) {
	t.Setenv("TALLYGATE_KEY", "tg_live_secret")
	t.Setenv(operatorKeyVariable, "tg_live_other_secret")
	if r := tally(t.Context(), "", "job", "list", "--help"); strings.Contains(r.stdout, "secret") {
		t.Error("a key stands in the help")
	}
}

func TestMisuseIsExplained(t *testing.T) {
	for _, s := range []spoken{
		{name: "usage_unknown_command", args: []string{"jobs"}},
		{name: "usage_unknown_verb", args: []string{"job", "sumbit"}},
		{name: "usage_missing_argument", args: []string{"client", "get"}},
		{name: "usage_unknown_flag", args: []string{"job", "list", "--stauts", "failed"}},
		{name: "usage_bad_value", args: []string{"job", "list", "--limit", "many"}},
		{name: "usage_bad_limit", args: []string{"job", "list", "--limit", "0"}},
		{name: "usage_bad_time", args: []string{"job", "submit", "text.stats", "--run-at", "tomorrow"}},
		{name: "usage_bad_input", args: []string{"job", "submit", "text.stats", "--input", "{\"text\":\n \"a\",}"}},
		{name: "usage_no_file", args: []string{"job", "submit", "text.stats", "--input", "@testdata/none.json"}},
		{name: "usage_nothing_to_change", args: []string{"client", "update", "cl_1"}},
		{name: "usage_bad_url", args: []string{"--url", "localhost:8080", "job", "list"}},
	} {
		s.run(t)
	}
}
