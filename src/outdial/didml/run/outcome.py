"""What a verb's run leads to, and the requests for documents."""

from __future__ import annotations

from outdial.frozen import frozen


@frozen
class DocumentRequest:
    """A document to fetch and run."""

    url: str
    """Absolute."""
    method: str = "POST"
    params: tuple[tuple[str, str], ...] = ()
    """Besides the standard six, which the host adds."""
    document: str = ""
    """Run as it is, in place of what is at `url`: that is then only the base of relative URLs."""
    fallback_url: str = ""
    """Asked once, the same way, when the application fails; "" for none."""


@frozen
class Continue:
    """The next verb runs."""


@frozen
class Goto:
    """Another document takes over."""

    request: DocumentRequest


@frozen
class HangUp:
    """The application ends the call."""

    reason: str
    status: int = 0
    """The SIP status to refuse a call with that is not answered yet; 0: the usual one."""


Next = Continue | Goto | HangUp
CONTINUE = Continue()
