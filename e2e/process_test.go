package e2e

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience ends tests that hang. Nothing that passes depends on it.
const patience = 60 * time.Second

// until waits for the condition to hold.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !holds() {
		select {
		case <-look.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// process is a child that the suite started and will end.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr *output
	ended          chan struct{} // closed once it is gone and all it said is read
}

// output is what a stream has said so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// spawn starts the command. It is killed at the end of the test, if it is still there, and with the suite.
func spawn(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, stdout: &output{}, stderr: &output{}, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.stdout, p.stderr
	cmd.SysProcAttr = dieWithParent(cmd.SysProcAttr)
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", cmd.Path, err)
	}
	go func() {
		_ = cmd.Wait() // how it ended is in ProcessState
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.signal(syscall.SIGKILL)
		<-p.ended
	})
	return p
}

// signal sends the signal unless the process has ended.
func (p *process) signal(s os.Signal) {
	if !p.gone() {
		_ = p.cmd.Process.Signal(s) // it may have ended meanwhile
	}
}

func (p *process) gone() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// exitCode waits for the end; -1 stands for a signal.
func (p *process) exitCode(t testing.TB) int {
	t.Helper()
	until(t, p.cmd.Path+" ends", p.gone)
	return p.cmd.ProcessState.ExitCode()
}

// said waits for a line of the standard output that begins with prefix and returns the rest of it.
func (p *process) said(t testing.TB, prefix string) string {
	t.Helper()
	var rest string
	until(t, "the output says "+prefix, func() bool {
		gone := p.gone() // looked at first: what it said last is then there
		for line := range strings.Lines(p.stdout.String()) {
			if after, ok := strings.CutPrefix(line, prefix); ok && strings.HasSuffix(after, "\n") {
				rest = strings.TrimSpace(after)
				return true
			}
		}
		if gone {
			t.Fatalf("%s ended (%v) without saying %q:\n%s%s", p.cmd.Path, p.cmd.ProcessState, prefix, p.stdout, p.stderr)
		}
		return false
	})
	return rest
}

// ran is how a command ended.
type ran struct {
	t              testing.TB
	line           string
	code           int
	stdout, stderr string
}

// run runs the binary under test to its end.
func run(t testing.TB, env []string, args ...string) ran {
	t.Helper()
	return runCommand(t, binary, env, "", args...)
}

// runCommand runs a program to its end, with stdin as its standard input.
func runCommand(t testing.TB, program string, env []string, stdin string, args ...string) ran {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	cmd.SysProcAttr = dieWithParent(nil)
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("run %s %s: %v", program, strings.Join(args, " "), err)
	}
	return ran{t, program + " " + strings.Join(args, " "), cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// exits makes sure of the exit code.
func (r ran) exits(code int) ran {
	r.t.Helper()
	if r.code != code {
		r.t.Fatalf("%s: exit code %d, want %d\n%s%s", r.line, r.code, code, r.stdout, r.stderr)
	}
	return r
}

// json is the standard output, which has to be one JSON document.
func (r ran) json() value {
	r.t.Helper()
	return decode(r.t, r.line, []byte(r.stdout))
}

// copyFile copies a file; one that does not exist is skipped.
func copyFile(t testing.TB, to, from string) {
	t.Helper()
	in, err := os.Open(from)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}
