"""BYE in a dialog that nobody is in: a branch too many, a call of a process that crashed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outdial.sip.core.authorization import Authorization
from outdial.sip.core.dialog import Dialog
from outdial.sip.core.hop import Hop
from outdial.sip.core.message import Response
from outdial.sip.core.transaction import ClientTransaction, Trace

if TYPE_CHECKING:
    from outdial.sip.core.agent import Agent


class Goodbye:
    """Sends BYE, again with credentials when the peer wants some. Nobody is told how it went."""

    __slots__ = ("_agent", "_authorization", "_dialog", "_reason", "_trace")

    def __init__(
        self,
        agent: Agent,
        dialog: Dialog,
        authorization: Authorization,
        trace: Trace | None,
        reason: str,
    ) -> None:
        """`reason` are the whole Reason lines."""
        self._agent = agent
        self._dialog = dialog
        self._authorization = authorization
        self._trace = trace
        self._reason = reason

    def send(self) -> None:
        """Sends it, with the repeats of an ordinary transaction."""
        agent = self._agent
        outline = self._dialog.outline(agent.branch())
        fields = self._authorization.fields("BYE", outline.uri, outline.hop)
        fields += f"User-Agent: {agent.name}\r\n{self._reason}"
        agent.request(outline, "BYE", outline.encode("BYE", fields), self, self._trace)

    def on_response(self, transaction: ClientTransaction, response: Response, source: Hop) -> None:
        """Whatever else it says, the dialog is over (RFC 3261 section 15.1.1)."""
        if response.status in (401, 407) and self._authorization.takes(response, source):
            self.send()

    def on_no_response(self, transaction: ClientTransaction, *, unreachable: bool) -> None:
        """So it is when there is none."""
