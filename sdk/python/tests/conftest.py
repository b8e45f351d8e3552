"""Prints a line for each case, from which the table of cases and SDKs is made."""

from __future__ import annotations

import os
from typing import Dict

import pytest

_ended: Dict[str, bool] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if "::test_case" not in report.nodeid or "[" not in report.nodeid:
        return
    name = report.nodeid.split("[", 1)[1][:-1]
    _ended[name] = _ended.get(name, True) and not report.failed and not report.skipped


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if os.environ.get("TALLYGATE_CASES"):
        for name, passed in _ended.items():
            terminalreporter.write_line(f"case {'PASS' if passed else 'FAIL'} python {name}")
