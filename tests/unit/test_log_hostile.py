"""What comes from outside does nothing to who reads the log."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator

import pytest
import structlog

from outdial import log

HOSTILE = {
    "a screen that is cleared": "\x1b[2J\x1b[H",
    "a title that is set": "\x1b]0;pwned\x07",
    "C1": "\x9b31m\x85",
    "a line of one's own": '\r\n{"event": "ready"}',
    "other line ends": "a\u2028b\u2029c\x0bd\x0ce",
    "text turned round": "\u202emp3.exe\u2066x\u2069\u200f",
    "deleted": "abc\x7f\x08\x08",
    "nul": "a\x00b",
    "half a character": "\ud800",
}


@pytest.fixture(params=[True, False], ids=["json", "text"])
def logged(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], str]]:
    """All that was logged, by us and by libraries."""
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    raw = io.BytesIO()
    lines = io.TextIOWrapper(raw, "utf-8", "backslashreplace", write_through=True)
    monkeypatch.setattr(sys, "stderr", lines)
    log.configure("debug", json=request.param)
    structlog.configure(cache_logger_on_first_use=False)
    yield lambda: raw.getvalue().decode()
    structlog.configure(**before)
    root.handlers, root.level = handlers, level


def _let_only_the_log_listen() -> None:
    """Pytest would report what it hears as it is, and half a character cannot be reported."""
    root = logging.getLogger()
    root.handlers = [one for one in root.handlers if type(one) is logging.StreamHandler]


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_hostile_is_escaped(logged: Callable[[], str], what: str) -> None:
    """As User-Agent, display name, URL: in a field, in a list, in an exception, from a library."""
    text = HOSTILE[what]
    _let_only_the_log_listen()
    logger = log.get("test")
    logger.info("heard", user_agent=text, names=[text, text], by={"url": text})
    try:
        raise ValueError(text)
    except ValueError:
        logger.exception("failed", caller=text)
    logging.getLogger("asyncio").error("Task exception: %s", text)
    logging.getLogger("asyncio").warning(text)
    lines = [line for line in logged().split("\n") if line]
    assert len(lines) in (4, 5)  # as text an exception has a line of its own
    assert [line for line in lines if not line.isprintable() or line.startswith('{"event')] == []


def test_a_line_is_one_json_object() -> None:
    for text in HOSTILE.values():
        assert log.escape(text).isprintable()
        assert json.loads(json.dumps({"agent": log.escape(text)}))["agent"].isprintable()
