package access

import (
	"context"
	"strings"

	"github.com/tallygate/tallygate"
)

var errOperatorsOnly = tallygate.Errorf(tallygate.AuthorizationFailed, "this is for the operator of the server alone; no client's key may do it")

// Authorize tells whether the caller may do what the permission stands for: AUTHORIZATION_FAILED where only operators
// may, whatever a client's key holds; INSUFFICIENT_PERMISSIONS where the key lacks it.
func (s *Service) Authorize(c *Caller, p tallygate.Permission) error {
	if p.NeedsOperator() && !c.Operator() {
		return errOperatorsOnly
	}
	if !c.Key.Permissions.Has(p) {
		return lacks(p)
	}
	return nil
}

func lacks(p tallygate.Permission) error {
	return tallygate.Errorf(tallygate.InsufficientPermissions, "it lacks %s; use a key that has it", p)
}

// Recheck decides again about a caller inside a write transaction. It returns the client as the transaction sees it.
// If that moved since the caller was read, the key is read again: it must be there, in force and no narrower than
// before, and the client active.
func (s *Service) Recheck(tx tallygate.Tx, c *Caller) (*tallygate.Client, error) {
	client, _, err := s.recheck(tx, c)
	return client, err
}

// Still decides again about a caller who was let in a while ago.
func (s *Service) Still(ctx context.Context, c *Caller) error {
	return s.store.View(ctx, func(tx tallygate.Tx) error {
		_, err := s.Recheck(tx, c)
		return err
	})
}

// recheck is Recheck with the key as it is now.
func (s *Service) recheck(tx tallygate.Tx, c *Caller) (*tallygate.Client, *tallygate.APIKey, error) {
	client, err := tx.Client(c.Client.ID)
	if err != nil {
		return nil, nil, err
	}
	if client == nil {
		return nil, nil, errUnknownKey
	}
	if client.Revision == c.Revision {
		if refusal := inForce(c.Key, tx.Now()); refusal != nil { // time passes without a revision
			return nil, nil, refusal
		}
		return client, c.Key, nil
	}
	key, err := tx.Key(c.Key.ID)
	if err != nil {
		return nil, nil, err
	}
	if key == nil {
		return nil, nil, errUnknownKey
	}
	if refusal := inForce(key, tx.Now()); refusal != nil {
		return nil, nil, refusal
	}
	if client.Status == tallygate.ClientSuspended {
		return nil, nil, errSuspended
	}
	if lost := key.Permissions.Missing(c.Key.Permissions); len(lost) > 0 {
		return nil, nil, tallygate.Errorf(tallygate.InsufficientPermissions, "it has just lost %s; send the request again if it needs none of these", join(lost))
	}
	return client, key, nil
}

func join(set tallygate.PermissionSet) string {
	names := make([]string, len(set))
	for i, p := range set {
		names[i] = string(p)
	}
	return strings.Join(names, ", ")
}
