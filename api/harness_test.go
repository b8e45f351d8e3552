package api

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/access"
	"github.com/tallygate/tallygate/ledger"
	"github.com/tallygate/tallygate/queue"
	"github.com/tallygate/tallygate/queue/queuetest"
	"github.com/tallygate/tallygate/store/enginetest"
)

func newClock() *queuetest.Clock {
	return queuetest.NewClock(time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC))
}

// breakable is a store that can be made to fail, and to be changed just before a write.
type breakable struct {
	tallygate.Store
	broken atomic.Bool
	before func() // called once, before the next Update begins
}

var errBroken = &tallygate.Error{Code: tallygate.DatabaseError, Detail: "broken for a test"}

func (b *breakable) Update(ctx context.Context, fn func(tallygate.Tx) error) error {
	if b.broken.Load() {
		return errBroken
	}
	if before := b.before; before != nil {
		b.before = nil
		before()
	}
	return b.Store.Update(ctx, fn)
}

func (b *breakable) View(ctx context.Context, fn func(tallygate.Tx) error) error {
	if b.broken.Load() {
		return errBroken
	}
	return b.Store.View(ctx, fn)
}

// house is a server on a real store with two clients, each with money and a key, and two job types.
type house struct {
	*Server
	t     testing.TB
	store *breakable
	queue *queue.Service
	now   func() time.Time

	operator string // the operator's key
	keys     map[string]string
}

// textStats is the job type of the tests: pulled, with a schema and a metered unit.
const textStats = `{"description":"Counts words.","input_schema":{"type":"object","properties":{"text":{"type":"string"}},"required":["text"],"additionalProperties":false},
	"price":{"base":"0.01","units":{"page":{"price":"0.002","max":100}}}}`

func newHouse(t testing.TB, now func() time.Time, adapt func(*Options)) *house {
	t.Helper()
	ctx := context.Background()
	store := &breakable{Store: enginetest.Unclosed(t, now)}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	ids := new(tallygate.IDs)
	h := &house{t: t, store: store, now: now, keys: map[string]string{}}
	gate := access.New(store, access.Options{Now: now, IDs: ids, Currency: "USD"})
	guarded := gate.Guard(store)
	h.queue = queue.New(guarded, queue.Options{IDs: ids, Jitter: func(d time.Duration) time.Duration { return d }})
	var err error
	if h.operator, _, err = gate.Bootstrap(ctx, ""); err != nil {
		t.Fatal(err)
	}
	opt := Options{Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Access: gate, Ledger: ledger.New(guarded, ids), Queue: h.queue, Now: now}
	if adapt != nil {
		adapt(&opt)
	}
	h.Server = New(opt)
	h.keys["operator"] = h.operator
	h.ok("PUT", "/v1/job-types/text.stats", h.operator, textStats)
	for _, name := range []string{"acme", "globex"} {
		h.keys[name] = h.newClient(name)
	}
	return h
}

// newClient makes a client with 25.00 and returns a key of it that may do everything.
func (h *house) newClient(name string) (key string) {
	h.t.Helper()
	id := text(h.ok("POST", "/v1/clients", h.operator, `{"name":"`+name+`","limits":{"requests_per_second":1000,"burst":1000}}`), "id")
	h.ok("POST", "/v1/clients/"+id+"/credits", h.operator, `{"amount":"25.00"}`, "Idempotency-Key: "+name)
	return text(h.ok("POST", "/v1/clients/"+id+"/api-keys", h.operator, `{"name":"all","permissions":["preset:full"]}`), "key")
}

// newRequest makes a request past the network. Headers are lines such as "Accept: text/html"; "-" takes one away.
func newRequest(method, target, key, body string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		switch {
		case value == "-":
			r.Header.Del(name)
		case name == "Content-Type":
			r.Header.Set(name, value)
		default:
			r.Header.Add(name, value)
		}
	}
	return r
}

func (h *house) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func (h *house) send(method, target, key, body string, headers ...string) *httptest.ResponseRecorder {
	return h.do(newRequest(method, target, key, body, headers...))
}

// ok makes a request that has to succeed and returns its body.
func (h *house) ok(method, target, key, body string, headers ...string) string {
	h.t.Helper()
	w := h.send(method, target, key, body, headers...)
	if w.Code != http.StatusOK {
		h.t.Fatalf("%s %s: %d %s", method, target, w.Code, w.Body)
	}
	return w.Body.String()
}

// text cuts a string member out of a JSON text.
func text(from, name string) string {
	_, rest, _ := strings.Cut(from, `"`+name+`":"`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// submitted submits a job and returns its ID.
func (h *house) submitted(client string) string {
	h.t.Helper()
	return text(h.ok("POST", "/v1/jobs", h.keys[client], `{"type":"text.stats","input":{"text":"a b"}}`), "id")
}

// leased takes the next job and returns its lease's token.
func (h *house) leased() (token string) {
	h.t.Helper()
	return text(h.ok("POST", "/v1/worker/lease", h.operator, `{"types":["text.stats"]}`), "token")
}

func jobID(s string) tallygate.JobID { return tallygate.JobID(s) }
