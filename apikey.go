package tallygate

import (
	"net/netip"
	"time"
)

// APIKey is a credential of one client. It only narrows what the client may do. The secret itself is stored nowhere.
type APIKey struct {
	ID           KeyID
	ClientID     ClientID
	Name         string
	SecretHash   [32]byte // SHA-256 of the secret
	Permissions  PermissionSet
	AllowedCIDRs []netip.Prefix // empty: any address
	Rate         RateLimit      // narrower than the client's; zero: none of its own
	ExpiresAt    time.Time      // zero: never
	RevokedAt    time.Time      // zero: not revoked
	LimitKey     KeyID          // the first key of its rotations, whose rate limit it shares
	ReplacedBy   KeyID          // set by rotation
	CreatedAt    time.Time
	LastUsedAt   time.Time // to within a minute
}

// KeyStatus tells whether a key is accepted.
type KeyStatus string

// The states of a key.
const (
	KeyActive  KeyStatus = "active"
	KeyExpired KeyStatus = "expired"
	KeyRevoked KeyStatus = "revoked"
)

// Status judges the key at now; revoked wins over expired.
func (k *APIKey) Status(now time.Time) KeyStatus {
	switch {
	case !k.RevokedAt.IsZero():
		return KeyRevoked
	case !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt):
		return KeyExpired
	}
	return KeyActive
}

// Allows reports whether the key may be used from the address.
func (k *APIKey) Allows(addr netip.Addr) bool {
	if len(k.AllowedCIDRs) == 0 {
		return true
	}
	addr = addr.Unmap()
	for _, p := range k.AllowedCIDRs {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
