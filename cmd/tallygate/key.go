package main

import (
	"context"
	"net/url"
	"strings"
	"time"
)

type keyCmd struct {
	Create keyCreateCmd `cmd:"" help:"Create an API key; its secret is shown once."`
	List   keyListCmd   `cmd:"" help:"List API keys, newest first."`
	Get    keyGetCmd    `cmd:"" help:"Show an API key, without its secret."`
	Revoke keyRevokeCmd `cmd:"" help:"Revoke an API key for good."`
	Rotate keyRotateCmd `cmd:"" help:"Replace an API key; both work during an overlap."`
	Scan   keyScanCmd   `cmd:"" help:"Find API keys left in files, offline."`
}

func (keyCmd) Help() string {
	return "A client manages its own keys; an operator any client's.\n\nExamples:\n\n" +
		"    tallygate key create --client cl_01jz3v6r1m8k4t2q9w7x5y3b0c --name ci --permission preset:submit\n" +
		"    tallygate key scan .\n"
}

// apiKey is an API key as the API shows it.
type apiKey struct {
	ID           string     `json:"id"`
	ClientID     string     `json:"client_id"`
	Key          *string    `json:"key"` // once
	Name         string     `json:"name"`
	Status       string     `json:"status"`
	Permissions  []string   `json:"permissions"`
	AllowedCIDRs []string   `json:"allowed_cidrs"`
	ExpiresAt    *time.Time `json:"expires_at"`
	RevokedAt    *time.Time `json:"revoked_at"`
	ReplacedBy   *string    `json:"replaced_by"`
	LastUsedAt   *time.Time `json:"last_used_at"`
	CreatedAt    *time.Time `json:"created_at"`
	Limits       *struct {
		RequestsPerSecond float64 `json:"requests_per_second"`
		Burst             int64   `json:"burst"`
	} `json:"limits"`
}

func (a *app) showKey(k apiKey) error {
	limit, replaced, text := "", "", ""
	if k.Limits != nil {
		limit = rate(k.Limits.RequestsPerSecond, k.Limits.Burst)
	}
	if k.ReplacedBy != nil {
		replaced = *k.ReplacedBy
	}
	if k.Key != nil {
		text = *k.Key
	}
	return a.printRecord(
		field{"id", k.ID},
		field{"name", k.Name},
		field{"client", k.ClientID},
		field{"status", k.Status},
		field{"permissions", strings.Join(k.Permissions, ", ")},
		field{"allowed addresses", strings.Join(k.AllowedCIDRs, ", ")},
		field{"requests per second", limit},
		field{"expires", a.when(k.ExpiresAt)},
		field{"revoked", a.when(k.RevokedAt)},
		field{"replaced by", replaced},
		field{"last used", a.when(k.LastUsedAt)},
		field{"created", a.when(k.CreatedAt)},
		field{"key", text},
	)
}

// showNewKey shows a key with its secret, which is stored nowhere.
func (a *app) showNewKey(k apiKey) error {
	if err := a.showKey(k); err != nil {
		return err
	}
	if k.Key == nil {
		a.note("this repeats an earlier call: the secret was shown then and is stored nowhere")
		return nil
	}
	a.note("keep the key now: it is stored nowhere and never shown again")
	return nil
}

type keyCreateCmd struct {
	Client            string   `placeholder:"CLIENT" help:"Client that the key is for (operators); default: your own."`
	Name              string   `placeholder:"NAME" help:"What the key is for, such as ci."`
	Permission        []string `required:"" placeholder:"PERMISSION" help:"What it may do, such as jobs:write or preset:submit; repeat or separate by commas."`
	Expires           string   `placeholder:"WHEN" help:"When it ends: a time, or a duration from now such as 720h."`
	AllowedCIDR       []string `name:"allowed-cidr" placeholder:"CIDR" help:"Addresses it may be used from; default: any."`
	RequestsPerSecond *float64 `placeholder:"N" help:"A limit of its own, within the client's."`
	Burst             *int64   `placeholder:"N" help:"Requests that pass at one instant."`
	IdempotencyKey    string   `placeholder:"KEY" help:"Repeat the call under the same key and nothing is done twice."`
}

func (keyCreateCmd) Help() string {
	return "A key never holds more than the one that creates it. The presets are full, submit, read_only, worker and operator.\n\nExamples:\n\n" +
		"    tallygate key create --name ci --permission jobs:read,jobs:write --expires 720h\n" +
		"    tallygate key create --client cl_01jz3v6r1m8k4t2q9w7x5y3b0c --name web --permission preset:full\n" +
		"    tallygate key create --name worker-1 --permission work --allowed-cidr 10.0.0.0/8\n"
}

func (c *keyCreateCmd) Run(ctx context.Context, a *app) error {
	request, limits := map[string]any{"name": c.Name}, map[string]any{}
	if len(c.Permission) > 0 {
		request["permissions"] = c.Permission
	}
	if len(c.AllowedCIDR) > 0 {
		request["allowed_cidrs"] = c.AllowedCIDR
	}
	if c.Expires != "" {
		at, err := a.moment("--expires", c.Expires)
		if err != nil {
			return err
		}
		request["expires_at"] = at
	}
	put(limits, "requests_per_second", c.RequestsPerSecond)
	put(limits, "burst", c.Burst)
	if len(limits) > 0 {
		request["limits"] = limits
	}
	return call(idempotent(ctx, c.IdempotencyKey), a, "POST", keysOf(c.Client), nil, request, a.showNewKey)
}

// keysOf is where the keys of a client are, or one's own.
func keysOf(client string) string {
	if client == "" {
		return "/v1/api-keys"
	}
	return at("/v1/clients/%s/api-keys", client)
}

type keyListCmd struct {
	Client string `placeholder:"CLIENT" help:"Client whose keys to list (operators); default: your own."`
	listFlags
}

func (keyListCmd) Help() string {
	return "Examples:\n\n    tallygate key list\n    tallygate key list --client cl_01jz3v6r1m8k4t2q9w7x5y3b0c --json\n"
}

func (c *keyListCmd) Run(ctx context.Context, a *app) error {
	columns := []column{left("id"), left("name"), status("status"), left("permissions"), left("expires"), left("last used")}
	return list(ctx, a, c.listFlags, keysOf(c.Client), url.Values{}, "API keys", columns, func(k apiKey) []string {
		return []string{k.ID, k.Name, k.Status, some(k.Permissions), a.ago(k.ExpiresAt), a.ago(k.LastUsedAt)}
	})
}

// some shows the first few of a list.
func some(all []string) string {
	const most = 3
	if len(all) <= most {
		return strings.Join(all, ", ")
	}
	return strings.Join(all[:most-1], ", ") + " and " + count(int64(len(all)-most+1)) + " more"
}

type keyGetCmd struct {
	ID string `arg:"" name:"key" help:"The key's ID (key_…)."`
}

func (keyGetCmd) Help() string {
	return "Example:\n\n    tallygate key get key_01jz3v6r1m8k4t2q9w7x5y3b0c\n"
}

func (c *keyGetCmd) Run(ctx context.Context, a *app) error {
	return call(ctx, a, "GET", at("/v1/api-keys/%s", c.ID), nil, nil, a.showKey)
}

type keyRevokeCmd struct {
	ID string `arg:"" name:"key" help:"The key's ID (key_…)."`
}

func (keyRevokeCmd) Help() string {
	return "It stops working everywhere within two seconds, and never works again.\n\nExample:\n\n" +
		"    tallygate key revoke key_01jz3v6r1m8k4t2q9w7x5y3b0c\n"
}

func (c *keyRevokeCmd) Run(ctx context.Context, a *app) error {
	return call(ctx, a, "POST", at("/v1/api-keys/%s/revoke", c.ID), nil, nil, a.showKey)
}

type keyRotateCmd struct {
	ID             string        `arg:"" name:"key" help:"The key's ID (key_…)."`
	Overlap        time.Duration `default:"24h" help:"How long the old key still works (default: ${default})."`
	IdempotencyKey string        `placeholder:"KEY" help:"Repeat the call under the same key and nothing is done twice."`
}

func (keyRotateCmd) Help() string {
	return "The new key has the old one's permissions, addresses, limits and expiry.\n\nExamples:\n\n" +
		"    tallygate key rotate key_01jz3v6r1m8k4t2q9w7x5y3b0c\n" +
		"    tallygate key rotate key_01jz3v6r1m8k4t2q9w7x5y3b0c --overlap 1h\n"
}

func (c *keyRotateCmd) Run(ctx context.Context, a *app) error {
	request := map[string]any{"overlap": c.Overlap.String()}
	return call(idempotent(ctx, c.IdempotencyKey), a, "POST", at("/v1/api-keys/%s/rotate", c.ID), nil, request, a.showNewKey)
}
