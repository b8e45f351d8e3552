"""The client and the worker against a real server."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import textwrap
import threading
from decimal import Decimal
from typing import Any, Callable, Generator, List

import pytest

import tallygate
from live import Server, World
from tallygate import Attempt, FinalError, RetryLater

Make = Callable[..., World]


@contextlib.contextmanager
def working(w: World, handler: Callable[[Attempt], Any], **settings: Any) -> Generator[tallygate.Worker, None, None]:
    """A worker that runs in a thread until the block ends."""
    with w.worker_client() as client:
        worker = tallygate.Worker(client, {w.type: handler}, **settings)
        failures: List[BaseException] = []

        def run() -> None:
            try:
                worker.run()
            except BaseException as failure:
                failures.append(failure)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield worker
        finally:
            worker.stop()
            thread.join(60)
            assert not thread.is_alive()
        assert not failures, failures


def upper(attempt: Attempt) -> Any:
    attempt.log("shouting")
    attempt.progress(0.5)
    attempt.use(page=2)
    return {"text": attempt.input["text"].upper()}


def test_a_job_is_submitted_done_and_charged(world: Make) -> None:
    w = world()
    with working(w, upper):
        job = w.client.jobs.submit(w.type, {"text": "hello"}, metadata={"order": "1"}, priority=3)
        assert job.status == "queued"
        assert not job.ended
        told: List[float] = []
        lines: List[str] = []
        job = w.client.jobs.wait(job.id, timeout=60, on_progress=told.append, on_log=lines.append)
    assert job.status == "succeeded"
    assert job.result == {"text": "HELLO"}
    assert told == [0.5, 1]
    assert lines == ["shouting"]
    assert job.receipt.charged == Decimal("0.014")
    assert job.receipt.units == {"page": 2}
    assert job.created_at <= (job.finished_at or job.created_at)
    assert w.client.jobs.result(job.id) == {"text": "HELLO"}
    assert [event.kind for event in w.client.jobs.events(job.id)] == [
        "job.queued", "job.running", "job.progress", "job.log", "job.succeeded",
    ]  # fmt: skip
    assert [one.id for one in w.client.jobs.list(metadata={"order": "1"})] == [job.id]
    assert w.client.account.get().balance.posted == Decimal("24.986")


def test_events_go_on_after_one_that_is_known(world: Make) -> None:
    w = world()
    with working(w, upper):
        job = w.client.jobs.submit(w.type, {"text": "hello"})
        first, second, *_ = all_events = list(w.client.jobs.events(job.id))
    assert first.stream_id
    rest = list(w.client.jobs.events(job.id, last_event_id=first.stream_id))
    assert rest == all_events[1:]
    assert rest[0] == second


def test_run_gives_the_result_or_raises_what_the_job_failed_with(world: Make) -> None:
    w = world(max_attempts=1)

    def handle(attempt: Attempt) -> Any:
        if attempt.input == "bad":
            raise FinalError("the input is bad")
        if attempt.input == "upstream":
            raise FinalError("the upstream is down", code="EXTERNAL_SERVICE_ERROR")
        if attempt.input == "bug":
            return int("three")
        if attempt.input == "units":
            attempt.use(gallon=1)
        if attempt.input == "object":
            return object()
        return attempt.input * 2

    with working(w, handle):
        assert w.client.run(w.type, 21) == 42
        assert w.client.jobs.run(w.type, 21) == 42
        for given, kind, message in [
            ("bad", tallygate.ProcessingFailedError, "the input is bad"),
            ("upstream", tallygate.ExternalServiceError, "the upstream is down"),
            ("bug", tallygate.ProcessingFailedError, "ValueError: invalid literal"),
            ("units", tallygate.ProcessingFailedError, "gallon"),
            ("object", tallygate.ProcessingFailedError, "not JSON"),
        ]:
            with pytest.raises(kind, match=message) as raised:
                w.client.run(w.type, given)
            assert raised.value.attempts == 1


def test_a_failed_attempt_is_tried_again(world: Make) -> None:
    w = world()

    def handle(attempt: Attempt) -> Any:
        if attempt.number == 1:
            raise RetryLater("not yet", after=0.1)
        return attempt.number

    with working(w, handle):
        assert w.client.run(w.type, None) == 2


def test_a_submit_under_one_key_is_one_job(world: Make) -> None:
    w = world()
    first = w.client.jobs.submit(w.type, {"text": "a"}, idempotency_key="order-1")
    again = w.client.jobs.submit(w.type, {"text": "a"}, idempotency_key="order-1")
    assert again.id == first.id
    with pytest.raises(tallygate.InvalidParameterError, match="Idempotency-Key"):
        w.client.jobs.submit(w.type, {"text": "b"}, idempotency_key="order-1")


def test_a_queued_job_is_cancelled_at_once(world: Make) -> None:
    w = world()
    job = w.client.jobs.submit(w.type, {"text": "a"})
    assert w.client.jobs.cancel(job.id).status == "cancelled"
    with pytest.raises(tallygate.WaitTimeoutError) as raised:
        w.client.run(w.type, {"text": "b"}, timeout=0.5, cancel_on_timeout=True)
    assert raised.value.job.status == "cancelled"


def test_a_running_job_is_told_that_it_is_cancelled(world: Make) -> None:
    w = world(lease="1s")
    begun = threading.Event()

    def handle(attempt: Attempt) -> Any:
        begun.set()
        while not attempt.wait(60):
            pass
        assert attempt.reason == "cancel_requested"
        attempt.check()

    with working(w, handle):
        job = w.client.jobs.submit(w.type, {"text": "a"})
        assert begun.wait(60)
        w.client.jobs.cancel(job.id)
        assert w.client.jobs.wait(job.id, timeout=60).status == "cancelled"


def test_heartbeats_keep_a_lease_longer_than_it_lasts(world: Make) -> None:
    w = world(lease="3s")

    def handle(attempt: Attempt) -> Any:
        attempt.wait(4)
        return attempt.number

    with working(w, handle):
        assert w.client.run(w.type, None) == 1


def test_many_jobs_go_through_batches(world: Make) -> None:
    w = world()
    w.operator.clients.credit(w.owner, 75, idempotency_key="more")
    with working(w, upper, concurrency=32):
        batch = w.client.jobs.submit_batch([{"type": w.type, "input": {"text": str(n)}} for n in range(120)])
        assert len(batch) == 120
        for n, job in enumerate(batch):
            assert w.client.jobs.wait(job.id, timeout=120).result == {"text": str(n)}
    pages = list(w.client.jobs.list(limit=50).pages())
    assert [len(page) for page in pages] == [50, 50, 20]
    assert len({job.id for job in w.client.jobs.list(limit=50)}) == 120
    assert w.client.account.get().balance.posted == Decimal("100.00") - 120 * Decimal("0.014")


def test_asyncio_does_the_same(world: Make) -> None:
    w = world(lease="1s")

    async def handle(attempt: Attempt) -> Any:
        if attempt.input == "wait":
            attempt.log("waiting")
            await asyncio.Event().wait()
        return {"n": attempt.input}

    async def main() -> None:
        async with (  # noqa: SIM117
            tallygate.AsyncTallygate(w.server.url, w.client_key)
        ) as client:
            async with tallygate.AsyncTallygate(w.server.url, w.worker_key) as workers:
                worker = tallygate.AsyncWorker(workers, {w.type: handle}, concurrency=16, handle_signals=False)
                running = asyncio.ensure_future(worker.run())
                results = await asyncio.gather(*(client.run(w.type, n) for n in range(50)))
                assert results == [{"n": n} for n in range(50)]
                job = await client.jobs.submit(w.type, "wait")
                kinds: List[str] = []
                async for event in client.jobs.events(job.id):
                    kinds.append(event.kind)
                    if event.kind == "job.log":
                        await client.jobs.cancel(job.id)
                assert kinds[-1] == "job.cancelled"
                assert len([one async for one in client.jobs.list(limit=20)]) == 51
                assert len(await client.jobs.list(limit=20).all()) == 51
                worker.stop()
                await running

    asyncio.run(main())


def test_keys_clients_and_the_ledger(world: Make) -> None:
    w = world()
    key = w.operator.clients.api_keys.create(w.owner, ["preset:submit"], name="ci", expires_at="2100-01-01T00:00:00Z")
    assert key.key
    assert key.key not in repr(key)
    assert key.expires_at is not None
    assert key.expires_at.year == 2100
    new = w.operator.clients.api_keys.rotate(w.owner, key.id, overlap="1h")
    assert w.operator.clients.api_keys.get(w.owner, key.id).replaced_by == new.id
    assert w.operator.clients.api_keys.revoke(w.owner, key.id).status == "revoked"
    with tallygate.Tallygate(w.server.url, key.key) as revoked, pytest.raises(tallygate.RevokedApiKeyError):
        revoked.account.get()
    client = w.operator.clients.update(w.owner, name="Acme Ltd", limits={"running_jobs": 3})
    assert (client.name, client.limits.running_jobs) == ("Acme Ltd", 3)
    assert w.operator.clients.suspend(w.owner).status == "suspended"
    with pytest.raises(tallygate.SuspendedAccountError):
        w.client.account.get()
    assert w.operator.clients.activate(w.owner).status == "active"
    assert [entry.kind for entry in w.operator.clients.entries(w.owner)] == ["credit"]
    with w.worker_client() as worker, pytest.raises(tallygate.InsufficientPermissionsError):
        worker.account.get()
    assert any(event.subject == w.owner for event in w.operator.audit.list(limit=100))
    quote = w.client.quotes.create(w.type, {})
    assert quote.quoted == Decimal("0.21")
    assert quote.price.units["page"].max == 100
    assert [one.name for one in w.client.job_types.list() if one.name == w.type] == [w.type]
    assert w.operator.job_types.delete(w.type).deleted


def test_health_needs_no_key(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TALLYGATE_KEY", raising=False)
    monkeypatch.setenv("TALLYGATE_URL", server.url)
    with tallygate.Tallygate() as client:
        assert client.health().status == "ok"
        assert client.ready().status == "ok"
        with pytest.raises(tallygate.AuthenticationFailedError):
            client.account.get()


def test_a_worker_whose_key_is_refused_ends(world: Make) -> None:
    w = world()
    with tallygate.Tallygate(w.server.url, w.client_key) as client:
        worker = tallygate.Worker(client, {w.type: upper}, handle_signals=False)
        with pytest.raises(tallygate.AuthorizationFailedError):
            worker.run()


WORKER = """
import sys
import tallygate

worker = tallygate.Worker(tallygate.Tallygate(), concurrency=2, drain=float(sys.argv[2]))

@worker.handler(sys.argv[1])
def handle(attempt: tallygate.Attempt) -> object:
    print("begun", attempt.number, flush=True)
    if attempt.input == "heeds":
        attempt.wait(3600)
        attempt.check()
    if attempt.input == "stubborn":
        import time
        time.sleep(3600)
    attempt.wait(0.3)
    return attempt.input

worker.run()
print("drained", flush=True)
"""


@pytest.mark.parametrize(
    ("given", "drain", "ends"), [("quick", "30", "succeeded"), ("heeds", "0", "queued"), ("stubborn", "0", "queued")]
)
def test_sigterm_drains_a_worker(world: Make, given: str, drain: str, ends: str) -> None:
    w = world()
    job = w.client.jobs.submit(w.type, given)
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WORKER), w.type, drain],
        env=w.environment(w.worker_key), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == "begun 1\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "drained\n"
        assert process.wait(30) == 0
    job = w.client.jobs.get(job.id)
    assert (job.status, job.attempt) == (ends, 1 if ends == "succeeded" else 0)
