package tallygate_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
)

func TestAKeyIsActiveUntilItExpiresOrIsRevoked(t *testing.T) {
	for _, c := range []struct {
		name string
		key  tallygate.APIKey
		want tallygate.KeyStatus
	}{
		{"without an expiry", tallygate.APIKey{}, tallygate.KeyActive},
		{"before its expiry", tallygate.APIKey{ExpiresAt: noon.Add(time.Nanosecond)}, tallygate.KeyActive},
		{"at its expiry", tallygate.APIKey{ExpiresAt: noon}, tallygate.KeyExpired},
		{"past its expiry", tallygate.APIKey{ExpiresAt: noon.Add(-time.Hour)}, tallygate.KeyExpired},
		{"revoked", tallygate.APIKey{RevokedAt: noon.Add(-time.Hour)}, tallygate.KeyRevoked},
		{"revoked and expired", tallygate.APIKey{RevokedAt: noon, ExpiresAt: noon.Add(-time.Hour)}, tallygate.KeyRevoked},
	} {
		if got := c.key.Status(noon); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestAKeyAllowsItsAddresses(t *testing.T) {
	listed := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	for _, c := range []struct {
		cidrs []netip.Prefix
		addr  string
		want  bool
	}{
		{nil, "203.0.113.7", true},
		{listed, "10.1.2.3", true},
		{listed, "11.1.2.3", false},
		{listed, "2001:db8::1", true},
		{listed, "2001:db9::1", false},
		{listed, "::ffff:10.1.2.3", true}, // IPv4 seen through an IPv6 socket
		{listed, "::ffff:11.1.2.3", false},
	} {
		key := tallygate.APIKey{AllowedCIDRs: c.cidrs}
		if got := key.Allows(netip.MustParseAddr(c.addr)); got != c.want {
			t.Errorf("%s with %v: %v, want %v", c.addr, c.cidrs, got, c.want)
		}
	}
}
