package api

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/ledger"
)

const maxNote = 500

// getAccount is GET /v1/account.
func (c *call) getAccount() error { return c.getClient() }

// credit is POST /v1/clients/{client}/credits.
func (c *call) credit() error {
	o, err := c.object(mustBeThere)
	if err != nil {
		return err
	}
	amount, given := o.money("amount")
	switch {
	case !given && o.optional("amount") == nil:
		o.faults.missing("amount")
	case given && amount <= 0:
		o.invalid("amount", "must be more than 0")
	}
	note, _ := o.text("note", maxNote)
	if len(c.r.Header[tallygate.IdempotencyHeader]) == 0 {
		c.faults.add(tallygate.MissingParameter, tallygate.IdempotencyHeader,
			"a top-up needs the header %s, so that it is never made twice", tallygate.IdempotencyHeader)
	}
	if err := c.checked(); err != nil {
		return err
	}
	id, err := c.pathClient()
	if err != nil {
		return err
	}
	body, replayed, err := c.server.opt.Ledger.Credit(c.ctx, ledger.TopUp{
		Client: id, Amount: amount, Note: note, Actor: c.caller.Key.ID, Idempotency: c.record,
	}, func(e *tallygate.Entry) []byte { return appendEntry(nil, e) })
	if err != nil {
		return err
	}
	return c.sendEffect(body, replayed)
}

// appendEntry appends one line of a ledger.
func appendEntry(b []byte, e *tallygate.Entry) []byte {
	b = append(b, `{"id":"`...)
	b = append(b, e.ID...)
	b = append(b, `","client_id":"`...)
	b = append(b, e.ClientID...)
	b = append(b, `","number":`...)
	b = appendInt(b, e.Number)
	b = append(b, `,"kind":"`...)
	b = append(b, e.Kind...)
	b = append(b, `","posted":`...)
	b = appendMoney(b, e.Posted)
	b = append(b, `,"held":`...)
	b = appendMoney(b, e.Held)
	b = append(b, `,"balance":`...)
	b = appendBalance(b, e.After)
	b = append(b, `,"job_id":`...)
	b = appendTextOrNull(b, e.JobID)
	b = append(b, `,"note":`...)
	b = appendText(b, e.Note)
	b = append(b, `,"created_at":`...)
	b = appendTime(b, e.CreatedAt)
	return append(b, '}')
}

// listOwnEntries is GET /v1/account/entries.
func (c *call) listOwnEntries() error { return c.listEntries() }

// listEntries is GET /v1/clients/{client}/entries.
func (c *call) listEntries() error {
	page := c.query().page(entryList, c.r.URL.Path)
	if err := c.checked(); err != nil {
		return err
	}
	cl, err := c.existingClient()
	if err != nil {
		return err
	}
	entries, err := c.server.opt.Ledger.Entries(c.ctx, cl.ID, more(page))
	if err != nil {
		return err
	}
	entries, next := cut(entries, page, func(e *tallygate.Entry) string { return strconv.FormatInt(e.Number, 10) })
	return c.sendWith(func(b []byte) []byte {
		return appendPage(b, entries, encodeCursor(entryList, c.r.URL.Path, next), appendEntry)
	})
}

// more asks for one item beyond the page, which tells whether another page follows.
func more(p tallygate.Page) tallygate.Page {
	p.Limit++
	return p
}

// cut takes off the item beyond the page, and returns the mark of the page's last where there was one.
func cut[T any](items []T, p tallygate.Page, mark func(T) string) (page []T, next string) {
	if len(items) <= p.Limit {
		return items, ""
	}
	return items[:p.Limit], mark(items[p.Limit-1])
}

// Bounds of the days that usage is asked for.
const (
	usualDays = 30
	mostDays  = 366
)

// getUsage is GET /v1/account/usage and GET /v1/clients/{client}/usage: by day (UTC) and type, oldest first, from the
// day of "from" up to, and without, the day of "to"; by default the last 30 days, today included.
func (c *call) getUsage() error {
	q := c.query()
	today := c.start.UTC().Truncate(24 * time.Hour)
	to := q.day("to", today.AddDate(0, 0, 1))
	from := q.day("from", to.AddDate(0, 0, -usualDays))
	if span := to.Sub(from); !c.faults.any() && (span <= 0 || span > mostDays*24*time.Hour) {
		c.faults.invalid("from", "must be before to, by at most %d days", mostDays)
	}
	if err := c.checked(); err != nil {
		return err
	}
	cl, err := c.existingClient()
	if err != nil {
		return err
	}
	usage, err := c.server.opt.Queue.Usage(c.ctx, cl.ID, from, to)
	if err != nil {
		return err
	}
	return c.sendWith(func(b []byte) []byte { return appendPage(b, usage, "", c.server.appendUsage) })
}

// day is a date, or a time of that day.
func (q *query) day(name string, absent time.Time) time.Time {
	s, ok := q.get(name)
	if !ok {
		return absent
	}
	if t, ok := parseTime(s); ok {
		return t.Truncate(24 * time.Hour)
	}
	if t, ok := parseTime(s + "T00:00:00Z"); ok {
		return t
	}
	q.faults.invalid(name, `must be a day such as "2026-01-31", not %s`, quoted(shown(s)))
	return absent
}

func (s *Server) appendUsage(b []byte, u tallygate.Usage) []byte {
	b = append(b, `{"day":"`...)
	b = u.Day.UTC().AppendFormat(b, time.DateOnly)
	b = append(b, `","type":`...)
	b = appendText(b, u.Type)
	b = append(b, `,"succeeded":`...)
	b = appendInt(b, u.Succeeded)
	b = append(b, `,"failed":`...)
	b = appendInt(b, u.Failed)
	b = append(b, `,"cancelled":`...)
	b = appendInt(b, u.Cancelled)
	b = append(b, `,"charged":`...)
	b = appendMoney(b, u.Charged)
	b = append(b, `,"currency":`...)
	b = appendText(b, s.opt.Currency)
	return append(b, '}')
}

// getErrors is GET /v1/account/errors and GET /v1/clients/{client}/errors: how the client's requests to this node ended
// in the last day, at most since the node started. Requests that were refused before it was known whose they are, such
// as those with a wrong key, are nobody's.
func (c *call) getErrors() error {
	if err := c.checked(); err != nil {
		return err
	}
	cl, err := c.existingClient()
	if err != nil {
		return err
	}
	rates := errorRates(c.server.Outcomes(cl.ID, false))
	since := c.start.Add(-countedHours * time.Hour)
	if since.Before(c.server.started) {
		since = c.server.started
	}
	return c.sendWith(func(b []byte) []byte {
		b = append(b, `{"since":`...)
		b = appendTime(b, since)
		b = append(b, `,"data":`...)
		b = appendList(b, rates, appendErrorRate)
		return append(b, `,"next_cursor":null}`...)
	})
}

// errorRate is how the requests of one route ended.
type errorRate struct {
	route            string
	requests, failed int64
	codes            map[string]int64
}

// errorRates sums outcomes over the hours, by route.
func errorRates(outcomes []Outcome) []*errorRate {
	byRoute := map[string]*errorRate{}
	var rates []*errorRate
	for _, o := range outcomes {
		rate := byRoute[o.Route]
		if rate == nil {
			rate = &errorRate{route: o.Route, codes: map[string]int64{}}
			byRoute[o.Route] = rate
			rates = append(rates, rate)
		}
		rate.requests += o.Requests
		if o.Code != "" {
			rate.failed += o.Requests
			rate.codes[o.Code] += o.Requests
		}
	}
	slices.SortFunc(rates, func(a, b *errorRate) int {
		return cmp.Or(cmp.Compare(b.failed, a.failed), cmp.Compare(a.route, b.route))
	})
	return rates
}

func appendErrorRate(b []byte, r *errorRate) []byte {
	b = append(b, `{"route":`...)
	b = appendTextOrNull(b, r.route)
	b = append(b, `,"requests":`...)
	b = appendInt(b, r.requests)
	b = append(b, `,"errors":`...)
	b = appendInt(b, r.failed)
	b = append(b, `,"error_rate":`...)
	b = strconv.AppendFloat(b, float64(r.failed)/float64(max(1, r.requests)), 'f', 4, 64)
	b = append(b, `,"codes":`...)
	b = appendUnits(b, r.codes)
	return append(b, '}')
}
