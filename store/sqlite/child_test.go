package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/store/sqlite"
)

// Some things happen to whole processes: the test binary runs itself again as one of these.
const (
	childRole = "TALLYGATE_TEST_CHILD"
	childPath = "TALLYGATE_TEST_PATH"
)

func TestMain(m *testing.M) {
	roles := map[string]func(path string) error{"hold": hold, "fill": fill, "refused": refused}
	if role := roles[os.Getenv(childRole)]; role != nil {
		if err := role(os.Getenv(childPath)); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child prepares the test binary to run in a role.
func child(t *testing.T, role, path string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), childRole+"="+role, childPath+"="+path)
	return cmd
}

// hold opens the store, writes notes and tells of each once it is on disk, until it is killed.
func hold(path string) error {
	s, err := sqlite.Open(context.Background(), sqlite.Options{Path: path})
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		if err := note(s, fmt.Sprint(i), []byte(strings.Repeat("x", 2000))); err != nil {
			return err
		}
		fmt.Println(i)
	}
}

// fill writes until its files may grow no more, has room made and goes on.
func fill(path string) error {
	signal.Ignore(syscall.SIGXFSZ) // so that writes fail instead
	s, err := sqlite.Open(context.Background(), sqlite.Options{Path: path})
	if err != nil {
		return err
	}
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		return err
	}
	tight := before
	tight.Cur = 1 << 20
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &tight); err != nil {
		return err
	}
	body := []byte(strings.Repeat("x", 100_000))
	written := 0
	for ; written < 100 && err == nil; written++ {
		err = note(s, fmt.Sprint("before ", written), body)
	}
	written--
	if e := tallygate.AsError(err); e.Code != tallygate.DatabaseError || e.RetryAfter == 0 {
		return fmt.Errorf("with no room after %d notes: %w", written, err)
	}
	if err := note(s, "still no room", body); !tallygate.IsCode(err, tallygate.DatabaseError) {
		return fmt.Errorf("again with no room: %w", err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		return err
	}
	if err := note(s, "after", body); err != nil {
		return fmt.Errorf("after room was made: %w", err)
	}
	err = s.View(context.Background(), func(tx tallygate.Tx) error {
		for key, want := range map[string]bool{
			"before 0": true, fmt.Sprint("before ", written-1): true, "after": true,
			fmt.Sprint("before ", written): false, "still no room": false,
		} {
			if rec, err := tx.Idempotency("cl_notes", key); err != nil || (rec != nil) != want {
				return fmt.Errorf("note %q is there: %v, %w", key, rec != nil, err)
			}
		}
		return nil
	})
	return errors.Join(err, s.Close())
}

// refused gives up the rights of root, which no file refuses, and tries to open a file that may only be read.
func refused(path string) error {
	if os.Getuid() == 0 {
		if err := errors.Join(syscall.Setgid(65534), syscall.Setuid(65534)); err != nil {
			return err
		}
	}
	s, err := sqlite.Open(context.Background(), sqlite.Options{Path: path})
	if err == nil {
		return errors.Join(errors.New("it was opened"), s.Close())
	}
	if !errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("refused for another reason: %w", err)
	}
	return nil
}
