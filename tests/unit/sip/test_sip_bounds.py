"""Every dict and list of `sip` that is keyed by something from outside has a bound.

Those with tests of their own: what waits for connections and the connections (`test_sip_tcp`), the
answers and look-ups of the resolver (`test_sip_resolver`), outages (`core/test_sip_outages`), bans
and offences (`core/test_sip_bans`), nonces of ours (`core/test_sip_digest`), transactions and what
they hold (`ladders/test_session_features`), calls of an earlier process
(`ladders/test_crash_recovery`), handshakes with strangers (`test_sip_tls`).
"""

from __future__ import annotations

from typing import Any

import pytest

from doubles.names import BookOfNames
from ladders.link import ANSWER, Link, answering, title
from outdial.clock import SystemClock
from outdial.config import Sip, Trunk
from outdial.legs import Reoffer
from outdial.sip import plane as plane_module
from outdial.sip import trunks as trunks_module
from outdial.sip import udp as udp_module
from outdial.sip.core import renegotiation
from outdial.sip.core.authorization import MAX_TRIES, Authorization, Credentials, Nonces
from outdial.sip.core.hop import Hop
from outdial.sip.core.locating import Target
from outdial.sip.core.message import Response
from outdial.sip.core.parser import parse_message
from outdial.sip.endpoint import SipEndpoint
from outdial.sip.plane import SipPlane
from outdial.sip.refusals import Refusals
from outdial.sip.resolver import Resolver
from outdial.sip.trunk_health import Answer
from outdial.sip.udp import UdpListener

CARRIER = Hop("udp", "10.0.0.2", 5060, "10.0.0.1:5060")


def challenge(number: int, realms: int = 1) -> Response:
    lines = "".join(
        f'Proxy-Authenticate: Digest realm="r{number}-{one}", nonce="n{number}"\r\n'
        for one in range(realms)
    )
    text = (
        "SIP/2.0 407 No\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK1\r\n"
        "From: <sip:a@x>;tag=a\r\nTo: <sip:b@x>;tag=b\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\n"
        f"{lines}\r\n"
    )
    message = parse_message(text.encode())
    assert isinstance(message, Response)
    return message


@pytest.mark.parametrize("realms", [1, 4, 9])
def test_realms_of_a_registration_that_lives_for_months(realms: int) -> None:
    """A registrar that changes its realm: only the last ones are answered from the beginning."""
    nonces = Nonces()
    credentials = Credentials("alice", "secret", frozenset({CARRIER.host}), nonces)
    authorization = Authorization(credentials, lambda: "0123456789abcdef")
    for number in range(500):
        authorization.settled("REGISTER")
        assert authorization.takes(challenge(number, realms), CARRIER)
    shown = authorization.fields("REGISTER", "sip:carrier.example", CARRIER)
    assert shown.count("Proxy-Authorization: ") == 4
    assert 'realm="r499-0"' in shown
    assert len(nonces.all()) == 4


def test_challenges_of_one_request_end() -> None:
    """However many realms there are."""
    credentials = Credentials("alice", "secret", frozenset({CARRIER.host}))
    authorization = Authorization(credentials, lambda: "0123456789abcdef")
    taken = [authorization.takes(challenge(number), CARRIER) for number in range(50)]
    assert taken == [True] * MAX_TRIES + [False] * (50 - MAX_TRIES)


def test_answers_that_nobody_acknowledges() -> None:
    """A peer that offers again and again, and never sends ACK: each answer has two timers."""
    link = Link()
    answering(link)
    call: Any = link.dial()
    link.run(0.1)

    def react(owner: Any, event: Any) -> None:
        if isinstance(event, Reoffer):
            owner.session.renegotiation.answer_offer(ANSWER)

    link["A"].on_event = react
    link.lose = lambda way, data: way == "A>B" or title(data) == "ACK"
    peer: Any = link["B"].call
    before = link["A"].agent.counters().timers
    for _ in range(30):
        outline = peer.session.dialog.outline(peer._agent.branch())
        fields = "Contact: <sip:10.0.0.2:5060>\r\nContent-Type: application/sdp\r\n"
        raw = outline.encode("INVITE", fields, b"v=0\r\n")
        peer._agent.send(raw, outline.hop, None)
        link.run(0.03)
    most = renegotiation._MAX_UNACKNOWLEDGED
    assert len(call.session.renegotiation._acceptances) == most
    answers = [what for what in link.flow("A>B") if what.endswith(" INVITE")]
    assert answers.count("A>B 500 INVITE") >= 30 - most, "and repeated"
    assert link["A"].agent.counters().timers < before + 100
    link.lose = None
    call.hang_up()
    link.run(70)
    assert link["A"].agent.counters().timers == 0


def test_addresses_that_datagrams_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp_module, "_MAX_HOPS", 10)
    got: list[Hop] = []
    listener = UdpListener(lambda data, hop: got.append(hop), lambda host, port: None)
    for number in range(95):
        listener.datagram_received(b"x", (f"10.0.0.{number}", 5060))
        assert len(listener._hops) <= 10
    assert len({hop.host for hop in got}) == 95


def test_lines_of_the_log_about_strangers() -> None:
    """One for each reason, whoever they are."""
    refusals = Refusals()
    for number in range(1000):
        refusals.tell("denied", f"10.0.0.{number}:5060", f"M{number}", number / 100)
    assert (len(refusals._told_at), len(refusals._untold)) == (1, 1)


async def test_addresses_and_certificates_of_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a trunk whose records name others each time, and of URIs that name any host."""
    monkeypatch.setattr(plane_module, "_MAX_HOSTS", 10)
    monkeypatch.setattr(trunks_module, "_MAX_HOSTS", 10)
    endpoint = await SipEndpoint.start(Sip(listen=["udp:127.0.0.1:0"]))
    try:
        trunk = Trunk(name="carrier", address="carrier.example")
        resolver = Resolver(BookOfNames())
        plane = SipPlane(Sip(), [trunk], endpoint, SystemClock(), resolver)
        line = plane.line("carrier")
        assert line is not None
        for number in range(100):
            assert plane._security_of(f"host{number}.example").name == f"host{number}.example"
            assert len(plane._secure) <= 10
            hosts = [Target("udp", f"10.0.{number}.{one}", 5060, "c") for one in range(4)]
            hops = line._hops(hosts)
            for hop in hops:
                line._place(hop, Answer("udp:x", 200))
            assert len(line.hosts) == len(line._found) <= 10
            assert len(line._talkers) <= 10
        assert "10.0.99.3" in line.hosts
        plane.close()
    finally:
        await endpoint.close()
