package tallygate_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tallygate/tallygate"
)

const module = "github.com/tallygate/tallygate"

// arrows says which rooms each room may import beside the root. What is not named here may import every room.
var arrows = map[string][]string{
	"":                      {},
	"access":                {"ratelimit"},
	"api":                   {"access", "ledger", "queue", "ratelimit"},
	"bench":                 {"child"},
	"child":                 {},
	"demo/archive":          {"demo/job", "sdk/go"},
	"demo/job":              {},
	"demo/textstats":        {"demo/job", "sdk/go"},
	"demo/thumbnail":        {"demo/job"},
	"docs":                  {},
	"examples/batch-submit": {"sdk/go"},
	"examples/upstream-go":  {"sdk/go"},
	"examples/worker-go":    {"sdk/go"},
	"executor":              {"queue"},
	"ledger":                {},
	"queue":                 {"ledger"},
	"queue/queuetest":       {},
	"ratelimit":             {},
	"ratelimit/redis":       {"ratelimit"},
	"sdk/go":                {},
	"store":                 {},
	"store/sqlite":          {"store"},
	"store/postgres":        {"store"},
	"store/storetest":       {},
	"testserver":            {"child"},
}

// standardOnly are the rooms that others build on: they depend on the standard library alone.
var standardOnly = []string{"", "sdk/go"}

// everything are the rooms that may import any other: where the program is put together.
var everything = []string{"cmd/tallygate", "demo", "examples/cluster", "store/enginetest", "testserver/serve"}

// sources parses the Go files of the tree by room.
func sources(t *testing.T, mode parser.Mode) map[string][]*ast.File {
	t.Helper()
	rooms := map[string][]*ast.File{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules" || isModule(path)) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, mode)
		if err != nil {
			return err
		}
		room := filepath.ToSlash(filepath.Dir(path))
		if room == "." {
			room = ""
		}
		rooms[room] = append(rooms[room], file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rooms
}

// isModule reports whether a folder is a module of its own: its arrows are not the product's.
func isModule(folder string) bool {
	_, err := os.Stat(filepath.Join(folder, "go.mod"))
	return err == nil
}

func TestArrowsPointInward(t *testing.T) {
	for room, files := range sources(t, parser.ImportsOnly) {
		allowed, bounded := arrows[room]
		if !bounded && !slices.Contains(everything, room) {
			t.Errorf("room %q is on no list: say what it may import", room)
		}
		for _, file := range files {
			for _, spec := range file.Imports {
				path, _ := strconv.Unquote(spec.Path.Value)
				target, inside := strings.CutPrefix(path, module)
				target = strings.TrimPrefix(target, "/")
				if inside && bounded && target != "" && !slices.Contains(allowed, target) {
					t.Errorf("%s imports %s", room, target)
				}
				if slices.Contains(standardOnly, room) && (inside || strings.Contains(path, ".")) {
					t.Errorf("room %q imports %s: it depends on the standard library alone", room, path)
				}
			}
		}
	}
}

func TestEveryPackageHasAComment(t *testing.T) {
	for room, files := range sources(t, parser.ParseComments|parser.PackageClauseOnly) {
		if !slices.ContainsFunc(files, func(f *ast.File) bool { return f.Doc != nil }) {
			t.Errorf("package %s has no comment", filepath.Join(module, room))
		}
	}
}

// TestOnlyTheRootKnowsTheStatusOfACode looks for the statuses of the contract outside the root's array: as a constant
// of net/http or as a number in an answer. A client reads statuses, and an upstream has its own, so that they may name them.
func TestOnlyTheRootKnowsTheStatusOfACode(t *testing.T) {
	callers := []string{"sdk/go", "bench", "executor", "demo/archive", "examples/upstream-go", "cmd/tallygate", "demo"}
	known := map[int]bool{}
	for _, code := range tallygate.Codes() {
		known[code.Status()] = true
	}
	for room, files := range sources(t, 0) {
		if room == "" || slices.Contains(callers, room) {
			continue
		}
		for _, file := range files {
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.SelectorExpr:
					if x, ok := n.X.(*ast.Ident); ok && x.Name == "http" && statusConstants[n.Sel.Name] {
						t.Errorf("%s names http.%s: take it from the code", room, n.Sel.Name)
					}
				case *ast.CallExpr:
					if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "WriteHeader" && len(n.Args) == 1 {
						if lit, ok := n.Args[0].(*ast.BasicLit); ok {
							if status, _ := strconv.Atoi(lit.Value); known[status] {
								t.Errorf("%s writes status %d by number: take it from the code", room, status)
							}
						}
					}
				}
				return true
			})
		}
	}
}

var statusConstants = map[string]bool{
	"StatusBadRequest": true, "StatusUnauthorized": true, "StatusForbidden": true, "StatusNotFound": true,
	"StatusTooManyRequests": true, "StatusInternalServerError": true, "StatusServiceUnavailable": true,
}

func TestTheErrorPageHasEveryCodeAsTheContractHasIt(t *testing.T) {
	page, err := os.ReadFile("docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range tallygate.Codes() {
		f, retry := code.Facts(), "no"
		if f.Retry {
			retry = "yes"
		}
		row := fmt.Sprintf("| `%s` | %d | %s | %s | %s |", f.Name, f.Status, f.Message, f.Remedy, retry)
		if !strings.Contains(string(page), row) {
			t.Errorf("docs/errors.md lacks the row %s", row)
		}
	}
}
