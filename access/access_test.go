package access

import (
	"context"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/store/enginetest"
)

var (
	noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	here = netip.MustParseAddr("203.0.113.9")
)

// clock is a clock that tests move.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ns.Store(noon.UnixNano())
	return c
}

func (c *clock) now() time.Time       { return time.Unix(0, c.ns.Load()).UTC() }
func (c *clock) pass(d time.Duration) { c.ns.Add(int64(d)) }
func (c *clock) at(d time.Duration)   { c.ns.Store(noon.Add(d).UnixNano()) }
func in(d time.Duration) time.Time    { return noon.Add(d) }
func ptr[T any](v T) *T               { return &v }
func bearer(text string) []string     { return []string{"Bearer " + text} }
func rate(perSecond float64, burst int64) tallygate.RateLimit {
	return tallygate.RateLimit{PerSecond: perSecond, Burst: burst}
}

// watched is a store that can be made to fail and counts what it is asked.
type watched struct {
	tallygate.Store
	failure atomic.Pointer[tallygate.Error]
	read    func() // if set, called when a View has read and before it returns
	views   atomic.Int64
	updates atomic.Int64
}

func (w *watched) View(ctx context.Context, fn func(tallygate.Tx) error) error {
	w.views.Add(1)
	if err := w.failure.Load(); err != nil {
		return err
	}
	err := w.Store.View(ctx, fn)
	if w.read != nil {
		w.read()
	}
	return err
}

func (w *watched) Update(ctx context.Context, fn func(tallygate.Tx) error) error {
	w.updates.Add(1)
	if err := w.failure.Load(); err != nil {
		return err
	}
	return w.Store.Update(ctx, fn)
}

// house is a service over a real store with an operator in it.
type house struct {
	*testing.T
	clock    *clock
	store    *watched
	service  *Service
	operator *Caller
	text     string // of the operator's key
}

func newHouse(t *testing.T, options ...func(*Options)) *house {
	t.Helper()
	h := &house{T: t, clock: newClock()}
	h.open(options...)
	var created bool
	var err error
	h.text, created, err = h.service.Bootstrap(t.Context(), "")
	h.must(err)
	if !created {
		t.Fatal("a new store has an operator's key already")
	}
	h.operator = h.caller(h.text)
	return h
}

// open makes an empty store and a service over it.
func (h *house) open(options ...func(*Options)) {
	h.Helper()
	h.store = &watched{Store: enginetest.Open(h, h.clock.now)}
	h.service = h.node(options...)
}

// node is another service over the same store.
func (h *house) node(options ...func(*Options)) *Service {
	opt := Options{Now: h.clock.now, Currency: "USD"}
	for _, o := range options {
		o(&opt)
	}
	return New(h.store, opt)
}

func (h *house) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *house) caller(text string) *Caller {
	h.Helper()
	c, err := h.service.Authenticate(h.Context(), bearer(text), nil, here)
	h.must(err)
	return c
}

func (h *house) as(c *Caller) Mutation { return Mutation{Actor: c} }

// client makes a client and returns it as it was made.
func (h *house) client(name string) *tallygate.Client {
	h.Helper()
	var made *tallygate.Client
	_, err := h.service.CreateClient(h.Context(), h.as(h.operator), NewClient{Name: name}, func(c *tallygate.Client) []byte {
		made = c
		return nil
	})
	h.must(err)
	return made
}

// key makes a key of the client as the operator, with every permission of a client unless it names some.
func (h *house) key(id tallygate.ClientID, in NewKey) (*tallygate.APIKey, string) {
	h.Helper()
	if in.Permissions == nil {
		in.Permissions = []string{"preset:full"}
	}
	k, text, err := h.createKey(h.operator, id, in)
	h.must(err)
	return k, text
}

func (h *house) createKey(actor *Caller, id tallygate.ClientID, in NewKey) (key *tallygate.APIKey, text string, err error) {
	effect, err := h.service.CreateKey(h.Context(), h.as(actor), id, in, func(k *tallygate.APIKey, text string) []byte {
		key = k
		return []byte(text)
	})
	return key, string(effect.Body), err
}

func (h *house) rotate(actor *Caller, k *tallygate.APIKey, overlap time.Duration) (key *tallygate.APIKey, text string, err error) {
	effect, err := h.service.RotateKey(h.Context(), h.as(actor), k.ClientID, k.ID, overlap, func(k *tallygate.APIKey, text string) []byte {
		key = k
		return []byte(text)
	})
	return key, string(effect.Body), err
}

func (h *house) revoke(actor *Caller, k *tallygate.APIKey) error {
	_, err := h.service.RevokeKey(h.Context(), h.as(actor), k.ClientID, k.ID, func(*tallygate.APIKey) []byte { return nil })
	return err
}

func (h *house) suspend(id tallygate.ClientID) error {
	_, err := h.service.SuspendClient(h.Context(), h.as(h.operator), id, noBody)
	return err
}

func noBody(*tallygate.Client) []byte { return nil }

// read returns the key as it is stored.
func (h *house) read(id tallygate.KeyID) *tallygate.APIKey {
	h.Helper()
	k, err := h.service.Key(h.Context(), "", id)
	h.must(err)
	return k
}

func (h *house) revision() (revision int64) {
	h.Helper()
	h.must(h.store.Store.View(h.Context(), func(tx tallygate.Tx) (err error) {
		revision, err = tx.Revision()
		return err
	}))
	return revision
}

// events lists the kinds of what happened to the subject, oldest first.
func (h *house) events(subject string) (events []*tallygate.Event) {
	h.Helper()
	h.must(h.store.Store.View(h.Context(), func(tx tallygate.Tx) (err error) {
		events, err = tx.Events(subject, 0, 100)
		return err
	}))
	return events
}

// wantCode checks an error's code and that its message holds every part.
func wantCode(t *testing.T, err error, code tallygate.Code, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want %s", code)
		return
	}
	e := tallygate.AsError(err)
	if e.Code != code {
		t.Errorf("%v, want %s", err, code)
	}
	for _, part := range parts {
		if !strings.Contains(e.Message(), part) {
			t.Errorf("%q does not say %q", e.Message(), part)
		}
	}
}
