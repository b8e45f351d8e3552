"""Replays the cases of ``sdk/cases``: a scripted server, a clock that only the case moves, given chance."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, AsyncIterator, Callable, Dict, Iterator, List, Mapping, Optional, Tuple, cast
from urllib.parse import parse_qsl, urlsplit

import httpx

import tallygate
from tallygate._values import SECOND, parse_nanoseconds
from tallygate._world import World
from tallygate.errors import BY_CODE

FOLDER = Path(__file__).parents[2] / "cases"
KEY = "tg_live_case"
START = 1767225600  # 2026-01-01T00:00:00Z
Json = Dict[str, Any]


def load() -> List[Tuple[str, Json]]:
    """Every case with its name, file by file."""
    found = [
        (f"{file.stem}: {case['name']}", cast(Json, case))
        for file in sorted(FOLDER.glob("*.json"))
        for case in json.loads(file.read_text(encoding="utf-8"))
    ]
    names = [name for name, _ in found]
    assert len(set(names)) == len(names), "two cases have one name"
    return found


class Clock(World):
    """Moves by waits and by what requests take, and gives the caller up at its time."""

    def __init__(self, chance: List[float]) -> None:
        self.time = 0
        self.waited = 0
        self._chance = list(chance)
        self.give_up_at: Optional[int] = None
        self.give_up: Callable[[], object] = lambda: None

    def now(self) -> int:
        return self.time

    def wall(self) -> int:
        return START * SECOND + self.time

    def chance(self) -> float:
        return self._chance.pop(0) if len(self._chance) > 1 else self._chance[0]

    def move(self, by: int) -> bool:
        """Moves the clock; whether the caller gave up on the way."""
        if self.give_up_at is not None and self.time + by >= self.give_up_at:
            self.time = self.give_up_at
            self.give_up_at = None
            self.give_up()
            return True
        self.time += by
        return False

    def sleep(self, seconds: float, cancellation: Optional[tallygate.Cancellation]) -> None:
        by = round(seconds * SECOND)
        self.waited += by
        self.move(by)

    async def asleep(self, seconds: float) -> None:
        by = round(seconds * SECOND)
        self.waited += by
        if self.move(by):
            await asyncio.Event().wait()  # until the cancelled task wakes


class _Half(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that breaks off."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        yield self._body
        raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


@dataclass
class Server(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Answers as the case's exchanges say, and looks at each request."""

    clock: Clock
    exchanges: List[Json]
    faults: List[str] = field(default_factory=lambda: [])
    seen: List[httpx.Request] = field(default_factory=lambda: [])

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        takes, answer = self._exchange(request)
        self.clock.move(takes)
        return answer()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        takes, answer = self._exchange(request)
        if self.clock.move(takes):
            await asyncio.Event().wait()  # until the cancelled task wakes
        return answer()

    def _exchange(self, request: httpx.Request) -> Tuple[int, Callable[[], httpx.Response]]:
        waited, self.clock.waited = self.clock.waited, 0
        at = len(self.seen)
        self.seen.append(request)
        if at >= len(self.exchanges):
            self.faults.append(f"request {at + 1}, {request.method} {request.url}, is one too many")
            return 0, lambda: httpx.Response(418)
        exchange = self.exchanges[at]
        after = parse_nanoseconds(exchange.get("after", "0s"))
        if abs(waited - after) >= SECOND // 1000:
            self.faults.append(f"request {at + 1} came after {waited / SECOND} s, not {after / SECOND} s")
        self._look(at, request, exchange["request"])
        answer = exchange["answer"]
        takes = parse_nanoseconds(exchange.get("takes", "0s"))
        if answer.get("fails") == "timeout":
            takes = round(request.extensions["timeout"]["read"] * SECOND)
        return takes, lambda: _answer(answer, request)

    def _look(self, at: int, request: httpx.Request, expected: Json) -> None:
        def differs(what: str, got: object, want: object) -> None:
            self.faults.append(f"request {at + 1} has {what} {got!r}, not {want!r}")

        target = request.url.raw_path.decode("ascii")
        if request.method != expected["method"]:
            differs("method", request.method, expected["method"])
        if not _same_target(target, expected["target"]):
            differs("target", target, expected["target"])
        for name, want in expected.get("headers", {}).items():
            got = request.headers.get(name)
            before = self.seen[at - 1].headers.get(name) if at else None
            fits = got is not None if want == "*" else got == want
            if want == "=":
                fits = got is not None and got == before
            elif want == "!":
                fits = got is not None and got != before
            if not fits:
                differs(f"header {name}", got, want)
        for name in expected.get("absent", []):
            if name in request.headers:
                differs(f"header {name}", request.headers[name], None)
        if "body" in expected:
            body = json.loads(request.read() or b"null")
            if body != expected["body"]:
                differs("body", body, expected["body"])
        if request.headers.get("Authorization") not in (None, f"Bearer {KEY}"):
            differs("header Authorization", request.headers["Authorization"], f"Bearer {KEY}")


def _same_target(got: str, want: str) -> bool:
    a, b = urlsplit(got), urlsplit(want)
    return a.path == b.path and sorted(parse_qsl(a.query, True)) == sorted(parse_qsl(b.query, True))


def _answer(answer: Json, request: httpx.Request) -> httpx.Response:
    headers: Dict[str, str] = dict(answer.get("headers", {}))
    fails = answer.get("fails")
    if fails == "refused":
        raise httpx.ConnectError("[Errno 111] Connection refused", request=request)
    if fails == "reset":
        raise httpx.ReadError("[Errno 104] Connection reset by peer", request=request)
    if fails == "timeout":
        raise httpx.ReadTimeout("The read operation timed out", request=request)
    if fails == "certificate":
        try:
            raise ssl.SSLCertVerificationError("certificate verify failed: self-signed certificate")
        except ssl.SSLError as cause:
            raise httpx.ConnectError(str(cause), request=request) from cause
    if fails == "half":
        return httpx.Response(200, headers={"Content-Type": "application/json"}, stream=_Half(b'{"id": "job_'))
    if "stream" in answer:
        headers.setdefault("Content-Type", "text/event-stream")
        text = answer["stream"].encode("utf-8")
        if answer.get("breaks"):
            return httpx.Response(200, headers=headers, stream=_Half(text))
        return httpx.Response(200, headers=headers, content=text)
    if "body" in answer:
        headers.setdefault("Content-Type", "application/json")
        return httpx.Response(answer["status"], headers=headers, content=json.dumps(answer["body"]).encode())
    if "text" in answer:
        headers.setdefault("Content-Type", "text/html")
    return httpx.Response(answer["status"], headers=headers, content=answer.get("text", "").encode("utf-8"))


#: The method of each operation, and the names of the arguments that are the operation's own parameters in its order.
METHODS: Dict[str, str] = {
    "submitJob": "jobs.submit",
    "submitJobBatch": "jobs.submit_batch",
    "listJobs": "jobs.list",
    "getJob": "jobs.get",
    "getJobResult": "jobs.result",
    "streamJobEvents": "jobs.events",
    "cancelJob": "jobs.cancel",
    "runJob": "jobs.run",
    "listJobTypes": "job_types.list",
    "getJobType": "job_types.get",
    "defineJobType": "job_types.define",
    "deleteJobType": "job_types.delete",
    "quoteJob": "quotes.create",
    "getAccount": "account.get",
    "listAccountEntries": "account.entries",
    "getAccountUsage": "account.usage",
    "getAccountErrors": "account.errors",
    "listApiKeys": "api_keys.list",
    "createApiKey": "api_keys.create",
    "getApiKey": "api_keys.get",
    "revokeApiKey": "api_keys.revoke",
    "rotateApiKey": "api_keys.rotate",
    "listClients": "clients.list",
    "createClient": "clients.create",
    "getClient": "clients.get",
    "updateClient": "clients.update",
    "suspendClient": "clients.suspend",
    "activateClient": "clients.activate",
    "creditClient": "clients.credit",
    "listClientEntries": "clients.entries",
    "getClientUsage": "clients.usage",
    "getClientErrors": "clients.errors",
    "listClientApiKeys": "clients.api_keys.list",
    "createClientApiKey": "clients.api_keys.create",
    "getClientApiKey": "clients.api_keys.get",
    "revokeClientApiKey": "clients.api_keys.revoke",
    "rotateClientApiKey": "clients.api_keys.rotate",
    "listAuditRecords": "audit.list",
    "leaseJobs": "worker.lease",
    "reportJobs": "worker.report",
    "heartbeatJob": "worker.heartbeat",
    "succeedJob": "worker.succeed",
    "failJob": "worker.fail",
    "releaseJob": "worker.release",
    "getHealth": "health",
    "getReadiness": "ready",
    "getOpenAPI": "openapi",
    "wait": "jobs.wait",
    "run": "run",
    "events": "jobs.events",
}


def method_of(client: object, operation: str) -> Callable[..., Any]:
    """The method that does an operation."""
    at: Any = client
    for name in METHODS[operation].split("."):
        at = getattr(at, name)
    return cast("Callable[..., Any]", at)


def _arguments(operation: str, given: Json, options: Json, told: List[float]) -> Json:
    """The keyword arguments of a method for what a case names."""
    arguments = dict(given)
    body = arguments.pop("body", None)
    if operation == "runJob":
        arguments["input"] = body
    elif isinstance(body, dict):
        arguments.update(cast(Json, body))
    if "from" in arguments:
        arguments["from_"] = arguments.pop("from")
    if operation in ("wait", "run") and arguments.pop("progress", None):
        arguments["on_progress"] = told.append
    if "idempotency_key" in options:
        arguments["idempotency_key"] = options["idempotency_key"]
    return arguments


def _options(options: Json) -> Json:
    return {name: options[name] for name in ("timeout", "deadline", "max_attempts") if name in options}


def _unfold(value: Any) -> Any:
    """A value that a method returned, as JSON."""
    if isinstance(value, (tallygate.models.Model, tallygate.Page)):
        return value.to_dict()
    if isinstance(value, list):
        return [_unfold(item) for item in cast("List[Any]", value)]
    return value


def _holds(got: Any, want: Any) -> bool:
    """Whether every member that is named is there, and equal."""
    if isinstance(want, dict) and isinstance(got, dict):
        got_, want_ = cast(Json, got), cast(Json, want)
        return all(name in got_ and _holds(got_[name], of) for name, of in want_.items())
    if isinstance(want, list) and isinstance(got, list):
        got__, want__ = cast("List[Any]", got), cast("List[Any]", want)
        return len(got__) == len(want__) and all(map(_holds, got__, want__))
    return bool(got == want) and isinstance(got, bool) == isinstance(want, bool)


def _kind(error: BaseException) -> str:
    if isinstance(error, (tallygate.CallCancelledError, asyncio.CancelledError)):
        return "cancelled"
    for kind, name in [
        (tallygate.ConnectionFailedError, "connection"),
        (tallygate.AttemptTimeoutError, "timeout"),
        (tallygate.UnexpectedAnswerError, "unexpected_answer"),
        (tallygate.WaitTimeoutError, "wait_timeout"),
        (tallygate.JobCancelledError, "job_cancelled"),
        (tallygate.InvalidWebhookError, "invalid_webhook"),
    ]:
        if isinstance(error, kind):
            return name
    if type(error) is tallygate.APIError:
        return "unknown_code"
    for code, kind in BY_CODE.items():
        if type(error) is kind:
            return code
    raise error


def _compare(call: Json, came: Any, error: Optional[BaseException], told: List[float]) -> Iterator[str]:
    what = call["operation"]
    if "told" in call and told != call["told"]:
        yield f"{what} told {told}, not {call['told']}"
    want = call.get("raises")
    if want is None:
        if error is not None:
            yield f"{what} raised {error!r}"
        elif "returns" in call and not _holds(came, call["returns"]):
            yield f"{what} returned {came!r}, not {call['returns']!r}"
        return
    if error is None:
        yield f"{what} returned {came!r} and did not raise {want!r}"
        return
    got: Json = {"type": _kind(error), "job": getattr(getattr(error, "job", None), "id", None)}
    for name in ("code", "status", "request_id", "retry_after", "attempts"):
        got[name] = getattr(error, name, None)
    for name, of in want.items():
        if name == "message":
            if of not in getattr(error, "message", ""):
                yield f"{what} raised {error!r} without {of!r} in its message"
        elif got[name] != of:
            yield f"{what} raised {error!r} with {name} {got[name]!r}, not {of!r}"


class _Lines(logging.Handler):
    """Everything that the package logs."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: List[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@dataclass
class Case:
    """One case that is replayed."""

    case: Json
    clock: Clock = field(init=False)
    server: Server = field(init=False)
    logs: _Lines = field(init=False)
    printed: List[str] = field(init=False)

    def __post_init__(self) -> None:
        self.clock = Clock(self.case.get("random", [0.5]))
        self.server = Server(self.clock, self.case.get("exchanges", []))
        self.logs = _Lines()
        self.printed = []

    def calls(self) -> List[Json]:
        if "calls" in self.case:
            return cast("List[Json]", self.case["calls"])
        shared = {name: self.case[name] for name in ("returns", "raises", "told") if name in self.case}
        return [{**self.case["call"], **shared}]

    def settings(self) -> Json:
        """How a client of the case is made."""

        def hear(info: object) -> None:
            self.printed.append(repr(info))

        return {
            "url": "http://server.test", "key": KEY, **self.case.get("client", {}), "_world": self.clock,
            "on_request": hear, "on_answer": hear, "on_retry": hear,
        }  # fmt: skip

    def judge(self, call: Json, came: Any, error: Optional[BaseException], told: List[float]) -> None:
        self.printed += (
            [repr(came), str(came)] if error is None else [repr(error), str(error), getattr(error, "message", "")]
        )
        self.server.faults += _compare(call, _unfold(came), error, told)
        self.clock.waited = 0

    def end(self, client: object) -> None:
        """Raises where anything was not as the case says."""
        self.printed += [repr(client), str(client), *self.logs.lines]
        missed = len(self.server.exchanges) - len(self.server.seen)
        if missed > 0:
            self.server.faults.append(f"{missed} requests did not come")
        for secret in [KEY, *self.case.get("hides", [])]:
            self.server.faults += [f"{secret} is in {line!r}" for line in self.printed if secret in line]
        assert not self.server.faults, "\n".join(self.server.faults)

    def __enter__(self) -> Case:
        logger = logging.getLogger("tallygate")
        logger.addHandler(self.logs)
        logger.setLevel(logging.DEBUG)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("tallygate").removeHandler(self.logs)


def _verify(arguments: Mapping[str, Any]) -> None:
    tallygate.webhooks.verify(arguments["payload"], arguments["headers"], arguments["secret"], now=arguments.get("now"))


def replay(case: Json) -> None:
    """Replays a case with the blocking client."""
    with Case(case) as playing, httpx.Client(transport=playing.server) as http:
        client = tallygate.Tallygate(http_client=http, **playing.settings())
        for call in playing.calls():
            told: List[float] = []
            cancellation: Optional[tallygate.Cancellation] = None
            if "cancel_after" in call:
                cancellation = tallygate.Cancellation()
                playing.clock.give_up = cancellation.cancel
                playing.clock.give_up_at = playing.clock.time + parse_nanoseconds(call["cancel_after"])
            came, error = None, None
            try:
                came = _call(client, call, told, cancellation)
            except Exception as raised:
                error = raised
            playing.judge(call, came, error, told)
        playing.end(client)


def _call(
    client: tallygate.Tallygate, call: Json, told: List[float], cancellation: Optional[tallygate.Cancellation]
) -> Any:
    operation: str = call["operation"]
    given: Json = call.get("arguments") or {}
    options: Json = call.get("options") or {}
    if operation == "verify":
        return _verify(given)
    client = client.with_options(**_options(options), cancellation=cancellation)
    every, operation = operation.startswith("all:"), operation[operation.find(":") + 1 :]
    came = method_of(client, operation)(**_arguments(operation, given, options, told))
    if isinstance(came, tallygate.Pages):
        pages = cast("tallygate.Pages[Any]", came)
        return list(pages) if every else pages.page()
    return list(cast("Iterator[Any]", came)) if inspect.isgenerator(came) else came


async def areplay(case: Json) -> None:
    """Replays a case with the asynchronous client."""
    with Case(case) as playing:
        async with httpx.AsyncClient(transport=playing.server) as http:
            client = tallygate.AsyncTallygate(http_client=http, **playing.settings())
            for call in playing.calls():
                told: List[float] = []
                came, error = None, None
                task = asyncio.ensure_future(_acall(client, call, told))
                if "cancel_after" in call:
                    playing.clock.give_up = task.cancel
                    playing.clock.give_up_at = playing.clock.time + parse_nanoseconds(call["cancel_after"])
                try:
                    came = await task
                except (Exception, asyncio.CancelledError) as raised:
                    error = raised
                playing.judge(call, came, error, told)
            playing.end(client)


async def _acall(client: tallygate.AsyncTallygate, call: Json, told: List[float]) -> Any:
    operation: str = call["operation"]
    given: Json = call.get("arguments") or {}
    options: Json = call.get("options") or {}
    if operation == "verify":
        return _verify(given)
    client = client.with_options(**_options(options))
    every, operation = operation.startswith("all:"), operation[operation.find(":") + 1 :]
    came = method_of(client, operation)(**_arguments(operation, given, options, told))
    if isinstance(came, tallygate.AsyncPages):
        pages = cast("tallygate.AsyncPages[Any]", came)
        return [item async for item in pages] if every else await pages.page()
    if inspect.isasyncgen(came):
        return [item async for item in came]
    return await came
