package api

import (
	"context"
	"math"
	"strconv"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/access"
)

// Bounds of what a client may be given.
const (
	maxName  = 1000 // bytes; the room counts characters
	mostJobs = 1_000_000_000

	leastPerSecond = 0.001
	mostPerSecond  = 1_000_000
)

// appendClient appends a client.
func (s *Server) appendClient(b []byte, cl *tallygate.Client) []byte {
	b = append(b, `{"id":"`...)
	b = append(b, cl.ID...)
	b = append(b, `","name":`...)
	b = appendText(b, cl.Name)
	b = append(b, `,"status":"`...)
	b = append(b, cl.Status...)
	b = append(b, `","currency":`...)
	b = appendText(b, s.opt.Currency)
	b = append(b, `,"minimum_balance":`...)
	b = appendMoney(b, cl.MinimumBalance)
	b = append(b, `,"limits":{"requests_per_second":`...)
	b = appendPerSecond(b, cl.Limits.Rate)
	b = append(b, `,"burst":`...)
	b = appendInt(b, cl.Limits.Rate.Burst)
	b = append(b, `,"running_jobs":`...)
	b = appendInt(b, cl.Limits.RunningJobs)
	b = append(b, `,"queued_jobs":`...)
	b = appendInt(b, cl.Limits.QueuedJobs)
	b = append(b, `},"balance":`...)
	b = appendBalance(b, cl.Balance)
	b = append(b, `,"jobs":{"queued":`...)
	b = appendInt(b, cl.Queued)
	b = append(b, `,"running":`...)
	b = appendInt(b, cl.Running)
	b = append(b, `},"metadata":`...)
	b = appendRaw(b, cl.Metadata, "{}")
	b = append(b, `,"operator":`...)
	b = strconv.AppendBool(b, cl.Operator)
	b = append(b, `,"created_at":`...)
	b = appendTime(b, cl.CreatedAt)
	return append(b, '}')
}

func appendPerSecond(b []byte, l tallygate.RateLimit) []byte {
	return strconv.AppendFloat(b, l.PerSecond, 'f', -1, 64)
}

func appendBalance(b []byte, balance tallygate.Balance) []byte {
	b = append(b, `{"posted":`...)
	b = appendMoney(b, balance.Posted)
	b = append(b, `,"held":`...)
	b = appendMoney(b, balance.Held)
	b = append(b, `,"available":`...)
	b = appendMoney(b, balance.Available())
	return append(b, '}')
}

// limitsChange reads the limits of a client that are named; the room that keeps them judges their size.
func (o *object) limitsChange(name string) (change access.LimitsChange) {
	l, ok := o.object(name)
	if !ok {
		return change
	}
	change = access.LimitsChange{
		PerSecond: l.decimal("requests_per_second"), Burst: l.count("burst"),
		RunningJobs: l.count("running_jobs"), QueuedJobs: l.count("queued_jobs"),
	}
	l.done()
	return change
}

// limits reads the limits of a new client; what is not named is as usual.
func (o *object) limits(name string) tallygate.ClientLimits {
	limits := tallygate.DefaultClientLimits
	change := o.limitsChange(name)
	if change.PerSecond != nil {
		limits.Rate.PerSecond = *change.PerSecond
	}
	for _, one := range []struct {
		to   *int64
		from *int64
	}{{&limits.Rate.Burst, change.Burst}, {&limits.RunningJobs, change.RunningJobs}, {&limits.QueuedJobs, change.QueuedJobs}} {
		if one.from != nil {
			*one.to = *one.from
		}
	}
	return limits
}

// rate reads a rate limit that is whole by itself, the zero one where there is none. A burst that is not named is a
// second's worth.
func (o *object) rate(name string) (rate tallygate.RateLimit) {
	l, ok := o.object(name)
	if !ok {
		return rate
	}
	if l.optional("requests_per_second") == nil {
		o.faults.missing(l.field("requests_per_second"))
	}
	rate.PerSecond, _ = l.number("requests_per_second", leastPerSecond, mostPerSecond)
	rate.Burst = l.integer("burst", int64(max(1, math.Ceil(rate.PerSecond))), 1, mostPerSecond)
	l.done()
	return rate
}

// pathClient is the client that an operator's path names, or the caller's own on the paths without one.
func (c *call) pathClient() (tallygate.ClientID, error) {
	id := tallygate.ClientID(c.r.PathValue("client"))
	if id == "" {
		return c.caller.Client.ID, nil
	}
	if !tallygate.ValidID(tallygate.ClientPrefix, string(id)) {
		return "", tallygate.Errorf(tallygate.ClientNotFound, "no client has the id %s", quoted(shown(string(id))))
	}
	return id, nil
}

// existingClient is pathClient, and makes sure that it exists.
func (c *call) existingClient() (*tallygate.Client, error) {
	id, err := c.pathClient()
	if err != nil {
		return nil, err
	}
	return c.server.opt.Access.Client(c.ctx, id)
}

// mutation is who asks for a change, and the name under which it is made only once.
func (c *call) mutation() access.Mutation {
	return access.Mutation{Actor: c.caller, Idempotency: c.record}
}

// listClients is GET /v1/clients.
func (c *call) listClients() error {
	page := c.query().page(clientList, c.r.URL.Path)
	if err := c.checked(); err != nil {
		return err
	}
	clients, err := c.server.opt.Access.Clients(c.ctx, more(page))
	if err != nil {
		return err
	}
	clients, next := cut(clients, page, func(cl *tallygate.Client) string { return string(cl.ID) })
	return c.sendWith(func(b []byte) []byte {
		return appendPage(b, clients, encodeCursor(clientList, c.r.URL.Path, next), c.server.appendClient)
	})
}

// createClient is POST /v1/clients.
func (c *call) createClient() error {
	o, err := c.object(mustBeThere)
	if err != nil {
		return err
	}
	in := access.NewClient{
		Name:     o.requiredText("name", maxName),
		Metadata: o.rawObject("metadata", maxMetadata),
	}
	in.MinimumBalance, _ = o.money("minimum_balance")
	in.Limits = o.limits("limits")
	in.Currency, _ = o.text("currency", maxName)
	if err := c.checked(); err != nil {
		return err
	}
	effect, err := c.server.opt.Access.CreateClient(c.ctx, c.mutation(), in, c.encodeClient)
	if err != nil {
		return err
	}
	return c.sendEffect(effect.Body, effect.Replayed)
}

func (c *call) encodeClient(cl *tallygate.Client) []byte { return c.server.appendClient(nil, cl) }

// getClient is GET /v1/clients/{client}.
func (c *call) getClient() error {
	if err := c.checked(); err != nil {
		return err
	}
	cl, err := c.existingClient()
	if err != nil {
		return err
	}
	return c.send(c.server.appendClient(nil, cl))
}

// patchClient is PATCH /v1/clients/{client}.
func (c *call) patchClient() error {
	o, err := c.object(mustBeThere)
	if err != nil {
		return err
	}
	var change access.ClientChange
	if name, ok := o.text("name", maxName); ok {
		change.Name = &name
		if name == "" {
			o.invalid("name", "must not be empty")
		}
	}
	if floor, ok := o.money("minimum_balance"); ok {
		change.MinimumBalance = &floor
	}
	change.Metadata = o.rawObject("metadata", maxMetadata)
	change.Limits = o.limitsChange("limits")
	if err := c.checked(); err != nil {
		return err
	}
	id, err := c.pathClient()
	if err != nil {
		return err
	}
	effect, err := c.server.opt.Access.PatchClient(c.ctx, c.mutation(), id, change, c.encodeClient)
	if err != nil {
		return err
	}
	return c.sendEffect(effect.Body, effect.Replayed)
}

// suspendClient is POST /v1/clients/{client}/suspend.
func (c *call) suspendClient() error { return c.switchClient(c.server.opt.Access.SuspendClient) }

// activateClient is POST /v1/clients/{client}/activate.
func (c *call) activateClient() error { return c.switchClient(c.server.opt.Access.ActivateClient) }

type switchFunc func(context.Context, access.Mutation, tallygate.ClientID, access.EncodeClient) (access.Effect, error)

func (c *call) switchClient(to switchFunc) error {
	if _, err := c.object(mayBeEmpty); err != nil {
		return err
	}
	if err := c.checked(); err != nil {
		return err
	}
	id, err := c.pathClient()
	if err != nil {
		return err
	}
	effect, err := to(c.ctx, c.mutation(), id, c.encodeClient)
	if err != nil {
		return err
	}
	return c.sendEffect(effect.Body, effect.Replayed)
}
