package snippets

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// notRun is how many blocks of a page may be left out, each with its reason in the info string. It is the one place
// where that number grows.
var notRun = map[string]int{
	"README.md":          1,
	"docs/bench.md":      4,
	"docs/cluster.md":    4,
	"docs/go.md":         1,
	"docs/python.md":     1,
	"docs/typescript.md": 1,

	"docs/openapi.md":          3, // scripts/openapi.sh runs them
	"sdk/go/README.md":         1,
	"sdk/typescript/README.md": 2,
}

func TestSnippets(t *testing.T) {
	all := pages(t)
	if t.Failed() {
		return
	}
	programs := sync.OnceValues(func() (map[*block]string, error) { return compile(t, all) })
	left := map[string]int{}
	wanted, err := regexp.Compile(os.Getenv(runVariable))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(all, func(p page) bool { return wanted.MatchString(p.path) }) {
		t.Fatalf("no page is named like %s", wanted)
	}
	for _, p := range all {
		if !wanted.MatchString(p.path) {
			continue
		}
		for _, b := range p.blocks {
			if reason := b.args["norun"]; reason != "" {
				t.Logf("not run: %s: %s", b, strings.ReplaceAll(reason, "-", " "))
				left[p.path]++
			}
		}
		if left[p.path] != notRun[p.path] {
			t.Errorf("%s: %d blocks are not run, %d are allowed for", p.path, left[p.path], notRun[p.path])
		}
		t.Run(p.path, func(t *testing.T) {
			t.Parallel()
			check(t, p)
			if needsShell(p) {
				run(t, p, programs)
			}
		})
	}
}

func needsShell(p page) bool { return slices.ContainsFunc(p.blocks, (*block).runs) }

// check looks at the blocks that are not programs.
func check(t *testing.T, p page) {
	for i, b := range p.blocks {
		if b.args["norun"] != "" {
			continue
		}
		if b.language == "json" {
			if err := json.Unmarshal([]byte(b.text), new(any)); err != nil {
				t.Errorf("%s: %v", b, err)
			}
		}
		file := b.args["file"]
		if b.language == "yaml" && file == "" {
			t.Errorf("%s: YAML names the file that it is saved as", b)
		}
		used := file == "" || languages[b.language].runs
		for _, later := range p.blocks[i+1:] {
			used = used || later.runs() && strings.Contains(later.text, file)
		}
		if !used {
			t.Errorf("%s: no later block uses %s", b, file)
		}
	}
}

// run runs the page's programs in order, within one shell, and compares what they say with what the page shows.
func run(t *testing.T, p page, compiled func() (map[*block]string, error)) {
	var programs map[*block]string
	if slices.ContainsFunc(p.blocks, func(b *block) bool { return b.runs() && (b.language == "go" || b.language == "ts") }) {
		var err error
		if programs, err = compiled(); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t, p.path)
	out := t.TempDir()
	installNode(t, out) // for the programs that run from there
	w.settle(p)

	var script strings.Builder
	script.WriteString("set -euo pipefail\n")
	for i, b := range p.blocks {
		text := w.readdress(b.text)
		said := filepath.Join(out, fmt.Sprint(i))
		switch {
		case b.args["norun"] != "" || b.language == "json" || b.language == "text" || b.language == "":
		case b.args["file"] != "":
			// Written when the page comes to it, since an earlier block may have gone to another folder.
			content := filepath.Join(out, fmt.Sprintf("%d.file", i))
			write(t, content, text)
			fmt.Fprintf(&script, "cp %s %s\n", content, b.args["file"])
			if checker := checkers[b.language]; checker != "" { // it may be for the reader to run
				fmt.Fprintf(&script, "echo %d >%s/at\n%s %s >%s 2>&1\n", i, out, checker, b.args["file"], said)
			}
		default:
			fmt.Fprintf(&script, "echo %d >%s/at\n", i, out)
			if b.language != "sh" {
				text = interpreter(t, b, programs[b], said, text) + " </dev/null\n"
			}
			if code := b.args["exit"]; code != "" {
				fmt.Fprintf(&script, "set +e\n( set -e\n%s) >%s 2>&1\ncode=$?\nset -e\n[ $code = %s ] || { echo \"exit code $code\" >>%s; exit 1; }\n", text, said, code, said)
			} else {
				fmt.Fprintf(&script, "{\n%s} >%s 2>&1\n", text, said)
			}
		}
	}
	path := filepath.Join(out, "page.sh")
	write(t, path, script.String())

	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	shell := exec.CommandContext(ctx, "bash", path)
	shell.Dir = w.dir
	shell.Env = w.environment()
	shell.SysProcAttr = dieWithParent(&syscall.SysProcAttr{Setpgid: true})
	kill := func() error { return syscall.Kill(-shell.Process.Pid, syscall.SIGKILL) } // also what runs in the background
	shell.Cancel = kill
	said, err := shell.CombinedOutput()
	if shell.Process != nil {
		_ = kill()
	}
	if err != nil {
		at, _ := os.ReadFile(filepath.Join(out, "at"))
		var i int
		_, _ = fmt.Sscan(string(at), &i)
		output, _ := os.ReadFile(filepath.Join(out, fmt.Sprint(i)))
		t.Fatalf("%s: %v\n%s\n%s%s", p.blocks[i], err, p.blocks[i].text, output, said)
	}
	for i, b := range p.blocks {
		output, _ := os.ReadFile(filepath.Join(out, fmt.Sprint(i)))
		if b.runs() && testing.Verbose() {
			t.Logf("%s (%s)\n%s", b, b.language, output)
		}
		if b.runs() && strings.HasPrefix(p.path, "docs/errors/") && b.language != "sh" && !mentions(p, output) {
			t.Errorf("%s: what it prints shows that it caught no %s:\n%s", b, codeOf(p.path), output)
		}
		if b.shows != nil {
			for j, program := range p.blocks {
				if program == b.shows {
					output, _ := os.ReadFile(filepath.Join(out, fmt.Sprint(j)))
					compare(t, b, w.usual(string(output)))
				}
			}
		}
	}
}

// codeOf is the code that a page is about.
func codeOf(path string) string { return strings.TrimSuffix(filepath.Base(path), ".md") }

// mentions reports whether the output names the page's code.
func mentions(p page, output []byte) bool { return bytes.Contains(output, []byte(codeOf(p.path))) }

// compare makes sure that what the page shows is what came: each line is among the output's, in order.
func compare(t *testing.T, b *block, output string) {
	t.Helper()
	lines := strings.Split(output, "\n")
	for shown := range strings.Lines(b.text) {
		if strings.TrimSpace(shown) == "" {
			continue
		}
		pattern := pattern(shown)
		for len(lines) > 0 && !pattern.MatchString(squeeze(lines[0])) {
			lines = lines[1:]
		}
		if len(lines) == 0 {
			t.Errorf("%s: the page shows %q, which did not come (in this order):\n%s", b, strings.TrimSpace(shown), output)
			return
		}
		lines = lines[1:]
	}
}

func squeeze(line string) string { return strings.Join(strings.Fields(line), " ") }

// pattern matches a whole line that is shown with … for anything.
func pattern(shown string) *regexp.Regexp {
	parts := strings.Split(squeeze(shown), "…")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(strings.TrimSpace(parts[i]))
	}
	return regexp.MustCompile("^" + strings.Join(parts, ".*") + "$")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
