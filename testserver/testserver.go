// Package testserver starts real servers for tests, and for trying a cluster on one machine: PostgreSQL with standbys,
// PgBouncer, Redis, and a proxy that cuts and hangs connections. They listen on loopback, keep their data in one
// temporary folder and end with the process that started them, however it ends; the folder goes then, too. Whoever can
// log in to the machine can use them: they are no place for data.
//
// A server whose program is not installed skips the test; where CI is set, it fails it.
package testserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tallygate/tallygate/child"
)

const (
	// patience is how long a server may take to start, end or catch up.
	patience = time.Minute
	// glance is the time between two looks at a server that is changing its state.
	glance = 10 * time.Millisecond
	// account is who the servers run as where this process is root: PostgreSQL and PgBouncer refuse to be root.
	account = "postgres"
)

// errMissing is wrapped by the errors that tell of a program that is not installed.
var errMissing = errors.New("is not on this machine")

// must ends the test on an error; a missing program only skips it, but not in CI.
func must(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, errMissing) && os.Getenv("CI") == "":
		t.Skipf("SKIPPED, NOT TESTED: %v", err)
	default:
		t.Fatal(err)
	}
}

// find returns the first of the programs that is installed.
func find(remedy string, programs ...string) (string, error) {
	for _, program := range programs {
		for _, path := range []string{program, "/usr/sbin/" + program} {
			if found, err := exec.LookPath(path); err == nil {
				return found, nil
			}
		}
	}
	return "", fmt.Errorf("%s %w: %s", programs[0], errMissing, remedy)
}

// keeper waits for the end of its standard input, which is the end of the process that started it, then removes what
// the servers left: the segments by which PostgreSQL guards its folders, and the folder.
const keeper = `trap "" HUP INT TERM
cat >/dev/null
for pid in "$0"/*/data/postmaster.pid; do
	if [ -f "$pid" ]; then ipcrm -m "$(sed -n '7s/.* //p' "$pid")"; fi
done
for try in 1 2 3 4 5 6 7 8 9; do rm -rf "$0" && break; sleep 1; done`

// kept is the folder that all servers of this process share.
type kept struct {
	folder   string
	lifeline io.Closer // the keeper's standard input: held, so that only the end of this process closes it
}

var root = sync.OnceValues(func() (k kept, err error) {
	if k.folder, err = os.MkdirTemp("", "tallygate-test-"); err != nil {
		return k, err
	}
	if err := os.Chmod(k.folder, 0o711); err != nil { // the account passes through
		return k, err
	}
	cmd := exec.Command("sh", "-c", keeper, k.folder)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's Ctrl-C is not for it
	if k.lifeline, err = cmd.StdinPipe(); err != nil {
		return k, err
	}
	return k, cmd.Start()
})

// newFolder makes a folder that belongs to the account.
func newFolder(name string) (string, error) {
	root, err := root()
	if err != nil {
		return "", err
	}
	folder, err := os.MkdirTemp(root.folder, name+"-")
	if err != nil {
		return "", err
	}
	return folder, own(folder)
}

// own gives a file to the account.
func own(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	uid, gid, err := lookup()
	if err != nil {
		return err
	}
	return os.Chown(path, uid, gid)
}

func lookup() (uid, gid int, err error) {
	u, err := user.Lookup(account)
	if err != nil {
		return 0, 0, fmt.Errorf("the user %s, who runs the servers of tests that root runs, %w: "+
			"apt-get install postgresql, or run the tests as another user (%v)", account, errMissing, err)
	}
	if uid, err = strconv.Atoi(u.Uid); err != nil {
		return 0, 0, err
	}
	gid, err = strconv.Atoi(u.Gid)
	return uid, gid, err
}

// spec is a program in the folder, run by the account where this process is root. Changing the user makes the kernel
// forget that the program is to end with this process, hence setpriv, which says it again.
func spec(folder string, log io.Writer, program string, args ...string) (child.Spec, error) {
	s := child.Spec{Name: filepath.Base(program), Program: "sh", Log: log, Alone: true}
	become := ""
	if os.Geteuid() == 0 {
		uid, gid, err := lookup()
		if err != nil {
			return s, err
		}
		become = fmt.Sprintf("setpriv --reuid=%d --regid=%d --init-groups --pdeathsig=KILL -- ", uid, gid)
	}
	s.Args = append([]string{"-c", `cd "$0" && exec ` + become + `"$@"`, folder, program}, args...)
	return s, nil
}

// run runs a program to its end and returns what it printed.
func run(ctx context.Context, folder, program string, args ...string) (string, error) {
	s, err := spec(folder, nil, program, args...)
	if err != nil {
		return "", err
	}
	c, err := child.Start(ctx, s)
	if err != nil {
		return "", err
	}
	err = c.Wait()
	return c.Output(), err
}

// freePort finds a loopback port that nobody listens on. It lies below those that systems give to outgoing
// connections, so that a server that was ended finds it free again.
func freePort() (int, error) {
	for range 100 {
		port := 12000 + rand.IntN(20000)
		l, err := net.Listen("tcp", address(port))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("found no free port between 12000 and 32000 on 127.0.0.1")
}

func address(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

// onFreePort starts a server on a free port; on another one if somebody took the first meanwhile.
func onFreePort(start func(port int) error) error {
	for tries := 1; ; tries++ {
		port, err := freePort()
		if err != nil {
			return err
		}
		if err := start(port); err == nil || tries == 5 || free(port) {
			return err
		}
	}
}

func free(port int) bool {
	l, err := net.Listen("tcp", address(port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// withHost is a server's URL with another host:port.
func withHost(server, host string) string {
	u := parse(server)
	u.Host = host
	return u.String()
}

// parse reads a URL that this package or a test's author wrote.
func parse(server string) *url.URL {
	u, err := url.Parse(server)
	if err != nil {
		panic("testserver: " + err.Error())
	}
	return u
}

// await looks until the condition holds, for the server's patience. A server that ended holds no condition any more.
func await(ctx context.Context, ended <-chan struct{}, holds func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := holds(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ended:
			return errors.New("it ended")
		case <-ctx.Done():
			return fmt.Errorf("not after %v: %w", patience, err)
		case <-time.After(glance):
		}
	}
}

// signal sends one to the process, which may have ended meanwhile.
func signal(c *child.Child, s syscall.Signal) {
	select {
	case <-c.Ended():
	default:
		_ = syscall.Kill(c.PID(), s)
	}
}

// log keeps the end of what a server says.
type log struct {
	mu   sync.Mutex
	tail bytes.Buffer
}

const logLimit = 4 << 10

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail.Write(p)
	l.tail.Next(max(0, l.tail.Len()-logLimit))
	return len(p), nil
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tail.String()
}
