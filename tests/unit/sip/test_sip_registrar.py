"""Trunks that register, over real sockets: the registrar is a small one of the test's own."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from doubles.certificates import Authority
from doubles.names import BookOfNames
from outdial.clock import SystemClock
from outdial.config import Sip, Trunk
from outdial.legs import DialTarget, Rejected
from outdial.messages import MessageTarget
from outdial.sip import trunks
from outdial.sip.endpoint import SipEndpoint, parse_listener
from outdial.sip.leg import InboundLeg
from outdial.sip.messenger import Messenger
from outdial.sip.plane import SipPlane
from outdial.sip.resolver import Resolver
from outdial.testing.carrier.message import SipText, written
from outdial.trunk_state import TrunkMessages

OFFER = b"v=0\r\ns=offer\r\n"

Said = tuple[int, list[tuple[str, str]]] | None


def taken(request: SipText) -> Said:
    """A registrar without questions."""
    return 200, [("Contact", request["Contact"])] if request["Contact"] else []


class Registrar(asyncio.DatagramProtocol):
    """Answers every request as it is told; sends requests of its own."""

    def __init__(self) -> None:
        self.requests: list[SipText] = []
        self.answer: Callable[[SipText], Said] = taken
        self.responses: list[SipText] = []
        self.port = 0
        self.calls = 0
        self._send: Callable[[bytes], None] = lambda data: None
        self._transport: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self, transport: str, secure: ssl.SSLContext | None = None) -> None:
        loop = asyncio.get_running_loop()
        if transport == "udp":
            made, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
            self._transport = made
            self.port = made.get_extra_info("sockname")[1]
        else:
            self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=secure)
            self.port = self._server.sockets[0].getsockname()[1]

    def datagram_received(self, data: bytes, addr: Any) -> None:
        assert self._transport is not None
        transport = self._transport
        self._send = lambda sent: transport.sendto(sent, addr)
        self._take(data)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self._send = writer.write
        try:
            while True:
                self._take(await reader.readuntil(b"\r\n\r\n"))
        except (asyncio.IncompleteReadError, ConnectionError):
            return

    def _take(self, data: bytes) -> None:
        message = SipText(data)
        if message.status:
            self.responses.append(message)
            return
        self.requests.append(message)
        answer = self.answer(message)
        if answer is not None:
            status, fields = answer
            copied = [(name, message[name]) for name in ("Via", "From", "Call-ID", "CSeq")]
            to = ("To", f"{message['To']};tag=r")
            self._send(written(f"SIP/2.0 {status} Said", [*copied, to, *fields]))

    def of(self, method: str) -> list[SipText]:
        return [one for one in self.requests if one.method == method]

    def invite(self, uri: str, to: str, *fields: tuple[str, str]) -> None:
        """A call from the carrier, by the way that the last request came."""
        self.calls += 1
        lines = [
            ("Via", f"SIP/2.0/UDP 127.0.0.1:{self.port};branch=z9hG4bK{self.calls}"),
            ("From", "<sip:13105550199@carrier.example>;tag=c"),
            ("To", to),
            ("Call-ID", f"inbound-{self.calls}"),
            ("CSeq", "1 INVITE"),
            ("Contact", f"<sip:127.0.0.1:{self.port}>"),
            *fields,
        ]
        self._send(written(f"INVITE {uri} SIP/2.0", lines, b"v=0\r\n"))

    def hang_up_on_all(self) -> None:
        """Resets every connection."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def stop(self) -> None:
        if self._transport is not None:
            self._transport.close()
        self.hang_up_on_all()
        if self._server is not None:
            self._server.close()


@pytest.fixture
async def registrar() -> AsyncIterator[Registrar]:
    made = Registrar()
    await made.start("udp")
    yield made
    await made.stop()


@pytest.fixture
async def legs() -> list[InboundLeg]:
    """The calls that came in."""
    return []


@pytest.fixture
async def near(legs: list[InboundLeg]) -> AsyncIterator[SipEndpoint]:
    listen = ["udp:127.0.0.1:0", "tcp:127.0.0.1:0"]
    endpoint = await SipEndpoint.start(Sip(listen=listen), on_invite=legs.append)
    yield endpoint
    await endpoint.close()


def trunk(at: Registrar, /, **more: Any) -> Trunk:
    settings = {
        "name": "t",
        "address": f"127.0.0.1:{at.port}",
        "register": True,
        "username": "acme",
        "password": "secret",
        "options_interval_s": 0,
    }
    return Trunk.model_validate(settings | more)


def plane_to(near: SipEndpoint, *settings: Trunk) -> SipPlane:
    plane = SipPlane(Sip(), settings, near, SystemClock())
    plane.watch()
    return plane


async def until(condition: Callable[[], bool]) -> None:
    """Waits for something that no event tells."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def until_status(plane: SipPlane, status: str) -> None:
    await until(lambda: plane.trunk_states()[0].status == status)


def target() -> DialTarget:
    return DialTarget("CA1", "t", "15005550001", "1222", "Bob")


async def rejection(plane: SipPlane) -> Rejected:
    """How a call ends that the trunk does not take."""
    ended: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    plane.dial(target(), OFFER, ended.set_result)
    event = await asyncio.wait_for(ended, 10)
    assert isinstance(event, Rejected)
    return event


def port_of(near: SipEndpoint, transport: str = "udp") -> int:
    return next(parse_listener(one)[2] for one in near.listeners if one.startswith(transport))


async def test_it_registers_once_and_takes_it_back(near: SipEndpoint, registrar: Registrar) -> None:
    with capture_logs() as logs:
        plane = plane_to(near, trunk(registrar))
        assert plane.is_last_choice("t")
        await until_status(plane, "registered")
        assert not plane.is_last_choice("t")
        await plane.stop()
    first, last = registrar.of("REGISTER")
    here = f"sip:acme@127.0.0.1:{port_of(near)}"
    assert first.start == "REGISTER sip:127.0.0.1 SIP/2.0"
    assert first["To"] == "<sip:acme@127.0.0.1>"
    assert first["Contact"] == f"<{here}>;expires=3600"
    assert last["Contact"] == f"<{here}>;expires=0"
    assert first["Call-ID"] == last["Call-ID"]
    assert [line["state"] for line in logs if line["event"] == "trunk.state"] == ["registered"]


async def test_what_went_to_and_fro_can_be_seen(near: SipEndpoint, registrar: Registrar) -> None:
    """The challenge, the digest without its secret, and OPTIONS apart from it."""

    def challenge(request: SipText) -> Said:
        if request.method == "REGISTER" and not request["Authorization"]:
            return 401, [("WWW-Authenticate", 'Digest realm="r", nonce="n", qop="auth"')]
        return 200, [("Contact", request["Contact"])] if request["Contact"] else []

    registrar.answer = challenge
    plane = plane_to(near, trunk(registrar, options_interval_s=60))
    await until_status(plane, "registered")
    await until(lambda: len(plane.trunk_messages("t").options) == 2)
    found = plane.trunk_messages("t")
    assert [one.raw.split(b"\r\n")[0] for one in found.registration] == [
        b"REGISTER sip:127.0.0.1 SIP/2.0",
        b"SIP/2.0 401 Said",
        b"REGISTER sip:127.0.0.1 SIP/2.0",
        b"SIP/2.0 200 Said",
    ]
    assert [one.outgoing for one in found.registration] == [True, False, True, False]
    assert {one.peer for one in found.registration} == {f"127.0.0.1:{registrar.port}"}
    (shown,) = registrar.of("REGISTER")[1:2]
    digest = shown["Authorization"].partition('response="')[2].partition('"')[0]
    kept = found.registration[2].raw.decode()
    assert digest and digest not in kept and f'response="{"x" * len(digest)}"' in kept
    assert 'username="acme"' in kept
    assert [one.raw.split(b" ")[0] for one in found.options] == [b"OPTIONS", b"SIP/2.0"]
    assert plane.trunk_messages("nobody") == TrunkMessages()
    await plane.stop()
    assert plane.trunk_messages("t").registration[-2].raw.count(b"expires=0") == 1


async def test_what_is_known_of_it(near: SipEndpoint, registrar: Registrar) -> None:
    plane = plane_to(near, trunk(registrar))
    await until_status(plane, "registered")
    (state,) = plane.trunk_states()
    assert (state.last_code, state.last_reason) == (200, "Said")
    assert state.target == f"udp:127.0.0.1:{registrar.port}"
    assert state.rtt_ms is not None
    assert state.registered_until is not None
    assert state.since is not None
    assert 3590 < state.registered_until - state.since < 3610
    plane.close()


async def test_names_of_all_kinds(near: SipEndpoint, registrar: Registrar) -> None:
    settings = trunk(
        registrar, from_domain="carrier.example", register_user="49301234", contact_user="c1"
    )
    plane = plane_to(near, settings)
    await until_status(plane, "registered")
    (request,) = registrar.of("REGISTER")
    assert request.start == "REGISTER sip:carrier.example SIP/2.0"
    assert request["To"] == "<sip:49301234@carrier.example>"
    assert request["Contact"].startswith("<sip:c1@127.0.0.1:")
    registrar.answer = lambda request: (486, [])
    assert (await rejection(plane)).status == 486
    (invite,) = registrar.of("INVITE")
    assert invite["From"].startswith('"Bob" <sip:1222@carrier.example>;tag=')
    assert invite["Contact"] == f"<sip:c1@127.0.0.1:{port_of(near)}>"
    plane.close()


async def test_everything_goes_by_the_outbound_proxy(
    near: SipEndpoint, registrar: Registrar
) -> None:
    proxy = f"127.0.0.1:{registrar.port}"
    settings = trunk(
        registrar,
        address="sip.carrier.example",
        registrar="registrar.carrier.example",
        outbound_proxy=proxy,
        options_interval_s=30,
    )
    plane = plane_to(near, settings)
    await until_status(plane, "registered")
    assert registrar.of("REGISTER")[0].start == "REGISTER sip:registrar.carrier.example SIP/2.0"
    registrar.answer = lambda request: (486, [])
    await rejection(plane)
    assert registrar.of("INVITE")[0].start == "INVITE sip:15005550001@sip.carrier.example SIP/2.0"
    await Messenger(near, plane).send(MessageTarget("SM1", "t", "15005550001", "1222", "Hi"))
    methods = {"REGISTER", "INVITE", "OPTIONS", "MESSAGE"}
    await until(lambda: methods <= {one.method for one in registrar.requests})
    for request in registrar.requests:
        if request.method in methods:
            assert request["Route"] == f"<sip:{proxy};lr>", request
    plane.close()


async def test_a_call_waits_for_the_first_registration(
    near: SipEndpoint, registrar: Registrar
) -> None:
    held: list[SipText] = []
    registrar.answer = lambda request: held.append(request)
    plane = plane_to(near, trunk(registrar))
    ended = asyncio.ensure_future(rejection(plane))
    await until(lambda: bool(held))
    assert not registrar.of("INVITE")
    registrar.answer = lambda request: taken(request) if request.method == "REGISTER" else (486, [])
    assert (await ended).status == 486
    plane.close()


async def test_no_call_is_made_on_a_trunk_that_is_not_registered(
    near: SipEndpoint, registrar: Registrar
) -> None:
    registrar.answer = lambda request: (403, [])
    plane = plane_to(near, trunk(registrar))
    ended = await rejection(plane)
    assert ended == Rejected(
        503, "trunk t is not registered: 403 Said", local=True, unregistered=True
    )
    assert plane.trunk_states()[0].status == "rejected"
    assert plane.is_last_choice("t")
    assert await rejection(plane) == ended, "at once, the second time"
    sent = await Messenger(near, plane).send(MessageTarget("SM1", "t", "15005550001", "1222", "Hi"))
    assert (sent.status, sent.not_taken) == (503, True)
    assert sent.reason == "trunk t is not registered: 403 Said"
    assert {one.method for one in registrar.requests} == {"REGISTER"}
    plane.close()


async def test_calls_do_not_wait_for_ever(
    near: SipEndpoint, registrar: Registrar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trunks, "REGISTRATION_WAIT_S", 0.02)
    registrar.answer = lambda request: None
    plane = plane_to(near, trunk(registrar))
    ended = await rejection(plane)
    assert ended.reason == "trunk t is not registered: it is registering"
    plane.close()


async def test_a_name_that_is_not_there(near: SipEndpoint, registrar: Registrar) -> None:
    plane = plane_to(near, trunk(registrar, address="localhost.invalid:5060"))
    await until_status(plane, "down")
    assert "localhost.invalid" in plane.trunk_states()[0].detail
    await plane.stop()


async def test_no_listener_reaches_the_registrar(registrar: Registrar) -> None:
    endpoint = await SipEndpoint.start(Sip(listen=["tcp:127.0.0.1:0"]))
    plane = plane_to(endpoint, trunk(registrar))
    await until_status(plane, "down")
    assert plane.trunk_states()[0].detail == (
        "no listener of ours reaches the registrar: see sip.listen"
    )
    await plane.stop()
    await endpoint.close()


async def test_each_listener_is_registered(registrar: Registrar) -> None:
    listen = ["udp:127.0.0.1:0", "udp:127.0.0.1:0", "tcp:127.0.0.1:0", "udp:[::1]:0"]
    endpoint = await SipEndpoint.start(Sip(listen=listen))
    plane = plane_to(endpoint, trunk(registrar))
    await until(lambda: len(registrar.of("REGISTER")) >= 2)
    await until_status(plane, "registered")
    shown = {one.contact for one in registrar.of("REGISTER")}
    ports = [parse_listener(one)[2] for one in endpoint.listeners[:2]]
    assert shown == {f"sip:acme@127.0.0.1:{port}" for port in ports}
    assert len({one["Call-ID"] for one in registrar.of("REGISTER")}) == 2
    await plane.stop()
    assert len(registrar.of("REGISTER")) == 4
    await endpoint.close()


async def test_one_binding_of_two_is_enough(registrar: Registrar) -> None:
    listen = ["udp:127.0.0.1:0", "udp:127.0.0.1:0"]
    endpoint = await SipEndpoint.start(Sip(listen=listen))
    own = f":{parse_listener(endpoint.listeners[1])[2]}>"

    registrar.answer = lambda request: (403, []) if own in request["Contact"] else taken(request)
    plane = plane_to(endpoint, trunk(registrar))
    await until(lambda: len(registrar.of("REGISTER")) >= 2)
    await until_status(plane, "registered")
    await plane.stop()
    await endpoint.close()


async def test_a_lost_connection_is_registered_over_again(near: SipEndpoint) -> None:
    registrar = Registrar()
    await registrar.start("tcp")
    plane = plane_to(near, trunk(registrar, transport="tcp"))
    await until_status(plane, "registered")
    (first,) = registrar.of("REGISTER")
    assert ";transport=tcp>" in first["Contact"]
    assert first.start == "REGISTER sip:127.0.0.1;transport=tcp SIP/2.0"
    registrar.hang_up_on_all()
    await until_status(plane, "registering")
    assert plane.trunk_states()[0].detail == "the connection was lost"
    await until_status(plane, "registered")
    assert [one["CSeq"] for one in registrar.of("REGISTER")] == ["1 REGISTER", "2 REGISTER"]
    await plane.stop()
    await registrar.stop()


@pytest.mark.parametrize(
    ("name", "status", "detail"),
    [
        ("registrar.carrier.example", "registered", ""),
        ("sip.carrier.example", "down", "registrar.carrier.example"),
    ],
)
async def test_over_tls_the_certificate_is_the_registrars(
    tmp_path: Path, name: str, status: str, detail: str
) -> None:
    authority = Authority(tmp_path)
    certificate = authority.make(names=(name,))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.path, certificate.key_path)
    registrar = Registrar()
    await registrar.start("tls", context)
    endpoint = await SipEndpoint.start(Sip(listen=["tls:127.0.0.1:0"]))

    hosts = ("sip.carrier.example", "registrar.carrier.example")
    names = BookOfNames({host: ["127.0.0.1"] for host in hosts})
    settings = trunk(
        registrar,
        transport="tls",
        address="sip.carrier.example:5061",
        registrar=f"registrar.carrier.example:{registrar.port}",
        tls_ca=str(authority.path),
    )
    plane = SipPlane(Sip(), [settings], endpoint, SystemClock(), Resolver(names))
    plane.watch()
    await until_status(plane, status)
    assert detail in plane.trunk_states()[0].detail
    if status == "registered":
        (request,) = registrar.of("REGISTER")
        assert request.start == "REGISTER sip:registrar.carrier.example;transport=tls SIP/2.0"
        assert ";transport=tls>" in request["Contact"]
    await plane.stop()
    await endpoint.close()
    await registrar.stop()


async def test_whom_the_carrier_calls(
    near: SipEndpoint, registrar: Registrar, legs: list[InboundLeg]
) -> None:
    """The Request-URI is the contact that we registered: To says which number was dialled."""
    plane = plane_to(near, trunk(registrar))
    await until_status(plane, "registered")
    here = f"127.0.0.1:{port_of(near)}"
    to = "<sip:18005550100@carrier.example>"
    registrar.invite(f"sip:acme@{here}", to)
    registrar.invite(f"sip:acme@{here}", to, ("P-Called-Party-ID", "<sip:18005550101@c>"))
    registrar.invite(f"sip:acme@{here}", to, ("P-Called-Party-ID", "<<"), ("Subject", "x"))
    registrar.invite(f"sip:18005550102@{here}", to)
    await until(lambda: len(legs) == 4)
    assert [leg.called for leg in legs] == [
        "18005550100",
        "18005550101",
        "18005550100",
        "18005550102",
    ]
    assert {plane.trunk_of(leg.source[0]) for leg in legs} == {"t"}
    plane.close()


async def test_of_two_accounts_at_one_carrier_the_one_that_is_called(
    near: SipEndpoint, registrar: Registrar, legs: list[InboundLeg]
) -> None:
    accounts = [trunk(registrar, name=name, username=name) for name in ("sales", "support")]
    plane = plane_to(near, *accounts)
    await until(lambda: {one.status for one in plane.trunk_states()} == {"registered"})
    here = f"127.0.0.1:{port_of(near)}"
    for user in ("support", "sales", "nobody"):
        registrar.invite(f"sip:{user}@{here}", "<sip:18005550100@carrier.example>")
    await until(lambda: len(legs) == 3)
    trunks_of = [plane.trunk_of(leg.source[0], leg.account) for leg in legs]
    assert trunks_of == ["support", "sales", "sales"]
    assert [leg.called for leg in legs] == ["18005550100", "18005550100", "nobody"]
    plane.close()


async def test_stopping_does_not_wait_for_a_silent_registrar(
    near: SipEndpoint, registrar: Registrar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outdial.sip.registrar._GOODBYE_S", 0.02)
    plane = plane_to(near, trunk(registrar))
    await until_status(plane, "registered")
    registrar.answer = lambda request: None
    with capture_logs() as logs:
        await plane.stop()
    assert [line["event"] for line in logs] == ["trunk.not_unregistered"]


async def test_asking_the_registrar_changes_nothing(
    near: SipEndpoint, registrar: Registrar
) -> None:
    plane = SipPlane(Sip(), [trunk(registrar)], near, SystemClock())
    state = await plane.ask_registrar("t", 5.0)
    assert (state.status, state.last_code) == ("registered", 200)
    registrar.answer = lambda request: (403, [])
    assert (await plane.ask_registrar("t", 5.0)).status == "rejected"
    registrar.answer = lambda request: None
    assert (await plane.ask_registrar("t", 0.02)).status == "registering"
    assert not any(one["Contact"] for one in registrar.of("REGISTER"))
    assert plane.trunk_states()[0].status == "registering", "it does not count for the trunk"
    plane.close()
