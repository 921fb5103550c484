"""OPTIONS outside of calls: is the peer there?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from outdial.frozen import frozen
from outdial.sip.core.hop import Hop
from outdial.sip.core.message import Response
from outdial.sip.core.outline import Outline
from outdial.sip.core.transaction import ClientTransaction, Trace

if TYPE_CHECKING:
    from outdial.sip.core.agent import Agent


@frozen
class ProbeResult:
    """The end of a probe."""

    status: int | None
    """The peer's status, whatever it is; None: no answer."""
    unreachable: bool = False
    """The transport said that nobody is there."""
    why: str = ""
    """What it said, in words."""
    reason: str = ""
    """The reason phrase of the peer's answer."""


class Probe:
    """One OPTIONS request."""

    __slots__ = ("_agent",)

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def send(
        self, uri: str, hop: Hop, routes: tuple[str, ...] = (), trace: Trace | None = None
    ) -> None:
        """Sends it."""
        agent = self._agent
        outline = Outline(
            uri=uri,
            hop=hop,
            branch=agent.branch(),
            routes=routes,
            from_=f"<sip:{hop.sent_by}>;tag={agent.token()}",
            to=f"<{uri}>",
            call_id=agent.token(),
            cseq=1,
        )
        fields = f"Accept: application/sdp\r\nUser-Agent: {agent.name}\r\n"
        agent.request(outline, "OPTIONS", outline.encode("OPTIONS", fields), self, trace)

    def on_response(self, transaction: ClientTransaction, response: Response, source: Hop) -> None:
        """Any final response shows that the peer is alive."""
        if response.status >= 200:
            self._agent.emit(self, ProbeResult(response.status, reason=response.reason))

    def on_no_response(self, transaction: ClientTransaction, *, unreachable: bool) -> None:
        """Nobody there."""
        why = self._agent.trouble if unreachable else ""
        self._agent.emit(self, ProbeResult(None, unreachable, why))
