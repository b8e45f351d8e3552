package snippets

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// compile makes programs of the blocks that have to be compiled, those of a language all at once, and says where they
// are.
func compile(t *testing.T, all []page) (map[*block]string, error) {
	t.Helper()
	programs := map[*block]string{}
	dir := t.TempDir()
	if err := compileGo(t, all, filepath.Join(dir, "go"), programs); err != nil {
		return nil, err
	}
	return programs, compileTypeScript(t, all, filepath.Join(dir, "ts"), programs)
}

// of are the blocks of a language that run.
func of(all []page, language string) (blocks []*block) {
	for _, p := range all {
		for _, b := range p.blocks {
			if b.language == language && b.runs() {
				blocks = append(blocks, b)
			}
		}
	}
	return blocks
}

func compileGo(t *testing.T, all []page, dir string, programs map[*block]string) error {
	t.Helper()
	blocks := of(all, "go")
	if len(blocks) == 0 {
		return nil
	}
	makeModule(t, dir)
	var parts strings.Builder // those without a main of their own are parts of one program, since linking takes most of the time
	for i, b := range blocks {
		name := fmt.Sprintf("snippet%d", i)
		if strings.HasPrefix(b.text, "package ") {
			write(t, filepath.Join(dir, name, "main.go"), b.text)
			programs[b] = filepath.Join(dir, "bin", name)
			continue
		}
		write(t, filepath.Join(dir, "parts", name+".go"), part(b, name))
		fmt.Fprintf(&parts, "%q: %s,\n", name, name)
		programs[b] = filepath.Join(dir, "bin", "parts") + " " + name
	}
	write(t, filepath.Join(dir, "parts", "main.go"), fmt.Sprintf(partsMain, parts.String()))
	build := exec.Command("go", "build", "-ldflags=-w", "-o", "bin/", "./...")
	build.Dir = dir
	if said, err := build.CombinedOutput(); err != nil {
		for i, b := range blocks { // name the pages
			said = regexp.MustCompile(fmt.Sprintf(`snippet%d\b`, i)).ReplaceAll(said, []byte(b.String()))
		}
		return fmt.Errorf("go build: %w\n%s", err, said)
	}
	return nil
}

// partsMain runs the part that its argument names.
const partsMain = `package main

import (
	"context"
	"log"
	"os"

	tallygate "github.com/tallygate/tallygate/sdk/go"
)

var parts = map[string]func(context.Context, *tallygate.Client){
%s}

func main() {
	client, err := tallygate.New()
	if err != nil {
		log.Fatal(err)
	}
	parts[os.Args[1]](context.Background(), client)
}
`

// makeModule makes a module that has the SDK, as go get would.
func makeModule(t *testing.T, dir string) {
	t.Helper()
	own, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go .*$`).FindString(string(own))
	write(t, filepath.Join(dir, "go.mod"), "module snippets\n\n"+version+"\n\nrequire github.com/tallygate/tallygate v0.0.0\n\n"+
		"replace github.com/tallygate/tallygate => "+root+"\n")
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "go.sum"), string(sums))
}

var (
	usesPackage = regexp.MustCompile(`\b([a-z]+)\.[A-Z]`)
	standard    = map[string]string{
		"context": "context", "errors": "errors", "fmt": "fmt", "http": "net/http", "io": "io", "json": "encoding/json", "log": "log",
		"os": "os", "signal": "os/signal", "slog": "log/slog", "strings": "strings", "syscall": "syscall", "time": "time",
	}
)

// part is the file of a Go block that is a part of a function, which has ctx and client.
func part(b *block, name string) string {
	imports := []string{`"context"`, `tallygate "github.com/tallygate/tallygate/sdk/go"`}
	for _, match := range usesPackage.FindAllStringSubmatch(b.text, -1) {
		if path := standard[match[1]]; path != "" {
			imports = append(imports, `"`+path+`"`)
		}
	}
	slices.Sort(imports)
	return "package main\n\nimport (\n" + strings.Join(slices.Compact(imports), "\n") + "\n)\n\n" +
		"func " + name + "(ctx context.Context, client *tallygate.Client) {\n" +
		"//line " + b.page + ":" + fmt.Sprint(b.line+1) + "\n" + b.text + "}\n"
}

func compileTypeScript(t *testing.T, all []page, dir string, programs map[*block]string) error {
	t.Helper()
	var blocks []*block // also those that are saved: their types are checked
	for _, p := range all {
		for _, b := range p.blocks {
			if b.language == "ts" && b.args["norun"] == "" {
				blocks = append(blocks, b)
			}
		}
	}
	if len(blocks) == 0 {
		return nil
	}
	installNode(t, dir)
	for i, b := range blocks {
		name := fmt.Sprintf("snippet%d", i)
		write(t, filepath.Join(dir, name+".mts"), b.text)
		programs[b] = "node " + filepath.Join(dir, name+".mjs")
	}
	write(t, filepath.Join(dir, "tsconfig.json"), `{"compilerOptions": {"strict": true, "module": "nodenext", "target": "es2022",
		"lib": ["es2023", "dom", "dom.iterable"], "types": ["node"]}, "include": ["*.mts"]}`)
	tsc := exec.Command(filepath.Join(root, "sdk/typescript/node_modules/.bin/tsc"), "-p", dir)
	if said, err := tsc.CombinedOutput(); err != nil {
		for i, b := range blocks {
			said = regexp.MustCompile(fmt.Sprintf(`\S*snippet%d\.mts`, i)).ReplaceAll(said, []byte(b.String()))
		}
		return fmt.Errorf("tsc: %w\n%s", err, said)
	}
	return nil
}

// installNode makes dir a folder in which the SDK is installed, as npm install would.
func installNode(t *testing.T, dir string) {
	t.Helper()
	modules := filepath.Join(dir, "node_modules")
	if err := os.MkdirAll(modules, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, from := range map[string]string{"tallygate": "sdk/typescript", "@types": "sdk/typescript/node_modules/@types"} {
		if err := os.Symlink(filepath.Join(root, from), filepath.Join(modules, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// checkers look at a saved program without running it.
var checkers = map[string]string{
	"sh":     "bash -n",
	"python": "python3 -m py_compile",
	"js":     "node --check",
	"go":     "go vet",
}

// settle makes the page's folder one in which the SDKs are installed, where the page saves programs that may use them.
func (w *world) settle(p page) {
	w.t.Helper()
	installed := map[string]bool{}
	for _, b := range p.blocks {
		switch suffix := filepath.Ext(b.args["file"]); {
		case installed[suffix]:
		case suffix == ".go":
			makeModule(w.t, w.dir)
			installed[suffix] = true
		case suffix == ".mjs":
			installNode(w.t, w.dir)
			installed[suffix] = true
		}
	}
}

// interpreter is the command that runs a program which is no shell script.
func interpreter(t *testing.T, b *block, program, at, text string) string {
	t.Helper()
	switch b.language {
	case "python":
		write(t, at+".py", text)
		return "python3 " + at + ".py"
	case "js":
		write(t, at+".mjs", text)
		return "node " + at + ".mjs"
	}
	return program
}

// goSettings are where Go keeps what it has built and fetched: the machine's own, although a page's home is empty.
var goSettings = sync.OnceValues(func() (env []string, err error) {
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPROXY", "GOFLAGS"} {
		value, err := exec.Command("go", "env", name).Output()
		if err != nil {
			return nil, fmt.Errorf("go env %s: %w", name, err)
		}
		env = append(env, name+"="+strings.TrimSpace(string(value)))
	}
	return env, nil
})
