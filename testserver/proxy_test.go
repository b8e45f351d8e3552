package testserver

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// echo is a server that sends back what it gets.
func echo(t *testing.T) string {
	t.Helper()
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
				io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// hears says whether words come back within a time.
func hears(t *testing.T, c net.Conn, words string, wait time.Duration) error {
	t.Helper()
	c.SetDeadline(time.Now().Add(wait))
	got := make([]byte, len(words))
	_, err := io.ReadFull(c, got)
	if err == nil && string(got) != words {
		t.Errorf("%q came back as %q", words, got)
	}
	return err
}

func speak(t *testing.T, c net.Conn, words string) {
	t.Helper()
	if _, err := c.Write([]byte(words)); err != nil {
		t.Fatal(err)
	}
}

func TestAProxyPassesBothWaysToTheEnd(t *testing.T) {
	c := dial(t, Proxy(t, echo(t)).Addr)
	speak(t, c, "hello")
	if err := hears(t, c, "hello", time.Minute); err != nil {
		t.Fatal(err)
	}
	speak(t, c, "bye")
	c.(*net.TCPConn).CloseWrite()
	if rest, err := io.ReadAll(c); err != nil || string(rest) != "bye" {
		t.Errorf("after the end of one way the other gives %q, %v", rest, err)
	}
}

func TestACutProxyClosesAndRefuses(t *testing.T) {
	p := Proxy(t, echo(t))
	c := dial(t, p.Addr)
	speak(t, c, "hello")
	if err := hears(t, c, "hello", time.Minute); err != nil {
		t.Fatal(err)
	}
	p.Cut()
	if err := hears(t, c, "x", time.Minute); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection is not closed: %v", err)
	}
	if _, err := net.Dial("tcp", p.Addr); err == nil {
		t.Error("a cut proxy accepts")
	}
	p.Resume()
	c = dial(t, p.Addr)
	speak(t, c, "again")
	if err := hears(t, c, "again", time.Minute); err != nil {
		t.Error(err)
	}
}

func TestAHangingProxyAcceptsAndHoldsBack(t *testing.T) {
	p := Proxy(t, echo(t))
	old := dial(t, p.Addr)
	speak(t, old, "hello")
	if err := hears(t, old, "hello", time.Minute); err != nil {
		t.Fatal(err)
	}
	p.Hang()
	fresh := dial(t, p.Addr)
	for _, c := range []net.Conn{old, fresh} {
		speak(t, c, "late")
		if err := hears(t, c, "late", 100*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("hanging: %v", err)
		}
	}
	p.Resume()
	for _, c := range []net.Conn{old, fresh} {
		if err := hears(t, c, "late", time.Minute); err != nil {
			t.Errorf("resumed: %v", err)
		}
	}
	p.Hang()
	p.Cut()
	if err := hears(t, old, "x", time.Minute); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("cut while it hung, the connection is not closed: %v", err)
	}
}

func TestAProxyOfAURLGivesAURL(t *testing.T) {
	p := Proxy(t, Postgres(t).Database(t))
	ask(t, p.URL, "SELECT 1")
	p.Cut()
	if _, err := query(t.Context(), p.URL, "SELECT 1"); err == nil {
		t.Error("it answers through a cut proxy")
	}
}
