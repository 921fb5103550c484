"""What went to and fro between us and a trunk outside of calls, for the people who look at it.

In memory, of this process: the last messages, a bounded number and a bounded size of them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Final

from outdial.legs import TracedMessage
from outdial.sip.core.redaction import has_digests, without_digests

MOST: Final = 40
"""Messages: ten refreshes of a registration with their challenges, or OPTIONS for ten minutes."""
LONGEST: Final = 8 << 10
"""Of a longer message the beginning is kept."""
MOST_BYTES: Final = 64 << 10


class Exchange:
    """The last messages of one kind, oldest first."""

    __slots__ = ("_messages", "_size")

    def __init__(self) -> None:
        self._messages: deque[TracedMessage] = deque()
        self._size = 0

    def add(self, message: TracedMessage) -> None:
        """One more, as it may be shown; the oldest make room."""
        raw = message.raw
        if has_digests(raw.lower()):
            raw = without_digests(raw)
        kept = replace(message, raw=raw[:LONGEST])
        self._messages.append(kept)
        self._size += len(kept.raw)
        while len(self._messages) > MOST or self._size > MOST_BYTES:
            self._size -= len(self._messages.popleft().raw)

    def shown(self) -> tuple[TracedMessage, ...]:
        """All of them."""
        return tuple(self._messages)
