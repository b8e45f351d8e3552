"""Where time and chance come from. Tests bring their own."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from contextlib import contextmanager
from typing import Generator, Optional, Set

from .errors import CallCancelledError


class Cancellation:
    """Gives up calls of a blocking client from another thread, wherever they are.

    ``client.with_options(cancellation=c)`` makes calls that end with :class:`tallygate.CallCancelledError` as soon as
    ``c.cancel()`` is called. What the server has begun by then it may finish: a submit may have happened.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._sleepers: Set[threading.Event] = set()

    def cancel(self) -> None:
        """Ends the calls; those that begin later, too."""
        with self._lock:
            self._cancelled.set()
            for sleeper in self._sleepers:
                sleeper.set()

    @property
    def cancelled(self) -> bool:
        """Whether cancel was called."""
        return self._cancelled.is_set()

    def check(self) -> None:
        """Raises CallCancelledError if cancel was called."""
        if self.cancelled:
            raise CallCancelledError("the call was given up")

    @contextmanager
    def wakes(self, sleeper: threading.Event) -> Generator[None, None, None]:
        """Sets the event on cancel, too."""
        with self._lock:
            self._sleepers.add(sleeper)
            if self.cancelled:
                sleeper.set()
        try:
            yield
        finally:
            with self._lock:
                self._sleepers.discard(sleeper)


class World:
    """Clocks, chance, and waiting."""

    def now(self) -> int:
        """Nanoseconds of a clock that never goes back."""
        return time.monotonic_ns()

    def wall(self) -> int:
        """Nanoseconds since 1970, UTC."""
        return time.time_ns()

    def chance(self) -> float:
        """From 0 up to, and without, 1."""
        return random.random()

    def sleep(self, seconds: float, cancellation: Optional[Cancellation]) -> None:
        """Waits; less long where the wait is given up."""
        if cancellation is None:
            time.sleep(seconds)
            return
        alarm = threading.Event()
        with cancellation.wakes(alarm):
            alarm.wait(seconds)

    async def asleep(self, seconds: float) -> None:
        """Waits, for asyncio."""
        await asyncio.sleep(seconds)
