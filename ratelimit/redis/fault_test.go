package redis

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/testserver"
)

// alone wants that the node decides by itself, that its callers are served, and the reason.
func alone(t *testing.T, s *ratelimit.Shared, reason string) {
	t.Helper()
	if d := s.Take(t.Context(), start, check("client", limit(1, 2), 1)); !d.OK || d.Name != "client" {
		t.Errorf("%+v, want the call admitted", d)
	}
	state := s.State()
	if state.Shared || state.Err == nil || !strings.Contains(state.Err.Error(), reason) {
		t.Errorf("%+v, want the node alone because of %q", state, reason)
	}
}

func TestAServerThatIsNotThereYetIsUsedWhenItComes(t *testing.T) {
	server := testserver.Redis(t)
	server.Kill()
	log := newNews()
	shared := open(t, server.URL, Options{Log: log.logger()})
	<-log.failed
	alone(t, shared, "refused")
	server.Start()
	<-log.back
	shared.Take(t.Context(), start, check("client", limit(1, 2), 0))
	if state := shared.State(); !state.Shared || state.Remote != 1 {
		t.Errorf("%+v, want the server to decide", state)
	}
}

func TestAServerThatDiesUnderLoadIsReplacedInTheSameCallAndComesBack(t *testing.T) {
	server := testserver.Redis(t)
	log := newNews()
	shared := open(t, server.URL, Options{Log: log.logger()})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	served := make(chan struct{})
	var calls sync.WaitGroup
	for range 16 {
		calls.Go(func() {
			for ctx.Err() == nil {
				if d := shared.Take(t.Context(), time.Now(), check("client", limit(1e6, 1e6), 1)); !d.OK {
					t.Errorf("refused within its limit: %+v", d)
				}
				select {
				case served <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 3 {
		for range 100 {
			<-served
		}
		server.Kill()
		<-log.failed
		server.Start()
		<-log.back
	}
	cancel()
	calls.Wait()
	if state := shared.State(); state.Lapses < 3 || state.Remote == 0 || state.Local == 0 {
		t.Errorf("%+v, want three lapses and decisions of both kinds", state)
	}
}

func TestAServerThatHangsCostsOneWaitAndComesBack(t *testing.T) {
	server := testserver.Redis(t)
	log := newNews()
	shared := open(t, server.URL, Options{Log: log.logger(), Timeout: 200 * time.Millisecond})
	sharing(t, shared)
	server.Pause()
	for range 1000 {
		if d := shared.Take(t.Context(), time.Now(), check("client", limit(1e6, 1e6), 1)); !d.OK {
			t.Fatalf("refused within its limit: %+v", d)
		}
	}
	if state := shared.State(); state.Lapses != 1 || state.Local != 1000 || state.Remote != 0 {
		t.Errorf("%+v, want one lapse and all of the calls decided here", state)
	}
	server.Resume()
	<-log.back
}

// A server that comes back empty gives away no burst that the nodes know of.
func TestAServerThatForgotEverythingIsToldWhatIsOwed(t *testing.T) {
	server := testserver.Redis(t)
	log := newNews()
	shared := open(t, server.URL, Options{Log: log.logger()})
	c := check("client", limit(0.001, 10), 10)
	if !shared.Take(t.Context(), start, c).OK {
		t.Fatal("the burst does not pass")
	}
	server.Kill()
	if d := shared.Take(t.Context(), start, c); d.OK {
		t.Errorf("the burst passes again when the server dies: %+v", d)
	}
	server.Start()
	<-log.back
	c.Cost = 1
	if d := shared.Take(t.Context(), start, c); d.OK || !shared.State().Shared {
		t.Errorf("the burst passes again when the server comes back: %+v", d)
	}
	other := open(t, server.URL, Options{})
	if d := other.Take(t.Context(), start, c); d.OK || !other.State().Shared {
		t.Errorf("another node has not heard of it: %+v", d)
	}
}

func TestAServerThatRefusesLeavesTheNodeAlone(t *testing.T) {
	t.Run("no password", func(t *testing.T) {
		server := testserver.Redis(t, "--requirepass", "hunter2")
		alone(t, open(t, server.URL, Options{}), "NOAUTH")
	})
	t.Run("a wrong password", func(t *testing.T) {
		server := testserver.Redis(t, "--requirepass", "hunter2")
		shared := open(t, strings.Replace(server.URL, "//", "//:hunter3@", 1), Options{})
		alone(t, shared, "WRONGPASS")
		if text := shared.State().Err.Error(); strings.Contains(text, "hunter") {
			t.Errorf("the error shows the password: %s", text)
		}
		sharing(t, open(t, strings.Replace(server.URL, "//", "//:hunter2@", 1), Options{}))
	})
	t.Run("a user without the right", func(t *testing.T) {
		server := testserver.Redis(t, "--user", "reader", "on", ">pw", "~*", "+@read", "+ping",
			"--user", "limiter", "on", ">pw", "~tallygate:*", "+eval", "+evalsha", "+mget", "+set", "+time", "+ping")
		alone(t, open(t, strings.Replace(server.URL, "//", "//reader:pw@", 1), Options{}), "NOPERM")
		sharing(t, open(t, strings.Replace(server.URL, "//", "//limiter:pw@", 1), Options{}))
	})
	t.Run("a replica", func(t *testing.T) {
		primary := testserver.Redis(t)
		host, port, _ := strings.Cut(strings.TrimPrefix(primary.URL, "redis://"), ":")
		replica := testserver.Redis(t, "--replicaof", host+" "+port)
		alone(t, open(t, replica.URL, Options{}), "READONLY")
	})
	t.Run("no memory left", func(t *testing.T) {
		server := testserver.Redis(t, "--maxmemory", "1", "--maxmemory-policy", "noeviction")
		alone(t, open(t, server.URL, Options{}), "OOM")
	})
}

func TestAServerThatTurnsReadOnlyWhileItIsUsed(t *testing.T) {
	server := testserver.Redis(t)
	log := newNews()
	shared := open(t, server.URL, Options{Log: log.logger()})
	sharing(t, shared)
	rdb := admin(t, server.URL)
	rdb.ReplicaOf(t.Context(), "127.0.0.1", "1")
	alone(t, shared, "READONLY")
	rdb.ReplicaOf(t.Context(), "NO", "ONE")
	<-log.back
}

func TestAClusterIsRefusedAtStart(t *testing.T) {
	server := testserver.Redis(t, "--cluster-enabled", "yes")
	shared, err := Open(t.Context(), server.URL, Options{Timeout: patient})
	if !errors.Is(err, ErrCluster) {
		t.Errorf("%v, want that a cluster can't be used", err)
	}
	if err == nil {
		shared.Close()
	}
}

// garbage is a server that answers whatever it gets with the same, and goes on listening. A polite one greets first.
func garbage(t *testing.T, answer string, polite bool) (url string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b := make([]byte, 1<<16)
				for {
					n, err := c.Read(b)
					if err != nil {
						return
					}
					say := answer
					switch got := strings.ToLower(string(b[:n])); {
					case polite && strings.Contains(got, "hello"):
						say = "-ERR unknown command\r\n"
					case polite && strings.Contains(got, "ping"):
						say = "+PONG\r\n"
					}
					if _, err := io.WriteString(c, say); err != nil || say == "" {
						return
					}
				}
			}()
		}
	}()
	return "redis://" + l.Addr().String()
}

func TestAServerThatAnswersGarbageLeavesTheNodeAlone(t *testing.T) {
	for name, answer := range map[string]string{
		"nothing":                 "",
		"another protocol":        "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
		"noise":                   "\x00\x01\x02\xff\xfe\r\n\r\n\x00",
		"a number":                ":1\r\n",
		"more than was asked for": strings.Repeat(":1\r\n", 100),
		"an empty list":           "*0\r\n",
		"a short list":            "*1\r\n:1\r\n",
		"a list of text":          "*5\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n",
		"negative times":          "*5\r\n:1\r\n:-5\r\n:0\r\n:-5\r\n:0\r\n",
		"too many nanoseconds":    "*5\r\n:1\r\n:0\r\n:1000000000\r\n:0\r\n:0\r\n",
		"an endless list":         "*4611686018427387904\r\n",
		"an endless string":       "$4611686018427387904\r\n",
		"a negative length":       "*-7\r\n$-9\r\n",
		"half a reply":            "*5\r\n:1\r\n:0",
		"an unknown error":        "-WHATEVER it is\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			for _, polite := range []bool{false, true} {
				shared := open(t, garbage(t, answer, polite), Options{Timeout: 100 * time.Millisecond})
				alone(t, shared, "")
				t.Log(shared.State().Err)
			}
		})
	}
}

func TestAPasswordThatTheServerTellsIsNotShown(t *testing.T) {
	url := garbage(t, "-ERR unknown command 'AUTH', with args beginning with: 'hunter2'\r\n", false)
	shared := open(t, strings.Replace(url, "//", "//:hunter2@", 1), Options{})
	alone(t, shared, "unknown command")
	if text := shared.State().Err.Error(); strings.Contains(text, "hunter2") {
		t.Errorf("the error shows the password: %s", text)
	}
}

func TestTLS(t *testing.T) {
	address, _ := encrypted(t, testserver.Redis(t))
	alone(t, open(t, "rediss://"+address, Options{}), "certificate")
	sharing(t, open(t, "rediss://"+address+"?skip_verify=true", Options{}))
	sharing(t, open(t, "valkeys://"+address+"?skip_verify=true", Options{}))
}

// TestTLSBehindSentinel: the primary is asked for its own certificate, not for the Sentinel's.
func TestTLSBehindSentinel(t *testing.T) {
	primary, asked := encrypted(t, testserver.Redis(t))
	sentinel, sentinelAsked := encrypted(t, testserver.Sentinel(t, "main", primary))
	_, port, err := net.SplitHostPort(sentinel)
	if err != nil {
		t.Fatal(err)
	}
	sharing(t, open(t, "rediss://localhost:"+port+"?master_name=main&skip_verify=true", Options{}))
	if name := <-sentinelAsked; name != "localhost" {
		t.Errorf("the Sentinel at localhost was asked for %q", name)
	}
	if name := <-asked; name != "" { // of an address no name is sent (RFC 6066, section 3)
		t.Errorf("the primary at %s was asked for %q", primary, name)
	}
}

// encrypted puts TLS before a server. It returns the address and the name that the first caller asks a certificate for.
func encrypted(t *testing.T, server *testserver.RedisServer) (address string, asked <-chan string) {
	t.Helper()
	web := httptest.NewUnstartedServer(nil) // for its certificate
	web.StartTLS()
	defer web.Close()
	names := make(chan string, 1) // the first
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: web.TLS.Certificates,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			select {
			case names <- hello.ServerName:
			default:
			}
			return nil, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go forward(c, strings.TrimPrefix(server.URL, "redis://"))
		}
	}()
	return l.Addr().String(), names
}

func forward(c net.Conn, address string) {
	defer c.Close()
	to, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer to.Close()
	go func() {
		defer to.Close()
		io.Copy(to, bufio.NewReader(c))
	}()
	io.Copy(c, to)
}

func TestACloseUnderLoadEndsEverything(t *testing.T) {
	server := testserver.Redis(t)
	r, err := dial(server.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	demand := []ratelimit.Demand{{Key: "k", Cost: 1, Room: 1, Tolerance: 2}}
	var calls sync.WaitGroup
	for range 64 {
		calls.Go(func() {
			for {
				if _, _, err := r.Take(t.Context(), demand); err != nil {
					return
				}
			}
		})
	}
	if _, _, err := r.Take(t.Context(), demand); err != nil {
		t.Fatal(err)
	}
	r.Close()
	calls.Wait()
	if _, _, err := r.Take(t.Context(), demand); !errors.Is(err, errClosed) {
		t.Errorf("after the end: %v", err)
	}
	if r.busy != 0 || len(r.waiting) != 0 {
		t.Errorf("%d lanes are busy, %d wait", r.busy, len(r.waiting))
	}
}
