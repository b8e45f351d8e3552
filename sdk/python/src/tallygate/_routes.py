"""Every operation of the API as a call: its path, its parameters, its body, and what it answers."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Type, cast

from ._core import Call, encode, path
from ._values import (
    SECOND,
    Day,
    Duration,
    Moment,
    Money,
    day_text,
    duration_text,
    moment_text,
    money_text,
    nanoseconds,
)
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
    Document,
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

Query = Tuple[Tuple[str, str], ...]
RUN_WAIT = 30 * SECOND  # what POST /v1/run waits unless told otherwise


def _one(of: Type[M]) -> Callable[[Any], M]:
    """Reads an object of the API."""

    def read(value: Any) -> M:
        if not isinstance(value, dict):
            raise TypeError("not an object")
        return of(cast("Dict[str, Any]", value))

    return read


def _page(of: Type[M]) -> Callable[[Any], Page[M]]:
    def read(value: Any) -> Page[M]:
        if not isinstance(value["data"], list):
            raise TypeError("not a list")
        return Page(value, of)

    return read


def _any(value: Any) -> Any:
    return value


def _query(**parameters: Optional[str]) -> Query:
    return tuple((name, value) for name, value in parameters.items() if value is not None)


def _listed(limit: Optional[int], cursor: Optional[str]) -> Query:
    return _query(limit=None if limit is None else str(limit), cursor=cursor)


def _wait(wait: Optional[Duration]) -> Query:
    return () if wait is None else (("wait", duration_text(wait)),)


def _waited(wait: Optional[Duration]) -> int:
    return 0 if wait is None else nanoseconds(wait)


def _body(**members: Any) -> bytes:
    """A body of the members that are given."""
    return encode({name: value for name, value in members.items() if value is not None})


def _plain(value: Any) -> Any:
    """An input of ours with Python's times, durations and money as the API writes them."""
    if isinstance(value, datetime):
        return moment_text(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return duration_text(value)
    if isinstance(value, Decimal):
        return money_text(value)
    if isinstance(value, Mapping):
        return {name: _plain(of) for name, of in cast("Mapping[str, Any]", value).items()}
    return value


def _shallow(value: Mapping[str, Any]) -> Dict[str, Any]:
    """Like _plain, and leaves the caller's own data alone: what is not JSON in it is for the caller to decide about."""
    theirs = ("input", "metadata", "result")
    return {name: of if name in theirs else _plain(of) for name, of in value.items()}


def submit_job(
    submission: Submission, wait: Optional[Duration] = None, idempotency_key: Optional[str] = None
) -> Call[Job]:
    return Call(
        "POST", "/v1/jobs", _one(Job), _wait(wait), encode(_shallow(submission)),
        wait=_waited(wait), takes_key=True, idempotency_key=idempotency_key,
    )  # fmt: skip


def submit_and_poll(submission: Submission, wait: Optional[int], idempotency_key: Optional[str]) -> Call[Job]:
    """submitJob, asking the server to wait whole seconds of nanoseconds, or not to."""
    return submit_job(submission, None if wait is None else f"{wait // SECOND}s", idempotency_key)


def submission(
    type: str,
    input: Any,
    priority: Optional[int],
    run_at: Optional[Moment],
    time_limit: Optional[Duration],
    max_cost: Optional[Money],
    metadata: Optional[Mapping[str, Any]],
) -> Submission:
    """A submission of the arguments that are given."""
    made: Dict[str, Any] = {"type": type, "input": input}
    given = {
        "priority": priority,
        "run_at": None if run_at is None else moment_text(run_at),
        "time_limit": None if time_limit is None else duration_text(time_limit),
        "max_cost": None if max_cost is None else money_text(max_cost),
        "metadata": metadata,
    }
    made.update({name: value for name, value in given.items() if value is not None})
    return cast("Submission", made)


def submit_job_batch(jobs: Sequence[Submission], idempotency_key: Optional[str]) -> Call[JobBatchAccepted]:
    return Call(
        "POST", "/v1/jobs/batch", _one(JobBatchAccepted), body=encode({"jobs": [_shallow(job) for job in jobs]}),
        takes_key=True, idempotency_key=idempotency_key,
    )  # fmt: skip


def list_jobs(
    status: Optional[str],
    type: Optional[str],
    created_after: Optional[Moment],
    created_before: Optional[Moment],
    metadata: Optional[Mapping[str, str]],
    client_id: Optional[str],
    limit: Optional[int],
    cursor: Optional[str],
) -> Call[Page[Job]]:
    query = _query(
        status=status,
        type=type,
        created_after=None if created_after is None else moment_text(created_after),
        created_before=None if created_before is None else moment_text(created_before),
        client_id=client_id,
    )
    members = tuple((f"metadata[{name}]", value) for name, value in (metadata or {}).items())
    return Call("GET", "/v1/jobs", _page(Job), (*query, *members, *_listed(limit, cursor)))


def get_job(id: str, wait: Optional[Duration] = None) -> Call[Job]:
    return Call("GET", path("/v1/jobs", id), _one(Job), _wait(wait), wait=_waited(wait))


def poll_job(id: str, wait: int) -> Call[Job]:
    """getJob, asking the server to wait whole seconds of nanoseconds."""
    return get_job(id, f"{wait // SECOND}s")


def get_job_result(id: str) -> Call[Any]:
    return Call("GET", path("/v1/jobs", id, "/result"), _any)


def stream_job_events(id: str) -> Call[JobEvent]:
    return Call("GET", path("/v1/jobs", id, "/events"), _one(JobEvent), headers=(("Accept", "text/event-stream"),))


def cancel_job(id: str, idempotency_key: Optional[str] = None) -> Call[Job]:
    return Call("POST", path("/v1/jobs", id, "/cancel"), _one(Job), takes_key=True, idempotency_key=idempotency_key)


def run_job(type: str, input: Any, wait: Optional[Duration], idempotency_key: Optional[str]) -> Call[Any]:
    return Call(
        "POST", path("/v1/run", type), _any, _wait(wait), encode(input),
        wait=RUN_WAIT if wait is None else nanoseconds(wait), takes_key=True, idempotency_key=idempotency_key,
    )  # fmt: skip


def list_job_types(limit: Optional[int], cursor: Optional[str]) -> Call[Page[JobType]]:
    return Call("GET", "/v1/job-types", _page(JobType), _listed(limit, cursor))


def get_job_type(name: str) -> Call[JobType]:
    return Call("GET", path("/v1/job-types", name), _one(JobType))


def define_job_type(
    name: str,
    description: Optional[str],
    input_schema: Optional[Mapping[str, Any]],
    price: Optional[PriceInput],
    executor: Optional[ExecutorInput],
    max_attempts: Optional[int],
    attempt_timeout: Optional[Duration],
    time_limit: Optional[Duration],
    lease: Optional[Duration],
    cancel_charge: Optional[str],
    running_jobs: Optional[int],
    retention: Optional[Duration],
    limits: Optional[RateLimitInput],
    clients: Optional[Sequence[str]],
) -> Call[JobType]:
    def length(value: Optional[Duration]) -> Optional[str]:
        return None if value is None else duration_text(value)

    body = _body(
        description=description,
        input_schema=input_schema,
        price=_plain(price),
        executor=_plain(executor),
        max_attempts=max_attempts,
        attempt_timeout=length(attempt_timeout),
        time_limit=length(time_limit),
        lease=length(lease),
        cancel_charge=cancel_charge,
        running_jobs=running_jobs,
        retention=length(retention),
        limits=limits,
        clients=None if clients is None else list(clients),
    )
    return Call("PUT", path("/v1/job-types", name), _one(JobType), body=body)


def delete_job_type(name: str) -> Call[JobTypeDeleted]:
    return Call("DELETE", path("/v1/job-types", name), _one(JobTypeDeleted))


def quote_job(submission: Submission) -> Call[Quote]:
    return Call("POST", "/v1/quotes", _one(Quote), body=encode(_shallow(submission)))


def _owner(client: Optional[str]) -> str:
    return "/v1/account" if client is None else path("/v1/clients", client)


def _keys(client: Optional[str]) -> str:
    return "/v1/api-keys" if client is None else path("/v1/clients", client, "/api-keys")


def get_account() -> Call[Client]:
    return Call("GET", "/v1/account", _one(Client))


def list_entries(client: Optional[str], limit: Optional[int], cursor: Optional[str]) -> Call[Page[Entry]]:
    return Call("GET", _owner(client) + "/entries", _page(Entry), _listed(limit, cursor))


def get_usage(client: Optional[str], from_: Optional[Day], to: Optional[Day]) -> Call[Usage]:
    days = {"from": None if from_ is None else day_text(from_), "to": None if to is None else day_text(to)}
    return Call("GET", _owner(client) + "/usage", _one(Usage), _query(**days))


def get_errors(client: Optional[str]) -> Call[ErrorRates]:
    return Call("GET", _owner(client) + "/errors", _one(ErrorRates))


def list_api_keys(client: Optional[str], limit: Optional[int], cursor: Optional[str]) -> Call[Page[ApiKey]]:
    return Call("GET", _keys(client), _page(ApiKey), _listed(limit, cursor))


def create_api_key(
    client: Optional[str],
    permissions: Sequence[str],
    name: Optional[str],
    expires_at: Optional[Moment],
    allowed_cidrs: Optional[Sequence[str]],
    limits: Optional[RateLimitInput],
    idempotency_key: Optional[str],
) -> Call[ApiKeyCreated]:
    body = _body(
        name=name,
        permissions=list(permissions),
        expires_at=None if expires_at is None else moment_text(expires_at),
        allowed_cidrs=None if allowed_cidrs is None else list(allowed_cidrs),
        limits=limits,
    )
    return Call("POST", _keys(client), _one(ApiKeyCreated), body=body, takes_key=True, idempotency_key=idempotency_key)


def get_api_key(client: Optional[str], key: str) -> Call[ApiKey]:
    return Call("GET", _keys(client) + path(key), _one(ApiKey))


def revoke_api_key(client: Optional[str], key: str, idempotency_key: Optional[str]) -> Call[ApiKey]:
    return Call(
        "POST", _keys(client) + path(key, "/revoke"), _one(ApiKey), takes_key=True, idempotency_key=idempotency_key
    )


def rotate_api_key(
    client: Optional[str], key: str, overlap: Optional[Duration], idempotency_key: Optional[str]
) -> Call[ApiKeyCreated]:
    return Call(
        "POST", _keys(client) + path(key, "/rotate"), _one(ApiKeyCreated),
        body=None if overlap is None else encode({"overlap": duration_text(overlap)}),
        takes_key=True, idempotency_key=idempotency_key,
    )  # fmt: skip


def list_clients(limit: Optional[int], cursor: Optional[str]) -> Call[Page[Client]]:
    return Call("GET", "/v1/clients", _page(Client), _listed(limit, cursor))


def create_client(
    name: str,
    minimum_balance: Optional[Money],
    limits: Optional[ClientLimitsInput],
    metadata: Optional[Mapping[str, Any]],
    currency: Optional[str],
    idempotency_key: Optional[str],
) -> Call[Client]:
    body = _body(
        name=name,
        minimum_balance=None if minimum_balance is None else money_text(minimum_balance),
        limits=limits,
        metadata=metadata,
        currency=currency,
    )
    return Call("POST", "/v1/clients", _one(Client), body=body, takes_key=True, idempotency_key=idempotency_key)


def get_client(client: str) -> Call[Client]:
    return Call("GET", path("/v1/clients", client), _one(Client))


def update_client(
    client: str,
    name: Optional[str],
    minimum_balance: Optional[Money],
    limits: Optional[ClientLimitsInput],
    metadata: Optional[Mapping[str, Any]],
) -> Call[Client]:
    body = _body(
        name=name,
        minimum_balance=None if minimum_balance is None else money_text(minimum_balance),
        limits=limits,
        metadata=metadata,
    )
    return Call("PATCH", path("/v1/clients", client), _one(Client), body=body)


def suspend_client(client: str, idempotency_key: Optional[str]) -> Call[Client]:
    return Call(
        "POST", path("/v1/clients", client, "/suspend"), _one(Client), takes_key=True, idempotency_key=idempotency_key
    )


def activate_client(client: str, idempotency_key: Optional[str]) -> Call[Client]:
    return Call(
        "POST", path("/v1/clients", client, "/activate"), _one(Client), takes_key=True, idempotency_key=idempotency_key
    )


def credit_client(client: str, amount: Money, note: Optional[str], idempotency_key: Optional[str]) -> Call[Entry]:
    return Call(
        "POST", path("/v1/clients", client, "/credits"), _one(Entry), body=_body(amount=money_text(amount), note=note),
        takes_key=True, idempotency_key=idempotency_key,
    )  # fmt: skip


def list_audit_records(limit: Optional[int], cursor: Optional[str]) -> Call[Page[AuditRecord]]:
    return Call("GET", "/v1/audit", _page(AuditRecord), _listed(limit, cursor))


def lease_request(
    types: Sequence[str], max: Optional[int], wait: Optional[Duration], worker: Optional[str]
) -> LeaseRequest:
    """A request for leases of the arguments that are given."""
    made = {"types": list(types), "max": max, "wait": None if wait is None else duration_text(wait), "worker": worker}
    return cast("LeaseRequest", {name: value for name, value in made.items() if value is not None})


def lease_jobs(request: LeaseRequest) -> Call[Leases]:
    return Call(
        "POST", "/v1/worker/lease", _one(Leases), body=encode(_plain(request)), wait=_waited(request.get("wait"))
    )


def report_jobs(reports: Sequence[Report], lease: Optional[LeaseRequest]) -> Call[ReportResults]:
    body: Dict[str, Any] = {"reports": [_shallow(report) for report in reports]}
    wait: Optional[Duration] = None
    if lease is not None:
        body["lease"] = _plain(lease)
        wait = lease.get("wait")
    return Call("POST", "/v1/worker/report", _one(ReportResults), body=encode(body), wait=_waited(wait))


def _worked(id: str, word: str) -> str:
    return path("/v1/worker/jobs", id, word)


def heartbeat_job(id: str, token: str, progress: Optional[float], logs: Optional[Sequence[str]]) -> Call[Heartbeat]:
    lines: Optional[List[str]] = None if logs is None else list(logs)
    return Call(
        "POST", _worked(id, "/heartbeat"), _one(Heartbeat), body=_body(token=token, progress=progress, logs=lines)
    )


def succeed_job(id: str, token: str, result: Any, units: Optional[Mapping[str, int]]) -> Call[Reported]:
    body: Dict[str, Any] = {"token": token, "result": result}
    if units is not None:
        body["units"] = dict(units)
    return Call("POST", _worked(id, "/succeed"), _one(Reported), body=encode(body))


def fail_job(
    id: str, token: str, error: FailureInput, retry: Optional[bool], retry_after: Optional[Duration]
) -> Call[Reported]:
    body = _body(
        token=token,
        error=error,
        retry=retry,
        retry_after=None if retry_after is None else duration_text(retry_after),
    )
    return Call("POST", _worked(id, "/fail"), _one(Reported), body=body)


def release_job(id: str, token: str) -> Call[Reported]:
    return Call("POST", _worked(id, "/release"), _one(Reported), body=encode({"token": token}))


def get_health() -> Call[Health]:
    return Call("GET", "/healthz", _one(Health))


def get_readiness() -> Call[Readiness]:
    return Call("GET", "/readyz", _one(Readiness))


def get_openapi() -> Call[Dict[str, Any]]:
    return Call("GET", "/openapi.json", lambda value: _one(Document)(value).to_dict())
