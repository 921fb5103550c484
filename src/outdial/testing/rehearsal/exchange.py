"""Signalling without a network: two legs that tell each other what happens, at once.

An exchange has two sides, the server's and the phones'. Each dials through its own plane, and what
it dials arrives at the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any

from outdial.legs import (
    Answered,
    Caller,
    DialTarget,
    Rejected,
    Released,
    Ringing,
    SignallingEvent,
    SignallingListener,
    TraceListener,
)
from outdial.sip.core.headers import Headers
from outdial.sip.core.identity import extra_headers
from outdial.sip.core.message import Request
from outdial.sip.core.uri import Uri
from outdial.trunk_state import TrunkMessages, TrunkServers, TrunkState

HOST = "127.0.0.1"
PORT = 5060


class ExchangePlane:
    """Fulfils `legs.SignallingPlane`: what is dialled arrives at `take`."""

    def __init__(self, take: Callable[[ExchangeIncoming], None], trunk: str) -> None:
        self._take = take
        self._trunk = trunk
        self._dialled = 0

    def dial(
        self,
        target: DialTarget,
        offer: bytes,
        listener: SignallingListener,
        trace: TraceListener | None = None,
    ) -> ExchangeOutgoing:
        """See SignallingPlane. Nothing is traced: there are no messages."""
        self._dialled += 1
        call = _Call(f"{target.leg_id}-{self._dialled}@rehearsal", target, offer, listener)
        call.loop.call_soon(self._arrive, call)
        return call.outgoing

    async def goes_over_tls(self, trunk: str) -> bool:
        """See SignallingPlane: it goes over nothing."""
        return False

    def release(self, dialog_data: Mapping[str, Any], trace: TraceListener | None = None) -> None:
        """See SignallingPlane: no call outlives the process."""

    def trunk_of(self, host: str, account: str = "") -> str | None:
        """The name of the trunk at the address."""
        return self._trunk

    def trunk_states(self) -> Sequence[TrunkState]:
        """None of them is ever asked."""
        return ()

    def trunk_servers(self) -> Sequence[TrunkServers]:
        """None of them has a server."""
        return ()

    def trunk_messages(self, trunk_name: str) -> TrunkMessages:
        """Nor sent anything else."""
        return TrunkMessages()

    def is_last_choice(self, trunk_name: str) -> bool:
        """So none is."""
        return False

    def _arrive(self, call: _Call) -> None:
        if not call.is_over:
            self._take(call.incoming)


class _Side(Enum):
    OUTGOING = "outgoing"
    INCOMING = "incoming"


class _Call:
    """What the two legs share."""

    def __init__(
        self, call_id: str, target: DialTarget, offer: bytes, listener: SignallingListener
    ) -> None:
        self.call_id = call_id
        self.target = target
        self.offer = offer
        self.loop = asyncio.get_running_loop()
        self.is_answered = False
        self.is_over = False
        self.outgoing = ExchangeOutgoing(self)
        self.incoming = ExchangeIncoming(self)
        self._listeners: dict[_Side, SignallingListener | None] = {
            _Side.OUTGOING: listener,
            _Side.INCOMING: None,
        }
        self._kept: list[SignallingEvent] = []
        """For the called side, which does not listen yet."""

    def listen(self, listener: SignallingListener) -> None:
        self._listeners[_Side.INCOMING] = listener
        kept, self._kept = self._kept, []
        for event in kept:
            self.loop.call_soon(listener, event)

    def tell(self, side: _Side, event: SignallingEvent) -> None:
        """A little later, as over any network."""
        self.loop.call_soon(self._tell, side, event)

    def _tell(self, side: _Side, event: SignallingEvent) -> None:
        listener = self._listeners[side]
        if listener is None:
            self._kept.append(event)
        else:
            listener(event)

    def end(self, by: _Side, status: int = 0, reason: str = "") -> None:
        """One side ends it: CANCEL, a refusal or BYE. Idempotent."""
        if self.is_over:
            return
        self.is_over = True
        other = _Side.INCOMING if by is _Side.OUTGOING else _Side.OUTGOING
        if self.is_answered:
            self.tell(by, Released(by_far_end=False, status=200))
            self.tell(other, Released(by_far_end=True))
        elif by is _Side.OUTGOING:
            self.tell(by, Rejected(487, "Request Terminated"))
            self.tell(other, Rejected(487, "Request Terminated"))
        else:
            self.tell(by, Rejected(status, reason, local=True))
            self.tell(other, Rejected(status, reason))


class _Leg:
    """What both legs can do."""

    peer: tuple[str, int] | None = (HOST, PORT)
    is_secure = False

    def __init__(self, call: _Call) -> None:
        self._call = call

    @property
    def sip_call_id(self) -> str:
        """See SignallingLeg."""
        return self._call.call_id

    @property
    def dialog_data(self) -> Mapping[str, Any] | None:
        """See SignallingLeg: there is nothing that another process could end."""
        return None

    def answer_offer(self, sdp: bytes) -> None:
        """See SignallingLeg: nobody offers again."""

    def refuse_offer(self, status: int = 488) -> None:
        """See SignallingLeg."""

    def reoffer(self, sdp: bytes) -> None:
        """See SignallingLeg."""

    def accept_transfer(self) -> None:
        """See SignallingLeg: nobody transfers anybody."""

    def refuse_transfer(self, status: int = 603) -> None:
        """See SignallingLeg."""

    def tell_transfer(self, status: int, reason: str = "") -> None:
        """See SignallingLeg."""

    def dismiss(self) -> None:
        """See SignallingLeg: nobody takes another's place."""


class ExchangeOutgoing(_Leg):
    """Fulfils `legs.OutgoingLeg`."""

    def __init__(self, call: _Call) -> None:
        super().__init__(call)
        self._acknowledged = False

    def acknowledge(self) -> None:
        """See OutgoingLeg."""
        if self._call.is_answered and not self._acknowledged:
            self._acknowledged = True
            self._call.tell(_Side.INCOMING, Answered(None))

    def hang_up(self, status: int = 0, reason: str = "") -> None:
        """See SignallingLeg."""
        self._call.end(_Side.OUTGOING)


class ExchangeIncoming(_Leg):
    """Fulfils `legs.IncomingLeg`."""

    source = (HOST, PORT)
    account = ""

    @property
    def called(self) -> str:
        """See IncomingLeg."""
        target = self._call.target
        return target.number or target.uri.partition(":")[2].partition("@")[0]

    @property
    def caller_id(self) -> str:
        """See IncomingLeg."""
        return self._call.target.caller_id

    @property
    def caller_name(self) -> str:
        """See IncomingLeg."""
        return self._call.target.caller_name

    def caller(self, *, trusted: bool) -> Caller:
        """See IncomingLeg."""
        return Caller(self.caller_id or "anonymous", self.caller_name)

    @property
    def extra_headers(self) -> tuple[tuple[str, str], ...]:
        """See IncomingLeg."""
        return extra_headers(self.request)

    @property
    def offer(self) -> bytes | None:
        """See IncomingLeg."""
        return self._call.offer

    @property
    def request(self) -> Request:
        """The INVITE as it would be."""
        uri = Uri.parse(f"sip:{self.called}@{HOST}")
        return Request("INVITE", uri, Headers(self._call.target.headers), self._call.offer)

    def listen(self, listener: SignallingListener) -> None:
        """See IncomingLeg."""
        self._call.listen(listener)

    def trace(self, trace: TraceListener) -> None:
        """See IncomingLeg: there are no messages."""

    def ring(self, status: int = 180, sdp: bytes | None = None) -> None:
        """See IncomingLeg."""
        if not self._call.is_over and not self._call.is_answered:
            self._call.tell(_Side.OUTGOING, Ringing(status, "", sdp))

    def accept(self, sdp: bytes) -> None:
        """See IncomingLeg."""
        if not self._call.is_over and not self._call.is_answered:
            self._call.is_answered = True
            self._call.tell(_Side.OUTGOING, Answered(sdp))

    def reject(
        self, status: int, reason: str = "", headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        """See IncomingLeg."""
        if not self._call.is_answered:
            self._call.end(_Side.INCOMING, status, reason)

    def hang_up(self, status: int = 0, reason: str = "") -> None:
        """See SignallingLeg."""
        self._call.end(_Side.INCOMING, status or 603, reason)
