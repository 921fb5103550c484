"""Recordings as MP3: made while they are sent, a part at a time, and never kept.

The MP3 of a recording is a file that is nowhere, but has a size and bytes that are the same each
time: frames of one size, 576 samples each, coded in parts of `PART_FRAMES`. Any range of it costs
only the parts that it lies in, so that a player may jump to the end of a long recording; and
nothing is written to the disk, which many downloads could fill.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Coroutine
from dataclasses import field
from pathlib import Path
from typing import Any

from outdial.errors import SoundError
from outdial.frozen import frozen
from outdial.speech.flights import Flights
from outdial.speech.mp3_shape import Shape
from outdial.speech.pool import HelperLost, HelperPool, JobRefused

PART_FRAMES = 512
"""37 s: 0.3 to 0.7 s of a busy core, 150 kB a channel."""
MOST_WAITING = 32
"""Parts that may wait to be coded; more are refused."""

_PARTS_KEPT = 16
"""5 MB at most: who listens and jumps about asks for the same ones again."""
_PART_TIMEOUT_S = 20.0


class Mp3Busy(SoundError):
    """Too many parts wait to be coded."""


@frozen
class Part:
    """Some frames of a recording."""

    path: str
    shape: Shape
    number: int
    key: str = field(default="", repr=False)
    """Of its file, if that is sealed; hex."""

    @property
    def first(self) -> int:
        """Its first frame."""
        return self.number * PART_FRAMES

    @property
    def count(self) -> int:
        """How many frames it has."""
        return min(PART_FRAMES, self.shape.frames - self.first)


class Mp3s:
    """Makes them, one part at a time on the helper processes, of which speech keeps its share."""

    def __init__(self, pool: HelperPool) -> None:
        self._pool = pool
        self._turn = asyncio.Semaphore(1)
        self._flights: Flights[Part, bytes] = Flights()
        self._waiting = 0
        self._kept: OrderedDict[Part, bytes] = OrderedDict()

    async def chunks(
        self, path: Path, shape: Shape, start: int, end: int, key: bytes = b""
    ) -> AsyncIterator[bytes]:
        """Bytes `start` to `end` of the recording's MP3. `key`: what its file is sealed with.

        Raises SoundError, which is Mp3Busy when there is too much to do. A recording whose file
        goes away meanwhile cannot be sent to its end.
        """
        part_bytes = PART_FRAMES * shape.frame_bytes
        while start < end:
            number = start // part_bytes
            begin = number * part_bytes
            data = await self._part(Part(str(path), shape, number, key.hex()))
            piece = data[start - begin : end - begin]
            start += len(piece)
            yield piece

    def forget(self, path: Path) -> None:
        """The recording is deleted: nobody shall hear it."""
        for part in [part for part in self._kept if part.path == str(path)]:
            del self._kept[part]

    async def stop(self) -> None:
        """Gives up what is being made."""
        await self._flights.stop()

    async def _part(self, part: Part) -> bytes:
        kept = self._kept.get(part)
        if kept is not None:
            self._kept.move_to_end(part)
            return kept
        # whoever goes away in the middle does not end it: the helper would have to be killed
        return await asyncio.shield(self._flights.begin(part, lambda: self._begin(part)))

    def _begin(self, part: Part) -> Coroutine[Any, Any, bytes]:
        if self._waiting >= MOST_WAITING:
            raise Mp3Busy("too many MP3s are being made")
        self._waiting += 1
        return self._make_in_turn(part)

    async def _make_in_turn(self, part: Part) -> bytes:
        try:
            async with self._turn:
                made = await self._make(part)
        finally:
            self._waiting -= 1
        self._kept[part] = made
        if len(self._kept) > _PARTS_KEPT:
            self._kept.popitem(last=False)
        return made

    async def _make(self, part: Part) -> bytes:
        job = {
            "job": "mp3",
            "path": part.path,
            "key": part.key,
            "channels": part.shape.channels,
            "first": part.first,
            "count": part.count,
        }
        try:
            data = await self._pool.fetch(job, timeout_s=_PART_TIMEOUT_S, retry=True)
        except (JobRefused, HelperLost) as error:
            raise SoundError(str(error)) from None
        if len(data) != part.count * part.shape.frame_bytes:
            raise SoundError("the MP3 coder gave frames of another size")
        return data
