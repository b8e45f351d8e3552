package api

import (
	"maps"
	"slices"
	"strings"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/queue"
)

// Bounds of what a job type may name.
const (
	maxDescription = 2000
	maxSchema      = 256 << 10
	maxURL         = 2000
	maxSecret      = 500
	maxHandlerName = 100
	maxOpenTo      = 1000
	maxUnitCount   = 50
)

// appendType appends a job type: to everyone what it does, takes and costs; to operators also how it is done.
func (s *Server) appendType(b []byte, t *tallygate.JobType, operator bool) []byte {
	b = append(b, `{"name":`...)
	b = appendText(b, t.Name)
	b = append(b, `,"description":`...)
	b = appendText(b, t.Description)
	b = append(b, `,"input_schema":`...)
	b = appendRaw(b, t.InputSchema, "{}")
	b = append(b, `,"currency":`...)
	b = appendText(b, s.opt.Currency)
	b = append(b, `,"price":`...)
	b = appendPrice(b, t.Price)
	b = append(b, `,"price_version":`...)
	b = appendInt(b, t.PriceVersion)
	b = append(b, `,"max_attempts":`...)
	b = appendInt(b, t.MaxAttempts)
	b = append(b, `,"time_limit":`...)
	b = appendDuration(b, t.TimeLimit)
	b = append(b, `,"cancel_charge":`...)
	b = appendText(b, t.CancelCharge)
	b = append(b, `,"retention":`...)
	b = appendDuration(b, t.Retention)
	b = append(b, `,"limits":`...)
	b = appendRate(b, t.Rate)
	if operator {
		b = append(b, `,"executor":`...)
		b = appendExecutor(b, t.Executor)
		b = append(b, `,"attempt_timeout":`...)
		b = appendDuration(b, t.AttemptTimeout)
		b = append(b, `,"lease":`...)
		b = appendDuration(b, t.Lease)
		b = append(b, `,"running_jobs":`...)
		if t.RunningJobs == 0 {
			b = append(b, "null"...)
		} else {
			b = appendInt(b, t.RunningJobs)
		}
		b = append(b, `,"clients":`...)
		if t.Clients == nil {
			b = append(b, "null"...)
		} else {
			b = appendList(b, t.Clients, appendText[tallygate.ClientID])
		}
	}
	b = append(b, `,"created_at":`...)
	b = appendTime(b, t.CreatedAt)
	b = append(b, `,"updated_at":`...)
	b = appendTime(b, t.UpdatedAt)
	return append(b, '}')
}

func appendPrice(b []byte, p tallygate.Price) []byte {
	b = append(b, `{"base":`...)
	b = appendMoney(b, p.Base)
	b = append(b, `,"units":{`...)
	for i, name := range slices.Sorted(maps.Keys(p.Units)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, name)
		b = append(b, `:{"price":`...)
		b = appendMoney(b, p.Units[name].Price)
		b = append(b, `,"max":`...)
		b = appendInt(b, p.Units[name].Max)
		b = append(b, '}')
	}
	return append(b, "}}"...)
}

// appendExecutor appends everything but the secret, which is shown to nobody.
func appendExecutor(b []byte, e tallygate.Executor) []byte {
	b = append(b, `{"kind":`...)
	b = appendText(b, e.Kind)
	switch e.Kind {
	case tallygate.ExecutorHTTP:
		b = append(b, `,"url":`...)
		b = appendText(b, e.URL)
		b = append(b, `,"timeout":`...)
		b = appendDuration(b, e.Timeout)
	case tallygate.ExecutorBuiltin:
		b = append(b, `,"handler":`...)
		b = appendText(b, e.Handler)
	}
	return append(b, '}')
}

func appendRate(b []byte, l tallygate.RateLimit) []byte {
	if l.Unlimited() {
		return append(b, "null"...)
	}
	b = append(b, `{"requests_per_second":`...)
	b = appendPerSecond(b, l)
	b = append(b, `,"burst":`...)
	b = appendInt(b, l.Burst)
	return append(b, '}')
}

// listTypes is GET /v1/job-types: by name, those that are open to the caller.
func (c *call) listTypes() error {
	page := c.query().page(typeList, c.r.URL.Path)
	if err := c.checked(); err != nil {
		return err
	}
	types, err := c.server.opt.Queue.Types(c.ctx)
	if err != nil {
		return err
	}
	operator := c.caller.Operator()
	types = slices.DeleteFunc(types, func(t *tallygate.JobType) bool {
		return t.Name <= page.After || !operator && !t.OpenTo(c.caller.Client.ID)
	})
	types, next := cut(types, page, func(t *tallygate.JobType) string { return t.Name })
	return c.sendWith(func(b []byte) []byte {
		return appendPage(b, types, encodeCursor(typeList, c.r.URL.Path, next), func(b []byte, t *tallygate.JobType) []byte {
			return c.server.appendType(b, t, operator)
		})
	})
}

// getType is GET /v1/job-types/{name}.
func (c *call) getType() error {
	if err := c.checked(); err != nil {
		return err
	}
	t, err := c.server.opt.Queue.Type(c.ctx, c.r.PathValue("name"))
	if err != nil {
		return err
	}
	if err := c.mayUse(t); err != nil {
		return err
	}
	return c.sendType(t)
}

func (c *call) sendType(t *tallygate.JobType) error {
	return c.sendWith(func(b []byte) []byte { return c.server.appendType(b, t, c.caller.Operator()) })
}

// defineType is PUT /v1/job-types/{name}: what the definition leaves out has its default.
func (c *call) defineType() error {
	o, err := c.object(mustBeThere)
	if err != nil {
		return err
	}
	t := o.jobType(c.r.PathValue("name"))
	if err := c.checked(); err != nil {
		return err
	}
	defined, err := c.server.opt.Queue.DefineType(c.ctx, t, c.caller.Key.ID)
	if err != nil {
		return err
	}
	return c.sendType(defined)
}

// ParseJobType reads a definition, the body of PUT /v1/job-types/{name}, wherever it is kept. What it leaves out has
// its default. The error names every fault of its form; those of its values queue.CheckType knows.
func ParseJobType(name string, body []byte) (tallygate.JobType, error) {
	if err := parseBody(body); err != nil {
		return tallygate.JobType{}, err
	}
	var f faults
	o, ok := newObject(&f, "", body)
	if !ok {
		return tallygate.JobType{}, tallygate.Errorf(tallygate.InvalidRequest, "a job type must be a JSON object")
	}
	t := o.jobType(name)
	o.done()
	return t, f.err()
}

func (o *object) jobType(name string) tallygate.JobType {
	t := queue.Defaults()
	t.Name = name
	if again, ok := o.text("name", maxTypeName); ok && again != name {
		o.invalid("name", "must be left out or the name in the path")
	}
	t.Description, _ = o.text("description", maxDescription)
	t.InputSchema = o.optional("input_schema")
	if len(t.InputSchema) > maxSchema {
		o.invalid("input_schema", "must have at most %d bytes", maxSchema)
	}
	if p, ok := o.object("price"); ok {
		t.Price = p.price()
	}
	if e, ok := o.object("executor"); ok {
		e.executor(&t.Executor)
	}
	t.MaxAttempts = o.integer("max_attempts", t.MaxAttempts, 1, 100)
	t.AttemptTimeout = o.duration("attempt_timeout", t.AttemptTimeout, 0, longestTime)
	t.TimeLimit = o.duration("time_limit", t.TimeLimit, 0, longestTime)
	t.Lease = o.duration("lease", t.Lease, 0, longestTime)
	if charge, ok := o.text("cancel_charge", 10); ok {
		t.CancelCharge = tallygate.CancelCharge(charge)
	}
	t.RunningJobs = o.integer("running_jobs", 0, 1, mostJobs)
	t.Retention = o.duration("retention", t.Retention, 0, longestTime)
	t.Rate = o.rate("limits")
	if clients, ok := o.texts("clients", maxOpenTo); ok {
		t.Clients = make([]tallygate.ClientID, 0, len(clients))
		for _, id := range clients {
			t.Clients = append(t.Clients, tallygate.ClientID(id))
		}
	}
	return t
}

func (o *object) price() tallygate.Price {
	var p tallygate.Price
	p.Base, _ = o.money("base")
	if units, ok := o.object("units"); ok {
		if len(units.members) > maxUnitCount {
			o.invalid("units", "must be at most %d", maxUnitCount)
		}
		p.Units = make(map[string]tallygate.UnitPrice, len(units.members))
		for i := range units.members {
			name := string(units.members[i].name)
			u, ok := units.object(name)
			if !ok {
				units.invalid(name, "must be an object")
				continue
			}
			price, given := u.money("price")
			if !given && u.optional("price") == nil {
				u.faults.missing(u.field("price"))
			}
			if u.optional("max") == nil {
				u.faults.missing(u.field("max"))
			}
			p.Units[name] = tallygate.UnitPrice{Price: price, Max: u.integer("max", 0, 0, maxUnits)}
			u.done()
		}
	}
	o.done()
	return p
}

func (o *object) executor(e *tallygate.Executor) {
	e.Kind = tallygate.ExecutorKind(o.requiredText("kind", 20))
	switch e.Kind {
	case tallygate.ExecutorHTTP:
		e.URL = strings.TrimSpace(o.requiredText("url", maxURL))
		e.Timeout = o.duration("timeout", e.Timeout, 0, longestTime)
		if o.raw("secret") != nil { // null takes the stored one away; left out keeps it
			if e.Secret, _ = o.text("secret", maxSecret); e.Secret == "" {
				e.Secret = queue.NoSecret
			}
		}
	case tallygate.ExecutorBuiltin:
		e.Handler = o.requiredText("handler", maxHandlerName)
	}
	o.done()
}

// deleteType is DELETE /v1/job-types/{name}.
func (c *call) deleteType() error {
	if err := c.checked(); err != nil {
		return err
	}
	name := c.r.PathValue("name")
	if err := c.server.opt.Queue.DeleteType(c.ctx, name, c.caller.Key.ID); err != nil {
		return err
	}
	return c.sendWith(func(b []byte) []byte {
		b = append(b, `{"name":`...)
		b = appendText(b, name)
		return append(b, `,"deleted":true}`...)
	})
}

// quote is POST /v1/quotes: what a job would cost at most, after the checks that a submit would make.
func (c *call) quote() error {
	o, err := c.object(mustBeThere)
	if err != nil {
		return err
	}
	sub := o.submission()
	if err := c.checkedJobs(queue.Submit{Jobs: []queue.Submission{sub}}); err != nil {
		return err
	}
	t, err := c.server.opt.Queue.Quote(c.ctx, c.caller.Client, sub)
	if err != nil {
		return err
	}
	return c.sendWith(func(b []byte) []byte {
		b = append(b, `{"type":`...)
		b = appendText(b, t.Name)
		b = append(b, `,"currency":`...)
		b = appendText(b, c.server.opt.Currency)
		b = append(b, `,"quoted":`...)
		b = appendMoney(b, t.Price.Quote())
		b = append(b, `,"price":`...)
		b = appendPrice(b, t.Price)
		b = append(b, `,"price_version":`...)
		b = appendInt(b, t.PriceVersion)
		return append(b, '}')
	})
}
