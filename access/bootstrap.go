package access

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tallygate/tallygate"
)

// Bootstrap makes sure that the server can be run: that the operator's client exists, and a key of it. Without
// operatorKey a key is made unless an active one can write clients, and its text returned with created true. With the
// text of a key, exactly that key is made sure of; it is an error where its ID belongs to another secret or client, or
// where it is no longer in force or lacks operator permissions.
func (s *Service) Bootstrap(ctx context.Context, operatorKey string) (text string, created bool, err error) {
	var id tallygate.KeyID
	secret := NewSecret()
	if operatorKey != "" {
		if id, secret, err = ParseKey(strings.TrimSpace(operatorKey)); err != nil {
			return "", false, fmt.Errorf("operator key: %s", tallygate.AsError(err).Detail)
		}
	}
	var made *tallygate.APIKey
	err = s.store.Update(ctx, func(tx tallygate.Tx) error {
		made = nil
		now := tx.Now()
		found, err := s.operatorKeyFor(tx, now, id, secret)
		if err != nil {
			return err
		}
		client, err := tx.Client(tallygate.OperatorClientID)
		if err != nil {
			return err
		}
		if client == nil {
			if client, err = s.insertOperator(tx, now); err != nil {
				return err
			}
		}
		if found {
			return nil
		}
		made = operatorKeyFrom(id, secret, now)
		if id == "" {
			made.ID = s.newKeyID(now)
		}
		made.LimitKey = made.ID
		if err := tx.InsertKey(made); err != nil {
			return err
		}
		_, err = s.keyChanged(tx, client, made.ID, "", tallygate.EventKeyCreated, map[string]any{"name": made.Name, "permissions": made.Permissions})
		return err
	})
	s.cache.forget(tallygate.OperatorClientID, id, 0)
	switch {
	case err != nil:
		return "", false, err
	case made != nil:
		return FormatKey(made.ID, secret), true, nil
	case id != "":
		return FormatKey(id, secret), false, nil
	}
	return "", false, nil
}

// operatorKeyFor reports whether the operator's key is there: that with the ID, or where none is given any.
func (s *Service) operatorKeyFor(tx tallygate.Tx, now time.Time, id tallygate.KeyID, secret string) (bool, error) {
	if id == "" {
		k, err := operatorKey(tx, now, func(*tallygate.APIKey) bool { return true })
		return k != nil, err
	}
	k, err := tx.Key(id)
	if err != nil || k == nil {
		return false, err
	}
	switch {
	case k.ClientID != tallygate.OperatorClientID:
		return false, fmt.Errorf("operator key: %s is a client's key", id)
	case !holdsSecret(k, secret):
		return false, fmt.Errorf("operator key: %s is known with another secret", id)
	case k.Status(now) != tallygate.KeyActive:
		return false, fmt.Errorf("operator key: %s is %s; give another one", id, k.Status(now))
	}
	if missing := k.Permissions.Missing(tallygate.Presets["operator"]); len(missing) > 0 {
		return false, fmt.Errorf("operator key: %s lacks %s", id, join(missing))
	}
	return true, nil
}

func operatorKeyFrom(id tallygate.KeyID, secret string, now time.Time) *tallygate.APIKey {
	permissions, _ := tallygate.ParsePermissions([]string{tallygate.PresetPrefix + "operator"})
	return &tallygate.APIKey{
		ID:          id,
		ClientID:    tallygate.OperatorClientID,
		Name:        "Operator",
		SecretHash:  hashSecret(secret),
		Permissions: permissions,
		CreatedAt:   stamp(now),
	}
}

func (s *Service) insertOperator(tx tallygate.Tx, now time.Time) (*tallygate.Client, error) {
	c := &tallygate.Client{
		ID:        tallygate.OperatorClientID,
		Name:      "Operator",
		Status:    tallygate.ClientActive,
		Operator:  true,
		Limits:    tallygate.DefaultClientLimits,
		Metadata:  []byte("{}"),
		CreatedAt: stamp(now),
	}
	_, err := s.insertClient(tx, c, "", func(*tallygate.Client) []byte { return nil })
	return c, err
}
