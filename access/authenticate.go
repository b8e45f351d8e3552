package access

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/ratelimit"
)

// Caller is who makes a call, as read at Revision: others share it, so it is read only. The client's account is of the
// time of reading, too, and no ground for a decision about money.
type Caller struct {
	Key      *tallygate.APIKey
	Client   *tallygate.Client
	Revision int64 // the client's

	checks []ratelimit.Check // for a call of cost 1; nil: not made yet
}

func newCaller(key *tallygate.APIKey, client *tallygate.Client) *Caller {
	c := &Caller{Key: key, Client: client, Revision: client.Revision}
	c.checks = c.limits(1)
	return c
}

// Operator reports whether the caller belongs to the team that runs the server.
func (c *Caller) Operator() bool { return c.Client.Operator }

var (
	errUnknownKey = tallygate.Errorf(tallygate.InvalidAPIKey, "no key has this ID and secret; generate a new API key")
	errSuspended  = &tallygate.Error{Code: tallygate.SuspendedAccount}
)

// Authenticate finds the caller from the values of the Authorization and X-API-Key headers and the address they came
// from: AUTHENTICATION_FAILED before any lookup; INVALID_, REVOKED_ or EXPIRED_API_KEY; AUTHORIZATION_FAILED where the
// key is not for the address; SUSPENDED_ACCOUNT. Past the limit of failures a 401 becomes RATE_LIMIT_EXCEEDED. A store
// that can't be asked is its own error, never one of these.
func (s *Service) Authenticate(ctx context.Context, authorization, apiKey []string, addr netip.Addr) (*Caller, error) {
	now := s.now()
	caller, refusal, err := s.identify(ctx, now, authorization, apiKey)
	if err != nil {
		return nil, err
	}
	at := s.clock()
	if refusal == nil {
		refusal = inForce(caller.Key, at)
	}
	addr = addr.Unmap().WithZone("")
	if refusal != nil {
		return nil, s.refuse(ctx, now, addr, refusal)
	}
	if !caller.Key.Allows(addr) {
		return nil, tallygate.Errorf(tallygate.AuthorizationFailed,
			"%s may not be used from the address %s; use it from its allowed_cidrs, or another key", caller.Key.ID, addr)
	}
	if caller.Client.Status == tallygate.ClientSuspended {
		return nil, errSuspended
	}
	s.uses.touch(caller.Key.ID, at)
	return caller, nil
}

// identify finds the caller whose key was sent. refusal is the 401, err that the store did not answer.
func (s *Service) identify(ctx context.Context, now time.Time, authorization, apiKey []string) (caller *Caller, refusal *tallygate.Error, err error) {
	text, refusal := credential(authorization, apiKey)
	if refusal != nil {
		return nil, refusal, nil
	}
	body, secret, refusal := parseKey(text)
	if refusal != nil {
		return nil, refusal, nil
	}
	caller, err = s.find(ctx, now, body)
	if err != nil {
		return nil, nil, err
	}
	if caller == nil || !holdsSecret(caller.Key, secret) {
		return nil, errUnknownKey, nil
	}
	return caller, nil, nil
}

func holdsSecret(k *tallygate.APIKey, secret string) bool {
	hash := hashSecret(secret)
	return subtle.ConstantTimeCompare(hash[:], k.SecretHash[:]) == 1
}

func hashSecret(secret string) [sha256.Size]byte { return sha256.Sum256([]byte(secret)) }

// inForce returns nil for a key that is accepted at now.
func inForce(k *tallygate.APIKey, now time.Time) *tallygate.Error {
	switch k.Status(now) {
	case tallygate.KeyRevoked:
		return tallygate.Errorf(tallygate.RevokedAPIKey, "%s was revoked at %s; generate a new API key", k.ID, k.RevokedAt.UTC().Format(time.RFC3339))
	case tallygate.KeyExpired:
		return tallygate.Errorf(tallygate.ExpiredAPIKey, "%s expired at %s; generate a new API key", k.ID, k.ExpiresAt.UTC().Format(time.RFC3339))
	}
	return nil
}

// find returns the caller of the key ID without its prefix, nil where there is none. Without recent news it first asks
// the store whether what is kept still holds; a store that does not answer is an error, although the key may be kept.
func (s *Service) find(ctx context.Context, now time.Time, body string) (*Caller, error) {
	if !s.cache.fresh(now) {
		if err := s.follow(ctx); err != nil {
			return nil, fmt.Errorf("ask for the access revision: %w", err)
		}
	}
	if caller, found := s.cache.get(body); found {
		return caller, nil
	}
	body = strings.Clone(body) // the cache must not keep the header alive
	epoch := s.cache.epoch.Load()
	caller, err := s.lookUp(ctx, tallygate.KeyID(tallygate.KeyPrefix+body))
	if err != nil {
		return nil, err
	}
	s.cache.put(body, caller, epoch)
	return caller, nil
}

func (s *Service) lookUp(ctx context.Context, id tallygate.KeyID) (*Caller, error) {
	var key *tallygate.APIKey
	var client *tallygate.Client
	err := s.store.View(ctx, func(tx tallygate.Tx) (err error) {
		client = nil
		if key, err = tx.Key(id); err != nil || key == nil {
			return err
		}
		client, err = tx.Client(key.ClientID)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", id, err)
	}
	if client == nil {
		return nil, nil
	}
	return newCaller(key, client), nil
}
