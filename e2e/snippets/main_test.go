// Package snippets runs what the documentation shows: every fenced block of every page, in the page's order, against a
// server of the page's own, as a reader would who begins at the top. The info string says what a block is:
//
//	sh, python, js, ts, go    a program, run in the page's folder; sh blocks share one shell, so that what one of them
//	                          sets the later blocks have. exit=N: it ends with that code
//	… file=NAME               not run but saved as NAME; a program is looked at, anything else is named by a later block
//	json                      parsed
//	text                      what the program above it prints: its lines are among the program's, in order, with … for
//	                          anything and runs of blanks taken as one
//	… norun=REASON            cannot run here; counted
//
// A Go block without a package clause is a part of a function that has ctx and client.
package snippets

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// runVariable says of which pages the snippets run, by a regular expression of their paths. python3 has to have the SDK
// and requests, and the TypeScript SDK has to be built.
const runVariable = "TALLYGATE_SNIPPETS"

var (
	root   string // of the tree
	binary string // the tallygate that pages run
)

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "snippets:", err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (int, error) {
	if os.Getenv(runVariable) == "" {
		fmt.Println("snippets: left out; scripts/snippets.sh, a step of make test, runs them")
		return 0, nil
	}
	var err error
	if root, err = filepath.Abs("../.."); err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "tallygate-snippets-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "tallygate")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, "./cmd/tallygate")
	build.Dir = root
	if said, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build the server: %w\n%s", err, said)
	}
	return m.Run(), nil
}
