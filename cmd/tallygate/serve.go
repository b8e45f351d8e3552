package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/access"
	"github.com/tallygate/tallygate/api"
	"github.com/tallygate/tallygate/executor"
	"github.com/tallygate/tallygate/ledger"
	"github.com/tallygate/tallygate/queue"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/store/postgres"
)

type serveCmd struct {
	settingFlags
}

func (serveCmd) Help() string {
	return "Prints the address on the standard output once it takes requests, and logs to the standard error. On SIGTERM it refuses new requests, " +
		"waits for work in hand, gives the rest back to the queue and exits. A flag goes before the environment, that before the file.\n\n" +
		"Example file:\n\n" +
		"    listen: 127.0.0.1:8080\n" +
		"    database: /var/lib/tallygate/tallygate.db\n" +
		"    public_url: https://jobs.example.com\n" +
		"    trusted_proxies: [10.0.0.0/8]\n" +
		"    job_types:\n" +
		"      - name: text.stats\n" +
		"        price: {base: 0.01}\n" +
		"        executor: {kind: pull}\n" +
		"\nExamples:\n\n" +
		"    tallygate serve --listen 127.0.0.1:8080 --database tallygate.db\n" +
		"    tallygate serve --config tallygate.yaml\n"
}

func (c *serveCmd) Run(ctx context.Context, a *app) error {
	settings, err := c.load()
	if err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400) // little is live and much is short-lived: memory is cheaper here than processor time
	}
	log := newLog(a.stderr, &settings)
	s, err := openServer(ctx, &settings, log)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", settings.Listen)
	if err != nil {
		return errors.Join(usagef("%w", err), s.close())
	}
	fmt.Fprintf(a.stdout, "tallygate listening on http://%s\n", listener.Addr())
	log.Info("listening", "address", listener.Addr().String(), "database", shownURL(settings.Database), "version", readBuild().Version)
	return s.run(ctx, listener)
}

func newLog(w io.Writer, c *config) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "text" {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

// server is the rooms over one store, wired.
type server struct {
	config   *config
	log      *slog.Logger
	store    tallygate.Store
	shared   *postgres.Store   // the store, where other nodes use it, too
	limiter  *ratelimit.Shared // nil: limits are kept in memory
	access   *access.Service
	ledger   *ledger.Service
	queue    *queue.Service
	executor *executor.Executor
	api      *api.Server
}

// openServer opens the store and puts the rooms over it: who may call, what it costs, what is to be done, who does
// it, and the HTTP face of it all. Then it makes sure of an operator's key and of the configured job types.
func openServer(ctx context.Context, c *config, log *slog.Logger) (*server, error) {
	types, err := jobTypes(c.JobTypes, handlerNames())
	if err != nil {
		return nil, usagef("%w", err)
	}
	if c.OperatorKey == "" && !isURL(c.Database) && !exists(c.Database) {
		return nil, notInitialised(c.Database)
	}
	store, err := openStore(ctx, c.Database, log)
	if err != nil {
		return nil, err
	}
	if c.OperatorKey == "" {
		err = mustHaveOperator(ctx, store, c.Database) // before anything is written, so that an empty database stays empty
	}
	if err == nil {
		c.Currency, err = fixCurrency(ctx, store, c.Currency)
	}
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	s := &server{config: c, log: log, store: store}
	ids := new(tallygate.IDs)
	s.shared, _ = store.(*postgres.Store)
	var clock func() time.Time
	var shared tallygate.Shared
	if s.shared != nil {
		clock, shared = s.shared.Clock, s.shared // keys expire by the clock that all nodes have in common
	}
	limiter, err := s.openLimiter(ctx)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	s.access = access.New(store, access.Options{Clock: clock, Limiter: limiter, IDs: ids, Currency: c.Currency, FailedAuth: c.failedAuth(), Log: log})
	guarded := s.access.Guard(store) // callers are decided about again where something is done for them
	s.ledger = ledger.New(guarded, ids)
	s.queue = queue.New(guarded, queue.Options{IDs: ids, Log: log, Handlers: handlerNames(), Shared: shared})
	s.executor = executor.New(executor.Options{Queue: s.queue, Handlers: builtinHandlers(), Log: log})
	s.api = api.New(api.Options{
		Access: s.access, Ledger: s.ledger, Queue: s.queue,
		Currency: c.Currency, PublicURL: c.PublicURL, AllowedOrigins: c.AllowedOrigins, TrustedProxies: c.TrustedProxies,
		MaxBody: c.MaxBody, MaxInFlight: c.MaxInFlight, ShedDelay: c.ShedDelay, StoreDelay: store.Delay,
		Ready: s.ready, Log: log,
	})
	mountDocs(s.api, c.PublicURL)
	if err := s.prepare(ctx, types); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// fixCurrency returns the currency of the store's amounts, which its first opening fixes. Another one is refused: it
// would give every stored amount another meaning.
func fixCurrency(ctx context.Context, store tallygate.Store, wanted string) (currency string, err error) {
	err = store.Update(ctx, func(tx tallygate.Tx) error {
		if currency, err = tx.Setting(tallygate.CurrencySetting); err != nil || currency != "" {
			return err
		}
		currency = cmp.Or(wanted, api.DefaultCurrency)
		return tx.SaveSetting(tallygate.CurrencySetting, currency)
	})
	if err == nil && wanted != "" && wanted != currency {
		err = usagef("the database's amounts are in %s: leave the currency out, or name another database for %s", currency, wanted)
	}
	return currency, err
}

// mustHaveOperator refuses a database that was never initialised.
func mustHaveOperator(ctx context.Context, store tallygate.Store, database string) error {
	return store.View(ctx, func(tx tallygate.Tx) error {
		operator, err := tx.Client(tallygate.OperatorClientID)
		if err == nil && operator == nil {
			err = notInitialised(database)
		}
		return err
	})
}

func notInitialised(database string) error {
	return &exitError{
		code:   exitUsage,
		err:    fmt.Errorf("%s has no operator yet", shownURL(database)),
		remedy: fmt.Sprintf("make it with `tallygate init --database %s`, or set TALLYGATE_OPERATOR_KEY to a key of your own", shownURL(database)),
	}
}

// prepare makes sure of the operator's key and of the configured job types.
func (s *server) prepare(ctx context.Context, types []tallygate.JobType) error {
	if s.config.OperatorKey != "" {
		if _, _, err := s.access.Bootstrap(ctx, s.config.OperatorKey); err != nil {
			return &exitError{code: exitUsage, err: err, remedy: "mend or unset TALLYGATE_OPERATOR_KEY"}
		}
	}
	for _, t := range types {
		if _, err := s.queue.DefineType(ctx, t, ""); err != nil {
			return fmt.Errorf("job type %q: %w", t.Name, err)
		}
	}
	return nil
}

// ready tells /readyz of the upstreams that are not called for now.
func (s *server) ready() map[string]any {
	type upstream struct {
		Type     string         `json:"type"`
		State    executor.State `json:"state"`
		Failures int            `json:"failures"`
		Until    *time.Time     `json:"until"`
	}
	upstreams := []upstream{}
	for _, b := range s.executor.Breakers() {
		u := upstream{Type: b.Type, State: b.State, Failures: b.Failures}
		if !b.Until.IsZero() {
			until := b.Until.UTC()
			u.Until = &until
		}
		upstreams = append(upstreams, u)
	}
	answer := map[string]any{"upstreams": upstreams}
	if s.shared != nil {
		answer["cluster"] = s.cluster()
	}
	if s.limiter != nil {
		answer["limiter"] = s.limits()
	}
	answer["store"] = s.stored()
	answer["revision"] = map[string]any{"lag_seconds": s.access.Lag().Seconds()}
	return answer
}

// run answers requests and does the background work until ctx ends; then it drains, and closes the store.
func (s *server) run(ctx context.Context, listener net.Listener) (err error) {
	defer func() { err = errors.Join(err, s.close()) }()

	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var tasks sync.WaitGroup
	tasks.Go(func() { s.queue.Run(background) })
	tasks.Go(func() { _ = s.access.Run(background) })
	tasks.Go(func() { s.executor.Run(background) })
	defer tasks.Wait()
	defer stop()

	web := s.api.HTTPServer()
	served := make(chan error, 1)
	go func() { served <- web.Serve(s.api.Listen(listener)) }()
	select {
	case err := <-served:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	if delay := s.config.DrainDelay; delay > 0 {
		s.api.Leave()
		s.log.Info("leaving: not ready any more", "drains_in", delay.String())
		select {
		case err := <-served:
			return fmt.Errorf("serving: %w", err)
		case <-time.After(delay):
		}
	}
	s.drain(web)
	return nil
}

// lastAnswers is the least time for requests in hand once the work in hand has had its own.
const lastAnswers = 250 * time.Millisecond

// drain refuses new requests and leases, waits at most the drain timeout for work in hand and gives the rest back to
// the queue, then ends the connections.
func (s *server) drain(web *http.Server) {
	began := time.Now()
	s.log.Info("draining", "timeout", s.config.DrainTimeout.String())
	s.api.Drain()
	s.queue.Stop()
	s.executor.Drain(s.config.DrainTimeout) // new requests are answered meanwhile: with 503
	left := max(lastAnswers, s.config.DrainTimeout-time.Since(began))
	ctx, cancel := context.WithTimeout(context.Background(), left)
	defer cancel()
	s.api.Finish(ctx) // so that whoever comes meanwhile reads a 503 and no closed door
	if err := web.Shutdown(ctx); err != nil {
		_ = web.Close() // what is still at work has had its time
	}
	s.log.Info("drained", "took", time.Since(began).String())
}

func (s *server) close() error {
	if s.limiter != nil {
		if err := s.limiter.Close(); err != nil {
			s.log.Warn("closing the limiter", "error", err)
		}
	}
	if err := s.store.Close(); err != nil {
		return fmt.Errorf("closing the database: %w", err)
	}
	return nil
}
