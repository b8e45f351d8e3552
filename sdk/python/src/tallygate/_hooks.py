"""What a client tells of its calls while they go on: to the logger ``tallygate``, and to hooks of the caller's."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Callable, Optional, TypeVar

from .errors import TallygateError

H = TypeVar("H")
Hook = Callable[[H], object]
logger = logging.getLogger("tallygate")


@dataclass(frozen=True)
class RequestInfo:
    """A request is about to be sent; attempts count from 1."""

    method: str
    url: str
    attempt: int


@dataclass(frozen=True)
class AnswerInfo:
    """An answer came, whatever its status, ``elapsed`` seconds after the request was sent."""

    method: str
    url: str
    attempt: int
    status: int
    request_id: Optional[str]
    elapsed: float


@dataclass(frozen=True)
class RetryInfo:
    """An attempt failed, and another is made after ``wait`` seconds."""

    method: str
    url: str
    attempt: int
    error: TallygateError
    wait: float


@dataclass(frozen=True)
class Hooks:
    """Who hears of calls. No hook and no log line is told of a key, a header or a body."""

    on_request: Optional[Hook[RequestInfo]] = None
    on_answer: Optional[Hook[AnswerInfo]] = None
    on_retry: Optional[Hook[RetryInfo]] = None

    def request(self, info: RequestInfo) -> None:
        logger.debug("%s %s, attempt %d", info.method, info.url, info.attempt)
        if self.on_request is not None:
            self.on_request(info)

    def answer(self, info: AnswerInfo) -> None:
        logger.debug("%s %s answered %d in %.3f s", info.method, info.url, info.status, info.elapsed)
        if self.on_answer is not None:
            self.on_answer(info)

    def retry(self, info: RetryInfo) -> None:
        logger.info(
            "%s %s failed, attempt %d: %s; again in %.3f s",
            info.method, info.url, info.attempt, info.error, info.wait,
        )  # fmt: skip
        if self.on_retry is not None:
            self.on_retry(info)
