"""Calls of an earlier process: ended from what was kept of them, or from what the far end says.

A process that crashes leaves peers that ring, that talk, or that wait for the ACK of their 200 and
repeat it for 64*T1. What was stored is released with CANCEL or BYE. A 200 that belongs to nothing
we know of is acknowledged and its dialog ended, so that no carrier goes on billing; but only from
where our calls go, and never towards an address that the message alone names (a forged one would
have us bombard it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from outdial.sip.core.authorization import Authorization, Credentials
from outdial.sip.core.dialog import Dialog
from outdial.sip.core.dialog_data import DialogData
from outdial.sip.core.dialog_request import goodbye
from outdial.sip.core.hop import Hop
from outdial.sip.core.invite_client import OutgoingCall
from outdial.sip.core.message import Response
from outdial.sip.core.outline import Outline
from outdial.sip.core.reason import TEMPORARY_FAILURE, reason_fields
from outdial.sip.core.transaction import Trace

if TYPE_CHECKING:
    from outdial.sip.core.agent import Agent

MOST = 512
"""Unknown dialogs ended within 64*T1. The 200 of one too many comes again, and so has its turn."""
REASON = "restarted after a crash"
TOO_LATE = "answered after it was refused"

Key = tuple[str, str, str]
"""Call-ID, our tag, the peer's tag."""


class Orphans:
    """The dialogs that are being ended, each for 64*T1: so long a 200 may be repeated."""

    __slots__ = ("_adopted", "_agent", "_dialogs", "count")

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._dialogs: dict[Key, Dialog] = {}
        """In the order in which they came."""
        self._adopted: set[tuple[str, str]] = set()
        """Call-ID and our tag of those that were not known before their 200."""
        self.count = 0
        """All that were ever ended."""

    def release(
        self, data: DialogData, hop: Hop, credentials: Credentials | None, trace: Trace | None
    ) -> None:
        """BYE, or CANCEL for an INVITE that is not answered. Raises ValueError for unusable data.

        A 200 that comes all the same is acknowledged and followed by BYE.
        """
        agent = self._agent
        if (data.call_id, data.local_tag) in self._adopted:
            return  # its 200 was repeated before the store was read
        if data.branch:
            OutgoingCall.cancel_orphan(agent, data, hop, credentials, trace, REASON)
        else:
            dialog = data.dialog(hop)
            self._hold((data.call_id, dialog.local_tag, dialog.remote_tag), dialog)
            self._part(dialog, Authorization(credentials, agent.token), trace)
        self.count += 1

    def on_success(self, response: Response, source: Hop, reason: str = REASON) -> bool:
        """A 2xx to an INVITE for which there is no transaction, or which was refused; False: it is
        not ours to end."""
        agent = self._agent
        source = source.showing(agent.peer_of(source.host, "").shown)
        if response.top_via.sent_by != source.sent_by:
            return False  # section 18.1.2: not an answer to anything that we sent
        local_tag, remote_tag = response.from_.tag or "", response.to.tag or ""
        key = (response.call_id, local_tag, remote_tag)
        dialog = self._dialogs.get(key)
        if dialog is None:
            if not (local_tag and remote_tag and self._may_adopt(source)):
                return False
            dialog = self._adopt(response, source, local_tag)
            self._hold(key, dialog)
            self._adopted.add(key[:2])
            self.count += 1
            # BYE first (section 15 allows it): nothing is stored of this dialog, and after an ACK
            # the 200 would not come again, were we to crash once more between the two.
            credentials = agent.credentials_of(source.host)
            self._part(dialog, Authorization(credentials, agent.token), None, reason)
        self._acknowledge(dialog, response)
        return True

    def _adopt(self, response: Response, source: Hop, local_tag: str) -> Dialog:
        headers = response.headers
        outline = Outline(
            uri=str(response.to.uri),
            hop=source,
            branch="",
            routes=(),
            from_=headers.get("From") or "",
            to=headers.get("To") or "",
            call_id=response.call_id,
            cseq=response.cseq.number,
        )
        dialog = Dialog.as_client(outline, local_tag, response, source, symmetric=False)
        if not self._agent.is_peer(dialog.hop.host):
            dialog.hop = source
        return dialog

    def _acknowledge(self, dialog: Dialog, response: Response) -> None:
        agent = self._agent
        outline = dialog.outline(agent.branch(), response.cseq.number)
        agent.send(outline.encode("ACK"), outline.hop, None)

    def _part(
        self,
        dialog: Dialog,
        authorization: Authorization,
        trace: Trace | None,
        reason: str = REASON,
    ) -> None:
        fields = reason_fields(reason, TEMPORARY_FAILURE)
        goodbye(self._agent, dialog, authorization, trace, fields).send()

    # ------------------------------------------------------------ for 64*T1

    def _may_adopt(self, source: Hop) -> bool:
        agent = self._agent
        return agent.is_peer(source.host) and len(self._adopted) < MOST and agent.has_room

    def _hold(self, key: Key, dialog: Dialog) -> None:
        agent = self._agent
        self._dialogs[key] = dialog
        agent.timers.start(agent.now + agent.timings.timeout, self, 0)

    def on_timer(self, what: int) -> None:
        """The oldest has been held long enough."""
        key = next(iter(self._dialogs), None)
        if key is not None:
            del self._dialogs[key]
            self._adopted.discard(key[:2])
