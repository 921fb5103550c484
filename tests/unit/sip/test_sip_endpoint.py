"""Endpoint and plane on loopback sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
import uvloop
from pydantic import SecretStr

from doubles.names import BookOfNames
from doubles.signalling import Events
from outdial.clock import SystemClock
from outdial.config import Sip, Trunk
from outdial.errors import ConfigError
from outdial.legs import (
    Answered,
    DialTarget,
    Reanswered,
    Referred,
    Rejected,
    Released,
    Reoffer,
    Replacing,
    Ringing,
    SignallingEvent,
    TargetFailed,
    TracedMessage,
)
from outdial.sip import tcp
from outdial.sip.core.bans import Bans
from outdial.sip.core.guard import Accounts
from outdial.sip.core.hop import Hop
from outdial.sip.endpoint import SipEndpoint, parse_listener
from outdial.sip.leg import InboundLeg
from outdial.sip.outbound import OutboundLeg
from outdial.sip.plane import SipPlane
from outdial.sip.resolver import Resolver
from outdial.sip.sentry import Sentry
from outdial.sip.tcp import TcpPool
from outdial.sip.udp import UdpListener, shown_address

OFFER = b"v=0\r\ns=offer\r\n"
ANSWER = b"v=0\r\ns=answer\r\n"
UDP, TCP = "udp:127.0.0.1:0", "tcp:127.0.0.1:0"


class Phone:
    """An endpoint that does with calls what it is told."""

    def __init__(self) -> None:
        self.legs: list[InboundLeg] = []
        self.events = Events()
        self.act: Callable[[InboundLeg], None] = lambda leg: None

    def on_invite(self, leg: InboundLeg) -> None:
        self.legs.append(leg)
        leg.listen(self.events)
        self.act(leg)


@pytest.fixture
def phone() -> Phone:
    return Phone()


@pytest.fixture
async def far(phone: Phone) -> AsyncIterator[SipEndpoint]:
    endpoint = await SipEndpoint.start(
        Sip(listen=[UDP, TCP], t1_ms=20),
        on_invite=phone.on_invite,
        accept_source=lambda host: host == "127.0.0.1",
    )
    yield endpoint
    await endpoint.close()


@pytest.fixture
async def near() -> AsyncIterator[SipEndpoint]:
    endpoint = await SipEndpoint.start(Sip(listen=[UDP, TCP], t1_ms=20))
    yield endpoint
    await endpoint.close()


def port_of(endpoint: SipEndpoint, transport: str = "udp") -> int:
    return next(parse_listener(one)[2] for one in endpoint.listeners if one.startswith(transport))


def unused_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def until(condition: Callable[[], bool]) -> None:
    """Waits for something that no event tells."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def plane_to(near: SipEndpoint, *trunks: Trunk, resolver: Resolver | None = None) -> SipPlane:
    return SipPlane(Sip(), trunks, near, SystemClock(), resolver)


def target(trunk: str = "t", uri: str = "") -> DialTarget:
    return DialTarget("CA1", trunk, "15005550001", "1222", "Bob", uri)


def answer(leg: InboundLeg) -> None:
    leg.ring(180)
    leg.accept(ANSWER)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_whole_call(
    near: SipEndpoint, far: SipEndpoint, phone: Phone, transport: str
) -> None:
    phone.act = answer
    address = f"127.0.0.1:{port_of(far, transport)}"
    plane = plane_to(near, Trunk(name="t", address=address, transport=transport))
    events, traced = Events(), list[TracedMessage]()
    leg = plane.dial(target(), OFFER, events, traced.append)
    assert events.seen == []
    assert (await events.wait(Answered)).sdp == ANSWER
    assert events.seen[0] == Ringing(180, "Ringing")
    assert leg.peer is not None
    assert leg.peer[0] == "127.0.0.1"
    incoming = phone.legs[0]
    assert (incoming.called, incoming.caller_id, incoming.caller_name) == (
        "15005550001",
        "1222",
        "Bob",
    )
    assert incoming.offer == OFFER
    assert incoming.source[0] == "127.0.0.1"
    assert incoming.sip_call_id == leg.sip_call_id
    assert leg.sip_call_id.startswith("CA1")
    leg.hang_up()
    leg.hang_up()
    assert await events.wait(Released) == Released(by_far_end=False)
    assert (await phone.events.wait(Released)).by_far_end is True
    # T1 is 20 ms: on a busy machine any of them may leave twice, just as it was
    told = dict.fromkeys((one.outgoing, one.raw) for one in traced)
    starts = [(outgoing, raw.split(b" ")[0]) for outgoing, raw in told]
    assert starts == [
        (True, b"INVITE"),
        (False, b"SIP/2.0"),
        (False, b"SIP/2.0"),
        (True, b"ACK"),
        (True, b"BYE"),
        (False, b"SIP/2.0"),
    ]
    assert {(one.peer, one.transport) for one in traced} == {(address, transport)}


async def test_reoffers_both_ways(near: SipEndpoint, far: SipEndpoint, phone: Phone) -> None:
    phone.act = answer
    plane = plane_to(near, Trunk(name="t", address=f"127.0.0.1:{port_of(far)}"))
    events = Events()
    leg = plane.dial(target(), OFFER, events)
    leg.acknowledge()
    await events.wait(Answered)
    assert phone.events.seen == []
    leg.acknowledge()
    leg.acknowledge()
    await phone.events.wait(Answered)
    phone.legs[0].reoffer(b"v=0\r\ns=again\r\n")
    assert await events.wait(Reoffer) == Reoffer(b"v=0\r\ns=again\r\n")
    leg.answer_offer(ANSWER)
    leg.answer_offer(ANSWER)
    assert await phone.events.wait(Reanswered) == Reanswered(ANSWER)
    leg.reoffer(OFFER)
    assert await phone.events.wait(Reoffer) == Reoffer(OFFER)
    phone.legs[0].refuse_offer()
    leg.refuse_offer()
    phone.legs[0].hang_up()
    assert (await events.wait(Released)).by_far_end is True


async def another(near: SipEndpoint) -> SipEndpoint:
    """The process that comes after the one of `near`, on its ports."""
    listen = near.listeners
    await near.close()
    return await SipEndpoint.start(Sip(listen=listen, t1_ms=20))


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("answers", [True, False])
async def test_another_process_ends_the_leg(
    near: SipEndpoint, far: SipEndpoint, phone: Phone, transport: str, answers: bool
) -> None:
    phone.act = answer if answers else lambda leg: leg.ring(180)
    trunk = Trunk(name="t", address=f"127.0.0.1:{port_of(far, transport)}", transport=transport)
    events = Events()
    leg = plane_to(near, trunk).dial(target(), OFFER, events)
    await events.wait(Answered if answers else Ringing)
    leg.acknowledge()
    data = leg.dialog_data
    assert data is not None
    assert data["trunk"] == "t"
    assert ("branch" in data) is not answers
    await asyncio.sleep(0.05)
    later = await another(near)
    try:
        traced: list[TracedMessage] = []
        plane_to(later, trunk).release(data, traced.append)
        await phone.events.wait(Released if answers else Rejected)
        await until(lambda: len(traced) >= 2)
        sent = [one.raw.split(b" ")[0] for one in traced if one.outgoing]
        assert sent[0] == (b"BYE" if answers else b"CANCEL")
        if not answers and transport == "udp":  # the 487 goes down a connection that is gone
            await until(lambda: traced[-1].raw.startswith(b"ACK"))
    finally:
        await later.close()


async def test_a_forgotten_answer_is_released_with_the_credentials_of_its_trunk(
    near: SipEndpoint, far: SipEndpoint, phone: Phone
) -> None:
    phone.act = answer
    trunk = Trunk(
        name="t", address=f"127.0.0.1:{port_of(far)}", username="user", password=SecretStr("secret")
    )
    events = Events()
    plane_to(near, trunk).dial(target(), OFFER, events)
    await events.wait(Answered)
    later = await another(near)
    try:
        plane_to(later, trunk)
        given = later.credentials_of("127.0.0.1")
        assert given is not None
        assert given.username == "user"
        assert later.credentials_of("127.0.0.2") is None
        await phone.events.wait(Released)
    finally:
        await later.close()


async def test_data_that_cannot_be_used_are_logged_and_nothing_more(
    near: SipEndpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    plane = plane_to(near)
    plane.release({"trunk": "gone"})
    plane.release({**DIALOG, "peer": ["udp", "::1", 5060]})
    plane.release({**DIALOG, "routes": ["<sip:>"]})
    assert capsys.readouterr().out.count("leg.not_released") == 3


DIALOG = {
    "call_id": "c", "local": "<sip:a@h>;tag=1", "remote": "<sip:b@h>;tag=2",
    "target": "sip:b@h", "cseq": 1, "peer": ["udp", "127.0.0.1", 5060],
}  # fmt: skip


async def test_a_trunk_whose_name_must_be_looked_up_is_released_after_that(
    near: SipEndpoint, far: SipEndpoint, phone: Phone
) -> None:
    phone.act = answer
    port = port_of(far)

    names = BookOfNames({"carrier.test": ["127.0.0.1"]})
    names.before = lambda: asyncio.sleep(0.02)
    trunk = Trunk(name="t", address=f"carrier.test:{port}")
    events = Events()
    leg = plane_to(near, trunk, resolver=Resolver(names)).dial(target(), OFFER, events)
    await events.wait(Answered)
    leg.acknowledge()
    data = leg.dialog_data
    assert data is not None
    await asyncio.sleep(0.05)
    later = await another(near)
    try:
        plane_to(later, trunk, resolver=Resolver(names)).release(data)
        await phone.events.wait(Released)
    finally:
        await later.close()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_nobody_listens_there(near: SipEndpoint, transport: str) -> None:
    """THE trunk is down: known at once by ICMP or a refused connection, not after 32 s."""
    plane = plane_to(
        near,
        Trunk(name="t", address=f"127.0.0.1:{unused_port()}", transport=transport),
    )
    events = Events()
    async with asyncio.timeout(0.6):
        plane.dial(target(), OFFER, events)
        rejected = await events.wait(Rejected)
    assert (rejected.status, rejected.local) == (503, True)


def test_the_same_on_uvloop() -> None:
    """The program runs on uvloop: a call, and a port where nobody listens."""

    async def run() -> None:
        phone = Phone()
        phone.act = answer
        far = await SipEndpoint.start(
            Sip(listen=[UDP]), on_invite=phone.on_invite, accept_source=lambda host: True
        )
        near = await SipEndpoint.start(Sip(listen=[UDP]))
        plane = plane_to(
            near,
            Trunk(name="t", address=f"127.0.0.1:{port_of(far)}"),
            Trunk(name="dead", address=f"127.0.0.1:{unused_port()}"),
        )
        events, dead = Events(), Events()
        async with asyncio.timeout(2):
            plane.dial(target("dead"), OFFER, dead)
            assert (await dead.wait(Rejected)).status == 503
            leg = plane.dial(target(), OFFER, events)
            await events.wait(Answered)
            leg.hang_up()
            await events.wait(Released)
        await near.close()
        await far.close()

    uvloop.run(run())


async def test_cancel(near: SipEndpoint, far: SipEndpoint, phone: Phone) -> None:
    phone.act = lambda leg: leg.ring()
    plane = plane_to(near, Trunk(name="t", address=f"127.0.0.1:{port_of(far)}"))
    events = Events()
    leg = plane.dial(target(), OFFER, events)
    await events.wait(Ringing)
    leg.hang_up(reason="no longer wanted")
    assert (await events.wait(Rejected)).status == 487
    assert (await phone.events.wait(Rejected)).local is False


async def test_an_incoming_leg_is_refused_by_hang_up(
    near: SipEndpoint, far: SipEndpoint, phone: Phone
) -> None:
    phone.act = lambda leg: leg.hang_up()
    plane = plane_to(near)
    events = Events()
    plane.dial(target("", f"sip:x@127.0.0.1:{port_of(far)}"), OFFER, events)
    assert (await events.wait(Rejected)).status == 603


async def test_a_handler_that_raises_refuses_the_call(
    near: SipEndpoint, far: SipEndpoint, phone: Phone
) -> None:
    def fail(leg: InboundLeg) -> None:
        raise RuntimeError("a defect")

    phone.act = fail
    events = Events()
    plane_to(near).dial(target("", f"sip:x@127.0.0.1:{port_of(far)}"), OFFER, events)
    assert (await events.wait(Rejected)).status == 500


@pytest.mark.parametrize(
    ("uri", "status"),
    [
        ("sips:x@127.0.0.1", 503),
        ("sip:x@127.0.0.1;transport=ws", 416),
        ("tel:+1", 416),
        ("not a uri", 400),
        ("sip:x@[::1]:5", 503),
        ("sip:x@nowhere.invalid:5060", 503),
    ],
)
async def test_uris_that_cannot_be_called(near: SipEndpoint, uri: str, status: int) -> None:
    events = Events()
    plane_to(near, resolver=Resolver(BookOfNames())).dial(target("", uri), OFFER, events)
    assert events.seen == []
    rejected = await events.wait(Rejected)
    assert (rejected.status, rejected.local) == (status, True)


async def test_an_unknown_trunk(near: SipEndpoint) -> None:
    events = Events()
    leg = plane_to(near).dial(target("nope"), OFFER, events)
    assert leg.peer is None
    assert (await events.wait(Rejected)).reason == "No trunk named nope"
    leg.hang_up()
    await asyncio.sleep(0)
    assert len(events.seen) == 1


async def test_srv_and_the_next_address(near: SipEndpoint, far: SipEndpoint, phone: Phone) -> None:
    """The preferred target is down, the call goes to the next."""
    rows = [(20, 1, "b.example", port_of(far)), (10, 1, "a.example", unused_port())]
    names = BookOfNames(
        {"a.example": ["127.0.0.1"], "b.example": ["127.0.0.1"]},
        {"_sip._udp.carrier.example": rows},
    )
    phone.act = answer
    resolver = Resolver(names, spoken=["udp"])
    plane = plane_to(near, Trunk(name="t", address="carrier.example"), resolver=resolver)
    for told in ([TargetFailed], []):
        events = Events()
        leg = plane.dial(target(), OFFER, events)
        await events.wait(Answered)
        leg.hang_up()
        await events.wait(Released)
        assert [type(event) for event in events.seen] == [*told, Ringing, Answered, Released]
    assert names.asked[:2] == ["NAPTR carrier.example", "_sip._udp.carrier.example"]
    assert len(names.asked) == 4, "what is known is not asked for again"
    assert plane.is_trunk("127.0.0.1")
    assert plane.trunk_of("127.0.0.1") == "t"
    assert plane.trunk_of("127.0.0.2") is None


def guarded(name: str, user: str, *networks: str, address: str = "192.0.2.1") -> Trunk:
    return Trunk(
        name=name,
        address=address,
        inbound_username=user,
        inbound_password=SecretStr(f"of {user}") if user else SecretStr(""),
        inbound_addresses=list(networks),
        inbound_algorithms=["MD5"],
    )


async def test_whose_calls_come_from_where_and_what_they_must_show(near: SipEndpoint) -> None:
    plane = plane_to(
        near,
        guarded("a", "ann", "198.51.100.0/29", "2001:db8::/64"),
        guarded("b", "bob", "198.51.100.4/30"),
        guarded("c", "", address="192.0.2.9"),
    )
    assert plane.trunk_of("198.51.100.1") == plane.trunk_of("2001:db8::7") == "a"
    assert plane.trunk_of("198.51.100.5") == "a"
    assert plane.trunk_of("198.51.100.5", "bob") == "b"
    assert plane.trunk_of("198.51.100.1", "bob") == "a", "b's calls do not come from there"
    assert [plane.is_trunk(host) for host in ("198.51.100.8", "2001:db9::7", "fe80::1%lo")] == [
        False,
        False,
        False,
    ]
    assert near.accounts_of("198.51.100.1") == Accounts({"ann": "of ann"}, ("MD5",))
    both = Accounts({"ann": "of ann", "bob": "of bob"}, ("MD5",))
    assert near.accounts_of("198.51.100.5") == both
    assert near.accounts_of("192.0.2.9") is None
    assert near.credentials_of("198.51.100.1") is None, "a digest goes to the trunk's own address"


async def test_hanging_up_while_a_name_is_looked_up(near: SipEndpoint) -> None:
    looked_up = asyncio.Event()
    names = BookOfNames({"carrier.example": ["127.0.0.1"]})

    async def slowly() -> None:
        looked_up.set()
        await asyncio.sleep(0.05)

    names.before = slowly
    plane = plane_to(
        near, Trunk(name="t", address="carrier.example:5060"), resolver=Resolver(names)
    )
    events = Events()
    leg: OutboundLeg = plane.dial(target(), OFFER, events)
    await looked_up.wait()
    leg.hang_up()
    assert (await events.wait(Rejected)).status == 487
    await asyncio.sleep(0.1)
    assert len(events.seen) == 1
    assert near.agent.counters().calls == 0


async def test_trunk_states(near: SipEndpoint, far: SipEndpoint) -> None:
    plane = plane_to(
        near,
        Trunk(name="up", address=f"127.0.0.1:{port_of(far)}"),
        Trunk(name="down", address=f"127.0.0.1:{unused_port()}"),
    )
    assert [state.status for state in plane.trunk_states()] == ["unknown", "unknown"]
    up, down = await plane.ping("up"), await plane.ping("down")
    assert (up.status, up.last_code, up.last_reason) == ("up", 200, "OK")
    assert up.rtt_ms is not None
    assert up.checked_at is not None
    assert up.target == f"udp:127.0.0.1:{port_of(far)}"
    assert down.status == "down"
    assert (plane.is_last_choice("up"), plane.is_last_choice("down")) == (False, True)
    assert "nobody listens" in down.detail
    assert plane.trunk_states() == [up, down]
    with pytest.raises(KeyError):
        await plane.ping("nope")


async def test_watching_pings_again_and_again(near: SipEndpoint, far: SipEndpoint) -> None:
    address = f"127.0.0.1:{port_of(far)}"
    plane = plane_to(near, Trunk(name="t", address=address, options_interval_s=0.02))
    plane.watch()
    await until(lambda: plane.trunk_states()[0].checked_at is not None)
    first = plane.trunk_states()[0].checked_at
    await until(lambda: plane.trunk_states()[0].checked_at != first)
    plane.close()


async def test_strangers_are_not_served(near: SipEndpoint, far: SipEndpoint, phone: Phone) -> None:
    far.accept_source = None
    far.agent.refuses_strangers = True
    events = Events()
    plane_to(near).dial(target("", f"sip:x@127.0.0.1:{port_of(far)}"), OFFER, events)
    assert (await events.wait(Rejected)).status == 403
    assert phone.legs == []


async def test_everything_is_gone_after_64_t1(
    near: SipEndpoint, far: SipEndpoint, phone: Phone
) -> None:
    phone.act = answer
    plane = plane_to(near, Trunk(name="t", address=f"127.0.0.1:{port_of(far)}"))
    for _ in range(20):
        events = Events()
        leg = plane.dial(target(), OFFER, events)
        await events.wait(Answered)
        leg.hang_up()
        await events.wait(Released)
    await until(lambda: not near.agent.counters().timers + far.agent.counters().timers)
    for endpoint in (near, far):
        assert set(vars_of(endpoint.agent.counters())) == {0}
        assert endpoint._legs == {}


def vars_of(counters: Any) -> list[int]:
    return [getattr(counters, name) for name in counters.__slots__]


async def test_rubbish_does_no_harm(far: SipEndpoint) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for data in (
            b"",
            b"\r\n\r\n",
            b"\x00",
            b"INVITE",
            b"x" * 60_000,
            b"SIP/2.0 200 OK\r\n\r\n",
        ):
            sock.sendto(data, ("127.0.0.1", port_of(far)))
    await until(lambda: far.agent.tally().malformed >= 3)
    assert set(vars_of(far.agent.counters())) == {0}


async def test_messages_split_and_joined_on_tcp(far: SipEndpoint) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(far, "tcp"))
    one = (
        "OPTIONS sip:x@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK{}\r\n"
        "From: <sip:a@x>;tag=a\r\nTo: <sip:b@x>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n"
        "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
    both = (one.format(1) + "\r\n\r\n" + one.format(2)).encode()
    writer.write(both[:100])
    await writer.drain()
    await asyncio.sleep(0.01)
    writer.write(both[100:])
    answers = b""
    async with asyncio.timeout(5):
        while answers.count(b"SIP/2.0 200 OK") < 2:
            answers += await reader.read(4096)
    writer.write(b"rubbish\r\n\r\n")
    async with asyncio.timeout(5):
        while await reader.read(4096):
            pass
    writer.close()


async def test_peers_that_fill_every_place_do_not_keep_us_from_calling() -> None:
    got: asyncio.Queue[bytes] = asyncio.Queue()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.put_nowait(await reader.read(100))
        writer.close()

    trunk = await asyncio.start_server(take, "127.0.0.1", 0)
    sentry = Sentry(
        Bans(0, 60.0), SystemClock(), lambda: 0.0, lambda host: True, lambda host: False
    )
    pool = TcpPool(
        lambda data, hop: None,
        lambda host, port: None,
        lambda host: True,
        sentry,
        max_connections=1,
    )
    await pool.bind("127.0.0.1", 0, "")
    try:
        _, first = await asyncio.open_connection(*pool.address)
        reader, second = await asyncio.open_connection(*pool.address)
        async with asyncio.timeout(5):
            assert await reader.read() == b"", "there is no place for a second"
            host, port = trunk.sockets[0].getsockname()
            pool.send(b"INVITE", Hop("tcp", host, port, pool.local))
            assert await got.get() == b"INVITE"
        first.close()
        second.close()
    finally:
        pool.close()
        trunk.close()


async def test_who_sends_no_whole_message_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "_SWEEP_S", 0.02)
    sentry = Sentry(
        Bans(0, 60.0), SystemClock(), lambda: 0.0, lambda host: True, lambda host: False
    )
    pool = TcpPool(
        lambda data, hop: None,
        lambda host, port: None,
        lambda host: False,
        sentry,
        idle_s=1.0,
    )
    await pool.bind("127.0.0.1", 0, "")
    ends: dict[str, bool] = {}

    async def send(name: str, data: bytes) -> None:
        """One of the bytes, or all, again and again until the connection is closed."""
        reader, writer = await asyncio.open_connection(*pool.address)
        closed = asyncio.ensure_future(reader.read())
        for number in range(150):
            writer.write(data if name == "pings" else data[number : number + 1])
            await asyncio.wait([closed], timeout=0.02)
            if closed.done() or "trickles" in ends:
                break
        ends[name] = closed.done()
        closed.cancel()
        writer.close()

    try:
        async with asyncio.timeout(20):
            await asyncio.gather(
                send("pings", b"\r\n\r\n"),
                send("trickles", b"OPTIONS sip:1@127.0.0.1 SIP/2.0\r\nSubject: " + b"x" * 150),
            )
    finally:
        pool.close()
    assert ends == {"pings": False, "trickles": True}


def test_an_address_that_the_socket_has_no_way_to_is_a_failure_told_later() -> None:
    """uvloop raises for such addresses where asyncio's own loop calls `error_received`."""

    async def send() -> None:
        failed: list[tuple[str, int]] = []
        udp = await UdpListener.bind(
            "127.0.0.1", 0, "", lambda data, hop: None, lambda *address: failed.append(address)
        )
        udp.send(b"x", Hop("udp", "2001:db8::1", 5060, udp.local))
        assert failed == []
        await asyncio.sleep(0)
        assert failed == [("2001:db8::1", 5060)]
        udp.close()

    uvloop.run(send())


@pytest.mark.parametrize(
    "listen", ["udp:127.0.0.1", "sctp:127.0.0.1:5060", "udp:127.0.0.1:x", "udp:127.0.0.1:99999"]
)
def test_bad_listeners(listen: str) -> None:
    with pytest.raises(ConfigError, match=r"sip\.listen"):
        parse_listener(listen)


async def test_a_port_in_use(far: SipEndpoint) -> None:
    for transport in ("udp", "tcp"):
        with pytest.raises(ConfigError, match="choose a free port"):
            await SipEndpoint.start(
                Sip(listen=[f"{transport}:127.0.0.1:{port_of(far, transport)}"])
            )


async def test_an_address_of_another_machine() -> None:
    for transport in ("udp", "tcp"):
        with pytest.raises(ConfigError, match="name an address of this machine"):
            await SipEndpoint.start(Sip(listen=[f"{transport}:203.0.113.9:0"]))


def test_the_shown_address() -> None:
    assert shown_address("", "127.0.0.1", 5060) == "127.0.0.1:5060"
    assert shown_address("203.0.113.1", "10.0.0.1", 5060) == "203.0.113.1:5060"
    assert shown_address("sip.example:5070", "10.0.0.1", 5060) == "sip.example:5070"
    assert shown_address("[2001:db8::5]:5070", "::1", 5060) == "[2001:db8::5]:5070"
    assert shown_address("2001:db8::5", "::1", 5060) == "[2001:db8::5]:5060"
    assert shown_address("", "0.0.0.0", 5060).endswith(":5060")
    assert not shown_address("", "0.0.0.0", 5060).startswith("0.0.0.0")


async def test_a_trunk_is_shown_callers_as_its_settings_say(
    near: SipEndpoint, far: SipEndpoint, phone: Phone
) -> None:
    plane = plane_to(
        near,
        Trunk(
            name="t",
            address=f"127.0.0.1:{port_of(far)}",
            from_user="acct1",
            from_domain="carrier.test",
            identity_headers=["P-Asserted-Identity"],
            headers={"X-Account": "42"},
        ),
    )
    phone.act = lambda leg: leg.reject(486)
    events = Events()
    wished = (("x-account", "43"), ("X-Team", "a"))
    plane.dial(replace(target(), headers=wished), OFFER, events)
    await events.wait(Rejected)
    invite = phone.legs[0].request
    assert (invite.headers.get("From") or "").startswith('"Bob" <sip:acct1@carrier.test>;tag=')
    assert invite.headers.get("P-Asserted-Identity") == '"Bob" <sip:1222@carrier.test>'
    # what the owner says of an account is not for who places a call to change
    assert invite.headers.get_all("X-Account") == ["42"]
    assert invite.headers.get_all("X-Team") == ["a"]


async def test_a_trunk_without_such_settings_is_shown_the_number_at_our_address(
    near: SipEndpoint, far: SipEndpoint, phone: Phone
) -> None:
    plane = plane_to(near, Trunk(name="t", address=f"127.0.0.1:{port_of(far)}"))
    phone.act = lambda leg: leg.reject(486)
    events = Events()
    plane.dial(target(), OFFER, events)
    await events.wait(Rejected)
    headers = phone.legs[0].request.headers
    assert (headers.get("From") or "").startswith('"Bob" <sip:1222@127.0.0.1>;tag=')
    assert set(headers.names()) == {
        "Via", "Max-Forwards", "From", "To", "Call-ID", "CSeq", "Contact", "Allow", "Supported",
        "User-Agent", "Session-Expires", "Min-SE", "Content-Type", "Content-Length",
    }  # fmt: skip


async def test_a_trunk_is_shown_an_address_of_its_own(
    near: SipEndpoint, far: SipEndpoint, phone: Phone
) -> None:
    host, port = "127.0.0.1", port_of(far)
    pbx = Trunk(name="pbx", address=f"{host}:{port}", public_address="192.168.1.5")
    plane = plane_to(near, pbx, Trunk(name="t", address=f"127.0.0.2:{port}"))
    phone.act = lambda leg: leg.reject(486)
    events = Events()
    plane.dial(target("pbx"), OFFER, events)
    await events.wait(Rejected)
    request = phone.legs[0].request
    shown = f"192.168.1.5:{port_of(near)}"
    assert str(request.contacts[0].uri) == f"sip:{shown}"
    assert request.top_via.sent_by == shown
    assert request.from_.uri.host == "192.168.1.5"
    # a Sip of a document at the same host is a call to the same trunk
    plane.dial(target("", f"sip:desk@{host}:{port}"), OFFER, Events())
    await until(lambda: len(phone.legs) == 2)
    assert phone.legs[1].request.top_via.sent_by == shown


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_trunk_is_kept_from_forgetting_us(near: SipEndpoint, transport: str) -> None:
    loop = asyncio.get_running_loop()
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    class Datagrams(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            heard.put_nowait(data)

    class Bytes(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            heard.put_nowait(data)
            self.transport.write(b"\r\n")  # type: ignore[attr-defined]

    if transport == "udp":
        peer, _ = await loop.create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", 0))
        port = peer.get_extra_info("sockname")[1]
    else:
        server = await loop.create_server(Bytes, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
    trunk = Trunk(
        name="t",
        address=f"127.0.0.1:{port}",
        transport=transport,
        keepalive_s=0.05,
        options_interval_s=0,
    )
    plane = plane_to(near, trunk)
    plane.watch()
    async with asyncio.timeout(5):
        assert [await heard.get() for _ in range(3)] == [b"\r\n\r\n"] * 3
    plane.close()
    assert near.connections == (transport == "tcp")
    if transport == "udp":
        peer.close()
    else:
        server.close()


async def connected(near: SipEndpoint, far: SipEndpoint, phone: Phone) -> tuple[Any, Any, Events]:
    """A call that is up, on a trunk that may transfer: our leg, the phone's, and our events."""
    address = f"127.0.0.1:{port_of(far)}"
    plane = plane_to(near, Trunk(name="t", address=address, refer="allow", replaces="allow"))
    phone.act = answer
    events = Events()
    leg = plane.dial(target(), OFFER, events)
    await events.wait(Answered)
    leg.acknowledge()
    await phone.events.wait(Answered)
    return leg, phone.legs[0], events


async def test_a_transfer_that_the_far_end_asks_for(
    near: SipEndpoint, far: SipEndpoint, phone: Phone
) -> None:
    leg, theirs, events = await connected(near, far, phone)
    told: list[bytes] = []
    theirs.trace(lambda message: told.append(message.raw))
    agent, dialog = far.agent, theirs._call.session.dialog

    def ask() -> None:
        outline = dialog.outline(agent.branch())
        data = outline.encode("REFER", "Refer-To: <sip:12025550123@127.0.0.1>\r\n")
        agent.send(data, outline.hop, None)
        far.flush()

    leg.accept_transfer()  # of nothing: without effect
    ask()
    assert await events.wait(Referred) == Referred("sip:12025550123@127.0.0.1")
    leg.accept_transfer()
    leg.tell_transfer(180)
    leg.tell_transfer(200)
    leg.tell_transfer(200)
    await until(lambda: sum(raw.startswith(b"NOTIFY") for raw in told) == 3)
    events.seen.clear()
    ask()
    await events.wait(Referred)
    leg.refuse_transfer()
    leg.refuse_transfer()
    leg.hang_up()
    await events.wait(Released)
    leg.tell_transfer(200)  # there is nobody any more
    assert sum(raw.startswith(b"NOTIFY") for raw in told) == 3


class Taking(Events):
    """A listener that lets others take the place of its leg, or not."""

    def __init__(self, takes: bool) -> None:
        super().__init__()
        self.takes = takes
        self.taken: list[Any] = []

    def __call__(self, event: SignallingEvent) -> None:
        super().__call__(event)
        if isinstance(event, Replacing) and self.takes:
            self.taken.append(event.leg)
            event.leg.accept(ANSWER)


@pytest.mark.parametrize("takes", [True, False])
async def test_a_call_that_takes_the_place_of_another(
    far: SipEndpoint, phone: Phone, takes: bool
) -> None:
    came: list[InboundLeg] = []
    near = await SipEndpoint.start(Sip(listen=[UDP, TCP], t1_ms=20), on_invite=came.append)
    try:
        leg, theirs, _ = await connected(near, far, phone)
        ours = Taking(takes)
        leg._listener = ours
        dialog = theirs._call.session.dialog
        value = f"{dialog.call_id};to-tag={dialog.remote_tag};from-tag={dialog.local_tag}"
        other = Events()
        calling = plane_to(far, Trunk(name="us", address=f"127.0.0.1:{port_of(near)}"))
        wanted = replace(target("us"), headers=(("Replaces", value), ("Require", "replaces")))
        again = calling.dial(wanted, OFFER, other)
        if takes:
            await other.wait(Answered)
            again.acknowledge()
            leg.dismiss()
            await phone.events.wait(Released)
            again.hang_up()
            await other.wait(Released)
        else:
            assert (await other.wait(Rejected)).status == 481
            leg.hang_up()
        assert [type(event) for event in ours.seen][:1] == [Replacing]
        assert Released not in {type(event) for event in ours.seen} or not takes
        assert came == [], "it is no new call"
    finally:
        await near.close()
