"""All calls of this process: takes them, starts them when there is room, ends them."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from outdial import ids, log
from outdial.calls import codes
from outdial.calls.acceptance import check_acceptable
from outdial.calls.admission import Admission, Ticket
from outdial.calls.allowance import day
from outdial.calls.commands import Command
from outdial.calls.conferences import Conferences
from outdial.calls.control import Control
from outdial.calls.figures import Figures
from outdial.calls.frequency import SPAN_S
from outdial.calls.leg import CallLeg
from outdial.calls.peers import Peers
from outdial.calls.queues import Queues
from outdial.calls.quota import Quota
from outdial.calls.repeats import Repeatable
from outdial.calls.request import CallRequest
from outdial.calls.resuming import resume
from outdial.calls.services import Services
from outdial.calls.session import Session
from outdial.calls.standing import Standings
from outdial.calls.states import State
from outdial.calls.storing import store_in_time
from outdial.errors import Refused
from outdial.key_rules import KeyRules
from outdial.legs import Ending, Outcome, Source
from outdial.store.records import CallRecord
from outdial.store.store import Store

if TYPE_CHECKING:
    from outdial.store.nodes import QueuedCall

_log = log.get("registry")

LAST_BYES_S = 1.0
"""How long far sides may take to confirm the BYE of a stopping server."""
TASKS_S = 0.5

_LONGEST_TIMER_S = 3600.0

_WAITED_TOO_LONG = Ending(
    Outcome.FAILED,
    "expired-in-queue",
    Source.OUTDIAL,
    detail="there was no room for it within limits.queue_timeout_s",
)
_NOT_ACKNOWLEDGED = Ending(
    Outcome.FAILED,
    "not-acknowledged",
    Source.OUTDIAL,
    detail="the record answered so late that the post was refused; it was not dialled",
)
_SHUTDOWN = Ending(
    Outcome.COMPLETED, "server-shutdown", Source.OUTDIAL, detail="Outdial was stopped"
)
_SHUTDOWN_UNANSWERED = Ending(
    Outcome.CANCELED, "server-shutdown", Source.OUTDIAL, detail="Outdial was stopped"
)


class Registry:
    """Fulfils `calls.service.CallService` and `nodes.member.Calls`."""

    def __init__(self, services: Services, store: Store, peers: Peers | None = None) -> None:
        self._services = services
        self._store = store
        self._peers = peers
        self._admission = _admission(services)
        self._storing: dict[str, asyncio.Future[bool]] = {}
        """Calls whose place is taken and that are about to be stored; whether they were."""
        self._expected: set[asyncio.Future[Any]] = set()
        """What calls that somebody else placed may come of."""
        services.channels.on_free = self._channel_freed
        services.keys.watch(self._key_changed)
        self._legs: dict[str, CallLeg] = {}
        self._control = Control(services, store, self._legs, self._admission.withdraw, peers)
        self._ended: Counter[tuple[str, str]] = Counter()
        self.figures = Figures()
        self._admit_timer: asyncio.TimerHandle | None = None
        self._draining = False
        self._hanging_up = False
        """Whether live calls are ended by now: also one that only now begins."""
        self._ready = False

    # ------------------------------------------------------------------ what the API asks

    @property
    def conferences(self) -> Conferences:
        """See CallService."""
        return self._services.conferences

    @property
    def queues(self) -> Queues:
        """See CallService."""
        return self._services.queues

    async def place(
        self, request: CallRequest, key_name: str, repeatable: Repeatable | None = None
    ) -> CallRecord:
        """See CallService."""
        if self._draining or not self._ready:
            raise Refused(
                503, codes.DRAINING, "Outdial is being stopped or started", retry_after_s=5
            )
        services = self._services
        check_acceptable(request, key_name, services, self._admission)
        if request.secret_key:  # in clear only where it is sent
            request = replace(request, secret_key=services.sealing.hide(request.secret_key))
        services.policy.take(request.to, "to")
        call = CallRecord(
            sid=ids.new(ids.CALL),
            parent_sid="",
            direction="outbound",
            from_number=request.from_,
            to_number=request.to,
            caller_name=request.caller_name,
            state=State.QUEUED.text,
            created_at=services.clock.now(),
            key_name=key_name,
            request=request.to_json(),
        )
        call.parent_sid = call.sid
        session = Session(services, call, request, self._keep)
        queued = session.leg.timeline.event("state.queued", {"to": call.to_number})
        stored = self._storing[call.sid] = asyncio.get_running_loop().create_future()
        admitted = self._take_place(session)
        try:
            begun = session.leg.begin() if admitted else None
            repeat = repeatable.record_of(call) if repeatable else None
            create = services.journal.create(call, queued, begun, repeat)
            await store_in_time(create, lambda stored: self._late(session, stored))
        except BaseException:
            services.journal.close_timeline(call.sid)
            self._admission.withdraw(call.sid)
            services.policy.give_back(request.to)
            if admitted:
                self._give_back(session, unused=True)
            raise
        else:
            stored.set_result(True)
        finally:
            del self._storing[call.sid]
            if not stored.done():
                stored.set_result(False)
        self._keep(session.leg)
        if admitted:
            self._start(session)
        elif self._peers is not None:
            self._peers.calls_wait()
        return call

    def _late(self, session: Session, stored: bool) -> None:
        """A post has had its refusal, and its call is stored after all: it is not dialled."""
        if stored:
            self._keep(session.leg)
            session.leg.hang_up(_NOT_ACKNOWLEDGED)

    @property
    def has_room(self) -> bool:
        """Whether a call towards us may be taken now: those cannot wait in the queue."""
        live = len(self._legs) - self._queued()
        most = self._services.settings.limits.concurrent_calls
        return self._ready and not self._draining and live < most

    def is_live(self, sid: str) -> bool:
        """Whether the call, or one of its legs, goes on here."""
        legs = self._legs.values()
        return any(sid in (leg.sid, leg.call.parent_sid) for leg in legs)

    def expect(self, arrival: asyncio.Future[None]) -> None:
        """See reception.Host."""
        self._expected.add(arrival)
        arrival.add_done_callback(self._expected.discard)

    def host(self, call: CallRecord, request: CallRequest, leg: CallLeg) -> None:
        """Runs a call that somebody else placed, and that is stored, to its end."""
        session = Session(self._services, call, request, self._keep, leg=leg)
        self._keep(leg)
        self._services.tasks.start(self._run(session), f"call {leg.sid}")

    def position(self, sid: str) -> int | None:
        """See CallService."""
        return self._admission.position(sid)

    async def hang_up(self, sid: str, by: str = "") -> bool:
        """See CallService."""
        return await self._control.hang_up(sid, by)

    async def command(self, sid: str, command: Command, by: str) -> bool:
        """See CallService."""
        return await self._control.command(sid, command, by)

    def standings(self) -> Standings:
        """See CallService."""
        return self._admission.standings()

    def ended(self) -> Mapping[tuple[str, str], int]:
        """See CallService."""
        return self._ended

    def health(self) -> dict[str, Any]:
        """See CallService."""
        checks: dict[str, Any] = {
            "journal_held_back": self._services.journal.held_back,
            "tasks": len(self._services.tasks),
        }
        ready = self._ready and not self._draining
        if self._peers is not None:
            checks |= {"node": self._peers.name, "lease_held": self._peers.holds_lease}
            ready = ready and self._peers.holds_lease
        return {
            "ready": ready,
            "draining": self._draining,
            "live": len(self._legs) - self._queued(),
            "queued": self._queued(),
            "checks": checks,
        }

    # ------------------------------------------------------------------ the process's life

    async def start(self) -> None:
        """Deals with what an earlier process left unfinished, then takes calls."""
        await self.take_up()
        minutes = self._services.minutes
        if minutes.is_limited:
            await self._store.flush()  # the ends of those that were taken up
            minutes.add(await self._store.talked_since(day(self._services.clock.now())))
        policy = self._services.policy
        if policy.counts_calls:
            policy.remember(await self._store.called_since(self._services.clock.now() - SPAN_S))
        self._ready = True
        self._admit()

    def refuse(self) -> None:
        """Takes no more calls."""
        self._draining = True
        self._cancel_admit_timer()

    async def drain(self, grace_s: float, hurry: asyncio.Event) -> None:
        """Takes no more calls; live ones may go on for so long, or until `hurry`, then they are
        hung up. Calls that wait for their turn stay queued, for the next start."""
        self.refuse()
        hurrying: asyncio.Future[Any] = asyncio.ensure_future(hurry.wait())
        deadline = asyncio.get_running_loop().time() + grace_s
        while (talking := self._under_way()) and not hurry.is_set():
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                break
            await asyncio.wait(
                [hurrying, *talking], timeout=left, return_when=asyncio.FIRST_COMPLETED
            )
        hurrying.cancel()
        self._hanging_up = True
        for leg in list(self._legs.values()):
            if not self._admission.is_waiting(leg.sid):
                _shut_down(leg)
        deadline = asyncio.get_running_loop().time() + LAST_BYES_S
        while talking := self._under_way():
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                break
            await asyncio.wait(talking, timeout=left)
        await self._services.tasks.wait(TASKS_S)

    # ------------------------------------------------------------------ what other nodes ask

    def choose(self, waiting: Sequence[QueuedCall]) -> list[str]:
        """See nodes.member.Calls."""
        now, admission = self._services.clock.monotonic(), self._admission
        if self._draining or not self._ready or admission.waiting:
            return []
        chosen: list[str] = []
        room = admission.total.room(now, len(waiting))
        for call in waiting if room else ():
            trunks = self._services.routes.to(call.to_number, call.trunk)
            names = tuple(trunk.name for trunk in trunks)
            if names and admission.would_start(call.key_name, names, now):
                chosen.append(call.sid)
            if len(chosen) == room:
                break
        return chosen

    async def take_up(self, claimed: Collection[str] = ()) -> None:
        """See nodes.member.Calls."""
        await self._store.flush()
        for call in await self._store.unfinished_calls():
            if not self._services.journal.is_open(call.sid):
                is_claimed = call.sid in claimed
                session = await resume(
                    self._services, self._store, call, self._keep, is_claimed=is_claimed
                )
                if session is not None:
                    self._wait(session)
        if self._services.messages is not None:
            await self._services.messages.take_up()
        if self._ready:
            self._admit()

    def let_go(self, sids: Collection[str] | None = None) -> None:
        """See nodes.member.Calls."""
        for sid in list(self._legs) if sids is None else sids:
            if self._admission.withdraw(sid) is not None and sid in self._legs:
                self._legs[sid].forget()

    async def obey(self, call_sid: str, kind: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """See nodes.member.Calls."""
        return await self._control.obey(call_sid, kind, data)

    def _queued(self) -> int:
        """How many stored calls wait."""
        placing = sum(self._admission.is_waiting(sid) for sid in self._storing)
        return self._admission.waiting - placing

    def _under_way(self) -> list[asyncio.Future[Any]]:
        """The ends of the legs that do not wait, and what more of them may come of."""
        is_waiting = self._admission.is_waiting
        legs = [leg.retired for leg in self._legs.values() if not is_waiting(leg.sid)]
        return [*self._storing.values(), *self._expected, *legs]

    # ------------------------------------------------------------------ inside

    def _key_changed(self, rules: KeyRules) -> None:
        """A key is new, or may do more or less than before."""
        self._services.minutes.limit(rules)
        now = self._services.clock.monotonic()
        self._admission.limit(rules.name, rules.calls_per_second, rules.concurrent_calls, now)
        if self._admission.waiting:
            self._channel_freed()

    def _keep(self, leg: CallLeg) -> None:
        self._legs[leg.sid] = leg
        if self._hanging_up and leg.state is not State.QUEUED:
            _shut_down(leg)
        leg.retired.add_done_callback(lambda _: self._forget(leg))

    def _forget(self, leg: CallLeg) -> None:
        self._legs.pop(leg.sid, None)
        if leg.is_elsewhere:
            return
        self._ended[leg.call.outcome or "", leg.call.cause or ""] += 1
        self.figures.take(leg.call)

    def _wait(self, session: Session) -> None:
        """Joins the queue; `_admit` takes it out again."""
        services, leg = self._services, session.leg
        request = session.request
        trunks = tuple(trunk.name for trunk in services.routes.to(request.to, request.trunk))
        waited_s = max(0.0, services.clock.now() - leg.call.created_at)
        left_s = services.settings.limits.queue_timeout_s - waited_s
        until = services.clock.monotonic() + left_s
        self._admission.wait(Ticket(leg.sid, leg.call.key_name, trunks, session, until))

    def _take_place(self, session: Session) -> bool:
        """Joins the queue and leaves it at once if there is room (True)."""
        self._wait(session)
        return self._admit(but=session)

    def _admit(self, but: Session | None = None) -> bool:
        """Starts every call there is room for; whether `but`, which is not started, is one."""
        self._cancel_admit_timer()
        if self._draining:
            return False
        now = self._services.clock.monotonic()
        for session in self._admission.expired(now):
            self._services.tasks.start(self._expire(session), f"expire {session.leg.sid}")
        included = False
        for start in self._admission.admit(now):
            start.ticket.item.leg.channel = start.trunk
            if start.ticket.item is but:
                included = True
            else:
                self._start(start.ticket.item)
        next_at = self._admission.next_at(now)
        if next_at is not None:
            delay = min(max(0.001, next_at - now), _LONGEST_TIMER_S)
            self._admit_timer = asyncio.get_running_loop().call_later(delay, self._admit)
        return included

    def _start(self, session: Session) -> None:
        task = self._services.tasks.start(self._run(session), f"call {session.leg.sid}")
        task.add_done_callback(lambda _: self._give_back(session))

    async def _run(self, session: Session) -> None:
        if not await self._is_stored(session):
            return
        if not session.leg.is_over:
            await session.run()
        await session.leg.retired

    async def _expire(self, session: Session) -> None:
        if await self._is_stored(session):
            session.leg.hang_up(_WAITED_TOO_LONG)

    async def _is_stored(self, session: Session) -> bool:
        """Whether there is such a call after all: its turn may come before its commit is done."""
        stored = self._storing.get(session.leg.sid)
        return stored is None or await asyncio.shield(stored)

    def _give_back(self, session: Session, *, unused: bool = False) -> None:
        """The place of a call that is over, or `unused` of one that could not be stored."""
        self._admission.release(session.leg.call.key_name, unused=unused)
        session.leg.free_channel(unused=unused)
        if self._admission.waiting:
            self._admit()
        elif self._peers is not None:
            self._peers.has_room()

    def _channel_freed(self) -> None:
        """By a second leg, or one that has gone on to its next trunk."""
        if self._admission.waiting:
            asyncio.get_running_loop().call_soon(self._admit)

    def _cancel_admit_timer(self) -> None:
        if self._admit_timer is not None:
            self._admit_timer.cancel()
            self._admit_timer = None


def _shut_down(leg: CallLeg) -> None:
    leg.hang_up(_SHUTDOWN if leg.state is State.ANSWERED else _SHUTDOWN_UNANSWERED)


def _admission(services: Services) -> Admission[Session]:
    """The queue under the limits of the settings."""
    limits, now = services.settings.limits, services.clock.monotonic()
    return Admission(
        Quota(limits.calls_per_second, limits.concurrent_calls, now),
        {},  # they come from the book of keys
        services.channels,
        waiting_max=limits.queued_calls,
        waiting_max_of_key=limits.queued_calls_per_key or math.ceil(limits.queued_calls * 0.8),
    )
