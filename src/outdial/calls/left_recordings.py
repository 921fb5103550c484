"""Recordings that a crash left behind: a WAV on the disk, and no row that says so.

What an unfinished call had begun stands on its timeline and becomes a recording of that call. Any
other file that nobody writes to and nobody knows becomes one of no call, so that it can be listed,
deleted, and forgotten by the settings of retention.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol

from outdial import ids, log
from outdial.calls.archive import ENDINGS, remove_files
from outdial.clock import Clock
from outdial.errors import StoreUnavailable
from outdial.frozen import frozen
from outdial.store.records import EventRecord, RecordingRecord
from outdial.stored_file import KeyLost, SealingKeys, open_file

QUIET_S = 900.0
"""Nobody records into a file that was not written to for so long."""
EVERY_S = 86_400.0
SOON_S = 5.0
BATCH = 200
PAUSE_S = 0.1

_HEAD = struct.Struct("<4sI4s4sIHHIIHH4sI")
_RATE_HZ = 8000
_NO_KEYS = SealingKeys()

_log = log.get("recordings")


@frozen
class Begun:
    """A recording that a timeline says was begun."""

    sid: str
    at: float
    is_conference: bool


def begun(events: Iterable[EventRecord]) -> list[Begun]:
    """Those that were not thrown away, in order."""
    found: dict[str, Begun] = {}
    for event in events:
        sid = str(event.data.get("recording", ""))
        if event.kind == "recording.started" and ids.is_sid(sid, ids.RECORDING):
            found[sid] = Begun(sid, event.at, event.data.get("of") == "conference")
        elif event.kind in ("recording.discarded", "recording.deleted"):
            found.pop(sid, None)
    return list(found.values())


async def recover(
    folder: Path,
    call_sid: str,
    recordings: Sequence[Begun],
    wall_time: float,
    keys: SealingKeys = _NO_KEYS,
) -> list[RecordingRecord]:
    """Rows for those whose files are here, each made whole. The others are elsewhere or nowhere."""
    rows = []
    for one in recordings:
        try:
            found = await asyncio.to_thread(finish, folder, one.sid, keys)
        except (OSError, KeyLost) as error:
            _log.warning("recording.left_behind", recording=one.sid, reason=str(error))
            continue
        if found is not None:
            rows.append(_row(found, call_sid, one.sid, min(one.at, wall_time), one.is_conference))
    return rows


@frozen
class Finished:
    """What a file has, now that its header says so."""

    channels: int
    duration_ms: int
    size_bytes: int


def finish(folder: Path, sid: str, keys: SealingKeys = _NO_KEYS) -> Finished | None:
    """Makes the header of a recording tell what is there; None when there is no recording.

    What was cut off within a sample goes, and so do the prompts of one who was listening to it, and
    a file without any sound. Links are not followed. Raises OSError, KeyLost.
    """
    for ending in ENDINGS[1:]:
        (folder / f"{sid}{ending}").unlink(missing_ok=True)
    try:
        file = open_file(folder / f"{sid}.wav", keys, to_change=True)
    except FileNotFoundError:
        return None
    try:
        head, there = file.read(_HEAD.size, 0), file.size
        channels = _channels(head)
        if channels and there > _HEAD.size:
            frame = 2 * channels
            size = there - _HEAD.size
            size -= size % frame
            file.cut(_HEAD.size + size)
            file.put(struct.pack("<I", 36 + size), 4)
            file.put(struct.pack("<I", size), 40)
            return Finished(channels, size // frame * 1000 // _RATE_HZ, _HEAD.size + size)
    finally:
        file.close()
    remove_files(folder, sid)
    return None


def _channels(head: bytes) -> int:
    """Of one of our recordings; 0: it is something else."""
    if len(head) < _HEAD.size:
        return 0
    riff, _, wave, fmt, _, coding, channels, rate, _, _, bits, data, _ = _HEAD.unpack(head)
    ours = (b"RIFF", b"WAVE", b"fmt ", 1, _RATE_HZ, 16, b"data")
    return channels if (riff, wave, fmt, coding, rate, bits, data) == ours else 0


def _row(
    found: Finished, call_sid: str, sid: str, created_at: float, is_conference: bool
) -> RecordingRecord:
    kind = "conference" if is_conference else "call" if found.channels == 2 else "message"
    return RecordingRecord(
        sid=sid,
        call_sid=call_sid,
        path=f"{sid}.wav",
        created_at=created_at,
        duration_ms=found.duration_ms,
        channels=found.channels,
        size_bytes=found.size_bytes,
        kind=kind,
    )


class KnownRecordings(Protocol):
    """The part of the store that knows which there are; `store.archive.Archive`."""

    async def without_row(self, sids: Iterable[str]) -> list[str]: ...

    async def add(self, recording: RecordingRecord) -> None: ...


class Strays:
    """Looks through the folder at the start and once a day, a little at a time."""

    def __init__(
        self,
        folder: Path,
        known: KnownRecordings,
        clock: Clock,
        keys: SealingKeys = _NO_KEYS,
        *,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._folder = folder
        self._keys = keys
        self._known = known
        self._clock = clock
        self._pause_s = pause_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Looks now and then until `stop`."""
        self._task = asyncio.create_task(self._run(), name="strays")

    async def stop(self) -> None:
        """Ends it."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        await asyncio.sleep(SOON_S)
        while True:
            try:
                await self.look()
            except (StoreUnavailable, OSError) as error:
                _log.warning("recordings.not_looked_through", reason=str(error))
            except Exception:
                _log.exception("recordings.defect")
            await asyncio.sleep(EVERY_S)

    async def look(self) -> int:
        """One round; how many were taken in. Raises StoreUnavailable and OSError."""
        taken = 0
        names = await asyncio.to_thread(os.scandir, self._folder)
        try:
            entries = _sids(names)
            while batch := await asyncio.to_thread(lambda: list(islice(entries, BATCH))):
                for sid in await self._known.without_row(batch):
                    taken += await self._take_in(sid)
                await asyncio.sleep(self._pause_s)
        finally:
            names.close()
        if taken:
            _log.warning("recordings.taken_in", count=taken)
        return taken

    async def _take_in(self, sid: str) -> bool:
        before = self._clock.now() - QUIET_S
        found = await asyncio.to_thread(_finish_if_quiet, self._folder, sid, before, self._keys)
        if found is None:
            return False
        finished, written_at = found
        created_at = written_at - finished.duration_ms / 1000
        await self._known.add(_row(finished, "", sid, created_at, is_conference=False))
        return True


def _sids(entries: Iterator[os.DirEntry[str]]) -> Iterator[str]:
    """Of the recordings in the folder."""
    for entry in entries:
        sid = entry.name.removesuffix(".wav")
        if sid != entry.name and ids.is_sid(sid, ids.RECORDING):
            yield sid


def _finish_if_quiet(
    folder: Path, sid: str, before: float, keys: SealingKeys
) -> tuple[Finished, float] | None:
    """The recording and when it was last written to; None when it may still be."""
    path = folder / f"{sid}.wav"
    try:
        written_at = path.stat(follow_symlinks=False).st_mtime
        if path.is_symlink() or written_at >= before:
            return None
        finished = finish(folder, sid, keys)
    except (OSError, KeyLost) as error:
        _log.warning("recording.left_behind", recording=sid, reason=str(error))
        return None
    return None if finished is None else (finished, written_at)
