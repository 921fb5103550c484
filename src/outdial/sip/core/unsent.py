"""What waits for connections that are being made, by far end: bounded in ends and in bytes.

Each call to a URI may name another far end, and each may take seconds to say that it is not there.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

MOST_ENDS = 128
"""Connections that are being made at once."""
MOST_BYTES = 8 << 20
"""That wait for all of them."""
MOST_BYTES_EACH = 1 << 20
"""That wait for one: 800 INVITEs, more than a trunk is sent while it takes a connection."""

End = TypeVar("End", bound=Hashable)


class Unsent(Generic[End]):
    """The messages, in the order in which they leave."""

    def __init__(
        self,
        most_ends: int = MOST_ENDS,
        most_bytes: int = MOST_BYTES,
        most_bytes_each: int = MOST_BYTES_EACH,
    ) -> None:
        self._most_ends = most_ends
        self._most_bytes = most_bytes
        self._most_bytes_each = most_bytes_each
        self._waiting: dict[End, list[bytes]] = {}
        self._sizes: dict[End, int] = {}
        self.size_bytes = 0

    def __contains__(self, end: End) -> bool:
        """Whether a connection to it is being made."""
        return end in self._waiting

    def __len__(self) -> int:
        """How many are being made."""
        return len(self._waiting)

    def begin(self, end: End) -> str:
        """A connection is to be made. Why it cannot be; "": it can."""
        if len(self._waiting) >= self._most_ends:
            return f"{self._most_ends} other connections are being made"
        self._waiting[end] = []
        self._sizes[end] = 0
        return ""

    def add(self, end: End, data: bytes) -> str:
        """One more message for a connection that was begun. Why it cannot wait; "": it does."""
        size = self._sizes[end] + len(data)
        if size > self._most_bytes_each or self.size_bytes + len(data) > self._most_bytes:
            return "too much waits for connections that are being made"
        self._waiting[end].append(data)
        self._sizes[end] = size
        self.size_bytes += len(data)
        return ""

    def drop(self, end: End) -> None:
        """Its messages are not to be sent any more; the connection is still being made."""
        if end in self._waiting:
            self._waiting[end] = []
            self.size_bytes -= self._sizes[end]
            self._sizes[end] = 0

    def take(self, end: End) -> bytes:
        """Its messages: the connection is there, or never will be."""
        self.size_bytes -= self._sizes.pop(end, 0)
        return b"".join(self._waiting.pop(end, ()))
