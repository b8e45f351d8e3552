"""When a call is tried again, and how long it waits first: the policy of all of Tallygate's SDKs.

Nothing here touches a network or waits. Times are whole nanoseconds, so that sums and comparisons are exact.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Mapping, Optional

from ._values import SECOND
from ._world import World
from .errors import BY_CODE, AttemptTimeoutError, TallygateError

FIRST_BACKOFF = SECOND // 4  # the most before the second attempt; it doubles from there
MOST_BACKOFF = 8 * SECOND
RETRIED_CODES = frozenset(
    {"RATE_LIMIT_EXCEEDED", "SERVICE_UNAVAILABLE", "INTERNAL_ERROR", "DATABASE_ERROR", "EXTERNAL_SERVICE_ERROR"}
)
RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
ATTEMPT_COST = 5
TIMEOUT_COST = 10


class Budget:
    """The token bucket that bounds how much all calls of a client try again, as in the standard mode of AWS's SDKs."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._tokens = most
        self._lock = threading.Lock()

    def take(self, cost: int) -> bool:
        """Takes the cost of another attempt, if there is enough."""
        with self._lock:
            if self._tokens < cost:
                return False
            self._tokens -= cost
            return True

    def give(self, tokens: int) -> None:
        """Gives tokens back, up to what the bucket holds."""
        with self._lock:
            self._tokens = min(self._most, self._tokens + tokens)


@dataclass(frozen=True)
class Limits:
    """How long and how often a call may try, in nanoseconds."""

    timeout: int = 30 * SECOND
    deadline: Optional[int] = 120 * SECOND
    max_attempts: int = 5


@dataclass
class Persistence:
    """The attempts of one call."""

    limits: Limits
    budget: Budget
    world: World
    wait: int = 0  # what the call asks the server to wait
    attempts: int = 0
    _end: Optional[int] = field(init=False, default=None)
    _paid: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Starts to count, or starts anew where something came of the attempts so far."""
        self.attempts = 0
        if self.limits.deadline is not None:
            self._end = self.world.now() + self.limits.deadline + self.wait

    def attempt(self) -> int:
        """Counts another attempt and tells how long it may take."""
        self.attempts += 1
        bound = self.limits.timeout + self.wait
        return bound if self._end is None else max(0, min(bound, self._end - self.world.now()))

    def succeeded(self) -> None:
        """Gives back to the budget what an attempt that succeeded does."""
        self.budget.give(self._paid or 1)
        self._paid = 0

    def failed(self, error: TallygateError, retry: bool) -> int:
        """How long to wait before another attempt. Raises the error where there is none."""
        error.attempts = self.attempts
        if not retry or self.attempts >= self.limits.max_attempts:
            raise error
        wait = self._pause(error)
        if self._end is not None and self.world.now() + wait >= self._end:
            raise error
        cost = TIMEOUT_COST if isinstance(error, AttemptTimeoutError) else ATTEMPT_COST
        if not self.budget.take(cost):
            raise error
        self._paid = cost
        return wait

    def _pause(self, error: TallygateError) -> int:
        floor = round((error.retry_after or 0) * SECOND)
        backoff = min(MOST_BACKOFF, FIRST_BACKOFF << min(self.attempts - 1, 16))
        return floor + int(self.world.chance() * max(backoff, min(floor, MOST_BACKOFF)))


def retries(status: int, headers: Mapping[str, str], code: Optional[str]) -> bool:
    """Whether what was answered with another status than 200 may succeed if it is asked for again."""
    said = headers.get("X-Should-Retry", "").strip().lower()
    if said in ("true", "false"):
        return said == "true"
    if code is not None and code in BY_CODE:
        return code in RETRIED_CODES
    return status in RETRIED_STATUSES


_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_LONG_DAY = r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_MONTH = "|".join(_MONTHS)
_CLOCK = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_DATES = [  # the three forms of RFC 9110, section 5.6.7
    re.compile(rf"{_DAY}, (?P<day>\d\d) (?P<month>{_MONTH}) (?P<year>\d{{4}}) {_CLOCK} GMT"),
    re.compile(rf"{_LONG_DAY}, (?P<day>\d\d)-(?P<month>{_MONTH})-(?P<year>\d\d) {_CLOCK} GMT"),
    re.compile(rf"{_DAY} (?P<month>{_MONTH}) (?P<day>[ \d]\d) {_CLOCK} (?P<year>\d{{4}})"),
]


def http_date(text: str, now: int) -> Optional[int]:
    """The nanoseconds since 1970 of a date in any of HTTP's forms; None where it is none."""
    for form in _DATES:
        parts = form.fullmatch(text.strip())
        if parts is None:
            continue
        year = int(parts["year"])
        if len(parts["year"]) == 2:  # more than 50 years ahead is meant as past
            this = datetime.fromtimestamp(now // SECOND, timezone.utc).year
            year += this // 100 * 100
            if year > this + 50:
                year -= 100
        try:
            moment = datetime(
                year, _MONTHS.index(parts["month"]) + 1, int(parts["day"]),
                int(parts["hour"]), int(parts["minute"]), min(int(parts["second"]), 59), tzinfo=timezone.utc,
            )  # fmt: skip
        except ValueError:
            return None
        return int(moment.timestamp()) * SECOND
    return None


def retry_after(headers: Mapping[str, str], wall: int) -> Optional[float]:
    """The seconds that Retry-After asks to wait; None where it does not, is unreadable or past."""
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]+", value):
        return float(min(int(value), 1 << 62))
    until = http_date(value, wall)
    if until is None:
        return None
    now = http_date(headers.get("Date", ""), wall)
    left = until - (wall if now is None else now)
    return left / SECOND if left > 0 else None
