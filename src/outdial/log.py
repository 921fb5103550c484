"""Structured logs: one JSON line a step, control and bidirectional characters escaped.

`configure` is called once by the program; everything else calls `get`.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, Final

import structlog

LINES_WAIT_S: Final = 0.1
MOST_LINES: Final = 200
"""Lines kept at most before they are written."""
_encode = json.JSONEncoder(default=str).encode
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def escape(text: str) -> str:
    """The text with control and bidirectional characters as \\u escapes: safe for a terminal."""
    return _UNSAFE.sub(lambda m: f"\\u{ord(m.group()):04x}", text)


def _escape_values(
    logger: Any, method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = escape(value)
    return event


class _OneLine(logging.Formatter):
    """What libraries log, safe for a terminal: they may quote what came from outside."""

    def format(self, record: logging.LogRecord) -> str:
        return escape(super().format(record))


def configure(level: str = "info", *, json: bool = True) -> None:
    """Sends structlog and the standard library's warnings to standard error."""
    number = logging.getLevelNamesMapping()[level.upper()]
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _escape_values,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(_OneLine("%(message)s"))
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[lines])


def get(name: str) -> Any:
    """A logger bound to the part's name."""
    return structlog.get_logger(part=name)


class Lines:
    """Writes many small lines of the shape that `get` gives.

    They are kept for a moment and written together: 6 µs a line, where structlog takes 13 and a
    system call. They come in order, but between those of `get` a moment late.
    """

    def __init__(self, later: Callable[[float, Callable[[], None]], object]) -> None:
        """`later(delay_s, function)` calls the function so much later."""
        self._later = later
        self._lines: list[str] = []

    def write(self, level: str, part: str, event: str, at: float, data: Mapping[str, Any]) -> None:
        """One line; `at` is wall time in seconds."""
        line = {"part": part, **data, "event": event, "level": level, "timestamp": _iso(at)}
        for key, value in line.items():
            # Whatever is not printable, among it what turns the direction of writing.
            if isinstance(value, str) and not value.isprintable():
                line[key] = escape(value)
        if not self._lines:
            self._later(LINES_WAIT_S, self.flush)
        self._lines.append(_encode(line))
        if len(self._lines) >= MOST_LINES:
            self.flush()

    def flush(self) -> None:
        """Writes what is kept."""
        lines, self._lines = self._lines, []
        if lines:
            print("\n".join(lines), file=sys.stderr, flush=True)  # noqa: T201 - it is the log


class ColouredLines:
    """The same as text for people, each line by itself."""

    def write(self, level: str, part: str, event: str, at: float, data: Mapping[str, Any]) -> None:
        """One line; its time is now."""
        getattr(get(part), level)(event, **data)

    def flush(self) -> None:
        """Nothing is kept."""


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
