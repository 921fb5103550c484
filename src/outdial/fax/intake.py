"""Puts a fax's packets back in order before a modem hears them. Pure.

A modem forgives a late sample more easily than a missing or a doubled one, so this is no jitter
buffer that grows and shrinks: what is next in order is heard at once, and what is missing is waited
for, always equally long, before it is given up. Where nothing comes at all, silence is heard in its
place, so that the timers of T.30, which count samples, go on.
"""

from __future__ import annotations

from typing import Final, NamedTuple

PATIENCE_S: Final = 0.12
"""How late a packet may be."""
RATE_HZ: Final = 8000
_MOST_HELD: Final = 100
_RESTART_SAMPLES: Final = 10 * RATE_HZ
"""A stream whose timestamps leap so far began anew."""
_WRAP: Final = 1 << 32


class Piece(NamedTuple):
    """What is heard next."""

    payload: bytes
    """G.711; b"" for samples that did not come."""
    samples: int
    is_lost: bool
    """It was sent and got lost; else nothing was sent."""


class Intake:
    """One stream's."""

    def __init__(self, now: float) -> None:
        self._next: int | None = None
        self._held: dict[int, bytes] = {}
        self._heard_until = now
        """When what was heard last came, on the wall clock."""
        self._is_starved = False
        """Silence was heard since the last packet."""
        self.lost = self.late = 0
        """Packets."""

    def put(self, timestamp: int, payload: bytes, now: float) -> None:
        """A packet came: its RTP timestamp and payload."""
        if not payload:
            return
        if self._next is None:
            self._next = timestamp
            self._heard_until = now
        ahead = _ahead(timestamp, self._next)
        if abs(ahead) > _RESTART_SAMPLES:
            self._held.clear()
            self._next = timestamp
        elif ahead < 0 and self._is_starved:
            self._next = timestamp  # it goes on where it stopped, whatever time has passed
        elif ahead < 0:
            self.late += 1
            return
        self._held[timestamp] = payload

    def take(self, now: float) -> list[Piece]:
        """What may be heard now, in order."""
        pieces: list[Piece] = []
        while self._next is not None:
            payload = self._held.pop(self._next, None)
            if payload is not None:
                pieces.append(Piece(payload, len(payload), False))
                self._is_starved = False
                self._advance(len(payload), now)
            elif self._held:
                if now - self._heard_until < PATIENCE_S and len(self._held) < _MOST_HELD:
                    break
                self._skip_stale()
                gap = min((_ahead(one, self._next) for one in self._held), default=0)
                if gap:
                    self.lost += 1
                    pieces.append(Piece(b"", gap, True))
                    self._advance(gap, self._heard_until)
            else:
                break
        if self._next is None or not self._held:
            self._wait_in_silence(pieces, now)
        return pieces

    def _advance(self, samples: int, now: float) -> None:
        if self._next is not None:
            self._next = (self._next + samples) % _WRAP
        self._heard_until = now

    def _skip_stale(self) -> None:
        """Packets whose place was taken by a longer one before them."""
        place = self._next or 0
        for timestamp in [t for t in self._held if _ahead(t, place) < 0]:
            del self._held[timestamp]
            self.late += 1

    def _wait_in_silence(self, pieces: list[Piece], now: float) -> None:
        """Nothing comes: the time beyond what a packet may be late is silence."""
        samples = int((now - self._heard_until - PATIENCE_S) * RATE_HZ)
        if samples > 0:
            self._is_starved = True
            pieces.append(Piece(b"", samples, False))
            self._advance(samples, self._heard_until + samples / RATE_HZ)


def _ahead(timestamp: int, of: int) -> int:
    """How many samples after the other, by RFC 3550's arithmetic; negative: before."""
    difference = (timestamp - of) % _WRAP
    return difference - _WRAP if difference >= _WRAP // 2 else difference
