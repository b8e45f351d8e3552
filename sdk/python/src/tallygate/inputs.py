"""What is sent, where it has more parts than arguments can hold: dictionaries as the API takes them."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Dict, List, Mapping, Optional, TypedDict, Union


class _Submission(TypedDict):
    type: str
    input: Any


class Submission(_Submission, total=False):
    """A job to submit."""

    priority: int
    run_at: Union[str, datetime, None]
    time_limit: Union[str, timedelta, None]
    max_cost: Union[str, Decimal, None]
    metadata: Mapping[str, Any]


class RateLimitInput(TypedDict, total=False):
    """How many requests pass a second, and how many at one instant."""

    requests_per_second: float
    burst: int


class ClientLimitsInput(RateLimitInput, total=False):
    """The limits of a client; what is left out is as usual, or as it was."""

    running_jobs: int
    queued_jobs: int


class UnitPriceInput(TypedDict):
    """The price of a unit, and the most of it that is charged for."""

    price: Union[str, Decimal]
    max: int


class PriceInput(TypedDict, total=False):
    """What a job costs."""

    base: Union[str, Decimal]
    units: Dict[str, UnitPriceInput]


class _ExecutorInput(TypedDict):
    kind: str


class ExecutorInput(_ExecutorInput, total=False):
    """How jobs of a type are done: ``pull``, ``http`` (with url, timeout, secret) or ``builtin`` (with handler).
    A secret of None takes the stored one away; left out, it is kept."""

    url: str
    timeout: Union[str, timedelta]
    secret: Optional[str]
    handler: str


class FailureInput(TypedDict, total=False):
    """Why an attempt failed; ``code`` is PROCESSING_FAILED or EXTERNAL_SERVICE_ERROR."""

    message: str
    code: str


class _Report(TypedDict):
    job_id: str
    outcome: str
    token: str


class Report(_Report, total=False):
    """How an attempt ended: ``succeeded`` (with result, units), ``failed`` (with error, retry, retry_after) or
    ``released``."""

    result: Any
    units: Mapping[str, int]
    error: FailureInput
    retry: bool
    retry_after: Union[str, timedelta]


class _LeaseRequest(TypedDict):
    types: List[str]


class LeaseRequest(_LeaseRequest, total=False):
    """Which jobs a worker can do, and how many it takes."""

    max: int
    wait: Union[str, timedelta]
    worker: str
