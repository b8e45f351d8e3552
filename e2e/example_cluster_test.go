package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// buildExample compiles the cluster that the examples have for trying.
func buildExample(t *testing.T) string {
	t.Helper()
	for _, programs := range [][]string{{"psql"}, {"redis-server", "valkey-server"}} {
		found := false
		for _, program := range programs {
			_, err := exec.LookPath(program)
			found = found || err == nil
		}
		if found {
			continue
		}
		if os.Getenv("CI") != "" {
			t.Fatalf("CI needs one of %v for this test", programs)
		}
		t.Skipf("SKIPPED, NOT TESTED: none of %v is installed", programs)
	}
	program := filepath.Join(t.TempDir(), "cluster")
	if said, err := build("-o", program, "./examples/cluster"); err != nil {
		t.Fatalf("build the example: %v\n%s", err, said)
	}
	return program
}

// startExample starts the cluster of the examples.
func startExample(t *testing.T, args ...string) *process {
	t.Helper()
	cmd := exec.Command(buildExample(t), append([]string{"--listen", "127.0.0.1:0", "--tallygate", binary}, args...)...)
	return spawn(t, cmd)
}

// leavesNothing makes sure that what the cluster said it started has ended, and that its folder is gone.
func leavesNothing(t *testing.T, p *process) {
	t.Helper()
	for _, address := range regexp.MustCompile(`127\.0\.0\.1:[0-9]+`).FindAllString(p.stdout.String(), -1) {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			t.Errorf("somebody still answers at %s", address)
		}
	}
	if _, err := os.Stat(exampleFolder(t, p)); err == nil {
		t.Errorf("%s is left", exampleFolder(t, p))
	}
}

func exampleFolder(t *testing.T, p *process) string {
	t.Helper()
	_, after, found := strings.Cut(p.stdout.String(), "Logs are in ")
	folder, _, ends := strings.Cut(after, ". ")
	if !found || !ends {
		t.Fatalf("the cluster does not say where its logs are:\n%s", p.stdout)
	}
	return folder
}

// TestExampleClusterGoesOnWithoutANodeRedisAndItsPrimary is the example's own check.
func TestExampleClusterGoesOnWithoutANodeRedisAndItsPrimary(t *testing.T) {
	t.Parallel()
	p := startExample(t, "--once")
	if code := p.exitCode(t); code != 0 {
		t.Fatalf("the cluster ended with %d:\n%s%s", code, p.stdout, p.stderr)
	}
	if !strings.Contains(p.stdout.String(), "each was paid once") {
		t.Errorf("the cluster does not say what became of its jobs:\n%s", p.stdout)
	}
	leavesNothing(t, p)
}

// TestExampleClusterPrintsLinesToPaste runs what the example prints for its reader, in one shell and that order, then
// ends it as its reader would.
func TestExampleClusterPrintsLinesToPaste(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("CI needs curl for this test")
		}
		t.Skip("SKIPPED: no curl")
	}
	p := startExample(t)
	until(t, "the cluster says how to end it", func() bool {
		if p.gone() {
			t.Fatalf("the cluster ended (%v):\n%s%s", p.cmd.ProcessState, p.stdout, p.stderr)
		}
		return strings.Contains(p.stdout.String(), "Ctrl-C")
	})
	_, after, _ := strings.Cut(p.stdout.String(), "Lines to paste")
	_, after, _ = strings.Cut(after, "\n")
	lines, _, _ := strings.Cut(after, "Logs are in ")
	said := runCommand(t, "sh", nil, lines, "-e").exits(0).stdout
	for _, want := range []string{`"status":"queued"`, `"ok":true`, `"held":"0.00"`, `"nodes":2`, "pg_promote", "every balance equals"} {
		if !strings.Contains(said, want) {
			t.Errorf("the lines do not come to %s:\n%s\n%s", want, lines, said)
		}
	}
	if wrong := regexp.MustCompile(`"error":\{"code":"[A-Z_]+"`).FindString(said); wrong != "" {
		t.Errorf("one of the lines is answered %s:\n%s\n%s", wrong, lines, said)
	}
	node := exampleNode(t, p, "node-2")
	p.signal(os.Interrupt)
	if code := p.exitCode(t); code != 0 {
		t.Errorf("the cluster ended with %d after an interrupt:\n%s", code, p.stderr)
	}
	leavesNothing(t, p)
	if syscall.Kill(node, 0) != syscall.ESRCH {
		t.Errorf("process %d is left", node)
	}
}

// exampleNode is the number of a process that the example started.
func exampleNode(t *testing.T, p *process, name string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(exampleFolder(t, p), name+".pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// TestExampleClusterFilesNameSettingsThatExist looks for settings that were renamed, or never were, in the files that
// people copy.
func TestExampleClusterFilesNameSettingsThatExist(t *testing.T) {
	t.Parallel()
	help := run(t, nil, "serve", "--help").exits(0).stdout
	for _, name := range []string{"compose.yaml", "systemd/cluster.env", "systemd/tallygate@.service"} {
		text, err := os.ReadFile(filepath.Join("../examples/cluster", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, variable := range regexp.MustCompile(`TALLYGATE_[A-Z_]+`).FindAllString(string(text), -1) {
			flag := "--" + strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(variable, "TALLYGATE_"), "_", "-"))
			if !strings.Contains(help, flag+"=") {
				t.Errorf("%s sets %s, but serve has no %s", name, variable, flag)
			}
		}
	}
}
