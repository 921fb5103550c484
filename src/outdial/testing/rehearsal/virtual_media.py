"""Streams without packets: everything takes the loop's time, digits arrive, recordings are written.

Stands behind `observed_media`, whose `hearing` knows who is connected with whom.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from outdial.legs import (
    Clip,
    Digit,
    MediaEvent,
    MediaLeg,
    MediaListener,
    MediaParams,
    MediaStats,
    NoRtp,
    PlayEnd,
    RecordingDone,
    RecordingPlan,
    Room,
)
from outdial.media.core import dtmf, tones
from outdial.testing.rehearsal.hearing import Address, Hearing, Stream, Watch
from outdial.testing.rehearsal.sounds import DIGITS, Sound
from outdial.testing.rehearsal.tape import Tape

ADDRESS = "127.0.0.1"
_FIRST_PORT = 40_000

Sounds = Callable[[], Iterable[Sound]]


class VirtualMedia:
    """Fulfils `legs.MediaPlane`."""

    def __init__(self, hearing: Hearing) -> None:
        self.hearing = hearing
        self._legs: dict[Address, VirtualLeg] = {}
        self._opened = 0

    def open(self, leg_id: str, listener: MediaListener, near: MediaLeg | None = None) -> MediaLeg:
        """See MediaPlane."""
        port = _FIRST_PORT + 2 * self._opened
        self._opened += 1
        leg = self._legs[ADDRESS, port] = VirtualLeg(self, port, listener)
        return leg

    def room(self, room_id: str, listener: MediaListener) -> Room:
        """See MediaPlane."""
        return VirtualRoom(self, listener)

    def leg_of(self, stream: Stream | None) -> VirtualLeg | None:
        """The leg whose audio it is."""
        return None if stream is None else self._legs.get(stream.address)

    def forget(self, leg: VirtualLeg) -> None:
        """It is closed."""
        self._legs.pop((ADDRESS, leg.port), None)

    def stream_of(self, leg: VirtualLeg) -> Stream | None:
        """What `hearing` knows of it."""
        return self.hearing.stream_at((ADDRESS, leg.port))

    async def stats(self) -> dict[str, int]:
        """What `/metrics` says of it."""
        return {"legs": len(self._legs), "workers": 1}

    async def stop(self) -> None:
        """Closes every stream."""
        for leg in list(self._legs.values()):
            leg.close()


@dataclass(eq=False, slots=True)
class _Play:
    """An item of a leg's queue."""

    future: asyncio.Future[PlayEnd]
    seconds: float | None
    """None: until it is stopped."""
    digits: str = ""
    began_at: float = 0.0

    def end(self, how: PlayEnd) -> None:
        if not self.future.done():
            self.future.set_result(how)


class VirtualLeg:
    """Fulfils `legs.MediaLeg`."""

    address = ADDRESS

    def __init__(self, media: VirtualMedia, port: int, listener: MediaListener) -> None:
        self.port = port
        self._media = media
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Play] = deque()
        self._current: _Play | None = None
        self._timers: list[asyncio.TimerHandle] = []
        """Of what plays."""
        self._recordings = Recordings(media.hearing, self._tell)
        self._silence_s = 0.0
        self._silence: asyncio.TimerHandle | None = None
        self._watch: Watch | None = None
        self._started = False
        self._closed = False

    def start(self, params: MediaParams) -> None:
        """See MediaLeg."""
        self._started = True
        self._play_next()

    def update(self, params: MediaParams) -> None:
        """See MediaLeg: `hearing` follows the address."""

    def queue(self, clip: Clip, loops: int = 1) -> Awaitable[PlayEnd]:
        """See MediaLeg."""
        return self._add(clip.duration_ms * loops / 1000 if loops else None)

    def tone(self, name: str) -> Awaitable[PlayEnd]:
        """See MediaLeg."""
        tone = tones.find(name)
        play = self._add(None if tone.endless else sum(tone.cadence_ms) / 1000)
        if name.partition(":")[0] == "ringback":
            self._give_way(play)
        return play

    def stop_playing(self) -> None:
        """See MediaLeg."""
        self._end_plays(PlayEnd.STOPPED)

    def send_digits(self, digits: str, *, at_once: bool = False) -> Awaitable[PlayEnd]:
        """See MediaLeg."""
        seconds = sum(one.duration_ms + one.gap_ms for one in dtmf.steps(digits)) / 1000
        if at_once:
            self._make_room()
        return self._add(seconds, digits, first=at_once)

    def bridge(self, other: MediaLeg) -> None:
        """See MediaLeg: `hearing` follows it, as everything below up to `mute`."""

    def unbridge(self) -> None:
        """See MediaLeg."""

    def join(self, room: Room, *, muted: bool = False) -> None:
        """See MediaLeg."""

    def leave(self) -> None:
        """See MediaLeg."""

    def mute(self, muted: bool) -> None:
        """See MediaLeg."""

    def hush(self, hushed: bool) -> None:
        """See MediaLeg."""

    def record(self, plan: RecordingPlan) -> None:
        """See MediaLeg."""
        stream = self._media.stream_of(self)
        hearing = self._media.hearing
        if stream is not None and not self._closed:
            self._recordings.start(
                plan, lambda: hearing.received(stream), lambda: hearing.sent(stream)
            )

    def pause_recording(self, recording_id: str, paused: bool) -> None:
        """See MediaLeg."""
        self._recordings.pause(recording_id, paused)

    def stop_recording(self, recording_id: str) -> None:
        """See MediaLeg."""
        self._recordings.stop(recording_id)

    def listen(self, silence_s: float) -> None:
        """Nobody speaks here: scripted phones press keys."""

    def stop_listening(self) -> None:
        """See MediaLeg."""

    def watch_silence(self, seconds: float) -> None:
        """See MediaLeg. Every stream that is open sends packets, so only its end is silence."""
        self._silence_s = seconds
        stream = self._media.stream_of(self)
        if self._watch is None and stream is not None:
            hearing = self._media.hearing

            def look() -> Iterable[Sound]:
                self._far_end_is(hearing.far_end(stream) is not None)
                return ()

            self._watch = hearing.watch(look, _ignore, _ignore)

    def close(self) -> None:
        """See MediaLeg."""
        if self._closed:
            return
        self._closed = True
        self._end_plays(PlayEnd.LOST)
        self._recordings.close()
        if self._watch is not None:
            self._media.hearing.unwatch(self._watch)
        if self._silence is not None:
            self._silence.cancel()
        self._media.forget(self)
        self._tell(MediaStats())

    def take_digit(self, digit: str, duration_ms: int) -> None:
        """The far end has pressed a key: it is told, and passed on to a bridged leg's far end."""
        self._tell(Digit(digit, "rfc4733", duration_ms))
        stream, hearing = self._media.stream_of(self), self._media.hearing
        if stream is not None and stream.bridged is not None and not stream.hushed:
            other = self._media.leg_of(hearing.far_end(stream.bridged))
            if other is not None and other is not self:
                other.take_digit(digit, duration_ms)

    # ------------------------------------------------------------------ playing

    def _give_way(self, ringback: asyncio.Future[PlayEnd]) -> None:
        """It is over with the first sound that a bridged leg receives."""
        stream, hearing = self._media.stream_of(self), self._media.hearing
        if stream is None or ringback.done():
            return

        def arriving() -> list[Sound]:
            sounds = [] if stream.bridged is None else hearing.received(stream.bridged)
            return [sound for sound in sounds if sound.kind != DIGITS]

        def make_way(_: Sound) -> None:
            self._loop.call_soon(lambda: None if ringback.done() else self.stop_playing())

        watch = hearing.watch(arriving, make_way, _ignore)
        ringback.add_done_callback(lambda _: hearing.unwatch(watch))

    def _add(
        self, seconds: float | None, digits: str = "", *, first: bool = False
    ) -> asyncio.Future[PlayEnd]:
        play = _Play(self._loop.create_future(), seconds, digits)
        if self._closed:
            play.end(PlayEnd.LOST)
            return play.future
        if first:
            self._waiting.appendleft(play)
        else:
            self._waiting.append(play)
        self._play_next()
        return play.future

    def _make_room(self) -> None:
        """What plays goes on later where it is now; digits that are being sent are ended."""
        play, self._current = self._current, None
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        if play is None:
            return
        if play.digits:
            play.end(PlayEnd.STOPPED)
            return
        if play.seconds is not None:
            play.seconds -= self._loop.time() - play.began_at
        self._waiting.appendleft(play)

    def _play_next(self) -> None:
        if self._current is not None or not self._waiting or not self._started:
            return
        play = self._current = self._waiting.popleft()
        play.began_at = self._loop.time()
        at = 0.0
        for step in dtmf.steps(play.digits):
            at += step.duration_ms / 1000
            if step.digit:
                self._later(at, lambda step=step: self._send(step))  # type: ignore[misc]
            at += step.gap_ms / 1000
        if play.seconds is not None:
            self._later(play.seconds, lambda: self._finish(play))

    def _send(self, step: dtmf.Step) -> None:
        stream = self._media.stream_of(self)
        far = None if stream is None else self._media.hearing.far_end(stream)
        leg = self._media.leg_of(far)
        if leg is not None:
            leg.take_digit(step.digit, step.duration_ms)

    def _finish(self, play: _Play) -> None:
        self._current = None
        self._timers.clear()
        play.end(PlayEnd.FINISHED)
        self._play_next()

    def _end_plays(self, how: PlayEnd) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        current, self._current = self._current, None
        waiting = list(self._waiting)
        self._waiting.clear()
        for play in ([current] if current else []) + waiting:
            play.end(how)

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        self._timers.append(self._loop.call_later(seconds, action))

    # ------------------------------------------------------------------ silence

    def _far_end_is(self, there: bool) -> None:
        if there and self._silence is not None:
            self._silence.cancel()
            self._silence = None
        elif not there and self._silence is None and self._silence_s:
            self._silence = self._loop.call_later(self._silence_s, self._fell_silent)

    def _fell_silent(self) -> None:
        if not self._closed:
            self._listener(NoRtp(self._silence_s))

    def _tell(self, event: MediaEvent) -> None:
        self._loop.call_soon(self._listener, event)


class VirtualRoom:
    """Fulfils `legs.Room`. Cues are not followed."""

    def __init__(self, media: VirtualMedia, listener: MediaListener) -> None:
        self._hearing = media.hearing
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._recordings = Recordings(media.hearing, self._tell)
        self._closed = False

    def cue(self, name: str, unheard_by: MediaLeg | None = None) -> None:
        """See Room."""
        tones.find(name)

    def record(self, plan: RecordingPlan) -> None:
        """See Room."""
        self._recordings.start(plan, self._all, lambda: ())

    def stop_recording(self, recording_id: str) -> None:
        """See Room."""
        self._recordings.stop(recording_id)

    def close(self) -> None:
        """See Room."""
        if not self._closed:
            self._closed = True
            self._recordings.close()
            self._tell(MediaStats())

    def _all(self) -> Iterable[Sound]:
        hearing = self._hearing
        for stream in hearing.members(self):
            if not stream.muted:
                yield from hearing.received(stream)

    def _tell(self, event: MediaEvent) -> None:
        self._loop.call_soon(self._listener, event)


class Recordings:
    """Those of one leg or room."""

    def __init__(self, hearing: Hearing, tell: MediaListener) -> None:
        self._hearing = hearing
        self._tell = tell
        self._running: dict[str, _Recording] = {}

    def start(self, plan: RecordingPlan, far: Sounds, near: Sounds) -> None:
        """What they are from now on, left the far end and right what it hears."""
        recording = _Recording(self._hearing, plan, far, near, self.stop)
        self._running[plan.recording_id] = recording

    def pause(self, recording_id: str, paused: bool) -> None:
        """Whether silence is recorded instead."""
        recording = self._running.get(recording_id)
        if recording is not None:
            recording.pause(paused)

    def stop(self, recording_id: str) -> None:
        """Writes it; without effect when it has ended."""
        recording = self._running.pop(recording_id, None)
        if recording is not None:
            self._tell(recording.end())

    def close(self) -> None:
        """Writes all of them."""
        for recording_id in list(self._running):
            self.stop(recording_id)


class _Recording:
    """One that goes on. `stop` is called when it ends by itself."""

    def __init__(
        self,
        hearing: Hearing,
        plan: RecordingPlan,
        far: Sounds,
        near: Sounds,
        stop: Callable[[str], None],
    ) -> None:
        self._hearing = hearing
        self._plan = plan
        self._stop = stop
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._tapes = (Tape(self._began), Tape(self._began))
        self._silence: asyncio.TimerHandle | None = None
        self._longest = self._loop.call_later(plan.max_duration_s, self._over)
        self._sounding = 0
        left, right = self._tapes
        self._watches = [
            hearing.watch(far, self._far_begins, self._far_ends),
            hearing.watch(
                near,
                lambda sound: right.begin(sound, self._loop.time()),
                lambda sound: right.end(sound, self._loop.time()),
            ),
        ]
        self._left = left
        self._await_silence()

    def pause(self, paused: bool) -> None:
        """Whether silence is recorded from now on."""
        for tape in self._tapes:
            tape.pause(paused, self._loop.time())

    def end(self) -> RecordingDone:
        """Writes the file."""
        for watch in self._watches:
            self._hearing.unwatch(watch)
        self._longest.cancel()
        if self._silence is not None:
            self._silence.cancel()
        plan = self._plan
        seconds = min(self._loop.time() - self._began, plan.max_duration_s)
        tapes = self._tapes[: plan.channels]
        try:
            size_bytes = Tape.write(tapes, seconds, plan.path)
        except OSError as error:
            problem = f"the recording cannot be written: {error.strerror}"
            return RecordingDone(plan.recording_id, plan.path, 0, 0, problem)
        return RecordingDone(
            plan.recording_id,
            plan.path,
            round(seconds * 1000),
            size_bytes,
            "",
            round(self._left.sound_s(seconds) * 1000),
        )

    def _far_begins(self, sound: Sound) -> None:
        self._left.begin(sound, self._loop.time())
        self._sounding += 1
        self._await_silence()

    def _far_ends(self, sound: Sound) -> None:
        self._left.end(sound, self._loop.time())
        self._sounding -= 1
        self._await_silence()

    def _await_silence(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None
        if self._plan.silence_s and not self._sounding:
            self._silence = self._loop.call_later(self._plan.silence_s, self._over)

    def _over(self) -> None:
        self._stop(self._plan.recording_id)


def _ignore(sound: Sound) -> None:
    """Nobody asks."""
