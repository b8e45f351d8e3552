// Package e2e drives the tallygate binary as its users do, by processes, files, signals and HTTP. It imports nothing of
// the project but the servers that tests start: what it knows is what the project promises.
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The suite reads its settings from the environment.
const (
	runVariable    = "TALLYGATE_E2E"         // 1: run the suite, as CI does; it takes minutes
	engineVariable = "TALLYGATE_TEST_ENGINE" // postgres: where the databases are that a test does not place; empty or sqlite: in files
	raceVariable   = "TALLYGATE_E2E_RACE"    // 1: build the binary with the race detector
	killsVariable  = "TALLYGATE_KILLS"       // how often the server is killed under load
	seedVariable   = "TALLYGATE_SEED"        // of what is random; one that failed can be run again
	longVariable   = "TALLYGATE_LONG"        // 1: the long forms of what takes minutes, with bounds that a quiet machine keeps
)

// binary is the tallygate under test.
var binary string

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (int, error) {
	if os.Getenv(runVariable) == "" && os.Getenv("CI") == "" {
		fmt.Printf("e2e: left out; set %s=1, or use make test, to run it\n", runVariable)
		return 0, nil
	}
	if engine := os.Getenv(engineVariable); engine != "" && engine != "sqlite" && engine != "postgres" {
		return 0, fmt.Errorf("%s is %q: it must be sqlite or postgres", engineVariable, engine)
	}
	dir, err := os.MkdirTemp("", "tallygate-e2e-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "tallygate")
	args := []string{"-o", binary}
	if os.Getenv(raceVariable) == "1" {
		args = append(args, "-race")
	}
	if said, err := build(append(args, "./cmd/tallygate")...); err != nil {
		return 0, fmt.Errorf("build the server: %w\n%s", err, said)
	}
	return m.Run(), nil
}

// build builds a program of the project, in whose module it is: this suite is a module of its own, so that what it
// needs is not the product's.
func build(args ...string) (said []byte, err error) {
	return exec.Command("go", append([]string{"-C", "..", "build"}, args...)...).CombinedOutput()
}
