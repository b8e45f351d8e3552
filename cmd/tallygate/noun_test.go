package main

import (
	"testing"
)

const (
	acme = `{"id":"cl_1","name":"Acme","status":"active","currency":"USD","minimum_balance":"0.00","limits":{"requests_per_second":50,"burst":100,"running_jobs":20,"queued_jobs":100000},` +
		`"balance":{"posted":"25.00","held":"0.30","available":"24.70"},"metadata":{"plan":"pro"},"created_at":"2026-03-01T11:57:00Z"}`
	umbrella = `{"id":"cl_2","name":"Umbrella\u001b[31m","status":"suspended","currency":"USD","minimum_balance":"-5.00","limits":{"requests_per_second":1.5,"burst":3,"running_jobs":1,"queued_jobs":10},` +
		`"balance":{"posted":"1250.00","held":"0.00","available":"1250.00"},"metadata":{},"created_at":"2025-01-01T00:00:00Z"}`

	ciKey = `"client_id":"cl_1","name":"ci","status":"active","permissions":["account:read","jobs:read","jobs:write","keys:read"],"allowed_cidrs":["10.0.0.0/8"],` +
		`"limits":{"requests_per_second":5,"burst":10},"expires_at":"2026-03-31T12:00:00Z","revoked_at":null,"replaced_by":null,"created_at":"2026-02-28T12:00:00Z","last_used_at":null}`

	creditEntry = `{"id":"ent_1","client_id":"cl_1","kind":"credit","posted":"25.00","held":"0.00","balance":{"posted":"25.00","held":"0.00","available":"25.00"},"job_id":null,"note":"invoice 7","created_at":"2026-03-01T10:00:00Z"}`
	holdEntry   = `{"id":"ent_2","client_id":"cl_1","kind":"hold","posted":"0.00","held":"0.21","balance":{"posted":"25.00","held":"0.21","available":"24.79"},"job_id":"job_1","note":"","created_at":"2026-03-01T11:59:59Z"}`

	textStats = `{"name":"text.stats","description":"Counts words.","input_schema":{"type":"object"},"currency":"USD","price":{"base":"0.01","units":{"page":{"price":"0.002","max":100}}},"price_version":1,` +
		`"max_attempts":3,"time_limit":"1h","cancel_charge":"none","retention":"720h","executor":{"kind":"http","url":"http://upstream/","timeout":"30s"},"attempt_timeout":"5m","lease":"30s","running_jobs":4,"clients":["cl_1"]}`
)

func page(items string, next string) string {
	return `{"data":[` + items + `],"next_cursor":` + next + `}`
}

func TestClientCommands(t *testing.T) {
	for _, s := range []spoken{
		{name: "client_create", args: []string{"client", "create", "Acme", "--requests-per-second", "50", "--metadata", "plan=pro", "--minimum-balance=-5.00"},
			answers: answers{"POST /v1/clients": {acme}}},
		{name: "client_list", args: []string{"client", "list"},
			answers: answers{"GET /v1/clients": {page(acme+","+umbrella, "null")}}},
		{name: "client_list_pages", args: []string{"client", "list", "--limit", "1"},
			answers: answers{"GET /v1/clients": {page(acme, `"abc"`)}}},
		{name: "client_list_all", args: []string{"client", "list", "--all", "--json"},
			answers: answers{"GET /v1/clients": {page(acme, `"abc"`), page("", `"def"`), page(umbrella, "null")}}},
		{name: "client_list_empty", args: []string{"client", "list"},
			answers: answers{"GET /v1/clients": {page("", "null")}}},
		{name: "client_list_empty_json", args: []string{"client", "list", "--json"},
			answers: answers{"GET /v1/clients": {page("", "null")}}},
		{name: "client_get", args: []string{"client", "get", "cl_2"}, answers: answers{"GET /v1/clients/cl_2": {umbrella}}},
		{name: "client_get_json", args: []string{"client", "get", "cl_2", "--json"}, answers: answers{"GET /v1/clients/cl_2": {umbrella}}},
		{name: "client_get_escapes", args: []string{"client", "get", "../jobs"}, answers: answers{"GET /v1/clients/../jobs": {"404 CLIENT_NOT_FOUND The specified client was not found"}}},
		{name: "client_update", args: []string{"client", "update", "cl_1", "--name", "ACME", "--burst", "7", "--queued-jobs", "5"}, answers: answers{"PATCH /v1/clients/cl_1": {acme}}},
		{name: "client_suspend", args: []string{"client", "suspend", "cl_2"}, answers: answers{"POST /v1/clients/cl_2/suspend": {umbrella}}},
		{name: "client_activate", args: []string{"client", "activate", "cl_1"}, answers: answers{"POST /v1/clients/cl_1/activate": {acme}}},
	} {
		s.run(t)
	}
}

func TestKeyCommands(t *testing.T) {
	created, stored := `{"id":"key_1","key":"tg_live_1_secret_sum",`+ciKey, `{"id":"key_1",`+ciKey
	for _, s := range []spoken{
		{name: "key_create", args: []string{"key", "create", "--name", "ci", "--permission", "jobs:read,jobs:write", "--permission", "preset:read_only", "--expires", "720h", "--allowed-cidr", "10.0.0.0/8", "--requests-per-second", "5", "--idempotency-key", "ci-1"},
			answers: answers{"POST /v1/api-keys": {created}}},
		{name: "key_create_for_client", args: []string{"key", "create", "--client", "cl_1", "--permission", "preset:full", "--json"},
			answers: answers{"POST /v1/clients/cl_1/api-keys": {created}}},
		{name: "key_create_replayed", args: []string{"key", "create", "--permission", "work"},
			answers: answers{"POST /v1/api-keys": {`{"id":"key_1","key":null,` + ciKey}}},
		{name: "key_list", args: []string{"key", "list", "--client", "cl_1"}, answers: answers{"GET /v1/clients/cl_1/api-keys": {page(stored, "null")}}},
		{name: "key_get", args: []string{"key", "get", "key_1"}, answers: answers{"GET /v1/api-keys/key_1": {stored}}},
		{name: "key_revoke", args: []string{"key", "revoke", "key_1"}, answers: answers{"POST /v1/api-keys/key_1/revoke": {stored}}},
		{name: "key_rotate", args: []string{"key", "rotate", "key_1", "--overlap", "1h"}, answers: answers{"POST /v1/api-keys/key_1/rotate": {created}}},
	} {
		s.run(t)
	}
}

func TestCreditCommands(t *testing.T) {
	for _, s := range []spoken{
		{name: "credit_add", args: []string{"credit", "add", "cl_1", "25.00", "--note", "invoice 7", "--idempotency-key", "invoice-7"},
			answers: answers{"POST /v1/clients/cl_1/credits": {creditEntry}}},
		{name: "credit_list", args: []string{"credit", "list", "cl_1"},
			answers: answers{"GET /v1/clients/cl_1/entries": {page(holdEntry+","+creditEntry, "null")}}},
		{name: "credit_list_own", args: []string{"credit", "list", "--json"},
			answers: answers{"GET /v1/account/entries": {page(creditEntry, "null")}}},
	} {
		s.run(t)
	}
}

func TestJobTypeCommands(t *testing.T) {
	put := func(name string) string { return "PUT /v1/job-types/" + name }
	for _, s := range []spoken{
		{name: "job_type_list", args: []string{"job-type", "list"}, answers: answers{"GET /v1/job-types": {page(textStats, "null")}}},
		{name: "job_type_get", args: []string{"job-type", "get", "text.stats"}, answers: answers{"GET /v1/job-types/text.stats": {textStats}}},
		{name: "job_type_apply", args: []string{"job-type", "apply", "testdata/types.yaml", "-"}, stdin: `{"name":"json","price":{"base":"0.01"},"executor":{"kind":"pull"}}`,
			answers: answers{put("text.stats"): {textStats}, put("free"): {textStats}, put("json"): {textStats}}},
		{name: "job_type_apply_json", args: []string{"job-type", "apply", "-", "--json"}, stdin: "- name: a\n", answers: answers{put("a"): {textStats}}},
		{name: "job_type_apply_typo", args: []string{"job-type", "apply", "-"}, stdin: "name: a\nprice:\n  bsae: 1\n"},
		{name: "job_type_apply_refused", args: []string{"job-type", "apply", "-"}, stdin: "- name: a\n- name: b\n",
			answers: answers{put("a"): {textStats}, put("b"): {"400 INVALID_PARAMETER A parameter has an invalid value: /lease must be 1s or more"}}},
		{name: "job_type_delete", args: []string{"job-type", "delete", "text.stats"}, answers: answers{"DELETE /v1/job-types/text.stats": {`{"name":"text.stats","deleted":true}`}}},
	} {
		s.run(t)
	}
}
