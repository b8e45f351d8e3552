package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tallygate/tallygate"
)

// balancer hands requests to the nodes that are ready, in turn. A request goes to another node only where the first one
// took no connection: there it cannot have had an effect. What went wrong later the caller is told, who alone knows
// whether to ask again.
type balancer struct {
	backends []*backend
	next     atomic.Uint64
	proxy    httputil.ReverseProxy
	dialer   net.Dialer
	asking   http.Client
	say      func(format string, args ...any) // who is in and who is out
}

// backend is a node as the balancer sees it.
type backend struct {
	name    string
	address string // host:port
	ready   atomic.Bool
}

const (
	askEvery    = 250 * time.Millisecond // whether a node is ready
	askPatience = time.Second
)

// servedBy names, in each answer, the node that it comes from.
const servedBy = "X-Served-By"

// errNoNode says that no node took the request.
var errNoNode = errors.New("no node is ready")

func newBalancer(say func(string, ...any), backends ...*backend) *balancer {
	b := &balancer{backends: backends, say: say, dialer: net.Dialer{Timeout: askPatience}}
	b.asking = http.Client{Timeout: askPatience, Transport: &http.Transport{DisableKeepAlives: true}}
	b.proxy = httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: "node"}) // which one, dial decides
			r.Out.Host = r.In.Host
			r.SetXForwarded() // instead of what the caller says of itself
		},
		// A connection of its own for each request: on one that was kept, nobody can tell a node that has just gone from
		// one that went in the middle of the work.
		Transport:    &http.Transport{DialContext: b.dial, DisableKeepAlives: true, DisableCompression: true},
		ErrorHandler: b.fail,
		ErrorLog:     log.New(silence{}, "", 0),
	}
	return b
}

type silence struct{}

func (silence) Write(p []byte) (int, error) { return len(p), nil }

// ServeHTTP passes a request on, and the answer back as it comes: an event stream event by event.
func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	trace := &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
		for _, n := range b.backends {
			if n.address == got.Conn.RemoteAddr().String() {
				w.Header().Set(servedBy, n.name)
			}
		}
	}}
	b.proxy.ServeHTTP(w, r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
}

// dial connects with the next node that is ready and takes the connection.
func (b *balancer) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	turn := b.next.Add(1)
	for i := range b.backends {
		n := b.backends[(turn+uint64(i))%uint64(len(b.backends))] //nolint:gosec // an index
		if !n.ready.Load() {
			continue
		}
		c, err := b.dialer.DialContext(ctx, network, n.address)
		if err == nil || ctx.Err() != nil {
			return c, err
		}
		b.set(n, false, reason(err))
	}
	return nil, errNoNode
}

// fail answers for the nodes.
func (b *balancer) fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, errNoNode) { // nothing was done: in the words of the nodes' own contract
		refusal := tallygate.Errorf(tallygate.ServiceUnavailable, "no node is ready; retry after a delay")
		body, _ := json.Marshal(map[string]any{"error": map[string]string{"code": refusal.Code.String(), "message": refusal.Message()}}) // of strings: it never fails
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(refusal.Code.Status())
		_, _ = w.Write(body)
		return
	}
	if r.Context().Err() != nil {
		return // nobody reads it
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusBadGateway)
	fmt.Fprintf(w, "%s went away before it answered: look what was done, or send the same Idempotency-Key again\n", w.Header().Get(servedBy))
}

// watch asks the nodes whether they are ready until the context ends.
func (b *balancer) watch(ctx context.Context) {
	var tasks sync.WaitGroup
	for _, n := range b.backends {
		tasks.Go(func() {
			ticker := time.NewTicker(askEvery)
			defer ticker.Stop()
			for ctx.Err() == nil {
				b.ask(ctx, n)
				select {
				case <-ctx.Done():
				case <-ticker.C:
				}
			}
		})
	}
	tasks.Wait()
}

// ask takes a node in that is ready, and one out that drains or is dead.
func (b *balancer) ask(ctx context.Context, n *backend) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.address+"/readyz", nil)
	if err != nil {
		b.set(n, false, err.Error())
		return
	}
	res, err := b.asking.Do(req)
	if err != nil {
		if ctx.Err() == nil {
			b.set(n, false, reason(err))
		}
		return
	}
	res.Body.Close()
	b.set(n, res.StatusCode == http.StatusOK, "it drains")
}

func (b *balancer) set(n *backend, ready bool, why string) {
	switch was := n.ready.Swap(ready); {
	case ready && !was:
		b.say("%s is in", n.name)
	case was && !ready:
		b.say("%s is out: %s", n.name, why)
	}
}

// reason is why a node took no connection, or gave no answer, in few words.
func reason(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "it refuses connections"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "it does not answer"
	}
	return "it broke off"
}
