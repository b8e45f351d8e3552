"""The blocking client: a method for every operation of the API. ``_async_client.py`` is this file, mirrored by
``scripts/mirror.py``; what a call does is in ``_core.py``, once."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Dict, Generic, Iterator, List, Mapping, Optional, Sequence, Type, TypeVar, Union

import httpx

from . import _core, _routes
from ._drive import Driver
from ._hooks import AnswerInfo, Hook, RequestInfo, RetryInfo
from ._options import UNSET, Options, Unset
from ._values import Day, Duration, Moment, Money, nanoseconds
from ._world import Cancellation, World
from .inputs import (
    ClientLimitsInput,
    ExecutorInput,
    FailureInput,
    LeaseRequest,
    PriceInput,
    RateLimitInput,
    Report,
    Submission,
)
from .models import (
    ApiKey,
    ApiKeyCreated,
    AuditRecord,
    Client,
    Entry,
    ErrorRates,
    Health,
    Heartbeat,
    Job,
    JobBatchAccepted,
    JobEvent,
    JobType,
    JobTypeDeleted,
    Leases,
    M,
    Page,
    Quote,
    Readiness,
    Reported,
    ReportResults,
    Usage,
)

T = TypeVar("T")


class Tallygate:
    """Calls a Tallygate server.

    ``url`` and ``key`` default to the environment's ``TALLYGATE_URL`` and ``TALLYGATE_KEY``, the address else to
    ``http://127.0.0.1:8080``. One attempt may take ``timeout``, a call with all its attempts ``deadline`` (None: any
    time), each beside what the call asks the server to wait. ``retry_budget`` bounds how much all calls of this object
    try again. ``on_request``, ``on_answer`` and ``on_retry`` hear of what goes on, as does the logger ``tallygate``.

    Connections come from ``http_client`` where one is given (which stays the caller's to close), else from a client of
    its own made with ``proxy``, ``verify`` and ``cert`` as httpx takes them. An object may be used by many threads.
    """

    _shares = False  # the connections of another object, which closes them

    def __init__(
        self,
        url: Optional[str] = None,
        key: Optional[str] = None,
        *,
        timeout: Duration = 30.0,
        deadline: Optional[Duration] = 120.0,
        max_attempts: int = 5,
        retry_budget: int = 500,
        on_request: Optional[Hook[RequestInfo]] = None,
        on_answer: Optional[Hook[AnswerInfo]] = None,
        on_retry: Optional[Hook[RetryInfo]] = None,
        http_client: Optional[httpx.Client] = None,
        proxy: Optional[str] = None,
        verify: Any = True,
        cert: Any = None,
        _world: Optional[World] = None,
    ) -> None:
        self._options = Options.of(
            url, key, timeout, deadline, max_attempts, retry_budget, on_request, on_answer, on_retry,
            proxy, verify, cert, _world,
        )  # fmt: skip
        self._http_given = http_client is not None
        self._http = httpx.Client(**self._options.http()) if http_client is None else http_client
        self._bind(self._options.session(), None)

    def _bind(self, session: _core.Session, cancellation: Optional[Cancellation]) -> None:
        self._session = session
        self._cancellation = cancellation
        self._driver = Driver(self._http, session.world, cancellation)
        self.jobs = Jobs(self)
        self.job_types = JobTypes(self)
        self.quotes = Quotes(self)
        self.account = Account(self)
        self.api_keys = ApiKeys(self)
        self.clients = Clients(self)
        self.audit = Audit(self)
        self.worker = WorkerRoutes(self)

    @classmethod
    def _beside(cls, options: Options, session: _core.Session, http: Optional[httpx.Client]) -> Tallygate:
        """A client over connections of its own that shares all else with another."""
        made = cls.__new__(cls)
        made._options, made._http_given = options, http is not None
        made._http = httpx.Client(**options.http()) if http is None else http
        made._bind(session, None)
        return made

    def with_options(
        self,
        *,
        timeout: Union[Duration, Unset] = UNSET,
        deadline: Union[Duration, Unset, None] = UNSET,
        max_attempts: Union[int, Unset] = UNSET,
        cancellation: Optional[Cancellation] = None,
    ) -> Tallygate:
        """The same client, connections and retry budget included, with other settings for the calls made through what
        is returned: ``client.with_options(deadline=5).jobs.get(id)``."""
        other = type(self).__new__(type(self))
        other._options, other._http, other._http_given = self._options, self._http, self._http_given
        other._shares = True
        session = self._options.narrowed(self._session, timeout, deadline, max_attempts)
        other._bind(session, cancellation or self._cancellation)
        return other

    def close(self) -> None:
        """Closes the connections, unless they are those of a client that the caller gave."""
        if not self._http_given and not self._shares:
            self._http.close()

    def __enter__(self) -> Tallygate:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._session.base_url!r})"

    def _do(self, call: _core.Call[T]) -> T:
        return self._driver.run(_core.perform(self._session, call))

    def _waiting(
        self,
        timeout: Optional[Duration],
        cancel_on_timeout: bool,
        on_progress: Optional[_core.Progress],
        on_log: Optional[_core.Log],
    ) -> _core.Waiting:
        return _core.Waiting(
            self._session, _routes.poll_job, _routes.cancel_job, _routes.stream_job_events,
            None if timeout is None else nanoseconds(timeout), cancel_on_timeout, on_progress, on_log,
        )  # fmt: skip

    def run(
        self,
        type: str,
        input: Any,
        *,
        timeout: Optional[Duration] = None,
        cancel_on_timeout: bool = False,
        on_progress: Optional[_core.Progress] = None,
        on_log: Optional[_core.Log] = None,
        priority: Optional[int] = None,
        run_at: Optional[Moment] = None,
        time_limit: Optional[Duration] = None,
        max_cost: Optional[Money] = None,
        metadata: Optional[Mapping[str, Any]] = None,
        idempotency_key: Optional[str] = None,
    ) -> Any:
        """Submits a job, waits for its end, and gives its result.

        Raises what the job failed with as the type of its code, :class:`JobCancelledError` where it was cancelled, and
        :class:`WaitTimeoutError` where it has not ended within ``timeout``.
        """
        submission = _routes.submission(type, input, priority, run_at, time_limit, max_cost, metadata)
        waiting = self._waiting(timeout, cancel_on_timeout, on_progress, on_log)
        return self._driver.run(
            _core.run(waiting, lambda wait: _routes.submit_and_poll(submission, wait, idempotency_key))
        )

    def health(self) -> Health:
        """Whether the server answers. Needs no key."""
        return self._do(_routes.get_health())

    def ready(self) -> Readiness:
        """Whether the server takes requests; raises ServiceUnavailableError where it does not. Needs no key."""
        return self._do(_routes.get_readiness())

    def openapi(self) -> Dict[str, Any]:
        """The server's description of its API, a document of OpenAPI 3.1. Needs no key."""
        return self._do(_routes.get_openapi())


class Pages(Generic[M]):
    """A list that comes in pages. Iterating gives every item of every page, each page fetched when it is reached."""

    def __init__(self, client: Tallygate, call: _core.Call[Page[M]]) -> None:
        self._client = client
        self._call = call

    def __iter__(self) -> Iterator[M]:
        return self._client._driver.iterate(_core.items(self._client._session, self._call))

    def pages(self) -> Iterator[Page[M]]:
        """Page by page."""
        return self._client._driver.iterate(_core.pages(self._client._session, self._call))

    def page(self) -> Page[M]:
        """The first page, or the one that the cursor leads to."""
        return self._client._do(self._call)

    def all(self) -> List[M]:
        """Every item of every page."""
        return [*self]


class _Routes:
    def __init__(self, client: Tallygate) -> None:
        self._client = client


class Jobs(_Routes):
    """Jobs of the client; an operator reads those of all clients."""

    def submit(
        self,
        type: str,
        input: Any,
        *,
        priority: Optional[int] = None,
        run_at: Optional[Moment] = None,
        time_limit: Optional[Duration] = None,
        max_cost: Optional[Money] = None,
        metadata: Optional[Mapping[str, Any]] = None,
        wait: Optional[Duration] = None,
        idempotency_key: Optional[str] = None,
    ) -> Job:
        """Submits a job, which sets its quote aside. With ``wait`` the answer waits for the job's end so long."""
        submission = _routes.submission(type, input, priority, run_at, time_limit, max_cost, metadata)
        return self._client._do(_routes.submit_job(submission, wait, idempotency_key))

    def submit_batch(self, jobs: Sequence[Submission], *, idempotency_key: Optional[str] = None) -> JobBatchAccepted:
        """Submits up to 1,000 jobs, all or none."""
        return self._client._do(_routes.submit_job_batch(jobs, idempotency_key))

    def list(
        self,
        *,
        status: Optional[str] = None,
        type: Optional[str] = None,
        created_after: Optional[Moment] = None,
        created_before: Optional[Moment] = None,
        metadata: Optional[Mapping[str, str]] = None,
        client_id: Optional[str] = None,
        limit: Optional[int] = None,
        cursor: Optional[str] = None,
    ) -> Pages[Job]:
        """Jobs, newest first. ``limit`` is how many a page holds."""
        call = _routes.list_jobs(status, type, created_after, created_before, metadata, client_id, limit, cursor)
        return Pages(self._client, call)

    def get(self, id: str, *, wait: Optional[Duration] = None) -> Job:
        """A job as it is now, or, with ``wait``, once it has ended or so long has passed."""
        return self._client._do(_routes.get_job(id, wait))

    def result(self, id: str) -> Any:
        """The result of a job that has succeeded; raises the error of one that failed."""
        return self._client._do(_routes.get_job_result(id))

    def events(self, id: str, *, last_event_id: Optional[str] = None) -> Iterator[JobEvent]:
        """What happens to a job, up to its end. A stream that breaks off is opened again where it was."""
        call = _routes.stream_job_events(id)
        return self._client._driver.iterate(_core.events(self._client._session, call, last_event_id))

    def cancel(self, id: str, *, idempotency_key: Optional[str] = None) -> Job:
        """Cancels a job: at once if it is queued; one that runs is asked to stop, and a success may still win."""
        return self._client._do(_routes.cancel_job(id, idempotency_key))

    def wait(
        self,
        id: str,
        *,
        timeout: Optional[Duration] = None,
        cancel_on_timeout: bool = False,
        on_progress: Optional[_core.Progress] = None,
        on_log: Optional[_core.Log] = None,
    ) -> Job:
        """Waits until a job has ended, whatever it ended in, through failures of the network and restarts.

        Raises :class:`WaitTimeoutError` past ``timeout``; with ``cancel_on_timeout`` the job is cancelled first.
        ``on_progress`` is told each new progress, a number from 0 to 1, and ``on_log`` each line that the worker logs.
        """
        waiting = self._client._waiting(timeout, cancel_on_timeout, on_progress, on_log)
        return self._client._driver.run(_core.wait(waiting, id))

    def run(
        self, type: str, input: Any, *, wait: Optional[Duration] = None, idempotency_key: Optional[str] = None
    ) -> Any:
        """One request that the server answers with the result (``POST /v1/run``); a job that takes longer than the
        wait (30 s) is joined by the next attempt. For long jobs use :meth:`Tallygate.run`."""
        return self._client._do(_routes.run_job(type, input, wait, idempotency_key))


class JobTypes(_Routes):
    """What can be run."""

    def list(self, *, limit: Optional[int] = None, cursor: Optional[str] = None) -> Pages[JobType]:
        """Job types that are open to the caller, by name."""
        return Pages(self._client, _routes.list_job_types(limit, cursor))

    def get(self, name: str) -> JobType:
        """A job type."""
        return self._client._do(_routes.get_job_type(name))

    def define(
        self,
        name: str,
        *,
        description: Optional[str] = None,
        input_schema: Optional[Mapping[str, Any]] = None,
        price: Optional[PriceInput] = None,
        executor: Optional[ExecutorInput] = None,
        max_attempts: Optional[int] = None,
        attempt_timeout: Optional[Duration] = None,
        time_limit: Optional[Duration] = None,
        lease: Optional[Duration] = None,
        cancel_charge: Optional[str] = None,
        running_jobs: Optional[int] = None,
        retention: Optional[Duration] = None,
        limits: Optional[RateLimitInput] = None,
        clients: Optional[Sequence[str]] = None,
    ) -> JobType:
        """Defines a job type, or defines it anew: what is left out has its default. For operators."""
        return self._client._do(
            _routes.define_job_type(
                name,
                description,
                input_schema,
                price,
                executor,
                max_attempts,
                attempt_timeout,
                time_limit,
                lease,
                cancel_charge,
                running_jobs,
                retention,
                limits,
                clients,
            )
        )

    def delete(self, name: str) -> JobTypeDeleted:
        """Deletes a job type that no job lives of. For operators."""
        return self._client._do(_routes.delete_job_type(name))


class Quotes(_Routes):
    """What jobs would cost."""

    def create(
        self,
        type: str,
        input: Any,
        *,
        priority: Optional[int] = None,
        run_at: Optional[Moment] = None,
        time_limit: Optional[Duration] = None,
        max_cost: Optional[Money] = None,
        metadata: Optional[Mapping[str, Any]] = None,
    ) -> Quote:
        """The most that a job would cost, after the checks that a submit makes; nothing is submitted."""
        submission = _routes.submission(type, input, priority, run_at, time_limit, max_cost, metadata)
        return self._client._do(_routes.quote_job(submission))


class Account(_Routes):
    """The caller's own client."""

    def get(self) -> Client:
        """The client: balance, limits, counts of jobs."""
        return self._client._do(_routes.get_account())

    def entries(self, *, limit: Optional[int] = None, cursor: Optional[str] = None) -> Pages[Entry]:
        """The ledger, newest first."""
        return Pages(self._client, _routes.list_entries(None, limit, cursor))

    def usage(self, *, from_: Optional[Day] = None, to: Optional[Day] = None) -> Usage:
        """Use by day and job type, from a day up to, and without, another; by default the last 30 days."""
        return self._client._do(_routes.get_usage(None, from_, to))

    def errors(self) -> ErrorRates:
        """Error rates of the last day by route and code."""
        return self._client._do(_routes.get_errors(None))


class ApiKeys(_Routes):
    """The caller's own API keys."""

    def list(self, *, limit: Optional[int] = None, cursor: Optional[str] = None) -> Pages[ApiKey]:
        """The keys, without their secrets."""
        return Pages(self._client, _routes.list_api_keys(None, limit, cursor))

    def create(
        self,
        permissions: Sequence[str],
        *,
        name: Optional[str] = None,
        expires_at: Optional[Moment] = None,
        allowed_cidrs: Optional[Sequence[str]] = None,
        limits: Optional[RateLimitInput] = None,
        idempotency_key: Optional[str] = None,
    ) -> ApiKeyCreated:
        """Creates a key that may do no more than the caller's. Its text is shown in this answer alone."""
        return self._client._do(
            _routes.create_api_key(None, permissions, name, expires_at, allowed_cidrs, limits, idempotency_key)
        )

    def get(self, id: str) -> ApiKey:
        """A key."""
        return self._client._do(_routes.get_api_key(None, id))

    def revoke(self, id: str, *, idempotency_key: Optional[str] = None) -> ApiKey:
        """Revokes a key, at once."""
        return self._client._do(_routes.revoke_api_key(None, id, idempotency_key))

    def rotate(
        self, id: str, *, overlap: Optional[Duration] = None, idempotency_key: Optional[str] = None
    ) -> ApiKeyCreated:
        """A new key with the same rights; the old one lasts for the overlap, by default a day."""
        return self._client._do(_routes.rotate_api_key(None, id, overlap, idempotency_key))


class ClientApiKeys(_Routes):
    """API keys of a client. For operators."""

    def list(self, client: str, *, limit: Optional[int] = None, cursor: Optional[str] = None) -> Pages[ApiKey]:
        """The keys, without their secrets."""
        return Pages(self._client, _routes.list_api_keys(client, limit, cursor))

    def create(
        self,
        client: str,
        permissions: Sequence[str],
        *,
        name: Optional[str] = None,
        expires_at: Optional[Moment] = None,
        allowed_cidrs: Optional[Sequence[str]] = None,
        limits: Optional[RateLimitInput] = None,
        idempotency_key: Optional[str] = None,
    ) -> ApiKeyCreated:
        """Creates a key of the client. Its text is shown in this answer alone."""
        return self._client._do(
            _routes.create_api_key(client, permissions, name, expires_at, allowed_cidrs, limits, idempotency_key)
        )

    def get(self, client: str, key: str) -> ApiKey:
        """A key."""
        return self._client._do(_routes.get_api_key(client, key))

    def revoke(self, client: str, key: str, *, idempotency_key: Optional[str] = None) -> ApiKey:
        """Revokes a key, at once."""
        return self._client._do(_routes.revoke_api_key(client, key, idempotency_key))

    def rotate(
        self,
        client: str,
        key: str,
        *,
        overlap: Optional[Duration] = None,
        idempotency_key: Optional[str] = None,
    ) -> ApiKeyCreated:
        """A new key with the same rights; the old one lasts for the overlap, by default a day."""
        return self._client._do(_routes.rotate_api_key(client, key, overlap, idempotency_key))


class Clients(_Routes):
    """The clients of the server. For operators."""

    def __init__(self, client: Tallygate) -> None:
        super().__init__(client)
        self.api_keys = ClientApiKeys(client)

    def list(self, *, limit: Optional[int] = None, cursor: Optional[str] = None) -> Pages[Client]:
        """The clients."""
        return Pages(self._client, _routes.list_clients(limit, cursor))

    def create(
        self,
        name: str,
        *,
        minimum_balance: Optional[Money] = None,
        limits: Optional[ClientLimitsInput] = None,
        metadata: Optional[Mapping[str, Any]] = None,
        currency: Optional[str] = None,
        idempotency_key: Optional[str] = None,
    ) -> Client:
        """Creates a client."""
        return self._client._do(
            _routes.create_client(name, minimum_balance, limits, metadata, currency, idempotency_key)
        )

    def get(self, id: str) -> Client:
        """A client."""
        return self._client._do(_routes.get_client(id))

    def update(
        self,
        id: str,
        *,
        name: Optional[str] = None,
        minimum_balance: Optional[Money] = None,
        limits: Optional[ClientLimitsInput] = None,
        metadata: Optional[Mapping[str, Any]] = None,
    ) -> Client:
        """Changes what is given of a client."""
        return self._client._do(_routes.update_client(id, name, minimum_balance, limits, metadata))

    def suspend(self, id: str, *, idempotency_key: Optional[str] = None) -> Client:
        """Suspends a client: its calls are refused, its queued jobs wait, its running ones finish."""
        return self._client._do(_routes.suspend_client(id, idempotency_key))

    def activate(self, id: str, *, idempotency_key: Optional[str] = None) -> Client:
        """Ends a suspension."""
        return self._client._do(_routes.activate_client(id, idempotency_key))

    def credit(
        self, id: str, amount: Money, *, note: Optional[str] = None, idempotency_key: Optional[str] = None
    ) -> Entry:
        """Adds to a client's balance. Give the key of your payment as ``idempotency_key``: it is then made once, even
        if this program runs again."""
        return self._client._do(_routes.credit_client(id, amount, note, idempotency_key))

    def entries(self, id: str, *, limit: Optional[int] = None, cursor: Optional[str] = None) -> Pages[Entry]:
        """A client's ledger, newest first."""
        return Pages(self._client, _routes.list_entries(id, limit, cursor))

    def usage(self, id: str, *, from_: Optional[Day] = None, to: Optional[Day] = None) -> Usage:
        """A client's use by day and job type, from a day up to, and without, another; by default the last 30 days."""
        return self._client._do(_routes.get_usage(id, from_, to))

    def errors(self, id: str) -> ErrorRates:
        """A client's error rates of the last day by route and code."""
        return self._client._do(_routes.get_errors(id))


class Audit(_Routes):
    """Who did what. For operators."""

    def list(self, *, limit: Optional[int] = None, cursor: Optional[str] = None) -> Pages[AuditRecord]:
        """What happened to clients, keys and job types, newest first."""
        return Pages(self._client, _routes.list_audit_records(limit, cursor))


class WorkerRoutes(_Routes):
    """The pull protocol, call by call. :class:`tallygate.Worker` is the loop over it."""

    def lease(
        self,
        types: Sequence[str],
        *,
        max: Optional[int] = None,
        wait: Optional[Duration] = None,
        worker: Optional[str] = None,
    ) -> Leases:
        """Takes up to ``max`` (1) jobs, waiting so long for the first."""
        return self._client._do(_routes.lease_jobs(_routes.lease_request(types, max, wait, worker)))

    def report(self, reports: Sequence[Report], *, lease: Optional[LeaseRequest] = None) -> ReportResults:
        """Settles up to 1,000 attempts and takes the next jobs, in one call. Each report has its own result."""
        return self._client._do(_routes.report_jobs(reports, lease))

    def heartbeat(
        self, id: str, token: str, *, progress: Optional[float] = None, logs: Optional[Sequence[str]] = None
    ) -> Heartbeat:
        """Renews a lease, and tells progress and log lines."""
        return self._client._do(_routes.heartbeat_job(id, token, progress, logs))

    def succeed(self, id: str, token: str, result: Any, *, units: Optional[Mapping[str, int]] = None) -> Reported:
        """Ends a job with its result; ``units`` is what it used."""
        return self._client._do(_routes.succeed_job(id, token, result, units))

    def fail(
        self,
        id: str,
        token: str,
        error: FailureInput,
        *,
        retry: Optional[bool] = None,
        retry_after: Optional[Duration] = None,
    ) -> Reported:
        """Ends an attempt: another follows, unless ``retry`` is False."""
        return self._client._do(_routes.fail_job(id, token, error, retry, retry_after))

    def release(self, id: str, token: str) -> Reported:
        """Gives a job back; no attempt is spent."""
        return self._client._do(_routes.release_job(id, token))
