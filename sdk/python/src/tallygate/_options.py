"""What a client is made with."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Dict, Optional, Union

import httpx

from ._core import DEFAULT_URL, Session, base_url
from ._hooks import AnswerInfo, Hook, Hooks, RequestInfo, RetryInfo
from ._policy import Budget, Limits
from ._values import Duration, nanoseconds
from ._world import World


class Unset(Enum):
    """Stands for a setting that is left as it is."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "unset"


UNSET = Unset.UNSET


def _positive(name: str, value: Duration) -> int:
    ns = nanoseconds(value)
    if ns <= 0:
        raise ValueError(f"{name} must be more than 0")
    return ns


def _attempts(value: int) -> int:
    if value < 1:
        raise ValueError("max_attempts must be 1 or more")
    return value


@dataclass(frozen=True)
class Options:
    """Settings, checked. A session made of them has a retry budget of its own."""

    url: str
    key: str = field(repr=False)
    limits: Limits
    retry_budget: int
    hooks: Hooks = field(repr=False)
    proxy: Optional[str] = field(repr=False)
    verify: Any = field(repr=False)
    cert: Any = field(repr=False)
    world: World = field(repr=False)

    @classmethod
    def of(
        cls,
        url: Optional[str],
        key: Optional[str],
        timeout: Duration,
        deadline: Optional[Duration],
        max_attempts: int,
        retry_budget: int,
        on_request: Optional[Hook[RequestInfo]],
        on_answer: Optional[Hook[AnswerInfo]],
        on_retry: Optional[Hook[RetryInfo]],
        proxy: Optional[str],
        verify: Any,
        cert: Any,
        world: Optional[World],
    ) -> Options:
        url = url or os.environ.get("TALLYGATE_URL") or DEFAULT_URL
        key = key if key is not None else os.environ.get("TALLYGATE_KEY", "")
        if re.fullmatch(r"[\x21-\x7e]*", key) is None:
            raise ValueError("the key holds white space or what is not ASCII: copy it anew")
        if retry_budget < 0:
            raise ValueError("retry_budget must be 0 or more")
        limits = Limits(
            _positive("timeout", timeout),
            None if deadline is None else _positive("deadline", deadline),
            _attempts(max_attempts),
        )
        hooks = Hooks(on_request, on_answer, on_retry)
        return cls(base_url(url), key, limits, retry_budget, hooks, proxy, verify, cert, world or World())

    def http(self) -> Dict[str, Any]:
        """The arguments of an httpx client."""
        made: Dict[str, Any] = {"verify": self.verify, "follow_redirects": False}
        made["limits"] = httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=30)
        if self.cert is not None:
            made["cert"] = self.cert
        if self.proxy is not None:
            made["proxy"] = self.proxy
        return made

    def session(self) -> Session:
        """What all calls of a client share."""
        return Session(self.url, self.key, self.limits, Budget(self.retry_budget), self.world, self.hooks)

    @staticmethod
    def narrowed(
        session: Session,
        timeout: Union[Duration, Unset],
        deadline: Union[Duration, Unset, None],
        max_attempts: Union[int, Unset],
    ) -> Session:
        """The session with other limits."""
        limits = session.limits
        if not isinstance(timeout, Unset):
            limits = replace(limits, timeout=_positive("timeout", timeout))
        if not isinstance(deadline, Unset):
            limits = replace(limits, deadline=None if deadline is None else _positive("deadline", deadline))
        if not isinstance(max_attempts, Unset):
            limits = replace(limits, max_attempts=_attempts(max_attempts))
        return replace(session, limits=limits)
