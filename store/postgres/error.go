package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tallygate/tallygate"
)

// Codes of PostgreSQL's errors (Appendix A of its manual) that mean something here.
const (
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	readOnlyTransaction  = "25006"
	tooManyConnections   = "53300"
	diskFull             = "53100"
	lockNotAvailable     = "55P03"
	queryCanceled        = "57014"
	idleInTransaction    = "25P03" // for too long: this node stood still
	statementIsThere     = "42P05"
	statementIsNotThere  = "26000"
)

// pooled is what to do where one session's prepared statements meet another's.
const pooled = "a pooler that pools transactions wants default_query_exec_mode=cache_describe in the database's URL"

// codeOf is PostgreSQL's code of an error, empty where the error is not the database's own.
func codeOf(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// translate turns an error of the database's or of the way to it into the contract's. The cause is for the logs alone.
func translate(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*tallygate.Error](err); ok {
		return err
	}
	detail := "the database could not carry out the request; retry after a delay"
	switch code := codeOf(err); {
	case code == tooManyConnections:
		return &tallygate.Error{Code: tallygate.ServiceUnavailable, Detail: "the database has no connection to spare; retry after a delay", RetryAfter: time.Second, Err: err}
	case code == lockNotAvailable:
		return &tallygate.Error{Code: tallygate.ServiceUnavailable, Detail: "another node holds the database; retry after a delay", RetryAfter: time.Second, Err: err}
	case code == diskFull:
		detail = "the database's disk is full; retry after the operator has made room"
	case MixedUp(err):
		detail = "the database's sessions are mixed up: " + pooled
	case code == "":
		detail = "the database cannot be reached; retry after a delay"
	}
	return &tallygate.Error{Code: tallygate.DatabaseError, Detail: detail, RetryAfter: time.Second, Err: err}
}

// transient reports whether the same transaction may succeed if it is run again at once.
func transient(err error) bool {
	switch codeOf(err) {
	case serializationFailure, deadlockDetected, idleInTransaction:
		return true
	}
	return gone(err)
}

// gone reports whether the connection was lost, or is one to a server that is going or takes no writes any more.
func gone(err error) bool {
	code := codeOf(err)
	if code == "" {
		_, refused := errors.AsType[*pgconn.ConnectError](err)
		return !refused
	}
	return code == readOnlyTransaction || (code[:2] == "57" && code != queryCanceled) || code[:2] == "08"
}

// MixedUp reports whether an error says that a pooler between gives one session's prepared statements to another.
func MixedUp(err error) bool {
	code := codeOf(err)
	return code == statementIsThere || code == statementIsNotThere
}

// Unreachable reports whether an error says that the database does not answer, or has no room, rather than that something
// is wrong with its name or with what is in it.
func Unreachable(err error) bool {
	if code := codeOf(err); code != "" {
		return code == tooManyConnections || code[:2] == "08" || (code[:2] == "57" && code != queryCanceled)
	}
	_, network := errors.AsType[*net.OpError](err)
	_, name := errors.AsType[*net.DNSError](err)
	return network || name || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.ErrUnexpectedEOF)
}

// hopeless reports whether an error speaks of the database or the way to it, not of what was written.
func hopeless(err error) bool {
	e, ok := errors.AsType[*tallygate.Error](err)
	if !ok || (e.Code != tallygate.DatabaseError && e.Code != tallygate.ServiceUnavailable) {
		return false
	}
	code := codeOf(e.Err)
	return code == "" || code == readOnlyTransaction || code == lockNotAvailable || errorClasses[code[:2]]
}

// errorClasses are those of connections, resources, an operator's intervention, the system and its insides.
var errorClasses = map[string]bool{"08": true, "53": true, "57": true, "58": true, "XX": true}

// plain is what an opening's error says to a person: it has no secret in it.
func plain(err error) error {
	if e, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return fmt.Errorf("cannot connect to %s: %w", e.Config.Host, errors.Unwrap(e))
	}
	if MixedUp(err) {
		return fmt.Errorf("%w; %s", err, pooled)
	}
	return err
}
