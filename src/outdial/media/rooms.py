"""A room as the control process sees it: one mix on each worker that has members, and links.

Streams do not move between processes, so a room whose members live on several workers is a star:
the mix of the first member's worker is its hub, and each other mix is joined to the hub by two
streams that send each other RTP as any two far ends would. A link is a member like any other: it
carries the sum of all who are not behind it, so nobody hears himself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from outdial import log
from outdial.errors import MediaUnavailable
from outdial.legs import (
    Codec,
    MediaEvent,
    MediaLeg,
    MediaListener,
    MediaLost,
    MediaParams,
    MediaStats,
    RecordingPlan,
)
from outdial.media import wire
from outdial.media.core import tones

if TYPE_CHECKING:
    from outdial.media.leg import Leg
    from outdial.media.process import Worker

NO_EVENTS = 127
"""A payload type for telephone events, which a link never carries: with one agreed on, nobody
listens for digits in its sound."""
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Where a worker that listens on every address can be reached from this machine."""

_log = log.get("media")


class Part:
    """The mix of one worker."""

    __slots__ = ("_listener", "link", "number", "worker")

    def __init__(self, worker: Worker, listener: MediaListener) -> None:
        self.worker = worker
        self.link: tuple[MediaLeg, MediaLeg] | None = None
        """The streams to the hub, that of the hub first; None: it is the hub."""
        self._listener = listener
        self.number = worker.add_room(self)

    def command(self, opcode: int, payload: bytes = b"") -> None:
        """To the worker, about this mix."""
        self.worker.command(opcode, self.number, payload)

    def tell(self, event: MediaEvent) -> None:
        """Something happened to it."""
        self._listener(event)

    def ended(self, event: MediaStats | MediaLost) -> None:
        """It is gone."""
        self._listener(event)


class WorkerRoom:
    """Fulfils `legs.Room`."""

    def __init__(self, room_id: str, listener: MediaListener) -> None:
        self._room_id = room_id
        self._listener = listener
        self._parts: dict[Worker, Part] = {}
        """The hub first."""
        self._waiting = 0
        """Mixes that have not told their end after `close`."""
        self._closed = False

    def number_on(self, worker: Worker) -> int:
        """The mix for a stream that lives there. Raises MediaUnavailable."""
        if self._closed:
            raise MediaUnavailable("the room is closed")
        part = self._parts.get(worker)
        if part is None:
            part = self._parts[worker] = Part(worker, lambda event: self._told(worker, event))
            try:
                self._link(part)
            except MediaUnavailable:
                del self._parts[worker]
                part.command(wire.CLOSE)
                raise
        return part.number

    def _link(self, part: Part) -> None:
        """Joins the mix to the hub."""
        hub = self._hub
        if part is hub:
            return
        ends: list[Leg] = []
        try:
            for worker in (hub.worker, part.worker):
                ends.append(worker.open(f"{self._room_id} link", _ignore))
        except MediaUnavailable:
            for end in ends:
                end.close()
            raise
        for end, other, mix in zip(ends, reversed(ends), (hub, part), strict=True):
            there = ANYWHERE.get(other.worker.address, other.worker.address)
            end.start(MediaParams(there, other.port, Codec.PCMU, NO_EVENTS))
            end.join_mix(mix.number, muted=False, hears_cues=False)
        part.link = (ends[0], ends[1])

    @property
    def _hub(self) -> Part:
        return next(iter(self._parts.values()))

    def cue(self, name: str, unheard_by: MediaLeg | None = None) -> None:
        """See Room."""
        tones.find(name)
        for worker, part in self._parts.items():
            number = worker.number_of(unheard_by) if unheard_by is not None else 0
            part.command(wire.CUE, wire.pack_cue(name, number))

    def record(self, plan: RecordingPlan) -> None:
        """See Room."""
        if not self._parts:
            raise MediaUnavailable("nobody is in the room")
        order = wire.RecordOrder(
            *(plan.recording_id, plan.path, 1, plan.max_duration_s, plan.silence_s),
            *(plan.seal_head, plan.seal_key),
        )
        self._hub.command(wire.RECORD, wire.pack_record(order))

    def stop_recording(self, recording_id: str) -> None:
        """See Room."""
        if self._parts:
            self._hub.command(wire.STOP_RECORDING, wire.pack_text(recording_id))

    def close(self) -> None:
        """See Room."""
        if self._closed:
            return
        self._closed = True
        parts, self._parts = list(self._parts.values()), {}
        self._waiting = len(parts)
        for part in parts:
            self._unlink(part)
            part.command(wire.CLOSE)
        if not parts:
            self._listener(MediaStats())

    def _unlink(self, part: Part) -> None:
        for end in part.link or ():
            end.close()
        part.link = None

    def _told(self, worker: Worker, event: MediaEvent) -> None:
        """What a mix says: ends of recordings, and its own."""
        if not isinstance(event, MediaStats | MediaLost):
            self._listener(event)
        elif self._closed:
            self._waiting -= 1
            if not self._waiting:
                self._listener(MediaStats())
        elif worker in self._parts:
            self._lost(worker, event)

    def _lost(self, worker: Worker, event: MediaStats | MediaLost) -> None:
        """A worker died, with its members. The others go on, if need be around another hub."""
        part = self._parts[worker]
        was_hub = part is self._hub
        del self._parts[worker]
        self._unlink(part)
        if not was_hub:
            return
        self._listener(event)
        for other in list(self._parts.values()):
            self._unlink(other)
            try:
                self._link(other)
            except MediaUnavailable as error:
                _log.error("room divided", room=self._room_id, reason=str(error))


def _ignore(event: MediaEvent) -> None:
    """A link has nothing to say that its worker's death does not."""
