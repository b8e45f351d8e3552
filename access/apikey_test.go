package access

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
)

func TestCreateKey(t *testing.T) {
	h := newHouse(t)
	c := h.client("Acme")
	before := h.revision()
	made, text := h.key(c.ID, NewKey{
		Name:         "ci",
		Permissions:  []string{"jobs:write", "preset:read_only", "jobs:write"},
		ExpiresAt:    in(time.Hour + 1),
		AllowedCIDRs: []string{"203.0.113.0/24", "198.51.100.7", "2001:db8::1", "::ffff:192.0.2.0/120"},
		Rate:         rate(2.5, 5),
	})
	k := h.read(made.ID)
	if k.Name != "ci" || k.ClientID != c.ID || k.LimitKey != k.ID || k.Rate != rate(2.5, 5) || !k.CreatedAt.Equal(noon) || !k.LastUsedAt.IsZero() {
		t.Errorf("the key is %+v", k)
	}
	if got := join(k.Permissions); got != "account:read, jobs:read, jobs:write, keys:read, webhooks:read" {
		t.Errorf("the permissions are %s", got)
	}
	if !k.ExpiresAt.Equal(in(time.Hour)) || !made.ExpiresAt.Equal(k.ExpiresAt) {
		t.Errorf("the expiry is answered as %v and stored as %v", made.ExpiresAt, k.ExpiresAt)
	}
	var cidrs []string
	for _, p := range k.AllowedCIDRs {
		cidrs = append(cidrs, p.String())
	}
	if got := strings.Join(cidrs, " "); got != "203.0.113.0/24 198.51.100.7/32 2001:db8::1/128 192.0.2.0/24" {
		t.Errorf("the addresses are %s", got)
	}
	id, secret, err := ParseKey(text)
	if err != nil || id != made.ID || k.SecretHash != hashSecret(secret) {
		t.Errorf("%s, %v is not the text of %s", id, err, made.ID)
	}
	client, err := h.service.Client(t.Context(), c.ID)
	h.must(err)
	if client.Revision != before+1 || h.revision() != before+1 {
		t.Errorf("the revision is %d, and %d the client's", h.revision(), client.Revision)
	}
	events := h.events(string(made.ID))
	if len(events) != 1 || events[0].Kind != tallygate.EventKeyCreated || events[0].Actor != h.operator.Key.ID || events[0].ClientID != c.ID ||
		!strings.Contains(string(events[0].Data), `"name":"ci"`) || strings.Contains(string(events[0].Data), secret) {
		t.Errorf("told: %+v", events)
	}
}

func TestCreateKeyRefusesAllFaultsAtOnce(t *testing.T) {
	h := newHouse(t)
	c := h.client("Acme")
	for name, s := range map[string]struct {
		in   NewKey
		code tallygate.Code
		says []string
	}{
		"no permissions":      {NewKey{}, tallygate.MissingParameter, []string{"permissions"}},
		"empty permissions":   {NewKey{Permissions: []string{}}, tallygate.InvalidParameter, []string{"permissions: ", "at least one"}},
		"unknown permissions": {NewKey{Permissions: []string{"jobs:read", "jobs:reed", "preset:all"}}, tallygate.InvalidParameter, []string{"jobs:reed", "preset:all", "jobs:write"}},
		"an operator's":       {NewKey{Permissions: []string{"jobs:read", "work"}}, tallygate.InvalidParameter, []string{"permissions: work"}},
		"an operator's set":   {NewKey{Permissions: []string{"preset:operator"}}, tallygate.InvalidParameter, []string{"operators' keys"}},
		"several": {NewKey{
			Name:         "\n",
			Permissions:  []string{"?"},
			ExpiresAt:    noon,
			AllowedCIDRs: []string{"203.0.113.5/24", "example.com", "fe80::1%eth0", "::ffff:1.2.3.4/90", "1.2.3.4/33"},
			Rate:         rate(0, 1),
		}, tallygate.InvalidParameter, []string{"name: ", "permissions: ", "expires_at: ", "write 203.0.113.0/24", `"example.com"`, "eth0", "/90", "/33", "limits.requests_per_second: "}},
		"too many addresses": {NewKey{Permissions: []string{"jobs:read"}, AllowedCIDRs: slices.Repeat([]string{"1.2.3.4"}, 101)}, tallygate.InvalidParameter, []string{"100"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := h.createKey(h.operator, c.ID, s.in)
			wantCode(t, err, s.code, s.says...)
		})
	}
	_, _, err := h.createKey(h.operator, "cl_01jz0000000000000000000000", NewKey{Permissions: []string{"jobs:read"}})
	wantCode(t, err, tallygate.ClientNotFound)
	_, _, err = h.createKey(h.operator, "cl_x", NewKey{Permissions: []string{"jobs:read"}})
	wantCode(t, err, tallygate.ClientNotFound)
}

func TestRotateKey(t *testing.T) {
	for name, c := range map[string]struct {
		expiry, overlap time.Duration // expiry 0: never
		ends            time.Duration // of the old key
	}{
		"without expiry":           {0, time.Hour, time.Hour},
		"an expiry after overlap":  {2 * time.Hour, time.Hour, time.Hour},
		"an expiry within overlap": {time.Minute, time.Hour, time.Minute},
		"no overlap":               {time.Hour, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			made := NewKey{Name: "ci", Permissions: []string{"jobs:read", "keys:write"}, AllowedCIDRs: []string{"203.0.113.0/24"}, Rate: rate(1, 2)}
			if c.expiry > 0 {
				made.ExpiresAt = in(c.expiry)
			}
			old, oldText := h.key(h.client("Acme").ID, made)
			before := h.revision()
			next, text, err := h.rotate(h.caller(oldText), old, c.overlap) // by itself
			h.must(err)

			was, is := h.read(old.ID), h.read(next.ID)
			if was.ReplacedBy != is.ID || !was.ExpiresAt.Equal(in(c.ends)) || was.SecretHash != old.SecretHash {
				t.Errorf("the old key is %+v", was)
			}
			if is.ID == was.ID || is.SecretHash == was.SecretHash || is.Name != "ci" || !slices.Equal(is.Permissions, was.Permissions) ||
				!slices.Equal(is.AllowedCIDRs, was.AllowedCIDRs) || is.Rate != was.Rate || is.LimitKey != was.ID ||
				!is.ExpiresAt.Equal(old.ExpiresAt) || is.ReplacedBy != "" {
				t.Errorf("the new key is %+v", is)
			}
			if h.revision() != before+1 {
				t.Error("the revision was not raised once")
			}
			h.caller(text)
			_, err = h.service.Authenticate(t.Context(), bearer(oldText), nil, here)
			if c.overlap > 0 {
				h.must(err)
				h.clock.at(c.ends)
				_, err = h.service.Authenticate(t.Context(), bearer(oldText), nil, here)
			}
			wantCode(t, err, tallygate.ExpiredAPIKey)
			events := h.events(string(old.ID))
			if last := events[len(events)-1]; last.Kind != tallygate.EventKeyRotated || last.Actor != old.ID || !strings.Contains(string(last.Data), string(next.ID)) {
				t.Errorf("told: %s %s", last.Kind, last.Data)
			}
		})
	}
}

func TestRotateKeyRefuses(t *testing.T) {
	h := newHouse(t)
	c, other := h.client("Acme"), h.client("Other")
	revoked, _ := h.key(c.ID, NewKey{})
	h.must(h.revoke(h.operator, revoked))
	replaced, _ := h.key(c.ID, NewKey{})
	_, _, err := h.rotate(h.operator, replaced, time.Hour)
	h.must(err)
	expiring, _ := h.key(c.ID, NewKey{ExpiresAt: in(time.Minute)})
	foreign, _ := h.key(other.ID, NewKey{})
	wide, _ := h.key(c.ID, NewKey{})
	_, narrowText := h.key(c.ID, NewKey{Permissions: []string{"keys:write"}})
	h.clock.pass(time.Minute)

	for name, s := range map[string]struct {
		actor   *Caller
		client  tallygate.ClientID
		id      tallygate.KeyID
		overlap time.Duration
		code    tallygate.Code
		says    string
	}{
		"revoked":                  {h.operator, c.ID, revoked.ID, 0, tallygate.InvalidRequest, "revoked"},
		"replaced":                 {h.operator, c.ID, replaced.ID, 0, tallygate.InvalidRequest, "replaced"},
		"expired":                  {h.operator, c.ID, expiring.ID, 0, tallygate.InvalidRequest, "expired"},
		"another client's":         {h.operator, c.ID, foreign.ID, 0, tallygate.APIKeyNotFound, ""},
		"unknown":                  {h.operator, c.ID, sampleID, 0, tallygate.APIKeyNotFound, ""},
		"ill-shaped":               {h.operator, c.ID, "key_x", 0, tallygate.APIKeyNotFound, ""},
		"ill-shaped of any client": {h.operator, "", "key_x", 0, tallygate.APIKeyNotFound, ""},
		"unknown client":           {h.operator, "cl_01jz0000000000000000000000", wide.ID, 0, tallygate.ClientNotFound, ""},
		"negative overlap":         {h.operator, c.ID, wide.ID, -1, tallygate.InvalidParameter, "overlap"},
		"overlap of two years":     {h.operator, c.ID, wide.ID, 2 * 365 * 24 * time.Hour, tallygate.InvalidParameter, "overlap"},
		"wider than the actor":     {h.caller(narrowText), c.ID, wide.ID, 0, tallygate.InsufficientPermissions, "jobs:write"},
		"any client, by a client":  {h.caller(narrowText), "", wide.ID, 0, tallygate.AuthorizationFailed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := h.service.RotateKey(t.Context(), h.as(s.actor), s.client, s.id, s.overlap, func(*tallygate.APIKey, string) []byte { return nil })
			wantCode(t, err, s.code, s.says)
		})
	}
	if _, err := h.service.RotateKey(t.Context(), h.as(h.operator), "", wide.ID, 0, func(*tallygate.APIKey, string) []byte { return nil }); err != nil {
		t.Errorf("an operator rotates a key without naming its client: %v", err)
	}
}

func TestReplayedKeysShowNoSecret(t *testing.T) {
	h := newHouse(t)
	c := h.client("Acme")
	encode := func(k *tallygate.APIKey, text string) []byte {
		body, _ := json.Marshal(map[string]any{"id": k.ID, "key": text})
		return body
	}
	named := func(name string) Mutation {
		return Mutation{Actor: h.operator, Idempotency: tallygate.Idempotency{Key: name}}
	}
	var first tallygate.KeyID
	for name, do := range map[string]func() (Effect, error){
		"create": func() (Effect, error) {
			return h.service.CreateKey(t.Context(), named("create"), c.ID, NewKey{Permissions: []string{"jobs:read"}}, encode)
		},
		"rotate": func() (Effect, error) {
			if first == "" {
				k, _ := h.key(c.ID, NewKey{})
				first = k.ID
			}
			return h.service.RotateKey(t.Context(), named("rotate"), c.ID, first, time.Hour, encode)
		},
	} {
		var answers [2]struct{ ID, Key string }
		for i := range answers {
			effect, err := do()
			h.must(err)
			if effect.Replayed != (i == 1) {
				t.Errorf("%s %d: replayed is %v", name, i, effect.Replayed)
			}
			h.must(json.Unmarshal(effect.Body, &answers[i]))
		}
		if answers[0].ID != answers[1].ID || answers[1].Key != "" {
			t.Errorf("%s: the replay is of %s with %q", name, answers[1].ID, answers[1].Key)
		}
		if got := h.caller(answers[0].Key).Key.ID; string(got) != answers[0].ID {
			t.Errorf("%s: the key belongs to %s", name, got)
		}
	}
}

func TestRevokeKeyIsIdempotent(t *testing.T) {
	h := newHouse(t)
	k, _ := h.key(h.client("Acme").ID, NewKey{})
	status := func(k *tallygate.APIKey) []byte { return []byte(k.Status(h.clock.now())) }
	before := h.revision()
	for range 2 {
		effect, err := h.service.RevokeKey(t.Context(), h.as(h.operator), "", k.ID, status)
		h.must(err)
		if string(effect.Body) != "revoked" {
			t.Errorf("the answer is %s", effect.Body)
		}
		h.clock.pass(time.Second)
	}
	if h.revision() != before+1 || len(h.events(string(k.ID))) != 2 || !h.read(k.ID).RevokedAt.Equal(noon) {
		t.Errorf("revoked twice: revision %d, %d events, %v", h.revision(), len(h.events(string(k.ID))), h.read(k.ID).RevokedAt)
	}
	foreign, _ := h.key(h.client("Other").ID, NewKey{})
	foreign.ClientID = k.ClientID
	wantCode(t, h.revoke(h.operator, foreign), tallygate.APIKeyNotFound)
}

func TestTheOperatorKeepsAKey(t *testing.T) {
	h := newHouse(t)
	own := func(names ...string) (*tallygate.APIKey, string) {
		return h.key(tallygate.OperatorClientID, NewKey{Permissions: names})
	}
	worker, _ := own("work")
	wantCode(t, h.revoke(h.operator, h.operator.Key), tallygate.InvalidRequest, "clients:write")
	h.must(h.revoke(h.operator, worker))

	dead, _ := own("preset:operator")
	h.must(h.revoke(h.operator, dead))
	_, _ = h.key(tallygate.OperatorClientID, NewKey{Permissions: []string{"clients:write"}, ExpiresAt: in(time.Second)})
	h.clock.pass(time.Second)
	wantCode(t, h.revoke(h.operator, h.operator.Key), tallygate.InvalidRequest, "clients:write")

	second, text := own("clients:write", "keys:write")
	h.must(h.revoke(h.operator, h.operator.Key))
	wantCode(t, h.revoke(h.caller(text), second), tallygate.InvalidRequest, "clients:write")
	for range 120 { // more keys than are read at once
		if _, _, err := h.createKey(h.caller(text), tallygate.OperatorClientID, NewKey{Permissions: []string{"keys:write"}}); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, h.revoke(h.caller(text), second), tallygate.InvalidRequest, "clients:write")
	next, _, err := h.rotate(h.caller(text), second, time.Hour)
	h.must(err)
	h.must(h.revoke(h.caller(text), second))
	if status := h.read(next.ID).Status(h.clock.now()); status != tallygate.KeyActive {
		t.Errorf("the last key is %s", status)
	}
}

func TestKeysAreReadPerClient(t *testing.T) {
	h := newHouse(t)
	c, other := h.client("Acme"), h.client("Other")
	var ids []tallygate.KeyID
	for range 3 {
		k, _ := h.key(c.ID, NewKey{})
		ids = append([]tallygate.KeyID{k.ID}, ids...)
	}
	foreign, _ := h.key(other.ID, NewKey{})
	keys, err := h.service.Keys(t.Context(), c.ID, tallygate.Page{Limit: 2})
	h.must(err)
	more, err := h.service.Keys(t.Context(), c.ID, tallygate.Page{After: string(keys[1].ID), Limit: 2})
	h.must(err)
	var got []tallygate.KeyID
	for _, k := range append(keys, more...) {
		got = append(got, k.ID)
	}
	if !slices.Equal(got, ids) {
		t.Errorf("the keys are %v, want the newest first, %v", got, ids)
	}
	_, err = h.service.Key(t.Context(), c.ID, foreign.ID)
	wantCode(t, err, tallygate.APIKeyNotFound)
	_, err = h.service.Key(t.Context(), c.ID, "key_x")
	wantCode(t, err, tallygate.APIKeyNotFound)
	if k, err := h.service.Key(t.Context(), "", foreign.ID); err != nil || k.ClientID != other.ID {
		t.Errorf("any client's: %+v, %v", k, err)
	}
	_, err = h.service.Keys(t.Context(), "cl_x", tallygate.Page{Limit: 2})
	wantCode(t, err, tallygate.ClientNotFound)
	_, err = h.service.Keys(t.Context(), c.ID, tallygate.Page{After: "x", Limit: 2})
	wantCode(t, err, tallygate.InvalidParameter, "cursor")
}

func TestOperatorsChangeClientsKeysOnlyWithClientsWrite(t *testing.T) {
	h := newHouse(t)
	theirs, _ := h.key(h.client("Acme").ID, NewKey{})
	ours, text := h.key(tallygate.OperatorClientID, NewKey{Permissions: []string{"keys:write"}})
	narrow := h.caller(text)
	for _, owner := range []tallygate.ClientID{"", theirs.ClientID} {
		_, err := h.service.RotateKey(t.Context(), h.as(narrow), owner, theirs.ID, 0, func(*tallygate.APIKey, string) []byte { return nil })
		wantCode(t, err, tallygate.InsufficientPermissions, "clients:write")
		_, err = h.service.RevokeKey(t.Context(), h.as(narrow), owner, theirs.ID, func(*tallygate.APIKey) []byte { return nil })
		wantCode(t, err, tallygate.InsufficientPermissions, "clients:write")
	}
	_, err := h.service.RevokeKey(t.Context(), h.as(narrow), "", ours.ID, func(*tallygate.APIKey) []byte { return nil })
	h.must(err)
}

func TestAClientsKeyIsToldThatItMayNotGrantWhatIsTheOperators(t *testing.T) {
	h := newHouse(t)
	client := h.client("Acme").ID
	_, text := h.key(client, NewKey{})
	for _, name := range []string{"work", "preset:operator"} {
		_, _, err := h.createKey(h.caller(text), client, NewKey{Permissions: []string{name}})
		wantCode(t, err, tallygate.InsufficientPermissions, "work")
	}
}
