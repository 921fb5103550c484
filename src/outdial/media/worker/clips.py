"""Clip files, mapped into memory and kept open for the next call that plays them."""

from __future__ import annotations

import mmap
import os
from collections import OrderedDict

_EMPTY = memoryview(b"")
Identity = tuple[int, int, int]
"""Inode, size, time of the last change."""


class Clips:
    """A least-recently-used set of open maps.

    A map stays valid while a stream plays it, even when it has been put out of the set: the last
    memoryview closes it. Files must be replaced by renaming, never rewritten in place.
    """

    def __init__(self, most: int = 256) -> None:
        self._most = most
        self._maps: OrderedDict[str, tuple[Identity, memoryview]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._maps)

    def get(self, path: str) -> memoryview:
        """The file's bytes. Raises OSError."""
        return self.identified(path)[1]

    def identified(self, path: str) -> tuple[Identity, memoryview]:
        """What no other file has, and its bytes. Raises OSError."""
        status = os.stat(path)
        identity = (status.st_ino, status.st_size, status.st_mtime_ns)
        known = self._maps.get(path)
        if known is not None and known[0] == identity:
            self._maps.move_to_end(path)
            return known
        view = self._map(path)
        self._maps[path] = (identity, view)
        self._maps.move_to_end(path)
        if len(self._maps) > self._most:
            self._maps.popitem(last=False)
        return identity, view

    @staticmethod
    def _map(path: str) -> memoryview:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            if not size:
                return _EMPTY
            return memoryview(mmap.mmap(descriptor, size, access=mmap.ACCESS_READ))
        finally:
            os.close(descriptor)
