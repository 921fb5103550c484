"""NAT between us and a peer, on either side: what is shown, and where requests go all the same."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ladders.link import ANSWER, OFFER, Link, answering, header, title
from outdial.legs import Answered, Released, Reoffer
from outdial.sip.core.hop import Hop
from outdial.sip.core.invite_client import Invitation
from outdial.sip.core.peer import Peer

PUBLIC = "203.0.113.7"
PRIVATE = "192.168.1.9:5070"
"""Nobody can be reached there."""
REOFFER = b"v=0\r\ns=reoffer\r\n"


def behind_nat(transport: str = "udp", *, believed: bool = True) -> Link:
    """B shows an address that A cannot reach; A knows that, if `believed`."""
    link = Link(transport=transport)
    link["B"].agent.peer_of = lambda host, account: Peer(shown=PRIVATE)
    link["A"].agent.peer_of = lambda host, account: Peer("b", nat=believed)
    return link


def invite(link: Link, sender: str, to: str, hop: Hop, **more: Any) -> Any:
    invitation = Invitation(
        call_id=f"call-{sender}",
        uri=f"sip:15005550001@{link[to].host}",
        from_=f"<sip:1222@{link[sender].host}>",
        hop=hop,
        offer=OFFER,
        **more,
    )
    call = link[sender].agent.invite(invitation, link.now)
    link.settle()
    return call


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_callee_behind_nat_is_reached_where_its_answers_come_from(transport: str) -> None:
    link = behind_nat(transport)
    answering(link)
    call = link.dial(symmetric=True)
    link.run(0.1)
    assert link["A"].last == Answered(ANSWER)
    assert call.peer.host == link["B"].host
    call.hang_up()
    link.run(0.1)
    assert link["B"].last == Released(by_far_end=True, q850_cause=16)
    bye = next(raw for raw in link.raw if title(raw) == "BYE")
    assert PRIVATE in bye.split(b" ")[1].decode(), "the Request-URI is its Contact all the same"
    link.assert_clean()


def test_one_that_is_not_known_to_be_there_is_lost() -> None:
    link = behind_nat(believed=False)
    answering(link)
    link.dial()
    link.run(0.1)
    assert link["A"].last == Answered(ANSWER)
    link.run(33.0)
    assert link["B"].last.status == 408, "the ACK never came"


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_caller_behind_nat_is_reached_where_its_invite_came_from(transport: str) -> None:
    link = behind_nat(transport)
    answering(link, "A")
    call = invite(link, "B", "A", link.hop("B", link["A"].host).showing(PRIVATE))
    link.run(0.1)
    assert link["B"].last == Answered(ANSWER)
    assert header(link.raw[0], "Via").startswith(f"SIP/2.0/{transport.upper()} {PRIVATE};")
    # it moves within its network: the re-INVITE changes nothing for us
    link["A"].on_event = lambda owner, event: (
        owner.session.renegotiation.answer_offer(ANSWER) if isinstance(event, Reoffer) else None
    )
    call.session.reoffer(REOFFER)
    link.run(0.1)
    link["A"].call.hang_up()
    link.run(0.1)
    assert link["B"].last == Released(by_far_end=True, q850_cause=16)
    link.assert_clean()


def test_a_peer_behind_nat_that_forgets_rport_is_answered_all_the_same() -> None:
    link = behind_nat()
    text = (
        f"OPTIONS sip:a@10.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP {PRIVATE};branch=z9hG4bK1\n"
        "From: <sip:b@x>;tag=1\nTo: <sip:a@x>\nCall-ID: o\nCSeq: 1 OPTIONS\n"
        "Max-Forwards: 70\nContent-Length: 0\n\n"
    )
    for nat, port in ((True, 40000), (False, 5070)):
        agent, peer = link["A"].agent, Peer("b", nat=nat)
        agent.peer_of = lambda host, account: peer  # noqa: B023
        source = Hop("udp", "10.0.0.77", 40000, "10.0.0.1:5060")
        agent.receive(text.replace("\n", "\r\n").encode(), source, link.now)
        (sent,) = agent.outgoing()
        hop = sent.hop
        assert (title(sent.data), hop.host, hop.port) == ("200 OPTIONS", "10.0.0.77", port)


def shown_in(raw: bytes, name: str) -> str:
    """host:port in our Via or Contact."""
    match = re.search(r"(?:SIP/2\.0/[A-Z]+ |sip:)([^;>]+)", header(raw, name))
    return match[1] if match else ""


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_we_show_our_public_address_wherever_we_show_one(transport: str) -> None:
    """Via and Contact of INVITE, ACK, re-INVITE, its 200, and BYE."""
    link = Link(transport=transport)
    link["A"].agent.peer_of = lambda host, account: Peer("b", shown=PUBLIC)
    answering(link)
    hop = link.hop("A", link["B"].host).showing(PUBLIC)
    call = invite(link, "A", "B", hop)
    link.run(0.1)

    def answer(owner: Any, event: Any) -> None:
        if isinstance(event, Reoffer):
            owner.session.renegotiation.answer_offer(ANSWER)

    link["A"].on_event = link["B"].on_event = answer
    call.session.reoffer(REOFFER)
    link.run(5)
    # B finds us where we say, which in this network nobody carries: it answers by the socket
    session = link["B"].call.session
    assert session is not None
    session.dialog.hop = link.hop("B", link["A"].host)
    session.reoffer(REOFFER)
    link.run(5)
    call.hang_up()
    link.run(0.1)
    ours = [raw for (_, way, _), raw in zip(link.ladder, link.raw, strict=True) if way == "A>B"]
    requests = [raw for raw in ours if not raw.startswith(b"SIP/2.0")]
    assert {title(raw) for raw in requests} == {"INVITE", "ACK", "BYE"}
    assert {shown_in(raw, "Via") for raw in requests} == {f"{PUBLIC}:5060"}
    contacts = {title(raw): shown_in(raw, "Contact") for raw in ours if header(raw, "Contact")}
    assert contacts == {
        "INVITE": f"{PUBLIC}:5060",
        "200 INVITE": f"{PUBLIC}:5060",
    }


def test_a_caller_is_shown_it_too() -> None:
    link = Link()
    link["A"].agent.peer_of = lambda host, account: Peer("b", shown=f"{PUBLIC}:5999")
    answering(link, "A")
    invite(link, "B", "A", link.hop("B", link["A"].host), symmetric=True)
    link.run(0.1)
    link["A"].call.hang_up()
    link.run(0.1)
    ours = [raw for (_, way, _), raw in zip(link.ladder, link.raw, strict=True) if way == "A>B"]
    assert [shown_in(raw, "Contact") for raw in ours if title(raw) == "200 INVITE"] == [
        f"{PUBLIC}:5999"
    ]
    assert [shown_in(raw, "Via") for raw in ours if title(raw) == "BYE"] == [f"{PUBLIC}:5999"]


def test_a_cancel_shows_what_its_invite_showed() -> None:
    link = Link()
    link["B"].on_event = lambda owner, event: owner.ring(180, None)
    call = invite(link, "A", "B", link.hop("A", link["B"].host).showing(PUBLIC))
    link.run(0.1)
    call.hang_up()
    link.run(0.1)
    vias = {
        title(raw): header(raw, "Via") for raw in link.raw if title(raw) in ("INVITE", "CANCEL")
    }
    assert vias["INVITE"] == vias["CANCEL"]
    assert f" {PUBLIC}:5060;" in vias["CANCEL"]


def test_the_answer_to_a_forgotten_invite_is_known_by_the_address_it_showed() -> None:
    link = Link()

    def forgetting(shown: str) -> int:
        link.restart("A", peer_of=lambda host, account: Peer("b", shown=shown))
        link.inject(
            "A",
            f"SIP/2.0 200 OK\nVia: SIP/2.0/UDP {PUBLIC}:5060;branch=z9hG4bK{len(shown)}\n"
            f"From: <sip:a@x>;tag=1{len(shown)}\nTo: <sip:b@x>;tag=2\nCall-ID: lost\n"
            "CSeq: 1 INVITE\nContact: <sip:10.0.0.2:5060>\nContent-Length: 0\n\n",
            "10.0.0.2",
        )
        return int(link["A"].agent.tally().orphans)

    assert forgetting(PUBLIC) == 1
    assert forgetting("") == 0


@pytest.mark.parametrize(
    ("shown", "local", "sent_by"),
    [
        ("", "10.0.0.1:5060", "10.0.0.1:5060"),
        ("203.0.113.7", "10.0.0.1:5060", "203.0.113.7:5060"),
        ("203.0.113.7:5999", "10.0.0.1:5060", "203.0.113.7:5999"),
        ("[2001:db8::7]", "[::1]:5062", "[2001:db8::7]:5062"),
        ("[2001:db8::7]:5999", "[::1]:5062", "[2001:db8::7]:5999"),
    ],
)
def test_what_is_shown(shown: str, local: str, sent_by: str) -> None:
    hop = Hop("udp", "10.0.0.2", 5060, local)
    assert hop.showing(shown).sent_by == sent_by
    assert hop.showing(shown).showing("") == hop


def test_it_is_shown_behind_a_proxy_that_stays_in_the_way_too() -> None:
    """Record-Route leads elsewhere than Contact, and what we show of ourselves is the same."""
    link = Link()
    hop = link.hop("A", link["B"].host).showing(PUBLIC)
    call = invite(link, "A", "B", hop)
    link.run(0.1)
    request = link["B"].call.request
    link.inject(
        "A",
        f"SIP/2.0 200 OK\nVia: {request.headers.get('Via')}\nFrom: {request.headers.get('From')}\n"
        f"To: <sip:15005550001@10.0.0.2>;tag=z\nCall-ID: {call.call_id}\nCSeq: 1 INVITE\n"
        "Record-Route: <sip:10.0.0.2:5060;lr>\nContact: <sip:b@10.9.9.9>\nContent-Length: 0\n\n",
        "10.0.0.2",
    )
    call.hang_up()
    link.run(0.1)
    for method in ("ACK", "BYE"):
        (raw,) = [raw for raw in link.raw if title(raw) == method]
        assert shown_in(raw, "Via") == f"{PUBLIC}:5060"
        assert header(raw, "Route") == "<sip:10.0.0.2:5060;lr>"
        assert raw.split(b" ")[1] == b"sip:b@10.9.9.9"
