"""Mixing: every member of a room hears the sum of all others, 20 ms at a time.

The sum is made once, and each speaker's own part is taken out of it again for him; those who are
silent share one encoded frame. In 32-bit samples with room for 64 voices at full scale nothing is
cut before the end: what is too loud is cut only in what a member hears.
"""

from __future__ import annotations

from typing import Final

from outdial.media.core import g711, rtp
from outdial.media.core.jitter import FRAME, JitterBuffer
from outdial.media.core.pcm import audioop

VOICES: Final = 64
"""That fit into a sum at full scale."""


class Member:
    """One who speaks and hears."""

    __slots__ = ("_out", "buffer", "hears_cues", "law", "muted", "own")

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

    __slots__ = ("_cues", "members", "total")

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.total: bytes | None = None
        """Of the last frame, as `encode` takes it; None: silence."""
        self._cues: list[Cue] = []

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

    def frames(self) -> list[bytes]:
        """What each member hears of the last frame, in the member's law, in their order."""
        total = self.total
        if total is None:
            return [g711.SILENT_FRAME[member.law] for member in self.members]
        shared: dict[int, bytes] = {}
        heard = []
        for member in self.members:
            own, law = member.own, member.law
            if own is total:
                heard.append(g711.SILENT_FRAME[law])
            elif own is not None:
                heard.append(encode(audioop.add(total, audioop.mul(own, 4, -1), 4), law))
            else:
                if law not in shared:
                    shared[law] = encode(total, law)
                heard.append(shared[law])
        return heard


def encode(total: bytes, law: int) -> bytes:
    """A sum as G.711; what is over full scale is cut."""
    loud = audioop.mul(total, 4, VOICES)
    law_of = audioop.lin2ulaw if law == rtp.PCMU else audioop.lin2alaw
    payload: bytes = law_of(loud, 4)
    return payload


def _decode(payload: bytes, law: int) -> bytes:
    linear = audioop.ulaw2lin if law == rtp.PCMU else audioop.alaw2lin
    samples: bytes = audioop.mul(linear(payload, 4), 4, 1 / VOICES)
    return samples
