"""What a call can end in beside success: one base type, a type for each code of the contract, and a few more."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Type

from .models import Job


class TallygateError(Exception):
    """The base of all errors that this package raises.

    ``code`` is the contract's code where the server told one, also one that this package does not know yet; ``status``,
    ``headers`` and ``body`` are the answer's, where one came; ``retry_after`` is in seconds; ``attempts`` tells how
    often the request was sent.
    """

    code: Optional[str] = None

    def __init__(
        self,
        message: str = "",
        *,
        code: Optional[str] = None,
        status: Optional[int] = None,
        request_id: Optional[str] = None,
        retry_after: Optional[float] = None,
        attempts: int = 0,
        headers: Optional[Mapping[str, str]] = None,
        body: bytes = b"",
    ) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        self.status = status
        self.request_id = request_id
        self.retry_after = retry_after
        self.attempts = attempts
        self.headers: Mapping[str, str] = headers if headers is not None else {}
        self.body = body

    def __str__(self) -> str:
        text = f"{self.code}: {self.message}" if self.code else self.message
        if self.attempts > 1:
            text += f" (after {self.attempts} attempts)"
        return f"{text} [request {self.request_id}]" if self.request_id else text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> Any:
        return _restore, (type(self), self.message, dict(self.__dict__))


def _restore(kind: Type[TallygateError], message: str, state: Dict[str, Any]) -> TallygateError:
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error


class APIError(TallygateError):
    """The server refused or failed, and said so in the contract's envelope. A code that this package does not know is
    of this type itself."""


class AuthenticationFailedError(APIError):
    """401: no key, two keys, or one that cannot be a key. Check your API key's format."""

    code = "AUTHENTICATION_FAILED"


class InvalidApiKeyError(APIError):
    """401: the key is not known. Generate a new API key."""

    code = "INVALID_API_KEY"


class ExpiredApiKeyError(APIError):
    """401: the key has expired. Generate a new API key."""

    code = "EXPIRED_API_KEY"


class RevokedApiKeyError(APIError):
    """401: the key was revoked. Generate a new API key."""

    code = "REVOKED_API_KEY"


class AuthorizationFailedError(APIError):
    """403: this key may not do this, from here, or with this job type."""

    code = "AUTHORIZATION_FAILED"


class SuspendedAccountError(APIError):
    """403: the client is suspended. Contact support."""

    code = "SUSPENDED_ACCOUNT"


class InsufficientPermissionsError(APIError):
    """403: the key lacks a permission, which the message names."""

    code = "INSUFFICIENT_PERMISSIONS"


class InvalidRequestError(APIError):
    """400: the request cannot be served as it is, or not in the state that things are in."""

    code = "INVALID_REQUEST"


class MissingParameterError(APIError):
    """400: a required field, parameter or header is missing; the message names all that are."""

    code = "MISSING_PARAMETER"


class InvalidParameterError(APIError):
    """400: a field, parameter or header has a wrong value; the message names all that have."""

    code = "INVALID_PARAMETER"


class InvalidFormatError(APIError):
    """400: the body is not the JSON that it should be."""

    code = "INVALID_FORMAT"


class InsufficientBalanceError(APIError):
    """400: the balance does not cover the hold. Add funds to the account."""

    code = "INSUFFICIENT_BALANCE"


class ResourceNotFoundError(APIError):
    """404: there is no such route or resource."""

    code = "RESOURCE_NOT_FOUND"


class JobNotFoundError(APIError):
    """404: no job of yours has this id."""

    code = "JOB_NOT_FOUND"


class ClientNotFoundError(APIError):
    """404: no client has this id."""

    code = "CLIENT_NOT_FOUND"


class ApiKeyNotFoundError(APIError):
    """404: no API key of yours has this id."""

    code = "API_KEY_NOT_FOUND"


class RateLimitExceededError(APIError):
    """429: too many requests, or too many queued jobs. Tried again; raised when there was no more time."""

    code = "RATE_LIMIT_EXCEEDED"


class InternalError(APIError):
    """500: the server failed. Tried again."""

    code = "INTERNAL_ERROR"


class ProcessingFailedError(APIError):
    """500: the job failed, and the message says why. Not tried again: it would fail again."""

    code = "PROCESSING_FAILED"


class DatabaseError(APIError):
    """500: the server's database failed. Tried again."""

    code = "DATABASE_ERROR"


class ExternalServiceError(APIError):
    """500: a service that the server needs failed. Tried again; not where it is a job's own failure."""

    code = "EXTERNAL_SERVICE_ERROR"


class ServiceUnavailableError(APIError):
    """503: too busy, or going down. Tried again; raised when there was no more time."""

    code = "SERVICE_UNAVAILABLE"


class ConnectionFailedError(TallygateError, ConnectionError):
    """No answer came, or it broke off: refused, reset, no such host. Where ``final`` it was not tried again: a
    certificate that is not trusted."""

    final = False


class AttemptTimeoutError(TallygateError, TimeoutError):
    """The last attempt took longer than ``timeout``, or than was left of ``deadline``."""


class UnexpectedAnswerError(TallygateError):
    """The answer is no Tallygate server's: a proxy's page, a redirect, no JSON. The message quotes its beginning."""


class CallCancelledError(TallygateError):
    """The call was given up through its :class:`tallygate.Cancellation`. (With asyncio, a call that is given up raises
    ``asyncio.CancelledError``, as everything does.)"""


class WaitTimeoutError(TallygateError, TimeoutError):
    """The job did not end in the time that was given. ``job`` is the job as last known."""

    def __init__(self, message: str, *, job: Job, attempts: int = 0) -> None:
        super().__init__(message, attempts=attempts)
        self.job = job


class JobCancelledError(TallygateError):
    """The job whose result was wanted was cancelled. ``job`` is the job."""

    def __init__(self, message: str, *, job: Job, attempts: int = 0) -> None:
        super().__init__(message, attempts=attempts)
        self.job = job


class AttemptCancelledError(TallygateError):
    """Raised in a worker's handler by :meth:`tallygate.Attempt.check`: nobody waits for what it does any more."""


class InvalidWebhookError(TallygateError):
    """The signature, the timestamp or a header of a webhook is not what it should be: do not trust it."""


def _by_code() -> Dict[str, Type[APIError]]:
    return {kind.code: kind for kind in APIError.__subclasses__() if kind.code is not None}


#: The error type of each code of the contract.
BY_CODE: Mapping[str, Type[APIError]] = _by_code()
