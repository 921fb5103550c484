"""REFER inside a call (RFC 3515): the peer asks us to call somebody else, and is told how it went.

What it asks for is only read here; whether it is done the leg's listener says. The subscription
that a REFER makes lives in the dialog of its call and ends with it: who transfers a call and hangs
up does not want to know any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from outdial.errors import RemoteProtocolError
from outdial.legs import Referred
from outdial.sip.core.address import Address
from outdial.sip.core.hop import Hop
from outdial.sip.core.message import Request, Response, reason_phrase
from outdial.sip.core.transaction import ClientTransaction, ServerTransaction

if TYPE_CHECKING:
    from outdial.sip.core.agent import Agent
    from outdial.sip.core.session import Session

_EXPIRES_S = 180
_SCHEMES = ("sip", "sips", "tel")
_LONGEST = 512


def referred(request: Request) -> Referred:
    """What a REFER asks for. Raises RemoteProtocolError with the status that it deserves."""
    values = request.headers.get_all("Refer-To")
    if len(values) != 1 or len(values[0]) > _LONGEST:
        raise RemoteProtocolError("a REFER needs one Refer-To")
    uri = Address.parse(values[0]).uri
    if uri.scheme not in _SCHEMES:
        raise RemoteProtocolError("nobody can be called there", status_hint=416)
    if (uri.params.get("method") or "INVITE").upper() != "INVITE":
        raise RemoteProtocolError("only INVITE is sent for a REFER", status_hint=603)
    names = {name.lower() for name in uri.headers}
    return Referred(str(uri.without_headers()), attended="replaces" in names)


class Referral:
    """One REFER, from its arrival until its last NOTIFY."""

    __slots__ = (
        "_agent", "_event", "_is_accepted", "_news", "_notified", "_session", "_transaction",
        "_wants_no_news",
    )  # fmt: skip

    def __init__(
        self,
        agent: Agent,
        session: Session,
        transaction: ServerTransaction,
        request: Request,
        *,
        is_first: bool,
    ) -> None:
        """`is_first`: there was none in the dialog before; later ones are told apart by their CSeq
        (section 2.4.6)."""
        self._agent = agent
        self._event = "refer" if is_first else f"refer;id={transaction.cseq}"
        self._session = session
        self._transaction = transaction
        self._is_accepted = False
        self._notified = 0
        """CSeq of the last NOTIFY. Not its transaction, which holds us: of a call that is over
        nothing is to wait for the collector of cycles."""
        self._news = ("", b"")
        """What it says: the state of the subscription, and the status line."""
        self._wants_no_news = (request.headers.get("Refer-Sub") or "").strip().lower() == "false"

    def accept(self) -> None:
        """202, and the first NOTIFY (section 2.4.4)."""
        if self._is_accepted:
            return
        self._is_accepted = True
        fields = f"Contact: {self._contact(self._transaction.hop)}\r\n"
        fields += f"Server: {self._agent.name}\r\n"
        if self._wants_no_news:  # RFC 4488
            fields += "Refer-Sub: false\r\n"
        self._transaction.respond(202, "", fields)
        self.tell(100)

    def refuse(self, status: int) -> None:
        """A failure response; nothing more is told."""
        if not self._is_accepted:
            self._session.referral = None
            self._transaction.respond(status)

    def tell(self, status: int, reason: str = "") -> None:
        """NOTIFY with the status of our INVITE; a final one is the last."""
        session = self._session
        if status >= 200 and session.referral is self:
            session.referral = None
        if self._wants_no_news or not self._is_accepted or not session.is_open:
            return
        state = f"active;expires={_EXPIRES_S}" if status < 200 else "terminated;reason=noresource"
        printable = "".join([c if c.isprintable() else " " for c in reason])
        self._news = state, f"SIP/2.0 {status} {printable or reason_phrase(status)}\r\n".encode()
        self._send_notify()

    def _send_notify(self) -> None:
        (state, body), agent, session = self._news, self._agent, self._session
        outline = session.dialog.outline(agent.branch())
        fields = (
            f"Contact: {self._contact(outline.hop)}\r\nEvent: {self._event}\r\n"
            f"Subscription-State: {state}\r\nContent-Type: message/sipfrag;version=2.0\r\n"
            f"User-Agent: {agent.name}\r\n"
        )
        fields += session.authorization.fields("NOTIFY", outline.uri, outline.hop, body)
        self._notified = outline.cseq
        agent.request(
            outline, "NOTIFY", outline.encode("NOTIFY", fields, body), self, session.trace
        )

    def _contact(self, hop: Hop) -> str:
        return self._session.dialog.contact(hop)

    def on_response(self, transaction: ClientTransaction, response: Response, source: Hop) -> None:
        """What the peer thinks of the news changes nothing, but it may want to know from whom they
        are. Older ones than the last it need not be told any more."""
        if response.status < 200 or transaction.outline.cseq != self._notified:
            return
        session = self._session
        if not session.authorization.takes(response, source):
            session.authorization.settled("NOTIFY")
        elif session.is_open:
            self._send_notify()

    def on_no_response(self, transaction: ClientTransaction, *, unreachable: bool) -> None:
        """Nor does its silence: whether it is there the call itself finds out."""
