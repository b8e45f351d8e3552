package testserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/tallygate/tallygate/child"
)

// startVariable has TestStartAndWait start every server and wait to be killed.
const startVariable = "TALLYGATE_TESTSERVER_START"

func TestStartAndWait(t *testing.T) {
	if os.Getenv(startVariable) == "" {
		return // this is only for the test that kills it
	}
	own := NewPostgres(t, PostgresOptions{})
	root, err := root()
	must(t, err)
	addresses := []string{parse(Postgres(t).URL()).Host, parse(own.URL()).Host, parse(own.Standby(t, true).URL()).Host,
		parse(PgBouncer(t, own.URL(), "session")).Host, parse(Redis(t).URL).Host}
	fmt.Printf("\n%s%s %s\n", child.Listening, root.folder, strings.Join(addresses, " "))
	select {}
}

func TestServersEndWithAProcessThatIsKilled(t *testing.T) {
	must(t, func() error { _, err := postgresPrograms(); return err }())
	program, err := os.Executable()
	must(t, err)
	c, err := child.Start(t.Context(), child.Spec{Name: "test", Program: program, Args: []string{"-test.run=^TestStartAndWait$"},
		Env: []string{startVariable + "=1", PostgresVariable + "="}})
	must(t, err)
	t.Cleanup(c.Stop)
	line, err := c.Address(t.Context())
	if err != nil {
		t.Fatalf("%v\n%s", err, c.Output())
	}
	folder, addresses := strings.Fields(line)[0], strings.Fields(line)[1:]
	for _, address := range addresses {
		if !answers(address) {
			t.Errorf("%s does not answer", address)
		}
	}
	signal(c, syscall.SIGKILL)
	err = await(context.Background(), nil, func(context.Context) error {
		if i := slices.IndexFunc(addresses, answers); i >= 0 {
			return fmt.Errorf("%s still answers", addresses[i])
		}
		if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%s is still there: %v", folder, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func answers(address string) bool {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// verdict records how a test would have ended.
type verdict struct {
	testing.TB
	is string
}

func (v *verdict) Helper()           {}
func (v *verdict) Fatal(args ...any) { v.is = "failed: " + fmt.Sprint(args...) }
func (v *verdict) Skipf(format string, args ...any) {
	v.is = "skipped: " + fmt.Sprintf(format, args...)
}

func TestAMissingProgramSkipsATestButNotInCI(t *testing.T) {
	_, err := find("apt-get install nothing", "no-such-server", "no-such-server-either")
	for ci, want := range map[string]string{
		"":     "skipped: SKIPPED, NOT TESTED: no-such-server is not on this machine: apt-get install nothing",
		"true": "failed: no-such-server is not on this machine: apt-get install nothing",
	} {
		t.Setenv("CI", ci)
		v := &verdict{}
		must(v, err)
		if v.is != want {
			t.Errorf("CI=%q: %s", ci, v.is)
		}
	}
	v := &verdict{}
	t.Setenv("CI", "")
	must(v, errors.New("it broke"))
	if v.is != "failed: it broke" {
		t.Errorf("an error that is no missing program: %s", v.is)
	}
}

func TestAPortThatSomebodyTookIsGivenUpForAnother(t *testing.T) {
	var ports []int
	err := onFreePort(func(port int) error {
		ports = append(ports, port)
		if len(ports) > 1 {
			return nil
		}
		l, err := net.Listen("tcp", address(port))
		must(t, err)
		t.Cleanup(func() { l.Close() })
		return errors.New("somebody was faster")
	})
	if err != nil || len(ports) != 2 || ports[0] == ports[1] {
		t.Errorf("ports %v: %v", ports, err)
	}
	broken := errors.New("it does not start anywhere")
	if err := onFreePort(func(int) error { return broken }); err != broken {
		t.Errorf("a failure for another reason: %v", err)
	}
}
