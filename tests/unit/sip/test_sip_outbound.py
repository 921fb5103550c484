"""Several servers of one trunk, over loopback: who is called, in which order, and how often.

The silent ones are real sockets that nobody reads, the dead ones ports that nobody has.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from doubles.names import BookOfNames, SrvRow
from outdial.clock import SystemClock
from outdial.config import Sip, Trunk
from outdial.legs import (
    Answered,
    DialTarget,
    Rejected,
    Ringing,
    SignallingEvent,
    TargetFailed,
    TracedMessage,
)
from outdial.sip.core.outages import MAX_PAUSE_S
from outdial.sip.endpoint import SipEndpoint
from outdial.sip.leg import InboundLeg
from outdial.sip.plane import SipPlane
from outdial.sip.resolver import Resolver
from outdial.trunk_state import Failure

OFFER, ANSWER = b"v=0\r\ns=offer\r\n", b"v=0\r\ns=answer\r\n"
QUICK = {"t1_ms": 20}
TIMEOUT_S = 0.5


class Server:
    """One of the trunk's."""

    def __init__(self) -> None:
        self.legs: list[InboundLeg] = []
        self.refuses: tuple[int, tuple[tuple[str, str], ...]] | None = None
        self.rings_first = False
        self.endpoint: SipEndpoint

    async def start(self) -> None:
        self.endpoint = await SipEndpoint.start(
            Sip(listen=["udp:127.0.0.1:0"], **QUICK),
            on_invite=self.take,
            accept_source=lambda host: True,
        )

    @property
    def port(self) -> int:
        return self.endpoint.address[1]

    def take(self, leg: InboundLeg) -> None:
        self.legs.append(leg)
        leg.listen(lambda event: None)
        if self.rings_first:
            leg.ring(180)
        if self.refuses is None:
            leg.accept(ANSWER)
        else:
            status, headers = self.refuses
            leg.reject(status, "", headers)


@pytest.fixture
async def servers() -> AsyncIterator[list[Server]]:
    three = [Server() for _ in range(3)]
    for server in three:
        await server.start()
    yield three
    for server in three:
        await server.endpoint.close()


@pytest.fixture
async def near() -> AsyncIterator[SipEndpoint]:
    endpoint = await SipEndpoint.start(Sip(listen=["udp:127.0.0.1:0", "tcp:127.0.0.1:0"], **QUICK))
    yield endpoint
    await endpoint.close()


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        yield sock


def dead_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def plane_to(near: SipEndpoint, *ports: int, **settings: Any) -> SipPlane:
    """One trunk, whose servers are tried in the order of the ports."""
    rows: list[SrvRow] = [(place, 1, "s.example", port) for place, port in enumerate(ports)]
    names = BookOfNames({"s.example": ["127.0.0.1"]}, {"_sip._udp.carrier.example": rows})
    trunk = Trunk.model_validate(
        {
            "name": "t",
            "address": "carrier.example",
            "transport": "udp",
            "target_timeout_s": TIMEOUT_S,
            **settings,
        }
    )
    return SipPlane(Sip(), [trunk], near, SystemClock(), Resolver(names))


async def place(plane: SipPlane, *, more_routes: bool = False) -> list[SignallingEvent]:
    """The events of a call until it is answered or over; one that is answered is hung up."""
    events: list[SignallingEvent] = []
    over = asyncio.Event()
    ending = (Answered, Rejected)

    def hear(event: SignallingEvent) -> None:
        events.append(event)
        if isinstance(event, ending):
            over.set()

    target = DialTarget("CA1", "t", "15005550001", "1222", more_routes=more_routes)
    leg = plane.dial(target, OFFER, hear)
    async with asyncio.timeout(10):
        await over.wait()
    leg.hang_up()
    return events[: 1 + next(n for n, event in enumerate(events) if isinstance(event, ending))]


def standing(plane: SipPlane) -> tuple[int, int, int]:
    """How many servers of the trunk are usable, avoided and paused."""
    (servers,) = plane.trunk_servers()
    return servers.usable, servers.avoided, servers.paused


def failures(plane: SipPlane) -> dict[Failure, int]:
    """Calls that a server did not take."""
    (servers,) = plane.trunk_servers()
    return {reason: count for reason, count in servers.failures.items() if count}


def kinds(events: list[SignallingEvent]) -> list[str]:
    return [type(event).__name__ for event in events]


async def test_a_dead_server_is_passed_over_and_remembered(
    near: SipEndpoint, servers: list[Server]
) -> None:
    dead = dead_port()
    plane = plane_to(near, dead, servers[0].port)
    first = await place(plane)
    assert kinds(first) == ["TargetFailed", "Answered"]
    failed = first[0]
    assert isinstance(failed, TargetFailed)
    assert (failed.target, failed.status, failed.local) == (f"udp:127.0.0.1:{dead}", 503, True)
    assert failed.next_target == f"udp:127.0.0.1:{servers[0].port}"
    assert kinds(await place(plane)) == ["Answered"], "the next call does not ask the dead one"
    (state,) = plane.trunk_states()
    assert state.avoided == (f"udp:127.0.0.1:{dead} cannot be reached: Peer Unreachable",)
    assert state.paused_until is None
    assert standing(plane) == (1, 1, 0)
    assert failures(plane) == {"unreachable": 1}


async def test_a_silent_server_is_given_up_after_the_time_that_is_set(
    near: SipEndpoint, servers: list[Server], silent: socket.socket
) -> None:
    plane = plane_to(near, silent.getsockname()[1], servers[0].port)
    begin = near.now
    events = await place(plane)
    assert kinds(events) == ["TargetFailed", "Answered"]
    assert near.now - begin >= TIMEOUT_S
    assert silent.recv(65536).startswith(b"INVITE ")
    assert kinds(await place(plane)) == ["Answered"]
    assert plane.trunk_states()[0].avoided[0].endswith(" says nothing")
    assert standing(plane) == (1, 1, 0)
    assert failures(plane) == {"silent": 1}


async def test_the_last_server_gets_all_the_time_there_is(
    near: SipEndpoint, silent: socket.socket
) -> None:
    events = await place(plane_to(near, silent.getsockname()[1]))
    assert events == [Rejected(408, "Request Timeout", local=True)]


async def test_the_last_server_does_not_when_another_trunk_waits(
    near: SipEndpoint, silent: socket.socket
) -> None:
    events = await place(plane_to(near, silent.getsockname()[1]), more_routes=True)
    assert events == [Rejected(408, f"No response within {TIMEOUT_S:g} s", local=True)]


async def test_an_invite_has_a_branch_for_each_server_and_one_call_id(
    near: SipEndpoint, servers: list[Server]
) -> None:
    servers[0].refuses = (503, ())
    plane = plane_to(near, dead_port(), servers[0].port, servers[1].port)
    traced: list[TracedMessage] = []
    answered = asyncio.Event()
    leg = plane.dial(
        DialTarget("CA1", "t", "1", "2"),
        OFFER,
        lambda event: answered.set() if isinstance(event, Answered) else None,
        traced.append,
    )
    async with asyncio.timeout(5):
        await answered.wait()
    data = leg.dialog_data
    assert data is not None
    assert data["peer"] == ["udp", "127.0.0.1", servers[1].port]
    leg.hang_up()
    invites = [one.raw.decode() for one in traced if one.raw.startswith(b"INVITE")]
    lines = [
        {name: value for name, _, value in (line.partition(": ") for line in one.split("\r\n"))}
        for one in invites
    ]
    assert len(invites) == 3
    assert len({one["Via"] for one in lines}) == 3
    assert len({one["Call-ID"] for one in lines}) == 1
    # whoever refused has ended it: what goes elsewhere then is a request of its own
    assert lines[0]["From"] == lines[1]["From"] != lines[2]["From"]


@pytest.mark.parametrize("status", [400, 404, 480, 486, 500, 502, 504, 600, 603])
async def test_other_answers_are_the_trunks_answer(
    near: SipEndpoint, servers: list[Server], status: int
) -> None:
    servers[0].refuses = (status, ())
    events = await place(plane_to(near, servers[0].port, servers[1].port))
    assert kinds(events) == ["Rejected"]
    assert servers[1].legs == []


async def test_nobody_else_is_called_once_it_may_have_rung(
    near: SipEndpoint, servers: list[Server]
) -> None:
    servers[0].refuses, servers[0].rings_first = (503, ()), True
    events = await place(plane_to(near, servers[0].port, servers[1].port))
    assert [type(event) for event in events] == [Ringing, Rejected]
    assert servers[1].legs == []


async def test_retry_after_is_kept_to(near: SipEndpoint, servers: list[Server]) -> None:
    servers[0].refuses = (503, (("Retry-After", "120 (in maintenance);duration=60"),))
    plane = plane_to(near, servers[0].port, servers[1].port)
    assert kinds(await place(plane)) == ["TargetFailed", "Answered"]
    assert kinds(await place(plane)) == ["Answered"]
    assert len(servers[0].legs) == 1
    assert len(servers[1].legs) == 2
    assert standing(plane) == (1, 0, 1)
    assert failures(plane) == {"paused": 1}


async def test_of_503_alone_nothing_is_kept(near: SipEndpoint, servers: list[Server]) -> None:
    servers[0].refuses = (503, ())
    plane = plane_to(near, servers[0].port, servers[1].port)
    assert standing(plane) == (0, 0, 0), "it was not looked for yet"
    for _ in range(2):
        assert kinds(await place(plane)) == ["TargetFailed", "Answered"]
    assert standing(plane) == (2, 0, 0)
    assert failures(plane) == {"unavailable": 2}


async def test_a_trunk_that_wants_no_calls_gets_none(
    near: SipEndpoint, servers: list[Server]
) -> None:
    servers[0].refuses = (503, (("Retry-After", "120"),))
    plane = plane_to(near, servers[0].port)
    (first,) = await place(plane)
    assert isinstance(first, Rejected)
    assert (first.status, first.retry_after_s, first.local) == (503, 120, False)
    (second,) = await place(plane)
    assert isinstance(second, Rejected)
    assert (second.status, second.local) == (503, True)
    assert second.retry_after_s is not None
    assert 110 <= second.retry_after_s <= 120
    assert "asked for no calls for 120 s" in second.reason
    assert len(servers[0].legs) == 1
    (state,) = plane.trunk_states()
    assert state.is_last_choice
    assert state.paused_until is not None
    await plane.ping("t")
    assert len(await place(plane)) == 1, "an answer to OPTIONS does not take the wish back"
    assert len(servers[0].legs) == 1


async def test_a_wish_for_a_year_is_cut_short(near: SipEndpoint, servers: list[Server]) -> None:
    servers[0].refuses = (503, (("Retry-After", "31536000"),))
    plane = plane_to(near, servers[0].port)
    await place(plane)
    (second,) = await place(plane)
    assert isinstance(second, Rejected)
    assert second.retry_after_s is not None
    assert second.retry_after_s <= MAX_PAUSE_S


async def test_an_answer_to_options_brings_a_server_back(
    near: SipEndpoint, servers: list[Server]
) -> None:
    port = dead_port()
    plane = plane_to(near, port, servers[1].port)
    await place(plane)
    assert plane.trunk_states()[0].avoided
    late = Server()
    late.endpoint = await SipEndpoint.start(
        Sip(listen=[f"udp:127.0.0.1:{port}"], **QUICK),
        on_invite=late.take,
        accept_source=lambda host: True,
    )
    state = await plane.ping("t")
    assert state.is_well
    assert plane.trunk_states()[0].avoided == ()
    assert kinds(await place(plane)) == ["Answered"]
    assert len(late.legs) == 1
    await late.endpoint.close()


async def test_a_server_that_answered_options_and_does_not_any_more_is_avoided(
    near: SipEndpoint, servers: list[Server]
) -> None:
    plane = plane_to(near, servers[0].port, servers[1].port)
    assert (await plane.ping("t")).is_well
    await servers[0].endpoint.close()
    state = await plane.ping("t", timeout_s=0.3)
    assert state.is_well, "the other one is there"
    assert kinds(await place(plane)) == ["Answered"]
    assert len(servers[1].legs) == 1


async def test_hanging_up_calls_nobody_else(
    near: SipEndpoint, servers: list[Server], silent: socket.socket
) -> None:
    plane = plane_to(near, silent.getsockname()[1], servers[0].port)
    events: list[SignallingEvent] = []
    leg = plane.dial(DialTarget("CA1", "t", "1", "2"), OFFER, events.append)
    await asyncio.sleep(0.05)
    leg.hang_up()
    await asyncio.sleep(2 * TIMEOUT_S)
    assert servers[0].legs == []
    assert [event for event in events if isinstance(event, TargetFailed)] == []


async def test_our_own_lack_of_room_is_nobodys_fault(
    near: SipEndpoint, servers: list[Server]
) -> None:
    near.agent.caps = type(near.agent.caps)(calls=0)
    plane = plane_to(near, servers[0].port, servers[1].port)
    assert await place(plane) == [Rejected(503, "Too Many Calls", local=True)]
    assert plane.trunk_states()[0].avoided == ()
    assert failures(plane) == {}


async def test_calls_towards_us_come_from_all_of_its_servers(near: SipEndpoint) -> None:
    rows: list[SrvRow] = [(place, 1, f"s{place}.example", 5060) for place in range(3)]
    hosts = {f"s{place}.example": [f"192.0.2.{place}", f"2001:db8::{place}"] for place in range(3)}
    names = BookOfNames(hosts, {"_sip._udp.carrier.example": rows})
    trunk = Trunk(name="t", address="carrier.example", options_interval_s=0)
    plane = SipPlane(Sip(), [trunk], near, SystemClock(), Resolver(names, ["udp"]))
    assert not plane.is_trunk("192.0.2.2")
    line = plane.line("t")
    assert line is not None
    await line.hops()
    for place in range(3):
        assert plane.is_trunk(f"192.0.2.{place}")
        assert plane.is_trunk(f"2001:db8::{place}"), "also where we have no listener for it"
    assert not plane.is_trunk("192.0.2.3")
    plane.close()
