"""One leg that we place, from its first INVITE to its answer, on whichever trunk takes it.

Everything after the answer is as on a leg that somebody else placed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from outdial import log
from outdial.calls.audio import Audio, codecs_of
from outdial.calls.callbacks import Subscription
from outdial.calls.endings import (
    may_try_next_trunk,
    of_full_trunks,
    of_gate,
    of_rejection,
    of_shown_keys,
)
from outdial.calls.gate import check_caller, check_number, check_uri
from outdial.calls.leg import CallLeg
from outdial.calls.leg_plan import LegPlan
from outdial.calls.numbers import for_trunk
from outdial.calls.services import Services
from outdial.calls.sip_hosts import is_over_tls
from outdial.calls.states import Event, State
from outdial.config import Trunk
from outdial.errors import (
    MediaUnavailable,
    NegotiationError,
    Refused,
    RemoteProtocolError,
    StoreConflict,
    StoreUnavailable,
)
from outdial.legs import (
    Answered,
    Codec,
    DialTarget,
    Ending,
    MediaLeg,
    Outcome,
    Rejected,
    Released,
    Ringing,
    SignallingEvent,
    Source,
    TargetFailed,
)
from outdial.store.records import CallRecord

CANCEL_WAIT_S = 2.0
"""How long a cancelled INVITE may take to confirm before the call is over without it."""
STORE_RETRY_S = 1.0

_log = log.get("leg")


class DialledLeg(CallLeg):
    """One leg. `place` rings it."""

    def __init__(
        self,
        services: Services,
        call: CallRecord,
        plan: LegPlan,
        subscription: Subscription | None,
        near: MediaLeg | None = None,
        next_seq: int = 0,
    ) -> None:
        super().__init__(services, call, plan, subscription, near, next_seq)
        self._attempt: asyncio.Future[Rejected | Answered] | None = None
        self._early_answer: bytes | None = None
        self._more_routes = False
        """Whether another trunk is tried if this one does not take the call."""
        self.on_ringing: Callable[[int], None] | None = None
        """Called with each provisional status."""
        self.on_early_media: Callable[[], None] | None = None
        """Set by whoever lets the caller hear it; without it early media is not taken."""

    async def place(self) -> bool:
        """Rings until somebody answers (True) or the leg is over (False)."""
        try:
            self._timers.start("ring", self._plan.timeout_s, self._ring_expired)
            if self.state is not State.QUEUED or await self._begin():
                await self._await_lease()
                if not self.is_over:
                    self._check_once_more()
                    await self._try_trunks()
        except Refused as refused:
            self._end(of_gate(refused))
        except MediaUnavailable as error:
            self._end(Ending(Outcome.FAILED, "media-failure", Source.OUTDIAL, detail=str(error)))
        except Exception:
            _log.exception("leg.defect", call=self.sid)
            self._drop_signalling()
            self._end(Ending(Outcome.FAILED, "internal-error", Source.OUTDIAL))
        finally:
            self._timers.cancel("ring")
        return self.state is State.ANSWERED and not self.is_over

    def _forget_listeners(self) -> None:
        super()._forget_listeners()
        self.on_ringing = self.on_early_media = None

    def _withdraw(self, ending: Ending) -> None:
        """CANCEL, if anything has left."""
        if self._signalling is None:
            self._end(ending)
        else:
            self._decided = ending
            self._drop_signalling()
            self._timers.start("cancel", CANCEL_WAIT_S, self._cancel_unconfirmed)

    # ------------------------------------------------------------------ dialling

    async def _begin(self) -> bool:
        """Makes the dialling durable before anything leaves; False when the leg ended first."""
        change = self._transition(Event.DIAL, self._route())
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

    def _route(self) -> dict[str, Any]:
        """What the timeline says of the choice of trunks, where there was one."""
        if self._plan.uri:
            return {}
        routes = self._services.routes
        if len(routes.names()) < 2:
            return {}
        trunks = routes.to(self._plan.number, self._plan.trunk)
        if len(trunks) < 2 and not routes.are_set:
            return {}
        chosen = routes.chosen(self._plan.number, self._plan.trunk)
        costs = {trunk.name: cost for trunk, cost in zip(chosen.trunks, chosen.costs, strict=False)}
        route = {"trunks": [trunk.name for trunk in trunks], "why": chosen.why}
        return {**route, "costs": costs} if costs else route

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

    def _check_once_more(self) -> None:
        """The gate that every INVITE of ours passes, whoever asked for it and however long ago: a
        call may have waited in the queue since the settings allowed it. Raises Refused."""
        services, number, key_name = self._services, self._plan.number, self.call.key_name
        if self._plan.uri:
            number = check_uri(services, key_name, self._plan.uri, "the address")
        else:
            check_number(services, key_name, number, "the number")
        check_caller(services, key_name, self._plan.caller_id, "the caller ID")
        if number and self.call.parent_sid in ("", self.sid):
            services.policy.check_hours(number, "the number")
        trunks = self._services.routes.to(number, self._plan.trunk) if not self._plan.uri else ()
        self._services.minutes.check(self.call.key_name, [trunk.name for trunk in trunks])

    async def _try_trunks(self) -> None:
        if self._plan.uri:
            await self._try_uri()
            return
        routes = self._services.routes.to(self._plan.number, self._plan.trunk)
        ending = Ending(
            Outcome.FAILED,
            "no-route",
            Source.OUTDIAL,
            detail=f"no trunk takes {self._plan.number}: see routes and trunks.prefixes in the "
            "settings, or `outdial trunks route`",
        )
        for place, trunk in enumerate(self._own_channel_first(routes)):
            if len(routes) > 1 and self._has_used_up(trunk):
                self.note("trunk.spent", trunk=trunk.name)
                continue
            if not self._take_channel(trunk):
                ending = of_full_trunks(self._plan.number) if place == 0 else ending
                self.note("trunk.full", trunk=trunk.name)
                continue
            self._more_routes = place < len(routes) - 1
            result = await self._dial(trunk)
            if isinstance(result, Answered):
                return
            if self._decided is not None:
                ending = replace(self._decided, sip_code=result.status)
                break
            ending = of_rejection(result)
            if self.is_over or not may_try_next_trunk(result) or place == len(routes) - 1:
                break
            self.note("trunk.failed", trunk=trunk.name, status=result.status, reason=result.reason)
        self._end(ending)

    def _has_used_up(self, trunk: Trunk) -> bool:
        """Whether the trunk has no more minutes today."""
        try:
            self._services.minutes.check("", [trunk.name])
        except Refused:
            return True
        return False

    async def _try_uri(self) -> None:
        """A URI at a trunk's host is one of the trunk's calls, though it goes there by itself."""
        trunk = self._services.sip_hosts.trunk_at(self._plan.uri)
        if trunk is not None:
            self._services.minutes.check(self.call.key_name, [trunk.name])
        if trunk is not None and not self._take_channel(trunk):
            self.note("trunk.full", trunk=trunk.name)
            self._end(of_full_trunks(self._plan.uri))
            return
        if trunk is not None:
            self.call.trunk = trunk.name
        if trunk is not None and trunk.demands_secrecy and not is_over_tls(self._plan.uri):
            self._end(of_shown_keys(trunk.name))
            return
        result = await self._dial(None, trunk)
        if isinstance(result, Rejected):
            decided = self._decided
            self._end(
                of_rejection(result)
                if decided is None
                else replace(decided, sip_code=result.status)
            )

    def _own_channel_first(self, routes: Sequence[Trunk]) -> list[Trunk]:
        """Its channel may be of a trunk that has gone down since it was given."""
        is_last_choice = self._services.routes.is_last_choice
        return sorted(
            routes, key=lambda trunk: (is_last_choice(trunk.name), trunk.name != self.channel)
        )

    def _take_channel(self, trunk: Trunk) -> bool:
        """A channel of the trunk in place of the one it holds; False when there is none."""
        if trunk.name != self.channel:
            self.free_channel()
            now = self._services.clock.monotonic()
            if not self._services.channels.take_at_once(trunk.name, now):
                return False
            self.channel = trunk.name
        return True

    async def _dial(self, trunk: Trunk | None, host: Trunk | None = None) -> Rejected | Answered:
        """Rings on the trunk, or (None) at the URI, which may be at a trunk's host."""
        settings, at = self._services.settings, trunk or host
        codecs, srtp = codecs_of(settings, at), "off" if at is None else at.encryption
        if at is not None and srtp == "off" and await self._goes_over_tls(trunk, at):
            srtp = at.encryption_over(tls=True)
            if self.is_over or self._decided is not None:
                return Rejected(487, "Request Terminated", local=True)
        result = await self._invite(trunk, codecs, srtp)
        if srtp != "optional" or isinstance(result, Answered) or self._decided is not None:
            return result
        if result.status not in (488, 606) or self.is_over:
            return result
        # It may be one that takes encrypted audio alone, and in the strict form.
        self.note("trunk.insisted", trunk=self.call.trunk, status=result.status)
        return await self._invite(trunk, codecs, srtp, insists=True)

    async def _goes_over_tls(self, trunk: Trunk | None, at: Trunk) -> bool:
        """Whether the way turns out to be secret, though the settings do not say so: where audio is
        encrypted when it is, the records of the trunk have to be known before the offer is made."""
        if at.srtp != "auto":
            return False
        if trunk is None:
            return is_over_tls(self._plan.uri)
        return trunk.finds_transport and await self._services.signalling.goes_over_tls(trunk.name)

    async def _invite(
        self, trunk: Trunk | None, codecs: list[Codec], srtp: str, *, insists: bool = False
    ) -> Rejected | Answered:
        services, plan = self._services, self._plan
        if self._audio is None:
            self._audio = Audio(
                services.media.open(self.sid, self._on_media, self._near),
                codecs,
                services.sdp_session_id(),
            )
        self._audio.codecs = codecs
        if srtp == "off":
            self._audio.expose()
        else:
            self._audio.secure(is_required=srtp == "mandatory", insists=insists)
        self._attempt = self._loop.create_future()
        self._signalling_over = False
        self._early_answer = None
        if trunk is not None:
            self.call.trunk = trunk.name
        target = DialTarget(
            leg_id=self.sid,
            trunk=trunk.name if trunk else "",
            number=for_trunk(plan.number, trunk.number_format) if trunk else "",
            caller_id=for_trunk(plan.caller_id, _callers(trunk)) if trunk else plan.caller_id,
            caller_name=plan.caller_name,
            diverted_by=for_trunk(plan.diverted_by, _callers(trunk)) if trunk else "",
            uri=plan.uri,
            headers=plan.headers,
            more_routes=self._more_routes,
        )
        self._audio.suit(trunk or services.sip_hosts.trunk_at(plan.uri))
        offer = self._audio.offer()
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
                super()._on_signalling(event)
                self._resolve_attempt(event)
            case TargetFailed():
                self._on_target_failed(event)
            case Released():
                super()._on_signalling(event)
                self._resolve_attempt(Rejected(487, "Request Terminated", local=True))
            case _:
                super()._on_signalling(event)

    def _on_target_failed(self, event: TargetFailed) -> None:
        """The INVITE that is under way is another one: that is what a crash must leave behind."""
        self.note(
            "target.failed",
            trunk=self.call.trunk,
            target=event.target,
            status=event.status,
            reason=event.reason,
            next=event.next_target,
        )
        self._dialog.redialled()

    def _on_ringing(self, event: Ringing) -> None:
        if self.is_over or self._decided is not None:
            return
        if self.state is State.DIALLING and event.status != 181:
            data = {"status": event.status, "trunk": self.call.trunk}
            self._write(Event.RING, data, **self._dialog.changes())
        if self.on_ringing is not None:
            self.on_ringing(event.status)
        if event.sdp is None or self._audio is None:
            return
        self._early_answer = event.sdp
        if self.on_early_media is not None:
            try:
                self._note_peer(self._audio)
                self._audio.accept(event.sdp, early=True)
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
            data = {"trunk": self.call.trunk, **self._agreed()}
            change = self._transition(Event.ANSWER, data, **fields)
            self._dialog.answered(change, self._ack_sent)
            self._services.minutes.begin(self)
        self._resolve_attempt(event)

    def _ack_sent(self) -> None:
        """Our ACK has left. A phone that sees audio before it takes that for somebody else's."""
        if self._audio is None or self.is_over:
            return
        self._audio.begin()
        self._attend(self._audio)
        self._talks.set_result(True)

    def _agree(self, audio: Audio, answer: bytes | None) -> str:
        """Takes the answer; what is wrong with it, or ""."""
        if answer is None:
            return "neither the 200 nor a provisional response had an SDP answer"
        self._note_peer(audio)
        try:
            audio.accept(answer, later=True)
        except (NegotiationError, RemoteProtocolError) as error:
            return str(error)
        return ""

    def _note_peer(self, audio: Audio) -> None:
        if self._signalling is not None and self._signalling.peer is not None:
            audio.signalling_address = self._signalling.peer[0]

    def _resolve_attempt(self, result: Rejected | Answered) -> None:
        if self._attempt is not None and not self._attempt.done():
            self._attempt.set_result(result)


def _callers(trunk: Trunk) -> str:
    """How callers' numbers are written to the trunk."""
    return trunk.caller_id_format or trunk.number_format
