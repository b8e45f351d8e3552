package testserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tallygate/tallygate/child"
)

// RedisServer is a Redis or Valkey of the test's own. It writes nothing to disk unless its arguments say so.
type RedisServer struct {
	URL     string
	t       testing.TB
	program string
	folder  string
	config  string // the file of a Sentinel, which writes there, too; empty: none
	port    int
	args    []string
	process *child.Child
}

// Redis starts a server; the arguments are redis-server's own, such as "--maxmemory", "1mb".
func Redis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	s := newRedis(t)
	s.args = args
	must(t, onFreePort(s.startOn))
	t.Cleanup(s.Kill)
	return s
}

// Sentinel starts a Redis Sentinel that tells whoever asks for the name where its primary is: at the address, HOST:PORT.
func Sentinel(t testing.TB, name, primary string) *RedisServer {
	t.Helper()
	s := newRedis(t)
	host, port, err := net.SplitHostPort(primary)
	must(t, err)
	s.config = filepath.Join(s.folder, "sentinel.conf")
	must(t, os.WriteFile(s.config, fmt.Appendf(nil, "sentinel monitor %s %s %s 1\n", name, host, port), 0o600))
	must(t, own(s.config))
	s.args = []string{"--sentinel"}
	must(t, onFreePort(s.startOn))
	t.Cleanup(s.Kill)
	return s
}

func newRedis(t testing.TB) *RedisServer {
	t.Helper()
	program, err := find("apt-get install redis-server", "redis-server", "valkey-server")
	must(t, err)
	folder, err := newFolder("redis")
	must(t, err)
	return &RedisServer{t: t, program: program, folder: folder}
}

// Start starts the server again, on its port, and returns when it answers.
func (s *RedisServer) Start() {
	s.t.Helper()
	must(s.t, s.start())
}

func (s *RedisServer) startOn(port int) error {
	s.port, s.URL = port, "redis://"+address(port)
	return s.start()
}

// start starts the server and waits until it answers.
func (s *RedisServer) start() error {
	var args []string
	if s.config != "" {
		args = append(args, s.config) // has to be the first
	}
	args = append(args, "--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.folder, "--save", "", "--appendonly", "no")
	spec, err := spec(s.folder, nil, s.program, append(args, s.args...)...)
	if err != nil {
		return err
	}
	process, err := child.Start(context.Background(), spec)
	if err != nil {
		return err
	}
	s.process = process
	if err := await(context.Background(), s.process.Ended(), s.answers); err != nil {
		s.Kill()
		return fmt.Errorf("%s does not start: %w; it says:\n%s", filepath.Base(s.program), err, s.process.Output())
	}
	return nil
}

// answers says whether the server answers PING: with an error where it wants a password, but not while it loads.
func (s *RedisServer) answers(ctx context.Context) error {
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, "tcp", address(s.port))
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second)) // without it, the read waits longer
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && strings.HasPrefix(line, "-LOADING") {
		err = errors.New("it still loads its data")
	}
	return err
}

// Kill ends the server with SIGKILL.
func (s *RedisServer) Kill() {
	signal(s.process, syscall.SIGKILL)
	<-s.process.Ended()
}

// Pause stops the server where it stands: it keeps its connections and answers nobody.
func (s *RedisServer) Pause() { signal(s.process, syscall.SIGSTOP) }

// Resume lets a paused server go on.
func (s *RedisServer) Resume() { signal(s.process, syscall.SIGCONT) }
