"""One leg of a call, whoever placed it: `dialled_leg` and `answering_leg` lead it to the answer.

A leg has exactly one terminal event, whatever happens, and says why it ended. Signalling and media
call the listeners below; what follows from an event happens before the listener returns, and is
written to the journal in the same order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from outdial.calls.audio import Audio
from outdial.calls.callbacks import Subscription
from outdial.calls.endings import of_release, of_silence
from outdial.calls.history import History
from outdial.calls.kept_dialog import KeptDialog
from outdial.calls.ladder import Ladder
from outdial.calls.leg_plan import LegPlan
from outdial.calls.recording import Recordings
from outdial.calls.services import Services
from outdial.calls.states import Event, State
from outdial.calls.timers import Timers
from outdial.didml.run.outcome import DocumentRequest
from outdial.errors import (
    MediaUnavailable,
    NegotiationError,
    RemoteProtocolError,
)
from outdial.legs import (
    Answered,
    Codec,
    Digit,
    DigitInfo,
    Ending,
    IncomingLeg,
    MediaEvent,
    MediaLeg,
    MediaLost,
    MediaStats,
    NoRtp,
    Outcome,
    PlayEnd,
    Reanswered,
    RecordingDone,
    Referred,
    Rejected,
    Released,
    Reoffer,
    Replacing,
    SignallingEvent,
    SignallingLeg,
    Source,
    SpeechBegan,
    SpeechHeard,
    TracedMessage,
)
from outdial.store.records import CallRecord, Change

LAST_WORDS_WAIT_S = 2.0
"""How long the media worker may take to close a recording and give its counters."""
TIMELINE_LINGER_S = 10.0
"""How long after the end callbacks are still noted on the timeline."""

_ELSEWHERE = Ending(Outcome.CANCELED, "normal-clearing", Source.OUTDIAL)
"""Nobody sees it: the node that has the call says how that ends."""


class CallLeg:
    """One leg. `place` leads it to its answer; `ended` gives the reason when it is over."""

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
        self.sid = call.sid
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
        self.is_elsewhere = False
        """Whether another node has taken the call out of the queue."""
        self.channel = ""
        """The trunk one of whose channels the leg holds."""
        self.sip_headers: tuple[tuple[str, str], ...] = ()
        """What its application is told of the INVITE that came."""
        self.texts = 0
        """How many short messages its documents have asked for."""
        self.is_muted = False
        """Whether what the far end says is neither heard by others nor recorded."""
        self.digits_waiting = 0
        """Of how many commands the digits are still being sent."""
        self.one_at_a_time: asyncio.Lock | None = None
        """Made by the first command on the call: the next one waits until it is carried out."""
        self.on_redirect: Callable[[DocumentRequest], None] | None = None
        """Set by whoever runs its document: another one takes over, at once."""
        self.on_digit: Callable[[str, str], None] | None = None
        """Called with each digit and its source: rfc4733, in-band or info."""
        self.on_transfer: Callable[[Referred], None] | None = None
        """Called when the far end wants whom it talks to to be connected with somebody else; must
        call `answer_transfer`. None: it is refused."""
        self.on_speech: Callable[[SpeechBegan | SpeechHeard], None] | None = None
        """Called with what `MediaLeg.listen` brings."""

    # ------------------------------------------------------------------ what others ask

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
    def codec(self) -> Codec:
        """Of the leg's audio, as it was agreed on last. Raises MediaUnavailable."""
        if self._audio is None or self._audio.params is None:
            raise MediaUnavailable("the leg has no audio yet")
        return self._audio.params.codec

    @property
    def is_over(self) -> bool:
        """Whether the reason of the end is settled."""
        return self._ending is not None

    def begin(self) -> Change:
        """Moves to dialling; the change must be durable before `place` is called.

        For a leg that is stored and dialled in one go: that saves a transaction.
        """
        return self._transition(Event.DIAL, self._route())

    def _route(self) -> dict[str, Any]:
        """What the timeline says of the choice of trunks; only who dials has one."""
        return {}

    async def place(self) -> bool:
        """Waits until it is answered, or rings for an application that answers it (True); False:
        it is over."""
        return not self.is_over

    def free_channel(self, *, unused: bool = False) -> None:
        """Gives its trunk's channel back; `unused`: nothing was dialled on it."""
        if self.channel:
            channel, self.channel = self.channel, ""
            self._services.channels.give_back(channel, unused=unused)

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
        else:
            self._withdraw(ending)

    def _withdraw(self, ending: Ending) -> None:
        """Ends a leg that was not answered."""
        self._end(ending)

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

    def mute(self, muted: bool) -> None:
        """Whether what the far end says is neither heard by others nor recorded."""
        self.is_muted = muted
        self.media.hush(muted)

    def send_digits(self, digits: str) -> None:
        """In the middle of whatever plays."""
        self.digits_waiting += 1
        sending = asyncio.ensure_future(self.media.send_digits(digits, at_once=True))
        sending.add_done_callback(self._digits_sent)

    def _digits_sent(self, sending: asyncio.Future[PlayEnd]) -> None:
        self.digits_waiting -= 1

    @property
    def ending(self) -> Ending | None:
        """Why it is over, or is being ended."""
        return self._ending or self._decided

    def limit(self, seconds: float) -> None:
        """The leg is ended that long from now."""
        self._limit_at = self._services.clock.monotonic() + seconds
        self._timers.start("limit", seconds, self._limit_reached)

    def note(self, kind: str, **data: Any) -> None:
        """A line on the timeline."""
        self.timeline.note(kind, data)

    # ------------------------------------------------------------------ signalling events

    def _on_signalling(self, event: SignallingEvent) -> None:
        match event:
            case Rejected():
                self._signalling_over = True
                self._retire_if_done()
            case Released():
                self._signalling_over = True
                self._end(self._decided or of_release(event))
                self._retire_if_done()
            case Reoffer():
                self._on_reoffer(event)
            case Reanswered():
                self._on_reanswered(event)
            case DigitInfo():
                self._on_digit(event.digit, "info")
            case Referred():
                self._on_referred(event)
            case Replacing():
                self._on_replacing(event.leg)

    def _attend(self, audio: Audio) -> None:
        """What an answered leg's audio is watched for."""
        audio.media.watch_silence(self._services.settings.media.silence_timeout_s)
        if self._plan.record:
            self.recordings.whole(audio.media)

    def _agreed(self) -> dict[str, str]:
        """Codec and encryption that were agreed on, for the timeline; nothing while there is none,
        and no encryption of plain audio."""
        return self._audio.agreed() if self._audio is not None else {}

    def _note_agreed(self, before: dict[str, str]) -> None:
        """Says what is not as before."""
        now = self._agreed()
        if now and now["codec"] != before.get("codec"):
            self.note("codec.changed", codec=now["codec"])
        if now and now.get("srtp") != before.get("srtp"):
            self.note("srtp.changed", srtp=now.get("srtp", "off"))

    def _on_reoffer(self, event: Reoffer) -> None:
        if self._audio is None or self._signalling is None:
            return
        self._dialog.keep()
        if event.sdp is None:
            self._signalling.answer_offer(self._audio.offer())
            return
        before = self._agreed()
        try:
            answer = self._audio.answer(event.sdp)
        except (NegotiationError, RemoteProtocolError) as error:
            self.note("warning", text=f"re-offer refused: {error}")
            self._signalling.refuse_offer(488)
        else:
            self._signalling.answer_offer(answer)
            self._note_agreed(before)

    def _on_reanswered(self, event: Reanswered) -> None:
        if self._audio is None:
            return
        self._dialog.keep()
        before = self._agreed()
        try:
            self._audio.accept(event.sdp)
        except (NegotiationError, RemoteProtocolError) as error:
            self.note("warning", text=f"answer to our offer not usable: {error}")
        else:
            self._note_agreed(before)

    def _on_referred(self, event: Referred) -> None:
        if self.on_transfer is not None and self.ending is None:
            self.on_transfer(event)
            return
        self.note("transfer.refused", text="it is connected with nobody that it could transfer")
        self.answer_transfer(603)

    def answer_transfer(self, status: int) -> None:
        """What becomes of the transfer that the far end asks for: 202, or a refusal."""
        if self._signalling is not None and status < 300:
            self._signalling.accept_transfer()
        elif self._signalling is not None:
            self._signalling.refuse_transfer(status)

    def tell_transfer(self, status: int) -> None:
        """How far it has come, for as long as the far end is there."""
        if self._signalling is not None and not self.is_over:
            self._signalling.tell_transfer(status)

    def _on_replacing(self, incoming: IncomingLeg) -> None:
        """The call goes on with another telephone of the same trunk. One that is not answered here
        is refused by signalling."""
        audio, before = self._audio, self._signalling
        talks = audio is not None and audio.is_started and self.ending is None
        if audio is None or before is None or not talks:
            return
        if before.is_secure and not incoming.is_secure:
            self.note("warning", text="a call without TLS wanted to replace one with it")
            return
        audio.signalling_address = incoming.source[0]
        audio.renew()
        try:
            offer = incoming.offer
            sdp = audio.offer() if offer is None else audio.answer(offer)
        except (NegotiationError, RemoteProtocolError) as error:
            self.note("warning", text=f"a call that wanted to replace this one: {error}")
            incoming.reject(488)
            return
        self._signalling = incoming
        self._dialog.taken(incoming)
        incoming.trace(self._ladder.add)
        incoming.listen(self._on_replacement)
        incoming.accept(sdp)
        self._dialog.keep()
        before.dismiss()
        self.note("replaced", sip_call_id=incoming.sip_call_id, peer=incoming.source[0])

    def _on_replacement(self, event: SignallingEvent) -> None:
        """Of the telephone that has the place of the one that was called."""
        match event:
            case Answered(sdp):
                self._dialog.keep()
                if sdp is not None:
                    self._on_reanswered(Reanswered(sdp))
            case Rejected():
                self._on_signalling(Released(by_far_end=not event.local, status=event.status))
            case _:
                self._on_signalling(event)

    def _drop_signalling(self) -> None:
        if self._signalling is not None:
            self._signalling.hang_up()

    # ------------------------------------------------------------------ media events

    def _on_media(self, event: MediaEvent) -> None:
        match event:
            case Digit():
                self._on_digit(event.digit, event.source)
            case NoRtp():
                self.hang_up(of_silence(event))
            case RecordingDone():
                self.recordings.done(event)
            case SpeechBegan() | SpeechHeard():
                self._on_speech(event)
            case MediaLost():
                self.hang_up(
                    Ending(Outcome.FAILED, "media-failure", Source.OUTDIAL, detail=event.reason)
                )
                self._complete(MediaStats())
            case MediaStats():
                self._complete(event)

    def _on_speech(self, event: SpeechBegan | SpeechHeard) -> None:
        if self.on_speech is not None:
            self.on_speech(event)

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
        self._services.journal.write(
            self._history.end(ending, stats, self.recordings, self._agreed().get("codec", ""))
        )
        self._retire_if_done()

    def _retire_if_done(self) -> None:
        """Once signalling has nothing more to say, the ladder is complete: let go of everything."""
        if self.state is not State.COMPLETED or not self._signalling_over or self.retired.done():
            return
        self.retired.set_result(None)
        self.free_channel()
        self._timers.cancel_all()
        self._ladder.complete()
        self._forget_listeners()
        self._loop.call_later(TIMELINE_LINGER_S, self._services.journal.close_timeline, self.sid)

    def _forget_listeners(self) -> None:
        """They hold who holds the leg; without that its memory waits for no collector of cycles."""
        self.on_redirect = self.on_digit = self.on_transfer = self.on_speech = None

    # ------------------------------------------------------------------ writing

    def _transition(self, event: Event, data: dict[str, Any], **fields: Any) -> Change:
        """Moves to the next state; the change to be written."""
        return self._history.step(event, data, fields)

    def _write(self, event: Event, data: dict[str, Any], **fields: Any) -> None:
        self._services.journal.write(self._transition(event, data, **fields))
