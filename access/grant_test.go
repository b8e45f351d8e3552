package access

import (
	"net/netip"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
)

func TestAKeyGrantsOnlyWhatItHas(t *testing.T) {
	h := newHouse(t)
	c, other := h.client("Acme"), h.client("Other")
	_, text := h.key(c.ID, NewKey{
		Permissions:  []string{"jobs:read", "keys:write"},
		ExpiresAt:    in(time.Hour),
		AllowedCIDRs: []string{"203.0.113.0/24", "2001:db8::/32"},
		Rate:         rate(10, 20),
	})
	maker := h.caller(text)
	within := NewKey{
		Permissions:  []string{"jobs:read"},
		ExpiresAt:    in(time.Hour),
		AllowedCIDRs: []string{"203.0.113.128/25", "203.0.113.9", "2001:db8:7::/48"},
		Rate:         rate(10, 20),
	}
	change := func(f func(*NewKey)) NewKey {
		in := within
		f(&in)
		return in
	}
	for name, s := range map[string]struct {
		in   NewKey
		code tallygate.Code
		says string // empty: it is made
	}{
		"within":                 {within, 0, ""},
		"narrower":               {change(func(k *NewKey) { k.Rate = rate(1, 1); k.ExpiresAt = in(time.Minute) }), 0, ""},
		"a permission more":      {change(func(k *NewKey) { k.Permissions = []string{"jobs:read", "jobs:write"} }), tallygate.InsufficientPermissions, "jobs:write"},
		"an operator's":          {change(func(k *NewKey) { k.Permissions = []string{"work"} }), tallygate.InsufficientPermissions, "permissions: work"},
		"any address":            {change(func(k *NewKey) { k.AllowedCIDRs = nil }), tallygate.InsufficientPermissions, "every address"},
		"a wider network":        {change(func(k *NewKey) { k.AllowedCIDRs = []string{"203.0.112.0/23"} }), tallygate.InsufficientPermissions, "203.0.112.0/23"},
		"one network of another": {change(func(k *NewKey) { k.AllowedCIDRs = []string{"203.0.113.1", "192.0.2.1"} }), tallygate.InsufficientPermissions, "192.0.2.1/32"},
		"every IPv4 address":     {change(func(k *NewKey) { k.AllowedCIDRs = []string{"0.0.0.0/0"} }), tallygate.InsufficientPermissions, "0.0.0.0/0"},
		"no expiry":              {change(func(k *NewKey) { k.ExpiresAt = time.Time{} }), tallygate.InsufficientPermissions, "later than 2026-03-04T13:00:00Z"},
		"a later expiry":         {change(func(k *NewKey) { k.ExpiresAt = in(time.Hour + time.Microsecond) }), tallygate.InsufficientPermissions, "expires_at"},
		"no limit":               {change(func(k *NewKey) { k.Rate = tallygate.RateLimit{} }), tallygate.InsufficientPermissions, "10 requests a second and 20 at once"},
		"a higher rate":          {change(func(k *NewKey) { k.Rate = rate(10.5, 20) }), tallygate.InsufficientPermissions, "limits"},
		"a larger burst":         {change(func(k *NewKey) { k.Rate = rate(1, 21) }), tallygate.InsufficientPermissions, "limits"},
		"everything at once":     {NewKey{Permissions: []string{"preset:full"}}, tallygate.InsufficientPermissions, "webhooks:write; allowed_cidrs"},
	} {
		t.Run(name, func(t *testing.T) {
			k, _, err := h.createKey(maker, c.ID, s.in)
			if s.says != "" {
				wantCode(t, err, s.code, s.says)
			} else if err != nil || k.ClientID != c.ID {
				t.Errorf("%+v, %v", k, err)
			}
		})
	}
	_, _, err := h.createKey(maker, other.ID, within)
	wantCode(t, err, tallygate.ClientNotFound)

	// A key that may do everything has nothing to be wider than.
	_, text = h.key(c.ID, NewKey{})
	_, _, err = h.createKey(h.caller(text), c.ID, NewKey{Permissions: []string{"preset:full"}})
	h.must(err)
}

func TestOperatorsGrantClientsAnythingAndOperatorsWhatTheyHave(t *testing.T) {
	h := newHouse(t)
	c := h.client("Acme")
	_, text := h.key(tallygate.OperatorClientID, NewKey{Permissions: []string{"clients:write", "keys:write"}, ExpiresAt: in(time.Hour)})
	desk := h.caller(text)
	_, _, err := h.createKey(desk, c.ID, NewKey{Permissions: []string{"preset:full"}})
	h.must(err)
	_, _, err = h.createKey(desk, tallygate.OperatorClientID, NewKey{Permissions: []string{"keys:write"}, ExpiresAt: in(time.Hour)})
	h.must(err)
	_, _, err = h.createKey(desk, tallygate.OperatorClientID, NewKey{Permissions: []string{"keys:write", "balance:write"}})
	wantCode(t, err, tallygate.InsufficientPermissions, "balance:write", "expires_at")
	_, _, err = h.rotate(desk, h.operator.Key, time.Hour)
	wantCode(t, err, tallygate.InsufficientPermissions, "balance:write")
}

func FuzzParseCIDR(f *testing.F) {
	for _, text := range []string{"203.0.113.0/24", "2001:db8::/32", "::ffff:1.2.3.0/120", "::/0", "1.2.3.4", "fe80::1%eth0", "1.2.3.4/-1", "/"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseCIDR(text)
		if err != nil {
			return
		}
		if again, err := parseCIDR(p.String()); err != nil || again != p {
			t.Errorf("%q is read as %v and then as %v, %v", text, p, again, err)
		}
		if k := (&tallygate.APIKey{AllowedCIDRs: []netip.Prefix{p}}); !k.Allows(p.Addr()) {
			t.Errorf("%v does not allow its own first address", p)
		}
	})
}
