"""Ready-to-play prompts on disk, found again by key, the oldest removed when there are too many.

A key is 64 hex digits; its prompt is ``KEY[:2]/KEY.ulaw`` and ``.alaw`` in the cache folder. The
files alone are the record: durations follow from their size, so the cache survives restarts and
several programs may share the folder. What was given out lately is never removed, since it may be
waiting to be played.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from outdial.clock import Clock, SystemClock
from outdial.errors import ConfigError
from outdial.legs import Clip

KEPT_S = 900.0
"""What was given out within this time stays, however full the cache is."""
_TOUCHED_EVERY_S = 60.0
_INDEX_SIZE = 4096
_EVICT_TO = 0.9
_STRAY_S = 3600.0


@dataclass(slots=True)
class _Entry:
    clip: Clip
    touched: float
    """Wall time when the files were last marked as used."""


def key_of(*parts: str | bytes) -> str:
    """The key for what is wholly determined by the parts."""
    digest = sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()


def default_folder() -> str:
    """``outdial`` in the user's cache folder (XDG base directories), else among temporary files."""
    base = os.environ.get("XDG_CACHE_HOME") or ""
    if not base:
        try:
            base = str(Path.home() / ".cache")
        except RuntimeError:  # no home: a container's odd user
            base = tempfile.gettempdir()
    return str(Path(base) / "outdial")


class ClipCache:
    """Finds prompts, and keeps their folder within `max_bytes`."""

    def __init__(self, folder: str, max_bytes: int, clock: Clock | None = None) -> None:
        self.folder = os.path.abspath(folder or default_folder())
        self._max_bytes = max_bytes
        self._clock = clock or SystemClock()
        self._index: OrderedDict[str, _Entry] = OrderedDict()
        self._bytes = 0
        self._evicting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Makes the folder and counts what it holds. Raises ConfigError for storage.cache."""
        try:
            os.makedirs(self.folder, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise ConfigError(
                "storage.cache",
                f"{self.folder} cannot be written: {error.strerror}",
                "name a folder that the server may write",
            ) from None
        self._bytes = await asyncio.to_thread(_tidy, self.folder, self._clock.now())
        self._evict_if_full()

    async def stop(self) -> None:
        """Waits for a clean-up that is under way."""
        if self._evicting is not None:
            await self._evicting

    def path(self, key: str) -> str:
        """Where the prompt's files go, without their endings."""
        return f"{self.folder}/{key[:2]}/{key}"

    def find(self, key: str) -> Clip | None:
        """The prompt, if it is there: a few microseconds."""
        entry = self._index.get(key)
        path = entry.clip.ulaw_path if entry else f"{self.path(key)}.ulaw"
        try:
            size = os.stat(path).st_size
        except OSError:
            self._index.pop(key, None)
            return None
        if not entry:
            return self._remember(key, size)
        self._index.move_to_end(key)
        self._touch(entry)
        return entry.clip

    def add(self, key: str, samples: int) -> Clip:
        """A prompt was just written to `path(key)`."""
        self._bytes += 2 * samples
        clip = self._remember(key, samples)
        self._evict_if_full()
        return clip

    def _remember(self, key: str, samples: int) -> Clip:
        path = self.path(key)
        clip = Clip(f"{path}.ulaw", f"{path}.alaw", samples // 8)
        entry = self._index[key] = _Entry(clip, 0.0)
        self._touch(entry)
        if len(self._index) > _INDEX_SIZE:
            self._index.popitem(last=False)
        return clip

    def _touch(self, entry: _Entry) -> None:
        """Marks the files as used now; their time is what eviction goes by."""
        now = self._clock.now()
        if now - entry.touched < _TOUCHED_EVERY_S:
            return
        entry.touched = now
        for path in (entry.clip.alaw_path, entry.clip.ulaw_path):
            try:
                os.utime(path, (now, now))
            except OSError:  # removed by someone: the next `find` sees it
                return

    def _evict_if_full(self) -> None:
        if self._bytes > self._max_bytes and (self._evicting is None or self._evicting.done()):
            self._evicting = asyncio.create_task(self._evict())

    async def _evict(self) -> None:
        before = self._clock.now() - KEPT_S
        target = int(self._max_bytes * _EVICT_TO)
        self._bytes = await asyncio.to_thread(_remove_oldest, self.folder, target, before)


def _prompts(folder: str) -> list[tuple[float, int, str]]:
    """Time of last use, bytes and path without ending, of every prompt in the folder."""
    found = []
    for directory in _entries(folder):
        if len(directory.name) == 2 and directory.is_dir(follow_symlinks=False):
            for entry in _entries(directory.path):
                if entry.name.endswith(".ulaw"):
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except OSError:
                        continue
                    path = entry.path.removesuffix(".ulaw")
                    found.append((status.st_mtime, 2 * status.st_size, path))
    return found


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as listing:
            return list(listing)
    except OSError:
        return []


def _tidy(folder: str, now: float) -> int:
    """Removes what a killed helper left half written; gives the bytes of all prompts."""
    for directory in _entries(folder):
        for entry in _entries(directory.path) if len(directory.name) == 2 else ():
            try:
                if entry.name.endswith(".tmp") and entry.stat().st_mtime < now - _STRAY_S:
                    os.unlink(entry.path)
            except OSError:
                continue
    return sum(size for _, size, _ in _prompts(folder))


def _remove_oldest(folder: str, target: int, before: float) -> int:
    """Removes prompts last used before that time, oldest first, down to `target` bytes."""
    prompts = sorted(_prompts(folder))
    total = sum(size for _, size, _ in prompts)
    for used, size, path in prompts:
        if total <= target or used >= before:
            break
        if _remove(path, before):
            total -= size
    return total


def _remove(path: str, before: float) -> bool:
    """Removes one prompt, unless it was used since it was listed."""
    try:
        if os.stat(f"{path}.ulaw").st_mtime >= before:
            return False
        os.unlink(f"{path}.ulaw")
        os.unlink(f"{path}.alaw")
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
