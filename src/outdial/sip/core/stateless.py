"""Replies that no state is kept for (RFC 3261 section 8.2.7): to whatever belongs to no call and
begins none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outdial.sip.core.hop import Hop
from outdial.sip.core.message import Request
from outdial.sip.core.outline import ALLOW
from outdial.sip.core.parser import salvage_request
from outdial.sip.core.replacing import is_misplaced
from outdial.sip.core.requirements import unmet
from outdial.sip.core.response import ResponseHead, response_hop

if TYPE_CHECKING:
    from outdial.sip.core.agent import Agent

_FOREIGN_METHODS = frozenset(("REGISTER", "SUBSCRIBE", "NOTIFY", "PUBLISH", "MESSAGE", "REFER"))
"""Known to us, never taken."""


def reply(agent: Agent, request: Request, source: Hop, status: int, fields: str = "") -> None:
    """The To tag is the same for each repetition, as section 8.2.7 asks."""
    tag = f"{hash((request.top_via.branch, request.call_id)) & 0xFFFFFFFFFF:x}"
    data = ResponseHead(request, source).encode(
        status, "", f"{fields}Server: {agent.name}\r\n", tag=tag
    )
    agent.send(data, way_back(agent, request, source), None)


def answer_options(agent: Agent, request: Request, source: Hop) -> None:
    """What we can do, or why an INVITE like this request could not be done."""
    policy = agent.peer_of(source.host, "")
    if (refusal := unmet(request, policy)) is not None:
        reply(agent, request, source, *refusal)
    elif is_misplaced(request, policy):
        reply(agent, request, source, 400)
    else:
        reply(agent, request, source, 200, agent.capabilities)


def way_back(agent: Agent, request: Request, source: Hop) -> Hop:
    """A peer behind NAT that forgets to ask for `rport` is answered as if it had not."""
    hop = response_hop(request, source)
    if hop.port != source.port and agent.peer_of(source.host, "").nat:
        return source
    return hop


def deny(agent: Agent, request: Request, source: Hop, data: bytes) -> None:
    """For unknown addresses: nothing, or one reply without our name, never longer than the
    request."""
    agent.throw_away("denied", source, request.method)
    if not agent.refuses_strangers:
        return
    denial = ResponseHead(request, source).encode(403, tag="0")
    if len(denial) <= len(data):
        agent.send(denial, response_hop(request, source), None)


def refuse_malformed(agent: Agent, data: bytes, source: Hop, status: int) -> None:
    """A known peer is told what is wrong with its request, others are not."""
    if not agent.is_peer(source.host):
        return
    request = salvage_request(data)
    if request is not None and request.method != "ACK":
        reply(agent, request, source, status)


def refusal_of(method: str) -> int:
    """405 for a method that we know and do not take, 501 for others."""
    return 405 if method in _FOREIGN_METHODS or method in ALLOW.split(", ") else 501
