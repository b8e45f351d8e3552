"""How the API writes times, durations and money, and how Python does."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Union

#: A length of time: seconds, a ``timedelta``, or text as the API writes it, such as ``"30s"`` or ``"1h30m"``.
Duration = Union[float, timedelta, str]
#: An amount: a ``Decimal`` or text, such as ``"0.21"``. Floats are not exact, so they are not taken.
Money = Union[Decimal, str, int]
#: A moment: a ``datetime`` that knows its zone, or text as of RFC 3339.
Moment = Union[datetime, str]
#: A day: a ``date``, or text such as ``"2026-01-31"``.
Day = Union[date, str]

SECOND = 1_000_000_000  # nanoseconds, in which the policy counts: sums and comparisons are exact

_UNITS = {
    "ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000,
    "s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND,
}  # fmt: skip
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")


def parse_nanoseconds(text: str) -> int:
    """Reads a duration in Go's notation, as the API writes it."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    total, at = Decimal(0), 0
    while at < len(rest):
        part = _PART.match(rest, at)
        if part is None:
            break
        total += Decimal(part[1]) * _UNITS[part[2]]
        at = part.end()
    if at == 0 or at != len(rest):
        raise ValueError(f'{text!r} is no duration; write it as "30s" or "1h30m"')
    return int(-total if text[0] == "-" else total)


def nanoseconds(value: Duration) -> int:
    """The length of a duration however it is written."""
    if isinstance(value, str):
        return parse_nanoseconds(value)
    if isinstance(value, timedelta):
        return value // timedelta(microseconds=1) * 1000
    return round(value * SECOND)


def duration_text(value: Duration) -> str:
    """A duration as the API reads it."""
    if isinstance(value, str):
        return value
    ns = nanoseconds(value)
    text = f"{Decimal(ns) / SECOND:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + "s"


def parse_duration(text: str) -> timedelta:
    """A duration that the API wrote."""
    return timedelta(microseconds=parse_nanoseconds(text) / 1000)


_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def parse_moment(text: str) -> datetime:
    """A time that the API wrote, to the microsecond."""
    parts = _MOMENT.fullmatch(text)
    if parts is None:
        raise ValueError(f"{text!r} is no RFC 3339 time")
    fraction = (parts[3] or ".0")[1:7].ljust(6, "0")
    zone = "+00:00" if parts[4] in "Zz" else parts[4]
    return datetime.fromisoformat(f"{parts[1]}T{parts[2]}.{fraction}{zone}")


def moment_text(value: Moment) -> str:
    """A time as the API reads it."""
    if isinstance(value, str):
        return value
    if value.tzinfo is None:
        raise ValueError("a datetime needs a time zone: pass one with tzinfo, such as datetime.now(timezone.utc)")
    return value.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")


def money_text(value: Money) -> str:
    """An amount as the API reads it."""
    if isinstance(value, float):
        raise TypeError("an amount must be a Decimal or text, not a float, which is not exact")
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def day_text(value: Day) -> str:
    """A day as the API reads it."""
    return value if isinstance(value, str) else value.isoformat()
