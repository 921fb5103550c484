"""A request in a dialog whose answer changes nothing, but that must arrive: PRACK, and the BYE of a
dialog that nobody is in (a branch too many, a call of a process that crashed)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outdial.sip.core.authorization import Authorization
from outdial.sip.core.dialog import Dialog
from outdial.sip.core.hop import Hop
from outdial.sip.core.message import Response
from outdial.sip.core.transaction import ClientTransaction, Trace

if TYPE_CHECKING:
    from outdial.sip.core.agent import Agent


class DialogRequest:
    """Sends it, again with credentials when the peer wants some. Nobody is told how it went."""

    __slots__ = ("_agent", "_authorization", "_dialog", "_fields", "_method", "_trace")

    def __init__(
        self,
        agent: Agent,
        dialog: Dialog,
        authorization: Authorization,
        trace: Trace | None,
        method: str,
        fields: str,
    ) -> None:
        """`fields` are whole lines."""
        self._agent = agent
        self._dialog = dialog
        self._authorization = authorization
        self._trace = trace
        self._method = method
        self._fields = fields

    def send(self) -> None:
        """Sends it, with the repeats of an ordinary transaction."""
        agent, method = self._agent, self._method
        outline = self._dialog.outline(agent.branch())
        fields = self._authorization.fields(method, outline.uri, outline.hop)
        fields += f"User-Agent: {agent.name}\r\n{self._fields}"
        agent.request(outline, method, outline.encode(method, fields), self, self._trace)

    def on_response(self, transaction: ClientTransaction, response: Response, source: Hop) -> None:
        """Whatever else it says changes nothing; after BYE the dialog is over (RFC 3261 section
        15.1.1)."""
        if response.status < 200:
            return
        if self._authorization.takes(response, source):
            self.send()
        else:
            self._authorization.settled(self._method)

    def on_no_response(self, transaction: ClientTransaction, *, unreachable: bool) -> None:
        """So it is when there is none."""


def goodbye(
    agent: Agent,
    dialog: Dialog,
    authorization: Authorization,
    trace: Trace | None,
    reason: str,
) -> DialogRequest:
    """The BYE. `reason` are the whole Reason lines."""
    return DialogRequest(agent, dialog, authorization, trace, "BYE", reason)
