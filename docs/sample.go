package docs

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Sample is a program that calls one route, as the reference shows it. TALLYGATE_URL and TALLYGATE_KEY say which server
// and with which key.
type Sample struct {
	Operation  string // the operationId
	Permission string // that the key needs; empty: none
	Language   string // as in the info string of a block of code
	Code       string
}

// Samples are those of every operation of an OpenAPI document.
func Samples(openAPI []byte) ([]Sample, error) {
	r, err := readReference(openAPI)
	if err != nil {
		return nil, fmt.Errorf("docs: %w", err)
	}
	var all []Sample
	for _, g := range r.groups {
		for _, o := range g.Operations {
			all = append(all, o.Samples...)
		}
	}
	return all, nil
}

// sampleLanguages are those that samples are written in.
var sampleLanguages = []struct {
	name  string
	write func(*operation) string
}{
	{"sh", curlSample},
	{"go", goSample},
	{"python", pythonSample},
	{"ts", typescriptSample},
}

// methods are how the SDKs call the operations: words that each writes in its own case.
var methods = map[string]string{
	"submitJob": "jobs.submit", "submitJobBatch": "jobs.submit_batch", "listJobs": "jobs.list", "getJob": "jobs.get",
	"getJobResult": "jobs.result", "streamJobEvents": "jobs.events", "cancelJob": "jobs.cancel", "runJob": "run",

	"listJobTypes": "job_types.list", "getJobType": "job_types.get", "defineJobType": "job_types.define",
	"deleteJobType": "job_types.delete", "quoteJob": "quote",

	"getAccount": "account.get", "listAccountEntries": "account.entries", "getAccountUsage": "account.usage",
	"getAccountErrors": "account.errors",

	"listApiKeys": "api_keys.list", "createApiKey": "api_keys.create", "getApiKey": "api_keys.get",
	"revokeApiKey": "api_keys.revoke", "rotateApiKey": "api_keys.rotate",

	"listClients": "clients.list", "createClient": "clients.create", "getClient": "clients.get",
	"updateClient": "clients.update", "suspendClient": "clients.suspend", "activateClient": "clients.activate",
	"creditClient": "clients.credit", "listClientEntries": "clients.entries", "getClientUsage": "clients.usage",
	"getClientErrors": "clients.errors", "listClientApiKeys": "clients.api_keys.list",
	"createClientApiKey": "clients.api_keys.create", "getClientApiKey": "clients.api_keys.get",
	"revokeClientApiKey": "clients.api_keys.revoke", "rotateClientApiKey": "clients.api_keys.rotate",

	"listAuditRecords": "audit.list",

	"leaseJobs": "worker.lease", "reportJobs": "worker.report", "heartbeatJob": "worker.heartbeat",
	"succeedJob": "worker.succeed", "failJob": "worker.fail", "releaseJob": "worker.release",

	"getHealth": "health", "getReadiness": "ready",
}

// telling is what a sample prints of an answer, by its schema.
type telling struct {
	name  string   // of the variable
	parts []string // of it, or of each of its items; none: itself
	items string   // the member that holds the items; empty: the answer is one thing
}

var tellings = map[string]telling{
	"Job":              {"job", []string{"id", "status"}, ""},
	"JobList":          {"job", []string{"id", "status"}, "data"},
	"JobBatchAccepted": {"job", []string{"id", "status"}, "data"},
	"JobEvent":         {"event", []string{"kind", "status"}, "data"},
	"Result":           {"result", nil, ""},
	"JobType":          {"job_type", []string{"name", "price.base"}, ""},
	"JobTypeList":      {"job_type", []string{"name", "price.base"}, "data"},
	"JobTypeDeleted":   {"gone", []string{"name", "deleted"}, ""},
	"Quote":            {"quote", []string{"quoted", "currency"}, ""},
	"Client":           {"account", []string{"id", "status", "balance.available"}, ""},
	"ClientList":       {"account", []string{"id", "name"}, "data"},
	"Entry":            {"entry", []string{"kind", "posted", "balance.available"}, ""},
	"EntryList":        {"entry", []string{"kind", "posted", "held"}, "data"},
	"Usage":            {"row", []string{"day", "type", "charged"}, "data"},
	"ErrorRates":       {"rate", []string{"route", "error_rate"}, "data"},
	"ApiKey":           {"key", []string{"id", "status"}, ""},
	"ApiKeyList":       {"key", []string{"id", "status"}, "data"},
	"ApiKeyCreated":    {"created", []string{"id", "status"}, ""},
	"AuditRecordList":  {"record", []string{"kind", "subject"}, "data"},
	"Leases":           {"lease", []string{"job.id", "token"}, "leases"},
	"ReportResults":    {"result", []string{"job_id", "ok"}, "results"},
	"Heartbeat":        {"beat", []string{"cancel_requested"}, ""},
	"Reported":         {"reported", []string{"job_id", "ok"}, ""},
	"Health":           {"health", []string{"status"}, ""},
	"Readiness":        {"readiness", []string{"status"}, ""},
}

func (o *operation) telling() telling { return tellings[o.Answer.schema] }

// shown names the parameters of a query that an operation's samples give, of those that it may.
var shown = map[string][]string{
	"listJobs":        {"status", "type"},
	"getJob":          {"wait"},
	"getAccountUsage": {"from", "to"},
	"getClientUsage":  {"from", "to"},
}

// target is the path and query of the operation's samples.
func (o *operation) target() string {
	target, query := o.Path, []string{}
	for _, p := range o.parameters {
		switch {
		case p.in == "path":
			target = strings.ReplaceAll(target, "{"+p.name+"}", url.PathEscape(p.example.text()))
		case p.in == "query" && (p.required || slices.Contains(shown[o.ID], p.name)):
			query = append(query, p.name+"="+url.QueryEscape(p.example.text()))
		}
	}
	if len(query) > 0 {
		target += "?" + strings.Join(query, "&")
	}
	return target
}

// input is the body of the operation's samples; nil: none.
func (o *operation) input() *node {
	if o.Body == nil || len(o.Body.Examples) == 0 || len(o.Body.Examples[0].value.items()) == 0 {
		return nil
	}
	return o.Body.Examples[0].value
}

// ids are the path's parameters, in its order.
func (o *operation) ids() (ids []string) {
	for _, p := range o.parameters {
		if p.in == "path" {
			ids = append(ids, p.example.text())
		}
	}
	return ids
}

// options are the parameters of the query that the samples give, and an Idempotency-Key that has to be given.
func (o *operation) options() (options []parameter) {
	for _, p := range o.parameters {
		if (p.in == "query" && slices.Contains(shown[o.ID], p.name)) || (p.name == idempotencyKey && p.required) {
			options = append(options, p)
		}
	}
	return options
}

const idempotencyKey = "Idempotency-Key"

// layout puts the parts between the brackets: on one line where they fit, else each on its own.
func layout(open string, parts []string, end, indent string) string {
	line := open + strings.Join(parts, ", ") + end
	if len(parts) == 0 || (len(indent)+len(line) <= sampleWidth && !strings.Contains(line, "\n")) {
		return line
	}
	return broken(open, parts, end, indent)
}

// broken puts each of the parts on a line of its own.
func broken(open string, parts []string, end, indent string) string {
	return open + "\n" + indent + "  " + strings.Join(parts, ",\n"+indent+"  ") + ",\n" + indent + end
}

const sampleWidth = 56

// notation is how a language writes JSON values.
type notation struct {
	null, yes, no string
	spaced        bool                     // an object on one line has blanks within its brackets
	member        func(name string) string // with what separates it from its value
}

// parts writes the members of an object, or the items of a list.
func (l *notation) parts(n *node, indent string) (parts []string) {
	for i, v := range n.values {
		part := l.value(v, indent+"  ")
		if n.kind == objectNode {
			part = l.member(n.names[i]) + part
		}
		parts = append(parts, part)
	}
	return parts
}

// value writes a JSON value.
func (l *notation) value(n *node, indent string) string {
	parts := l.parts(n, indent)
	switch n.kind {
	case objectNode:
		return l.object(parts, indent)
	case listNode:
		return layout("[", parts, "]", indent)
	}
	switch s := n.scalar.(type) {
	case string:
		return quoted(s)
	case bool:
		if s {
			return l.yes
		}
		return l.no
	case nil:
		return l.null
	}
	return n.line()
}

func (l *notation) object(parts []string, indent string) string {
	text := layout("{", parts, "}", indent)
	if l.spaced && len(parts) > 0 && !strings.Contains(text, "\n") {
		return "{ " + text[1:len(text)-1] + " }"
	}
	return text
}

// camel is a name in camelCase.
func camel(name string) string {
	parts := strings.Split(name, "_")
	for i, part := range parts[1:] {
		parts[i+1] = strings.ToUpper(part[:1]) + part[1:]
	}
	return strings.Join(parts, "")
}
