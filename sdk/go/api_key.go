package tallygate

import (
	"context"
	"iter"
	"log/slog"
	"time"
)

// APIKeys are the caller's own keys.
type APIKeys struct{ client *Client }

// ClientAPIKeys are the keys of a client, for operators.
type ClientAPIKeys struct{ client *Client }

// APIKeyStatus tells whether a key is accepted.
type APIKeyStatus string

// The states of a key.
const (
	APIKeyActive  APIKeyStatus = "active"
	APIKeyExpired APIKeyStatus = "expired"
	APIKeyRevoked APIKeyStatus = "revoked"
)

// APIKey is a credential of one client, without its secret. It only narrows what the client may do.
type APIKey struct {
	ID           string       `json:"id"`
	ClientID     string       `json:"client_id"`
	Name         string       `json:"name"`
	Status       APIKeyStatus `json:"status"`
	Permissions  []string     `json:"permissions"`
	AllowedCIDRs []string     `json:"allowed_cidrs"` // empty: any address
	Limits       *RateLimit   `json:"limits"`        // nil: none of its own
	ExpiresAt    time.Time    `json:"expires_at,omitzero"`
	RevokedAt    time.Time    `json:"revoked_at,omitzero"`
	ReplacedBy   string       `json:"replaced_by,omitzero"` // the key of its rotation
	CreatedAt    time.Time    `json:"created_at,omitzero"`
	LastUsedAt   time.Time    `json:"last_used_at,omitzero"` // to within a minute
}

// CreatedAPIKey is a key with its text, which is shown once and stored nowhere: empty where an earlier call under the same
// Idempotency-Key had it.
type CreatedAPIKey struct {
	Key Secret `json:"key"`
	APIKey
}

// LogValue is what a log line says of the key, however it is written.
func (k CreatedAPIKey) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", k.ID), slog.String("client_id", k.ClientID), slog.String("name", k.Name))
}

// NewAPIKey is a key to be.
type NewAPIKey struct {
	Name         string     `json:"name,omitzero"`
	Permissions  []string   `json:"permissions"` // such as "jobs:write" or "preset:submit"
	ExpiresAt    time.Time  `json:"expires_at,omitzero"`
	AllowedCIDRs []string   `json:"allowed_cidrs,omitempty"`
	Limits       *RateLimit `json:"limits,omitempty"`
}

// Rotation says how a key is replaced.
type Rotation struct {
	Overlap *Duration `json:"overlap,omitempty"` // how long both work; nil: a day
}

func rotation(r Rotation) any {
	if r.Overlap == nil {
		return nil
	}
	return r
}

// List is one page of the caller's keys, newest first.
func (k *APIKeys) List(ctx context.Context, o ListOptions, options ...CallOption) (*Page[APIKey], error) {
	return list[APIKey](ctx, k.client, "listApiKeys", "/v1/api-keys", o.query(), options)
}

// All walks over the caller's keys, page by page.
func (k *APIKeys) All(ctx context.Context, o ListOptions, options ...CallOption) iter.Seq2[*APIKey, error] {
	return all(func(cursor string) (*Page[APIKey], error) {
		return k.List(ctx, ListOptions{o.Limit, cursor}, options...)
	}, o.Cursor)
}

// Create makes a key, which may do no more than the one that makes it.
func (k *APIKeys) Create(ctx context.Context, key NewAPIKey, options ...CallOption) (*CreatedAPIKey, error) {
	return fetch[CreatedAPIKey](ctx, k.client, effect("createApiKey", "/v1/api-keys", key), options)
}

// Get is one key.
func (k *APIKeys) Get(ctx context.Context, id string, options ...CallOption) (*APIKey, error) {
	return fetch[APIKey](ctx, k.client, get("getApiKey", at("/v1/api-keys/%s", id), nil), options)
}

// Revoke revokes a key for good.
func (k *APIKeys) Revoke(ctx context.Context, id string, options ...CallOption) (*APIKey, error) {
	return fetch[APIKey](ctx, k.client, effect("revokeApiKey", at("/v1/api-keys/%s/revoke", id), nil), options)
}

// Rotate makes a key that replaces another; both work during the overlap.
func (k *APIKeys) Rotate(ctx context.Context, id string, r Rotation, options ...CallOption) (*CreatedAPIKey, error) {
	return fetch[CreatedAPIKey](ctx, k.client, effect("rotateApiKey", at("/v1/api-keys/%s/rotate", id), rotation(r)), options)
}

// List is one page of a client's keys, newest first.
func (k *ClientAPIKeys) List(ctx context.Context, client string, o ListOptions, options ...CallOption) (*Page[APIKey], error) {
	return list[APIKey](ctx, k.client, "listClientApiKeys", at("/v1/clients/%s/api-keys", client), o.query(), options)
}

// All walks over a client's keys, page by page.
func (k *ClientAPIKeys) All(ctx context.Context, client string, o ListOptions, options ...CallOption) iter.Seq2[*APIKey, error] {
	return all(func(cursor string) (*Page[APIKey], error) {
		return k.List(ctx, client, ListOptions{o.Limit, cursor}, options...)
	}, o.Cursor)
}

// Create makes a key for a client.
func (k *ClientAPIKeys) Create(ctx context.Context, client string, key NewAPIKey, options ...CallOption) (*CreatedAPIKey, error) {
	return fetch[CreatedAPIKey](ctx, k.client, effect("createClientApiKey", at("/v1/clients/%s/api-keys", client), key), options)
}

// Get is one key of a client.
func (k *ClientAPIKeys) Get(ctx context.Context, client, id string, options ...CallOption) (*APIKey, error) {
	return fetch[APIKey](ctx, k.client, get("getClientApiKey", at("/v1/clients/%s/api-keys/%s", client, id), nil), options)
}

// Revoke revokes a client's key for good.
func (k *ClientAPIKeys) Revoke(ctx context.Context, client, id string, options ...CallOption) (*APIKey, error) {
	return fetch[APIKey](ctx, k.client, effect("revokeClientApiKey", at("/v1/clients/%s/api-keys/%s/revoke", client, id), nil), options)
}

// Rotate makes a key that replaces another of the client; both work during the overlap.
func (k *ClientAPIKeys) Rotate(ctx context.Context, client, id string, r Rotation, options ...CallOption) (*CreatedAPIKey, error) {
	return fetch[CreatedAPIKey](ctx, k.client, effect("rotateClientApiKey", at("/v1/clients/%s/api-keys/%s/rotate", client, id), rotation(r)), options)
}
