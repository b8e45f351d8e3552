package access

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
)

func TestBootstrapMakesOneKey(t *testing.T) {
	h := newHouse(t) // which has called it once
	c, err := h.service.Client(t.Context(), tallygate.OperatorClientID)
	h.must(err)
	k := h.operator.Key
	want, _ := tallygate.ParsePermissions([]string{"preset:operator"})
	if !c.Operator || c.Name != "Operator" || c.Status != tallygate.ClientActive || !slices.Equal(k.Permissions, want) || k.LimitKey != k.ID || !k.ExpiresAt.IsZero() {
		t.Errorf("the operator is %+v with %+v", c, k)
	}
	if events := h.events(string(k.ID)); len(events) != 1 || events[0].Actor != "" {
		t.Errorf("told: %+v", events)
	}

	again := func() (string, bool) {
		text, created, err := h.service.Bootstrap(t.Context(), "")
		h.must(err)
		return text, created
	}
	before := h.revision()
	if text, created := again(); text != "" || created || h.revision() != before {
		t.Errorf("a second key was made")
	}
	// Whoever lost every key that runs the server gets another one.
	_, _ = h.key(tallygate.OperatorClientID, NewKey{Permissions: []string{"work"}})
	_, _, err = h.rotate(h.operator, k, time.Hour)
	h.must(err)
	h.must(h.store.Update(t.Context(), func(tx tallygate.Tx) error {
		keys, err := tx.Keys(tallygate.OperatorClientID, tallygate.Page{Limit: 10})
		for _, k := range keys {
			if k.Permissions.Has(tallygate.ClientsWrite) && err == nil {
				k.ExpiresAt = in(time.Minute)
				err = tx.SaveKey(k)
			}
		}
		return err
	}))
	if _, created := again(); created {
		t.Error("a key was made although one is active")
	}
	h.clock.pass(time.Minute)
	text, created := again()
	if !created {
		t.Fatal("no key was made although none is active")
	}
	if !h.caller(text).Operator() {
		t.Error("the new key is not the operator's")
	}
}

func TestBootstrapWithAGivenKey(t *testing.T) {
	h := newHouse(t)
	given := FormatKey(sampleID, sampleSecret)
	_, err := h.service.Authenticate(t.Context(), bearer(given), nil, here)
	wantCode(t, err, tallygate.InvalidAPIKey)
	for i, created := range []bool{true, false} {
		text, made, err := h.service.Bootstrap(t.Context(), " "+given+"\n")
		if err != nil || text != given || made != created {
			t.Errorf("call %d: %s, %v, %v", i, text, made, err)
		}
		if c := h.caller(given); !c.Operator() || c.Key.ID != sampleID {
			t.Errorf("call %d: the key is %+v", i, c.Key)
		}
	}

	client, clientText := h.key(h.client("Acme").ID, NewKey{})
	_, narrow := h.key(tallygate.OperatorClientID, NewKey{Permissions: []string{"work", "clients:write"}})
	_, ending := h.key(tallygate.OperatorClientID, NewKey{Permissions: []string{"preset:operator"}, ExpiresAt: in(time.Minute)})
	revoked, revokedText := h.key(tallygate.OperatorClientID, NewKey{Permissions: []string{"preset:operator"}})
	h.must(h.revoke(h.operator, revoked))
	h.clock.pass(time.Minute)
	for name, c := range map[string]struct{ text, says string }{
		"junk":           {"hunter2", "begins with tg_live_"},
		"mistyped":       {given[:len(given)-1] + "0", "checksum"},
		"another secret": {FormatKey(sampleID, NewSecret()), "another secret"},
		"a client's":     {clientText, string(client.ID) + " is a client's key"},
		"narrow":         {narrow, "audit:read"},
		"expired":        {ending, "is expired"},
		"revoked":        {revokedText, "is revoked"},
	} {
		_, created, err := h.service.Bootstrap(t.Context(), c.text)
		if created || err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want it to say %q", name, err, c.says)
		}
		if err != nil && strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: the error holds the key: %v", name, err)
		}
	}
}

func TestBootstrapOfAnEmptyStoreWithAGivenKey(t *testing.T) {
	h := &house{T: t, clock: newClock()}
	h.open()
	given := MakeUnknownKey()
	text, created, err := h.service.Bootstrap(t.Context(), given)
	if err != nil || !created || text != given || !h.caller(given).Operator() {
		t.Errorf("%v, %v", created, err)
	}
}

func TestBootstrapReturnsTheStoresFailure(t *testing.T) {
	h := newHouse(t)
	h.store.failure.Store(tallygate.Errorf(tallygate.DatabaseError, "the disk is gone"))
	_, _, err := h.service.Bootstrap(context.WithoutCancel(t.Context()), "")
	if e, ok := errors.AsType[*tallygate.Error](err); !ok || e.Code != tallygate.DatabaseError {
		t.Errorf("%v, want the store's error", err)
	}
}
