"""A stream on a worker as the control process sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from outdial.errors import MediaUnavailable
from outdial.legs import (
    Clip,
    MediaEvent,
    MediaLeg,
    MediaListener,
    MediaLost,
    MediaParams,
    MediaStats,
    PlayEnd,
    RecordingPlan,
    Room,
)
from outdial.media import wire
from outdial.media.core import dtmf, tones
from outdial.media.rooms import WorkerRoom

if TYPE_CHECKING:
    from outdial.media.process import Worker


class Leg:
    """A stream on a worker; fulfils `legs.MediaLeg`."""

    __slots__ = (
        "_address",
        "_closed",
        "_listener",
        "_next_play",
        "_port",
        "_worker",
        "leg_id",
        "number",
        "plays",
    )

    def __init__(
        self, leg_id: str, worker: Worker, number: int, port: int, listener: MediaListener
    ) -> None:
        self.leg_id = leg_id
        self._worker = worker
        self.number = number
        """Of its stream on the worker."""
        self._address = worker.shown_address
        self._port = port
        self._listener: MediaListener | None = listener
        self.plays: dict[int, asyncio.Future[PlayEnd]] = {}
        self._next_play = 1
        self._closed = False

    @property
    def address(self) -> str:
        return self._address

    @property
    def port(self) -> int:
        return self._port

    @property
    def worker(self) -> Worker:
        """Where the stream lives."""
        return self._worker

    def start(self, params: MediaParams) -> None:
        self._command(wire.START, wire.pack_params(params))

    def update(self, params: MediaParams) -> None:
        self._command(wire.UPDATE, wire.pack_params(params))

    def queue(self, clip: Clip, loops: int = 1) -> Awaitable[PlayEnd]:
        play, future = self._new_play()
        payload = wire.pack_play(play, max(0, loops), clip.ulaw_path, clip.alaw_path)
        self._command(wire.QUEUE, payload)
        return future

    def tone(self, name: str) -> Awaitable[PlayEnd]:
        tones.find(name)
        play, future = self._new_play()
        self._command(wire.TONE, wire.pack_play(play, 0, name))
        return future

    def stop_playing(self) -> None:
        self._command(wire.STOP)

    def send_digits(self, digits: str, *, at_once: bool = False) -> Awaitable[PlayEnd]:
        dtmf.steps(digits)
        play, future = self._new_play()
        self._command(wire.DIGITS, wire.pack_play(play, 0 if at_once else 1, digits))
        return future

    def bridge(self, other: MediaLeg) -> None:
        if not isinstance(other, Leg) or other._worker is not self._worker or other is self:
            raise MediaUnavailable("only two legs of one worker can be bridged: open with `near`")
        if not other._closed:
            self._command(wire.BRIDGE, wire.pack_stream(other.number))

    def unbridge(self) -> None:
        self._command(wire.UNBRIDGE)

    def join(self, room: Room, *, muted: bool = False) -> None:
        if not isinstance(room, WorkerRoom):
            raise MediaUnavailable("a room of another media plane")
        if not self._closed:
            self.join_mix(room.number_on(self._worker), muted=muted, hears_cues=True)

    def join_mix(self, number: int, *, muted: bool, hears_cues: bool) -> None:
        """Joins a mix of its worker."""
        payload = wire.pack_join(number, muted=muted, hears_cues=hears_cues)
        self._command(wire.JOIN, payload)

    def leave(self) -> None:
        self._command(wire.LEAVE)

    def mute(self, muted: bool) -> None:
        self._command(wire.MUTE, wire.pack_mute(muted))

    def hush(self, hushed: bool) -> None:
        self._command(wire.HUSH, wire.pack_mute(hushed))

    def record(self, plan: RecordingPlan) -> None:
        order = wire.RecordOrder(
            *(plan.recording_id, plan.path, plan.channels, plan.max_duration_s, plan.silence_s),
            *(plan.seal_head, plan.seal_key),
        )
        self._command(wire.RECORD, wire.pack_record(order))

    def stop_recording(self, recording_id: str) -> None:
        self._command(wire.STOP_RECORDING, wire.pack_text(recording_id))

    def pause_recording(self, recording_id: str, paused: bool) -> None:
        self._command(wire.PAUSE_RECORDING, wire.pack_pause(recording_id, paused))

    def listen(self, silence_s: float) -> None:
        self._command(wire.LISTEN, wire.pack_seconds(silence_s))

    def stop_listening(self) -> None:
        self._command(wire.STOP_LISTENING)

    def watch_silence(self, seconds: float) -> None:
        self._command(wire.WATCH, wire.pack_seconds(seconds))

    def close(self) -> None:
        if not self._closed:
            self._command(wire.CLOSE)
            self._closed = True

    def _command(self, opcode: int, payload: bytes = b"") -> None:
        if not self._closed:
            self._worker.command(opcode, self.number, payload)

    def _new_play(self) -> tuple[int, asyncio.Future[PlayEnd]]:
        future: asyncio.Future[PlayEnd] = asyncio.get_running_loop().create_future()
        play = self._next_play
        self._next_play += 1
        if self._closed:
            future.set_result(PlayEnd.LOST)
        else:
            self.plays[play] = future
        return play, future

    # What the worker tells.

    def played(self, play: int, end: PlayEnd) -> None:
        """A play is over."""
        future = self.plays.pop(play, None)
        if future is not None and not future.done():
            future.set_result(end)

    def tell(self, event: MediaEvent) -> None:
        """Passes an event on; nothing after the terminal one."""
        if self._listener is not None:
            self._listener(event)

    def ended(self, event: MediaStats | MediaLost) -> None:
        """The terminal event: the stream is gone."""
        self._closed = True
        for play in list(self.plays):
            self.played(play, PlayEnd.LOST)
        listener, self._listener = self._listener, None
        if listener is not None:
            listener(event)
