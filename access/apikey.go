package access

import (
	"context"
	"time"

	"github.com/tallygate/tallygate"
)

// EncodeKey writes a key as the answer to a change. text is the whole text of the key, empty where it is not to be
// shown: the store keeps only that form for replays. It may be called more than once.
type EncodeKey func(k *tallygate.APIKey, text string) []byte

const longestOverlap = 365 * 24 * time.Hour

var (
	errKeyNotFound = &tallygate.Error{Code: tallygate.APIKeyNotFound}
	errLastKey     = tallygate.Errorf(tallygate.InvalidRequest, "this is the operator's last active key with %s; create or rotate to another one first, or nobody could run the server any more", tallygate.ClientsWrite)
)

// CreateKey makes a key of the client. A client's key makes keys of its own client within its own permissions,
// addresses, expiry and limit, as does an operator's key for the operator; for others the operator may grant whatever
// a client may hold. Wider is INSUFFICIENT_PERMISSIONS.
func (s *Service) CreateKey(ctx context.Context, m Mutation, id tallygate.ClientID, in NewKey, encode EncodeKey) (Effect, error) {
	wanted, err := in.read(m.Actor, id, s.clock())
	if err != nil {
		return Effect{}, err
	}
	if err := mayGrant(m.Actor, m.Actor.Key, id, wanted); err != nil {
		return Effect{}, err
	}
	secret := NewSecret()
	return s.change(ctx, m, func(tx tallygate.Tx, actor *tallygate.APIKey) (outcome, error) {
		if err := mayGrant(m.Actor, actor, id, wanted); err != nil {
			return outcome{}, err
		}
		client, err := s.clientOf(tx, m.Actor, id)
		if err != nil {
			return outcome{}, err
		}
		key := *wanted
		key.ClientID = client.ID
		if actor.ClientID == client.ID && !actor.Rate.Unlimited() {
			key.LimitKey = limitKey(actor) // a limited key gains nothing by making others
		}
		return s.insertKey(tx, client, &key, secret, actor.ID, encode)
	})
}

// RotateKey gives a key's holder a new one with the same rights, name and limit. The old key ends after the overlap or
// at its own expiry, whichever is sooner; the new one at the old one's own. Only an active key that was not replaced
// yet can be rotated; clientID empty stands for any client, for operators.
func (s *Service) RotateKey(ctx context.Context, m Mutation, clientID tallygate.ClientID, id tallygate.KeyID, overlap time.Duration, encode EncodeKey) (Effect, error) {
	if overlap < 0 || overlap > longestOverlap {
		var f faults
		f.rejects("overlap", "it must be from 0s to %s", longestOverlap)
		return Effect{}, f.err()
	}
	secret := NewSecret()
	return s.changeKey(ctx, m, clientID, id, func(tx tallygate.Tx, actor *tallygate.APIKey, client *tallygate.Client, old *tallygate.APIKey) (outcome, error) {
		now := tx.Now()
		if err := mayGrant(m.Actor, actor, client.ID, old); err != nil {
			return outcome{}, err
		}
		if err := rotatable(old, now); err != nil {
			return outcome{}, err
		}
		next := &tallygate.APIKey{
			ID:           s.newKeyID(now),
			ClientID:     old.ClientID,
			Name:         old.Name,
			SecretHash:   hashSecret(secret),
			Permissions:  old.Permissions,
			AllowedCIDRs: old.AllowedCIDRs,
			Rate:         old.Rate,
			ExpiresAt:    old.ExpiresAt,
			LimitKey:     limitKey(old),
			CreatedAt:    stamp(now),
		}
		old.ReplacedBy = next.ID
		if end := stamp(now.Add(overlap)); old.ExpiresAt.IsZero() || end.Before(old.ExpiresAt) {
			old.ExpiresAt = end
		}
		if err := tx.InsertKey(next); err != nil {
			return outcome{}, err
		}
		if err := tx.SaveKey(old); err != nil {
			return outcome{}, err
		}
		done, err := s.keyChanged(tx, client, old.ID, actor.ID, tallygate.EventKeyRotated, map[string]any{
			"name": old.Name, "replaced_by": next.ID, "expires_at": old.ExpiresAt,
		})
		done.key = next.ID
		done.answer, done.record = encode(next, FormatKey(next.ID, secret)), encode(next, "")
		return done, err
	})
}

func rotatable(k *tallygate.APIKey, now time.Time) error {
	switch status := k.Status(now); {
	case k.ReplacedBy != "":
		return tallygate.Errorf(tallygate.InvalidRequest, "%s was already replaced by %s; rotate that one", k.ID, k.ReplacedBy)
	case status != tallygate.KeyActive:
		return tallygate.Errorf(tallygate.InvalidRequest, "%s is %s and cannot be rotated; create a new key", k.ID, status)
	}
	return nil
}

// RevokeKey ends a key at once and for good. Revoking again changes nothing. The operator's last active key that can
// write clients stays; clientID empty stands for any client, for operators.
func (s *Service) RevokeKey(ctx context.Context, m Mutation, clientID tallygate.ClientID, id tallygate.KeyID, encode func(*tallygate.APIKey) []byte) (Effect, error) {
	return s.changeKey(ctx, m, clientID, id, func(tx tallygate.Tx, actor *tallygate.APIKey, client *tallygate.Client, key *tallygate.APIKey) (outcome, error) {
		if !key.RevokedAt.IsZero() {
			return outcome{answer: encode(key)}, nil
		}
		now := tx.Now()
		if client.Operator && runsServer(key, now) {
			left, err := operatorKey(tx, now, func(k *tallygate.APIKey) bool { return k.ID != key.ID })
			if err != nil {
				return outcome{}, err
			}
			if left == nil {
				return outcome{}, errLastKey
			}
		}
		key.RevokedAt = stamp(now)
		if err := tx.SaveKey(key); err != nil {
			return outcome{}, err
		}
		done, err := s.keyChanged(tx, client, key.ID, actor.ID, tallygate.EventKeyRevoked, map[string]any{"name": key.Name})
		done.answer = encode(key)
		return done, err
	})
}

// runsServer reports whether an operator's key is enough to run the server: with it every other key can be made.
func runsServer(k *tallygate.APIKey, now time.Time) bool {
	return k.Status(now) == tallygate.KeyActive && k.Permissions.Has(tallygate.ClientsWrite)
}

// operatorKey finds a key that runs the server, among those that the caller means; nil where there is none.
func operatorKey(tx tallygate.Tx, now time.Time, meant func(*tallygate.APIKey) bool) (*tallygate.APIKey, error) {
	page := tallygate.Page{Limit: 100}
	for {
		keys, err := tx.Keys(tallygate.OperatorClientID, page)
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			if runsServer(k, now) && meant(k) {
				return k, nil
			}
		}
		if len(keys) < page.Limit {
			return nil, nil
		}
		page.After = string(keys[len(keys)-1].ID)
	}
}

func (s *Service) newKeyID(now time.Time) tallygate.KeyID {
	return tallygate.KeyID(s.ids.Next(tallygate.KeyPrefix, now))
}

// insertKey gives the key an ID and the secret, and tells of it.
func (s *Service) insertKey(tx tallygate.Tx, client *tallygate.Client, k *tallygate.APIKey, secret string, actor tallygate.KeyID, encode EncodeKey) (outcome, error) {
	now := tx.Now()
	k.ID = s.newKeyID(now)
	if k.LimitKey == "" {
		k.LimitKey = k.ID
	}
	k.SecretHash = hashSecret(secret)
	k.CreatedAt = stamp(now)
	if err := tx.InsertKey(k); err != nil {
		return outcome{}, err
	}
	done, err := s.keyChanged(tx, client, k.ID, actor, tallygate.EventKeyCreated, map[string]any{"name": k.Name, "permissions": k.Permissions})
	done.answer, done.record = encode(k, FormatKey(k.ID, secret)), encode(k, "")
	return done, err
}

// keyChanged raises the client's revision for a change of a key, and tells of it.
func (s *Service) keyChanged(tx tallygate.Tx, client *tallygate.Client, id, actor tallygate.KeyID, kind string, data map[string]any) (outcome, error) {
	revision, err := raise(tx, client)
	if err != nil {
		return outcome{}, err
	}
	return outcome{client: client.ID, key: id, revision: revision}, s.tell(tx, kind, client.ID, string(id), actor, data)
}

// changeKey runs a decision about one key of a client. An operator's key that changes a client's key has to be one that
// may change clients.
func (s *Service) changeKey(ctx context.Context, m Mutation, clientID tallygate.ClientID, id tallygate.KeyID,
	decide func(tx tallygate.Tx, actor *tallygate.APIKey, client *tallygate.Client, key *tallygate.APIKey) (outcome, error),
) (Effect, error) {
	if clientID == "" && !m.Actor.Operator() {
		return Effect{}, errOperatorsOnly
	}
	return s.change(ctx, m, func(tx tallygate.Tx, actor *tallygate.APIKey) (outcome, error) {
		owner := clientID
		if owner == "" {
			key, err := findKey(tx, "", id)
			if err != nil {
				return outcome{}, err
			}
			owner = key.ClientID
		}
		if owner != actor.ClientID && m.Actor.Operator() && !actor.Permissions.Has(tallygate.ClientsWrite) {
			return outcome{}, lacks(tallygate.ClientsWrite)
		}
		client, err := s.clientOf(tx, m.Actor, owner)
		if err != nil {
			return outcome{}, err
		}
		key, err := findKey(tx, owner, id)
		if err != nil {
			return outcome{}, err
		}
		return decide(tx, actor, client, key)
	})
}

// clientOf reads the client whose keys are changed. For a client's key there is none but its own.
func (s *Service) clientOf(tx tallygate.Tx, actor *Caller, id tallygate.ClientID) (*tallygate.Client, error) {
	if !actor.Operator() && id != actor.Client.ID {
		return nil, errClientNotFound
	}
	return findClient(tx, id)
}

// findKey reads a key that must be there, of the client or, with none named, of any.
func findKey(tx tallygate.Tx, clientID tallygate.ClientID, id tallygate.KeyID) (*tallygate.APIKey, error) {
	if !tallygate.ValidID(tallygate.KeyPrefix, string(id)) {
		return nil, errKeyNotFound
	}
	k, err := tx.Key(id)
	if err == nil && (k == nil || clientID != "" && k.ClientID != clientID) {
		return nil, errKeyNotFound
	}
	return k, err
}

// Key reads a key of the client, or with none named of any; API_KEY_NOT_FOUND where there is none.
func (s *Service) Key(ctx context.Context, clientID tallygate.ClientID, id tallygate.KeyID) (k *tallygate.APIKey, err error) {
	err = s.store.View(ctx, func(tx tallygate.Tx) (err error) {
		k, err = findKey(tx, clientID, id)
		return err
	})
	if err == nil {
		s.uses.overlay(k)
	}
	return k, err
}

// Keys lists a client's keys, newest first; the cursor is the ID of the last one seen.
func (s *Service) Keys(ctx context.Context, clientID tallygate.ClientID, page tallygate.Page) (keys []*tallygate.APIKey, err error) {
	if err := checkCursor(tallygate.KeyPrefix, page); err != nil {
		return nil, err
	}
	err = s.store.View(ctx, func(tx tallygate.Tx) (err error) {
		if _, err = findClient(tx, clientID); err == nil {
			keys, err = tx.Keys(clientID, page)
		}
		return err
	})
	for _, k := range keys {
		s.uses.overlay(k)
	}
	return keys, err
}
