"""Which transaction of ours a request belongs to (RFC 3261 section 17.2.3), and which other one it
is a second copy of (section 8.2.2.2)."""

from __future__ import annotations

from outdial.sip.core.message import Request
from outdial.sip.core.response import sent_by
from outdial.sip.core.transaction import MergeKey, TransactionKey


def server_key(request: Request, method: str) -> TransactionKey:
    """Peers of RFC 2543 have no branch, so more is compared."""
    via = request.top_via
    if via.has_cookie:
        return (via.branch or "", sent_by(request), method)
    cseq = request.cseq.number
    return (str(via), str(request.uri), request.call_id, request.from_.tag or "", str(cseq), method)


def merge_key(request: Request) -> MergeKey:
    """The same for every copy of a request that came by several ways."""
    return (request.call_id, request.from_.tag or "", request.cseq.number)
