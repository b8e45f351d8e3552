package main

import (
	"context"
	"strings"
	"time"

	sdk "github.com/tallygate/tallygate/sdk/go"
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

func (a *app) showKey(k *sdk.APIKey) error { return a.showKeyText(k, "") }

// showKeyText shows a key with its text, where there is one.
func (a *app) showKeyText(k *sdk.APIKey, text sdk.Secret) error {
	limit := ""
	if k.Limits != nil {
		limit = rate(k.Limits.RequestsPerSecond, k.Limits.Burst)
	}
	return a.printRecord(
		field{"id", k.ID},
		field{"name", k.Name},
		field{"client", k.ClientID},
		field{"status", string(k.Status)},
		field{"permissions", strings.Join(k.Permissions, ", ")},
		field{"allowed addresses", strings.Join(k.AllowedCIDRs, ", ")},
		field{"requests per second", limit},
		field{"expires", a.when(k.ExpiresAt)},
		field{"revoked", a.when(k.RevokedAt)},
		field{"replaced by", k.ReplacedBy},
		field{"last used", a.when(k.LastUsedAt)},
		field{"created", a.when(k.CreatedAt)},
		field{"key", text.Reveal()},
	)
}

// showNewKey shows a key with its secret, which is stored nowhere.
func (a *app) showNewKey(k *sdk.CreatedAPIKey) error {
	if err := a.showKeyText(&k.APIKey, k.Key); err != nil {
		return err
	}
	if k.Key == "" {
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
	key := sdk.NewAPIKey{Name: c.Name, Permissions: c.Permission, AllowedCIDRs: c.AllowedCIDR}
	if c.Expires != "" {
		at, err := a.moment("--expires", c.Expires)
		if err != nil {
			return err
		}
		key.ExpiresAt = at
	}
	if c.RequestsPerSecond == nil && c.Burst != nil {
		return usagef("--burst goes with --requests-per-second")
	}
	if c.RequestsPerSecond != nil {
		key.Limits = &sdk.RateLimit{RequestsPerSecond: *c.RequestsPerSecond}
		if c.Burst != nil {
			key.Limits.Burst = *c.Burst
		}
	}
	return call(a, func(raw sdk.CallOption) (*sdk.CreatedAPIKey, error) {
		if c.Client == "" {
			return a.api.APIKeys.Create(ctx, key, raw, idempotent(c.IdempotencyKey))
		}
		return a.api.Clients.APIKeys.Create(ctx, c.Client, key, raw, idempotent(c.IdempotencyKey))
	}, a.showNewKey)
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
	return list(a, c.listFlags, func(o sdk.ListOptions, raw sdk.CallOption) (*sdk.Page[sdk.APIKey], error) {
		if c.Client == "" {
			return a.api.APIKeys.List(ctx, o, raw)
		}
		return a.api.Clients.APIKeys.List(ctx, c.Client, o, raw)
	}, "API keys", columns, func(k sdk.APIKey) []string {
		return []string{k.ID, k.Name, string(k.Status), some(k.Permissions), a.ago(k.ExpiresAt), a.ago(k.LastUsedAt)}
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
	return call(a, func(raw sdk.CallOption) (*sdk.APIKey, error) {
		return a.api.APIKeys.Get(ctx, c.ID, raw)
	}, a.showKey)
}

type keyRevokeCmd struct {
	ID string `arg:"" name:"key" help:"The key's ID (key_…)."`
}

func (keyRevokeCmd) Help() string {
	return "It stops working everywhere within two seconds, and never works again.\n\nExample:\n\n" +
		"    tallygate key revoke key_01jz3v6r1m8k4t2q9w7x5y3b0c\n"
}

func (c *keyRevokeCmd) Run(ctx context.Context, a *app) error {
	return call(a, func(raw sdk.CallOption) (*sdk.APIKey, error) {
		return a.api.APIKeys.Revoke(ctx, c.ID, raw)
	}, a.showKey)
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
	overlap := sdk.Duration(c.Overlap)
	return call(a, func(raw sdk.CallOption) (*sdk.CreatedAPIKey, error) {
		return a.api.APIKeys.Rotate(ctx, c.ID, sdk.Rotation{Overlap: &overlap}, raw, idempotent(c.IdempotencyKey))
	}, a.showNewKey)
}
