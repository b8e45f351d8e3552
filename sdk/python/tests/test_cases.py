"""The cases that all SDKs replay, each with the blocking and the asynchronous client."""

from __future__ import annotations

import asyncio
from typing import Any, Callable, Dict

import pytest

from cases import areplay, load, replay

Record = Callable[[str, object], None]
CASES = load()
EACH = pytest.mark.parametrize("case", [case for _, case in CASES], ids=[name for name, _ in CASES])


@EACH
def test_case(case: Dict[str, Any], record_property: Record) -> None:
    record_property("case", case["name"])
    replay(case)


@EACH
def test_case_async(case: Dict[str, Any], record_property: Record) -> None:
    record_property("case", case["name"])
    asyncio.run(areplay(case))
