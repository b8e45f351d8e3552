"""The worker loop against a scripted server: what a real one does not do on request."""

from __future__ import annotations

import asyncio
import json
from email.utils import formatdate
from typing import Any, Awaitable, Callable, Dict, List, Optional, Tuple

import httpx
import pytest

import tallygate
from tallygate import Attempt
from tallygate._world import World

Json = Dict[str, Any]
Answer = Tuple[int, Json]


class Hasty(World):
    """Waits for nothing, but lets others run."""

    async def asleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


def refusal(status: int, code: str, message: str = "…") -> Answer:
    return status, {"error": {"code": code, "message": message}}


def lease(number: int, seconds: int = 30) -> Json:
    expires = f"2026-01-01T00:{seconds // 60:02}:{seconds % 60:02}Z"
    job = {"id": f"job_{number}", "type": "t", "input": number}
    return {"token": f"lt_{number}", "attempt": 1, "expires_at": expires, "job": job}


class Server(httpx.AsyncBaseTransport):
    """Hands out what is in ``leases`` and takes what comes; functions may answer otherwise first."""

    def __init__(self, *leases: Json) -> None:
        self.leases = list(leases)
        self.reports: List[Json] = []
        self.beats: List[Json] = []
        self.calls: List[str] = []
        self.on_lease: List[Callable[[], Optional[Answer]]] = []
        self.on_report: Callable[[List[Json]], Optional[Answer]] = lambda reports: None
        self.on_beat: Callable[[Json], Optional[Answer]] = lambda beat: None
        self.refuse: Callable[[Json], Optional[Json]] = lambda report: None
        self.settled = asyncio.Event()
        self.wanted = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body: Json = json.loads(await request.aread())
        word = request.url.path.rsplit("/", 1)[-1]
        self.calls.append(word)
        handle: Callable[[Json], Awaitable[Answer]] = getattr(self, f"_{word}")
        status, answer = await handle(body)
        headers = {"Date": formatdate(1767225600, usegmt=True)}  # 2026-01-01T00:00:00Z
        return httpx.Response(status, headers=headers, json=answer)

    async def _lease(self, body: Json) -> Answer:
        said = self.on_lease.pop(0)() if self.on_lease else None
        if said is not None:
            return said
        if not self.leases:
            await asyncio.Event().wait()
        given, self.leases = self.leases[: body["max"]], self.leases[body["max"] :]
        return 200, {"leases": given}

    async def _report(self, body: Json) -> Answer:
        said = self.on_report(body["reports"])
        if said is not None:
            return said
        results: List[Json] = []
        for report in body["reports"]:
            error = self.refuse(report)
            results.append({"job_id": report["job_id"], **({"ok": True} if error is None else {"error": error})})
            if error is None:
                self.reports.append(report)
        most = body.get("lease", {}).get("max", 0)
        given, self.leases = self.leases[:most], self.leases[most:]
        if len(self.reports) >= self.wanted:
            self.settled.set()
        return 200, {"results": results, "leases": given}

    async def _heartbeat(self, body: Json) -> Answer:
        said = self.on_beat(body)
        if said is not None:
            return said
        self.beats.append(body)
        return 200, {"expires_at": "2026-01-01T00:00:30Z", "cancel_requested": False}


def play(script: Callable[[], Server], handler: Callable[[Attempt], Any], wanted: int, **settings: Any) -> Server:
    """Runs a worker until so many reports were taken, then stops it."""

    async def main() -> Server:
        server = script()
        server.wanted = wanted
        async with httpx.AsyncClient(transport=server) as http:
            client = tallygate.AsyncTallygate("http://server.test", "k", http_client=http, _world=Hasty())
            worker = tallygate.AsyncWorker(client, {"t": handler}, handle_signals=False, **settings)
            running = asyncio.ensure_future(worker.run())
            settled = asyncio.ensure_future(server.settled.wait())
            await asyncio.wait({running, settled}, return_when=asyncio.FIRST_COMPLETED)
            settled.cancel()
            worker.stop()
            await running
            return server

    return asyncio.run(main())


async def double(attempt: Attempt) -> Any:
    return attempt.input * 2


def test_a_report_takes_the_next_job_with_it() -> None:
    server = play(lambda: Server(*map(lease, range(5))), double, 5, concurrency=1)
    assert [report["result"] for report in server.reports] == [0, 2, 4, 6, 8]
    assert server.calls[:6] == ["lease", *["report"] * 5]


def test_a_worker_outlives_its_server() -> None:
    def script() -> Server:
        server = Server(lease(1))
        server.on_lease = [lambda: refusal(503, "SERVICE_UNAVAILABLE")] * 7
        return server

    server = play(script, double, 1)
    assert len(server.reports) == 1
    assert server.calls.count("lease") >= 8


@pytest.mark.parametrize(
    ("code", "kind"),
    [("INVALID_PARAMETER", tallygate.InvalidParameterError), ("INVALID_API_KEY", tallygate.InvalidApiKeyError)],
)
def test_what_will_not_pass_ends_the_worker(code: str, kind: type) -> None:
    def script() -> Server:
        server = Server()
        server.on_lease = [lambda: refusal(400, code)]
        return server

    with pytest.raises(kind):
        play(script, double, 1)


def test_a_lost_lease_cancels_its_attempt_and_is_not_reported() -> None:
    cancelled: List[Optional[str]] = []

    async def handle(attempt: Attempt) -> Any:
        if attempt.input == 1:
            attempt.log("working")
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.append(attempt.reason)
        return "done"

    def script() -> Server:
        server = Server(lease(1), lease(2))
        server.on_beat = lambda beat: refusal(400, "INVALID_REQUEST") if beat["token"] == "lt_1" else None
        return server

    server = play(script, handle, 1, concurrency=1)
    assert cancelled == ["lease_lost"]
    assert [report["job_id"] for report in server.reports] == ["job_2"]


def test_a_cancelled_job_is_given_back() -> None:
    async def handle(attempt: Attempt) -> Any:
        attempt.progress(0.5)
        await asyncio.Event().wait()

    def script() -> Server:
        server = Server(lease(1))
        server.on_beat = lambda beat: (200, {"expires_at": "2026-01-01T00:00:30Z", "cancel_requested": True})
        return server

    server = play(script, handle, 1)
    assert [report["outcome"] for report in server.reports] == ["released"]


def test_lines_keep_their_order_over_a_heartbeat_that_fails() -> None:
    failures = iter([True, True, True, True, True, False])

    async def handle(attempt: Attempt) -> Any:
        for at in range(250):
            attempt.log(str(at))
        return None

    def script() -> Server:
        server = Server(lease(1))
        server.on_beat = lambda beat: refusal(503, "SERVICE_UNAVAILABLE") if next(failures, False) else None
        return server

    server = play(script, handle, 1)
    told = [line for beat in server.beats for line in beat.get("logs", [])]
    assert told == [str(at) for at in range(len(told))]
    assert len(server.reports) == 1


def test_a_batch_that_is_refused_is_sent_one_by_one() -> None:
    def one_is_too_much(reports: List[Json]) -> Optional[Answer]:
        if any(report.get("result") == 4 for report in reports):
            return refusal(400, "INVALID_REQUEST", "the body is larger than 4 MiB")
        return None

    def script() -> Server:
        server = Server(*map(lease, (1, 2, 3)))
        server.on_report = one_is_too_much
        return server

    reports = {report["job_id"]: report for report in play(script, double, 3).reports}
    assert (reports["job_1"]["result"], reports["job_3"]["result"]) == (2, 6)
    assert (reports["job_2"]["outcome"], reports["job_2"]["retry"]) == ("failed", False)
    assert "4 MiB" in reports["job_2"]["error"]["message"]


def test_units_that_are_not_metered_fail_the_job() -> None:
    async def handle(attempt: Attempt) -> Any:
        attempt.use(gallon=1)
        return 1

    def script() -> Server:
        server = Server(lease(1))
        server.refuse = lambda report: (
            {"code": "INVALID_PARAMETER", "message": "gallon"} if report["outcome"] == "succeeded" else None
        )
        return server

    server = play(script, handle, 1)
    assert server.reports[0]["error"]["message"] == "gallon"


def test_what_is_at_work_when_the_worker_ends_is_released() -> None:
    async def handle(attempt: Attempt) -> Any:
        if attempt.input == 1:
            return 1
        await asyncio.Event().wait()

    server = play(lambda: Server(lease(1), lease(2)), handle, 1, drain=0)
    assert sorted((report["job_id"], report["outcome"]) for report in server.reports) == [
        ("job_1", "succeeded"),
        ("job_2", "released"),
    ]


def test_a_worker_needs_handlers_and_a_loop_of_its_own() -> None:
    with tallygate.Tallygate("http://server.test", "k") as client:
        with pytest.raises(ValueError, match="no handlers"):
            tallygate.Worker(client).run()

        async def main() -> None:
            tallygate.Worker(client, {"t": double}).run()

        with pytest.raises(RuntimeError, match="AsyncWorker"):
            asyncio.run(main())
    with httpx.Client() as http:
        given = tallygate.Tallygate("http://server.test", "k", http_client=http)
        with pytest.raises(ValueError, match=r"httpx\.AsyncClient"):
            tallygate.Worker(given)
