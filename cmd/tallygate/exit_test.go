package main

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tallygate/tallygate"
)

func TestErrorsAreToldWithTheirRemedy(t *testing.T) {
	get := []string{"job", "get", "job_1"}
	one := func(text string) answers { return answers{"GET /v1/jobs/job_1": {text}} }
	for _, s := range []spoken{
		{name: "error_authentication", args: get, answers: one("401 EXPIRED_API_KEY The API key has expired: it ended on 2026-02-01")},
		{name: "error_permission", args: get, answers: one("403 INSUFFICIENT_PERMISSIONS The API key does not have the required permissions: it lacks jobs:read")},
		{name: "error_request", args: get, answers: one("400 INVALID_REQUEST The request is malformed or contains invalid parameters: Check request body format")},
		{name: "error_balance", args: get, answers: one("400 INSUFFICIENT_BALANCE Account balance is below the minimum required: available 0.10, hold 0.21, minimum 0.00")},
		{name: "error_not_found", args: get, answers: one("404 JOB_NOT_FOUND The specified job was not found")},
		{name: "error_rate_limit", args: get, answers: one("429 RATE_LIMIT_EXCEEDED Rate limit exceeded: 50 requests a second")},
		{name: "error_unavailable", args: get, answers: one("503 SERVICE_UNAVAILABLE The service is temporarily unavailable: draining")},
		{name: "error_server", args: get, answers: one("500 DATABASE_ERROR A database error occurred")},
		{name: "error_foreign", args: get, answers: one("<html>It works!</html>")},
		{name: "error_control_characters", args: get, answers: one("404 JOB_NOT_FOUND The specified job was not found: \x1b[2J\u202e")},
	} {
		s.run(t)
	}
}

func TestAMissingKeyIsNamed(t *testing.T) {
	url, _ := fakeServer(t, answers{"GET /v1/jobs/job_1": {"401 AUTHENTICATION_FAILED Authentication failed: the request holds no API key"}})
	args := []string{"job", "get", "job_1"}
	golden(t, "error_no_key", transcript(args, "", tally(t.Context(), "", append(args, "--url", url)...)))
}

func TestNoServer(t *testing.T) {
	s := httptest.NewServer(nil)
	s.Close()
	if r := tally(t.Context(), "", "job", "list", "--url", s.URL); r.code != exitUnreachable {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := tally(ctx, "", "job", "list"); r.code != exitInterrupted || r.stderr != "interrupted\n" {
		t.Errorf("exit %d: %q", r.code, r.stderr)
	}
}

func TestEveryCodeHasAnExitCode(t *testing.T) {
	for _, code := range tallygate.Codes() {
		if got := exitCode(code.Status()); got == exitInternal || got == exitUsage {
			t.Errorf("%s ends with %d", code, got)
		}
	}
}

func TestWhatAPoolerMixedUpNamesItsSetting(t *testing.T) {
	mixed := &tallygate.Error{Code: tallygate.DatabaseError, Err: &pgconn.PgError{Code: "42P05"}}
	for _, err := range []error{mixed, fmt.Errorf("prepare: %w", mixed), &exitError{code: exitServer, err: mixed, remedy: "another"}} {
		if got := new(app).tell(err); got.code != exitUsage || !strings.Contains(got.remedy, "default_query_exec_mode=cache_describe") {
			t.Errorf("%v: %+v", err, got)
		}
	}
}
