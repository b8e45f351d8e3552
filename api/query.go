package api

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tallygate/tallygate"
)

// query is the query of a request, cut into its parameters. Like those of an object, its getters note faults, and
// done notes the parameters that nobody asked for.
type query struct {
	faults     *faults
	parameters []parameter
	asked      []string
}

type parameter struct {
	name, value string
	known       bool
}

const maxParameters = 100

// parseQuery cuts raw. A parameter that stands there twice, or is badly escaped, is a fault.
func parseQuery(f *faults, raw string) *query {
	q := &query{faults: f}
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, nameErr := url.QueryUnescape(name)
		value, valueErr := url.QueryUnescape(value)
		if nameErr != nil || valueErr != nil || strings.ContainsRune(pair, ';') {
			f.add(tallygate.InvalidParameter, name, "the query is badly escaped at %s", quoted(shown(pair)))
			continue
		}
		if len(q.parameters) == maxParameters {
			f.add(tallygate.InvalidParameter, "", "the query has more than %d parameters", maxParameters)
			break
		}
		if q.find(name) != nil {
			f.invalid(name, "stands in the query more than once")
			continue
		}
		q.parameters = append(q.parameters, parameter{name: name, value: value})
	}
	return q
}

func (q *query) find(name string) *parameter {
	for i := range q.parameters {
		if q.parameters[i].name == name {
			return &q.parameters[i]
		}
	}
	return nil
}

// get is the parameter's value, and whether it is there.
func (q *query) get(name string) (string, bool) {
	q.asked = append(q.asked, name)
	p := q.find(name)
	if p == nil {
		return "", false
	}
	p.known = true
	return p.value, true
}

// members are the parameters of the form name[member]=value.
func (q *query) members(name string) map[string]string {
	q.asked = append(q.asked, name+"[…]")
	var members map[string]string
	for i := range q.parameters {
		p := &q.parameters[i]
		rest, ok := strings.CutPrefix(p.name, name+"[")
		member, closed := strings.CutSuffix(rest, "]")
		if !ok || !closed || member == "" {
			continue
		}
		p.known = true
		if members == nil {
			members = map[string]string{}
		}
		members[member] = p.value
	}
	return members
}

// done notes the parameters that nobody asked for.
func (q *query) done() {
	for i := range q.parameters {
		if p := &q.parameters[i]; !p.known {
			q.faults.unknown("query parameter", p.name, p.name, q.asked)
		}
	}
}

// duration is a time in Go's notation from 0 to most, or what is given for absent.
func (q *query) duration(name string, absent, most time.Duration) time.Duration {
	s, ok := q.get(name)
	if !ok {
		return absent
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > most {
		q.faults.invalid(name, `must be a duration from 0s to %s such as "30s", not %s`, short(most), quoted(shown(s)))
		return absent
	}
	return d
}

// time is an RFC 3339 time, the zero time where there is none.
func (q *query) time(name string) time.Time {
	s, ok := q.get(name)
	if !ok {
		return time.Time{}
	}
	t, ok := parseTime(s)
	if !ok {
		q.faults.invalid(name, `must be an RFC 3339 time such as "2026-01-31T15:04:05Z", not %s`, quoted(shown(s)))
	}
	return t
}

// id is an identifier with the prefix, empty where there is none.
func (q *query) id(name, prefix string) string {
	s, ok := q.get(name)
	if !ok {
		return ""
	}
	if !tallygate.ValidID(prefix, s) {
		q.faults.invalid(name, "must be an ID such as %q, not %s", prefix+"…", quoted(shown(s)))
		return ""
	}
	return s
}

// The lengths of a list's pages.
const (
	defaultPage = 20
	maxPage     = 100
)

// page is which part of a list is asked for. The scope is what else was asked for: a cursor is good for that alone.
func (q *query) page(l list, scope string) tallygate.Page {
	page := tallygate.Page{Limit: defaultPage}
	if s, ok := q.get("limit"); ok {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxPage {
			q.faults.invalid("limit", "must be a whole number from 1 to %d, not %s", maxPage, quoted(shown(s)))
		} else {
			page.Limit = n
		}
	}
	if s, ok := q.get("cursor"); ok {
		if page.After, ok = decodeCursor(l, scope, s); !ok {
			q.faults.invalid("cursor", "must be the next_cursor that this list answered to the same query")
		}
	}
	return page
}
