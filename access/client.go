package access

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/tallygate/tallygate"
)

// NewClient is what a client is made from.
type NewClient struct {
	Name           string
	Currency       string // empty: the server's
	MinimumBalance tallygate.Money
	Limits         tallygate.ClientLimits // zero: DefaultClientLimits
	Metadata       []byte                 // a JSON object; nil: an empty one
}

// ClientChange names what changes in a client; nil leaves it.
type ClientChange struct {
	Name           *string
	MinimumBalance *tallygate.Money
	Limits         LimitsChange
	Metadata       []byte // replaces the whole object
}

// LimitsChange names limits of a client; nil leaves one as it is.
type LimitsChange struct {
	PerSecond   *float64
	Burst       *int64
	RunningJobs *int64
	QueuedJobs  *int64
}

func (change LimitsChange) apply(l *tallygate.ClientLimits) {
	if change.PerSecond != nil {
		l.Rate.PerSecond = *change.PerSecond
	}
	if change.Burst != nil {
		l.Rate.Burst = *change.Burst
	}
	if change.RunningJobs != nil {
		l.RunningJobs = *change.RunningJobs
	}
	if change.QueuedJobs != nil {
		l.QueuedJobs = *change.QueuedJobs
	}
}

var (
	errClientNotFound = &tallygate.Error{Code: tallygate.ClientNotFound}
	errOperatorStays  = tallygate.Errorf(tallygate.InvalidRequest, "the operator's own client cannot be suspended")
)

// EncodeClient writes a client as the answer to a change. It may be called more than once.
type EncodeClient func(*tallygate.Client) []byte

// CreateClient makes an active client. Operators only.
func (s *Service) CreateClient(ctx context.Context, m Mutation, in NewClient, encode EncodeClient) (Effect, error) {
	if !m.Actor.Operator() {
		return Effect{}, errOperatorsOnly
	}
	if in.Metadata == nil {
		in.Metadata = []byte("{}")
	}
	if in.Limits == (tallygate.ClientLimits{}) {
		in.Limits = tallygate.DefaultClientLimits
	}
	var f faults
	if strings.TrimSpace(in.Name) == "" {
		f.lacks("name")
	}
	f.checkName(in.Name)
	if in.Currency != "" && in.Currency != s.currency {
		f.rejects("currency", "this server's only currency is %s", s.currency)
	}
	f.checkLimits(in.Limits)
	f.checkMetadata(in.Metadata)
	if err := f.err(); err != nil {
		return Effect{}, err
	}
	return s.change(ctx, m, func(tx tallygate.Tx, actor *tallygate.APIKey) (outcome, error) {
		now := tx.Now()
		c := &tallygate.Client{
			ID:             tallygate.ClientID(s.ids.Next(tallygate.ClientPrefix, now)),
			Name:           in.Name,
			Status:         tallygate.ClientActive,
			MinimumBalance: in.MinimumBalance,
			Limits:         in.Limits,
			Metadata:       in.Metadata,
			CreatedAt:      stamp(now),
		}
		return s.insertClient(tx, c, actor.ID, encode)
	})
}

func (s *Service) insertClient(tx tallygate.Tx, c *tallygate.Client, actor tallygate.KeyID, encode EncodeClient) (outcome, error) {
	revision, err := tx.RaiseRevision()
	if err != nil {
		return outcome{}, err
	}
	c.Revision = revision
	if err := tx.InsertClient(c); err != nil {
		return outcome{}, err
	}
	if err := s.tell(tx, tallygate.EventClientCreated, c.ID, string(c.ID), actor, map[string]any{"name": c.Name}); err != nil {
		return outcome{}, err
	}
	return outcome{answer: encode(c), revision: revision}, nil
}

// PatchClient changes the name, minimum balance, limits or metadata of a client. Operators only. What is already as
// asked is no change.
func (s *Service) PatchClient(ctx context.Context, m Mutation, id tallygate.ClientID, change ClientChange, encode EncodeClient) (Effect, error) {
	var f faults
	if change.Name != nil {
		if strings.TrimSpace(*change.Name) == "" {
			f.rejects("name", "it may not be empty")
		}
		f.checkName(*change.Name)
	}
	limits := tallygate.DefaultClientLimits // what is not changed is in order
	change.Limits.apply(&limits)
	f.checkLimits(limits)
	if change.Metadata != nil {
		f.checkMetadata(change.Metadata)
	}
	if err := f.err(); err != nil {
		return Effect{}, err
	}
	return s.changeClient(ctx, m, id, encode, func(c *tallygate.Client) (string, map[string]any, error) {
		return tallygate.EventClientUpdated, change.apply(c), nil
	})
}

// apply changes the client and returns what is new, as the API calls it.
func (change ClientChange) apply(c *tallygate.Client) map[string]any {
	news := map[string]any{}
	if change.Name != nil && *change.Name != c.Name {
		c.Name = *change.Name
		news["name"] = c.Name
	}
	if change.MinimumBalance != nil && *change.MinimumBalance != c.MinimumBalance {
		c.MinimumBalance = *change.MinimumBalance
		news["minimum_balance"] = c.MinimumBalance.String()
	}
	if change.Metadata != nil && !bytes.Equal(change.Metadata, c.Metadata) {
		c.Metadata = change.Metadata
		news["metadata"] = json.RawMessage(c.Metadata)
	}
	before := c.Limits
	change.Limits.apply(&c.Limits)
	if c.Limits != before {
		news["limits"] = map[string]any{
			"requests_per_second": c.Limits.Rate.PerSecond,
			"burst":               c.Limits.Rate.Burst,
			"running_jobs":        c.Limits.RunningJobs,
			"queued_jobs":         c.Limits.QueuedJobs,
		}
	}
	return news
}

// SuspendClient keeps the client from calling: its queued jobs wait, its running ones finish. Operators only;
// suspending again changes nothing; the operator's own client can't be.
func (s *Service) SuspendClient(ctx context.Context, m Mutation, id tallygate.ClientID, encode EncodeClient) (Effect, error) {
	return s.setStatus(ctx, m, id, tallygate.ClientSuspended, tallygate.EventClientSuspended, encode)
}

// ActivateClient ends a suspension. Operators only; activating again changes nothing.
func (s *Service) ActivateClient(ctx context.Context, m Mutation, id tallygate.ClientID, encode EncodeClient) (Effect, error) {
	return s.setStatus(ctx, m, id, tallygate.ClientActive, tallygate.EventClientActivated, encode)
}

func (s *Service) setStatus(ctx context.Context, m Mutation, id tallygate.ClientID, status tallygate.ClientStatus, kind string, encode EncodeClient) (Effect, error) {
	return s.changeClient(ctx, m, id, encode, func(c *tallygate.Client) (string, map[string]any, error) {
		if c.Operator && status == tallygate.ClientSuspended {
			return "", nil, errOperatorStays
		}
		if c.Status == status {
			return "", nil, nil
		}
		c.Status = status
		return kind, map[string]any{"status": status}, nil
	})
}

// changeClient saves what edit changes in a client and tells of it. Where edit names nothing new there is no change.
func (s *Service) changeClient(ctx context.Context, m Mutation, id tallygate.ClientID, encode EncodeClient,
	edit func(*tallygate.Client) (kind string, news map[string]any, err error),
) (Effect, error) {
	if !m.Actor.Operator() {
		return Effect{}, errOperatorsOnly
	}
	return s.change(ctx, m, func(tx tallygate.Tx, actor *tallygate.APIKey) (outcome, error) {
		c, err := findClient(tx, id)
		if err != nil {
			return outcome{}, err
		}
		kind, news, err := edit(c)
		if err != nil {
			return outcome{}, err
		}
		if len(news) == 0 {
			return outcome{answer: encode(c)}, nil
		}
		revision, err := raise(tx, c)
		if err != nil {
			return outcome{}, err
		}
		if err := s.tell(tx, kind, c.ID, string(c.ID), actor.ID, news); err != nil {
			return outcome{}, err
		}
		return outcome{answer: encode(c), client: c.ID, revision: revision}, nil
	})
}

// findClient reads a client that must be there.
func findClient(tx tallygate.Tx, id tallygate.ClientID) (*tallygate.Client, error) {
	if !tallygate.ValidID(tallygate.ClientPrefix, string(id)) {
		return nil, errClientNotFound
	}
	c, err := tx.Client(id)
	if err == nil && c == nil {
		err = errClientNotFound
	}
	return c, err
}

// Client reads a client; CLIENT_NOT_FOUND where there is none.
func (s *Service) Client(ctx context.Context, id tallygate.ClientID) (c *tallygate.Client, err error) {
	err = s.store.View(ctx, func(tx tallygate.Tx) (err error) {
		c, err = findClient(tx, id)
		return err
	})
	return c, err
}

// Clients lists clients, newest first; the cursor is the ID of the last one seen.
func (s *Service) Clients(ctx context.Context, page tallygate.Page) (clients []*tallygate.Client, err error) {
	if err := checkCursor(tallygate.ClientPrefix, page); err != nil {
		return nil, err
	}
	err = s.store.View(ctx, func(tx tallygate.Tx) (err error) {
		clients, err = tx.Clients(page)
		return err
	})
	return clients, err
}

func checkCursor(prefix string, page tallygate.Page) error {
	if page.After == "" || tallygate.ValidID(prefix, page.After) {
		return nil
	}
	return &tallygate.Error{
		Code:   tallygate.InvalidParameter,
		Detail: "cursor: it is none that a list answered; send next_cursor as it came",
		Field:  "cursor",
	}
}

// stamp makes a time one that the store gives back unchanged.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
