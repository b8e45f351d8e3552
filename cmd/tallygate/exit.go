package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tallygate/tallygate"
	sdk "github.com/tallygate/tallygate/sdk/go"
	"github.com/tallygate/tallygate/store/postgres"
)

// The exit codes, one per kind of failure, so that a script can tell them apart.
const (
	exitOK          = 0
	exitInternal    = 1
	exitUsage       = 2
	exitKey         = 3
	exitForbidden   = 4
	exitRequest     = 5
	exitNotFound    = 6
	exitBusy        = 7
	exitServer      = 8
	exitJob         = 9
	exitUnreachable = 10
	exitFound       = 11
	exitInterrupted = 130
)

var exitCodes = []struct {
	code    int
	meaning string
}{
	{exitOK, "done"},
	{exitInternal, "something unexpected failed on this side"},
	{exitUsage, "the command line, or a file it names, is wrong"},
	{exitKey, "the API key was not accepted (401)"},
	{exitForbidden, "the key may not do this (403)"},
	{exitRequest, "the server refused the request (400)"},
	{exitNotFound, "it does not exist (404)"},
	{exitBusy, "rate limited or unavailable (429, 503)"},
	{exitServer, "the server failed (500)"},
	{exitJob, "the job failed or was cancelled (job submit --wait, watch, result)"},
	{exitUnreachable, "no Tallygate server, or no database, answered"},
	{exitFound, "key scan, audit, doctor, copy or bench --strict found something"},
	{exitInterrupted, "interrupted"},
}

// exitCodeTable is the table as the help shows it.
func exitCodeTable() string {
	var b strings.Builder
	for _, e := range exitCodes {
		fmt.Fprintf(&b, "    %3d  %s\n", e.code, e.meaning)
	}
	return b.String()
}

// exitError is an error that knows its exit code and the way out.
type exitError struct {
	code   int
	err    error // nil: everything to say has been printed
	remedy string
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usagef is a fault of the command line or of a file that it names.
func usagef(format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// report prints the error with its remedy and returns the exit code.
func (a *app) report(ctx context.Context, err error) int {
	if err == nil {
		return exitOK
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		fmt.Fprintln(a.stderr, "interrupted")
		return exitInterrupted
	}
	t := a.tell(err)
	if t.text != "" {
		fmt.Fprintf(a.stderr, "error: %s\n", plain(t.text))
	}
	if t.remedy != "" {
		fmt.Fprintf(a.stderr, "remedy: %s\n", plain(t.remedy))
	}
	if t.requestID != "" {
		fmt.Fprintf(a.stderr, "request id: %s\n", plain(t.requestID))
	}
	return t.code
}

// told is an error as the user meets it.
type told struct {
	code                    int
	text, remedy, requestID string
}

func (a *app) tell(err error) told {
	if postgres.MixedUp(err) {
		return told{code: exitUsage, text: err.Error(), remedy: "add default_query_exec_mode=cache_describe to the database's URL; docs/cluster.md tells of poolers"}
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		t := told{code: e.code, remedy: e.remedy}
		if e.err != nil {
			t.text = err.Error()
		}
		if failure, ok := errors.AsType[*sdk.Error](e.err); ok {
			t.requestID = failure.RequestID
			if t.remedy == "" {
				t.remedy = a.remedy(failure)
			}
		}
		return t
	}
	if errors.Is(err, sdk.ErrURL) {
		return told{code: exitUsage, text: err.Error(), remedy: "mend --url or TALLYGATE_URL"}
	}
	if errors.Is(err, sdk.ErrKey) {
		return told{code: exitUsage, text: err.Error(), remedy: "mend --key or TALLYGATE_KEY"}
	}
	if e, ok := errors.AsType[*sdk.Error](err); ok {
		code := exitCode(e.Status)
		if e.Code == "" && code != exitBusy {
			code = exitUnreachable // whoever answered, it was no Tallygate server
		}
		return told{code: code, text: err.Error(), remedy: a.remedy(e), requestID: e.RequestID}
	}
	if e, ok := errors.AsType[*tallygate.Error](err); ok {
		facts := e.Code.Facts()
		return told{code: exitCode(facts.Status), text: err.Error(), remedy: unsaid(facts.Remedy, e.Message())}
	}
	return told{code: exitInternal, text: err.Error()}
}

// exitCode is the kind of an answer's status; 0 is no answer.
func exitCode(status int) int {
	switch {
	case status == 0:
		return exitUnreachable
	case status == 400:
		return exitRequest
	case status == 401:
		return exitKey
	case status == 403:
		return exitForbidden
	case status == 404:
		return exitNotFound
	case status == 429 || status >= 502:
		return exitBusy
	case status >= 500:
		return exitServer
	}
	return exitInternal
}

// remedy says what to do about a failed call, where the message has not said it.
func (a *app) remedy(e *sdk.Error) string {
	switch {
	case e.Status == 0:
		return "start a server with `tallygate serve`, or name the right one with --url or TALLYGATE_URL"
	case e.Code == "":
		return fmt.Sprintf("check that --url (%s) is the address of a Tallygate server", a.api.URL())
	case e.Status == 401 && a.key == "":
		return "pass an API key with --key or TALLYGATE_KEY"
	}
	code, known := tallygate.ParseCode(string(e.Code))
	if !known {
		return ""
	}
	if code == tallygate.InsufficientBalance {
		return "add funds with `tallygate credit add CLIENT AMOUNT`, as the operator"
	}
	return unsaid(code.Facts().Remedy, e.Message)
}

// unsaid is the remedy unless the message holds it.
func unsaid(remedy, message string) string {
	if strings.Contains(strings.ToLower(message), strings.ToLower(remedy)) {
		return ""
	}
	return remedy
}
