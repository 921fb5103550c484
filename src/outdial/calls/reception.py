"""Calls towards us: who may call which number, and the session that takes the call.

Signalling has let pass only what comes from a trunk's address; here the number decides.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Protocol

from outdial import ids, log
from outdial.calls.answering_leg import AnsweringLeg
from outdial.calls.callbacks import Subscription
from outdial.calls.called_numbers import CalledNumbers
from outdial.calls.leg import CallLeg
from outdial.calls.numbers import normalise
from outdial.calls.request import CallRequest
from outdial.calls.services import Services
from outdial.calls.states import Event, State, following
from outdial.errors import Refused, StoreUnavailable
from outdial.legs import IncomingLeg
from outdial.store.records import CallRecord, NumberRecord

_LONGEST_CALLER = 64
_UNSAFE = re.compile(r"[^\w+*#.@ -]")
_BUSY_SERVER = (("Retry-After", "5"),)

_log = log.get("reception")


class Host(Protocol):
    """The part of the registry that holds sessions."""

    @property
    def has_room(self) -> bool:
        """Whether one more call may be taken now."""

    def expect(self, arrival: asyncio.Future[None]) -> None:
        """Something to be hosted may come of it: whoever stops the server waits for that."""

    def host(self, call: CallRecord, request: CallRequest, leg: CallLeg) -> None:
        """Runs the call, which is stored, to its end."""


class Reception:
    """Takes incoming legs. `trunk_of` names the trunk at an address, of several there the one
    with that user name."""

    def __init__(
        self,
        services: Services,
        host: Host,
        trunk_of: Callable[[str, str], str | None],
        numbers: CalledNumbers,
    ) -> None:
        self._services = services
        self._host = host
        self._trunk_of = trunk_of
        self._numbers = numbers
        self._trusted = {trunk.name for trunk in services.settings.trunks if trunk.trusted}

    def take(self, incoming: IncomingLeg) -> None:
        """A call has arrived. Returns at once."""
        trunk = self._trunk_of(incoming.source[0], incoming.account)
        if trunk is None:
            _log.info("call refused", called=incoming.called, reason="no trunk")
            incoming.reject(403)
        elif not self._host.has_room:
            incoming.reject(503, "", _BUSY_SERVER)
        else:
            name = f"incoming {incoming.sip_call_id}"
            taking = self._find_and_take(incoming, trunk)
            self._host.expect(self._services.tasks.start(taking, name))

    async def _find_and_take(self, incoming: IncomingLeg, trunk: str) -> None:
        try:
            number = await self._numbers.find(incoming.called)
        except StoreUnavailable as error:
            _log.warning("call refused", called=incoming.called, reason=str(error))
            incoming.reject(503, "", _BUSY_SERVER)
            return
        if number is None:
            _log.info("call refused", called=incoming.called, trunk=trunk, reason="unknown number")
            incoming.reject(404)
        else:
            await self._take(incoming, number, trunk)

    async def _take(self, incoming: IncomingLeg, number: NumberRecord, trunk: str) -> None:
        services = self._services
        now = services.clock.now()
        caller = incoming.caller(trusted=trunk in self._trusted)
        request = CallRequest(
            to=number.number,
            from_=_caller(caller.number),
            url=number.url,
            method=number.method,
            fallback_url=number.fallback_url,
            status_callback=number.status_callback,
            status_callback_events=number.status_callback_events,
            record=number.record,
            caller_name=_UNSAFE.sub("", caller.name)[:_LONGEST_CALLER],
            sip_headers=incoming.extra_headers,
        )
        call = CallRecord(
            sid=ids.new(ids.CALL),
            parent_sid="",
            direction="inbound",
            from_number=request.from_,
            to_number=request.to,
            caller_name=request.caller_name,
            state=following(State.QUEUED, Event.ARRIVE).text,
            created_at=now,
            trunk=trunk,
            ringing_at=now,
            request=request.to_json(),
        )
        call.parent_sid = call.sid
        subscription = Subscription.of_request(request, call.sid)
        leg = AnsweringLeg(services, call, incoming, subscription, record=request.record)
        event = leg.timeline.event("state.ringing", {"from": call.from_number, "trunk": trunk})
        try:
            await services.journal.create(call, event)
        except StoreUnavailable as error:
            _log.warning("call refused", call=call.sid, reason=str(error))
            services.journal.close_timeline(call.sid)
            incoming.reject(503, "", _BUSY_SERVER)
            return
        self._host.host(call, request, leg)


def _caller(written: str) -> str:
    """The caller ID as E.164 digits where it is a number, else the text without what is unsafe."""
    try:
        return normalise(written, "from")
    except Refused:
        return _UNSAFE.sub("", written)[:_LONGEST_CALLER] or "anonymous"
