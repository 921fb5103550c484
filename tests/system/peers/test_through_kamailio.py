"""A Kamailio in the path that record-routes: every later request must follow the route set.

The proxy refuses what belongs to a dialog and has no Route header, and what it saw is read from its
own log: a request that went straight to the phone would be missing there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from outdial.testing import audio
from outdial.testing.server import OutdialServer
from outdial.testing.web import WebServer
from system.peers.baresip import Answers, Baresip, free_port_pair
from system.peers.kamailio import Kamailio
from system.peers.observed import wait_until_at_rest

pytestmark = [pytest.mark.system, pytest.mark.kamailio, pytest.mark.baresip]

ALICE, BOB = "15551230001", "15551230002"
TONE = 600.0


@dataclass(frozen=True)
class Path:
    """Outdial, the proxy, and where the phones behind it listen."""

    outdial: OutdialServer
    proxy: Kamailio
    ports: dict[str, int]
    transport: str
    routes: int
    """How many Route headers lead back: a change of transport takes two (RFC 5658)."""

    def phone(self, number: str = ALICE, answers: Answers = "auto") -> Baresip:
        """A phone behind the proxy that speaks a tone."""
        said = audio.tone(1330, seconds=20)
        return Baresip(number, said, port=self.ports[number], answers=answers)


@pytest.fixture(scope="module", params=["udp", "tcp"])
def path(request: pytest.FixtureRequest) -> Iterator[Path]:
    ports = {number: free_port_pair() for number in (ALICE, BOB)}
    places = {number: f"127.0.0.1:{port}" for number, port in ports.items()}
    transport = str(request.param)
    with Kamailio(places) as proxy:
        trunk = {"name": "proxy", "address": proxy.address, "transport": transport}
        settings = {
            "sip": {"listen": ["udp:127.0.0.1:0", "tcp:127.0.0.1:0"]},
            "trunks": [trunk],
            "limits": {"destinations": ["1555"]},
        }
        with OutdialServer(settings) as outdial:
            routes = 2 if transport == "tcp" else 1
            yield Path(outdial, proxy, ports, transport, routes)


@pytest.fixture(autouse=True)
def at_rest(path: Path) -> Iterator[None]:
    """After each test the server holds nothing of it."""
    yield
    wait_until_at_rest(path.outdial)


def prompt(web: WebServer, seconds: float = 1.5) -> str:
    """The address of an application that plays a tone so long and then ends."""
    sound = web.serve("/tone.wav", audio.wav(audio.tone(TONE, seconds=seconds)), "audio/wav")
    return web.serve("/play.xml", f"<Response><Play>{sound}</Play></Response>")


def test_ack_and_bye_follow_the_route_set(path: Path, web: WebServer) -> None:
    with path.phone() as alice:
        sid = path.outdial.place_call(to=ALICE, **{"from": BOB}, url=prompt(web))
        call = path.outdial.wait_until_over(sid)
        alice.wait_for("CALL_CLOSED")
        (heard,) = alice.heard()
    assert (call["outcome"], call["hangup_source"]) == ("completed", "application")
    assert audio.tone_share(heard.cut(0.2, 1.2), TONE) > 0.95
    by, routes = path.transport, path.routes
    assert path.proxy.seen(sid) == [
        f"INVITE {by} routes=0",
        f"ACK {by} routes={routes}",
        f"BYE {by} routes={routes}",
    ]


def test_a_bye_from_behind_the_proxy_ends_the_call(path: Path, web: WebServer) -> None:
    with path.phone() as alice:
        sid = path.outdial.place_call(to=ALICE, **{"from": BOB}, url=prompt(web, 20))
        alice.wait_for("CALL_ESTABLISHED")
        time.sleep(0.5)
        alice.hang_up()
        call = path.outdial.wait_until_over(sid)
    assert (call["outcome"], call["hangup_source"]) == ("completed", "callee")
    assert path.proxy.seen(sid)[-1] == f"BYE udp routes={path.routes}"


def test_a_re_invite_from_behind_the_proxy_is_answered(path: Path, web: WebServer) -> None:
    with path.phone() as alice:
        sid = path.outdial.place_call(to=ALICE, **{"from": BOB}, url=prompt(web, 2.5))
        alice.wait_for("CALL_ESTABLISHED")
        time.sleep(0.7)
        alice.hold()
        time.sleep(0.7)
        alice.resume()
        call = path.outdial.wait_until_over(sid)
        alice.wait_for("CALL_CLOSED")
        received = alice.packets_received()
    assert call["outcome"] == "completed"
    assert received == pytest.approx((2.5 - 0.7) / 0.02, abs=12), "sound, silence on hold, sound"
    by, routes = path.transport, path.routes
    offered = [f"INVITE udp routes={routes}", f"ACK udp routes={routes}"]
    assert path.proxy.seen(sid) == [
        f"INVITE {by} routes=0",
        f"ACK {by} routes={routes}",
        *offered,
        *offered,
        f"BYE {by} routes={routes}",
    ]


def test_cancel_goes_where_the_invite_went(path: Path, web: WebServer) -> None:
    with path.phone(answers="manual") as alice:
        sid = path.outdial.place_call(to=ALICE, **{"from": BOB}, url=prompt(web), timeout="1")
        alice.wait_for("CALL_INCOMING")
        call = path.outdial.wait_until_over(sid)
        alice.wait_for("CALL_CLOSED")
    assert (call["outcome"], call["sip_code"]) == ("no-answer", 487)
    by = path.transport
    assert path.proxy.seen(sid) == [
        f"INVITE {by} routes=0",
        f"CANCEL {by} routes=0",
        f"ACK {by} routes=0",
    ]


def test_busy_comes_through(path: Path, web: WebServer) -> None:
    with path.phone(answers="manual") as alice:
        sid = path.outdial.place_call(to=ALICE, **{"from": BOB}, url=prompt(web))
        alice.wait_for("CALL_INCOMING")
        alice.hang_up()
        call = path.outdial.wait_until_over(sid)
    assert (call["outcome"], call["sip_code"]) == ("busy", 486)


def test_a_number_that_the_proxy_does_not_know(path: Path, web: WebServer) -> None:
    sid = path.outdial.place_call(to="15551239999", **{"from": BOB}, url=prompt(web))
    call = path.outdial.wait_until_over(sid)
    assert (call["outcome"], call["sip_code"], call["cause"]) == (
        "failed",
        404,
        "unallocated-number",
    )


def test_two_phones_behind_the_proxy_are_joined(path: Path) -> None:
    with path.phone(ALICE) as alice, path.phone(BOB) as bob:
        sid = path.outdial.place_call(to=ALICE, **{"from": BOB})
        bob.wait_for("CALL_ESTABLISHED")
        time.sleep(1.0)
        alice.hang_up()
        bob.wait_for("CALL_CLOSED")
        call = path.outdial.wait_until_over(sid)
        (bob_heard,) = bob.heard()
    assert call["outcome"] == "completed"
    assert audio.tone_share(bob_heard.cut(0.3, 0.9), 1330) > 0.95
