package api

import (
	"net/netip"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/access"
)

const (
	maxPermissions = 100
	maxCIDRs       = 1000
	usualOverlap   = 24 * time.Hour
)

// appendKey appends an API key without its secret. What is appended between the ID and the rest is the member "key",
// where the answer has one.
func (s *Server) appendKey(b []byte, k *tallygate.APIKey, secretMember string) []byte {
	b = append(b, `{"id":"`...)
	b = append(b, k.ID...)
	b = append(b, `",`...)
	b = append(b, secretMember...)
	b = append(b, `"client_id":"`...)
	b = append(b, k.ClientID...)
	b = append(b, `","name":`...)
	b = appendText(b, k.Name)
	b = append(b, `,"status":"`...)
	b = append(b, k.Status(s.opt.Access.Clock())...)
	b = append(b, `","permissions":`...)
	b = appendList(b, k.Permissions, appendText[tallygate.Permission])
	b = append(b, `,"allowed_cidrs":`...)
	b = appendList(b, k.AllowedCIDRs, func(b []byte, p netip.Prefix) []byte {
		b = append(b, '"')
		b = p.AppendTo(b)
		return append(b, '"')
	})
	b = append(b, `,"limits":`...)
	b = appendRate(b, k.Rate)
	b = append(b, `,"expires_at":`...)
	b = appendTime(b, k.ExpiresAt)
	b = append(b, `,"revoked_at":`...)
	b = appendTime(b, k.RevokedAt)
	b = append(b, `,"replaced_by":`...)
	b = appendTextOrNull(b, k.ReplacedBy)
	b = append(b, `,"created_at":`...)
	b = appendTime(b, k.CreatedAt)
	b = append(b, `,"last_used_at":`...)
	b = appendTime(b, k.LastUsedAt)
	return append(b, '}')
}

// encodeNewKey writes a key as the answer to its making: with its text, or with null where it can't be shown again.
func (c *call) encodeNewKey(k *tallygate.APIKey, text string) []byte {
	member := `"key":null,`
	if text != "" {
		member = `"key":"` + text + `",`
	}
	return c.server.appendKey(nil, k, member)
}

func (c *call) encodeKey(k *tallygate.APIKey) []byte { return c.server.appendKey(nil, k, "") }

// keyOwner is the client whose key the path names: the one in the path, else the caller's own; for operators, on the
// paths without a client, any client's.
func (c *call) keyOwner() (tallygate.ClientID, error) {
	if c.r.PathValue("client") == "" && c.caller.Operator() {
		return "", nil
	}
	return c.pathClient()
}

// listKeys is GET /v1/api-keys and GET /v1/clients/{client}/api-keys.
func (c *call) listKeys() error {
	page := c.query().page(keyList, c.r.URL.Path)
	if err := c.checked(); err != nil {
		return err
	}
	id, err := c.pathClient()
	if err != nil {
		return err
	}
	keys, err := c.server.opt.Access.Keys(c.ctx, id, more(page))
	if err != nil {
		return err
	}
	keys, next := cut(keys, page, func(k *tallygate.APIKey) string { return string(k.ID) })
	return c.sendWith(func(b []byte) []byte {
		return appendPage(b, keys, encodeCursor(keyList, c.r.URL.Path, next), func(b []byte, k *tallygate.APIKey) []byte {
			return c.server.appendKey(b, k, "")
		})
	})
}

// createKey is POST /v1/api-keys and POST /v1/clients/{client}/api-keys.
func (c *call) createKey() error {
	o, err := c.object(mustBeThere)
	if err != nil {
		return err
	}
	var in access.NewKey
	in.Name, _ = o.text("name", maxName)
	if in.Permissions, _ = o.texts("permissions", maxPermissions); o.optional("permissions") == nil {
		o.faults.missing("permissions")
	}
	in.ExpiresAt = o.time("expires_at")
	in.AllowedCIDRs, _ = o.texts("allowed_cidrs", maxCIDRs)
	in.Rate = o.rate("limits")
	if err := c.checked(); err != nil {
		return err
	}
	id, err := c.pathClient()
	if err != nil {
		return err
	}
	effect, err := c.server.opt.Access.CreateKey(c.ctx, c.mutation(), id, in, c.encodeNewKey)
	if err != nil {
		return err
	}
	return c.sendEffect(effect.Body, effect.Replayed)
}

// getKey is GET /v1/api-keys/{key} and GET /v1/clients/{client}/api-keys/{key}.
func (c *call) getKey() error {
	if err := c.checked(); err != nil {
		return err
	}
	owner, err := c.keyOwner()
	if err != nil {
		return err
	}
	k, err := c.server.opt.Access.Key(c.ctx, owner, tallygate.KeyID(c.r.PathValue("key")))
	if err != nil {
		return err
	}
	if k.ClientID != c.caller.Client.ID { // only an operator comes here
		if err := c.server.opt.Access.Authorize(c.caller, tallygate.ClientsRead); err != nil {
			return err
		}
	}
	return c.send(c.encodeKey(k))
}

// revokeKey is POST …/api-keys/{key}/revoke.
func (c *call) revokeKey() error {
	if _, err := c.object(mayBeEmpty); err != nil {
		return err
	}
	if err := c.checked(); err != nil {
		return err
	}
	owner, err := c.keyOwner()
	if err != nil {
		return err
	}
	effect, err := c.server.opt.Access.RevokeKey(c.ctx, c.mutation(), owner, tallygate.KeyID(c.r.PathValue("key")), c.encodeKey)
	if err != nil {
		return err
	}
	return c.sendEffect(effect.Body, effect.Replayed)
}

// rotateKey is POST …/api-keys/{key}/rotate.
func (c *call) rotateKey() error {
	o, err := c.object(mayBeEmpty)
	if err != nil {
		return err
	}
	overlap := o.duration("overlap", usualOverlap, 0, longestTime)
	if err := c.checked(); err != nil {
		return err
	}
	owner, err := c.keyOwner()
	if err != nil {
		return err
	}
	effect, err := c.server.opt.Access.RotateKey(c.ctx, c.mutation(), owner, tallygate.KeyID(c.r.PathValue("key")), overlap, c.encodeNewKey)
	if err != nil {
		return err
	}
	return c.sendEffect(effect.Body, effect.Replayed)
}
