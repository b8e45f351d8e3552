"""Times, durations, money; models; errors; webhooks."""

from __future__ import annotations

import pickle
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Dict, List

import pytest
import standardwebhooks

import tallygate
from tallygate import _policy, _values, models
from tallygate._values import SECOND
from tallygate._world import World


@pytest.mark.parametrize(
    ("text", "ns"),
    [("30s", 30 * SECOND), ("1h30m", 5400 * SECOND), ("1.5s", SECOND * 3 // 2), ("250ms", SECOND // 4),
     ("0", 0), ("-2s", -2 * SECOND), ("1h0m0.000000001s", 3600 * SECOND + 1), (".5s", SECOND // 2), ("3µs", 3000)],
)  # fmt: skip
def test_durations_are_read(text: str, ns: int) -> None:
    assert _values.parse_nanoseconds(text) == ns


@pytest.mark.parametrize("text", ["", "s", "5", "5 s", "1h30", "fast", "--1s", "1d"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        _values.parse_nanoseconds(text)


def test_durations_are_written() -> None:
    written: Dict[str, _values.Duration] = {
        "30s": 30,
        "0.25s": 0.25,
        "3600s": timedelta(hours=1),
        "1h": "1h",
        "100s": 100,
    }
    for text, value in written.items():
        assert _values.duration_text(value) == text
    assert _values.parse_duration("1m0.5s") == timedelta(seconds=60.5)


def test_times() -> None:
    moment = _values.parse_moment("2026-01-31T15:04:05.123456789Z")
    assert moment == datetime(2026, 1, 31, 15, 4, 5, 123456, timezone.utc)
    assert _values.moment_text(moment) == "2026-01-31T15:04:05.123456Z"
    assert _values.parse_moment("2026-01-31T16:04:05+01:00") == datetime(2026, 1, 31, 15, 4, 5, tzinfo=timezone.utc)
    with pytest.raises(ValueError, match="time zone"):
        _values.moment_text(datetime(2026, 1, 31))


def test_money_is_exact() -> None:
    assert _values.money_text(Decimal("1E+2")) == "100"
    assert _values.money_text(Decimal("0.10")) == "0.10"
    with pytest.raises(TypeError, match="not a float"):
        _values.money_text(0.1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def test_a_model_reads_what_it_knows_and_keeps_what_it_does_not() -> None:
    raw: Dict[str, Any] = {
        "id": "job_1", "created_at": "2026-01-31T15:04:05Z", "time_limit": "1h", "colour": "blue", "error": None,
        "receipt": {"charged": "0.21", "units": {"page": 2}},
    }  # fmt: skip
    job = models.Job(raw)
    assert (job.id, job.created_at.year, job.time_limit) == ("job_1", 2026, timedelta(hours=1))
    assert (job.receipt.charged, job.receipt.units) == (Decimal("0.21"), {"page": 2})
    assert job.error is None
    assert job.cancel_requested is None
    assert (job["colour"], job.get("shade"), "colour" in job) == ("blue", None, True)
    assert job.to_dict() == raw
    assert job == models.Job(raw)
    assert pickle.loads(pickle.dumps(job)) == job
    assert "receipt" in dir(job)
    with pytest.raises(AttributeError, match="no field 'status'"):
        _ = job.status
    with pytest.raises(AttributeError, match="no attribute 'statsu'"):
        getattr(job, "statsu")  # noqa: B009
    with pytest.raises(AttributeError, match="read-only"):
        job.id = "job_2"
    assert models.Usage({"data": [{"day": "2026-01-31"}]})[0].day == date(2026, 1, 31)


def test_errors_can_be_caught_as_pythons_own_and_pickled() -> None:
    error = tallygate.RateLimitExceededError("slow down", status=429, retry_after=2.0, attempts=3, request_id="r1")
    again = pickle.loads(pickle.dumps(error))
    assert vars(again) == vars(error)
    assert str(again) == "RATE_LIMIT_EXCEEDED: slow down (after 3 attempts) [request r1]"
    assert issubclass(tallygate.ConnectionFailedError, ConnectionError)
    assert issubclass(tallygate.AttemptTimeoutError, TimeoutError)
    late = tallygate.WaitTimeoutError("late", job=models.Job({"id": "job_1"}))
    assert pickle.loads(pickle.dumps(late)).job.id == "job_1"


@pytest.mark.parametrize("url", ["", "localhost:8080", "ftp://host", "http://", "http://u:p@host", "http://host?x=1"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ValueError, match="address of a server"):
        tallygate.Tallygate(url or " ", "k")


def test_what_is_refused_before_it_is_sent() -> None:
    with tallygate.Tallygate("http://server.test", "k") as client:
        with pytest.raises(ValueError, match="no id"):
            client.jobs.get("")
        with pytest.raises(ValueError, match="no id"):
            client.jobs.get("..")
        with pytest.raises(ValueError, match="visible ASCII"):
            client.jobs.submit("t", {}, idempotency_key="a b")
        with pytest.raises(ValueError, match="JSON"):
            client.jobs.submit("t", float("nan"))
        with pytest.raises(ValueError, match="max_attempts"):
            client.with_options(max_attempts=0)
    with pytest.raises(ValueError, match="white space"):
        tallygate.Tallygate("http://server.test", "tg_live_a\n")


def test_waits_are_spread_and_not_together() -> None:
    """A thousand callers who were told to come back in a second come back over the second after it."""
    world = World()
    waits: List[float] = []
    for _ in range(1000):
        persistence = _policy.Persistence(_policy.Limits(), _policy.Budget(500), world)
        persistence.attempt()
        waits.append(persistence.failed(tallygate.ServiceUnavailableError(retry_after=1.0), retry=True) / SECOND)
    tenths = [sum(1 for wait in waits if 1 + at / 10 <= wait < 1 + (at + 1) / 10) for at in range(10)]
    assert sum(tenths) == 1000
    assert max(tenths) < 200, tenths  # 100 each are expected: 200 is ten standard deviations away


@pytest.mark.parametrize("secret", ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2VjcmV0"])
def test_webhooks_agree_with_the_library_of_the_standard(secret: str) -> None:
    library = standardwebhooks.Webhook(secret)
    now = datetime.now(timezone.utc)
    body = '{"text": "grüß"}'
    headers = {
        "Webhook-Id": "job_1-1",
        "Webhook-Timestamp": str(int(now.timestamp())),
        "Webhook-Signature": "v1a,xx " + library.sign("job_1-1", now, body),
    }
    tallygate.webhooks.verify(body, headers, secret)
    tallygate.webhooks.verify(body.encode(), headers, secret)
    with pytest.raises(tallygate.InvalidWebhookError, match="no signature fits"):
        tallygate.webhooks.verify(body + " ", headers, secret)
