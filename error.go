package tallygate

import (
	"errors"
	"fmt"
	"time"
)

// Code is one of the 22 error codes of the contract. The list is closed.
type Code uint8

// The codes, in the contract's order.
const (
	AuthenticationFailed Code = iota
	InvalidAPIKey
	ExpiredAPIKey
	RevokedAPIKey
	AuthorizationFailed
	SuspendedAccount
	InsufficientPermissions
	InvalidRequest
	MissingParameter
	InvalidParameter
	InvalidFormat
	InsufficientBalance
	ResourceNotFound
	JobNotFound
	ClientNotFound
	APIKeyNotFound
	RateLimitExceeded
	InternalError
	ProcessingFailed
	DatabaseError
	ExternalServiceError
	ServiceUnavailable
)

// CodeFacts is what the contract fixes for one code.
type CodeFacts struct {
	Name    string // as it stands in the body and in X-Error-Code
	Status  int    // HTTP status
	Message string // the contract's sentence; every message of the code starts with it
	Remedy  string // the contract's solution
	Retry   bool   // whether the same request may succeed later
}

// facts is the only place that knows status, message, remedy and retry of a code.
var facts = [...]CodeFacts{
	AuthenticationFailed:    {"AUTHENTICATION_FAILED", 401, "Authentication failed", "Check your API key format", false},
	InvalidAPIKey:           {"INVALID_API_KEY", 401, "The provided API key is invalid", "Generate a new API key", false},
	ExpiredAPIKey:           {"EXPIRED_API_KEY", 401, "The API key has expired", "Generate a new API key", false},
	RevokedAPIKey:           {"REVOKED_API_KEY", 401, "The API key has been revoked", "Generate a new API key", false},
	AuthorizationFailed:     {"AUTHORIZATION_FAILED", 403, "You do not have permission to access this resource", "Check your API key permissions", false},
	SuspendedAccount:        {"SUSPENDED_ACCOUNT", 403, "The client account has been suspended", "Contact support", false},
	InsufficientPermissions: {"INSUFFICIENT_PERMISSIONS", 403, "The API key does not have the required permissions", "Use an API key with appropriate permissions", false},
	InvalidRequest:          {"INVALID_REQUEST", 400, "The request is malformed or contains invalid parameters", "Check request body format", false},
	MissingParameter:        {"MISSING_PARAMETER", 400, "A required parameter is missing", "Include all required fields", false},
	InvalidParameter:        {"INVALID_PARAMETER", 400, "A parameter has an invalid value", "Verify parameter values", false},
	InvalidFormat:           {"INVALID_FORMAT", 400, "The request format is invalid", "Check Content-Type and JSON syntax", false},
	InsufficientBalance:     {"INSUFFICIENT_BALANCE", 400, "Account balance is below the minimum required", "Add funds to your account", false},
	ResourceNotFound:        {"RESOURCE_NOT_FOUND", 404, "The requested resource was not found", "Verify the resource ID", false},
	JobNotFound:             {"JOB_NOT_FOUND", 404, "The specified job was not found", "Check the job ID", false},
	ClientNotFound:          {"CLIENT_NOT_FOUND", 404, "The specified client was not found", "Verify client ID", false},
	APIKeyNotFound:          {"API_KEY_NOT_FOUND", 404, "The specified API key was not found", "Check the key ID", false},
	RateLimitExceeded:       {"RATE_LIMIT_EXCEEDED", 429, "Rate limit exceeded", "Wait and retry with exponential backoff", true},
	InternalError:           {"INTERNAL_ERROR", 500, "An internal server error occurred", "Retry with exponential backoff", true},
	ProcessingFailed:        {"PROCESSING_FAILED", 500, "Job processing failed", "Check job details for error information", false},
	DatabaseError:           {"DATABASE_ERROR", 500, "A database error occurred", "Retry after a delay", true},
	ExternalServiceError:    {"EXTERNAL_SERVICE_ERROR", 500, "An external service error occurred", "Retry after a delay", true},
	ServiceUnavailable:      {"SERVICE_UNAVAILABLE", 503, "The service is temporarily unavailable", "Retry after a delay", true},
}

// Codes lists every code in the contract's order.
func Codes() []Code {
	all := make([]Code, len(facts))
	for i := range all {
		all[i] = Code(i)
	}
	return all
}

// ParseCode finds the code with the contract's name for it.
func ParseCode(name string) (Code, bool) {
	for i := range facts {
		if facts[i].Name == name {
			return Code(i), true
		}
	}
	return InternalError, false
}

// Facts returns what the contract fixes for the code.
func (c Code) Facts() CodeFacts { return facts[c] }

// Status is the HTTP status of the code.
func (c Code) Status() int { return facts[c].Status }

func (c Code) String() string { return facts[c].Name }

// Error is the one error type that reaches callers. Message is safe to show; Err is for logs alone.
type Error struct {
	Code       Code
	Detail     string        // what exactly is wrong and how to mend it; the contract's remedy when empty
	Field      string        // the parameter at fault, where there is one
	RetryAfter time.Duration // least wait before another try; 0 where nothing is known
	Final      bool          // the same request cannot succeed later, whatever the code's habit
	Err        error         // the cause, never shown
}

// Errorf makes an error of the code with a detail for the caller.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Message is the contract's sentence followed by the detail, or by the contract's remedy.
func (e *Error) Message() string {
	f := facts[e.Code]
	if e.Detail == "" {
		return f.Message + ": " + f.Remedy
	}
	return f.Message + ": " + e.Detail
}

// Retry tells whether the same request may succeed later.
func (e *Error) Retry() bool { return facts[e.Code].Retry && !e.Final }

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message(), e.Err)
	}
	return e.Code.String() + ": " + e.Message()
}

func (e *Error) Unwrap() error { return e.Err }

// AsError returns err as an Error. Anything unknown becomes INTERNAL_ERROR with err as its hidden cause.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Code: InternalError, Err: err}
}

// IsCode reports whether err is an Error of the code.
func IsCode(err error, code Code) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Code == code
}

// ErrCommit is the hidden cause of a DATABASE_ERROR when it was the commit itself that failed, so that its outcome is
// unknown until somebody has looked.
type ErrCommit struct{ Cause error }

func (e ErrCommit) Error() string { return "commit: " + e.Cause.Error() }

func (e ErrCommit) Unwrap() error { return e.Cause }
