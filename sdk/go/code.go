package tallygate

// Code is the name of an error as the API tells it. Codes are errors themselves, so that errors.Is(err,
// CodeRateLimitExceeded) asks for one. The contract's list is below; a server newer than this package may know more,
// and its codes come through as they are.
type Code string

// The codes of the contract.
const (
	CodeAuthenticationFailed    Code = "AUTHENTICATION_FAILED"    // 401: check your API key format
	CodeInvalidAPIKey           Code = "INVALID_API_KEY"          // 401: generate a new API key
	CodeExpiredAPIKey           Code = "EXPIRED_API_KEY"          // 401: generate a new API key
	CodeRevokedAPIKey           Code = "REVOKED_API_KEY"          // 401: generate a new API key
	CodeAuthorizationFailed     Code = "AUTHORIZATION_FAILED"     // 403: check your API key permissions
	CodeSuspendedAccount        Code = "SUSPENDED_ACCOUNT"        // 403: contact support
	CodeInsufficientPermissions Code = "INSUFFICIENT_PERMISSIONS" // 403: use an API key with appropriate permissions
	CodeInvalidRequest          Code = "INVALID_REQUEST"          // 400: check request body format
	CodeMissingParameter        Code = "MISSING_PARAMETER"        // 400: include all required fields
	CodeInvalidParameter        Code = "INVALID_PARAMETER"        // 400: verify parameter values
	CodeInvalidFormat           Code = "INVALID_FORMAT"           // 400: check Content-Type and JSON syntax
	CodeInsufficientBalance     Code = "INSUFFICIENT_BALANCE"     // 400: add funds to your account
	CodeResourceNotFound        Code = "RESOURCE_NOT_FOUND"       // 404: verify the resource ID
	CodeJobNotFound             Code = "JOB_NOT_FOUND"            // 404: check the job ID
	CodeClientNotFound          Code = "CLIENT_NOT_FOUND"         // 404: verify client ID
	CodeAPIKeyNotFound          Code = "API_KEY_NOT_FOUND"        // 404: check the key ID
	CodeRateLimitExceeded       Code = "RATE_LIMIT_EXCEEDED"      // 429: wait and retry with exponential backoff
	CodeInternalError           Code = "INTERNAL_ERROR"           // 500: retry with exponential backoff
	CodeProcessingFailed        Code = "PROCESSING_FAILED"        // 500: check job details for error information
	CodeDatabaseError           Code = "DATABASE_ERROR"           // 500: retry after a delay
	CodeExternalServiceError    Code = "EXTERNAL_SERVICE_ERROR"   // 500: retry after a delay
	CodeServiceUnavailable      Code = "SERVICE_UNAVAILABLE"      // 503: retry after a delay
)

// Error is the code's name.
func (c Code) Error() string { return string(c) }

// base lets the types below embed an Error without a field of the method's name.
type base = Error

// Each code has a type. They embed [*Error], so that its fields are theirs, and errors.As finds either.
type (
	// AuthenticationFailedError is a refusal with [CodeAuthenticationFailed]: no key, or one of the wrong form.
	AuthenticationFailedError struct{ *base }
	// InvalidAPIKeyError is a refusal with [CodeInvalidAPIKey]: nobody has this key.
	InvalidAPIKeyError struct{ *base }
	// ExpiredAPIKeyError is a refusal with [CodeExpiredAPIKey].
	ExpiredAPIKeyError struct{ *base }
	// RevokedAPIKeyError is a refusal with [CodeRevokedAPIKey].
	RevokedAPIKeyError struct{ *base }
	// AuthorizationFailedError is a refusal with [CodeAuthorizationFailed]: not from here, or not for this client.
	AuthorizationFailedError struct{ *base }
	// SuspendedAccountError is a refusal with [CodeSuspendedAccount].
	SuspendedAccountError struct{ *base }
	// InsufficientPermissionsError is a refusal with [CodeInsufficientPermissions]; its message names what is lacking.
	InsufficientPermissionsError struct{ *base }
	// InvalidRequestError is a refusal with [CodeInvalidRequest], such as by a conflict of state.
	InvalidRequestError struct{ *base }
	// MissingParameterError is a refusal with [CodeMissingParameter]; its message names every one.
	MissingParameterError struct{ *base }
	// InvalidParameterError is a refusal with [CodeInvalidParameter]; its message names every one.
	InvalidParameterError struct{ *base }
	// InvalidFormatError is a refusal with [CodeInvalidFormat].
	InvalidFormatError struct{ *base }
	// InsufficientBalanceError is a refusal with [CodeInsufficientBalance]; its message gives the amounts.
	InsufficientBalanceError struct{ *base }
	// ResourceNotFoundError is a refusal with [CodeResourceNotFound].
	ResourceNotFoundError struct{ *base }
	// JobNotFoundError is a refusal with [CodeJobNotFound].
	JobNotFoundError struct{ *base }
	// ClientNotFoundError is a refusal with [CodeClientNotFound].
	ClientNotFoundError struct{ *base }
	// APIKeyNotFoundError is a refusal with [CodeAPIKeyNotFound].
	APIKeyNotFoundError struct{ *base }
	// RateLimitExceededError is a refusal with [CodeRateLimitExceeded]; RetryAfter says when to come back.
	RateLimitExceededError struct{ *base }
	// InternalServerError is a failure with [CodeInternalError].
	InternalServerError struct{ *base }
	// ProcessingFailedError is a job that failed, with [CodeProcessingFailed].
	ProcessingFailedError struct{ *base }
	// DatabaseError is a failure with [CodeDatabaseError].
	DatabaseError struct{ *base }
	// ExternalServiceError is a failure with [CodeExternalServiceError]: of an upstream, or of a provider of payments.
	ExternalServiceError struct{ *base }
	// ServiceUnavailableError is a refusal with [CodeServiceUnavailable]: busy, going down, or without its database.
	ServiceUnavailableError struct{ *base }
)

// errorTypes makes the type of a code.
var errorTypes = map[Code]func(*Error) error{
	CodeAuthenticationFailed:    func(e *Error) error { return &AuthenticationFailedError{e} },
	CodeInvalidAPIKey:           func(e *Error) error { return &InvalidAPIKeyError{e} },
	CodeExpiredAPIKey:           func(e *Error) error { return &ExpiredAPIKeyError{e} },
	CodeRevokedAPIKey:           func(e *Error) error { return &RevokedAPIKeyError{e} },
	CodeAuthorizationFailed:     func(e *Error) error { return &AuthorizationFailedError{e} },
	CodeSuspendedAccount:        func(e *Error) error { return &SuspendedAccountError{e} },
	CodeInsufficientPermissions: func(e *Error) error { return &InsufficientPermissionsError{e} },
	CodeInvalidRequest:          func(e *Error) error { return &InvalidRequestError{e} },
	CodeMissingParameter:        func(e *Error) error { return &MissingParameterError{e} },
	CodeInvalidParameter:        func(e *Error) error { return &InvalidParameterError{e} },
	CodeInvalidFormat:           func(e *Error) error { return &InvalidFormatError{e} },
	CodeInsufficientBalance:     func(e *Error) error { return &InsufficientBalanceError{e} },
	CodeResourceNotFound:        func(e *Error) error { return &ResourceNotFoundError{e} },
	CodeJobNotFound:             func(e *Error) error { return &JobNotFoundError{e} },
	CodeClientNotFound:          func(e *Error) error { return &ClientNotFoundError{e} },
	CodeAPIKeyNotFound:          func(e *Error) error { return &APIKeyNotFoundError{e} },
	CodeRateLimitExceeded:       func(e *Error) error { return &RateLimitExceededError{e} },
	CodeInternalError:           func(e *Error) error { return &InternalServerError{e} },
	CodeProcessingFailed:        func(e *Error) error { return &ProcessingFailedError{e} },
	CodeDatabaseError:           func(e *Error) error { return &DatabaseError{e} },
	CodeExternalServiceError:    func(e *Error) error { return &ExternalServiceError{e} },
	CodeServiceUnavailable:      func(e *Error) error { return &ServiceUnavailableError{e} },
}

// retried are the codes under which the same request may succeed later, unless the answer says otherwise.
var retried = map[Code]bool{
	CodeRateLimitExceeded: true, CodeServiceUnavailable: true, CodeInternalError: true, CodeDatabaseError: true,
	CodeExternalServiceError: true,
}
