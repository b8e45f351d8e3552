"""What tests share: a real server; and a line for each case, from which the table of cases and SDKs is made."""

from __future__ import annotations

import os
from typing import Any, Callable, Dict, Iterator, List

import pytest

from live import Server, World, serve

_ended: Dict[str, bool] = {}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from serve(tmp_path_factory.mktemp("server"))


@pytest.fixture
def world(server: Server) -> Iterator[Callable[..., World]]:
    """Makes job types and clients."""
    made: List[World] = []

    def make(**definition: Any) -> World:
        made.append(World(server, **definition))
        return made[-1]

    yield make
    for one in made:
        one.close()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    for name, value in report.user_properties:
        if name == "case":
            _ended[str(value)] = _ended.get(str(value), True) and not report.failed and not report.skipped


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if os.environ.get("TALLYGATE_CASES"):
        for name, passed in _ended.items():
            terminalreporter.write_line(f"case {'PASS' if passed else 'FAIL'} python {name}")
