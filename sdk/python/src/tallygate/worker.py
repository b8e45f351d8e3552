"""The worker loop: takes jobs, does them with handlers, keeps their leases, reports how they ended.

There is one loop, on asyncio. ``AsyncWorker.run`` awaits it and ``Worker.run`` blocks on it; under either, a handler
that is a coroutine function runs as a task, and any other in a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import signal
import socket
import threading
from collections import deque
from typing import (
    Any,
    Awaitable,
    Callable,
    Coroutine,
    Deque,
    Dict,
    Generator,
    List,
    Mapping,
    Optional,
    Set,
    Tuple,
    TypeVar,
    cast,
)

import httpx

from . import _core, _routes
from ._async_client import AsyncTallygate
from ._client import Tallygate
from ._policy import http_date
from ._values import SECOND, Duration, duration_text, nanoseconds
from .errors import APIError, AttemptCancelledError, TallygateError
from .inputs import LeaseRequest, Report
from .models import Job, Lease

T = TypeVar("T")
logger = logging.getLogger("tallygate.worker")

CANCEL_REQUESTED = "cancel_requested"
LEASE_LOST = "lease_lost"
SHUTDOWN = "shutdown"

_MOST_LEASES = 1000
_MOST_REPORTS = 1000
_MOST_BATCH = 1 << 20  # bytes of the results of one batch, well below what a server takes
_MOST_LINES, _MOST_LINE, _MOST_MESSAGE = 100, 4000, 4000  # lines of one heartbeat, bytes of a line and of a message
_LIVELY = SECOND  # progress and lines are told no more often than this
_LAST_WORDS = 10 * SECOND  # to report what is left when a worker ends
_AFTER_CANCEL = 2 * SECOND  # for handlers to end once they are told to


class FinalError(Exception):
    """Raised by a handler: the job fails, and is not tried again. The message is shown to whoever submitted it; the
    code is PROCESSING_FAILED, or EXTERNAL_SERVICE_ERROR where another service is at fault."""

    def __init__(self, message: str, *, code: str = "PROCESSING_FAILED") -> None:
        super().__init__(message)
        self.code = code


class RetryLater(Exception):
    """Raised by a handler: the attempt fails and another follows, no sooner than ``after``."""

    def __init__(self, message: str, *, after: Optional[Duration] = None, code: str = "PROCESSING_FAILED") -> None:
        super().__init__(message)
        self.after = after
        self.code = code


class Attempt:
    """One attempt at a job, as its handler sees it. All of it may be used from any thread."""

    def __init__(self, lease: Lease, news: Callable[[], None]) -> None:
        self.lease = lease
        self.job: Job = lease.job
        self._news = news
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._reason: Optional[str] = None
        self._progress: Optional[float] = None
        self._lines: Deque[str] = deque()
        self._units: Dict[str, int] = {}

    @property
    def input(self) -> Any:
        """The job's input."""
        return self.job.input

    @property
    def number(self) -> int:
        """Which attempt at the job this is, from 1."""
        return self.lease.attempt

    def progress(self, done: float) -> None:
        """Tells how much is done, from 0 to 1. Goes out within a second or so."""
        if not 0 <= done <= 1:
            raise ValueError("progress goes from 0 to 1")
        with self._lock:
            self._progress = done
        self._news()

    def log(self, line: str) -> None:
        """Tells a line to those who follow the job's events."""
        with self._lock:
            self._lines.append(line)
        self._news()

    def use(self, **units: int) -> None:
        """Adds to the units that the job used, which are what it is charged for if it succeeds: ``use(page=12)``."""
        with self._lock:
            for name, count in units.items():
                if count < 0:
                    raise ValueError("units are not given back")
                self._units[name] = self._units.get(name, 0) + count

    @property
    def cancelled(self) -> bool:
        """Whether to stop, since nobody waits for the result any more. A coroutine is cancelled by itself."""
        return self._cancelled.is_set()

    @property
    def reason(self) -> Optional[str]:
        """Why to stop: ``cancel_requested`` by the client, ``lease_lost``, or ``shutdown`` of the worker."""
        return self._reason

    def check(self) -> None:
        """Raises :class:`tallygate.AttemptCancelledError` if the attempt is cancelled. Let it through."""
        if self.cancelled:
            raise AttemptCancelledError(f"the attempt was cancelled: {self._reason}")

    def wait(self, seconds: float) -> bool:
        """Sleeps, less long where the attempt is cancelled; returns whether it is. Not for coroutines."""
        return self._cancelled.wait(seconds)

    def _cancel(self, reason: str) -> None:
        if not self.cancelled:
            self._reason = reason
            self._cancelled.set()

    def _take(self) -> Tuple[Optional[float], List[str]]:
        """What is to be told with the next heartbeat."""
        with self._lock:
            progress, self._progress = self._progress, None
            lines = [self._lines.popleft() for _ in range(min(len(self._lines), _MOST_LINES))]
        return progress, [_cut(line, _MOST_LINE) for line in lines]

    def _put_back(self, progress: Optional[float], lines: List[str]) -> None:
        """Keeps what could not be told for the next heartbeat."""
        with self._lock:
            self._lines.extendleft(reversed(lines))
            if self._progress is None:
                self._progress = progress

    @property
    def _quiet(self) -> bool:
        return self._progress is None and not self._lines

    def __repr__(self) -> str:
        return f"Attempt({self.job.get('id')!r}, number={self.lease.get('attempt')!r})"


Handler = Callable[[Attempt], Any]
H = TypeVar("H", bound=Handler)


def _cut(text: str, most: int) -> str:
    """The text without what is past that many bytes."""
    return text.encode("utf-8", "replace")[:most].decode("utf-8", "ignore")


class _Held:
    """A lease that the worker holds."""

    def __init__(self, lease: Lease, length: int, now: int, loop: asyncio.AbstractEventLoop) -> None:
        self.lease = lease
        self.length = length
        self.end = now + length
        self.news = asyncio.Event()
        self.attempt = Attempt(lease, self._hear)
        self.lost = False
        self.ended = False  # what is left is to report it
        self.telling = asyncio.Lock()  # one heartbeat at a time, so that lines stay in order
        self.awaited = False
        self.work: Optional[asyncio.Future[Any]] = None
        self.life: Optional[asyncio.Task[None]] = None  # kept, so that it is not collected
        self.beats: Optional[asyncio.Task[None]] = None
        self._loop = loop

    @property
    def id(self) -> str:
        return str(self.lease.job["id"])

    @property
    def token(self) -> str:
        return str(self.lease["token"])

    def cancel(self, reason: str) -> None:
        """Tells the handler to stop."""
        self.lost = self.lost or reason == LEASE_LOST
        self.attempt._cancel(reason)
        if self.work is not None and self.awaited:
            self.work.cancel()

    def _hear(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the attempt was given up
            self._loop.call_soon_threadsafe(self.news.set)


async def _first(event: asyncio.Event, timeout: float) -> None:
    """Waits until the event is set or the time is over."""
    task = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({task}, timeout=timeout)
    finally:
        task.cancel()


class _Loop:
    """The life of one worker."""

    def __init__(self, client: AsyncTallygate, settings: _Settings) -> None:
        self._client = client
        self._world = client._session.world
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._free = settings.concurrency  # places that nothing is asked for yet
        self._held: Set[_Held] = set()
        self._reports: Deque[Tuple[_Held, Report]] = deque()
        self._stopping = False
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()  # a second signal: do not wait for what is at work
        self._place = asyncio.Event()
        self._report = asyncio.Event()
        self._idle = asyncio.Event()
        self._failure: Optional[BaseException] = None
        self._reporter: Optional[asyncio.Future[None]] = None

    def stop(self) -> None:
        """Begins to drain; called again, hurries."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def run(self) -> None:
        """Works until it is stopped, then drains. Raises what makes it useless to go on."""
        puller = asyncio.ensure_future(self._guard(self._pull()))
        reporter = self._reporter = asyncio.ensure_future(self._guard(self._settle()))
        try:
            await self._stop.wait()
            self._stopping = True
            await self._end(puller)
            await self._drain(self._settings.drain)
        except asyncio.CancelledError:
            self._stopping = True
            await self._end(puller)
            await self._drain(0)
            raise
        finally:
            await self._end(reporter)
        if self._failure is not None:
            raise self._failure

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as failure:
            self._failure = self._failure or failure
            self._stop.set()

    @staticmethod
    async def _end(task: asyncio.Future[None]) -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _drain(self, patience: int) -> None:
        """Gives handlers time to end, tells those that do not to stop, and releases what is left."""
        if patience > 0:
            await self._emptied(patience, unless=self._hurry)
        for held in list(self._held):
            held.cancel(SHUTDOWN)
        await self._emptied(_AFTER_CANCEL)
        for held in self._held:  # threads that do not heed it: what they return is dropped
            if held.work is not None:
                held.work.cancel()
        await self._emptied(_LAST_WORDS)
        for held in list(self._held):
            logger.warning("job %s could not be reported; its lease ends by itself", held.id)
            self._drop(held)

    async def _emptied(self, patience: int, unless: Optional[asyncio.Event] = None) -> None:
        """Waits until nothing is held."""
        end = self._world.now() + patience
        while self._held and not (unless is not None and unless.is_set()):
            if self._reporter is None or self._reporter.done():
                return  # nothing can be reported
            left = end - self._world.now()
            if left <= 0:
                return
            self._idle.clear()
            if unless is None:
                await _first(self._idle, left / SECOND)
                continue
            tasks = {asyncio.ensure_future(self._idle.wait()), asyncio.ensure_future(unless.wait())}
            try:
                await asyncio.wait(tasks, timeout=left / SECOND, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()

    # Taking jobs.

    def _asks(self, places: int, wait: Optional[int]) -> LeaseRequest:
        types = list(self._settings.handlers)
        return _routes.lease_request(types, places, None if wait is None else f"{wait // SECOND}s", self._settings.name)

    async def _pull(self) -> None:
        """Asks for as many jobs as there are places, again and again."""
        failures = 0
        while True:
            while self._free <= 0:
                self._place.clear()
                await self._place.wait()
            places = min(self._free, _MOST_LEASES)
            self._free -= places
            came = 0
            try:
                call = _routes.lease_jobs(self._asks(places, self._settings.wait))
                leases, answer, _ = await self._client._driver.run(_core.perform_fully(self._client._session, call))
                came, failures = len(leases.leases), 0
                self._begin(leases.leases, answer)
            except TallygateError as error:
                failures += 1
                await self._outlast(error, failures)
            finally:
                self._free += places - came

    async def _outlast(self, error: TallygateError, failures: int) -> None:
        """Waits where a failure may pass, which is as long as it takes: a worker outlives its server."""
        if isinstance(error, APIError) and not _transient(error):
            raise error
        if not _core.may_pass(error):
            raise error
        pause = error.retry_after or min(30.0, 2.0 ** min(failures, 5)) * (0.5 + self._world.chance() / 2)
        logger.warning("no jobs to be had: %s; again in %.1f s", error, pause)
        await self._world.asleep(pause)

    def _begin(self, leases: List[Lease], answer: _core.Answer) -> None:
        wall, now = self._world.wall(), self._world.now()
        told = http_date(answer.headers.get("Date", ""), wall)
        for lease in leases:
            length = round(lease.expires_at.timestamp() * SECOND) - (wall if told is None else told)
            held = _Held(lease, min(max(length, SECOND // 10), 3600 * SECOND), now, self._loop)
            self._held.add(held)
            if self._stopping:
                self._settle_as(held, _released(held))
                continue
            held.beats = self._loop.create_task(self._beat(held))
            held.life = self._loop.create_task(self._live(held))

    async def _live(self, held: _Held) -> None:
        """Does a job and has it reported."""
        report = await self._work(held)
        if held.lost or report is None:
            self._drop(held)
            return
        while held.attempt._lines and not held.lost:  # a report carries no lines
            if not await self._tell(held):
                break
        self._settle_as(held, report)

    def _settle_as(self, held: _Held, report: Report) -> None:
        held.ended = True
        self._reports.append((held, report))
        self._report.set()

    def _drop(self, held: _Held) -> None:
        """Forgets a lease, and gives its place back."""
        if held not in self._held:
            return
        self._held.discard(held)
        if held.beats is not None:
            held.beats.cancel()
        self._free += 1
        self._place.set()
        if not self._held:
            self._idle.set()

    async def _work(self, held: _Held) -> Optional[Report]:
        """Runs the handler and tells how the attempt ended."""
        attempt = held.attempt
        handler = self._settings.handlers[str(held.lease.job["type"])]
        held.awaited = _is_coroutine(handler)
        held.work = self._loop.create_task(_invoke(handler, attempt))
        try:
            result = await held.work
        except (AttemptCancelledError, asyncio.CancelledError):
            if not attempt.cancelled:
                raise
            return _released(held)
        except Exception as error:
            if not isinstance(error, (FinalError, RetryLater)):
                logger.exception("job %s, attempt %d failed", held.id, attempt.number)
            return self._failed(held, error)
        try:
            _core.encode(result)
        except (TypeError, ValueError, RecursionError) as error:
            logger.error("job %s: the result is not JSON: %s", held.id, error)
            return self._failed(held, FinalError(f"the worker's result is not JSON: {error}"))
        report: Report = {"job_id": held.id, "token": held.token, "outcome": "succeeded", "result": result}
        if attempt._units:
            report["units"] = dict(attempt._units)
        return report

    def _failed(self, held: _Held, error: Exception) -> Report:
        message = str(error) if isinstance(error, (FinalError, RetryLater)) else self._settings.describe(error)
        code = error.code if isinstance(error, (FinalError, RetryLater)) else "PROCESSING_FAILED"
        report: Report = {
            "job_id": held.id,
            "token": held.token,
            "outcome": "failed",
            "error": {"message": _cut(message.strip(), _MOST_MESSAGE) or type(error).__name__, "code": code},
            "retry": not isinstance(error, FinalError),
        }
        if isinstance(error, RetryLater) and error.after is not None:
            report["retry_after"] = duration_text(error.after)
        return report

    # Keeping leases.

    async def _beat(self, held: _Held) -> None:
        """Renews a lease at a third of its length, sooner where there is something to tell."""
        told = self._world.now()
        due = told + held.length // 3
        while not held.lost:
            soon = max(told + _LIVELY, self._world.now()) if not held.attempt._quiet else due
            wait = min(soon, due) - self._world.now()
            if wait > 0:
                held.news.clear()
                if held.attempt._quiet:
                    await _first(held.news, wait / SECOND)
                else:
                    await self._world.asleep(wait / SECOND)
                continue
            await self._tell(held)
            told = self._world.now()
            due = told + held.length // 3

    async def _tell(self, held: _Held) -> bool:
        """One heartbeat; whether it was heard."""
        async with held.telling:
            return await self._heartbeat(held)

    async def _heartbeat(self, held: _Held) -> bool:
        progress, lines = held.attempt._take()
        left = max(held.end - self._world.now(), SECOND)
        client = self._client.with_options(deadline=left / SECOND)
        try:
            beat = await client.worker.heartbeat(held.id, held.token, progress=progress, logs=lines or None)
        except TallygateError as error:
            if isinstance(error, APIError) and not _transient(error):
                if held.ended:  # by a report that overtook it
                    return False
                logger.warning("job %s, attempt %s is lost: %s", held.id, held.lease.get("attempt"), error)
                held.cancel(LEASE_LOST)
                return False
            held.attempt._put_back(progress, lines)
            if self._world.now() >= held.end:
                logger.warning("job %s, attempt %s: the lease is over: %s", held.id, held.lease.get("attempt"), error)
                held.cancel(LEASE_LOST)
            return False
        held.end = self._world.now() + held.length
        if beat.cancel_requested:
            held.cancel(CANCEL_REQUESTED)
        return True

    # Reporting.

    async def _settle(self) -> None:
        """Reports what has ended, all that has gathered while the report before was on its way, and takes as many jobs
        as places came free, in one call."""
        failures = 0
        while True:
            if not self._reports:
                self._report.clear()
                await self._report.wait()
            batch = self._batch()
            try:
                await self._send(batch)
                failures = 0
            except TallygateError as error:
                if isinstance(error, APIError) and not _transient(error):
                    await self._refused(batch, error)
                    continue
                self._reports.extendleft(reversed(batch))
                failures += 1
                await self._outlast(error, failures)

    def _batch(self) -> List[Tuple[_Held, Report]]:
        batch: List[Tuple[_Held, Report]] = []
        size = 0
        while self._reports and len(batch) < _MOST_REPORTS:
            size += len(_core.encode(self._reports[0][1].get("result")))
            if batch and size > _MOST_BATCH:
                break
            batch.append(self._reports.popleft())
        return batch

    async def _send(self, batch: List[Tuple[_Held, Report]]) -> None:
        places = 0 if self._stopping else min(len(batch), _MOST_LEASES)
        call = _routes.report_jobs([report for _, report in batch], self._asks(places, None) if places else None)
        reported, answer, _ = await self._client._driver.run(_core.perform_fully(self._client._session, call))
        for (held, report), result in zip(batch, reported.results):
            refused = result.error
            if refused is not None and report["outcome"] == "succeeded" and refused.code == "INVALID_PARAMETER":
                self._settle_as(held, self._failed(held, FinalError(refused.message)))
                continue
            if refused is not None:
                logger.warning("job %s: the report was refused: %s", held.id, refused.message)
            self._drop(held)
        leases: List[Lease] = reported.leases if places else []
        self._free -= len(leases)
        self._begin(leases, answer)

    async def _refused(self, batch: List[Tuple[_Held, Report]], error: APIError) -> None:
        """A call was refused as a whole: each report is sent alone, and one that is too much fails its job."""
        if error.status in (401, 403):
            self._reports.extendleft(reversed(batch))
            raise error
        if len(batch) > 1:
            for one in batch:
                try:
                    await self._send([one])
                except APIError as alone:
                    await self._refused([one], alone)
            return
        held, report = batch[0]
        if report["outcome"] == "succeeded":
            self._settle_as(held, self._failed(held, FinalError(error.message)))
            return
        logger.error("job %s cannot be reported: %s", held.id, error)
        self._drop(held)


def _transient(error: APIError) -> bool:
    """Whether the same call may succeed later."""
    said = error.headers.get("X-Should-Retry", "").strip().lower()
    return said == "true" if said in ("true", "false") else (error.status or 500) >= 429


def _released(held: _Held) -> Report:
    return {"job_id": held.id, "token": held.token, "outcome": "released"}


async def _invoke(handler: Handler, attempt: Attempt) -> Any:
    """Awaits a coroutine function; runs any other in a thread, which ends with the process at the latest."""
    if _is_coroutine(handler):
        return await cast("Awaitable[Any]", handler(attempt))
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Tuple[Any, Optional[BaseException]]] = loop.create_future()

    def tell(value: Any, error: Optional[BaseException]) -> None:
        if not ended.done():
            ended.set_result((value, error))

    def work() -> None:
        value, error = None, None
        try:
            value = handler(attempt)
        except BaseException as raised:
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed: the attempt was given up
            loop.call_soon_threadsafe(tell, value, error)

    threading.Thread(target=work, name=f"tallygate-{attempt.job.get('id')}", daemon=True).start()
    value, error = await ended
    if isinstance(error, Exception):
        raise error
    if error is not None:  # such as SystemExit, which ends a thread and not the worker
        raise RuntimeError(f"the handler raised {type(error).__name__}") from error
    return value


def _is_coroutine(handler: Handler) -> bool:
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__)


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


class _Settings:
    """What a worker is made with."""

    def __init__(
        self,
        handlers: Optional[Mapping[str, Handler]],
        concurrency: int,
        name: Optional[str],
        wait: Duration,
        drain: Duration,
        describe: Callable[[BaseException], str],
        handle_signals: bool,
    ) -> None:
        if concurrency < 1:
            raise ValueError("concurrency must be 1 or more")
        self.handlers: Dict[str, Handler] = dict(handlers or {})
        self.concurrency = concurrency
        self.name = name or socket.gethostname()
        self.wait = -(-nanoseconds(wait) // SECOND) * SECOND
        self.drain = nanoseconds(drain)
        self.describe = describe
        self.handle_signals = handle_signals


class _Worker:
    """What both workers have."""

    def __init__(self, settings: _Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._running: Optional[_Loop] = None
        self._stopped = False

    def handler(self, type: str) -> Callable[[H], H]:
        """Registers a function as what does jobs of a type."""

        def register(function: H) -> H:
            self._settings.handlers[type] = function
            return function

        return register

    def stop(self) -> None:
        """Ends the worker as SIGTERM does. May be called from any thread, before the worker runs, too."""
        with self._lock:
            self._stopped = True
            if self._running is not None:
                with contextlib.suppress(RuntimeError):
                    self._running._loop.call_soon_threadsafe(self._running.stop)

    async def _main(self, client: AsyncTallygate) -> None:
        if not self._settings.handlers:
            raise ValueError("the worker has no handlers: register one with @worker.handler(TYPE)")
        loop = _Loop(client, self._settings)
        with self._lock:
            if self._running is not None:
                raise RuntimeError("the worker runs already")
            self._running = loop
            if self._stopped:
                loop.stop()
        try:
            with _signals(loop) if self._settings.handle_signals else contextlib.nullcontext():
                await loop.run()
        finally:
            with self._lock:
                self._running, self._stopped = None, False


@contextlib.contextmanager
def _signals(loop: _Loop) -> Generator[None, None, None]:
    """Has SIGTERM and SIGINT drain the worker, where this thread is the one that hears them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: Dict[signal.Signals, Any] = {}

    def hear(number: int, frame: object) -> None:
        loop._loop.call_soon_threadsafe(loop.stop)

    for number in (signal.SIGTERM, signal.SIGINT):
        before[number] = signal.signal(number, hear)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class AsyncWorker(_Worker):
    """Does jobs, for asyncio programs: ``await worker.run()``.

    At most ``concurrency`` jobs are at work at once. On SIGTERM, SIGINT or :meth:`stop` it takes no more, gives those
    at work ``drain`` to end, cancels and releases the rest, and returns. ``describe`` makes the message of a failed
    job, which its client reads, of an exception. ``wait`` is how long one call asks the server to wait for jobs.
    """

    def __init__(
        self,
        client: AsyncTallygate,
        handlers: Optional[Mapping[str, Handler]] = None,
        *,
        concurrency: int = 1,
        name: Optional[str] = None,
        wait: Duration = 30.0,
        drain: Duration = 10.0,
        describe: Callable[[BaseException], str] = _describe,
        handle_signals: bool = True,
    ) -> None:
        super().__init__(_Settings(handlers, concurrency, name, wait, drain, describe, handle_signals))
        self._client = client

    async def run(self) -> None:
        """Works until it is stopped. Raises where it is useless to go on, such as with a key that is refused."""
        await self._main(self._client)


class Worker(_Worker):
    """Does jobs: ``worker.run()`` blocks until SIGTERM, SIGINT or :meth:`stop`.

    At most ``concurrency`` jobs are at work at once, each in a thread. When stopped it takes no more, gives those at
    work ``drain`` to end, cancels and releases the rest, and returns. ``describe`` makes the message of a failed job,
    which its client reads, of an exception. ``wait`` is how long one call asks the server to wait for jobs.

    It keeps leases over connections of its own, made as the client's are; for a client that was given an
    ``http_client``, give an asynchronous one here.
    """

    def __init__(
        self,
        client: Tallygate,
        handlers: Optional[Mapping[str, Handler]] = None,
        *,
        concurrency: int = 1,
        name: Optional[str] = None,
        wait: Duration = 30.0,
        drain: Duration = 10.0,
        describe: Callable[[BaseException], str] = _describe,
        handle_signals: bool = True,
        http_client: Optional[httpx.AsyncClient] = None,
    ) -> None:
        if client._http_given and http_client is None:
            raise ValueError("the client has an http_client of its own: give the worker an httpx.AsyncClient, too")
        super().__init__(_Settings(handlers, concurrency, name, wait, drain, describe, handle_signals))
        self._blocking = client
        self._http = http_client

    def run(self) -> None:
        """Works until it is stopped. Raises where it is useless to go on, such as with a key that is refused."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            asyncio.run(self._with_client())
        else:
            raise RuntimeError("an event loop runs here already: use AsyncWorker, and await its run()")

    async def _with_client(self) -> None:
        async with AsyncTallygate._beside(self._blocking._options, self._blocking._session, self._http) as client:
            await self._main(client)
