"""Sip: a SIP address in a Dial."""

from __future__ import annotations

from outdial.didml.rows import Body, VerbRow
from outdial.didml.shown import short
from outdial.didml.values import SIP
from outdial.frozen import frozen


@frozen
class Sip:
    """A SIP address to ring."""

    uri: str
    """A SIP URI, or a bare host: the dialled number is then called at it."""
    line: int = 0

    def summary(self) -> str:
        """For the timeline."""
        return short(self.uri)


ROW = VerbRow(
    "Sip",
    "A SIP address to ring, at a trunk or a host of `limits.sip_hosts`. Outside Dial it means a "
    "Dial of this address.",
    Sip,
    Body(
        "uri",
        SIP,
        "A SIP URI, such as `sip:desk@pbx.example.com` (`sip:` may be left out), or a host "
        "alone, at which the dialled number is called.",
    ),
)
