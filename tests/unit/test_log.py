"""Lines that are written together."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import structlog

from outdial import log


class Later:
    """Calls when the test says so."""

    def __init__(self) -> None:
        self.due: list[Callable[[], None]] = []

    def __call__(self, delay_s: float, function: Callable[[], None]) -> None:
        assert delay_s == log.LINES_WAIT_S
        self.due.append(function)

    def run(self) -> None:
        due, self.due = self.due, []
        for function in due:
            function()


def test_lines_have_the_shape_of_all_others(capsys: pytest.CaptureFixture[str]) -> None:
    later = Later()
    lines = log.Lines(later)
    lines.write("info", "calls", "state.ringing", 1.5, {"call": "CA1", "status": 180})
    lines.write("warning", "calls", "warning", 2.0, {"call": "CA1", "text": "a\n\x1b[2J\u202eb"})
    assert capsys.readouterr().err == "", "they are written together"
    later.run()
    first, second = capsys.readouterr().err.splitlines()
    assert json.loads(first) == {
        "part": "calls",
        "call": "CA1",
        "status": 180,
        "event": "state.ringing",
        "level": "info",
        "timestamp": "1970-01-01T00:00:01.500000Z",
    }
    assert json.loads(second)["text"] == "a\\u000a\\u001b[2J\\u202eb"
    later.run()
    assert capsys.readouterr().err == ""


def test_coloured_lines_are_those_of_structlog() -> None:
    with structlog.testing.capture_logs() as kept:
        lines = log.ColouredLines()
        lines.write("error", "calls", "trunk.failed", 1.5, {"call": "CA1"})
        lines.flush()
    assert kept == [{"part": "calls", "event": "trunk.failed", "log_level": "error", "call": "CA1"}]


def test_many_do_not_wait_and_the_last_are_not_lost(capsys: pytest.CaptureFixture[str]) -> None:
    later = Later()
    lines = log.Lines(later)
    for number in range(log.MOST_LINES + 1):
        lines.write("info", "calls", "x", 0.0, {"n": number})
    assert len(capsys.readouterr().err.splitlines()) == log.MOST_LINES
    lines.flush()
    assert '"n": 200' in capsys.readouterr().err
    later.run()
    assert capsys.readouterr().err == ""
