package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A child is a process that this program started and will end.
type child struct {
	name   string
	cmd    *exec.Cmd
	ended  chan struct{}
	err    error // of its end; read after ended
	output *lines
	errors *lines
}

// grace is how long a child may take to end by itself after SIGTERM.
const grace = 10 * time.Second

// spawn starts the program with its standard input; it is ended with ctx, by
// stop, or with this process. Its standard error goes to log, too.
func spawn(ctx context.Context, name string, stdin io.Reader, log io.Writer, program string, args ...string) (*child, error) {
	c := &child{name: name, ended: make(chan struct{}), output: newLines(nil), errors: newLines(log)}
	c.cmd = exec.CommandContext(ctx, program, args...)
	c.cmd.Cancel = func() error { return c.cmd.Process.Signal(syscall.SIGTERM) }
	c.cmd.WaitDelay = grace
	c.cmd.SysProcAttr = dieWithParent()
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = stdin, c.output, c.errors
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
		return nil, fmt.Errorf("bench: %s: %w", name, err)
	}
	return c, nil
}

// wait returns when the child has ended, with what it last said if it failed.
func (c *child) wait() error {
	<-c.ended
	if c.err == nil {
		return nil
	}
	return fmt.Errorf("bench: %s: %w%s", c.name, c.err, c.said())
}

func (c *child) said() string {
	if text := strings.TrimSpace(c.errors.text()); text != "" {
		return ": " + text
	}
	return ""
}

// stop ends the child and waits for it.
func (c *child) stop() {
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

// address waits until a server says where it listens.
func (c *child) address(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		for line := range strings.Lines(c.output.text()) {
			if address, ok := strings.CutPrefix(line, listening); ok && strings.HasSuffix(address, "\n") {
				return strings.TrimSpace(address), nil
			}
		}
		select {
		case <-c.output.more:
		case <-c.ended:
			return "", fmt.Errorf("bench: %s ended before it listened: %v%s", c.name, c.err, c.said())
		case <-ctx.Done():
			return "", fmt.Errorf("bench: %s does not listen: %w%s", c.name, context.Cause(ctx), c.said())
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
		l.also.Write(p) // a log that cannot be written ends no measurement
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
