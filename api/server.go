// Package api is the HTTP face of the server: routes, headers, JSON, and the one error contract. Every request passes
// the same checks in the same order (see edge.go) and every answer leaves through one place (answer.go), so that
// whatever happens a caller reads either a 200 or the contract's error body. It decides nothing about keys, money or
// jobs: those decisions are made in the rooms it calls. It never speaks to the store.
package api

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/access"
	"github.com/tallygate/tallygate/ledger"
	"github.com/tallygate/tallygate/queue"
)

// Options configure a Server. Access, Ledger and Queue are required; the rest has defaults.
type Options struct {
	Access   *access.Service
	Ledger   *ledger.Service
	Queue    *queue.Service
	Currency string // of every amount; default "USD"

	AllowedOrigins []string       // browsers' origins that may call, exact, or "*" for any
	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed

	MaxBody        int64                // bytes of one request body; default 4 MiB
	MaxInFlight    int                  // requests at work at once, those that wait on purpose aside; default 2,000
	MaxWaits       int                  // waits, streams and lease polls at once; default 20,000
	MaxClientWaits int                  // of those, one client's; default 1,000
	ShedDelay      time.Duration        // new requests are refused while a write waits longer for the store; default 1 s
	StoreDelay     func() time.Duration // how long the oldest waiting write has waited; nil: not looked at

	BodyTimeout    time.Duration // from the first byte of a request to the last of its body; default 30 s
	HandlerTimeout time.Duration // for a request that does not wait on purpose; default 20 s

	PublicURL string // stands before /docs/errors/CODE in the Link header; empty: a relative link
	Now       func() time.Time
	Log       *slog.Logger

	// Ready tells more for /readyz. Where its "status" is there and not "ok", the server counts as not ready, for
	// the "reason" given beside it.
	Ready func() map[string]any
}

// Defaults of Options.
const (
	DefaultMaxBody        = 4 << 20
	DefaultMaxInFlight    = 2000
	DefaultMaxWaits       = 20_000
	DefaultMaxClientWaits = 1000
	DefaultShedDelay      = time.Second
	DefaultBodyTimeout    = 30 * time.Second
	DefaultHandlerTimeout = 20 * time.Second
	DefaultCurrency       = "USD"
)

// The other limits of a connection.
const (
	headerTimeout  = 10 * time.Second
	idleTimeout    = 3 * time.Minute
	writeTime      = 10 * time.Second // at least, for the answer of a request that used up all its time
	commitTime     = time.Minute      // beyond its own time, for a request whose commit the database does not answer
	maxHeaderBytes = 64 << 10
)

// Server answers the API's requests. It is an http.Handler; Listen and HTTPServer make it a whole server.
type Server struct {
	opt     Options
	mux     *http.ServeMux
	pages   []page
	origins origins
	links   [][]string // the Link header of each code
	ids     tallygate.IDs
	started time.Time

	inFlight atomic.Int64 // requests at work
	inHand   atomic.Int64 // those and the ones that wait on purpose
	places   places
	life     context.Context // ends with Drain
	leaving  atomic.Bool     // ready no more, but not draining yet
	drain    context.CancelFunc

	counts   counts
	policies policies
	document document
}

// page is a handler outside the API that shares its address.
type page struct {
	prefix  string
	handler http.Handler
	methods []string // empty: any
	allow   []string // the Allow header, where another method came
}

// New makes a Server.
func New(opt Options) *Server {
	setDefault(&opt.Currency, DefaultCurrency)
	setDefault(&opt.MaxBody, DefaultMaxBody)
	setDefault(&opt.MaxInFlight, DefaultMaxInFlight)
	setDefault(&opt.MaxWaits, DefaultMaxWaits)
	setDefault(&opt.MaxClientWaits, DefaultMaxClientWaits)
	setDefault(&opt.ShedDelay, DefaultShedDelay)
	setDefault(&opt.BodyTimeout, DefaultBodyTimeout)
	setDefault(&opt.HandlerTimeout, DefaultHandlerTimeout)
	if opt.StoreDelay == nil {
		opt.StoreDelay = func() time.Duration { return 0 }
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{opt: opt, origins: newOrigins(opt.AllowedOrigins), started: opt.Now()}
	s.life, s.drain = context.WithCancel(context.Background())
	for _, code := range tallygate.Codes() {
		link := "<" + strings.TrimSuffix(opt.PublicURL, "/") + "/docs/errors/" + code.String() + `>; rel="help"`
		s.links = append(s.links, []string{link})
	}
	s.mux = newMux(routes())
	return s
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Handler answers the API's requests and those of the mounted pages.
func (s *Server) Handler() http.Handler { return s }

// Mount hands the requests for prefix, and for all paths below it, to h, past the API's checks. Where methods are named,
// a request with another one is answered as the API answers a wrong method. It is not to be called once requests come in.
func (s *Server) Mount(prefix string, h http.Handler, methods ...string) {
	s.pages = append(s.pages, page{prefix, h, methods, []string{strings.Join(methods, ", ")}})
}

// HTTPServer returns a server with this handler, its time limits, and the hooks that Listen's connections need.
func (s *Server) HTTPServer() *http.Server {
	return &http.Server{
		Handler:                      s,
		DisableGeneralOptionsHandler: true, // "OPTIONS *" is answered as every other request
		ReadHeaderTimeout:            headerTimeout,
		ReadTimeout:                  s.opt.BodyTimeout,
		WriteTimeout:                 s.opt.BodyTimeout + s.opt.HandlerTimeout + commitTime + writeTime,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHeaderBytes,
		ErrorLog:                     slog.NewLogLogger(s.opt.Log.Handler(), slog.LevelWarn),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if c, ok := c.(*conn); ok {
				return context.WithValue(ctx, connKey{}, c)
			}
			return ctx
		},
		ConnState: func(c net.Conn, state http.ConnState) {
			if c, ok := c.(*conn); ok && state == http.StateIdle {
				c.serving.Store(false)
			}
		},
	}
}

// Leave has /readyz say that the server goes down, so that a load balancer turns to others before requests are refused.
func (s *Server) Leave() { s.leaving.Store(true) }

// Drain makes the server refuse new requests with SERVICE_UNAVAILABLE and, by stopping the queue's leases and waits,
// end every wait with what is known. Requests in hand finish.
func (s *Server) Drain() {
	s.drain()
	s.opt.Queue.Stop()
}

// Finish returns when every request in hand has been answered, or with the context. It follows Drain; until the server
// is shut down, new requests go on to be refused.
func (s *Server) Finish(ctx context.Context) {
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for s.inHand.Load() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		}
	}
}

func (s *Server) draining() bool { return s.life.Err() != nil }
