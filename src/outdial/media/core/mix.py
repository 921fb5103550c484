"""Mixing: every member of a room hears the sum of all others, 20 ms at a time.

The sum is made once, and each speaker's own part is taken out of it again for him; those who are
silent share one encoded frame. In 32-bit samples with room for 64 voices at full scale nothing is
cut before the end, and what is too loud in the end is turned down: see `limiter`.
"""

from __future__ import annotations

from typing import Final

from outdial.media.core import g711, rtp
from outdial.media.core.jitter import FRAME, JitterBuffer
from outdial.media.core.limiter import Limiter
from outdial.media.core.pcm import audioop

VOICES: Final = 64
"""That fit into a sum at full scale."""
LOUDEST: Final = (32124 << 16) // VOICES
"""What G.711 can say in a sum."""


class Member:
    """One who speaks and hears."""

    __slots__ = ("_out", "buffer", "hears_cues", "law", "limiter", "muted", "own")

    def __init__(self, law: int, *, muted: bool = False, hears_cues: bool = True) -> None:
        self.buffer = JitterBuffer()
        """What the member says."""
        self.law = law
        """In which the member hears."""
        self.muted = muted
        """Nobody hears what the member says."""
        self.hears_cues = hears_cues
        self.own: bytes | None = None
        """What of the present sum is not for this member."""
        self.limiter = Limiter(LOUDEST)
        """Of what the member hears while it speaks."""
        self._out = bytearray()

    def hear(self, payload: bytes, most: int) -> None:
        """20 ms of the others; what is older than `most` samples is dropped."""
        self._out += payload
        if len(self._out) > most:
            del self._out[: len(self._out) - most]

    def take(self, samples: int) -> bytes | bytearray:
        """What is to be sent next: silence as long as there is too little."""
        out = self._out
        if len(out) == samples:
            self._out = bytearray()
            return out
        if len(out) < samples:
            return g711.SILENCE[self.law] * samples
        taken = out[:samples]
        del out[:samples]
        return taken

    def drop(self) -> None:
        """Something else is sent: what is there now will be old."""
        self._out.clear()


class Cue:
    """A sound that the room hears, all but one of its members."""

    __slots__ = ("_at", "_sound", "unheard_by")

    def __init__(self, ulaw: bytes, unheard_by: Member | None = None) -> None:
        self._sound = ulaw
        self._at = 0
        self.unheard_by = unheard_by

    def take(self) -> bytes | None:
        """The next 20 ms; None at its end."""
        if self._at >= len(self._sound):
            return None
        frame = self._sound[self._at : self._at + FRAME]
        self._at += FRAME
        return frame.ljust(FRAME, g711.SILENCE[rtp.PCMU])


class Mix:
    """A room."""

    __slots__ = ("_cues", "_heard", "_limited", "_limiter", "members", "total")

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.total: bytes | None = None
        """The sum of the last frame; None: silence."""
        self._cues: list[Cue] = []
        self._limiter = Limiter(LOUDEST)
        """Of what everybody hears who says nothing."""
        self._limited: bytes | None = None
        self._heard: dict[int, bytes] = {}
        """That, for the last frame, in the laws in which it was wanted."""

    def add_cue(self, cue: Cue) -> None:
        """Plays it from the next frame on, over the one that plays already."""
        self._cues.append(cue)

    def mix(self) -> None:
        """Goes on by 20 ms: `frames` then gives what each member hears."""
        total: bytes | None = None
        for member in self.members:
            said = member.buffer.take()
            if said is None or member.muted:
                member.own = None
                continue
            if member.own is None:
                member.limiter.gain = 1.0
            member.own = own = _decode(said, member.buffer.law)
            total = own if total is None else audioop.add(total, own, 4)
        for cue in self._cues[:]:
            sound = cue.take()
            if sound is None:
                self._cues.remove(cue)
                continue
            part = _decode(sound, rtp.PCMU)
            total = part if total is None else audioop.add(total, part, 4)
            for member in self.members:
                if member is cue.unheard_by or not member.hears_cues:
                    member.own = part if member.own is None else audioop.add(member.own, part, 4)
        self.total = total
        self._limited = None
        self._heard.clear()

    def heard(self, law: int) -> bytes:
        """What one hears of the last frame who says nothing."""
        if self.total is None:
            return g711.SILENT_FRAME[law]
        if self._limited is None:
            self._limited = self._limiter.limit(self.total)
        if law not in self._heard:
            self._heard[law] = _encode(self._limited, law)
        return self._heard[law]

    def frames(self) -> list[bytes]:
        """What each member hears of the last frame, in the member's law, in their order."""
        total = self.total
        if total is None:
            return [g711.SILENT_FRAME[member.law] for member in self.members]
        heard = []
        for member in self.members:
            own, law = member.own, member.law
            if own is total:
                heard.append(g711.SILENT_FRAME[law])
            elif own is not None:
                others = audioop.add(total, audioop.mul(own, 4, -1), 4)
                heard.append(_encode(member.limiter.limit(others), law))
            else:
                heard.append(self.heard(law))
        return heard


def _encode(total: bytes, law: int) -> bytes:
    """A sum as G.711."""
    loud = audioop.mul(total, 4, VOICES)
    law_of = audioop.lin2ulaw if law == rtp.PCMU else audioop.lin2alaw
    payload: bytes = law_of(loud, 4)
    return payload


def _decode(payload: bytes, law: int) -> bytes:
    linear = audioop.ulaw2lin if law == rtp.PCMU else audioop.alaw2lin
    samples: bytes = audioop.mul(linear(payload, 4), 4, 1 / VOICES)
    return samples
