"""Replaces (RFC 3891): a call towards us that wants to take the place of another one."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from outdial.errors import RemoteProtocolError
from outdial.sip.core.grammar import parse_params
from outdial.sip.core.invite_client import OutgoingCall
from outdial.sip.core.message import Request
from outdial.sip.core.peer import Peer
from outdial.sip.core.requirements import Refusal

if TYPE_CHECKING:
    from outdial.sip.core.agent import Call

EXTENSION = "replaces"
_ALWAYS_TAKEN = frozenset(("INVITE", "BYE", "ACK", "CANCEL"))
"""BYE by us, not by the RFC: whoever wants to hang up shall."""
_call_id = re.compile(r"[^ \t;,]++")


def to_replace(
    request: Request, policy: Peer, call_of: Callable[[str], Call | None]
) -> Call | Refusal | None:
    """The call whose place the INVITE is to take, or why it may not; None: it asks for none.

    `call_of` knows calls by our tag. Only a call of the same trunk is found: of one that is not the
    peer's own nothing is said, not even that it is there. Section 3 has a status for each case:
    400 for more than one Replaces or one beside Join, 481 for no such dialog and for an early one
    that the peer began, 603 for one that has ended, 486 for an answered one that was to be
    replaced only while it rings. An early one that we began could be replaced: it is declined, and
    goes on ringing where it does.
    """
    values = request.headers.get_all("Replaces")
    if not values:
        return None
    if not policy.may_replace:
        return Refusal(603)
    if request.headers.get("Join") is not None:  # RFC 3911: the contrary
        return Refusal(400)
    try:
        call_id, ours, theirs, is_early_only = _parse(values)
    except RemoteProtocolError:
        return Refusal(400)
    call = call_of(ours)
    if call is None or call.call_id != call_id or call.policy.name != policy.name:
        return Refusal(481)
    session = call.session
    if session is None and isinstance(call, OutgoingCall) and theirs in call.early:
        return Refusal(603)
    if session is None or session.dialog.remote_tag != theirs:
        return Refusal(481)
    if not session.is_open:
        return Refusal(603)
    return Refusal(486) if is_early_only else call


def is_misplaced(request: Request, policy: Peer) -> bool:
    """Whether Replaces stands where it has no meaning, for who knows it (section 3): 400."""
    return (
        policy.may_replace
        and request.method not in _ALWAYS_TAKEN
        and request.headers.get("Replaces") is not None
    )


def _parse(values: list[str]) -> tuple[str, str, str, bool]:
    """Call-ID, our tag (to-tag), the peer's (from-tag), and whether only an early dialog is meant.
    Raises RemoteProtocolError."""
    match = _call_id.match(values[0])
    if len(values) != 1 or match is None or "," in values[0]:
        raise RemoteProtocolError("one dialog is to be replaced")
    params = parse_params(values[0], match.end())
    ours, theirs = params.get("to-tag"), params.get("from-tag")
    if not ours or not theirs:
        raise RemoteProtocolError("Replaces without tags")
    return match.group(), ours, theirs, "early-only" in params
