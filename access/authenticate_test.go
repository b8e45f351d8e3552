package access

import (
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
)

func TestAuthenticateJudgesTheKey(t *testing.T) {
	h := newHouse(t)
	c := h.client("Acme")
	good, text := h.key(c.ID, NewKey{})
	_, ending := h.key(c.ID, NewKey{ExpiresAt: in(time.Minute)})
	revoked, revokedText := h.key(c.ID, NewKey{ExpiresAt: in(time.Minute)})
	h.must(h.revoke(h.operator, revoked))
	local, localText := h.key(c.ID, NewKey{AllowedCIDRs: []string{"203.0.113.0/24", "2001:db8::/32"}})
	suspended := h.client("Late payer")
	_, suspendedText := h.key(suspended.ID, NewKey{ExpiresAt: in(time.Minute)})
	h.must(h.suspend(suspended.ID))

	wrongSecret := FormatKey(good.ID, NewSecret())
	unknown := MakeUnknownKey()
	mistyped := text[:len(text)-1] + "0"
	if mistyped == text {
		mistyped = text[:len(text)-1] + "1"
	}

	for name, s := range map[string]struct {
		authorization, apiKey []string
		addr                  string
		after                 time.Duration
		code                  tallygate.Code
		ok                    bool
		says                  string
	}{
		"bearer":                            {authorization: bearer(text), ok: true},
		"X-API-Key":                         {apiKey: []string{text}, ok: true},
		"both":                              {authorization: bearer(text), apiKey: []string{text}, ok: true},
		"no key":                            {code: tallygate.AuthenticationFailed, says: "Authorization: Bearer"},
		"two keys":                          {authorization: bearer(text), apiKey: []string{localText}, code: tallygate.AuthenticationFailed, says: "different"},
		"junk":                              {authorization: bearer("junk"), code: tallygate.AuthenticationFailed, says: "tg_live_"},
		"mistyped":                          {authorization: bearer(mistyped), code: tallygate.AuthenticationFailed, says: "checksum"},
		"unknown key":                       {authorization: bearer(unknown), code: tallygate.InvalidAPIKey},
		"wrong secret":                      {authorization: bearer(wrongSecret), code: tallygate.InvalidAPIKey},
		"wrong secret of a revoked key":     {authorization: bearer(FormatKey(revoked.ID, NewSecret())), code: tallygate.InvalidAPIKey},
		"before its expiry":                 {authorization: bearer(ending), after: time.Minute - 1, ok: true},
		"at its expiry":                     {authorization: bearer(ending), after: time.Minute, code: tallygate.ExpiredAPIKey, says: "2026-03-04T12:01:00Z"},
		"revoked":                           {authorization: bearer(revokedText), code: tallygate.RevokedAPIKey, says: "2026-03-04T12:00:00Z"},
		"revoked wins over expired":         {authorization: bearer(revokedText), after: time.Hour, code: tallygate.RevokedAPIKey},
		"from its network":                  {authorization: bearer(localText), addr: "203.0.113.255", ok: true},
		"from its network, IPv4 in IPv6":    {authorization: bearer(localText), addr: "::ffff:203.0.113.1", ok: true},
		"from its IPv6 network, with zone":  {authorization: bearer(localText), addr: "2001:db8::1%eth0", ok: true},
		"from elsewhere":                    {authorization: bearer(localText), addr: "203.0.114.1", code: tallygate.AuthorizationFailed, says: string(local.ID)},
		"wrong secret from elsewhere":       {authorization: bearer(FormatKey(local.ID, NewSecret())), addr: "203.0.114.1", code: tallygate.InvalidAPIKey},
		"suspended client":                  {authorization: bearer(suspendedText), code: tallygate.SuspendedAccount, says: "Contact support"},
		"expired key of a suspended client": {authorization: bearer(suspendedText), after: time.Hour, code: tallygate.ExpiredAPIKey},
	} {
		t.Run(name, func(t *testing.T) {
			for _, kept := range []string{"looked up", "kept"} {
				h.clock.at(s.after)
				addr := here
				if s.addr != "" {
					addr = netip.MustParseAddr(s.addr)
				}
				caller, err := h.service.Authenticate(t.Context(), s.authorization, s.apiKey, addr)
				if s.ok {
					if err != nil {
						t.Fatalf("%s: %v", kept, err)
					}
					if caller.Client.ID != c.ID || caller.Key.ClientID != c.ID || caller.Operator() || caller.Revision != caller.Client.Revision {
						t.Errorf("%s: the caller is %+v", kept, caller)
					}
					continue
				}
				wantCode(t, err, s.code, s.says)
				for _, text := range append(s.authorization, s.apiKey...) {
					if _, secret, parseErr := ParseKey(strings.TrimPrefix(text, "Bearer ")); parseErr == nil && strings.Contains(err.Error(), secret) {
						t.Errorf("%s: the error holds the secret: %v", kept, err)
					}
				}
			}
		})
	}
	if !h.caller(h.text).Operator() {
		t.Error("the operator's key has no operator for its caller")
	}
}

func TestAuthenticateAsksTheStoreOnce(t *testing.T) {
	h := newHouse(t)
	_, text := h.key(h.client("Acme").ID, NewKey{})
	unknown := MakeUnknownKey()
	for name, c := range map[string]struct {
		text  string
		views int64
	}{
		"a key":          {text, 1},
		"an unknown key": {unknown, 1},
		"junk":           {"tg_live_junk", 0},
		"wrong checksum": {"tg_live_01jz0000000000000000000000_0123456789abcdefghjkmnpqrstvwxyz_000000", 0},
	} {
		before := h.store.views.Load()
		for range 5 {
			_, _ = h.service.Authenticate(t.Context(), bearer(c.text), nil, here)
		}
		if n := h.store.views.Load() - before; n != c.views {
			t.Errorf("%s: the store was asked %d times, want %d", name, n, c.views)
		}
	}
}

func TestCacheIsBoundedAndUnknownKeysPushOutNoKnownOne(t *testing.T) {
	h := newHouse(t, func(o *Options) { o.CacheSize = 64 })
	_, text := h.key(h.client("Acme").ID, NewKey{})
	h.caller(text)
	for range 1000 {
		_, err := h.service.Authenticate(t.Context(), bearer(MakeUnknownKey()), nil, here)
		wantCode(t, err, tallygate.InvalidAPIKey)
	}
	before := h.store.views.Load()
	h.caller(text)
	if h.store.views.Load() != before {
		t.Error("a flood of unknown keys pushed out a known one")
	}
	for range 100 {
		_, text := h.key(h.operator.Client.ID, NewKey{Permissions: []string{"work"}})
		h.caller(text)
	}
	for i := range h.service.cache.shards {
		sh := &h.service.cache.shards[i]
		if len(sh.callers) > 2 || len(sh.unknown) > 2 {
			t.Errorf("shard %d holds %d and %d, want at most 2 of each", i, len(sh.callers), len(sh.unknown))
		}
	}
}

func TestChangesHoldAtOnceWhereTheyWereMade(t *testing.T) {
	h := newHouse(t)
	c := h.client("Acme")
	_, text := h.key(c.ID, NewKey{})
	other, otherText := h.key(c.ID, NewKey{})
	_, bystander := h.key(h.client("Bystander").ID, NewKey{})
	for _, text := range []string{text, otherText, bystander} {
		h.caller(text)
	}

	h.must(h.suspend(c.ID))
	_, err := h.service.Authenticate(t.Context(), bearer(text), nil, here)
	wantCode(t, err, tallygate.SuspendedAccount)
	_, err = h.service.ActivateClient(t.Context(), h.as(h.operator), c.ID, noBody)
	h.must(err)
	h.caller(text)

	_, err = h.service.PatchClient(t.Context(), h.as(h.operator), c.ID, ClientChange{Limits: LimitsChange{Burst: ptr(int64(7))}}, noBody)
	h.must(err)
	if got := h.caller(text).Client.Limits.Rate.Burst; got != 7 {
		t.Errorf("the burst is still %d", got)
	}

	h.must(h.revoke(h.operator, other))
	_, err = h.service.Authenticate(t.Context(), bearer(otherText), nil, here)
	wantCode(t, err, tallygate.RevokedAPIKey)

	h.must(h.service.follow(t.Context()))
	views := h.store.views.Load()
	h.caller(bystander)
	if h.store.views.Load() != views {
		t.Error("changes of one client pushed out another's caller")
	}
}

func TestAnotherNodesChangeHoldsWithinTheBound(t *testing.T) {
	h := newHouse(t)
	c := h.client("Acme")
	k, text := h.key(c.ID, NewKey{})
	_, suspendedText := h.key(c.ID, NewKey{})
	far := h.node()
	authenticate := func(text string) error {
		_, err := far.Authenticate(t.Context(), bearer(text), nil, here)
		return err
	}
	unknownYet := FormatKey(sampleID, sampleSecret)
	wantCode(t, authenticate(unknownYet), tallygate.InvalidAPIKey)
	h.must(authenticate(text))
	h.must(authenticate(suspendedText))

	h.must(h.revoke(h.operator, k))
	h.clock.pass(staleAfter - 1)
	h.must(authenticate(text)) // the news may not be there yet, but at the bound they are asked for
	h.clock.pass(1)
	wantCode(t, authenticate(text), tallygate.RevokedAPIKey)
	h.must(authenticate(suspendedText))

	h.must(h.suspend(c.ID))
	h.must(far.follow(t.Context())) // as the follower does, long before the bound
	wantCode(t, authenticate(suspendedText), tallygate.SuspendedAccount)

	_, _, err := h.service.Bootstrap(t.Context(), unknownYet)
	h.must(err)
	h.must(far.follow(t.Context()))
	h.must(authenticate(unknownYet))
}

func TestStoreFailureIsNeverARefusal(t *testing.T) {
	h := newHouse(t)
	_, text := h.key(h.client("Acme").ID, NewKey{})
	h.caller(text)
	unknown := MakeUnknownKey()
	authenticate := func(text string) error {
		_, err := h.service.Authenticate(t.Context(), bearer(text), nil, here)
		return err
	}

	h.store.failure.Store(tallygate.Errorf(tallygate.DatabaseError, "the disk is gone"))
	h.must(authenticate(text)) // news are recent: what is kept still holds
	wantCode(t, authenticate(unknown), tallygate.DatabaseError)
	wantCode(t, authenticate("junk"), tallygate.AuthenticationFailed)

	h.clock.pass(staleAfter)
	wantCode(t, authenticate(text), tallygate.DatabaseError)
	wantCode(t, authenticate(unknown), tallygate.DatabaseError)
	wantCode(t, authenticate("junk"), tallygate.AuthenticationFailed)

	h.store.failure.Store(tallygate.Errorf(tallygate.ServiceUnavailable, "no connection"))
	wantCode(t, authenticate(text), tallygate.ServiceUnavailable)

	h.store.failure.Store(nil)
	h.must(authenticate(text))
	wantCode(t, authenticate(unknown), tallygate.InvalidAPIKey)
}

func TestFailedAuthenticationIsLimitedPerAddress(t *testing.T) {
	h := newHouse(t, func(o *Options) { o.FailedAuth = rate(1, 3) })
	_, text := h.key(h.client("Acme").ID, NewKey{})
	fail := func(text, addr string) error {
		_, err := h.service.Authenticate(t.Context(), bearer(text), nil, netip.MustParseAddr(addr))
		return err
	}
	wantCode(t, fail("junk", "203.0.113.9"), tallygate.AuthenticationFailed)
	wantCode(t, fail(MakeUnknownKey(), "203.0.113.9"), tallygate.InvalidAPIKey)
	wantCode(t, fail("junk", "::ffff:203.0.113.9"), tallygate.AuthenticationFailed)
	for _, text := range []string{"junk", MakeUnknownKey()} {
		err := fail(text, "203.0.113.9")
		wantCode(t, err, tallygate.RateLimitExceeded)
		if wait := tallygate.AsError(err).RetryAfter; wait != time.Second {
			t.Errorf("the wait is %v, want a second", wait)
		}
	}
	h.must(fail(text, "203.0.113.9"))
	wantCode(t, fail("junk", "203.0.113.10"), tallygate.AuthenticationFailed)
	h.clock.pass(time.Second)
	wantCode(t, fail("junk", "203.0.113.9"), tallygate.AuthenticationFailed)
	wantCode(t, fail("junk", "203.0.113.9"), tallygate.RateLimitExceeded)

	for _, addr := range []string{"2001:db8::1", "2001:db8::ffff:2", "2001:db8::3"} {
		wantCode(t, fail("junk", addr), tallygate.AuthenticationFailed)
	}
	wantCode(t, fail("junk", "2001:db8::4"), tallygate.RateLimitExceeded)
	wantCode(t, fail("junk", "2001:db8:0:1::4"), tallygate.AuthenticationFailed)
}

// A failure of the store says nothing about the key, and so does not count as a failed authentication.
func TestStoreFailureIsNoFailedAuthentication(t *testing.T) {
	h := newHouse(t, func(o *Options) { o.FailedAuth = rate(1, 1) })
	h.store.failure.Store(tallygate.Errorf(tallygate.DatabaseError, "the disk is gone"))
	for range 3 {
		_, err := h.service.Authenticate(t.Context(), bearer(MakeUnknownKey()), nil, here)
		wantCode(t, err, tallygate.DatabaseError)
	}
}

// A lookup that read before a change and ends after it serves its own call, which came first, and no later one.
func TestALookupOverlappedByAChangeLeavesNothingBehind(t *testing.T) {
	h := newHouse(t)
	k, text := h.key(h.client("Acme").ID, NewKey{})
	h.store.read = func() {
		h.store.read = nil
		h.must(h.revoke(h.operator, k))
	}
	h.caller(text)
	_, err := h.service.Authenticate(t.Context(), bearer(text), nil, here)
	wantCode(t, err, tallygate.RevokedAPIKey)

	given := FormatKey(sampleID, sampleSecret)
	h.store.read = func() {
		h.store.read = nil
		_, _, err := h.service.Bootstrap(t.Context(), given)
		h.must(err)
	}
	_, err = h.service.Authenticate(t.Context(), bearer(given), nil, here)
	wantCode(t, err, tallygate.InvalidAPIKey)
	h.caller(given)
}

func TestNoCallPassesAfterItsKeyWasRevoked(t *testing.T) {
	h := newHouse(t)
	c := h.client("Acme")
	for range 8 {
		k, text := h.key(c.ID, NewKey{})
		var over atomic.Bool
		var callers sync.WaitGroup
		for range 3 {
			callers.Go(func() {
				for refused := 0; refused < 3; {
					mustRefuse := over.Load()
					_, err := h.service.Authenticate(t.Context(), bearer(text), nil, here)
					if err != nil {
						refused++
						wantCode(t, err, tallygate.RevokedAPIKey)
					} else if mustRefuse {
						t.Error("a call passed after RevokeKey had returned")
						return
					}
				}
			})
		}
		// Other changes make the cache drop and the callers look up all the while.
		for i := range 3 {
			_, err := h.service.PatchClient(t.Context(), h.as(h.operator), c.ID, ClientChange{Limits: LimitsChange{Burst: ptr(int64(i + 1))}}, noBody)
			h.must(err)
		}
		err := h.revoke(h.operator, k)
		over.Store(true)
		if err != nil {
			t.Error(err)
		}
		callers.Wait()
	}
}
