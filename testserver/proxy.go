package testserver

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// TCPProxy stands between clients and a server, and takes the network away from them.
type TCPProxy struct {
	Addr   string // where it listens, host:port
	URL    string // the target's, through the proxy; empty where the target was a host:port
	t      testing.TB
	target string

	mu       sync.Mutex
	listener net.Listener // nil: it refuses
	conns    map[net.Conn]bool
	open     chan struct{} // closed while bytes may pass
	running  sync.WaitGroup
}

// Proxy starts a proxy before a server, named by its URL or host:port, for the test.
func Proxy(t testing.TB, target string) *TCPProxy {
	t.Helper()
	p := &TCPProxy{t: t, target: target, conns: map[net.Conn]bool{}, open: make(chan struct{})}
	close(p.open)
	isURL := strings.Contains(target, "://")
	if isURL {
		p.target = parse(target).Host
	}
	must(t, onFreePort(func(port int) error {
		p.Addr = address(port)
		return p.listen()
	}))
	if isURL {
		p.URL = withHost(target, p.Addr)
	}
	t.Cleanup(func() {
		p.Cut()
		p.running.Wait()
	})
	return p
}

// Cut closes all connections and refuses new ones.
func (p *TCPProxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		p.listener.Close()
		p.listener = nil
	}
	for c := range p.conns {
		c.Close()
	}
	clear(p.conns)
	p.unhang() // what was held back finds its connection closed
}

// Hang accepts connections but passes nothing, nor what the open ones send; no end tells anybody so.
func (p *TCPProxy) Hang() {
	p.t.Helper()
	p.mu.Lock()
	p.unhang()
	p.open = make(chan struct{})
	p.mu.Unlock()
	must(p.t, p.listen())
}

// Resume lets connections through again. What hung is passed on late, as a network that comes back would.
func (p *TCPProxy) Resume() {
	p.t.Helper()
	p.mu.Lock()
	p.unhang()
	p.mu.Unlock()
	must(p.t, p.listen())
}

// unhang lets bytes pass; the caller holds the lock.
func (p *TCPProxy) unhang() {
	select {
	case <-p.open:
	default:
		close(p.open)
	}
}

// listen accepts connections, unless it does already.
func (p *TCPProxy) listen() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		return nil
	}
	l, err := net.Listen("tcp", p.Addr)
	if err != nil {
		return err
	}
	p.listener = l
	p.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // it was cut
			}
			p.running.Go(func() { p.serve(l, c) })
		}
	})
	return nil
}

// serve connects a client, accepted by a listener, with the server.
func (p *TCPProxy) serve(l net.Listener, client net.Conn) {
	defer p.drop(client)
	if !p.keep(l, client) {
		return
	}
	p.wait()
	server, err := net.DialTimeout("tcp", p.target, 5*time.Second)
	if err != nil {
		return
	}
	defer p.drop(server)
	if !p.keep(l, server) {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { p.pass(client, server) })
	p.pass(server, client)
	back.Wait()
}

// keep notes a connection, to be closed by Cut, unless that came first.
func (p *TCPProxy) keep(l net.Listener, c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != l {
		return false
	}
	p.conns[c] = true
	return true
}

func (p *TCPProxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	c.Close()
}

// wait returns when bytes may pass.
func (p *TCPProxy) wait() {
	p.mu.Lock()
	open := p.open
	p.mu.Unlock()
	<-open
}

// pass copies one direction to its end. An end that is not an orderly one closes the other direction, too.
func (p *TCPProxy) pass(to, from net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		p.wait()
		if _, failed := to.Write(buffer[:n]); failed != nil {
			err = failed
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			_ = to.(*net.TCPConn).CloseWrite() // it may be closed
			return
		default:
			p.drop(to)
			p.drop(from)
			return
		}
	}
}
