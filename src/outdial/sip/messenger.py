"""The plane of `outdial.messages`: texts over trunks, as MESSAGE requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from outdial.legs import TraceListener
from outdial.messages import MessageResult, MessageTarget
from outdial.sip.core.hop import Hop
from outdial.sip.core.instant_message import InstantMessage, room_bytes, split
from outdial.sip.endpoint import SipEndpoint, random_token
from outdial.sip.plane import SipPlane, host_of
from outdial.sip.resolver import ResolutionFailed
from outdial.sip.trunks import TrunkLine

_LEAST_ROOM_BYTES = 64


class Messenger:
    """Fulfils `outdial.messages.MessagePlane`.

    A trunk's next address is tried only when it is certain that the one before has nothing of the
    message. The parts of a long text go one after the other (RFC 3428 section 8 wants no two under
    way to one address), and none goes behind one that was not taken.
    """

    def __init__(self, endpoint: SipEndpoint, plane: SipPlane) -> None:
        self._endpoint = endpoint
        self._plane = plane

    async def send(
        self, target: MessageTarget, trace: TraceListener | None = None
    ) -> MessageResult:
        """See `outdial.messages.MessagePlane`."""
        trunk = self._plane.line(target.trunk)
        if trunk is None:
            return _unsent(503, f"No trunk named {target.trunk}")
        if trunk.is_registering:
            await trunk.registered()
        if trunk.refusal:
            return _unsent(503, trunk.refusal)
        try:
            hops = trunk.hops_known() or await trunk.hops()
        except ResolutionFailed as error:
            return _unsent(503, str(error))
        result = _unsent(503, "No listener for that transport")
        usable = self._plane.outages.in_order(hops, self._endpoint.now)
        if hops and not usable:
            return _unsent(503, "The trunk has asked for no requests at present")
        for hop in usable:
            result = await self._send_at(hop, trunk, target, trace)
            if not (result.local and result.not_taken):
                break
        return result

    async def _send_at(
        self, hop: Hop, trunk: TrunkLine, target: MessageTarget, trace: TraceListener | None
    ) -> MessageResult:
        shown = trunk.presentation.show(target.sender, "", host_of(hop))
        message = InstantMessage(
            call_id=f"{target.message_id}-{random_token()}",
            uri=trunk.uri(target.number, hop),
            from_=shown.from_,
            hop=hop,
            text=b"",
            routes=trunk.routes(hop),
            credentials=trunk.credentials,
            headers=shown.fields,
        )
        more = sum(len(name) + len(value) + 4 for name, value in message.headers)
        room = room_bytes(
            2 * len(message.uri) + len(message.from_) + len(message.call_id) + 300 + more
        )
        if room < _LEAST_ROOM_BYTES:
            return _unsent(513, "The trunk's address leaves no room for a text")
        parts = split(target.text, room)
        for place, part in enumerate(parts):
            one = replace(
                message, call_id=f"{target.message_id}-{random_token()}", text=part.encode()
            )
            result = await self._ask(one, trace)
            if not result.is_taken:
                if place == 0:
                    return replace(result, parts=len(parts))
                reason = f"{result.reason}: part {place + 1} of {len(parts)} was not taken"
                return replace(result, reason=reason, not_taken=False, parts=len(parts))
        return replace(result, parts=len(parts))

    async def _ask(self, message: InstantMessage, trace: TraceListener | None) -> MessageResult:
        answered: asyncio.Future[MessageResult] = asyncio.get_running_loop().create_future()
        self._endpoint.message(message, _resolve(answered), trace)
        return await answered


def _resolve(future: asyncio.Future[MessageResult]) -> Callable[[MessageResult], None]:
    def done(result: MessageResult) -> None:
        if not future.done():
            future.set_result(result)

    return done


def _unsent(status: int, reason: str) -> MessageResult:
    return MessageResult(status, reason, local=True, not_taken=True)
