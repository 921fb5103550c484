"""The rooms of a worker: who is in them, their clock on the wheel, their recordings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from outdial.media.core import rtp
from outdial.media.core.mix import Cue, Member, Mix

if TYPE_CHECKING:
    from outdial.media.worker.recorder import Recording
    from outdial.media.worker.stream import Stream

FRAME: Final = 160


class Room:
    """Streams that hear each other. Stands on the wheel as a stream does, every 20 ms."""

    __slots__ = ("_members", "_mix", "_timestamp", "next_at", "recordings", "stream", "ticks_late")

    samples: Final = FRAME

    def __init__(self, number: int) -> None:
        self.stream = number
        self.recordings: list[Recording] = []
        self.ticks_late = 0
        self._mix = Mix()
        self._members: dict[Stream, Member] = {}
        self._timestamp = 0

    def join(self, stream: Stream, *, muted: bool, hears_cues: bool) -> None:
        """The stream hears the others from the next frame on, and they hear it."""
        stream.leave()
        stream.unbridge()
        member = Member(stream.pt, muted=muted, hears_cues=hears_cues)
        self._members[stream] = member
        self._mix.members.append(member)
        stream.room, stream.member = self, member

    def leave(self, stream: Stream) -> None:
        """Undoes `join`."""
        self._mix.members.remove(self._members.pop(stream))
        stream.room = stream.member = None
        stream.marker = rtp.MARKER

    def cue(self, ulaw: bytes, unheard_by: Stream | None) -> None:
        """A sound that all hear but one."""
        member = unheard_by.member if unheard_by is not None else None
        self._mix.add_cue(Cue(ulaw, member))

    def tick(self, now: float) -> None:
        """Mixes 20 ms; the members send them at their own ticks."""
        mix = self._mix
        mix.mix()
        for stream, payload in zip(self._members, mix.frames(), strict=True):
            member = self._members[stream]
            # What a longer packet collects, and a frame for whose tick comes before ours.
            member.hear(payload, stream.samples + FRAME)
        if self.recordings:
            self._record(now)

    def _record(self, now: float) -> None:
        at = self._timestamp
        self._timestamp = (at + FRAME) & 0xFFFFFFFF
        if self._mix.total is not None:
            payload = self._mix.heard(rtp.PCMU)
            for recording in self.recordings:
                recording.heard(at, rtp.PCMU, payload, now)
        for recording in [r for r in self.recordings if now >= r.next_at]:
            if recording.hand_over(now):
                self.recordings.remove(recording)

    def close(self, now: float) -> None:
        """Everybody leaves; the recordings end."""
        for stream in list(self._members):
            self.leave(stream)
        for recording in self.recordings:
            recording.hand_over(now, last=True)
        self.recordings.clear()
