"""Bans on real sockets: who is turned away, and who never is."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from outdial.clock import SystemClock
from outdial.config import Sip, Trunk
from outdial.legs import DialTarget
from outdial.sip.core.counts import Counters
from outdial.sip.core.digest import Challenge, answer
from outdial.sip.endpoint import SipEndpoint, parse_listener
from outdial.sip.plane import SipPlane

STRANGER, CARRIER, OFFICE = "127.0.0.66", "127.0.0.2", "127.0.3.9"
AFTER = 5
LONG = f"Subject: {'x' * 200}\r\n"
"""Makes a request longer than its refusal, or there is none."""
TRUNKS = (
    Trunk(name="carrier", address=f"{CARRIER}:5060", options_interval_s=0),
    Trunk(
        name="office",
        address="127.0.4.1:5060",
        options_interval_s=0,
        inbound_addresses=["127.0.3.0/24"],
        inbound_username="office",
        inbound_password=SecretStr("right"),
    ),
)


def request(method: str = "OPTIONS", number: int = 1, extra: str = "", to: str = "") -> bytes:
    return (
        f"{method} sip:1@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.9;rport;"
        f"branch=z9hG4bK{method}{number}\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:1@127.0.0.1>{to}\r\n"
        f"Call-ID: {number}\r\nCSeq: {number} {method}\r\nContact: <sip:a@127.0.0.9>\r\n"
        f"{extra}\r\n"
    ).encode()


class Peer:
    """A UDP socket at an address."""

    def __init__(self, host: str, target: tuple[str, int]) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind((host, 0))
        self.target = target

    def send(self, data: bytes) -> None:
        self.socket.sendto(data, self.target)

    async def ask(self, data: bytes) -> bytes:
        """What is answered."""
        self.send(data)
        async with asyncio.timeout(5):
            return await asyncio.get_running_loop().sock_recv(self.socket, 4096)

    def heard(self) -> bytes | None:
        """What has come, if anything."""
        try:
            return self.socket.recv(4096)
        except BlockingIOError:
            return None


@pytest.fixture
async def endpoint() -> AsyncIterator[SipEndpoint]:
    settings = Sip(
        listen=["udp:127.0.0.1:0", "tcp:127.0.0.1:0"], t1_ms=20, ban_after=AFTER, ban_s=600
    )
    made = await SipEndpoint.start(settings, on_invite=lambda leg: leg.reject(486))
    SipPlane(settings, TRUNKS, made, SystemClock())
    yield made
    await made.close()


def target(endpoint: SipEndpoint, transport: str = "udp") -> tuple[str, int]:
    (port,) = (parse_listener(one)[2] for one in endpoint.listeners if one.startswith(transport))
    return "127.0.0.1", port


@pytest.fixture
def peers(endpoint: SipEndpoint) -> Iterator[dict[str, Peer]]:
    made = {host: Peer(host, target(endpoint)) for host in (STRANGER, CARRIER, OFFICE)}
    yield made
    for peer in made.values():
        peer.socket.close()


def banned(endpoint: SipEndpoint) -> dict[str, str]:
    """Addresses and why."""
    return {ban.address: ban.reason for ban in endpoint.sentry.listed()}


async def test_a_flood_of_a_stranger_is_not_even_read(
    endpoint: SipEndpoint, peers: dict[str, Peer]
) -> None:
    endpoint.agent.refuses_strangers = True
    stranger, sent = peers[STRANGER], 0
    for number in range(400):
        stranger.send(request("REGISTER", number, LONG))
        sent += 1
        if number % 50 == 0:
            answered = await peers[CARRIER].ask(request(number=number))
            assert answered.startswith(b"SIP/2.0 200")
    await peers[CARRIER].ask(request(number=1000))
    assert banned(endpoint) == {STRANGER: "denied"}
    assert endpoint.agent.tally().denied == AFTER
    assert endpoint.sentry.refused() == sent - AFTER
    assert endpoint.agent.counters() == Counters(0, 0, 0, 0, 0, 0)
    replies = 0
    while (reply := stranger.heard()) is not None:
        assert reply.startswith(b"SIP/2.0 403")
        assert len(reply) <= len(request("REGISTER", 1, LONG))
        replies += 1
    assert replies == AFTER
    (ban,) = endpoint.sentry.listed()
    assert ban.until - ban.since == pytest.approx(600)
    assert abs(ban.since - SystemClock().now()) < 30, "wall-clock times are shown"
    assert endpoint.sentry.lift(STRANGER)
    assert not endpoint.sentry.lift(STRANGER)
    assert (await stranger.ask(request("INVITE", 999, LONG))).startswith(b"SIP/2.0 403")


RUBBISH = {
    "malformed": b"INVITE\x00rubbish\r\n\r\n",
    "strays": b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKx\r\nFrom: <sip:a@b>;"
    b"tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n\r\n",
    "denied": request("SUBSCRIBE"),
}


@pytest.mark.parametrize("reason", RUBBISH)
async def test_the_same_from_a_trunk_bans_nobody(
    endpoint: SipEndpoint, peers: dict[str, Peer], reason: str
) -> None:
    for peer in peers.values():
        for _ in range(2 * AFTER):
            peer.send(RUBBISH[reason])
    assert (await peers[CARRIER].ask(request(number=5000)))[:11] in (b"SIP/2.0 200", b"SIP/2.0 405")
    if reason == "denied":  # a trunk's SUBSCRIBE is only refused, and so is that of its network
        assert banned(endpoint) == {STRANGER: "denied"}
    else:  # where a password is asked for, the address alone proves nothing
        assert banned(endpoint) == {STRANGER: reason, OFFICE: reason}


async def test_guessing_passwords_ends_soon_and_the_right_one_forgives(
    endpoint: SipEndpoint, peers: dict[str, Peer]
) -> None:
    office = peers[OFFICE]

    async def tried(number: int, password: str) -> bytes:
        challenged = await office.ask(request("INVITE", number))
        line = next(
            one for one in challenged.decode().split("\r\n") if one.startswith("WWW-Authenticate:")
        )
        office.send(request("ACK", number, to=";tag=x"))
        challenge = Challenge.parse(line.partition(": ")[2])
        shown = answer(challenge, "office", password, "INVITE", "sip:1@127.0.0.1", cnonce="c")
        return await office.ask(request("INVITE", number + 1, f"Authorization: {shown}\r\n"))

    for number in range(AFTER - 1):
        assert (await tried(10 * number, "wrong")).startswith(b"SIP/2.0 401")
    assert not (await tried(500, "right")).startswith(b"SIP/2.0 401")
    await asyncio.sleep(0.1)  # the refusal of the call is repeated until its ACK comes
    while office.heard() is not None:
        pass
    assert banned(endpoint) == {}
    before = endpoint.agent.tally().unauthorized
    for number in range(100, 100 + 40 * AFTER, 20):
        office.send(request("INVITE", number, 'Authorization: Digest username="office"\r\n'))
    await peers[CARRIER].ask(request(number=7000))
    assert banned(endpoint) == {OFFICE: "unauthorized"}
    assert endpoint.agent.tally().unauthorized == before + AFTER


async def test_an_address_that_becomes_a_trunk_is_listened_to(
    endpoint: SipEndpoint, peers: dict[str, Peer]
) -> None:
    for number in range(AFTER + 1):
        peers[STRANGER].send(request(number=number))
    await peers[CARRIER].ask(request(number=100))
    assert banned(endpoint) == {STRANGER: "denied"}
    late = Trunk(name="late", address=f"{STRANGER}:5060", options_interval_s=0)
    endpoint.accept_source = None
    SipPlane(Sip(), (late,), endpoint, SystemClock())
    assert (await peers[STRANGER].ask(request(number=200))).startswith(b"SIP/2.0 200")
    assert banned(endpoint) == {}


async def test_whom_we_call_is_listened_to_whatever_it_did(
    endpoint: SipEndpoint, peers: dict[str, Peer]
) -> None:
    stranger = peers[STRANGER]
    for number in range(AFTER + 1):
        stranger.send(request(number=number))
    await peers[CARRIER].ask(request(number=100))
    assert banned(endpoint) == {STRANGER: "denied"}
    plane = SipPlane(Sip(), (), endpoint, SystemClock())
    uri = f"sip:bob@{STRANGER}:{stranger.socket.getsockname()[1]}"
    leg = plane.dial(DialTarget("CA1", "", "1", "2", "", uri), b"v=0\r\n", lambda event: None)
    async with asyncio.timeout(5):
        invite = await asyncio.get_running_loop().sock_recv(stranger.socket, 4096)
    assert invite.startswith(b"INVITE")
    for number in range(200, 200 + 3 * AFTER):
        stranger.send(request(number=number))
    await peers[CARRIER].ask(request(number=300))
    assert banned(endpoint) == {}
    leg.hang_up()


async def test_connections_of_the_banned_are_closed(endpoint: SipEndpoint) -> None:
    host, port = target(endpoint, "tcp")

    async def connected() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(host, port, local_addr=(STRANGER, 0))

    early, early_writer = await connected()
    async with asyncio.timeout(5):
        for _ in range(AFTER):  # what is no SIP closes the connection, and counts
            reader, writer = await connected()
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await reader.read() == b""
            writer.close()
        assert banned(endpoint) == {STRANGER: "malformed"}
        reader, writer = await connected()
        assert await reader.read() == b"", "it is closed before anything is sent"
        writer.close()
        early_writer.write(request())
        assert await early.read() == b"", "so is one from before, unread"
        early_writer.close()
    assert endpoint.sentry.refused() == 2
    assert endpoint.connections == 0


async def test_the_log_has_few_lines_of_many_bans(
    endpoint: SipEndpoint, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for last in range(1, 21):
        peer = Peer(f"127.0.7.{last}", target(endpoint))
        for number in range(AFTER):
            peer.send(request(number=number))
        peer.socket.close()
    carrier = Peer(CARRIER, target(endpoint))
    await carrier.ask(request(number=100))
    carrier.socket.close()
    assert len(banned(endpoint)) == 20
    text = "".join(capsys.readouterr())
    assert text.count("source banned") == 1
