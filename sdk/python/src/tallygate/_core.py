"""Calls as pure code: what is sent, what an answer means, what comes next.

A call is a generator of steps. A driver, blocking or asynchronous, carries each step out and sends back what came of
it; it decides nothing. So there is one implementation of everything, and two small drivers (``_drive.py``).
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, Generator, Generic, List, Mapping, Optional, Tuple, TypeVar, Union, cast
from urllib.parse import quote, urlencode, urlsplit

from . import _hooks
from ._policy import Budget, Limits, Persistence, retries, retry_after
from ._sse import Parser
from ._values import SECOND
from ._version import __version__
from ._world import World
from .errors import (
    BY_CODE,
    APIError,
    AttemptTimeoutError,
    ConnectionFailedError,
    JobCancelledError,
    TallygateError,
    UnexpectedAnswerError,
    WaitTimeoutError,
)
from .models import Job, JobEvent, M, Page

T = TypeVar("T")

DEFAULT_URL = "http://127.0.0.1:8080"
POLL = 30 * SECOND  # what a wait for a job asks the server to wait
_NOT_SO = (ValueError, TypeError, KeyError, AttributeError, RecursionError)  # what reading other JSON raises
QUOTED = 200  # characters of an unexpected answer in a message


@dataclass(frozen=True)
class Request:
    """What is sent."""

    method: str
    url: str
    headers: Dict[str, str] = field(repr=False)
    content: Optional[bytes] = field(repr=False, default=None)


@dataclass(frozen=True)
class Answer:
    """What came back. ``broken`` says how it broke off, where it did; ``stream`` that the body is yet to come."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False, default=b"")
    broken: Optional[TallygateError] = None
    stream: bool = False


@dataclass(frozen=True)
class Send:
    """Send a request; gives an Answer, or the error that stands for none. ``stream`` leaves the body of an event stream
    to be read by Read."""

    request: Request
    bound: int
    stream: bool = False


@dataclass(frozen=True)
class Read:
    """Read the next piece of the stream that is open; gives bytes, None at its end, or an error."""

    bound: int


@dataclass(frozen=True)
class Pause:
    """Wait."""

    time: int


@dataclass(frozen=True)
class Emit(Generic[T]):
    """Hand an item to whoever iterates."""

    item: T


Step = Union[Send, Read, Pause]
Steps = Generator[Step, Any, T]
Items = Generator[Union[Step, Emit[T]], Any, None]


@dataclass(frozen=True)
class Call(Generic[T]):
    """One operation of the API, with its arguments."""

    method: str
    path: str
    parse: Callable[[Any], T]
    query: Tuple[Tuple[str, str], ...] = ()
    body: Optional[bytes] = field(repr=False, default=None)
    wait: int = 0
    takes_key: bool = False
    idempotency_key: Optional[str] = None
    headers: Tuple[Tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Session:
    """What all calls of a client object share."""

    base_url: str
    key: str = field(repr=False)
    limits: Limits
    budget: Budget = field(repr=False)
    world: World = field(repr=False)
    hooks: _hooks.Hooks = field(repr=False)


def base_url(url: str) -> str:
    """The address without its last slash. Raises ValueError where it is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not the address of a server: write it as http://HOST:PORT or https://HOST")
    if parts.username is not None or parts.password is not None:
        raise ValueError("the address of a server may not hold a user or password: the key is sent by itself")
    if parts.query or parts.fragment:
        raise ValueError(f"{url!r} is not the address of a server: it has a query or fragment")
    return url.rstrip("/")


def path(*segments: str) -> str:
    """A path of the API from segments; those that begin with a slash stand as they are."""
    written: List[str] = []
    for segment in segments:
        if segment.startswith("/"):
            written.append(segment)
        elif segment in ("", ".", ".."):
            raise ValueError(f"{segment!r} is no id or name")
        else:
            written.append("/" + quote(segment, safe=""))
    return "".join(written)


def encode(value: Any) -> bytes:
    """JSON as it is sent: UTF-8, without what JSON does not have."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")


def _request(session: Session, call: Call[Any]) -> Request:
    headers = {"User-Agent": f"tallygate-python/{__version__}", "Accept": "application/json"}
    if session.key:
        headers["Authorization"] = f"Bearer {session.key}"
    if call.body is not None:
        headers["Content-Type"] = "application/json"
    if call.takes_key:
        key = secrets.token_urlsafe(24) if call.idempotency_key is None else call.idempotency_key
        if re.fullmatch(r"[\x21-\x7e]{1,255}", key) is None:
            raise ValueError("an idempotency key has 1 to 255 visible ASCII characters")
        headers["Idempotency-Key"] = key
    headers.update(call.headers)
    url = session.base_url + call.path
    if call.query:
        url += "?" + urlencode(call.query, quote_via=quote)
    return Request(call.method, url, headers, call.body)


class _Attempts:
    """The attempts of one call: sends, judges, tells the hooks, and waits."""

    def __init__(self, session: Session, call: Call[Any]) -> None:
        self.session = session
        self.request = _request(session, call)
        self.persistence = Persistence(session.limits, session.budget, session.world, call.wait)

    def send(self, stream: bool = False) -> Steps[Union[Answer, TallygateError]]:
        bound = self.persistence.attempt()
        hooks, attempt = self.session.hooks, self.persistence.attempts
        hooks.request(_hooks.RequestInfo(self.request.method, self.request.url, attempt))
        started = self.session.world.now()
        answer: Union[Answer, TallygateError] = yield Send(self.request, bound, stream)
        elapsed = (self.session.world.now() - started) / SECOND
        if isinstance(answer, Answer):
            hooks.answer(
                _hooks.AnswerInfo(
                    self.request.method, self.request.url, attempt, answer.status,
                    answer.headers.get("X-Request-Id"), elapsed,
                )
            )  # fmt: skip
        return answer

    def failed(self, error: TallygateError, retry: bool) -> Steps[None]:
        """Waits for another attempt, or raises the error."""
        error.message = self.hide(error.message)
        wait = self.persistence.failed(error, retry)
        self.session.hooks.retry(
            _hooks.RetryInfo(self.request.method, self.request.url, error.attempts, error, wait / SECOND)
        )
        yield Pause(wait)

    def refused(self, answer: Answer) -> Steps[None]:
        """Judges an answer that is no success."""
        error = refusal(answer, self.session.world.wall())
        yield from self.failed(error, retries(answer.status, answer.headers, error.code))

    def hide(self, text: str) -> str:
        return text.replace(self.session.key, "…") if self.session.key else text


def perform(session: Session, call: Call[T]) -> Steps[T]:
    """A call with the policy: gives what it answers, or raises."""
    value, _, _ = yield from perform_fully(session, call)
    return value


def perform_fully(session: Session, call: Call[T]) -> Steps[Tuple[T, Answer, int]]:
    """Like perform; gives the answer and the number of attempts, too."""
    attempts = _Attempts(session, call)
    while True:
        answer = yield from attempts.send()
        if isinstance(answer, TallygateError):
            yield from attempts.failed(answer, may_pass(answer))
            continue
        if answer.status != 200:
            yield from attempts.refused(answer)
            continue
        if answer.broken is not None:
            yield from attempts.failed(answer.broken, _may_repeat(answer))
            continue
        try:
            value = call.parse(json.loads(answer.body))
        except _NOT_SO:
            yield from attempts.failed(unexpected(answer, "not the JSON of a Tallygate server"), _may_repeat(answer))
            continue
        attempts.persistence.succeeded()
        return value, answer, attempts.persistence.attempts


def may_pass(error: TallygateError) -> bool:
    """Whether a failure to get an answer may pass: one to trust the server does not."""
    return not getattr(error, "final", False)


def _may_repeat(answer: Answer) -> bool:
    return answer.headers.get("X-Should-Retry", "").strip().lower() != "false"


def refusal(answer: Answer, wall: int) -> TallygateError:
    """The error that an answer with another status than 200 is."""
    wait = retry_after(answer.headers, wall)
    try:
        envelope = json.loads(answer.body)["error"]
        code, message = envelope["code"], envelope.get("message") or ""
    except _NOT_SO:
        code, message = None, ""
    if not isinstance(code, str) or not isinstance(message, str):
        error = unexpected(answer, "without the error that a Tallygate server tells")
        error.retry_after = wait
        return error
    return BY_CODE.get(code, APIError)(
        message,
        code=code,
        status=answer.status,
        request_id=answer.headers.get("X-Request-Id"),
        retry_after=wait,
        headers=answer.headers,
        body=answer.body,
    )


def unexpected(answer: Answer, what: str) -> TallygateError:
    """The error that an answer is which no Tallygate server gives."""
    text = " ".join(answer.body[: 4 * QUOTED].decode("utf-8", "replace").split())
    quoted = f": {text[:QUOTED]}{'…' if len(text) > QUOTED else ''}" if text else ""
    return UnexpectedAnswerError(
        f"{answer.status} {what}{quoted}",
        status=answer.status,
        request_id=answer.headers.get("X-Request-Id"),
        headers=answer.headers,
        body=answer.body,
    )


def pages(session: Session, call: Call[Page[M]]) -> Items[Page[M]]:
    """A list, page by page."""
    while True:
        page = yield from perform(session, call)
        yield Emit(page)
        if page.next_cursor is None:
            return
        query = tuple(pair for pair in call.query if pair[0] != "cursor")
        call = replace(call, query=(*query, ("cursor", page.next_cursor)))


def items(session: Session, call: Call[Page[M]]) -> Items[M]:
    """A list, item by item."""
    walk = pages(session, call)
    step = next(walk)
    try:
        while True:
            if isinstance(step, Emit):
                for item in step.item:
                    yield Emit(item)
                step = walk.send(None)
            else:
                step = walk.send((yield step))
    except StopIteration:
        return


def events(session: Session, call: Call[JobEvent], last_id: Optional[str]) -> Items[JobEvent]:
    """A job's events up to its last, over as many streams as it takes."""
    attempts = _Attempts(session, call)
    while True:
        if last_id is not None:
            attempts.request.headers["Last-Event-ID"] = last_id
        answer = yield from attempts.send(stream=True)
        if isinstance(answer, TallygateError):
            yield from attempts.failed(answer, may_pass(answer))
            continue
        if answer.status == 204:  # the job has ended, and its last event was known
            attempts.persistence.succeeded()
            return
        if answer.status != 200:
            yield from attempts.refused(answer)
            continue
        if not answer.stream:
            error = answer.broken or unexpected(answer, "not the event stream that was asked for")
            yield from attempts.failed(error, _may_repeat(answer))
            continue
        parser, fresh = Parser(last_id), True
        while True:
            piece: Union[bytes, TallygateError, None] = yield Read(session.limits.timeout)
            if not isinstance(piece, bytes):
                break
            for told in parser.feed(piece):
                event = _event(told.data)
                if event is None:
                    continue
                last_id = told.id
                event.__dict__["_stream_id"] = last_id
                if fresh:
                    attempts.persistence.succeeded()
                    fresh = False
                yield Emit(event)
                if event.ended:
                    return
                attempts.persistence.begin()
                attempts.persistence.attempts = 1  # the stream that it came from
        yield from attempts.failed(
            piece or ConnectionFailedError("the stream of events ended before the job did"), retry=True
        )


def _event(data: str) -> Optional[JobEvent]:
    try:
        told = json.loads(data)
    except ValueError:
        return None
    return JobEvent(cast("Dict[str, Any]", told)) if isinstance(told, dict) else None


Progress = Callable[[float], object]
Log = Callable[[str], object]


@dataclass
class Waiting:
    """A wait for a job's end."""

    session: Session
    get: Callable[[str, int], Call[Job]]  # the call that asks for a job, given its id and how long to wait
    cancel: Callable[[str], Call[Job]]
    follow: Callable[[str], Call[JobEvent]]
    timeout: Optional[int] = None
    cancel_on_timeout: bool = False
    on_progress: Optional[Progress] = None
    on_log: Optional[Log] = None
    _told: Optional[float] = None
    _end: Optional[int] = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.timeout is not None:
            self._end = self.session.world.now() + self.timeout

    @property
    def follows(self) -> bool:
        """Whether the job's events are wanted, too."""
        return self.on_progress is not None or self.on_log is not None

    def left(self) -> Optional[int]:
        return None if self._end is None else self._end - self.session.world.now()

    def ask(self) -> int:
        """How long to ask the server to wait: whole seconds."""
        left = self.left()
        return POLL if left is None else max(0, min(POLL, -(-left // SECOND) * SECOND))

    def bounded(self) -> Session:
        """The session for a call that ends with the wait."""
        left, limits = self.left(), self.session.limits
        if left is None:
            return self.session
        left = max(0, left)
        deadline = left if limits.deadline is None else min(left, limits.deadline)
        return replace(self.session, limits=replace(limits, deadline=deadline))

    def until_ended(self, job_id: str) -> Steps[Tuple[Job, int]]:
        """The job once it has ended, and the attempts of the last call. Raises WaitTimeoutError past the time."""
        if self.follows:
            yield from self._follow(job_id)
        while True:
            job, _, attempts = yield from perform_fully(self.bounded(), self.get(job_id, self.ask()))
            self.tell(job.get("progress"))
            if job.ended:
                return job, attempts
            left = self.left()
            if left is not None and left <= 0:
                return (yield from self._past(job, attempts))

    def _past(self, job: Job, attempts: int) -> Steps[Tuple[Job, int]]:
        if self.cancel_on_timeout:
            job, _, attempts = yield from perform_fully(self.session, self.cancel(job["id"]))
            if job.get("status") in ("succeeded", "failed"):
                return job, attempts
        seconds = f"{(self.timeout or 0) / SECOND:g}"
        raise WaitTimeoutError(
            f"the job {job.get('id')} is {job.get('status')} after {seconds} s", job=job, attempts=attempts
        )

    def _follow(self, job_id: str) -> Steps[None]:
        """Tells what the job's events tell, as far as the time reaches. That there is no stream is no failure."""
        walk = events(self.bounded(), self.follow(job_id), None)
        try:
            step = next(walk)
            while True:
                left = self.left()
                if left is not None and left <= 0:
                    return
                if isinstance(step, Emit):
                    self._hear(step.item)
                    step = walk.send(None)
                    continue
                if left is not None:
                    if isinstance(step, Pause) and step.time >= left:
                        return
                    if isinstance(step, (Send, Read)):
                        step = replace(step, bound=min(step.bound, left))
                step = walk.send((yield step))
        except (StopIteration, TallygateError):
            return
        finally:
            walk.close()

    def _hear(self, event: JobEvent) -> None:
        self.tell(event.progress)
        if self.on_log is not None and isinstance(event.line, str):
            self.on_log(event.line)

    def tell(self, progress: object) -> None:
        if self.on_progress is None or not isinstance(progress, (int, float)) or progress == self._told:
            return
        self._told = progress
        self.on_progress(progress)


def wait(waiting: Waiting, job_id: str) -> Steps[Job]:
    """Waits for a job."""
    job, _ = yield from waiting.until_ended(job_id)
    return job


def run(waiting: Waiting, submit: Callable[[Optional[int]], Call[Job]]) -> Steps[Any]:
    """Submits a job, waits for it, and gives its result or raises what it ended in."""
    wait = None if waiting.follows else waiting.ask()
    job, _, attempts = yield from perform_fully(waiting.bounded(), submit(wait))
    if not job.ended:
        left = waiting.left()
        if left is not None and left <= 0:
            job, attempts = yield from waiting._past(job, attempts)
        else:
            job, attempts = yield from waiting.until_ended(job["id"])
    else:
        waiting.tell(job.get("progress"))
    return result(job, attempts)


def result(job: Job, attempts: int) -> Any:
    """The result of a job that has ended; raises the error that stands for it."""
    status = job.get("status")
    if status == "succeeded":
        return job.get("result")
    if status == "cancelled":
        raise JobCancelledError(f"the job {job.get('id')} was cancelled and has no result", job=job, attempts=attempts)
    told: Dict[str, Any] = job.get("error") or {}
    code = told.get("code") or "PROCESSING_FAILED"
    raise BY_CODE.get(code, APIError)(
        told.get("message") or "the job failed",
        code=code,
        status=500,
        attempts=attempts,
        headers={"X-Should-Retry": "false"},
    )


def timed_out(bound: int) -> AttemptTimeoutError:
    """The error of an attempt that took too long."""
    return AttemptTimeoutError(f"no answer within {bound / SECOND:g} s")


def connection_failed(cause: BaseException, final: bool = False) -> ConnectionFailedError:
    """The error of an attempt that no answer came of. One that is final will not pass."""
    error = ConnectionFailedError(f"no answer: {str(cause) or type(cause).__name__}")
    error.__cause__ = cause
    error.final = final
    return error
