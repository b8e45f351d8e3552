package store

import (
	"math"
	"time"

	"github.com/tallygate/tallygate"
)

const clientColumns = `id, name, status, operator, minimum_balance, rate, burst, running_limit, queued_limit,
	metadata, created_at, revision, posted, held, queued, running, entries`

func scanClient(r Row) (*tallygate.Client, error) {
	return &tallygate.Client{
		ID:             tallygate.ClientID(r.Text(0)),
		Name:           r.Text(1),
		Status:         tallygate.ClientStatus(r.Text(2)),
		Operator:       r.Int64(3) != 0,
		MinimumBalance: tallygate.Money(r.Int64(4)),
		Limits: tallygate.ClientLimits{
			Rate:        rate(r.Int64(5), r.Int64(6)),
			RunningJobs: r.Int64(7),
			QueuedJobs:  r.Int64(8),
		},
		Metadata:  r.Bytes(9),
		CreatedAt: moment(r.Int64(10)),
		Revision:  r.Int64(11),
		Account: tallygate.Account{
			Balance: tallygate.Balance{Posted: tallygate.Money(r.Int64(12)), Held: tallygate.Money(r.Int64(13))},
			Queued:  r.Int64(14),
			Running: r.Int64(15),
			Entries: r.Int64(16),
		},
	}, nil
}

// rate reads a limit stored in thousandths per second.
func rate(perSecond, burst int64) tallygate.RateLimit {
	return tallygate.RateLimit{PerSecond: float64(perSecond) / 1000, Burst: burst}
}

// thousandths writes a rate.
func thousandths(l tallygate.RateLimit) int64 { return int64(math.Round(l.PerSecond * 1000)) }

// Client returns a copy of the client as the transaction sees it.
func (tx *Tx) Client(id tallygate.ClientID) (*tallygate.Client, error) {
	row, err := tx.cachedClient(id)
	if row == nil || err != nil {
		return nil, err
	}
	c := row.value
	return &c, nil
}

func (tx *Tx) cachedClient(id tallygate.ClientID) (*cached[tallygate.Client], error) {
	if row, ok := tx.cache.clients[id]; ok {
		return row, nil
	}
	c, err := one(tx, `SELECT `+clientColumns+` FROM clients WHERE `+newest("id", "$1"), scanClient, string(id))
	if c == nil || err != nil {
		return nil, err
	}
	row := &cached[tallygate.Client]{value: *c}
	tx.cache.clients[id] = row
	return row, nil
}

// Clients lists clients, newest first; the cursor is an ID.
func (tx *Tx) Clients(p tallygate.Page) ([]*tallygate.Client, error) {
	return all(tx, `SELECT `+clientColumns+` FROM clients WHERE ($1 = '' OR id < $1) ORDER BY id DESC LIMIT $2`,
		scanClient, p.After, p.Limit)
}

var insertClient = insert("clients", `id, name, status, operator, minimum_balance, rate, burst, running_limit,
	queued_limit, metadata, created_at, revision`)

// InsertClient adds a client.
func (tx *Tx) InsertClient(c *tallygate.Client) error {
	return tx.write(insertClient, string(c.ID), c.Name, string(c.Status), flag(c.Operator), int64(c.MinimumBalance), thousandths(c.Limits.Rate),
		c.Limits.Rate.Burst, c.Limits.RunningJobs, c.Limits.QueuedJobs, c.Metadata, micros(c.CreatedAt), c.Revision)
}

var updateClient = update("clients", "id", `name, status, minimum_balance, rate, burst, running_limit, queued_limit,
	metadata, revision`)

// SaveClient writes everything but the account.
func (tx *Tx) SaveClient(c *tallygate.Client) error {
	row, err := tx.cachedClient(c.ID)
	if err != nil || row == nil {
		return err
	}
	account := row.value.Account
	row.value = *c
	row.value.Account = account
	return tx.write(updateClient, string(c.ID), c.Name, string(c.Status), int64(c.MinimumBalance), thousandths(c.Limits.Rate), c.Limits.Rate.Burst,
		c.Limits.RunningJobs, c.Limits.QueuedJobs, c.Metadata, c.Revision)
}

var updateAccount = update("clients", "id", "posted, held, queued, running, entries")

// SaveAccount writes the account alone, once a batch.
func (tx *Tx) SaveAccount(c *tallygate.Client) error {
	row, err := tx.cachedClient(c.ID)
	if err != nil || row == nil {
		return err
	}
	next := row.value
	next.Account = c.Account
	return put(tx, row, next, func(c *tallygate.Client) error {
		return tx.conn.Write(updateAccount, string(c.ID), int64(c.Balance.Posted), int64(c.Balance.Held), c.Queued, c.Running, c.Entries)
	})
}

// Revision reads the access revision.
func (tx *Tx) Revision() (int64, error) {
	return tx.integer(`SELECT value FROM counters WHERE name = 'revision'`)
}

// RaiseRevision raises the access revision by one, in this transaction, and returns it.
func (tx *Tx) RaiseRevision() (int64, error) {
	if err := tx.exec(`UPDATE counters SET value = value + 1 WHERE name = 'revision'`); err != nil {
		return 0, err
	}
	return tx.Revision()
}

const keyColumns = `id, client_id, name, secret_hash, permissions, allowed_cidrs, rate, burst, limit_key, expires_at,
	revoked_at, replaced_by, created_at, last_used_at`

func scanKey(r Row) (*tallygate.APIKey, error) {
	k := &tallygate.APIKey{
		ID:          tallygate.KeyID(r.Text(0)),
		ClientID:    tallygate.ClientID(r.Text(1)),
		Name:        r.Text(2),
		Permissions: splitPermissions(r.Text(4)),
		Rate:        rate(r.Int64(6), r.Int64(7)),
		LimitKey:    tallygate.KeyID(r.Text(8)),
		ExpiresAt:   moment(r.Int64(9)),
		RevokedAt:   moment(r.Int64(10)),
		ReplacedBy:  tallygate.KeyID(r.Text(11)),
		CreatedAt:   moment(r.Int64(12)),
		LastUsedAt:  moment(r.Int64(13)),
	}
	copy(k.SecretHash[:], r.Bytes(3))
	cidrs, err := parsePrefixes(r.Text(5))
	k.AllowedCIDRs = cidrs
	return k, err
}

// Key returns the key, or nil.
func (tx *Tx) Key(id tallygate.KeyID) (*tallygate.APIKey, error) {
	return one(tx, `SELECT `+keyColumns+` FROM api_keys WHERE id = $1`, scanKey, string(id))
}

// Keys lists a client's keys, newest first; the cursor is an ID.
func (tx *Tx) Keys(c tallygate.ClientID, p tallygate.Page) ([]*tallygate.APIKey, error) {
	return all(tx, `SELECT `+keyColumns+` FROM api_keys WHERE client_id = $1 AND ($2 = '' OR id < $2)
		ORDER BY id DESC LIMIT $3`, scanKey, string(c), p.After, p.Limit)
}

var insertKey = insert("api_keys", keyColumns)

// InsertKey adds a key.
func (tx *Tx) InsertKey(k *tallygate.APIKey) error {
	return tx.write(insertKey, string(k.ID), string(k.ClientID), k.Name, k.SecretHash[:], joinPermissions(k.Permissions), joinPrefixes(k.AllowedCIDRs),
		thousandths(k.Rate), k.Rate.Burst, string(k.LimitKey), micros(k.ExpiresAt), micros(k.RevokedAt), string(k.ReplacedBy),
		micros(k.CreatedAt), micros(k.LastUsedAt))
}

var updateKey = update("api_keys", "id", "expires_at, revoked_at, replaced_by")

// SaveKey writes what changes in a key's life: expiry, revocation, replacement.
func (tx *Tx) SaveKey(k *tallygate.APIKey) error {
	return tx.write(updateKey, string(k.ID), micros(k.ExpiresAt), micros(k.RevokedAt), string(k.ReplacedBy))
}

// TouchKey records when a key was used; it never goes back.
func (tx *Tx) TouchKey(id tallygate.KeyID, at time.Time) error {
	return tx.exec(`UPDATE api_keys SET last_used_at = $2 WHERE id = $1 AND last_used_at < $2`, string(id), micros(at))
}
