"""Outgoing legs: one INVITE after the other, until a server of the trunk takes the call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from outdial.legs import (
    Rejected,
    Released,
    Ringing,
    SignallingEvent,
    SignallingListener,
    TargetFailed,
    TraceListener,
)
from outdial.sip.core.agent import TOO_MANY
from outdial.sip.core.hop import Hop
from outdial.sip.core.invitation import Invitation
from outdial.sip.core.invite_client import OutgoingCall
from outdial.sip.core.outages import Outages
from outdial.sip.leg import Leg, nobody

if TYPE_CHECKING:
    from outdial.sip.endpoint import SipEndpoint
    from outdial.sip.trunks import TrunkLine
    from outdial.trunk_state import Failure


class Patience(NamedTuple):
    """How long a server that is called may say nothing. 0: as long as timer B, 32 s."""

    each_s: float = 0.0
    """When there is another one behind it."""
    last_s: float = 0.0


TIMER_B = Patience()


class OutboundLeg(Leg):
    """A call that we make. Fulfils `outdial.legs.OutgoingLeg`.

    When a server of a trunk says nothing for a while, cannot be reached or answers 503, the next
    one is tried (RFC 3263 section 4.3) with a request of its own; only the last failure is told.
    Once one has said anything that might mean ringing none other is: a call is placed once.
    """

    __slots__ = (
        "_cancelled", "_has_rung", "_hops", "_invitation", "_line", "_listener", "_outages",
        "_patience", "_trace", "_trunk",
    )  # fmt: skip

    def __init__(
        self,
        endpoint: SipEndpoint,
        sip_call_id: str,
        trunk: str,
        listener: SignallingListener,
        trace: TraceListener | None,
        line: TrunkLine | None = None,
        outages: Outages | None = None,
    ) -> None:
        """`trunk` is the name of the one it is dialled on, "" for none, and `line` that one."""
        super().__init__(endpoint, None, sip_call_id)
        self._trunk = trunk
        self._line = line
        self._listener = listener
        self._trace = trace
        self._outages = Outages() if outages is None else outages
        self._cancelled = False
        self._has_rung = False
        self._hops: list[Hop] = []
        self._patience = Patience()
        self._invitation: Invitation | None = None

    def invite(
        self, invitation: Invitation, hops: Sequence[Hop], patience: Patience = TIMER_B
    ) -> None:
        """Sends the INVITE to the first of the hops, unless the leg was hung up while a name was
        looked up."""
        if self._cancelled:
            return
        self._patience = patience
        self._hops = list(hops[1:])
        wait_s = patience.each_s if self._hops else patience.last_s
        if wait_s != invitation.patience_s or hops[0] is not invitation.hop:
            invitation = replace(invitation, hop=hops[0], patience_s=wait_s)
        self._invitation = invitation
        self._call = self._endpoint.invite(self, invitation, self._trace)

    @property
    def dialog_data(self) -> Mapping[str, Any] | None:
        """What ends the leg from another process, and the trunk whose credentials that may take."""
        data = super().dialog_data
        return data if data is None or not self._trunk else {**data, "trunk": self._trunk}

    def acknowledge(self) -> None:
        """The ACK of the answer."""
        if self._call is not None:
            self._touch()
            cast(OutgoingCall, self._call).acknowledge()
            self._endpoint.flush()

    def hang_up(self, status: int = 0, reason: str = "") -> None:
        """CANCEL or BYE; before the INVITE left nothing is sent."""
        if self._call is None and not self._cancelled:
            self._cancelled = True
            self.fail(Rejected(487, "Request Terminated", local=True))
        self._hops = []
        super().hang_up(status, reason)

    def fail(self, event: Rejected) -> None:
        """The leg ends before its INVITE left; the listener is told a little later."""
        asyncio.get_running_loop().call_soon(self._fail, event)

    def _fail(self, event: Rejected) -> None:
        if not self._over:
            self._over = True
            self.tell(event)

    def deliver(self, event: SignallingEvent) -> None:
        """An event of the agent; a failure of one server may lead to the next."""
        if isinstance(event, Ringing):
            self._has_rung = True
        elif isinstance(event, Rejected) and self._is_servers_fault(event):
            self._note(event)
            if self._hops and not self._has_rung:
                self._try_next(event)
                return
        if self._line is not None and not isinstance(event, Released):
            missing = isinstance(event, Rejected) and event.local and event.status in (408, 503)
            self._line.noticed(answered=not missing)
        super().deliver(event)

    def tell(self, event: SignallingEvent) -> None:
        """Passes it to the listener, which is let go of when nothing can follow."""
        listener = self._listener
        if self._over:
            self._listener = nobody
        listener(event)

    @staticmethod
    def _is_servers_fault(event: Rejected) -> bool:
        """Whether another server of the same trunk may do better: RFC 3263 section 4.3."""
        if event.local:
            return event.status in (408, 503) and event.reason != TOO_MANY
        return event.status == 503

    def _note(self, event: Rejected) -> None:
        """What later calls should know of the server."""
        if self._call is None:
            return
        hop, now = self._call.peer, self._endpoint.now
        failure: Failure
        if not event.local:
            self._outages.paused(hop, event.retry_after_s or 0, now)
            failure = "paused" if event.retry_after_s else "unavailable"
        elif event.status == 408:
            self._outages.died(hop, "says nothing", now)
            failure = "silent"
        else:
            self._outages.died(hop, f"cannot be reached: {event.reason}", now)
            failure = "unreachable"
        if self._line is not None:
            self._line.failures[failure] += 1

    def _try_next(self, event: Rejected) -> None:
        call, invitation = self._call, self._invitation
        if not isinstance(call, OutgoingCall) or invitation is None:
            return
        self._endpoint.forget(call)
        failed, hops = call.peer, self._hops
        # whoever has given an answer has nothing of the call any more; from whoever has not, the
        # same INVITE may have gone on to where the next one goes on to, and must be known again
        tag = call.local_tag if event.local else ""
        self.invite(replace(invitation, local_tag=tag), hops, self._patience)
        self.tell(
            TargetFailed(
                f"{failed.transport}:{failed.peer}",
                event.status,
                event.reason,
                local=event.local,
                next_target=f"{hops[0].transport}:{hops[0].peer}",
            )
        )
