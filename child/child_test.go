package child_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/tallygate/tallygate/child"
)

// actVariable has this test binary act as a child instead.
const actVariable = "TALLYGATE_CHILD_TEST"

func TestMain(m *testing.M) {
	stop := make(chan os.Signal, 1)
	switch os.Getenv(actVariable) {
	case "":
		os.Exit(m.Run())
	case "serve":
		signal.Notify(stop, syscall.SIGTERM)
		input, _ := io.ReadAll(os.Stdin)
		fmt.Fprintf(os.Stderr, "told %s\n", input)
		fmt.Printf("starting\n%shttp://127.0.0.1:4321\n", child.Listening)
		<-stop
		fmt.Println("stopped in order")
	case "fail":
		fmt.Println("starting")
		fmt.Fprintln(os.Stderr, "no such database")
		os.Exit(3)
	case "hang":
		signal.Notify(stop, syscall.SIGUSR1) // SIGTERM keeps its effect
		<-stop
	}
}

func start(ctx context.Context, t *testing.T, act string, log io.Writer) *child.Child {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c, err := child.Start(ctx, child.Spec{Name: act, Program: program, Env: []string{actVariable + "=" + act}, Stdin: strings.NewReader("words"), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	return c
}

func TestAServerIsFoundAndStopped(t *testing.T) {
	var log strings.Builder
	c := start(t.Context(), t, "serve", &log)
	address, err := c.Address(t.Context())
	if err != nil || address != "http://127.0.0.1:4321" {
		t.Fatalf("address %q: %v", address, err)
	}
	if c.PID() == os.Getpid() || c.PID() <= 0 {
		t.Errorf("process %d", c.PID())
	}
	c.Stop()
	select {
	case <-c.Ended():
	default:
		t.Error("stopped, but not ended")
	}
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
	if want := "starting\n" + child.Listening + "http://127.0.0.1:4321\nstopped in order\n"; c.Output() != want {
		t.Errorf("output %q, want %q", c.Output(), want)
	}
	if log.String() != "told words\n" {
		t.Errorf("log %q", log.String())
	}
	c.Stop() // again does nothing
}

func TestAChildThatEndsEarlyIsToldWithItsLastWords(t *testing.T) {
	c := start(t.Context(), t, "fail", nil)
	if address, err := c.Address(t.Context()); err == nil || err.Error() != "fail ended before it listened: exit status 3: no such database" {
		t.Errorf("address %q: %v", address, err)
	}
	if err := c.Wait(); err == nil || err.Error() != "fail: exit status 3: no such database" {
		t.Error(err)
	}
	if c.Output() != "starting\n" {
		t.Errorf("output %q", c.Output())
	}
}

func TestAChildEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := start(ctx, t, "hang", nil)
	cancel()
	if address, err := c.Address(ctx); err == nil {
		t.Errorf("address %q", address)
	}
	if err := c.Wait(); err == nil {
		t.Error("a child that was ended by a signal has no error")
	}
}

func TestWaitingForAnAddressEnds(t *testing.T) {
	c := start(t.Context(), t, "hang", nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Address(ctx); !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), "hang does not listen: ") {
		t.Error(err)
	}
}

func TestAProgramThatIsNotThereIsNamed(t *testing.T) {
	_, err := child.Start(t.Context(), child.Spec{Name: "server", Program: t.TempDir() + "/none"})
	if !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), "server: ") {
		t.Error(err)
	}
}
