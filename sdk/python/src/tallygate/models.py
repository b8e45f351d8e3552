"""What the API answers, typed.

A model is a thin view of the JSON object that came: attributes are read from it and turned into Python's types when
they are asked for, so that a field that a newer server adds is neither lost nor in the way. ``job.status`` reads a
field that this package knows, ``job["colour"]`` any field as it came, ``job.to_dict()`` all of them.
"""

from __future__ import annotations

import copy
import sys
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    ClassVar,
    Dict,
    Generic,
    Iterator,
    List,
    Mapping,
    Optional,
    Tuple,
    Type,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from ._values import parse_duration, parse_moment

M = TypeVar("M", bound="Model")
T = TypeVar("T")
Converter = Callable[[Any], Any]


class Model:
    """The base of all models. It is read-only; two are equal where their JSON is."""

    __slots__ = ("__dict__", "_raw")
    _raw: Dict[str, Any]
    _converters: ClassVar[Optional[Dict[str, Converter]]] = None
    _secrets: ClassVar[Tuple[str, ...]] = ()

    def __init__(self, raw: Mapping[str, Any]) -> None:
        object.__setattr__(self, "_raw", dict(raw))

    @classmethod
    def _fields(cls) -> Dict[str, Converter]:
        if "_converters" not in cls.__dict__ or cls._converters is None:
            hints = get_type_hints(cls, vars(sys.modules[cls.__module__]))
            cls._converters = {name: _converter(hint) for name, hint in hints.items() if not name.startswith("_")}
        return cls._converters

    if not TYPE_CHECKING:  # for type checkers a model has the attributes that it names, and no others

        def __getattr__(self, name):
            convert = None if name.startswith("_") else self._fields().get(name)
            if convert is None:
                raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
            if name not in self._raw and not getattr(convert, "optional", False):
                raise AttributeError(f"the answer has no field {name!r}")
            value = convert(self._raw.get(name))
            self.__dict__[name] = value
            return value

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is read-only")

    def __getitem__(self, name: str) -> Any:
        """A field as it came."""
        return self._raw[name]

    def __contains__(self, name: object) -> bool:
        return name in self._raw

    def get(self, name: str, default: Any = None) -> Any:
        """A field as it came, or the default where there is none."""
        return self._raw.get(name, default)

    def to_dict(self) -> Dict[str, Any]:
        """The JSON object that came, as a copy."""
        return copy.deepcopy(self._raw)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and cast("Model", other)._raw == self._raw

    __hash__ = None  # type: ignore[assignment]  # what is compared by value and may hold lists has no hash

    def __dir__(self) -> List[str]:
        return [*super().__dir__(), *self._fields()]

    def __repr__(self) -> str:
        shown = (
            f"{name}={'…' if name in self._secrets and value is not None else repr(value)}"
            for name, value in self._raw.items()
        )
        return f"{type(self).__name__}({', '.join(shown)})"

    def __reduce__(self) -> Any:
        return type(self), (self._raw,)


def _converter(hint: Any) -> Converter:
    """What makes the value of a type of the JSON that stands for it. Null stays None, whatever the type."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Union and type(None) in args:
        return _Optional(_converter(next(arg for arg in args if arg is not type(None))))
    if origin is list:
        each = _converter(args[0])
        return lambda value: _each(value, each) if isinstance(value, list) else value
    if origin is dict:
        of = _converter(args[1])
        return lambda value: _each_value(value, of) if isinstance(value, dict) else value
    if isinstance(hint, type) and issubclass(hint, Model):
        return lambda value: hint(cast("Dict[str, Any]", value)) if isinstance(value, dict) else value
    read: Optional[Converter] = _READERS.get(hint)
    if read is not None:
        return lambda value: read(value) if isinstance(value, str) else value
    return lambda value: value


def _each(value: Any, of: Converter) -> List[Any]:
    return [of(item) for item in value]


def _each_value(value: Any, of: Converter) -> Dict[str, Any]:
    return {name: of(item) for name, item in value.items()}


class _Optional:
    """Converts what may be null, or missing, since a field may be younger than the server."""

    optional = True

    def __init__(self, inner: Converter) -> None:
        self._inner = inner

    def __call__(self, value: Any) -> Any:
        return None if value is None else self._inner(value)


_READERS: Dict[Any, Converter] = {
    datetime: parse_moment,
    date: date.fromisoformat,
    timedelta: parse_duration,
    Decimal: Decimal,
}


class Items(Model, Generic[M]):
    """A model that holds a list, and can be used as one."""

    data: List[M]

    def __iter__(self) -> Iterator[M]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, name: Any) -> Any:
        return self.data[name] if isinstance(name, (int, slice)) else super().__getitem__(name)


class Balance(Model):
    """Money of a client: ``available`` is posted less held."""

    posted: Decimal
    held: Decimal
    available: Decimal


class RateLimit(Model):
    """How many requests pass a second, and how many at one instant."""

    requests_per_second: float
    burst: int


class ClientLimits(Model):
    """The limits of a client; 0 running or queued jobs is no cap."""

    requests_per_second: float
    burst: int
    running_jobs: int
    queued_jobs: int


class LiveJobs(Model):
    """How many jobs of a client wait and run."""

    queued: int
    running: int


class Client(Model):
    """A customer account."""

    id: str
    name: str
    status: str
    """``active`` or ``suspended``"""
    currency: str
    minimum_balance: Decimal
    limits: ClientLimits
    balance: Balance
    jobs: LiveJobs
    metadata: Dict[str, Any]
    operator: bool
    created_at: datetime


class Entry(Model):
    """One line of a ledger, with signed deltas of posted and held money."""

    id: str
    client_id: str
    number: int
    kind: str
    """``credit``, ``hold``, ``charge``, ``release``, ``refund`` or ``adjustment``"""
    posted: Decimal
    held: Decimal
    balance: Balance
    job_id: Optional[str]
    note: str
    created_at: datetime


class UsageRow(Model):
    """What a client used of a job type on a day."""

    day: date
    type: str
    succeeded: int
    failed: int
    cancelled: int
    charged: Decimal
    currency: str


class Usage(Items[UsageRow]):
    """Usage by day and type, oldest first."""

    data: List[UsageRow]
    next_cursor: Optional[str]


class ErrorRate(Model):
    """How the requests to a route ended."""

    route: Optional[str]
    requests: int
    errors: int
    error_rate: float
    codes: Dict[str, int]


class ErrorRates(Items[ErrorRate]):
    """Error rates by route since a time."""

    since: datetime
    data: List[ErrorRate]
    next_cursor: Optional[str]


class ApiKey(Model):
    """A credential of a client."""

    id: str
    client_id: str
    name: str
    status: str
    """``active``, ``expired`` or ``revoked``"""
    permissions: List[str]
    allowed_cidrs: List[str]
    limits: Optional[RateLimit]
    expires_at: Optional[datetime]
    revoked_at: Optional[datetime]
    replaced_by: Optional[str]
    created_at: datetime
    last_used_at: Optional[datetime]


class ApiKeyCreated(ApiKey):
    """An API key as its creation or rotation answers it, with the key itself, which is shown only once. It is in no
    printed form of this object."""

    key: Optional[str]
    """None where the answer is a replay under an Idempotency-Key: the key is stored nowhere"""
    _secrets = ("key",)


class UnitPrice(Model):
    """The price of a unit, and the most of it that is charged for."""

    price: Decimal
    max: int


class Price(Model):
    """What a job costs: a base, and a price for each unit that is metered."""

    base: Decimal
    units: Dict[str, UnitPrice]


class Executor(Model):
    """How jobs of a type are done."""

    kind: str
    """``pull``, ``http`` or ``builtin``"""
    url: Optional[str]
    timeout: Optional[timedelta]
    handler: Optional[str]


class JobType(Model):
    """What can be run. Those from ``executor`` on are told to operators alone."""

    name: str
    description: str
    input_schema: Union[Dict[str, Any], bool]
    currency: str
    price: Price
    price_version: int
    max_attempts: int
    time_limit: timedelta
    cancel_charge: str
    """``none``, ``base`` or ``hold``"""
    retention: timedelta
    limits: Optional[RateLimit]
    executor: Optional[Executor]
    attempt_timeout: Optional[timedelta]
    lease: Optional[timedelta]
    running_jobs: Optional[int]
    clients: Optional[List[str]]
    created_at: datetime
    updated_at: datetime


class JobTypeDeleted(Model):
    """A job type that is gone."""

    name: str
    deleted: bool


class Quote(Model):
    """The most that a job can cost, which is what its submit holds."""

    type: str
    currency: str
    quoted: Decimal
    price: Price
    price_version: int


class Receipt(Model):
    """What a job cost."""

    currency: str
    quoted: Decimal
    held: Decimal
    charged: Decimal
    released: Decimal
    units: Dict[str, int]
    price_version: int


class JobError(Model):
    """Why a job, or an attempt at it, failed."""

    code: str
    message: str


class Job(Model):
    """One piece of work."""

    id: str
    type: str
    client_id: str
    status: str
    """``queued``, ``running``, ``succeeded``, ``failed`` or ``cancelled``"""
    priority: int
    input: Any
    result: Any
    error: Optional[JobError]
    progress: Optional[float]
    attempt: int
    max_attempts: int
    time_limit: timedelta
    receipt: Receipt
    cancel_requested: Optional[bool]
    """told while the job lives"""
    last_error: Optional[JobError]
    """of the attempt before; told while the job lives"""
    metadata: Dict[str, Any]
    run_at: datetime
    created_at: datetime
    started_at: Optional[datetime]
    finished_at: Optional[datetime]

    @property
    def ended(self) -> bool:
        """Whether the job has succeeded, failed or been cancelled."""
        return self.get("status") in ENDED


class JobBatchAccepted(Items[Job]):
    """The jobs of a batch, in its order."""

    data: List[Job]


class AuditRecord(Model):
    """Something that was done, and by whose key."""

    id: str
    kind: str
    """such as ``client.created``"""
    status: Optional[str]
    """a job's status after it, where it is about a job"""
    client_id: Optional[str]
    subject: str
    """the id or name of what it was done to"""
    actor: Optional[str]
    data: Dict[str, Any]
    created_at: datetime


class JobEvent(Model):
    """Something that happened to a job."""

    id: str
    kind: str
    """such as ``job.succeeded``"""
    status: Optional[str]
    """the status that the job came to, where the event changed it"""
    client_id: Optional[str]
    subject: str
    """the job's id"""
    actor: Optional[str]
    data: Dict[str, Any]
    created_at: datetime

    @property
    def ended(self) -> bool:
        """Whether this is the last event of its job."""
        return self.get("status") in ENDED

    @property
    def progress(self) -> Optional[float]:
        """How much of the job is done, where the event tells it."""
        return cast("Optional[float]", self._told("progress"))

    @property
    def line(self) -> Optional[str]:
        """The line that the job's worker logged, where it did."""
        return cast("Optional[str]", self._told("line"))

    @property
    def stream_id(self) -> Optional[str]:
        """The event's id in the stream: ``jobs.events(…, last_event_id=event.stream_id)`` goes on after it."""
        return cast("Optional[str]", self.__dict__.get("_stream_id"))

    def _told(self, name: str) -> Any:
        data = self.get("data")
        return cast("Dict[str, Any]", data).get(name) if isinstance(data, dict) else None


class Lease(Model):
    """The right to one attempt at a job until a time."""

    token: str
    attempt: int
    expires_at: datetime
    job: Job
    _secrets = ("token",)


class Leases(Model):
    """What a lease call gave, perhaps nothing. Iterating gives the leases."""

    leases: List[Lease]

    def __iter__(self) -> Iterator[Lease]:
        return iter(self.leases)

    def __len__(self) -> int:
        return len(self.leases)


class Reported(Model):
    """A report that was taken."""

    job_id: str
    ok: bool


class ReportResult(Model):
    """What became of one report of a batch: ``ok``, or the error that it was refused with."""

    job_id: str
    ok: Optional[bool]
    error: Optional[JobError]


class ReportResults(Model):
    """What became of a batch of reports, and the leases that were asked for with it."""

    results: List[ReportResult]
    leases: List[Lease]


class Heartbeat(Model):
    """A lease that was renewed."""

    expires_at: datetime
    cancel_requested: bool


class Health(Model):
    """The server answers."""

    status: str


class Document(Model):
    """A document of OpenAPI."""

    openapi: str


class Upstream(Model):
    """How the upstream of a job type does."""

    type: str
    state: str
    """``closed``: it is called; ``open``: it is not; ``half_open``: tried with one job"""
    failures: int
    until: Optional[datetime]


class Readiness(Model):
    """The server takes requests; what else it tells is for people, and as it came."""

    status: str
    upstreams: Optional[List[Upstream]]
    store: Optional[Dict[str, Any]]
    revision: Optional[Dict[str, Any]]
    cluster: Optional[Dict[str, Any]]
    limiter: Optional[Dict[str, Any]]


#: The statuses of a job that nothing happens to any more.
ENDED = frozenset({"succeeded", "failed", "cancelled"})


class Page(Generic[M]):
    """One page of a list."""

    def __init__(self, raw: Mapping[str, Any], of: Type[M]) -> None:
        self._raw = raw
        self.data: List[M] = [of(item) for item in raw["data"]]
        self.next_cursor: Optional[str] = raw.get("next_cursor")

    def __iter__(self) -> Iterator[M]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def to_dict(self) -> Dict[str, Any]:
        """The JSON object that came, as a copy."""
        return copy.deepcopy(dict(self._raw))

    def __repr__(self) -> str:
        return f"Page({self.data!r}, next_cursor={self.next_cursor!r})"
