// Package tallygate calls a Tallygate server: clients and keys, job types, jobs and their results, and the routes of
// workers, with a worker loop over them.
//
//	client, err := tallygate.New(tallygate.WithKey("tg_live_…"))
//	stats, err := tallygate.Run[Stats](ctx, client, "text.stats", map[string]any{"text": "to be or not to be"})
//
// Every call is tried again where that may help: after failures of the network, time-outs, and answers that say so, with
// exponential backoff, full jitter and Retry-After as the least wait, within a number of attempts, a deadline, and a
// budget that all calls of a client share. A call that has an effect bears an Idempotency-Key, the same in all its
// attempts, so that nothing is done or paid twice. What cannot be mended is an [*Error] in the type of its code.
//
// The package depends on the standard library alone.
package tallygate

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Version is the version of this package, as User-Agent tells it.
const Version = "0.1.0"

// What is usual where nothing else is said.
const (
	DefaultURL         = "http://127.0.0.1:8080"
	DefaultTimeout     = 30 * time.Second // of an attempt
	DefaultDeadline    = 2 * time.Minute  // of a call
	DefaultMaxAttempts = 5
	DefaultRetryBudget = 500
)

// Client calls one server with one key. It is safe for concurrent use, and its calls share connections and the retry
// budget: make one and keep it.
type Client struct {
	Jobs     *Jobs      // submit, wait, results
	JobTypes *JobTypes  // what can be run
	Account  *Account   // the caller's own balance, ledger and use
	APIKeys  *APIKeys   // the caller's own keys
	Clients  *Clients   // customer accounts, for operators
	Audit    *Audit     // who did what, for operators
	Worker   *WorkerAPI // the routes under a [Worker]

	url       string
	key       func() string // a function, since no way of printing a Client may show it
	http      *http.Client
	userAgent string
	limits    limits
	budget    budget
	hooks     []Hooks
	random    func() float64 // uniform from 0 up to 1
}

// limits bound one call.
type limits struct {
	timeout     time.Duration // of an attempt; 0: none
	deadline    time.Duration // of the call; 0: none
	maxAttempts int
}

// ErrURL is returned by [New] for an address that names no server.
var ErrURL = errors.New("is not the address of a server: write it as http://HOST:PORT or https://HOST")

// ErrKey is returned by [New] for a text that cannot be a key.
var ErrKey = errors.New("the API key has characters that no key has")

// New makes a client. Without [WithURL] and [WithKey] it takes the server and the key from TALLYGATE_URL and
// TALLYGATE_KEY, and the server at [DefaultURL] where there is none.
func New(options ...Option) (*Client, error) {
	o := config{
		url: os.Getenv("TALLYGATE_URL"), key: os.Getenv("TALLYGATE_KEY"), budget: DefaultRetryBudget,
		limits: limits{DefaultTimeout, DefaultDeadline, DefaultMaxAttempts},
	}
	for _, option := range options {
		option.applyClient(&o)
	}
	if o.url == "" {
		o.url = DefaultURL
	}
	u, err := url.Parse(o.url)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || (u.Scheme != "http" && u.Scheme != "https") {
		if u != nil && u.User != nil {
			o.url = u.Redacted()
		}
		return nil, fmt.Errorf("%q %w", o.url, ErrURL)
	}
	key := strings.TrimSpace(o.key)
	if strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return nil, ErrKey
	}
	c := &Client{
		url: strings.TrimRight(o.url, "/"), key: func() string { return key }, http: withoutRedirects(o.http),
		userAgent: strings.TrimSpace(o.userAgent + " tallygate-go/" + Version),
		limits:    o.limits, hooks: o.hooks, random: rand.Float64,
	}
	c.budget.fill(o.budget)
	c.Jobs, c.JobTypes, c.Account, c.APIKeys = &Jobs{c}, &JobTypes{c}, &Account{c}, &APIKeys{c}
	c.Clients, c.Audit, c.Worker = &Clients{client: c, APIKeys: &ClientAPIKeys{c}}, &Audit{c}, &WorkerAPI{c}
	return c, nil
}

// withoutRedirects is a copy of the given client, or of one that keeps enough connections for many calls at once. The
// API answers no redirect, and following one would turn a POST into a GET.
func withoutRedirects(given *http.Client) *http.Client {
	var own http.Client
	if given != nil {
		own = *given
	} else if t, ok := http.DefaultTransport.(*http.Transport); ok {
		t = t.Clone()
		t.MaxIdleConns, t.MaxIdleConnsPerHost = 256, 256
		own.Transport = t
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &own
}

// URL is the server's address.
func (c *Client) URL() string { return c.url }

// CloseIdleConnections closes the connections that no call uses.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

// String names the client without its key.
func (c *Client) String() string { return "tallygate client of " + c.url }

// GoString is for %#v.
func (c *Client) GoString() string { return fmt.Sprintf("tallygate.Client(%q)", c.url) }

// Format is String for every verb, so that also %x and a dereferenced client keep the key.
func (c *Client) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue is what a log line says of the client.
func (c *Client) LogValue() slog.Value { return slog.StringValue(c.String()) }
