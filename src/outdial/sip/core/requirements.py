"""What a request asks for that we do not do, and how that is said (RFC 3261 section 8.2)."""

from __future__ import annotations

from typing import NamedTuple

from outdial.sip.core.message import Request
from outdial.sip.core.peer import SOMEBODY, Peer
from outdial.sip.core.session_description import SDP, sdp_of
from outdial.sip.core.session_timer import MIN_SE_S, too_small

_OUR_EXTENSIONS = frozenset(("100rel", "timer"))
_OUR_SCHEMES = frozenset(("sip", "sips", "tel"))
_TAKEN = frozenset((SDP, "application/*", "*/*"))


class Refusal(NamedTuple):
    """A status, and lines that say why."""

    status: int
    fields: str = ""


def unmet(request: Request, policy: Peer = SOMEBODY) -> Refusal | None:
    """Why a request outside calls cannot be done as it stands; None: it can."""
    if request.uri.scheme not in _OUR_SCHEMES:
        return Refusal(416)
    ours = _OUR_EXTENSIONS | {"replaces"} if policy.may_replace else _OUR_EXTENSIONS
    unknown = ", ".join(sorted(request.required - ours))
    if unknown:
        return Refusal(420, f"Unsupported: {unknown}\r\n")
    return _unmet_by_invite(request) if request.method == "INVITE" else None


def _unmet_by_invite(request: Request) -> Refusal | None:
    if request.body and sdp_of(request) is None:
        return Refusal(415, f"Accept: {SDP}\r\n")
    if not _takes_our_answer(request):
        return Refusal(406, f"Accept: {SDP}\r\n")
    if too_small(request):
        return Refusal(422, f"Min-SE: {MIN_SE_S}\r\n")
    return None


def _takes_our_answer(request: Request) -> bool:
    """Whether the caller can read a session description. Without Accept it can (section 20.1); an
    empty one, which says that it can read nothing, is written by some that can."""
    lines = request.headers.get_all("Accept")
    types = {one.partition(";")[0].strip().lower() for line in lines for one in line.split(",")}
    types.discard("")
    return not types or not types.isdisjoint(_TAKEN)
