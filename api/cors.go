package api

import (
	"net/http"
	"slices"

	"github.com/tallygate/tallygate"
)

// exposedHeaders are those that a browser's script may read.
const exposedHeaders = "X-Request-Id, X-Error-Code, X-Should-Retry, Retry-After, Link, WWW-Authenticate, Allow, " +
	"RateLimit, RateLimit-Policy, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, " +
	"Idempotent-Replayed, X-Tallygate-Job-Id"

// allowedHeaders are those that a browser's script may send.
const allowedHeaders = "Authorization, X-API-Key, Content-Type, Idempotency-Key, Last-Event-ID"

var (
	anyOrigin    = []string{"*"}
	varyOrigin   = []string{"Origin"}
	exposed      = []string{exposedHeaders}
	allowed      = []string{allowedHeaders}
	preflightAge = []string{"600"}
	emptyObject  = []byte("{}")
)

// origins are the browsers' origins that may call.
type origins struct {
	any  bool
	list []string
}

func newOrigins(list []string) origins {
	return origins{any: slices.Contains(list, "*"), list: list}
}

// allow tells the browser whether the page may read this answer, and reports whether it may.
func (o origins) allow(h http.Header, r *http.Request) bool {
	if len(o.list) == 0 {
		return false
	}
	h["Vary"] = varyOrigin
	from := r.Header["Origin"]
	switch {
	case len(from) != 1:
		return false
	case o.any:
		h["Access-Control-Allow-Origin"] = anyOrigin
	case slices.Contains(o.list, from[0]):
		h["Access-Control-Allow-Origin"] = from[:1:1]
	default:
		return false
	}
	h["Access-Control-Expose-Headers"] = exposed
	return true
}

// preflight answers a browser that asks which requests it may send. Any other OPTIONS request is a wrong method.
func (c *call) preflight(allow []string) error {
	h := c.w.Header()
	if !c.cors || len(c.r.Header["Access-Control-Request-Method"]) == 0 {
		return c.wrongMethod(allow)
	}
	h["Access-Control-Allow-Methods"] = allow
	h["Access-Control-Allow-Headers"] = allowed
	h["Access-Control-Max-Age"] = preflightAge
	return c.send(emptyObject)
}

func (c *call) wrongMethod(allow []string) error {
	c.w.Header()["Allow"] = allow
	return tallygate.Errorf(tallygate.InvalidRequest, "%.40s is not a method of this path: use %s", printable(c.r.Method), allow[0])
}
