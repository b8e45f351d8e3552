package access

import (
	"testing"
	"time"

	"github.com/tallygate/tallygate"
)

func TestAuthorize(t *testing.T) {
	client := &tallygate.Client{ID: "cl_x"}
	operator := &tallygate.Client{ID: tallygate.OperatorClientID, Operator: true}
	s := New(nil, Options{})
	for name, c := range map[string]struct {
		client *tallygate.Client
		has    tallygate.PermissionSet
		needs  tallygate.Permission
		ok     bool
		code   tallygate.Code
		says   string
	}{
		"has it":                            {client, tallygate.PermissionSet{tallygate.JobsRead}, tallygate.JobsRead, true, 0, ""},
		"lacks it":                          {client, tallygate.PermissionSet{tallygate.JobsRead}, tallygate.JobsWrite, false, tallygate.InsufficientPermissions, "jobs:write"},
		"an operator's, by a client":        {client, tallygate.PermissionSet{tallygate.JobsRead}, tallygate.Work, false, tallygate.AuthorizationFailed, "operator"},
		"an operator's, held by a client":   {client, tallygate.PermissionSet{tallygate.Work}, tallygate.Work, false, tallygate.AuthorizationFailed, "operator"},
		"an operator's, by an operator":     {operator, tallygate.PermissionSet{tallygate.Work}, tallygate.Work, true, 0, ""},
		"an operator's, lacked by operator": {operator, tallygate.PermissionSet{tallygate.Work}, tallygate.AuditRead, false, tallygate.InsufficientPermissions, "audit:read"},
		"a client's, by an operator":        {operator, tallygate.PermissionSet{tallygate.JobsRead}, tallygate.JobsRead, true, 0, ""},
		"a client's, lacked by an operator": {operator, tallygate.PermissionSet{tallygate.Work}, tallygate.JobsRead, false, tallygate.InsufficientPermissions, "jobs:read"},
	} {
		t.Run(name, func(t *testing.T) {
			err := s.Authorize(&Caller{Key: &tallygate.APIKey{Permissions: c.has}, Client: c.client}, c.needs)
			if !c.ok {
				wantCode(t, err, c.code, c.says)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// A caller that was read before a change is judged again inside the transaction of what it does.
func TestRecheck(t *testing.T) {
	h := newHouse(t)
	for name, c := range map[string]struct {
		change func(h *house, c *tallygate.Client, k *tallygate.APIKey)
		ok     bool
		code   tallygate.Code
	}{
		"nothing changed": {func(*house, *tallygate.Client, *tallygate.APIKey) {}, true, 0},
		"another client changed": {func(h *house, _ *tallygate.Client, _ *tallygate.APIKey) {
			h.must(h.suspend(h.client("Other").ID))
		}, true, 0},
		"limits changed": {func(h *house, c *tallygate.Client, _ *tallygate.APIKey) { h.setRate(c.ID, 7, 7) }, true, 0},
		"another key revoked": {func(h *house, c *tallygate.Client, _ *tallygate.APIKey) {
			other, _ := h.key(c.ID, NewKey{})
			h.must(h.revoke(h.operator, other))
		}, true, 0},
		"revoked":   {func(h *house, _ *tallygate.Client, k *tallygate.APIKey) { h.must(h.revoke(h.operator, k)) }, false, tallygate.RevokedAPIKey},
		"suspended": {func(h *house, c *tallygate.Client, _ *tallygate.APIKey) { h.must(h.suspend(c.ID)) }, false, tallygate.SuspendedAccount},
		"rotated, within the overlap": {func(h *house, _ *tallygate.Client, k *tallygate.APIKey) {
			_, _, err := h.rotate(h.operator, k, time.Hour)
			h.must(err)
		}, true, 0},
		"rotated, without overlap": {func(h *house, _ *tallygate.Client, k *tallygate.APIKey) {
			_, _, err := h.rotate(h.operator, k, 0)
			h.must(err)
		}, false, tallygate.ExpiredAPIKey},
	} {
		t.Run(name, func(t *testing.T) {
			client := h.client("Acme")
			k, text := h.key(client.ID, NewKey{})
			caller := h.caller(text)
			c.change(h, client, k)
			var seen *tallygate.Client
			err := h.store.Update(t.Context(), func(tx tallygate.Tx) (err error) {
				seen, err = h.service.Recheck(tx, caller)
				return err
			})
			if !c.ok {
				wantCode(t, err, c.code)
				return
			}
			h.must(err)
			if seen.ID != client.ID {
				t.Errorf("the client is %+v", seen)
			}
		})
	}
}

func TestRecheckRefusesLostPermissions(t *testing.T) {
	h := newHouse(t)
	c := h.client("Acme")
	_, text := h.key(c.ID, NewKey{Permissions: []string{"jobs:read"}})
	before := *h.caller(text)
	key := *before.Key
	key.Permissions = tallygate.PermissionSet{tallygate.JobsRead, tallygate.JobsWrite}
	before.Key = &key
	before.Revision--
	err := h.store.Update(t.Context(), func(tx tallygate.Tx) error {
		_, err := h.service.Recheck(tx, &before)
		return err
	})
	wantCode(t, err, tallygate.InsufficientPermissions, "jobs:write")
}
