"""A media plane whose streams are followed by `hearing`: it stands before any other plane."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from outdial.errors import MediaUnavailable
from outdial.legs import (
    Clip,
    Direction,
    MediaLeg,
    MediaListener,
    MediaParams,
    MediaPlane,
    PlayEnd,
    RecordingPlan,
    Room,
)
from outdial.testing.rehearsal.hearing import Hearing, Stream
from outdial.testing.rehearsal.sounds import DIGITS, TONE, Sound, Utterance, sound_of


class ObservedMedia:
    """Fulfils `legs.MediaPlane`. `on_stream` is told of each stream that is opened."""

    def __init__(
        self,
        plane: MediaPlane,
        hearing: Hearing,
        now: Callable[[], float],
        on_stream: Callable[[Stream], None] = lambda stream: None,
    ) -> None:
        self._plane = plane
        self._hearing = hearing
        self._now = now
        self._on_stream = on_stream

    def open(self, leg_id: str, listener: MediaListener, near: MediaLeg | None = None) -> MediaLeg:
        """See MediaPlane."""
        inner = self._plane.open(leg_id, listener, _inner(near))
        leg = ObservedLeg(leg_id, inner, self._hearing, self._now)
        self._on_stream(leg.stream)
        return leg

    def room(self, room_id: str, listener: MediaListener) -> Room:
        """See MediaPlane."""
        return ObservedRoom(self._plane.room(room_id, listener))


class ObservedRoom:
    """Fulfils `legs.Room`."""

    def __init__(self, inner: Room) -> None:
        self.inner = inner

    def cue(self, name: str, unheard_by: MediaLeg | None = None) -> None:
        """See Room."""
        self.inner.cue(name, _inner(unheard_by))

    def record(self, plan: RecordingPlan) -> None:
        """See Room."""
        self.inner.record(plan)

    def stop_recording(self, recording_id: str) -> None:
        """See Room."""
        self.inner.stop_recording(recording_id)

    def close(self) -> None:
        """See Room."""
        self.inner.close()


class ObservedLeg:
    """Fulfils `legs.MediaLeg`."""

    def __init__(
        self, leg_id: str, inner: MediaLeg, hearing: Hearing, now: Callable[[], float]
    ) -> None:
        self.inner = inner
        self.stream = Stream(leg_id, (inner.address, inner.port))
        self._hearing = hearing
        self._now = now
        self._queue: deque[Sound] = deque()
        hearing.add(self.stream)

    @property
    def address(self) -> str:
        """See MediaLeg."""
        return self.inner.address

    @property
    def port(self) -> int:
        """See MediaLeg."""
        return self.inner.port

    def start(self, params: MediaParams) -> None:
        """See MediaLeg."""
        self.inner.start(params)
        self._connect(params)

    def update(self, params: MediaParams) -> None:
        """See MediaLeg."""
        self.inner.update(params)
        self._connect(params)

    def queue(self, clip: Clip, loops: int = 1) -> Awaitable[PlayEnd]:
        """See MediaLeg."""
        return self._follow(self.inner.queue(clip, loops), sound_of(clip, loops))

    def tone(self, name: str) -> Awaitable[PlayEnd]:
        """See MediaLeg."""
        sound = Sound(Utterance(TONE, name.partition(":")[0]), "", None, None)
        return self._follow(self.inner.tone(name), sound)

    def send_digits(self, digits: str, *, at_once: bool = False) -> Awaitable[PlayEnd]:
        """See MediaLeg."""
        sound = Sound(Utterance(DIGITS, digits), "", None, None)
        playing = self.inner.send_digits(digits, at_once=at_once)
        return self._follow(playing, sound, at_once=at_once)

    def stop_playing(self) -> None:
        """See MediaLeg."""
        self.inner.stop_playing()
        self._queue.clear()
        self._play_next()

    def bridge(self, other: MediaLeg) -> None:
        """See MediaLeg."""
        if not isinstance(other, ObservedLeg):
            raise MediaUnavailable("a leg of another media plane")
        self.inner.bridge(other.inner)
        for stream in (self.stream, other.stream):
            self._part(stream)
        self.stream.bridged, other.stream.bridged = other.stream, self.stream
        self._hearing.changed()

    def unbridge(self) -> None:
        """See MediaLeg."""
        self.inner.unbridge()
        self._part(self.stream)
        self._hearing.changed()

    def join(self, room: Room, *, muted: bool = False) -> None:
        """See MediaLeg."""
        if not isinstance(room, ObservedRoom):
            raise MediaUnavailable("a room of another media plane")
        self.inner.join(room.inner, muted=muted)
        self._part(self.stream)
        self.stream.room, self.stream.muted = room.inner, muted
        self._hearing.changed()

    def leave(self) -> None:
        """See MediaLeg."""
        self.inner.leave()
        self.stream.room = None
        self._hearing.changed()

    def mute(self, muted: bool) -> None:
        """See MediaLeg."""
        self.inner.mute(muted)
        self.stream.muted = muted
        self._hearing.changed()

    def hush(self, hushed: bool) -> None:
        """See MediaLeg."""
        self.inner.hush(hushed)
        self.stream.hushed = hushed
        self._hearing.changed()

    def record(self, plan: RecordingPlan) -> None:
        """See MediaLeg."""
        self.inner.record(plan)

    def pause_recording(self, recording_id: str, paused: bool) -> None:
        """See MediaLeg."""
        self.inner.pause_recording(recording_id, paused)

    def stop_recording(self, recording_id: str) -> None:
        """See MediaLeg."""
        self.inner.stop_recording(recording_id)

    def listen(self, silence_s: float) -> None:
        """See MediaLeg."""
        self.inner.listen(silence_s)

    def stop_listening(self) -> None:
        """See MediaLeg."""
        self.inner.stop_listening()

    def watch_silence(self, seconds: float) -> None:
        """See MediaLeg."""
        self.inner.watch_silence(seconds)

    def close(self) -> None:
        """See MediaLeg."""
        self.inner.close()
        self._queue.clear()
        self._hearing.remove(self.stream)

    # ------------------------------------------------------------------ following

    def _connect(self, params: MediaParams) -> None:
        sends = params.direction in (Direction.SENDRECV, Direction.SENDONLY)
        far = (params.remote_address, params.remote_port)
        self.stream.far_address = far if sends else None
        self._play_next()

    @staticmethod
    def _part(stream: Stream) -> None:
        other, stream.bridged = stream.bridged, None
        if other is not None:
            other.bridged = None
        stream.room = None

    def _follow(
        self, playing: Awaitable[PlayEnd], sound: Sound, *, at_once: bool = False
    ) -> asyncio.Future[PlayEnd]:
        future = asyncio.ensure_future(playing)
        if at_once:
            self._queue.appendleft(sound)
        else:
            self._queue.append(sound)
        future.add_done_callback(lambda done: self._played(sound, done))
        self._play_next()
        return future

    def _played(self, sound: Sound, done: asyncio.Future[PlayEnd]) -> None:
        sound.finished = not done.cancelled() and done.result() is PlayEnd.FINISHED
        if sound in self._queue:
            self._queue.remove(sound)
            self._play_next()

    def _play_next(self) -> None:
        """What plays is what stands first in the queue, once packets flow."""
        first = self._queue[0] if self._queue and self.stream.far_address else None
        if first is not None and first is not self.stream.playing:
            first.began_at = self._now()
        self.stream.playing = first
        self._hearing.changed()


def _inner(leg: MediaLeg | None) -> MediaLeg | None:
    return leg.inner if isinstance(leg, ObservedLeg) else leg
