"""Files of the settings that are read again while the server runs: price lists, recordings' keys.

They are looked at once a second. One that has changed is read when it has then stayed as it is for
a second, so that half a file is not taken for the whole, and in a thread, because a price list may
be long. What cannot be read is told once, and what was read last holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from outdial import log
from outdial.errors import ConfigError

EVERY_S: Final = 1.0

_log = log.get("files")

T = TypeVar("T")
Stamp = tuple[int, int, int]


class FileWatch:
    """One for a server."""

    def __init__(self) -> None:
        self._files: list[_File[Any]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._reading: asyncio.Task[None] | None = None

    def add(self, path: Path, read: Callable[[], T], take: Callable[[T], None]) -> None:
        """Reads the file now, and again whenever it changes; `take` gets what `read` makes of it.

        `read` must raise nothing but ConfigError, which this raises the first time.
        """
        self._files.append(_File(path, read, take))

    def start(self) -> None:
        """Looks from now on, if there is anything to look at."""
        if self._files:
            self._timer = asyncio.get_running_loop().call_later(EVERY_S, self._look)

    def stop(self) -> None:
        """Looks no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._reading is not None:
            self._reading.cancel()

    def _look(self) -> None:
        self.start()
        if self._reading is not None and not self._reading.done():
            return
        due = [file for file in self._files if file.is_due()]
        if due:
            self._reading = asyncio.get_running_loop().create_task(_read_again(due))

    async def look(self) -> None:
        """One look, and the reading of what is due."""
        await _read_again([file for file in self._files if file.is_due()])


class _File(Generic[T]):
    def __init__(self, path: Path, read: Callable[[], T], take: Callable[[T], None]) -> None:
        self.path = path
        self._read = read
        self._take = take
        # before it is read: a change meanwhile is one that is to be seen
        self._seen = self._known = stamp_of(path)
        take(read())

    def is_due(self) -> bool:
        """Whether it has changed, and has stayed as it is since the last look."""
        before, self._seen = self._seen, stamp_of(self.path)
        return self._seen == before != self._known

    async def read_again(self) -> None:
        self._known = self._seen
        try:
            found = await asyncio.to_thread(self._read)
        except ConfigError as error:
            _log.error("file not read again", file=str(self.path), problem=str(error))
        else:
            self._take(found)
            _log.info("file read again", file=str(self.path))


async def _read_again(files: list[_File[Any]]) -> None:
    for file in files:
        await file.read_again()


def stamp_of(path: Path) -> Stamp | None:
    """What changes with the file; None: it is not there, or out of reach."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
