// Package child starts processes that this program will end: they go with it, however it ends. It knows nothing of what
// they do, only where a server among them says that it listens.
package child

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Listening stands before a server's address in the line that it prints when it takes requests.
const Listening = "tallygate listening on "

// Spec says what to start.
type Spec struct {
	Name    string // for messages
	Program string
	Args    []string
	Env     []string  // added to this process's own
	Stdin   io.Reader // nil: nothing
	Log     io.Writer // gets the standard error, too; nil: nobody
	Alone   bool      // keep a terminal's Ctrl-C from it: this program ends it in its own order
}

// Child is a process that this program started and will end.
type Child struct {
	name   string
	cmd    *exec.Cmd
	ended  chan struct{}
	err    error // of its end; read after ended
	output *lines
	errors *lines
}

// grace is how long a child may take to end by itself after SIGTERM.
const grace = 10 * time.Second

// Start starts the program. It is ended with ctx, by Stop, or with this process.
func Start(ctx context.Context, spec Spec) (*Child, error) {
	c := &Child{name: spec.Name, ended: make(chan struct{}), output: newLines(nil), errors: newLines(spec.Log)}
	c.cmd = exec.CommandContext(ctx, spec.Program, spec.Args...)
	c.cmd.Cancel = func() error { return c.cmd.Process.Signal(syscall.SIGTERM) }
	c.cmd.WaitDelay = grace
	c.cmd.SysProcAttr = attributes(spec.Alone)
	c.cmd.Env = append(os.Environ(), spec.Env...)
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = spec.Stdin, c.output, c.errors
	started := make(chan error)
	go func() {
		// The kernel ties the child to the thread that starts it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		started <- err
		if err == nil {
			c.err = c.cmd.Wait()
			close(c.ended)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("%s: %w", spec.Name, err)
	}
	return c, nil
}

// PID is the process's number.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// Ended is closed when the child has ended.
func (c *Child) Ended() <-chan struct{} { return c.ended }

// Output is what it has written to its standard output.
func (c *Child) Output() string { return c.output.text() }

// Wait returns when the child has ended, with what it last said if it failed.
func (c *Child) Wait() error {
	<-c.ended
	if c.err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w%s", c.name, c.err, c.said())
}

func (c *Child) said() string {
	if text := strings.TrimSpace(c.errors.text()); text != "" {
		return ": " + text
	}
	return ""
}

// Stop ends the child and waits for it.
func (c *Child) Stop() {
	select {
	case <-c.ended:
		return
	default:
	}
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may have ended meanwhile
	select {
	case <-c.ended:
	case <-time.After(grace):
		_ = c.cmd.Process.Kill()
		<-c.ended
	}
}

// Address waits until a server says where it listens.
func (c *Child) Address(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		for line := range strings.Lines(c.output.text()) {
			if address, ok := strings.CutPrefix(line, Listening); ok && strings.HasSuffix(address, "\n") {
				return strings.TrimSpace(address), nil
			}
		}
		select {
		case <-c.output.more:
		case <-c.ended:
			return "", fmt.Errorf("%s ended before it listened: %v%s", c.name, c.err, c.said())
		case <-ctx.Done():
			return "", fmt.Errorf("%s does not listen: %w%s", c.name, context.Cause(ctx), c.said())
		}
	}
}

// lines keeps what a child writes, the beginning cut off past a megabyte.
type lines struct {
	mu   sync.Mutex
	kept bytes.Buffer
	also io.Writer
	more chan struct{}
}

const linesLimit = 1 << 20

func newLines(also io.Writer) *lines {
	return &lines{also: also, more: make(chan struct{}, 1)}
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept.Write(p)
	l.kept.Next(max(0, l.kept.Len()-linesLimit))
	if l.also != nil {
		_, _ = l.also.Write(p) // a log that cannot be written ends nothing
	}
	select {
	case l.more <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kept.String()
}
