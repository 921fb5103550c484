"""Fax: a fax received."""

from __future__ import annotations

from outdial.didml.rows import VerbRow
from outdial.didml.verbs.attributes import action
from outdial.frozen import frozen


@frozen
class Fax:
    """Receives a fax."""

    action: str = ""
    """Absolute URL that is told of it and whose answer takes over; "" for none."""
    method: str = "POST"
    line: int = 0

    def summary(self) -> str:
        """For the timeline."""
        return ""


ROW = VerbRow(
    "Fax",
    "Receives a fax, as PDF. The next verb runs when it is over.",
    Fax,
    attributes=action(
        "Gets the fax and decides what comes next; only notified when the sender has hung up."
    ),
    example='  <Fax action="faxed.php"/>\n',
    notes=(
        "`action` gets `faxurl` (the PDF, to be fetched with an API key; empty when there are no "
        "pages), `callid`, `dialednumber`, `callerid`, `faxstatus` (`Complete`, `incomplete`: not "
        "all pages came, `failed`: none), `numofpages`: the pages of the PDF, `received`: those of "
        "them that came whole; and as additions `faxsender`, what the sending machine calls "
        "itself, and `faxerror`.",
        "T.30 over G.711, up to 14,400 bit/s with error correction, by libspandsp, which must be "
        "installed on the server (Debian, Ubuntu: `libspandsp2`; `outdial doctor` says whether it "
        "is). Without it the fax fails at once. T.38 is refused, so that senders stay with G.711.",
        "A fax takes half a minute a page, and ends after `fax.longest_s`. More about it: "
        "[faxes](../../guides/faxes.md).",
    ),
)
