"""What is needed to call somebody."""

from __future__ import annotations

from outdial.frozen import frozen
from outdial.sip.core.authorization import Credentials
from outdial.sip.core.hop import Hop
from outdial.sip.core.peer import SOMEBODY, Peer


@frozen
class Invitation:
    """What an INVITE says, resolved down to the address that it goes to."""

    call_id: str
    uri: str
    """Request-URI and To."""
    from_: str
    """From value without tag."""
    hop: Hop
    offer: bytes
    headers: tuple[tuple[str, str], ...] = ()
    credentials: Credentials | None = None
    symmetric: bool = False
    """Requests inside the dialog go where the peer's messages come from (NAT)."""
    policy: Peer = SOMEBODY
    """What the owner says of the peer."""
    routes: tuple[str, ...] = ()
    """Values of Route: the proxies that the INVITE goes by."""
    contact_user: str = ""
    """Of our Contact; the one that is registered, where we are."""
    ack_waits: bool = False
    """The ACK of the answer leaves by `OutgoingCall.acknowledge`, not at once."""
    patience_s: float = 0.0
    """A target that has said nothing at all for so long is given up as by timer B; 0: only by that.
    """
    local_tag: str = ""
    """Of From; "" for a new one. The same tag with the same Call-ID at another target shows a
    server behind both that it is one call (section 8.2.2.2)."""
