"""Carries out the steps of ``_core``: over a blocking httpx client, or an asynchronous one. It decides nothing."""

from __future__ import annotations

import asyncio
import contextvars
import ssl
import threading
from typing import (
    Any,
    AsyncIterator,
    Awaitable,
    Callable,
    Dict,
    Iterator,
    List,
    Optional,
    Tuple,
    TypeVar,
    Union,
)

import httpx

from ._core import Answer, Emit, Items, Pause, Request, Send, Step, Steps, connection_failed, timed_out
from ._values import SECOND
from ._world import Cancellation, World
from .errors import TallygateError

T = TypeVar("T")
Came = Union[Answer, bytes, None, TallygateError]


class _Left(Dict[str, Any]):
    """The time-outs of httpx for one request, each of which is what is left of the attempt when its phase begins."""

    def __init__(self, world: World, bound: int) -> None:
        self._world = world
        self.end = world.now() + bound
        super().__init__(dict.fromkeys(("connect", "read", "write", "pool"), bound / SECOND))

    def __getitem__(self, name: str) -> float:
        return max(0.001, (self.end - self._world.now()) / SECOND)

    def get(self, name: str, default: Any = None) -> Any:
        return self[name]

    @property
    def over(self) -> bool:
        return self._world.now() >= self.end


def _built(request: Request, left: _Left) -> httpx.Request:
    """Built by hand: a client's own cookies, authentication and default headers are not to go along."""
    return httpx.Request(
        request.method, request.url, headers=request.headers, content=request.content, extensions={"timeout": left}
    )


def _is_stream(response: httpx.Response) -> bool:
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return response.status_code == 200 and kind == "text/event-stream"


def _failure(cause: Exception, bound: int) -> TallygateError:
    """What stands for an answer that did not come, or not whole."""
    if isinstance(cause, (httpx.TimeoutException, asyncio.TimeoutError, TimeoutError)):
        return timed_out(bound)
    final = isinstance(cause, (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.LocalProtocolError))
    return connection_failed(cause, final or _is_certificate(cause))


def _is_certificate(cause: Optional[BaseException]) -> bool:
    for _ in range(10):
        if cause is None:
            return False
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


_FAILURES = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ssl.SSLError)


def _aside(work: Callable[[], T], bound: float, cancellation: Optional[Cancellation]) -> T:
    """Does the work in a thread and leaves it behind past the bound, or where the call is given up."""
    done = threading.Event()
    came: List[Tuple[Optional[T], Optional[BaseException]]] = []

    def do() -> None:
        try:
            came.append((work(), None))
        except BaseException as error:
            came.append((None, error))
        done.set()

    threading.Thread(target=contextvars.copy_context().run, args=(do,), name="tallygate-call", daemon=True).start()
    if cancellation is None:
        done.wait(bound)
    else:
        with cancellation.wakes(done):
            done.wait(bound)
        cancellation.check()
    if not came:
        raise TimeoutError
    value, error = came[0]
    if error is not None:
        raise error
    return value  # type: ignore[return-value]


class Driver:
    """Blocks until a step is done."""

    def __init__(self, http: httpx.Client, world: World, cancellation: Optional[Cancellation] = None) -> None:
        self._http = http
        self._world = world
        self._cancellation = cancellation

    def run(self, steps: Steps[T]) -> T:
        """What the steps come to."""
        open_stream = _Stream()
        try:
            came: Came = None
            while True:
                came = self._do(steps.send(came), open_stream)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        finally:
            steps.close()
            open_stream.close()

    def iterate(self, steps: Items[T]) -> Iterator[T]:
        """The items that the steps emit."""
        open_stream = _Stream()
        try:
            came: Came = None
            while True:
                try:
                    step = steps.send(came)
                except StopIteration:
                    return
                if isinstance(step, Emit):
                    came = None
                    yield step.item
                else:
                    came = self._do(step, open_stream)
        finally:
            steps.close()
            open_stream.close()

    def _do(self, step: Step, stream: _Stream) -> Came:
        cancellation = self._cancellation
        if cancellation is not None:
            cancellation.check()
        if isinstance(step, Pause):
            self._world.sleep(step.time / SECOND, cancellation)
            if cancellation is not None:
                cancellation.check()
            return None
        try:
            if isinstance(step, Send):
                stream.close()
                if cancellation is None:
                    return self._send(step, stream)
                return _aside(lambda: self._send(step, stream), step.bound / SECOND + 1, cancellation)
            if cancellation is None and step.bound >= stream.bound:
                return stream.read()
            return _aside(stream.read, step.bound / SECOND, cancellation)
        except _FAILURES as cause:
            return _failure(cause, step.bound)

    def _send(self, step: Send, stream: _Stream) -> Answer:
        left = _Left(self._world, step.bound)
        response = self._http.send(_built(step.request, left), stream=True, auth=None, follow_redirects=False)
        if step.stream and _is_stream(response):
            stream.open(response, step.bound)
            return Answer(response.status_code, response.headers, stream=True)
        body = bytearray()
        broken: Optional[TallygateError] = None
        try:
            for piece in response.iter_bytes():
                body += piece
                if left.over:
                    broken = timed_out(step.bound)
                    break
        except _FAILURES as cause:
            broken = _failure(cause, step.bound)
        finally:
            response.close()
        return Answer(response.status_code, response.headers, bytes(body), broken)


class _Stream:
    """The event stream that is open, if one is."""

    def __init__(self) -> None:
        self._response: Optional[httpx.Response] = None
        self._pieces: Iterator[bytes] = iter(())
        self.bound = 0

    def open(self, response: httpx.Response, bound: int) -> None:
        self._response, self._pieces, self.bound = response, response.iter_bytes(), bound

    def read(self) -> Optional[bytes]:
        return next(self._pieces, None)

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None


class AsyncDriver:
    """Awaits until a step is done."""

    def __init__(self, http: httpx.AsyncClient, world: World) -> None:
        self._http = http
        self._world = world

    async def run(self, steps: Steps[T]) -> T:
        """What the steps come to."""
        open_stream = _AsyncStream()
        try:
            came: Came = None
            while True:
                came = await self._do(steps.send(came), open_stream)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        finally:
            steps.close()
            await open_stream.close()

    async def iterate(self, steps: Items[T]) -> AsyncIterator[T]:
        """The items that the steps emit."""
        open_stream = _AsyncStream()
        try:
            came: Came = None
            while True:
                try:
                    step = steps.send(came)
                except StopIteration:
                    return
                if isinstance(step, Emit):
                    came = None
                    yield step.item
                else:
                    came = await self._do(step, open_stream)
        finally:
            steps.close()
            await open_stream.close()

    async def _do(self, step: Step, stream: _AsyncStream) -> Came:
        if isinstance(step, Pause):
            await self._world.asleep(step.time / SECOND)
            return None
        try:
            if isinstance(step, Send):
                await stream.close()
                return await _within(self._send(step, stream), step.bound / SECOND)
            return await _within(stream.read(), step.bound / SECOND)
        except _FAILURES as cause:
            return _failure(cause, step.bound)
        except asyncio.TimeoutError as cause:
            return _failure(cause, step.bound)

    async def _send(self, step: Send, stream: _AsyncStream) -> Answer:
        left = _Left(self._world, step.bound)
        response = await self._http.send(_built(step.request, left), stream=True, auth=None, follow_redirects=False)
        if step.stream and _is_stream(response):
            stream.open(response)
            return Answer(response.status_code, response.headers, stream=True)
        body = bytearray()
        broken: Optional[TallygateError] = None
        try:
            async for piece in response.aiter_bytes():
                body += piece
        except _FAILURES as cause:
            broken = _failure(cause, step.bound)
        finally:
            await response.aclose()
        return Answer(response.status_code, response.headers, bytes(body), broken)


class _AsyncStream:
    """The event stream that is open, if one is."""

    def __init__(self) -> None:
        self._response: Optional[httpx.Response] = None
        self._pieces: Optional[AsyncIterator[bytes]] = None

    def open(self, response: httpx.Response) -> None:
        self._response, self._pieces = response, response.aiter_bytes()

    async def read(self) -> Optional[bytes]:
        if self._pieces is None:
            return None
        try:
            return await self._pieces.__anext__()
        except StopAsyncIteration:
            return None

    async def close(self) -> None:
        if self._response is not None:
            await self._response.aclose()
            self._response = None


async def _within(work: Awaitable[T], seconds: float) -> T:
    """Awaits the work; past the time, or where the caller is cancelled, it is cancelled and waited for."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    if task.cancelled():
        raise asyncio.TimeoutError
    return task.result()
