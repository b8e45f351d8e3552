// Package samples runs the samples of the API's reference: each route in each language, against a real server, with
// objects of its own in the place of those that the reference names.
package samples

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tallygate/tallygate/docs"
)

const (
	runVariable    = "TALLYGATE_E2E"            // 1: run, as CI does
	pythonVariable = "TALLYGATE_SAMPLES_PYTHON" // a Python with the SDK installed; default python3
)

// patience ends what hangs. Nothing that passes depends on it.
const patience = 3 * time.Minute

//go:embed run.py
var runPython string

//go:embed run.mjs
var runNode string

//go:embed run.go.txt
var runGo string

// sample is one that is to be run.
type sample struct {
	Operation string `json:"operation"`
	Key       string `json:"key"`
	Code      string `json:"code"`
}

func TestEverySampleRuns(t *testing.T) {
	if os.Getenv(runVariable) == "" && os.Getenv("CI") == "" {
		t.Skipf("left out; set %s=1, or use scripts/samples.sh, to run them", runVariable)
	}
	h := newHouse(t)
	description, err := exec.Command(h.binary, "openapi").Output()
	if err != nil {
		t.Fatal(err)
	}
	all, err := docs.Samples(description)
	if err != nil {
		t.Fatal(err)
	}
	byLanguage := map[string][]sample{}
	for _, s := range all {
		byLanguage[s.Language] = append(byLanguage[s.Language], h.prepare(s))
	}
	if len(byLanguage) != 4 {
		t.Fatalf("%d languages", len(byLanguage))
	}
	runs := map[string]func(context.Context, string, []sample) *exec.Cmd{"sh": runShell, "go": h.runGo, "python": h.runPython, "ts": h.runNode}
	for language, samples := range byLanguage {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			run := runs[language](ctx, t.TempDir(), samples)
			run.Env = append(run.Environ(), "TALLYGATE_URL="+h.url, "NO_PROXY=127.0.0.1")
			var stderr bytes.Buffer
			run.Stderr = &stderr
			output, err := run.Output()
			if err != nil {
				t.Errorf("%v\n%s", err, stderr.String())
			}
			checkOutcomes(t, samples, output)
		})
	}
}

// outcome is a line that the programs print for each sample.
type outcome struct {
	Operation string `json:"operation"`
	Error     string `json:"error"`
	Output    string `json:"output"`
}

func checkOutcomes(t *testing.T, samples []sample, output []byte) {
	t.Helper()
	outcomes := map[string]outcome{}
	for line := range bytes.Lines(output) {
		var o outcome
		if err := json.Unmarshal(line, &o); err != nil {
			t.Errorf("not an outcome: %s", line)
			continue
		}
		outcomes[o.Operation] = o
	}
	for _, s := range samples {
		o, ran := outcomes[s.Operation]
		switch {
		case !ran:
			t.Errorf("%s was not run:\n%s", s.Operation, s.Code)
		case o.Error != "":
			t.Errorf("%s: %s\n%s\n%s", s.Operation, o.Error, o.Output, s.Code)
		case strings.TrimSpace(o.Output) == "":
			t.Errorf("%s printed nothing:\n%s", s.Operation, s.Code)
		case strings.Contains(o.Output, "undefined"):
			t.Errorf("%s reads what is not there: %s\n%s", s.Operation, o.Output, s.Code)
		}
	}
	t.Logf("%d samples ran", len(outcomes))
}

// runShell runs the samples with curl in one shell.
func runShell(ctx context.Context, folder string, samples []sample) *exec.Cmd {
	var b strings.Builder
	b.WriteString("curl() { command curl --silent --show-error --fail-with-body \"$@\"; }\n" +
		"told() { jq -cn --arg operation \"$1\" --arg error \"$2\" --arg output \"$3\" '$ARGS.named'; }\n")
	for _, s := range samples {
		fmt.Fprintf(&b, "%s() {\n%s}\nTALLYGATE_KEY='%s'\nerror= output=$(%[1]s 2>&1) || error=\"curl ended with $?\"\ntold %[1]s \"$error\" \"${output:0:4000}\"\n", s.Operation, s.Code, s.Key)
	}
	program := filepath.Join(folder, "run.sh")
	write(program, b.String())
	return exec.CommandContext(ctx, "bash", program)
}

// runGo makes one program of the samples, a function of each, as a package of this module that is nowhere but in memory.
func (h *house) runGo(ctx context.Context, folder string, samples []sample) *exec.Cmd {
	var functions, table strings.Builder
	for _, s := range samples {
		fmt.Fprintf(&functions, "func %s(ctx context.Context) error {\n%sreturn nil\n}\n\n", s.Operation, s.Code)
		fmt.Fprintf(&table, "\t{%q, %q, %s},\n", s.Operation, s.Key, s.Operation)
	}
	source := strings.NewReplacer("// TABLE\n", table.String(), "// FUNCTIONS\n", functions.String()).Replace(runGo)
	program, overlay, binary := filepath.Join(folder, "main.go"), filepath.Join(folder, "overlay.json"), filepath.Join(folder, "run")
	write(program, source)
	place, err := filepath.Abs("program/main.go")
	if err != nil {
		h.t.Fatal(err)
	}
	replaced, err := json.Marshal(map[string]any{"Replace": map[string]string{place: program}})
	if err != nil {
		h.t.Fatal(err)
	}
	write(overlay, string(replaced))
	if said, err := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-o", binary, "./program").CombinedOutput(); err != nil {
		h.t.Fatalf("building the Go samples: %v\n%s", err, said)
	}
	return exec.CommandContext(ctx, binary)
}

// runPython runs the samples in one interpreter.
func (h *house) runPython(ctx context.Context, folder string, samples []sample) *exec.Cmd {
	write(filepath.Join(folder, "samples.json"), asJSON(samples))
	write(filepath.Join(folder, "run.py"), runPython)
	python := os.Getenv(pythonVariable)
	if python == "" {
		python = "python3"
	}
	run := exec.CommandContext(ctx, python, "run.py")
	run.Dir = folder
	return run
}

// typed is how a reader's own project would have the compiler look at the samples.
const typed = `{"compilerOptions": {"strict": true, "module": "nodenext", "target": "es2022", "lib": ["es2023", "dom", "dom.iterable"],
	"types": ["node"]}, "include": ["*.mts"]}`

// runNode compiles the samples, a module of each, and runs them in one process.
func (h *house) runNode(ctx context.Context, folder string, samples []sample) *exec.Cmd {
	for _, s := range samples {
		write(filepath.Join(folder, s.Operation+".mts"), s.Code)
	}
	write(filepath.Join(folder, "tsconfig.json"), typed)
	write(filepath.Join(folder, "samples.json"), asJSON(samples))
	write(filepath.Join(folder, "run.mjs"), runNode)
	if err := os.Mkdir(filepath.Join(folder, "node_modules"), 0o755); err != nil {
		h.t.Fatal(err)
	}
	sdk := filepath.Join(h.root, "sdk/typescript")
	for name, from := range map[string]string{"tallygate": sdk, "@types": filepath.Join(sdk, "node_modules/@types")} {
		if err := os.Symlink(from, filepath.Join(folder, "node_modules", name)); err != nil {
			h.t.Fatal(err)
		}
	}
	tsc := exec.CommandContext(ctx, filepath.Join(sdk, "node_modules/.bin/tsc"), "-p", folder)
	if said, err := tsc.CombinedOutput(); err != nil {
		h.t.Fatalf("the types of the TypeScript samples: %v\n%s", err, said)
	}
	run := exec.CommandContext(ctx, "node", "run.mjs")
	run.Dir = folder
	return run
}

func asJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings alone
	}
	return string(text)
}

func write(path, text string) {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		panic(err)
	}
}
