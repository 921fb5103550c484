"""Legs without a network: signalling and media that record what was asked and do as the test says.

They fulfil the protocols of `outdial.legs`; nothing happens on them that the test did not cause,
except that `FakeMediaLeg` ends a play when its `clock` has passed the clip's length.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from outdial import sdp
from outdial.errors import MediaUnavailable
from outdial.legs import (
    Caller,
    Clip,
    Codec,
    MediaEvent,
    MediaLeg,
    MediaListener,
    MediaParams,
    MediaStats,
    PlayEnd,
    RecordingDone,
    RecordingPlan,
    Rejected,
    Released,
    Room,
    SignallingEvent,
    SignallingListener,
    TraceListener,
)
from outdial.sip.core.headers import Headers
from outdial.sip.core.identity import caller_of, extra_headers
from outdial.sip.core.message import Request
from outdial.sip.core.outline import name_addr, user_part
from outdial.sip.core.uri import Uri

Sleep = Callable[[float], Coroutine[Any, Any, None]]

OFFER = sdp.offer("127.0.0.1", 40000, 1, (Codec.PCMU, Codec.PCMA))
"""An ordinary offer, for a `FakeIncomingLeg`."""


class FakeIncomingLeg:
    """A call towards us. `sent` lists what was done with it, in order."""

    def __init__(
        self,
        called: str,
        offer: bytes | None = OFFER,
        caller_id: str = "18005797676",
        caller_name: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.called = called
        self.caller_id = caller_id
        self.caller_name = caller_name
        self.offer = offer
        user = f"{user_part(caller_id)}@" if caller_id else ""
        from_ = name_addr(caller_name, f"sip:{user}carrier.example")
        self.request = Request(
            "INVITE",
            Uri.parse(f"sip:{called}@carrier.example"),
            Headers([("From", f"{from_};tag=far"), *(headers or {}).items()]),
            offer or b"",
        )
        self.source = ("127.0.0.1", 5060)
        self.account = ""
        self.peer: tuple[str, int] | None = self.source
        self.is_secure = False
        self.sip_call_id = f"call-to-{called}"
        self.sent: list[tuple[Any, ...]] = []
        self.answered = False
        self.over = False
        self.traced = False
        self._listener: SignallingListener = _ignore

    def caller(self, *, trusted: bool) -> Caller:
        return caller_of(self.request, trusted=trusted)

    @property
    def extra_headers(self) -> tuple[tuple[str, str], ...]:
        return extra_headers(self.request)

    @property
    def dialog_data(self) -> Mapping[str, Any] | None:
        return None if self.over else {"call_id": self.sip_call_id}

    def listen(self, listener: SignallingListener) -> None:
        self._listener = listener

    def trace(self, trace: TraceListener) -> None:
        self.traced = True

    def ring(self, status: int = 180, sdp: bytes | None = None) -> None:
        self.sent.append((status, sdp) if sdp else (status,))

    def accept(self, sdp: bytes) -> None:
        self.answered = True
        self.sent.append((200, sdp))

    def reject(
        self, status: int, reason: str = "", headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        if not self.answered and not self.over:
            self.over = True
            self.sent.append((status, *headers))
            self.emit(Rejected(status, reason, local=True))

    def hang_up(self, status: int = 0, reason: str = "") -> None:
        if self.over:
            return
        if not self.answered:
            self.reject(status or 603)
            return
        self.over = True
        self.sent.append(("BYE",))
        self.emit(Released(by_far_end=False))

    def answer_offer(self, sdp: bytes) -> None:
        self.sent.append(("answer", sdp))

    def refuse_offer(self, status: int = 488) -> None:
        self.sent.append(("refuse", status))

    def reoffer(self, sdp: bytes) -> None:
        self.sent.append(("reoffer", sdp))

    def accept_transfer(self) -> None:
        self.sent.append(("transfer", 202))

    def refuse_transfer(self, status: int = 603) -> None:
        self.sent.append(("transfer", status))

    def tell_transfer(self, status: int, reason: str = "") -> None:
        self.sent.append(("notify", status))

    def dismiss(self) -> None:
        self._listener = _ignore
        self.hang_up()

    def emit(self, event: SignallingEvent) -> None:
        """The far end did something."""
        self._listener(event)

    def cancel(self) -> None:
        """The caller gives up before the answer."""
        self.over = True
        self.emit(Rejected(487, "Request Terminated"))

    def bye(self) -> None:
        """The caller hangs up."""
        self.over = True
        self.emit(Released(by_far_end=True))

    @property
    def statuses(self) -> list[Any]:
        """What was sent, without bodies and headers."""
        return [entry[0] for entry in self.sent]


class FakeMediaLeg:
    """A stream without packets. `done` lists what was asked of it."""

    address = "127.0.0.1"

    def __init__(self, listener: MediaListener, port: int, sleep: Sleep) -> None:
        self.port = port
        self.done: list[tuple[Any, ...]] = []
        self.params: MediaParams | None = None
        self.closed = False
        self._emit = listener
        self._sleep = sleep
        self._last: asyncio.Future[PlayEnd] | None = None
        self._plays: list[asyncio.Future[PlayEnd]] = []
        self._recordings: dict[str, RecordingPlan] = {}

    def start(self, params: MediaParams) -> None:
        self.params = params
        self.done.append(("start",))

    def update(self, params: MediaParams) -> None:
        self.params = params
        self.done.append(("update",))

    def queue(self, clip: Clip, loops: int = 1) -> Awaitable[PlayEnd]:
        self.done.append(("play", clip.ulaw_path))
        return self._play(clip.duration_ms * loops / 1000 if loops else None)

    def tone(self, name: str) -> Awaitable[PlayEnd]:
        self.done.append(("tone", name))
        return self._play(0.5 if name == "beep" else None)

    def stop_playing(self) -> None:
        self.done.append(("stop",))
        self._end_plays(PlayEnd.STOPPED)

    def send_digits(self, digits: str, *, at_once: bool = False) -> Awaitable[PlayEnd]:
        self.done.append(("digits", digits))
        return self._play(0.2 * len(digits))

    def bridge(self, other: MediaLeg) -> None:
        self.done.append(("bridge", other))

    def unbridge(self) -> None:
        self.done.append(("unbridge",))

    def join(self, room: Room, *, muted: bool = False) -> None:
        self.done.append(("join", room, muted))

    def leave(self) -> None:
        self.done.append(("leave",))

    def mute(self, muted: bool) -> None:
        self.done.append(("mute", muted))

    def hush(self, hushed: bool) -> None:
        self.done.append(("hush", hushed))

    def record(self, plan: RecordingPlan) -> None:
        self.done.append(("record", plan.path))
        self._recordings[plan.recording_id] = plan

    def stop_recording(self, recording_id: str) -> None:
        plan = self._recordings.pop(recording_id, None)
        if plan is not None:
            path = Path(plan.path)
            size = path.stat().st_size if path.exists() else 0
            self.emit(RecordingDone(recording_id, plan.path, 1000, size, "", 1000))

    def pause_recording(self, recording_id: str, paused: bool) -> None:
        self.done.append(("pause recording", paused))

    def listen(self, silence_s: float) -> None:
        self.done.append(("listen", silence_s))

    def stop_listening(self) -> None:
        self.done.append(("stop listening",))

    def watch_silence(self, seconds: float) -> None:
        self.done.append(("watch", seconds))

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._end_plays(PlayEnd.LOST)
        for recording_id in list(self._recordings):
            self.stop_recording(recording_id)
        self.emit(MediaStats())

    def emit(self, event: MediaEvent) -> None:
        """Something arrived on the stream."""
        self._emit(event)

    def _end_plays(self, end: PlayEnd) -> None:
        for play in self._plays:
            if not play.done():
                play.set_result(end)
        self._plays.clear()

    def _play(self, seconds: float | None) -> asyncio.Future[PlayEnd]:
        loop = asyncio.get_running_loop()
        play: asyncio.Future[PlayEnd] = loop.create_future()
        before, self._last = self._last, play
        self._plays.append(play)
        if seconds is not None:
            task = loop.create_task(self._run_out(before, play, seconds))
            play.add_done_callback(lambda _: task.cancel())
        return play

    async def _run_out(
        self, before: asyncio.Future[PlayEnd] | None, play: asyncio.Future[PlayEnd], seconds: float
    ) -> None:
        if before is not None:
            await asyncio.wait([before])
        await self._sleep(seconds)
        if not play.done():
            play.set_result(PlayEnd.FINISHED)


class FakeRoom:
    """A room without sound. `done` lists what was asked of it."""

    def __init__(self, room_id: str, listener: MediaListener) -> None:
        self.room_id = room_id
        self.done: list[tuple[Any, ...]] = []
        self.closed = False
        self._emit = listener
        self._recordings: dict[str, RecordingPlan] = {}

    def cue(self, name: str, unheard_by: MediaLeg | None = None) -> None:
        self.done.append(("cue", name, unheard_by))

    def record(self, plan: RecordingPlan) -> None:
        self.done.append(("record", plan.path))
        self._recordings[plan.recording_id] = plan

    def stop_recording(self, recording_id: str) -> None:
        plan = self._recordings.pop(recording_id, None)
        if plan is not None:
            path = Path(plan.path)
            size = path.stat().st_size if path.exists() else 0
            self._emit(RecordingDone(recording_id, plan.path, 1000, size, "", 1000))

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        for recording_id in list(self._recordings):
            self.stop_recording(recording_id)
        self._emit(MediaStats())


class FakeMediaPlane:
    """Opens `FakeMediaLeg`s and keeps them in `legs`; refuses after `capacity` of them."""

    def __init__(self, sleep: Sleep = asyncio.sleep, capacity: int = 1000) -> None:
        self.legs: list[FakeMediaLeg] = []
        self.rooms: list[FakeRoom] = []
        self.capacity = capacity
        self._sleep = sleep

    def open(self, leg_id: str, listener: MediaListener, near: MediaLeg | None = None) -> MediaLeg:
        if len(self.legs) >= self.capacity:
            raise MediaUnavailable("no free port")
        leg = FakeMediaLeg(listener, 40000 + 2 * len(self.legs), self._sleep)
        self.legs.append(leg)
        return leg

    def room(self, room_id: str, listener: MediaListener) -> Room:
        self.rooms.append(FakeRoom(room_id, listener))
        return self.rooms[-1]


def _ignore(event: SignallingEvent) -> None:
    """Nobody listens yet."""
