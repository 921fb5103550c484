"""Signalling, media, store and callbacks that record what they were asked and do as told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from outdial.errors import MediaUnavailable, StoreConflict, StoreUnavailable
from outdial.legs import (
    Clip,
    DialTarget,
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
    TracedMessage,
    TraceListener,
)
from outdial.store.records import (
    CallRecord,
    Change,
    DeliveryRecord,
    EventRecord,
    IdempotencyRecord,
    MessageRecord,
    RecordingRecord,
)
from outdial.testing.legs import FakeRoom

ANSWER = (
    b"v=0\r\no=far 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n"
    b"a=rtpmap:101 telephone-event/8000\r\n"
)


class FakeSignallingLeg:
    """A dialled leg; tests make its far side act with `say`."""

    def __init__(self, target: DialTarget, offer: bytes, listener: SignallingListener) -> None:
        self.target = target
        self.offer = offer
        self.say = listener
        self.hung_up = 0
        self.answered_with: list[bytes] = []
        self.refused_with: list[int] = []
        self.confirms_cancel = True
        self.acknowledged = 0
        self.transfer: list[int | str] = []
        """What was answered to a REFER, and told by NOTIFY."""
        self.is_dismissed = False
        self.data: dict[str, Any] = {"call_id": target.leg_id, "branch": "z9hG4bKfake"}
        """What is kept of it; `answers` takes the branch out."""
        self._answered = False
        self._over = False

    @property
    def sip_call_id(self) -> str:
        return self.target.leg_id

    @property
    def is_secure(self) -> bool:
        return False

    @property
    def peer(self) -> tuple[str, int] | None:
        return ("192.0.2.1", 5060)

    @property
    def dialog_data(self) -> Mapping[str, Any] | None:
        return None if self._over else dict(self.data)

    def acknowledge(self) -> None:
        self.acknowledged += 1

    def answers(self, event: SignallingEvent) -> None:
        """The far side answers."""
        self._answered = True
        self.data.pop("branch", None)
        self.say(event)

    def hang_up(self, status: int = 0, reason: str = "") -> None:
        self.hung_up += 1
        if self._over:
            return
        self._over = True
        if self._answered:
            self._later(Released(by_far_end=False, status=200))
        elif self.confirms_cancel:
            self._later(Rejected(487, "Request Terminated"))

    def _later(self, event: SignallingEvent) -> None:
        asyncio.get_running_loop().call_soon(self.say, event)

    def answer_offer(self, sdp: bytes) -> None:
        self.answered_with.append(sdp)

    def refuse_offer(self, status: int = 488) -> None:
        self.refused_with.append(status)

    def reoffer(self, sdp: bytes) -> None:
        raise AssertionError("nobody re-offers yet")

    def accept_transfer(self) -> None:
        self.transfer.append(202)

    def refuse_transfer(self, status: int = 603) -> None:
        self.transfer.append(status)

    def tell_transfer(self, status: int, reason: str = "") -> None:
        self.transfer.append(f"SIP/2.0 {status}")

    def dismiss(self) -> None:
        self.is_dismissed = True
        self.say = lambda event: None
        self.hang_up()


class FakeSignalling:
    """A plane whose legs wait for the test."""

    def __init__(self) -> None:
        self.legs: list[FakeSignallingLeg] = []
        self.dialled = asyncio.Event()
        self.released: list[Mapping[str, Any]] = []
        self.secure: set[str] = set()
        """Trunks whose records lead to TLS."""
        self.before_records: Callable[[], Awaitable[None]] | None = None
        """What happens while they are looked up."""

    async def goes_over_tls(self, trunk: str) -> bool:
        if self.before_records is not None:
            await self.before_records()
        return trunk in self.secure

    def dial(
        self,
        target: DialTarget,
        offer: bytes,
        listener: SignallingListener,
        trace: TraceListener | None = None,
    ) -> FakeSignallingLeg:
        leg = FakeSignallingLeg(target, offer, listener)
        self.legs.append(leg)
        self.dialled.set()
        if trace is not None:
            trace(TracedMessage(0.0, True, "192.0.2.1:5060", "udp", b"INVITE"))
        return leg

    def release(self, dialog_data: Mapping[str, Any], trace: TraceListener | None = None) -> None:
        self.released.append(dialog_data)
        if trace is not None:
            trace(TracedMessage(0.0, True, "192.0.2.1:5060", "udp", b"BYE"))

    async def next_leg(self, count: int = 1) -> FakeSignallingLeg:
        """The leg number `count`, once it is dialled."""
        while len(self.legs) < count:
            self.dialled.clear()
            await self.dialled.wait()
        return self.legs[count - 1]


class FakeMediaLeg:
    """A stream that finishes what it plays when the test says so, or at once."""

    def __init__(self, leg_id: str, listener: MediaListener, near: MediaLeg | None) -> None:
        self.leg_id = leg_id
        self.say = listener
        self.near = near
        self.started: list[MediaParams] = []
        self.done: list[str] = []
        self.recording: RecordingPlan | None = None
        self.room: Room | None = None
        self.sound_ms = 1200
        """How much sound there is in what is recorded."""
        self.closed = False
        self.plays_at_once = True
        self.digits_end = True
        """Whether digits end by themselves."""
        self._playing: list[asyncio.Future[PlayEnd]] = []

    @property
    def address(self) -> str:
        return "192.0.2.2"

    @property
    def port(self) -> int:
        return 20000

    def start(self, params: MediaParams) -> None:
        self.started.append(params)
        self.done.append("start")

    def update(self, params: MediaParams) -> None:
        self.started.append(params)
        self.done.append("update")

    def _play(self, what: str, ends: bool) -> asyncio.Future[PlayEnd]:
        self.done.append(what)
        future: asyncio.Future[PlayEnd] = asyncio.get_running_loop().create_future()
        if ends and self.plays_at_once:
            future.set_result(PlayEnd.FINISHED)
        else:
            self._playing.append(future)
        return future

    def queue(self, clip: Clip, loops: int = 1) -> asyncio.Future[PlayEnd]:
        return self._play(f"play {clip.ulaw_path}", loops > 0)

    def tone(self, name: str) -> asyncio.Future[PlayEnd]:
        return self._play(f"tone {name}", name == "beep")

    def finish(self) -> None:
        """All that plays ends."""
        self._end_all(PlayEnd.FINISHED)

    def stop_playing(self) -> None:
        self.done.append("stop")
        self._end_all(PlayEnd.STOPPED)

    def _end_all(self, end: PlayEnd) -> None:
        for future in self._playing:
            if not future.done():
                future.set_result(end)
        self._playing.clear()

    def send_digits(self, digits: str, *, at_once: bool = False) -> asyncio.Future[PlayEnd]:
        return self._play(f"digits {digits}{' at once' if at_once else ''}", self.digits_end)

    def bridge(self, other: MediaLeg) -> None:
        self.done.append("bridge")

    def unbridge(self) -> None:
        self.done.append("unbridge")

    def join(self, room: Room, *, muted: bool = False) -> None:
        self.room = room
        self.done.append("join muted" if muted else "join")

    def leave(self) -> None:
        self.room = None
        self.done.append("leave")

    def mute(self, muted: bool) -> None:
        self.done.append("mute" if muted else "unmute")

    def hush(self, hushed: bool) -> None:
        self.done.append("hush" if hushed else "unhush")

    def record(self, plan: RecordingPlan) -> None:
        self.recording = plan
        self.done.append("record")

    def stop_recording(self, recording_id: str) -> None:
        self.done.append("stop recording")
        self._end_recording()

    def pause_recording(self, recording_id: str, paused: bool) -> None:
        self.done.append("pause recording" if paused else "resume recording")

    def listen(self, silence_s: float) -> None:
        self.done.append(f"listen {silence_s:g}")

    def stop_listening(self) -> None:
        self.done.append("stop listening")

    def watch_silence(self, seconds: float) -> None:
        self.done.append(f"watch {seconds:g}")

    def _end_recording(self) -> None:
        plan, self.recording = self.recording, None
        if plan is not None:
            done = RecordingDone(plan.recording_id, plan.path, 2500, 40044, "", self.sound_ms)
            asyncio.get_running_loop().call_soon(self.say, done)

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self.done.append("close")
        self._end_all(PlayEnd.LOST)
        loop = asyncio.get_running_loop()
        self._end_recording()
        loop.call_soon(self.say, MediaStats(packets_sent=7))


class FakeMedia:
    """A plane of fake streams."""

    def __init__(self) -> None:
        self.legs: list[FakeMediaLeg] = []
        self.rooms: list[FakeRoom] = []
        self.is_full = False

    def open(
        self, leg_id: str, listener: MediaListener, near: MediaLeg | None = None
    ) -> FakeMediaLeg:
        if self.is_full:
            raise MediaUnavailable("no free port")
        leg = FakeMediaLeg(leg_id, listener, near)
        self.legs.append(leg)
        return leg

    def room(self, room_id: str, listener: MediaListener) -> FakeRoom:
        self.rooms.append(FakeRoom(room_id, listener))
        return self.rooms[-1]


@dataclass
class FakeStore:
    """Keeps what is written; `away` makes every write fail."""

    away: bool = False
    calls: list[CallRecord] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    timeline: list[EventRecord] = field(default_factory=list)
    ladders: dict[str, int] = field(default_factory=dict)
    recordings: list[RecordingRecord] = field(default_factory=list)
    messages: dict[str, MessageRecord] = field(default_factory=dict)
    """Short messages as they were last written."""
    repeats: dict[tuple[str, str], IdempotencyRecord] = field(default_factory=dict)
    node: str = ""
    elsewhere: set[str] = field(default_factory=set)
    """Calls that another node has taken out of the queue."""

    async def create_call(
        self,
        call: CallRecord,
        events: Sequence[EventRecord] = (),
        deliveries: Sequence[DeliveryRecord] = (),
        idempotency: IdempotencyRecord | None = None,
    ) -> None:
        if self.away:
            raise StoreUnavailable("the store is away")
        if idempotency is not None:
            token = idempotency.key_name, idempotency.token
            if token in self.repeats:
                raise StoreConflict("there is such a row")
            self.repeats[token] = idempotency
        self.calls.append(call)
        self.timeline.extend(events)

    async def commit(self, change: Change) -> None:
        await self.commit_soon(change)

    def commit_soon(self, change: Change, within_s: float = 0.0) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.away:
            future.set_exception(StoreUnavailable("the store is away"))
        elif change.only_if and change.call_sid in self.elsewhere:
            future.set_exception(StoreConflict("it is no longer so"))
        else:
            self.changes.append(change)
            self.timeline.extend(change.events)
            self.recordings.extend(change.recordings)
            self.messages.update({message.sid: replace(message) for message in change.messages})
            future.set_result(None)
        return future

    async def unfinished_messages(self) -> list[MessageRecord]:
        return [replace(m) for m in self.messages.values() if m.ended_at is None]

    def note(self, event: EventRecord) -> None:
        self.timeline.append(event)

    def save_ladder(self, call_sid: str, messages: Sequence[TracedMessage]) -> None:
        self.ladders[call_sid] = len(messages)

    async def ladder(self, sid: str) -> list[TracedMessage]:
        kept = TracedMessage(0.0, True, "192.0.2.1:5060", "udp", b"INVITE")
        return [kept] * self.ladders.get(sid, 0)

    async def call(self, sid: str) -> CallRecord | None:
        return next((call for call in self.calls if call.sid == sid), None)

    async def events(self, call_sid: str, after_seq: int = -1) -> list[EventRecord]:
        found = [e for e in self.timeline if e.call_sid == call_sid and e.seq > after_seq]
        return found[:1000]

    async def flush(self) -> None:
        pass

    async def unfinished_calls(self) -> list[CallRecord]:
        return [call for call in self.calls if call.ended_at is None]

    def states(self, sid: str = "") -> list[str]:
        """The states written, in order."""
        return [
            str(change.fields["state"])
            for change in self.changes
            if "state" in change.fields and (not sid or change.call_sid == sid)
        ]

    def kinds(self, sid: str = "") -> list[str]:
        """The kinds of the events, in order."""
        return [event.kind for event in self.timeline if not sid or event.call_sid == sid]


@dataclass
class FakeCallbacks:
    """Keeps the deliveries."""

    submitted: list[DeliveryRecord] = field(default_factory=list)

    def submit(self, deliveries: Sequence[DeliveryRecord]) -> None:
        self.submitted.extend(deliveries)
