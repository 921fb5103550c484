"""What the owner says of a peer: how its dialogs are led, and what it may do in them."""

from __future__ import annotations

from outdial.frozen import frozen
from outdial.sip.core.outline import ALLOW, SUPPORTED


@frozen
class Peer:
    """A trunk as the user agent sees it."""

    name: str = ""
    """Of the trunk; "" for others."""
    nat: bool = False
    """It is behind NAT: what it says of its own address is not to be believed."""
    shown: str = ""
    """host[:port] of ours that it is shown in Via and Contact; "": the listener's."""
    may_refer: bool = False
    """Whether it may transfer those it talks to (REFER, RFC 3515)."""
    may_replace: bool = False
    """Whether a call of its may take the place of another of its calls (Replaces, RFC 3891)."""

    @property
    def allow(self) -> str:
        """Value of Allow."""
        return f"{ALLOW}, REFER" if self.may_refer else ALLOW

    @property
    def supported(self) -> str:
        """Value of Supported."""
        return f"{SUPPORTED}, replaces" if self.may_replace else SUPPORTED


SOMEBODY = Peer()
"""A peer of whom nothing is said."""
