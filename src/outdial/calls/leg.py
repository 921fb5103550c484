"""One outgoing leg from its first INVITE to its last packet, on whichever trunk takes it.

A leg has exactly one terminal event, whatever happens, and says why it ended. Signalling and media
call the listeners below; what follows from an event happens before the listener returns, and is
written to the journal in the same order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from outdial import log
from outdial.calls.audio import Audio
from outdial.calls.callbacks import Subscription
from outdial.calls.endings import may_try_next_trunk, of_full_trunks, of_rejection, of_release
from outdial.calls.history import History
from outdial.calls.kept_dialog import KeptDialog
from outdial.calls.ladder import Ladder
from outdial.calls.numbers import for_trunk
from outdial.calls.recording import Recordings
from outdial.calls.services import Services
from outdial.calls.states import Event, State
from outdial.calls.timers import Timers
from outdial.config import Trunk
from outdial.errors import (
    MediaUnavailable,
    NegotiationError,
    RemoteProtocolError,
    StoreConflict,
    StoreUnavailable,
)
from outdial.legs import (
    Answered,
    Codec,
    DialTarget,
    Digit,
    DigitInfo,
    Ending,
    MediaEvent,
    MediaLeg,
    MediaLost,
    MediaStats,
    NoRtp,
    Outcome,
    Reanswered,
    RecordingDone,
    Rejected,
    Released,
    Reoffer,
    Ringing,
    SignallingEvent,
    SignallingLeg,
    Source,
    TracedMessage,
)
from outdial.store.records import CallRecord, Change

CANCEL_WAIT_S = 2.0
"""How long a cancelled INVITE may take to confirm before the call is over without it."""
LAST_WORDS_WAIT_S = 2.0
"""How long the media worker may take to close a recording and give its counters."""
TIMELINE_LINGER_S = 10.0
"""How long after the end callbacks are still noted on the timeline."""
STORE_RETRY_S = 1.0

_ELSEWHERE = Ending(Outcome.CANCELED, "normal-clearing", Source.OUTDIAL)
"""Nobody sees it: the node that has the call says how that ends."""

_log = log.get("leg")


@dataclass(frozen=True, slots=True)
class LegPlan:
    """Whom to ring and how."""

    number: str
    """E.164 digits; "" when `uri` is given."""
    caller_id: str
    caller_name: str = ""
    uri: str = ""
    trunk: str = ""
    """Only this trunk; "": the routes decide."""
    timeout_s: float = 60.0
    record: bool = False


class CallLeg:
    """One leg. `place` rings it; `ended` gives the reason when it is over."""

    def __init__(
        self,
        services: Services,
        call: CallRecord,
        plan: LegPlan,
        subscription: Subscription | None,
        near: MediaLeg | None = None,
        next_seq: int = 0,
    ) -> None:
        self._services = services
        self.call = call
        self._plan = plan
        self._near = near
        self.timeline = services.journal.open_timeline(call.sid, next_seq)
        self._history = History(call, self.timeline, subscription, services.clock)
        loop = asyncio.get_running_loop()
        self._loop = loop
        self.ended: asyncio.Future[Ending] = loop.create_future()
        self.retired: asyncio.Future[None] = loop.create_future()
        self._talks: asyncio.Future[bool] = loop.create_future()
        """Whether audio flows; False when the leg is over before any did."""
        self._attempt: asyncio.Future[Rejected | Answered] | None = None
        self._signalling: SignallingLeg | None = None
        self._audio: Audio | None = None
        self._decided: Ending | None = None
        self._ending: Ending | None = None
        self.recordings = Recordings(services, self.timeline)
        self._ladder = Ladder(call.sid, services.journal, loop)
        self._timers = Timers(loop)
        self._limit_at = 0.0
        self._dialog = KeptDialog(
            call, services.journal, self._timers, lambda text: self.note("warning", text=text)
        )
        self._signalling_over = True
        self._early_answer: bytes | None = None
        self.is_elsewhere = False
        """Whether another node has taken the call out of the queue."""
        self.channel = ""
        """The trunk one of whose channels the leg holds."""
        self.on_digit: Callable[[str, str], None] | None = None
        """Called with each digit and its source: rfc4733, in-band or info."""
        self.on_early_media: Callable[[], None] | None = None
        """Set by whoever lets the caller hear it; without it early media is not taken."""

    # ------------------------------------------------------------------ what others ask

    @property
    def sid(self) -> str:
        """The call's id."""
        return self.call.sid

    @property
    def state(self) -> State:
        """Where the call is."""
        return self._history.state

    @property
    def media(self) -> MediaLeg:
        """The leg's audio; there is some from the first INVITE on."""
        if self._audio is None:
            raise MediaUnavailable("the leg has no audio yet")
        return self._audio.media

    @property
    def is_over(self) -> bool:
        """Whether the reason of the end is settled."""
        return self._ending is not None

    def begin(self) -> Change:
        """Moves to dialling; the change must be durable before `place` is called.

        For a leg that is stored and dialled in one go: that saves a transaction.
        """
        return self._transition(Event.DIAL, {})

    def free_channel(self, *, unused: bool = False) -> None:
        """Gives its trunk's channel back; `unused`: nothing was dialled on it."""
        if self.channel:
            channel, self.channel = self.channel, ""
            self._services.channels.give_back(channel, unused=unused)

    async def place(self) -> bool:
        """Rings until somebody answers (True) or the leg is over (False)."""
        try:
            self._timers.start("ring", self._plan.timeout_s, self._ring_expired)
            if self.state is not State.QUEUED or await self._begin():
                await self._await_lease()
                if not self.is_over:
                    await self._try_trunks()
        except MediaUnavailable as error:
            self._end(Ending(Outcome.FAILED, "media-failure", Source.OUTDIAL, detail=str(error)))
        except Exception:
            _log.exception("leg.defect", call=self.sid)
            self._drop_signalling()
            self._end(Ending(Outcome.FAILED, "internal-error", Source.OUTDIAL))
        finally:
            self._timers.cancel("ring")
        return self.state is State.ANSWERED and not self.is_over

    async def answer(self) -> bool:
        """Whether it is answered and audio flows, once that is settled; a leg that somebody else
        placed is answered now."""
        return self.state is State.ANSWERED and await asyncio.shield(self._talks)

    def hang_up(self, ending: Ending) -> None:
        """Ends the leg for that reason, in whatever state it is. Idempotent."""
        if self._ending is not None or self._decided is not None:
            return
        if self.state is State.ANSWERED:
            self._decided = ending
            self._drop_signalling()
            self._end(ending)
        elif self._signalling is None:
            self._end(ending)
        else:
            self._decided = ending
            self._drop_signalling()
            self._timers.start("cancel", CANCEL_WAIT_S, self._cancel_unconfirmed)

    def abandon(self, ending: Ending, at: float, ladder: Sequence[TracedMessage] = ()) -> None:
        """A leg of an earlier process, last heard of then: over at once.

        Its far end is released in the background; those messages follow the ones of the ladder.
        """
        if self.call.dialog is not None:
            self._ladder.continue_from(ladder)
            self._services.signalling.release(self.call.dialog, self._ladder.add)
        self.call.ended_at = at
        self._end(ending)

    def forget(self) -> None:
        """Another node has the call: here it is over without a word."""
        self.is_elsewhere = True
        self._ending = _ELSEWHERE
        self._timers.cancel_all()
        self.free_channel(unused=True)
        if not self.retired.done():
            self.ended.set_result(_ELSEWHERE)
            self.retired.set_result(None)
        self._services.journal.close_timeline(self.sid)

    def limit(self, seconds: float) -> None:
        """The leg is ended that long from now."""
        self._limit_at = self._services.clock.monotonic() + seconds
        self._timers.start("limit", seconds, self._limit_reached)

    def note(self, kind: str, **data: Any) -> None:
        """A line on the timeline."""
        self.timeline.note(kind, data)

    # ------------------------------------------------------------------ dialling

    async def _begin(self) -> bool:
        """Makes the dialling durable before anything leaves; False when the leg ended first."""
        change = self._transition(Event.DIAL, {})
        while not self.is_over:
            try:
                await self._services.journal.durable(change)
            except StoreUnavailable as error:
                _log.warning("leg.waits_for_store", call=self.sid, error=str(error))
                await asyncio.sleep(STORE_RETRY_S)
            except StoreConflict:
                self.forget()
            else:
                return not self.is_over
        return False

    async def _await_lease(self) -> None:
        """This process may have been stopped since the commit, and the call be another node's."""
        lease = self._services.lease
        while lease is not None and not lease.holds_lease and not self.is_over:
            try:
                await lease.confirm()
            except StoreUnavailable:
                await asyncio.sleep(STORE_RETRY_S)
            else:
                return

    async def _try_trunks(self) -> None:
        routes: tuple[Trunk | None, ...] = (
            (None,)
            if self._plan.uri
            else self._services.routes.to(self._plan.number, self._plan.trunk)
        )
        ending = Ending(
            Outcome.FAILED,
            "no-route",
            Source.OUTDIAL,
            detail=f"no trunk takes {self._plan.number}: see trunks.prefixes in the settings",
        )
        for place, trunk in enumerate(self._own_channel_first(routes)):
            if trunk is not None and not self._take_channel(trunk):
                ending = of_full_trunks(self._plan.number) if place == 0 else ending
                self.note("trunk.full", trunk=trunk.name)
                continue
            result = await self._dial(trunk)
            if isinstance(result, Answered):
                return
            if self._decided is not None:
                ending = replace(self._decided, sip_code=result.status)
                break
            ending = of_rejection(result)
            if self.is_over or not may_try_next_trunk(result) or place == len(routes) - 1:
                break
            self.note(
                "trunk.failed",
                trunk=trunk.name if trunk else "",
                status=result.status,
                reason=result.reason,
            )
        self._end(ending)

    def _own_channel_first(self, routes: tuple[Trunk | None, ...]) -> list[Trunk | None]:
        return sorted(routes, key=lambda trunk: trunk is None or trunk.name != self.channel)

    def _take_channel(self, trunk: Trunk) -> bool:
        """A channel of the trunk in place of the one it holds; False when there is none."""
        if trunk.name != self.channel:
            self.free_channel()
            now = self._services.clock.monotonic()
            if not self._services.channels.take_at_once(trunk.name, now):
                return False
            self.channel = trunk.name
        return True

    async def _dial(self, trunk: Trunk | None) -> Rejected | Answered:
        services, plan = self._services, self._plan
        if self._audio is None:
            self._audio = Audio(
                services.media.open(self.sid, self._on_media, self._near),
                [Codec[name] for name in services.settings.media.codecs],
                services.sdp_session_id(),
            )
        self._attempt = self._loop.create_future()
        self._signalling_over = False
        if trunk is not None:
            self.call.trunk = trunk.name
        target = DialTarget(
            leg_id=self.sid,
            trunk=trunk.name if trunk else "",
            number=for_trunk(plan.number, trunk.number_format) if trunk else "",
            caller_id=for_trunk(plan.caller_id, trunk.number_format) if trunk else plan.caller_id,
            caller_name=plan.caller_name,
            uri=plan.uri,
        )
        offer = self._audio.offer(learn_address=trunk is not None and trunk.nat)
        dialled = services.signalling.dial(target, offer, self._on_signalling, self._ladder.add)
        self._signalling = dialled
        self._dialog.dialled(dialled)
        return await self._attempt

    def _ring_expired(self) -> None:
        if self.state is not State.ANSWERED:
            self.hang_up(
                Ending(
                    Outcome.NO_ANSWER,
                    "no-answer",
                    Source.OUTDIAL,
                    detail=f"nobody answered within {self._plan.timeout_s:g} s",
                )
            )

    def _cancel_unconfirmed(self) -> None:
        if self._attempt is not None and not self._attempt.done():
            self._attempt.set_result(Rejected(487, "Request Terminated", local=True))

    # ------------------------------------------------------------------ signalling events

    def _on_signalling(self, event: SignallingEvent) -> None:
        match event:
            case Ringing():
                self._on_ringing(event)
            case Answered():
                self._on_answered(event)
            case Rejected():
                self._signalling_over = True
                self._resolve_attempt(event)
                self._retire_if_done()
            case Released():
                self._signalling_over = True
                self._end(self._decided or of_release(event))
                self._resolve_attempt(Rejected(487, "Request Terminated", local=True))
                self._retire_if_done()
            case Reoffer():
                self._on_reoffer(event)
            case Reanswered():
                self._on_reanswered(event)
            case DigitInfo():
                self._on_digit(event.digit, "info")

    def _on_ringing(self, event: Ringing) -> None:
        if self.is_over or self._decided is not None:
            return
        if self.state is State.DIALLING and event.status != 181:
            data = {"status": event.status, "trunk": self.call.trunk}
            self._write(Event.RING, data, **self._dialog.changes())
        if event.sdp is None or self._audio is None:
            return
        self._early_answer = event.sdp
        if self.on_early_media is not None:
            try:
                self._audio.accept(event.sdp)
            except (NegotiationError, RemoteProtocolError) as error:
                self.note("warning", text=f"early media not usable: {error}")
            else:
                self.on_early_media()

    def _on_answered(self, event: Answered) -> None:
        audio = self._audio
        if audio is None or self.is_over or self._decided is not None:
            self._drop_signalling()
            return
        problem = self._agree(audio, event.sdp or self._early_answer)
        if problem:
            self._decided = Ending(
                Outcome.FAILED, "incompatible-destination", Source.CALLEE, 200, problem
            )
            self._drop_signalling()
            self._end(self._decided)
        else:
            fields = self._dialog.changes()
            change = self._transition(Event.ANSWER, {"trunk": self.call.trunk}, **fields)
            self._dialog.answered(change, self._ack_sent)
        self._resolve_attempt(event)

    def _ack_sent(self) -> None:
        """Our ACK has left. A phone that sees audio before it takes that for somebody else's."""
        if self._audio is None or self.is_over:
            return
        self._audio.begin()
        self._attend(self._audio)
        self._talks.set_result(True)

    def _attend(self, audio: Audio) -> None:
        """What an answered leg's audio is watched for."""
        audio.media.watch_silence(self._services.settings.media.silence_timeout_s)
        if self._plan.record:
            self.recordings.whole(audio.media)

    def _agree(self, audio: Audio, answer: bytes | None) -> str:
        """Takes the answer; what is wrong with it, or ""."""
        if answer is None:
            return "neither the 200 nor a provisional response had an SDP answer"
        if self._signalling is not None and self._signalling.peer is not None:
            audio.signalling_address = self._signalling.peer[0]
        try:
            audio.accept(answer, later=True)
        except (NegotiationError, RemoteProtocolError) as error:
            return str(error)
        return ""

    def _on_reoffer(self, event: Reoffer) -> None:
        if self._audio is None or self._signalling is None:
            return
        self._dialog.keep()
        if event.sdp is None:
            self._signalling.answer_offer(self._audio.offer())
            return
        try:
            answer = self._audio.answer(event.sdp)
        except (NegotiationError, RemoteProtocolError) as error:
            self.note("warning", text=f"re-offer refused: {error}")
            self._signalling.refuse_offer(488)
        else:
            self._signalling.answer_offer(answer)

    def _on_reanswered(self, event: Reanswered) -> None:
        if self._audio is None:
            return
        self._dialog.keep()
        try:
            self._audio.accept(event.sdp)
        except (NegotiationError, RemoteProtocolError) as error:
            self.note("warning", text=f"answer to our offer not usable: {error}")

    def _resolve_attempt(self, result: Rejected | Answered) -> None:
        if self._attempt is not None and not self._attempt.done():
            self._attempt.set_result(result)

    def _drop_signalling(self) -> None:
        if self._signalling is not None:
            self._signalling.hang_up()

    # ------------------------------------------------------------------ media events

    def _on_media(self, event: MediaEvent) -> None:
        match event:
            case Digit():
                self._on_digit(event.digit, event.source)
            case NoRtp():
                self.hang_up(
                    Ending(
                        Outcome.COMPLETED,
                        "media-timeout",
                        Source.OUTDIAL,
                        detail=f"no audio from the far end for {event.seconds:.0f} s",
                    )
                )
            case RecordingDone():
                self.recordings.done(event)
            case MediaLost():
                self.hang_up(
                    Ending(Outcome.FAILED, "media-failure", Source.OUTDIAL, detail=event.reason)
                )
                self._complete(MediaStats())
            case MediaStats():
                self._complete(event)

    def _on_digit(self, digit: str, source: str) -> None:
        if self.on_digit is not None:
            self.on_digit(digit, source)

    # ------------------------------------------------------------------ the end

    def _limit_reached(self) -> None:
        left_s = self._limit_at - self._services.clock.monotonic()
        if left_s > 0:  # the loop counts from the beginning of a turn: its timers may be early
            self._timers.start("limit", max(left_s, 0.001), self._limit_reached)
            return
        self.hang_up(
            Ending(Outcome.COMPLETED, "time-limit", Source.OUTDIAL, detail="time limit reached")
        )

    def _end(self, ending: Ending) -> None:
        """The reason is settled; audio is closed, and the end written with its last words."""
        if self._ending is not None:
            return
        if self.state is State.ANSWERED and ending.sip_code is None:
            ending = replace(ending, sip_code=200)
        self._ending = ending
        if self.call.ended_at is None:
            self.call.ended_at = self._services.clock.now()
        self._timers.cancel("limit")
        self._timers.cancel("cancel")
        self._dialog.let_go()
        if not self.ended.done():
            self.ended.set_result(ending)
        if not self._talks.done():
            self._talks.set_result(False)
        if self._audio is None:
            self._complete(MediaStats())
        else:
            self._audio.media.close()
            self._timers.start(
                "last words", LAST_WORDS_WAIT_S, lambda: self._complete(MediaStats())
            )

    def _complete(self, stats: MediaStats) -> None:
        """Writes the terminal state, once."""
        ending = self._ending
        if ending is None or self.state is State.COMPLETED:
            return
        self._timers.cancel("last words")
        self.recordings.close()
        self._services.journal.write(self._history.end(ending, stats, self.recordings))
        self._retire_if_done()

    def _retire_if_done(self) -> None:
        """Once signalling has nothing more to say, the ladder is complete: let go of everything."""
        if self.state is not State.COMPLETED or not self._signalling_over or self.retired.done():
            return
        self.retired.set_result(None)
        self.free_channel()
        self._timers.cancel_all()
        self._ladder.complete()
        self._loop.call_later(TIMELINE_LINGER_S, self._services.journal.close_timeline, self.sid)

    # ------------------------------------------------------------------ writing

    def _transition(self, event: Event, data: dict[str, Any], **fields: Any) -> Change:
        """Moves to the next state; the change to be written."""
        return self._history.step(event, data, fields)

    def _write(self, event: Event, data: dict[str, Any], **fields: Any) -> None:
        self._services.journal.write(self._transition(event, data, **fields))
