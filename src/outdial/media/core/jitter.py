"""The jitter buffer of a room's member: packets in by their timestamp, frames out by the clock.

A ring of G.711 samples at their places. What nobody wrote is silence, so that a lost packet, a
pause of the far end and a packet of any length need no care of their own. The delay grows by whole
frames when a packet comes too late and shrinks when none was near it for some seconds.
"""

from __future__ import annotations

from typing import Final

from outdial.media.core import g711

FRAME: Final = 160
"""Samples that are taken at once: 20 ms."""
START_DELAY: Final = 2 * FRAME
"""Between a packet's coming and its play-out at first."""
MOST_LATE: Final = 1600
"""A packet that is later (200 ms) is the beginning of something new."""
SPARE: Final = START_DELAY + FRAME
"""What may lie ahead of the reader without being a needless delay."""
WINDOW: Final = 200
"""Frames (4 s) in which no packet came close to being late: then the delay shrinks."""
FORGET: Final = 8000 * 60
"""After so much silence nothing is known of the far end's timing."""

_SIZE: Final = 4096
"""Half a second; a divisor of 2**32, so that timestamps may wrap."""
_UINT32: Final = 0xFFFFFFFF
_HALF: Final = 0x80000000


class JitterBuffer:
    """One far end's samples between their arrival and their mixing."""

    __slots__ = ("_end", "_frames", "_least_ahead", "_read", "_ring", "_running", "law")

    def __init__(self) -> None:
        self.law = 0
        """Payload type of what `take` gives: the far end's at its start."""
        self._ring = bytearray(_SIZE)
        self._running = False
        """Otherwise the next packet says when to begin."""
        self._read = 0
        """Timestamp of the next sample to be taken."""
        self._end = 0
        """Behind the newest sample."""
        self._frames = 0
        self._least_ahead = _SIZE

    def restart(self) -> None:
        """The far end's timestamps begin anew."""
        self._running = False

    def put(self, timestamp: int, law: int, payload: bytes, *, newest: bool = True) -> None:
        """A packet of samples. Not `newest`: it came out of order, or twice."""
        size = len(payload)
        if size > _SIZE // 2:
            return
        if not self._running:
            self._begin(timestamp, law)
        elif law != self.law:
            payload = payload.translate(g711.TRANSCODING[law, self.law])
        ahead = self._ahead(timestamp)
        if ahead < 0:
            if not newest:
                return
            if ahead < -MOST_LATE:
                self._begin(timestamp, self.law)
            else:
                # It is played all the same, and what follows it has more time from now on.
                frames = (FRAME - 1 - ahead) // FRAME
                self._read = (self._read - frames * FRAME) & _UINT32
        elif ahead + size > _SIZE - MOST_LATE:
            # As far as a rewind may go the ring must not be overwritten.
            if not newest:
                return
            self._begin(timestamp, self.law)
        at = timestamp % _SIZE
        until_edge = _SIZE - at
        if size <= until_edge:
            self._ring[at : at + size] = payload
        else:
            self._ring[at:] = payload[:until_edge]
            self._ring[: size - until_edge] = payload[until_edge:]
        end = (timestamp + size) & _UINT32
        if (end - self._end) & _UINT32 < _HALF:
            self._end = end

    def take(self) -> bytes | None:
        """The next 20 ms; None when they are silent."""
        if not self._running:
            return None
        ahead = self._ahead(self._end)
        if ahead <= 0:
            self._running = ahead > -FORGET
            self._read = (self._read + FRAME) & _UINT32
            self._least_ahead = 0
            return None
        if ahead < self._least_ahead:
            self._least_ahead = ahead
        self._frames += 1
        if self._frames >= WINDOW:
            self._shrink()
        return self._frame()

    def _frame(self) -> bytes | None:
        silence = g711.SILENT_FRAME[self.law]
        read = self._read
        self._read = (read + FRAME) & _UINT32
        at = read % _SIZE
        rest = at + FRAME - _SIZE
        if rest <= 0:
            frame = bytes(self._ring[at : at + FRAME])
            self._ring[at : at + FRAME] = silence
        else:
            frame = bytes(self._ring[at:] + self._ring[:rest])
            self._ring[at:] = silence[rest:]
            self._ring[:rest] = silence[:rest]
        return None if frame == silence else frame

    def _shrink(self) -> None:
        """Leaves out the frames by which everything came too early."""
        spare = (self._least_ahead - SPARE) // FRAME
        for _ in range(spare):
            self._frame()
        self._frames = 0
        self._least_ahead = _SIZE

    def _begin(self, timestamp: int, law: int) -> None:
        self.law = law
        self._ring[:] = g711.SILENCE[law] * _SIZE
        self._running = True
        self._read = (timestamp - START_DELAY) & _UINT32
        self._end = timestamp
        self._frames = 0
        self._least_ahead = _SIZE

    def _ahead(self, timestamp: int) -> int:
        """Samples between the reader and the timestamp; negative: it is late."""
        distance = (timestamp - self._read) & _UINT32
        return distance if distance < _HALF else distance - _UINT32 - 1
