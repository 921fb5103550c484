"""What calls do, as log lines: every event of their timelines, or the states and what went wrong.

A log goes further than the record: to files that others read, to services elsewhere. So a line has
nothing of what people said, keyed or were told, and of a URL only what it leads to. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Protocol

from outdial.store.records import EventRecord

LEVELS: Final = ("debug", "info", "warning", "error")

_TROUBLE: Final = frozenset(
    {
        "warning",
        "document.failed",
        "document.fallback",
        "document.retry",
        "dial.refused",
        "trunk.failed",
        "recording.failed",
        "message.failed",
        "callback.failed",
        "callback.dead",
    }
)
_THEIR_WORDS: Final = frozenset({"document", "verb"})
"""Kinds whose `text` and `message` quote the document: what is spoken to somebody, for one."""
_QUOTED: Final = re.compile("\u201c[^\u201d]*\u201d?|\"[^\"]*\"?|(?<!\\w)'[^']*'(?!\\w)")
_USER: Final = re.compile(r"(?<=://)[^/?#\s@]*@")
_QUERY: Final = re.compile(r"(://[^\s?#]*)[?#]\S*")


class Lines(Protocol):
    """Where lines go: `log.Lines`."""

    def write(self, level: str, part: str, event: str, at: float, data: Mapping[str, Any]) -> None:
        """One line."""


class StepLog:
    """Writes a line for each event it is given that is wanted."""

    def __init__(self, lines: Lines, *, every: bool, level: str) -> None:
        """`every`: all steps, not only states and trouble. `level`: the least that is written."""
        self._lines = lines
        self._every = every
        self._shows_info = LEVELS.index(level) <= LEVELS.index("info")
        self._shows_trouble = LEVELS.index(level) <= LEVELS.index("warning")

    def __call__(self, event: EventRecord) -> None:
        kind = event.kind
        if kind in _TROUBLE:
            if self._shows_trouble:
                self._write("warning", event)
        elif self._shows_info and (self._every or kind.startswith("state.")):
            self._write("info", event)

    def _write(self, level: str, event: EventRecord) -> None:
        data = {"call": event.call_sid, "seq": event.seq, **loggable(event.kind, event.data)}
        self._lines.write(level, "calls", event.kind, event.at, data)


def loggable(kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """The event's data as they may stand in a log."""
    quotes = kind.partition(".")[0] in _THEIR_WORDS
    return {
        _RENAMED.get(key, key): _cleaned(value) if isinstance(value, str) else value
        for key, value in data.items()
        if not (quotes and key in ("text", "message"))
    }


def _cleaned(text: str) -> str:
    """Without quotations, passwords and the values behind a URL's question mark."""
    if "://" in text:
        text = _QUERY.sub("\\1?\u2026", _USER.sub("", text))
    if "\u201c" in text or '"' in text or "'" in text:
        text = _QUOTED.sub("\u201c\u2026\u201d", text)
    return text


_RENAMED: Final = {"event": "of_event", "level": "of_level", "part": "of_part", "call": "of_call"}
"""Members of a line that have another meaning there."""
