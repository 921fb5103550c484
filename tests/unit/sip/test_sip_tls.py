"""Calls over TLS on loopback sockets, and those who come only to make work."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from doubles.certificates import Authority
from doubles.signalling import Events
from outdial.clock import SystemClock
from outdial.config import Sip, Trunk
from outdial.errors import ConfigError
from outdial.legs import (
    Answered,
    DialTarget,
    Rejected,
    Released,
    TracedMessage,
)
from outdial.sip import tls
from outdial.sip.endpoint import SipEndpoint, parse_listener
from outdial.sip.leg import InboundLeg
from outdial.sip.plane import SipPlane

SDP = b"v=0\r\ns=-\r\n"
LISTEN = "tls:127.0.0.1:0"
HERE = "127.0.0.1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


class Phone:
    """An endpoint that answers every call."""

    def __init__(self) -> None:
        self.legs: list[InboundLeg] = []
        self.events = Events()
        self.messages: list[TracedMessage] = []

    def on_invite(self, leg: InboundLeg) -> None:
        self.legs.append(leg)
        leg.listen(self.events)
        leg.trace(self.messages.append)
        leg.ring(180)
        leg.accept(SDP)


@asynccontextmanager
async def endpoint(phone: Phone | None = None, **settings: Any) -> AsyncIterator[SipEndpoint]:
    found = await SipEndpoint.start(
        Sip(listen=[LISTEN], t1_ms=20, **settings),
        on_invite=phone.on_invite if phone else None,
        accept_source=(lambda host: host == HERE) if phone else None,
    )
    try:
        yield found
    finally:
        await found.close()


def shown(authority: Authority, *names: str, **more: Any) -> dict[str, Any]:
    """The settings of a listener with a certificate for these names."""
    made = authority.make(names=names or (HERE,), **more)
    return {"tls_certificate": str(made.path), "tls_key": str(made.key_path)}


def port_of(endpoint: SipEndpoint) -> int:
    return parse_listener(endpoint.listeners[0])[2]


def trunk(far: SipEndpoint | int, authority: Authority | None, **more: Any) -> Trunk:
    port = far if isinstance(far, int) else port_of(far)
    given = {"name": "t", "address": f"{HERE}:{port}", "transport": "tls", **more}
    if authority is not None:
        given.setdefault("tls_ca", authority.path)
    return Trunk.model_validate(given)


def plane_to(near: SipEndpoint, *trunks: Trunk) -> SipPlane:
    return SipPlane(Sip(), trunks, near, SystemClock())


def target(trunk: str = "t", uri: str = "") -> DialTarget:
    return DialTarget("CA1", trunk, "15005550001", "1222", "", uri)


async def until(condition: Callable[[], bool]) -> None:
    """Waits for something that no event tells."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@contextmanager
def closed_within(seconds: float) -> Iterator[None]:
    """What is done inside takes no longer."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    yield
    assert loop.time() - begin < seconds


async def test_a_whole_call_that_nobody_can_read(authority: Authority) -> None:
    phone, events, traced = Phone(), Events(), list[TracedMessage]()
    async with endpoint(phone, **shown(authority)) as far, endpoint() as near:
        plane = plane_to(near, trunk(far, authority))
        leg = plane.dial(target(), SDP, events, traced.append)
        assert (await events.wait(Answered)).sdp == SDP
        assert leg.is_secure and phone.legs[0].is_secure
        leg.acknowledge()
        await phone.events.wait(Answered)
        phone.legs[0].hang_up()
        assert (await events.wait(Released)).by_far_end
        invite = traced[0].raw.decode()
        assert invite.startswith(f"INVITE sip:15005550001@{HERE}:{port_of(far)};transport=tls ")
        assert f"\r\nVia: SIP/2.0/TLS {HERE}:{port_of(near)};" in invite
        assert f"\r\nContact: <sip:{HERE}:{port_of(near)};transport=tls>\r\n" in invite
        assert {one.transport for one in traced} == {"tls"}
        answered = next(one.raw.decode() for one in traced if b"SIP/2.0 200" in one.raw)
        assert f"\r\nContact: <sip:{HERE}:{port_of(far)};transport=tls>\r\n" in answered
        assert near.connections == far.connections == 1, "the BYE came over the same connection"
        assert near.handshakes() == far.handshakes() == {"ok": 1}


async def test_many_calls_share_one_connection(authority: Authority) -> None:
    phone, listeners = Phone(), [Events() for _ in range(20)]
    async with endpoint(phone, **shown(authority)) as far, endpoint() as near:
        plane = plane_to(near, trunk(far, authority))
        for events in listeners:
            plane.dial(target(), SDP, events)
        for events in listeners:
            await events.wait(Answered)
        assert near.connections == far.connections == 1
        assert far.handshakes() == {"ok": 1}


OPTIONS = (
    "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=z9hG4bK{}\r\nFrom: <sip:a@b>;tag=1\r\n"
    "To: <sip:a@b>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n"
    "User-Agent: somebody with much to say of himself\r\nContent-Length: 0\r\n\r\n"
)


async def test_the_trunk_asks_us_over_the_connection_that_we_opened(authority: Authority) -> None:
    """It has no other way: we show no certificate, and listen for nobody."""
    answers: asyncio.Queue[bytes] = asyncio.Queue()

    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OPTIONS.format(1).encode())
        answers.put_nowait(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    made = authority.make(names=[HERE])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(made.path, made.key_path)
    server = await asyncio.start_server(ask, HERE, 0, ssl=context)
    async with endpoint(Phone()) as near:
        plane = plane_to(near, trunk(server.sockets[0].getsockname()[1], authority))
        near.accept_source = plane.is_trunk
        asked = asyncio.ensure_future(plane.ping("t"))
        async with asyncio.timeout(5):
            assert (await answers.get()).startswith(b"SIP/2.0 200 OK\r\n")
        assert not (await asked).is_well
    server.close()


async def test_a_lost_connection_is_opened_again(authority: Authority) -> None:
    phone = Phone()
    async with endpoint(phone, **shown(authority)) as far, endpoint() as near:
        plane = plane_to(near, trunk(far, authority))
        assert (await plane.ping("t")).is_well
        for pool in far._tls.values():
            for connection in list(pool._connections.values()):
                connection.close()
        await until(lambda: near.connections == 0)
        assert (await plane.ping("t")).is_well
        assert far.handshakes() == {"ok": 2}


TROUBLES: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("expired", {"days": (-9, -1)}, {}, "the certificate has expired"),
    ("self-signed", {"self_signed": True}, {}, "the certificate is self-signed"),
    ("wrong-name", {}, {"tls_name": "sip.other.example"},
     "the certificate is for 127.0.0.1, not for sip.other.example"),
    ("unknown-ca", {}, {"tls_ca": ""}, "nobody who is trusted vouches for the certificate"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "made", "given", "words"), TROUBLES, ids=[one[0] for one in TROUBLES]
)
async def test_a_certificate_that_is_not_good_ends_the_call_in_words(
    authority: Authority, kind: str, made: dict[str, Any], given: dict[str, Any], words: str
) -> None:
    phone, events = Phone(), Events()
    async with endpoint(phone, **shown(authority, **made)) as far, endpoint() as near:
        plane = plane_to(near, trunk(far, authority, **given))
        plane.dial(target(), SDP, events)
        rejected = await events.wait(Rejected)
        assert (rejected.status, rejected.local) == (503, True)
        assert words in rejected.reason
        assert near.handshakes() == {kind: 1}
        state = await plane.ping("t")
        assert (state.is_well, words in state.detail) == (False, True)
        await until(lambda: near.connections == far.connections == 0)
    assert phone.legs == []


async def test_what_is_not_checked_is_taken(authority: Authority) -> None:
    phone, events = Phone(), Events()
    names = shown(authority, "other.example", days=(-9, -1))
    async with endpoint(phone, **names) as far, endpoint() as near:
        plane_to(near, trunk(far, None, tls_verify=False)).dial(target(), SDP, events)
        await events.wait(Answered)


async def test_a_trunk_that_wants_a_certificate_of_ours(authority: Authority) -> None:
    phone, wanted = Phone(), {**shown(authority), "tls_client_ca": authority.path}
    mine = authority.make("me", ["me.example"])
    async with endpoint(phone, **wanted) as far, endpoint() as near:
        events = Events()
        plane_to(near, trunk(far, authority)).dial(target(), SDP, events)
        rejected = await events.wait(Rejected)
        assert rejected.reason == "the far end wants a certificate of ours (tls_certificate)"
        assert far.handshakes() == {"no-certificate": 1}
        events = Events()
        given = {"tls_certificate": str(mine.path), "tls_key": str(mine.key_path)}
        plane_to(near, trunk(far, authority, **given)).dial(target(), SDP, events)
        await events.wait(Answered)


async def test_two_trunks_at_one_address_are_two_connections(authority: Authority) -> None:
    phone, good, bad = Phone(), Events(), Events()
    async with endpoint(phone, **shown(authority)) as far, endpoint() as near:
        plane = plane_to(
            near,
            trunk(far, authority),
            trunk(far, authority, name="other", tls_name="other.example"),
        )
        plane.dial(target(), SDP, good)
        plane.dial(target("other"), SDP, bad)
        assert "not for other.example" in (await bad.wait(Rejected)).reason
        await good.wait(Answered)


async def test_a_peer_that_speaks_no_tls(authority: Authority) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SIP/2.0 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    plain = await asyncio.start_server(greet, HERE, 0)
    events = Events()
    async with endpoint() as near:
        plane = plane_to(near, trunk(plain.sockets[0].getsockname()[1], authority))
        plane.dial(target(), SDP, events)
        assert (await events.wait(Rejected)).reason == "what answers there is not TLS"
    plain.close()


async def test_nobody_there(authority: Authority) -> None:
    events = Events()
    async with endpoint() as near, endpoint() as other:
        # a port that is taken, and not listened on
        plane = plane_to(near, trunk(port_of(other), authority))
        plane.dial(target(), SDP, events)
        reason = (await events.wait(Rejected)).reason
        assert reason == f"no connection to {HERE}:{port_of(other)}: Connection refused"


async def test_a_peer_that_does_not_finish_its_handshake(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "HANDSHAKE_S", 0.1)
    held: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda reader, writer: held.append(writer), HERE, 0)
    events = Events()
    async with endpoint() as near:
        plane = plane_to(near, trunk(silent.sockets[0].getsockname()[1], authority))
        plane.dial(target(), SDP, events)
        assert (await events.wait(Rejected)).reason == "the handshake took longer than 0.1 s"
        await until(lambda: near.connections == 0)
    for writer in held:
        writer.close()
    silent.close()


async def test_a_peer_that_breaks_off(authority: Authority) -> None:
    async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport.abort()
        writer.close()

    rude = await asyncio.start_server(leave, HERE, 0)
    events = Events()
    async with endpoint() as near:
        plane = plane_to(near, trunk(rude.sockets[0].getsockname()[1], authority))
        plane.dial(target(), SDP, events)
        reason = (await events.wait(Rejected)).reason
        assert reason == "the far end closed the connection in the middle of the handshake"
    rude.close()


# ------------------------------------------------------------------ those who come to us


async def test_strangers_get_no_handshake(authority: Authority) -> None:
    async with endpoint(**shown(authority)) as ours:
        for _ in range(25):
            reader, writer = await asyncio.open_connection(HERE, port_of(ours))
            with closed_within(5):
                assert await reader.read() == b""
            writer.close()
        assert ours.handshakes() == {}
        assert ours.connections == 0
        assert [ban.address for ban in ours.sentry.listed()] == [HERE]
        assert ours.sentry.refused() == 5


async def test_strangers_who_may_ask_get_one_answer(authority: Authority) -> None:
    async with endpoint(strangers="refuse", **shown(authority)) as ours:
        trust = ssl.create_default_context(cafile=authority.path)
        reader, writer = await asyncio.open_connection(HERE, port_of(ours), ssl=trust)
        writer.write(OPTIONS.format(1).encode())
        async with asyncio.timeout(5):
            assert (await reader.readline()) == b"SIP/2.0 403 Forbidden\r\n"
        writer.close()


async def test_strangers_handshakes_are_few(authority: Authority) -> None:
    async with endpoint(strangers="refuse", ban_after=0, **shown(authority)) as ours:
        reached = []
        for _ in range(40):
            reader, writer = await asyncio.open_connection(HERE, port_of(ours))
            writer.write(b"\x16\x03\x01\x00\x05")
            reached.append((reader, writer))
        await until(lambda: ours.connections <= 12)
        open_still = [writer for reader, writer in reached if not reader.at_eof()]
        assert 8 <= len(open_still) <= 20
        for _, writer in reached:
            writer.close()


async def test_who_makes_handshakes_for_their_own_sake_is_banned(authority: Authority) -> None:
    trust = ssl.create_default_context(cafile=authority.path)
    async with endpoint(strangers="refuse", ban_after=3, **shown(authority)) as ours:
        for _ in range(3):
            _, writer = await asyncio.open_connection(HERE, port_of(ours), ssl=trust)
            writer.close()
            await until(lambda: ours.connections == 0)
        assert [ban.address for ban in ours.sentry.listed()] == [HERE]
        made = ours.handshakes()["ok"]
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection(HERE, port_of(ours), ssl=trust)
        assert ours.handshakes()["ok"] == made == 3


async def test_a_handshake_that_dribbles_holds_nothing(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "HANDSHAKE_S", 0.3)
    async with endpoint(Phone(), **shown(authority)) as ours:
        reader, writer = await asyncio.open_connection(HERE, port_of(ours))
        gone = asyncio.ensure_future(reader.read())
        with closed_within(5):
            for byte in b"\x16\x03\x01\x02\x00\x01\x00\x01" * 50:
                writer.write(bytes([byte]))
                await asyncio.wait([gone], timeout=0.02)
                if gone.done():
                    break
        assert gone.done()
        writer.close()
        await until(lambda: ours.connections == 0)
        assert ours.handshakes() == {"timeout": 1}


async def test_what_is_no_tls_is_closed(authority: Authority) -> None:
    async with endpoint(Phone(), **shown(authority)) as ours:
        reader, writer = await asyncio.open_connection(HERE, port_of(ours))
        writer.write(b"OPTIONS sip:a@b SIP/2.0\r\n\r\n")
        async with asyncio.timeout(5):
            await reader.read()
        writer.close()
        assert ours.handshakes() == {"no-tls": 1}


async def test_without_a_certificate_nobody_can_connect() -> None:
    async with endpoint(Phone()) as ours:
        assert ours.listeners == [f"tls:{HERE}:{port_of(ours)}"]
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(HERE, port_of(ours))


async def test_a_new_certificate_is_shown_without_a_restart(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    made = authority.make("old.example", [HERE], under="server")
    files = {"tls_certificate": str(made.path), "tls_key": str(made.key_path)}
    trust = ssl.create_default_context(cafile=authority.path)

    async def name(ours: SipEndpoint) -> str:
        _, writer = await asyncio.open_connection(HERE, port_of(ours), ssl=trust)
        subject = writer.get_extra_info("peercert")["subject"]
        writer.close()
        return str(dict(one[0] for one in subject)["commonName"])

    async with endpoint(Phone(), **files) as ours:
        assert await name(ours) == "old.example"
        authority.make("new.example", [HERE], under="server")
        assert ours.security is not None
        assert ours.security.refresh()
        assert await name(ours) == "new.example"


async def test_a_certificate_that_cannot_be_used_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"sip\.tls_certificate: .*cannot be read"):
        await SipEndpoint.start(Sip(listen=[LISTEN], tls_certificate=str(tmp_path / "none")))


# ------------------------------------------------------------------ URIs


@pytest.mark.parametrize("form", ["sips:1@{}", "sip:1@{};transport=tls", "sips:1@{};transport=tcp"])
async def test_uris_that_say_tls_are_called_so(authority: Authority, form: str) -> None:
    """And who is called by SIPS gets our address as such, and gives his (RFC 3261 12.1.1); whoever
    hangs up finds the other by it, over the connection that there is."""
    phone, events, traced = Phone(), Events(), list[TracedMessage]()
    async with endpoint(phone, **shown(authority)) as far, endpoint() as near:
        plane = plane_to(near, trunk(far, authority))
        to = form.format(f"{HERE}:{port_of(far)}")
        leg = plane.dial(target("", to), SDP, events, traced.append)
        await events.wait(Answered)
        leg.acknowledge()
        await phone.events.wait(Answered)
        raws = [one.raw.decode() for one in traced]
        contacts = [raw.partition("\r\nContact: ")[2].partition("\r\n")[0] for raw in raws[:1]]
        contacts += [
            raw.partition("\r\nContact: ")[2].partition("\r\n")[0]
            for raw in raws
            if raw.startswith("SIP/2.0 200")
        ]
        ports = (port_of(near), port_of(far))
        expected = "<sips:{}:{}>" if to.startswith("sips:") else "<sip:{}:{};transport=tls>"
        assert contacts == [expected.format(HERE, port) for port in ports]
        phone.legs[0].hang_up()
        assert (await events.wait(Released)).by_far_end
        assert near.handshakes() == {"ok": 1}
        assert near.connections == far.connections == 1


async def test_a_host_that_is_no_trunk_is_checked_with_what_the_system_trusts(
    authority: Authority,
) -> None:
    phone, events = Phone(), Events()
    async with endpoint(phone, **shown(authority)) as far, endpoint() as near:
        uri = f"sips:1@{HERE}:{port_of(far)}"
        plane_to(near).dial(target("", uri), SDP, events)
        assert "nobody who is trusted" in (await events.wait(Rejected)).reason


async def test_what_no_transport_of_ours_reaches_is_refused() -> None:
    async with endpoint() as near:
        for uri in ("sips:1@127.0.0.1;transport=udp", "sip:1@127.0.0.1;transport=ws"):
            events = Events()
            plane_to(near).dial(target("", uri), SDP, events)
            assert (await events.wait(Rejected)).status == 416
