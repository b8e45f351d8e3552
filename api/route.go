package api

import (
	"net/http"
	"slices"
	"strings"

	"github.com/tallygate/tallygate"
)

// routeKind tells which checks a route's requests pass, and how long they may take.
type routeKind uint8

const (
	plain routeKind = iota
	waits           // may wait on purpose: no handler timeout, counted as at work only while it is
	open            // without a key, also while draining or overloaded
)

// route is one line of the table: what a method does at a path.
type route struct {
	method     string
	path       string // as http.ServeMux takes it
	permission tallygate.Permission
	cost       int64 // of the rate limit
	kind       routeKind
	takesKey   bool // whether it heeds Idempotency-Key
	handle     func(*call) error

	index int16 // in the table, from 1; 0 stands for no route
}

// name is how the route is shown, such as "POST /v1/jobs".
func (rt *route) name() string { return rt.method + " " + rt.path }

// What a request costs of its client's rate limit.
const (
	usualCost = 1
	batchCost = 10
)

// takesKey marks the routes that heed Idempotency-Key.
const takesKey = true

// routes is every route of the API.
func routes() []*route {
	const get, post, patch, put, del = http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodPut, http.MethodDelete
	table := []*route{
		{get, "/healthz", "", 0, open, false, (*call).health, 0},
		{get, "/readyz", "", 0, open, false, (*call).ready, 0},
		{get, "/openapi.json", "", 0, open, false, (*call).openAPI, 0},

		{post, "/v1/jobs", tallygate.JobsWrite, usualCost, waits, takesKey, (*call).submitJob, 0},
		{post, "/v1/jobs/batch", tallygate.JobsWrite, batchCost, plain, takesKey, (*call).submitBatch, 0},
		{get, "/v1/jobs", tallygate.JobsRead, usualCost, plain, false, (*call).listJobs, 0},
		{get, "/v1/jobs/{id}", tallygate.JobsRead, usualCost, waits, false, (*call).getJob, 0},
		{get, "/v1/jobs/{id}/result", tallygate.JobsRead, usualCost, plain, false, (*call).getResult, 0},
		{get, "/v1/jobs/{id}/events", tallygate.JobsRead, usualCost, waits, false, (*call).streamEvents, 0},
		{post, "/v1/jobs/{id}/cancel", tallygate.JobsWrite, usualCost, plain, takesKey, (*call).cancelJob, 0},
		{post, "/v1/run/{type}", tallygate.JobsWrite, usualCost, waits, takesKey, (*call).run, 0},

		{get, "/v1/job-types", tallygate.JobsRead, usualCost, plain, false, (*call).listTypes, 0},
		{get, "/v1/job-types/{name}", tallygate.JobsRead, usualCost, plain, false, (*call).getType, 0},
		{put, "/v1/job-types/{name}", tallygate.JobTypesWrite, usualCost, plain, false, (*call).defineType, 0},
		{del, "/v1/job-types/{name}", tallygate.JobTypesWrite, usualCost, plain, false, (*call).deleteType, 0},
		{post, "/v1/quotes", tallygate.JobsRead, usualCost, plain, false, (*call).quote, 0},

		{get, "/v1/account", tallygate.AccountRead, usualCost, plain, false, (*call).getAccount, 0},
		{get, "/v1/account/entries", tallygate.AccountRead, usualCost, plain, false, (*call).listOwnEntries, 0},
		{get, "/v1/account/usage", tallygate.AccountRead, usualCost, plain, false, (*call).getUsage, 0},
		{get, "/v1/account/errors", tallygate.AccountRead, usualCost, plain, false, (*call).getErrors, 0},

		{get, "/v1/api-keys", tallygate.KeysRead, usualCost, plain, false, (*call).listKeys, 0},
		{post, "/v1/api-keys", tallygate.KeysWrite, usualCost, plain, takesKey, (*call).createKey, 0},
		{get, "/v1/api-keys/{key}", tallygate.KeysRead, usualCost, plain, false, (*call).getKey, 0},
		{post, "/v1/api-keys/{key}/revoke", tallygate.KeysWrite, usualCost, plain, takesKey, (*call).revokeKey, 0},
		{post, "/v1/api-keys/{key}/rotate", tallygate.KeysWrite, usualCost, plain, takesKey, (*call).rotateKey, 0},

		{get, "/v1/clients", tallygate.ClientsRead, usualCost, plain, false, (*call).listClients, 0},
		{post, "/v1/clients", tallygate.ClientsWrite, usualCost, plain, takesKey, (*call).createClient, 0},
		{get, "/v1/clients/{client}", tallygate.ClientsRead, usualCost, plain, false, (*call).getClient, 0},
		{patch, "/v1/clients/{client}", tallygate.ClientsWrite, usualCost, plain, false, (*call).patchClient, 0},
		{post, "/v1/clients/{client}/suspend", tallygate.ClientsWrite, usualCost, plain, takesKey, (*call).suspendClient, 0},
		{post, "/v1/clients/{client}/activate", tallygate.ClientsWrite, usualCost, plain, takesKey, (*call).activateClient, 0},
		{post, "/v1/clients/{client}/credits", tallygate.BalanceWrite, usualCost, plain, takesKey, (*call).credit, 0},
		{get, "/v1/clients/{client}/entries", tallygate.ClientsRead, usualCost, plain, false, (*call).listEntries, 0},
		{get, "/v1/clients/{client}/usage", tallygate.ClientsRead, usualCost, plain, false, (*call).getUsage, 0},
		{get, "/v1/clients/{client}/errors", tallygate.ClientsRead, usualCost, plain, false, (*call).getErrors, 0},
		{get, "/v1/clients/{client}/api-keys", tallygate.ClientsRead, usualCost, plain, false, (*call).listKeys, 0},
		{post, "/v1/clients/{client}/api-keys", tallygate.ClientsWrite, usualCost, plain, takesKey, (*call).createKey, 0},
		{get, "/v1/clients/{client}/api-keys/{key}", tallygate.ClientsRead, usualCost, plain, false, (*call).getKey, 0},
		{post, "/v1/clients/{client}/api-keys/{key}/revoke", tallygate.ClientsWrite, usualCost, plain, takesKey, (*call).revokeKey, 0},
		{post, "/v1/clients/{client}/api-keys/{key}/rotate", tallygate.ClientsWrite, usualCost, plain, takesKey, (*call).rotateKey, 0},

		{get, "/v1/audit", tallygate.AuditRead, usualCost, plain, false, (*call).listAudit, 0},

		{post, "/v1/worker/lease", tallygate.Work, usualCost, waits, false, (*call).lease, 0},
		{post, "/v1/worker/report", tallygate.Work, usualCost, waits, false, (*call).report, 0},
		{post, "/v1/worker/jobs/{id}/heartbeat", tallygate.Work, usualCost, plain, false, (*call).heartbeat, 0},
		{post, "/v1/worker/jobs/{id}/succeed", tallygate.Work, usualCost, plain, false, (*call).succeed, 0},
		{post, "/v1/worker/jobs/{id}/fail", tallygate.Work, usualCost, plain, false, (*call).fail, 0},
		{post, "/v1/worker/jobs/{id}/release", tallygate.Work, usualCost, plain, false, (*call).release, 0},
	}
	for i, rt := range table {
		rt.index = int16(i + 1)
	}
	return table
}

// location is a path of the table with the routes of its methods. Paths are registered without a method, since a
// wrong one is answered here.
type location struct {
	routes []*route
	allow  []string // the Allow header
}

func newMux(table []*route) *http.ServeMux {
	locations := map[string]*location{}
	for _, rt := range table {
		at := locations[rt.path]
		if at == nil {
			at = &location{}
			locations[rt.path] = at
		}
		at.routes = append(at.routes, rt)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		c := w.(*call)
		c.err = notFound
	})
	for path, at := range locations {
		at.allow = []string{allowHeader(at.routes)}
		mux.Handle(path, at)
	}
	return mux
}

func allowHeader(routes []*route) string {
	var methods []string
	for _, rt := range routes {
		methods = append(methods, rt.method)
		if rt.method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
	}
	methods = append(methods, http.MethodOptions)
	slices.Sort(methods)
	return strings.Join(slices.Compact(methods), ", ")
}

var notFound = tallygate.Errorf(tallygate.ResourceNotFound, "no route has this path; check its spelling and the method")

// anyMethod is the Allow header of "OPTIONS *".
var anyMethod = []string{"DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"}

// ServeHTTP carries on with the call once the mux has found the path; w is the call itself.
func (at *location) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := w.(*call)
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for _, rt := range at.routes {
		if rt.method == method {
			c.route = rt
			c.err = c.pass()
			return
		}
	}
	if method == http.MethodOptions {
		c.err = c.preflight(at.allow)
		return
	}
	c.err = c.wrongMethod(at.allow)
}

// isClean reports whether the mux takes the path as it is. It would send a redirect to any other.
func isClean(path string) bool {
	if path == "" || path[0] != '/' {
		return false
	}
	for rest := path; rest != ""; {
		rest = rest[1:] // the slash
		end := strings.IndexByte(rest, '/')
		segment := rest
		if end >= 0 {
			segment, rest = rest[:end], rest[end:]
		} else {
			rest = ""
		}
		if segment == "." || segment == ".." || (segment == "" && rest != "") {
			return false
		}
	}
	return true
}
