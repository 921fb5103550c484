"""Connections that we make: how many at once, how much waits for them, and what is said then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from outdial.clock import SystemClock
from outdial.config import Sip
from outdial.legs import DialTarget, Rejected, SignallingEvent
from outdial.sip.core import unsent
from outdial.sip.core.bans import Bans
from outdial.sip.core.hop import Hop
from outdial.sip.endpoint import SipEndpoint
from outdial.sip.plane import SipPlane
from outdial.sip.sentry import Sentry
from outdial.sip.tcp import TcpPool

Failure = tuple[str, int, str]
MOST = unsent.MOST_ENDS


class Pool(TcpPool):
    """One whose connections come up when the test says so, and never by themselves."""

    def __init__(self, failed: list[Failure], **more: Any) -> None:
        sentry = Sentry(
            Bans(0, 60.0), SystemClock(), lambda: 0.0, lambda host: True, lambda host: False
        )

        def told(host: str, port: int, why: str = "", security: object = None) -> None:
            failed.append((host, port, why))

        super().__init__(lambda data, hop: None, told, lambda host: True, sentry, **more)
        self.opening: dict[Any, asyncio.Future[None]] = {}
        self.live = False

    async def _open(self, far: Any) -> None:
        if self.live:
            await super()._open(far)
            return
        self.opening[far] = asyncio.get_running_loop().create_future()
        await self.opening[far]


@pytest.fixture
async def failed() -> list[Failure]:
    return []


@pytest.fixture
async def pool(failed: list[Failure]) -> AsyncIterator[Pool]:
    made = Pool(failed)
    await made.bind("127.0.0.1", 0, "")
    yield made
    made.close()


async def ended(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def hop(pool: TcpPool, number: int, port: int = 5060) -> Hop:
    return Hop("tcp", f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", port, pool.local)


async def test_ten_thousand_far_ends_hold_what_the_first_ones_may(
    pool: Pool, failed: list[Failure]
) -> None:
    """Nobody takes the connection: beyond the bound each is told at once, and nothing is kept."""
    for number in range(10_000):
        pool.send(b"INVITE" * 100, hop(pool, number))
        if number % 500 == 0:
            await settle()
    await settle()
    assert len(pool._unsent) == len(pool._dialling) == len(pool.opening) == MOST
    assert len(failed) == 10_000 - MOST
    assert failed[0] == (
        "10.0.0.128", 5060, f"no connection to 10.0.0.128:5060: {MOST} other connections are"
        " being made",
    )  # fmt: skip
    assert not pool._refused
    for waiting in pool.opening.values():
        waiting.set_exception(ConnectionRefusedError(111, "refused"))
    await settle()
    assert (len(pool._unsent), pool._unsent.size_bytes, len(pool._dialling)) == (0, 0, 0)


async def test_too_much_for_one_far_end_fails_once_and_is_not_sent_later(
    pool: Pool, failed: list[Failure]
) -> None:
    """What was told to have failed must not leave when the connection comes up after all."""
    far = hop(pool, 1)
    for _ in range(30):
        pool.send(bytes(100_000), far)
    assert pool._unsent.size_bytes == 0
    await settle()
    assert [why for _, _, why in failed] == [
        "no connection to 10.0.0.1:5060: too much waits for connections that are being made"
    ]
    pool.send(b"INVITE", far)
    assert pool._unsent.size_bytes == 6, "the connection is still being made, for what comes now"


async def test_a_burst_of_calls_is_not_hurt(failed: list[Failure]) -> None:
    """500 INVITEs before the connection stands, and 500 more in the turn in which it does."""
    got = bytearray()
    whole, over = asyncio.Event(), asyncio.Event()
    size = 1200 * 1000

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            got.extend(data)
            if len(got) >= size:
                whole.set()
        await ended(writer)
        over.set()

    trunk = await asyncio.start_server(take, "127.0.0.1", 0)
    pool = Pool(failed)
    pool.live = True
    await pool.bind("127.0.0.1", 0, "")
    host, port = trunk.sockets[0].getsockname()
    try:
        far = Hop("tcp", host, port, pool.local)
        ready = pool.ready

        def ready_and_more(connection: Any) -> None:
            ready(connection)
            for number in range(500, 1000):
                pool.send(b"%-1200d" % number, far)

        pool.ready = ready_and_more  # type: ignore[method-assign]
        for number in range(500):
            pool.send(b"%-1200d" % number, far)
        async with asyncio.timeout(10):
            await whole.wait()
        sent = [int(got[at : at + 1200]) for at in range(0, size, 1200)]
        assert sent == list(range(1000))
        assert failed == []
        assert pool.connections == 1
    finally:
        pool.close()
        trunk.close()
        await over.wait()


async def test_connections_of_ours_are_bounded(failed: list[Failure]) -> None:
    closed: list[None] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        await ended(writer)
        closed.append(None)

    trunks = [await asyncio.start_server(take, "127.0.0.1", 0) for _ in range(4)]
    pool = Pool(failed, max_connections=2)
    pool.live = True
    await pool.bind("127.0.0.1", 0, "")
    try:
        for number, trunk in enumerate(trunks, 1):
            port = trunk.sockets[0].getsockname()[1]
            pool.send(b"INVITE", Hop("tcp", "127.0.0.1", port, pool.local))
            await until(lambda n=number: pool.connections == min(n, 2))  # type: ignore[misc]
        await settle()
        assert pool.connections == 2
        assert [why.partition(": ")[2] for _, _, why in failed] == [
            "2 connections of ours are open"
        ] * 2
    finally:
        pool.close()
        for trunk in trunks:
            trunk.close()
    await until(lambda: pool.connections == 0 and len(closed) == 2)
    assert pool._ours == 0


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - sockets of this process
            await asyncio.sleep(0.002)


async def test_a_call_is_told_so_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the whole of the user agent: it fails at once, with the reason, and leaves nothing."""
    endpoint = await SipEndpoint.start(Sip(listen=["tcp:127.0.0.1:0"], t1_ms=20))
    plane = SipPlane(Sip(), [], endpoint, SystemClock())
    (pool,) = endpoint._tcp.values()
    for number in range(MOST):
        assert pool._unsent.begin(("10.0.0.1", number, None)) == ""  # type: ignore[arg-type]
    events: list[SignallingEvent] = []
    target = DialTarget("CA1", "", "", "1222", uri="sip:x@127.0.0.1:9;transport=tcp")
    plane.dial(target, b"v=0\r\n", events.append)
    try:
        await until(lambda: bool(events))
        (event,) = events
        assert isinstance(event, Rejected) and event.local
        assert event.status == 503
        assert event.reason == (
            f"no connection to 127.0.0.1:9: {MOST} other connections are being made"
        )
        assert endpoint.agent.counters().calls == 0
    finally:
        plane.close()
        await endpoint.close()
