"""Telephone events, RFC 4733 section 2: digits as packets, out and in."""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

DIGITS: Final = "0123456789*#ABCD"
"""A digit's place is its event code (RFC 4733 table 3)."""
PAUSES_MS: Final = {"w": 500, "W": 1000}
TONE_MS: Final = 100
GAP_MS: Final = 100
END_PACKETS: Final = 3
"""The end is said three times (section 2.5.1.4), one packet time apart, against loss."""
VOLUME: Final = 10
"""-dBm0."""

_PAYLOAD: Final = Struct("!BBH")
_END: Final = 0x80
EVENT_UNITS: Final = 0xFFFF
"""What a packet can say of a duration."""
_LONGEST: Final = EVENT_UNITS


def payload(digit: str, duration: int, *, end: bool = False) -> bytes:
    """The four bytes of an event packet; `duration` in samples."""
    return _PAYLOAD.pack(
        DIGITS.index(digit), (_END if end else 0) | VOLUME, min(duration, _LONGEST)
    )


class Heard(NamedTuple):
    """A digit that has ended."""

    digit: str
    duration_ms: int


class EventReceiver:
    """Turns event packets into digits, each reported once however many of its packets are lost.

    An event is known by its RTP timestamp. It ends with its first end packet; or, when all of
    those were lost, with the next event, with audio, or after a silence (`expire`).
    """

    __slots__ = ("_code", "_done", "_duration", "_seen_at", "_timestamp", "longest")

    def __init__(self) -> None:
        self._timestamp: int | None = None
        self._code = -1
        """The event that is open; -1 for none."""
        self._done: int | None = None
        """Timestamp of the last event reported: later copies of its packets are ignored."""
        self._duration = 0
        self._seen_at = 0.0
        self.longest = EVENT_UNITS
        """What a packet can say of a duration, in samples of 8000 a second."""

    @property
    def open(self) -> bool:
        """Whether an event has begun and not ended."""
        return self._code >= 0

    def packet(
        self, timestamp: int, data: bytes | bytearray | memoryview, now: float
    ) -> list[Heard]:
        """Takes the payload of one event packet; gives the digits that ended with it (0 to 2)."""
        if len(data) < 4:
            return []
        code, flags, duration = _PAYLOAD.unpack_from(data)
        if code >= len(DIGITS) or self._is_old(timestamp):
            return []
        heard = []
        if self._code >= 0 and timestamp != self._timestamp:
            if code == self._code and self._continues(timestamp):
                duration += (timestamp - (self._timestamp or 0)) & 0xFFFFFFFF
                timestamp = self._timestamp or 0
            else:
                heard.append(self._finish())
        self._timestamp, self._code, self._seen_at = timestamp, code, now
        self._duration = max(self._duration, duration)
        if flags & _END:
            heard.append(self._finish())
        return heard

    def _is_old(self, timestamp: int) -> bool:
        """A retransmission of a reported event, or a straggler from before the open one."""
        for known in (self._done, self._timestamp if self._code >= 0 else None):
            if known is not None and timestamp != known:
                if (timestamp - known) & 0xFFFFFFFF > 0x7FFFFFFF:
                    return True
            elif known is not None and known == self._done:
                return True
        return False

    def _continues(self, timestamp: int) -> bool:
        """Section 2.5.1.3: a long event goes on in segments, each starting where one was full."""
        return (timestamp - (self._timestamp or 0)) & 0xFFFFFFFF >= self.longest and (
            self._duration >= self.longest - 480
        )

    def _finish(self) -> Heard:
        heard = Heard(DIGITS[self._code], self._duration // 8)
        self._done, self._code, self._duration = self._timestamp, -1, 0
        return heard

    def expire(self, now: float, silence_s: float = 0.15) -> list[Heard]:
        """Ends an event of which nothing was heard for a while. Call it every packet time."""
        if self._code >= 0 and now - self._seen_at >= silence_s:
            return [self._finish()]
        return []


class Step(NamedTuple):
    """What a digit string is made of, in order."""

    digit: str
    """"" for a pause."""
    duration_ms: int
    gap_ms: int
    """Silence after it."""


def steps(text: str, tone_ms: int = TONE_MS, gap_ms: int = GAP_MS) -> list[Step]:
    """The digits and pauses of ``0-9*#A-D`` (either case), ``w``, ``W``. ValueError for others."""
    result = []
    for letter in text:
        if letter in PAUSES_MS:
            result.append(Step("", PAUSES_MS[letter], 0))
        elif letter.upper() in DIGITS:
            result.append(Step(letter.upper(), tone_ms, gap_ms))
        else:
            raise ValueError(f"{letter!r} is not a DTMF digit")
    return result


class Emission(NamedTuple):
    """An event packet to send now."""

    payload: bytes
    marker: bool
    timestamp: int
    """Of the event's beginning, the same in all its packets (section 2.2.1)."""


class EventSender:
    """Sends a digit string, one call of `tick` a packet time."""

    __slots__ = ("_ends", "_position", "_started", "_steps", "play")

    def __init__(self, text: str, play: int = 0) -> None:
        self.play = play
        self._steps = steps(text)[::-1]
        self._position = 0
        """Samples into the current step."""
        self._started = 0
        self._ends = 0

    @property
    def finished(self) -> bool:
        return not self._steps

    @property
    def remaining(self) -> list[Step]:
        """The steps that have not ended, in order."""
        return self._steps[::-1]

    def tick(self, timestamp: int, samples: int) -> Emission | None:
        """What to send for the packet time that begins at `timestamp`; None: silence."""
        if not self._steps:
            return None
        step = self._steps[-1]
        first = self._position == 0
        if first:
            self._started, self._ends = timestamp, 0
        self._position += samples
        tone = step.duration_ms * 8 if step.digit else 0
        emission = None
        if tone and self._ends < END_PACKETS:
            end = self._position >= tone
            self._ends += end
            duration = max(tone, samples) if end else self._position
            emission = Emission(payload(step.digit, duration, end=end), first, self._started)
        if self._position >= (step.duration_ms + step.gap_ms) * 8 and (
            not tone or self._ends >= END_PACKETS
        ):
            self._steps.pop()
            self._position = 0
        return emission
