"""Rings other parties for an answered leg and bridges the first that answers.

What the person on the answered leg hears: ringback at once, the far side's early media from its
first packet on, then the party. When one side hangs up, the other is released.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from outdial import ids
from outdial.calls import codes
from outdial.calls.dialled_leg import DialledLeg
from outdial.calls.digits import forward_to
from outdial.calls.leg import CallLeg
from outdial.calls.party import Party
from outdial.calls.services import Services
from outdial.calls.states import State
from outdial.calls.transfer import MOST_TRANSFERS, transferred
from outdial.didml.run.host import DialEnd, Gone
from outdial.errors import Refused, StoreUnavailable
from outdial.legs import Ending, Outcome, Referred, Source
from outdial.store.records import CallRecord
from outdial.webhooks.payloads import duration_s

_PARENT_GONE = Ending(
    Outcome.COMPLETED, "normal-clearing", Source.CALLER, detail="the other party hung up"
)
_PARENT_GONE_EARLY = Ending(
    Outcome.CANCELED,
    "originator-cancel",
    Source.CALLER,
    detail="the other party hung up before the answer",
)
_PARENT_LEFT = replace(_PARENT_GONE, detail="the other party left the conversation")
_PARENT_LEFT_EARLY = replace(_PARENT_GONE_EARLY, detail="the other party left before the answer")
_LOST_THE_RACE = Ending(
    Outcome.CANCELED, "originator-cancel", Source.OUTDIAL, detail="somebody else answered first"
)
_ANSWERED_TOO_LATE = Ending(
    Outcome.COMPLETED, "normal-clearing", Source.OUTDIAL, detail="somebody else took the call"
)
_TRANSFERRED = Ending(
    Outcome.COMPLETED, "normal-clearing", Source.CALLEE, detail="it transferred the other party"
)
_NOT_TRANSFERRED = 603
_MOST_TELLING = (Outcome.NO_ANSWER, Outcome.BUSY, Outcome.CANCELED)
"""Of several that were rung in vain: what is said first of all of them."""


class Bridge:
    """The legs that one Dial, or one click-to-call, rings for a parent."""

    def __init__(
        self,
        services: Services,
        parent: CallLeg,
        on_leg: Callable[[CallLeg], None],
    ) -> None:
        self._services = services
        self._parent = parent
        self._on_leg = on_leg
        self._bridged: CallLeg | None = None
        self._chosen: CallLeg | None = None
        """Who took the call, or was it transferred to."""
        self._transfers = 0

    async def connect(self, parties: Sequence[Party], gone: Gone | None = None) -> DialEnd:
        """Rings all at once and returns when the bridge is over or nobody could be had.

        Cancelled (the parent is gone): every leg is released before the cancellation goes on, and
        `gone` is told the end, unless another document has taken over.
        """
        media = self._parent.media
        self._ring_back()
        legs: list[DialledLeg] = []
        try:
            for party in parties:
                legs.append(await self._leg(party))
            chosen = await self._first_answer(legs, parties)
            if chosen is None:
                return self._told(_failure(legs))
            party = parties[legs.index(chosen)]
            return self._told(await self._converse(chosen, party, legs))
        except asyncio.CancelledError:
            if gone is not None:
                told = gone if self._parent.is_over else None
                telling = self._tell_gone(told, legs[-1].sid if legs else "")
                self._services.tasks.start(telling, f"end of dial {self._parent.sid}")
            raise
        except StoreUnavailable as error:
            self._parent.note("warning", text=f"the second leg could not be stored: {error}")
            return DialEnd("failed")
        finally:
            if not self._parent.is_over:
                media.stop_playing()
            if self._bridged is not None:
                media.unbridge()
                self._bridged = None
            for leg in legs:
                leg.hang_up(self._parting(leg))

    def _parting(self, leg: CallLeg) -> Ending:
        """Why a leg that is still there ends now."""
        answered = leg.state is State.ANSWERED
        if self._parent.is_over:
            return _PARENT_GONE if answered else _PARENT_GONE_EARLY
        return _PARENT_LEFT if answered else _PARENT_LEFT_EARLY

    async def _tell_gone(self, gone: Gone | None, last_sid: str) -> None:
        """The parent has left: says what became of the Dial."""
        if self._chosen is None:
            end = DialEnd(Outcome.CANCELED.text, last_sid)
        else:
            end = await _of_conversation(self._chosen)
        self._told(end)
        if gone is not None:
            gone(end)

    def _told(self, end: DialEnd) -> DialEnd:
        """The end, told on the parent's timeline."""
        self._parent.note("dial.ended", status=end.status, leg=end.sid, seconds=end.duration_s)
        return end

    async def _leg(self, party: Party) -> DialledLeg:
        """A new leg, durably stored."""
        parent, plan = self._parent.call, party.plan
        now = self._services.clock.now()
        call = CallRecord(
            sid=ids.new(ids.CALL),
            parent_sid=parent.sid,
            direction="outbound",
            from_number=plan.caller_id,
            to_number=plan.number or plan.uri,
            caller_name=plan.caller_name,
            state=State.QUEUED.text,
            created_at=now,
            key_name=parent.key_name,
        )
        subscription = party.subscribe(call.sid)
        if subscription is not None and subscription.lane.root_sid == call.sid:
            call.request = subscription.to_json()
        leg = DialledLeg(self._services, call, plan, subscription, near=self._parent.media)
        storing = self._services.tasks.start(self._store(leg), f"store {call.sid}")
        try:
            problem = await asyncio.shield(storing)
        except asyncio.CancelledError:
            # The parent is gone, but what is being stored will be there, and must have an end.
            storing.add_done_callback(lambda done: _end_unwanted(leg, done))
            raise
        if problem is not None:
            raise problem
        return leg

    async def _store(self, leg: CallLeg) -> StoreUnavailable | None:
        """Makes the leg durable; gives back what went wrong."""
        parent, call = self._parent, leg.call
        queued = leg.timeline.event("state.queued", {"parent": parent.sid})
        try:
            await self._services.journal.create(call, queued, leg.begin())
        except StoreUnavailable as problem:
            self._services.journal.close_timeline(call.sid)
            return problem
        parent.note("dial.leg", leg=call.sid, to=call.to_number)
        self._on_leg(leg)
        return None

    async def _first_answer(
        self, legs: Sequence[DialledLeg], parties: Sequence[Party]
    ) -> DialledLeg | None:
        """Rings them; the first to take the call is bridged and the others are released."""
        if len(legs) == 1:
            legs[0].on_early_media = lambda: self._join_early(legs[0])
        ringing = {
            self._services.tasks.start(_ring(leg, party, self._part), f"place {leg.sid}"): (
                leg,
                party,
            )
            for leg, party in zip(legs, parties, strict=True)
        }
        while ringing:
            done, _ = await asyncio.wait(ringing, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=lambda task: _answered_at(ringing[task][0])):
                leg, party = ringing.pop(task)
                if task.result():
                    for other, _ in ringing.values():
                        _dismiss(other)
                    await self._answered(leg, party)
                    return leg
        return None

    async def _answered(self, leg: CallLeg, party: Party) -> None:
        if party.send_digits and party.whisper is None:
            await leg.media.send_digits(party.send_digits)
        self._join(leg)
        self._chosen = leg
        if leg.is_over:
            return
        leg.limit(party.time_limit_s)
        if party.record:
            leg.recordings.whole(leg.media)

    # ------------------------------------------------------------------ transfers

    async def _converse(self, leg: DialledLeg, party: Party, legs: list[DialledLeg]) -> DialEnd:
        """Until the conversation with the leg is over, or with those that it is transferred to.
        `legs` gets each of them."""
        while True:
            wished: asyncio.Future[Party] = asyncio.get_running_loop().create_future()
            leg.on_transfer = partial(self._wished, leg, party, wished)
            await asyncio.wait((wished, leg.ended), return_when=asyncio.FIRST_COMPLETED)
            leg.on_transfer = None
            if not wished.done():
                return await _of_conversation(leg)
            moved = await self._transfer(leg, wished.result(), legs)
            if moved is not None:
                leg, party = moved, wished.result()
            elif leg.is_over:
                return await _of_conversation(leg)

    def _wished(
        self, leg: CallLeg, party: Party, wished: asyncio.Future[Party], wish: Referred
    ) -> None:
        """The leg asks for a transfer: refused, or begun in a moment."""
        parent = self._parent
        try:
            if wished.done() or self._transfers >= MOST_TRANSFERS:
                raise Refused(422, codes.OUT_OF_RANGE, f"more than {MOST_TRANSFERS} transfers")
            target = transferred(self._services, parent.call.key_name, party, wish)
        except Refused as refused:
            parent.note("transfer.refused", leg=leg.sid, text=refused.message, code=refused.code)
            leg.answer_transfer(_NOT_TRANSFERRED)
            return
        self._transfers += 1
        parent.note("transfer.began", leg=leg.sid, to=target.plan.number or target.plan.uri)
        leg.answer_transfer(202)
        wished.set_result(target)

    async def _transfer(
        self, leg: DialledLeg, target: Party, legs: list[DialledLeg]
    ) -> DialledLeg | None:
        """Rings the target for the parent; who took the call. None: nobody did, and the parent is
        with the leg again, if that is still there."""
        leg.on_digit = None
        self._part(leg)
        status = 503
        try:
            new = await self._leg(target)
        except StoreUnavailable as error:
            self._parent.note("warning", text=f"the leg could not be stored: {error}")
        else:
            legs.append(new)
            new.on_early_media = lambda: self._join_early(new)
            new.on_ringing = leg.tell_transfer
            ringing = self._services.tasks.start(_ring(new, target, self._part), f"place {new.sid}")
            await asyncio.wait((ringing,))
            if ringing.result():
                await self._answered(new, target)
                leg.tell_transfer(200)
                leg.hang_up(_TRANSFERRED)
                return new
            ending = await asyncio.shield(new.ended)
            status = ending.sip_code or _NOT_TRANSFERRED
        leg.tell_transfer(status if status >= 300 else _NOT_TRANSFERRED)
        self._parent.note("transfer.failed", leg=leg.sid, status=status)
        self._join(leg)
        return None

    # ------------------------------------------------------------------ audio

    def _ring_back(self) -> None:
        self._parent.media.tone(f"ringback:{self._services.settings.media.country}")

    def _part(self, leg: CallLeg) -> None:
        """What is said to the leg now is not for the parent, who may have heard its early media."""
        if self._bridged is leg:
            self._bridged = None
            self._parent.media.unbridge()
            self._ring_back()

    def _join(self, leg: CallLeg) -> None:
        """Audio both ways from here on, and no ringback."""
        if leg.is_over or self._parent.is_over:
            return
        self._parent.media.stop_playing()
        self._let_through(leg)
        self._parent.note("bridged", leg=leg.sid)

    def _join_early(self, leg: CallLeg) -> None:
        """Audio both ways; ringback goes on until the leg's network sends something.

        Many a carrier promises early media and then sends none (RFC 3960 section 3.2).
        """
        if self._bridged is leg or leg.is_over or self._parent.is_over:
            return
        self._let_through(leg)
        self._parent.note("dial.early", leg=leg.sid)

    def _let_through(self, leg: CallLeg) -> None:
        if self._bridged is leg:
            return
        self._bridged = leg
        parent = self._parent
        parent.media.bridge(leg.media)
        parent.on_digit = forward_to(leg, of=parent)
        leg.on_digit = forward_to(parent, of=leg)


def _end_unwanted(leg: CallLeg, stored: asyncio.Task[StoreUnavailable | None]) -> None:
    if not stored.cancelled() and stored.exception() is None and stored.result() is None:
        leg.hang_up(_PARENT_GONE_EARLY)


async def _ring(leg: CallLeg, party: Party, part: Callable[[CallLeg], None]) -> bool:
    """Whether somebody answered and takes the call."""
    if not await leg.place() or not await leg.answer():
        return False
    if party.whisper is None:
        return True
    part(leg)
    if party.send_digits:
        await leg.media.send_digits(party.send_digits)
    whispering = asyncio.ensure_future(party.whisper(leg))
    try:
        await asyncio.wait((whispering, leg.ended), return_when=asyncio.FIRST_COMPLETED)
    finally:
        whispering.cancel()
        await asyncio.gather(whispering, return_exceptions=True)
    return not whispering.cancelled() and whispering.result()


def _answered_at(leg: CallLeg) -> float:
    """Two who answer within a moment become known together: the earlier one is the first."""
    return math.inf if leg.call.answered_at is None else leg.call.answered_at


def _dismiss(leg: CallLeg) -> None:
    """Somebody else has taken the call."""
    leg.hang_up(_ANSWERED_TOO_LATE if leg.state is State.ANSWERED else _LOST_THE_RACE)


async def _of_conversation(leg: CallLeg) -> DialEnd:
    """What a Dial came to whose leg was connected and is over."""
    ending = await asyncio.shield(leg.ended)
    end = DialEnd(ending.outcome.text, leg.sid, duration_s(leg.call))
    return replace(end, recording_url=await _recording_url(leg))


async def _recording_url(leg: CallLeg) -> str:
    """Where the recording of a leg that is over can be fetched; "" when there is none."""
    recording = leg.recordings.of_everything
    if recording is None or (await recording.end()).error:
        return ""
    await recording.keep()
    return recording.url


def _failure(legs: Sequence[CallLeg]) -> DialEnd:
    """What to say of a Dial that nobody took: of several what is worth trying again first."""
    became = [(_why_not(leg), leg) for leg in legs]
    for outcome in (*_MOST_TELLING, Outcome.FAILED):
        for why_not, leg in reversed(became):
            if why_not is outcome:
                return DialEnd(outcome.text, leg.sid)
    return DialEnd(Outcome.FAILED.text)


def _why_not(leg: CallLeg) -> Outcome:
    """Why a leg that was rung was not connected."""
    if leg.call.answered_at is not None:
        # Somebody answered and did not take the call.
        return Outcome.NO_ANSWER
    outcome = leg.ended.result().outcome if leg.ended.done() else Outcome.FAILED
    return Outcome.FAILED if outcome is Outcome.COMPLETED else outcome
