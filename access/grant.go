package access

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/tallygate/tallygate"
)

// NewKey is what an API key is made from.
type NewKey struct {
	Name         string
	Permissions  []string            // permissions and presets
	ExpiresAt    time.Time           // zero: never
	AllowedCIDRs []string            // networks, or single addresses; empty: any address
	Rate         tallygate.RateLimit // beside the client's; zero: none of its own
}

const mostCIDRs = 100

// read checks the actor's request for a key of the client and returns the key without its ID and secret. What the actor
// may not grant is for mayGrant to refuse.
func (in NewKey) read(actor *Caller, id tallygate.ClientID, now time.Time) (*tallygate.APIKey, error) {
	var f faults
	k := &tallygate.APIKey{Name: in.Name}
	f.checkName(in.Name)
	k.Permissions = f.readPermissions(in.Permissions, actor, id)
	k.AllowedCIDRs = f.readCIDRs(in.AllowedCIDRs)
	if !in.ExpiresAt.IsZero() {
		k.ExpiresAt = stamp(in.ExpiresAt)
		if !now.Before(k.ExpiresAt) {
			f.rejects("expires_at", "it is not in the future")
		}
	}
	if in.Rate != (tallygate.RateLimit{}) {
		f.checkRate(in.Rate)
		k.Rate = in.Rate
	}
	return k, f.err()
}

func (f *faults) readPermissions(names []string, actor *Caller, id tallygate.ClientID) tallygate.PermissionSet {
	const field = "permissions"
	operator := id == tallygate.OperatorClientID
	if names == nil {
		f.lacks(field)
		return nil
	}
	set, bad := tallygate.ParsePermissions(names)
	if len(bad) > 0 {
		known := join(tallygate.PermissionSet(tallygate.ClientPermissions))
		if operator {
			known = join(tallygate.Presets["operator"])
		}
		f.rejects(field, "there is no %.100q; there are %s", bad, known)
		return nil
	}
	if len(set) == 0 {
		f.rejects(field, "name at least one")
	}
	for _, p := range set {
		if p.NeedsOperator() && !operator && actor.Operator() {
			f.rejects(field, "%s is for operators' keys; a client's may hold %s", p, join(tallygate.PermissionSet(tallygate.ClientPermissions)))
			break
		}
	}
	return set
}

func (f *faults) readCIDRs(texts []string) []netip.Prefix {
	const field = "allowed_cidrs"
	if len(texts) > mostCIDRs {
		f.rejects(field, "there are more than %d", mostCIDRs)
		return nil
	}
	var prefixes []netip.Prefix
	for _, text := range texts {
		p, err := parseCIDR(text)
		if err != nil {
			f.rejects(field, "%v", err)
			continue
		}
		prefixes = append(prefixes, p)
	}
	return prefixes
}

// parseCIDR reads a network such as 203.0.113.0/24 or 2001:db8::/32, or one address. IPv4 inside IPv6 counts as IPv4,
// as it does when a call comes in.
func parseCIDR(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%.60q is neither a network such as 203.0.113.0/24 nor an address", text)
		}
		p = netip.PrefixFrom(addr, addr.BitLen())
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if masked := p.Masked(); masked != p {
		return netip.Prefix{}, fmt.Errorf("%.60q has bits beyond its length; write %s", text, masked)
	}
	return p, nil
}

// mayGrant tells whether the actor, whose key is given as it is now, may make a key of the client.
func mayGrant(actor *Caller, key *tallygate.APIKey, clientID tallygate.ClientID, wanted *tallygate.APIKey) error {
	if actor.Operator() && clientID != tallygate.OperatorClientID {
		return nil
	}
	if parts := wider(key, wanted); len(parts) > 0 {
		return tallygate.Errorf(tallygate.InsufficientPermissions,
			"a key can grant only what it has itself, and the new key would be wider in %s", strings.Join(parts, "; "))
	}
	return nil
}

// wider names what a wanted key would have that its maker has not.
func wider(maker, wanted *tallygate.APIKey) (in []string) {
	if missing := maker.Permissions.Missing(wanted.Permissions); len(missing) > 0 {
		in = append(in, "permissions: "+join(missing))
	}
	if len(maker.AllowedCIDRs) > 0 && len(wanted.AllowedCIDRs) == 0 {
		in = append(in, "allowed_cidrs: none named is every address")
	} else if len(maker.AllowedCIDRs) > 0 {
		for _, p := range wanted.AllowedCIDRs {
			if !insideAny(p, maker.AllowedCIDRs) {
				in = append(in, "allowed_cidrs: "+p.String())
			}
		}
	}
	if end := maker.ExpiresAt; !end.IsZero() && (wanted.ExpiresAt.IsZero() || wanted.ExpiresAt.After(end)) {
		in = append(in, "expires_at: later than "+end.UTC().Format(time.RFC3339))
	}
	if l := maker.Rate; !l.Unlimited() && (wanted.Rate.Unlimited() || wanted.Rate.PerSecond > l.PerSecond || wanted.Rate.Burst > l.Burst) {
		in = append(in, "limits: above "+describe(l))
	}
	return in
}

func insideAny(p netip.Prefix, networks []netip.Prefix) bool {
	for _, n := range networks {
		if n.Bits() <= p.Bits() && n.Contains(p.Addr()) {
			return true
		}
	}
	return false
}
