"""Connections are shared, bounded, kept no longer than they may be, and never lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from outdial.errors import FetchError
from outdial.net import pool as module
from outdial.net.addresses import AddressPolicy, Origin, parse_target
from outdial.net.connection import Connection
from outdial.net.pool import Pool
from outdial.net.resolver import CheckedResolver

POLICY = AddressPolicy(["127.0.0.0/8"])
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Names:
    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.asked = 0
        self.wait: asyncio.Event | None = None

    async def resolve(self, host: str) -> Sequence[str]:
        self.asked += 1
        if self.wait is not None:
            await self.wait.wait()
        return self.addresses

    async def close(self) -> None:
        pass


class Server:
    """Counts its connections, and answers whatever it is sent."""

    def __init__(self) -> None:
        self.opened = 0
        self.open = 0
        self.port = 0
        self._changed = asyncio.Event()

    def origin(self, host: str = "127.0.0.1") -> Origin:
        return parse_target(f"http://{host}:{self.port}/", POLICY).origin

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        self.open += 1
        self._changed.set()
        try:
            while await reader.read(1000):
                writer.write(OK)
        except ConnectionError:
            pass
        finally:
            self.open -= 1
            self._changed.set()
            writer.close()

    async def until(self, condition: Callable[[Server], bool]) -> None:
        async with asyncio.timeout(3):
            while not condition(self):
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    listener = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = listener.sockets[0].getsockname()[1]
    yield made
    listener.close()
    await made.until(lambda server: server.open == 0)


@asynccontextmanager
async def pooled(names: Names | None = None) -> AsyncIterator[Pool]:
    pool = Pool(CheckedResolver(POLICY, names or Names("127.0.0.1")))
    yield pool
    await pool.close()


async def ask(pool: Pool, origin: Origin) -> Connection:
    connection = pool.take(origin) or await pool.connect(origin)
    await connection.ask(b"GET / HTTP/1.1\r\n\r\n", 100, asyncio.get_running_loop().time() + 3)
    return connection


async def test_the_connection_used_last_is_used_again(server: Server) -> None:
    async with pooled() as pool:
        origin = server.origin()
        one, two = await ask(pool, origin), await ask(pool, origin)
        pool.give(origin, two)
        pool.give(origin, one)
        assert await ask(pool, origin) is one
        assert server.opened == 2
        pool.give(origin, one)


async def test_what_is_not_reusable_is_closed(server: Server) -> None:
    async with pooled() as pool:
        connection = await ask(pool, server.origin())
        connection.reusable = False
        pool.give(server.origin(), connection)
        await server.until(lambda server: server.open == 0)
        assert pool.take(server.origin()) is None
        assert not pool._servers and not pool._open


async def test_who_comes_late_waits_for_its_turn(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_IN_USE_PER_SERVER", 2)
    async with pooled() as pool:
        origin = server.origin()
        first, second = await ask(pool, origin), await ask(pool, origin)
        waiting = [asyncio.create_task(ask(pool, origin)) for _ in range(3)]
        await asyncio.sleep(0.01)
        assert not any(task.done() for task in waiting)
        waiting[0].cancel()  # it gives up its place in the line
        pool.give(origin, first)
        assert await waiting[1] is first
        second.reusable = False
        pool.give(origin, second)
        third = await waiting[2]
        assert third not in (first, second)
        pool.give(origin, first)
        pool.give(origin, third)
        assert pool._servers[origin.text].slots.free == 2


async def test_a_place_that_comes_with_a_cancellation_is_passed_on(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_IN_USE_PER_SERVER", 1)
    async with pooled() as pool:
        origin = server.origin()
        only = await ask(pool, origin)
        waiting = [asyncio.create_task(ask(pool, origin)) for _ in range(2)]
        await asyncio.sleep(0.01)
        pool.give(origin, only)
        waiting[0].cancel()
        assert await waiting[1] is only
        pool.give(origin, only)
        assert waiting[0].cancelled()


async def test_all_servers_share_a_bound(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_IN_USE", 1)
    async with pooled() as pool:
        one = await ask(pool, server.origin())
        other = asyncio.create_task(ask(pool, server.origin()))
        elsewhere = asyncio.create_task(ask(pool, server.origin("localhost")))
        await asyncio.sleep(0.01)
        assert not other.done() and not elsewhere.done()
        pool.give(server.origin(), one)
        pool.give(server.origin(), await other)
        pool.give(server.origin("localhost"), await elsewhere)
        assert pool._slots.free == 1


async def test_idle_connections_are_closed_in_time(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_KEEP_ALIVE_S", 0.05)
    async with pooled() as pool:
        origin = server.origin()
        pool.give(origin, await ask(pool, origin))
        await server.until(lambda server: server.open == 0)
        assert not pool._servers and not pool._open
        assert pool._sweeper is None


async def test_a_connection_that_was_idle_too_long_is_not_used(server: Server) -> None:
    async with pooled() as pool:
        origin = server.origin()
        old = await ask(pool, origin)
        pool.give(origin, old)
        old.idle_since -= 60
        new = await ask(pool, origin)
        assert new is not old
        pool.give(origin, new)


async def test_no_more_than_so_many_are_idle(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_IDLE", 2)
    async with pooled() as pool:
        origin = server.origin()
        used = [await ask(pool, origin) for _ in range(5)]
        for connection in used:
            pool.give(origin, connection)
        await server.until(lambda server: server.open == 2)


async def test_failed_connections_leave_nothing(server: Server) -> None:
    async with pooled() as pool:
        nobody = parse_target("http://127.0.0.1:1/", POLICY).origin
        for _ in range(3):
            with pytest.raises(FetchError, match=r"cannot connect to 127\.0\.0\.1:1"):
                await pool.connect(nobody)
        assert not pool._servers
        assert pool._slots.free == module._IN_USE


async def test_the_next_address_is_tried(server: Server) -> None:
    async with pooled(Names("127.0.0.2", "127.0.0.3", "127.0.0.1")) as pool:
        origin = server.origin("several.example")
        pool.give(origin, await ask(pool, origin))
    async with pooled(Names("127.0.0.2", "127.0.0.3")) as pool:
        with pytest.raises(FetchError) as caught:
            await ask(pool, origin)
        assert caught.value.kind == "connect"


async def test_an_address_that_does_not_answer_holds_nobody_up(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    dial = Pool._dial
    given_up = asyncio.Event()

    async def slow(self: Pool, origin: Origin, address: str) -> Connection:
        if address == "127.0.0.2":
            try:
                await asyncio.sleep(30)
            finally:
                given_up.set()
        return await dial(self, origin, address)

    monkeypatch.setattr(Pool, "_dial", slow)
    monkeypatch.setattr(module, "_NEXT_ADDRESS_S", 0.01)
    async with pooled(Names("127.0.0.2", "127.0.0.1")) as pool:
        origin = server.origin("several.example")
        async with asyncio.timeout(2):
            pool.give(origin, await ask(pool, origin))
            await given_up.wait()


async def test_of_several_connections_at_once_one_is_kept(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_NEXT_ADDRESS_S", 0.0)
    async with pooled(Names("127.0.0.1", "127.0.0.1", "127.0.0.1")) as pool:
        origin = server.origin("several.example")
        pool.give(origin, await ask(pool, origin))
        await server.until(lambda server: server.open == 1)
        assert len(pool._open) == 1


async def test_one_lookup_serves_all_who_wait_and_some_who_come(server: Server) -> None:
    names = Names("127.0.0.1")
    names.wait = asyncio.Event()
    async with pooled(names) as pool:
        origin = server.origin("app.example")
        waiting = [asyncio.create_task(ask(pool, origin)) for _ in range(4)]
        await asyncio.sleep(0.01)
        waiting.pop(0).cancel()  # the one that began it
        names.wait.set()
        connections = [await task for task in waiting]
        connections.append(await ask(pool, origin))
        assert names.asked == 1
        for connection in connections:
            pool.give(origin, connection)


async def test_closing_ends_everything(server: Server) -> None:
    names = Names("127.0.0.1")
    names.wait = asyncio.Event()
    pool = Pool(CheckedResolver(POLICY, names))
    origin = server.origin()
    pool.give(origin, await ask(pool, origin))
    connection = await pool.connect(origin)
    under_way = connection.ask(b"", 100, asyncio.get_running_loop().time() + 30)
    looking_up = asyncio.create_task(pool.connect(server.origin("app.example")))
    await asyncio.sleep(0.01)
    await pool.close()
    await server.until(lambda server: server.open == 0)
    with pytest.raises(FetchError):
        await under_way
    with pytest.raises(FetchError):
        await looking_up
    pool.give(origin, connection)
    with pytest.raises(FetchError, match="closed"):
        await pool.connect(origin)
