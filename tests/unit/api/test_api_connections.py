"""Connections: silent and dripping clients are closed, floods of them refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from outdial.api.connections import MAX_OVERHEAD_BYTES, Connection
from outdial.api.server import HttpServer

POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def application(scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]}
    )
    await send({"type": "http.response.body", "body": b"fine"})


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    monkeypatch.setattr(Connection, "headers_s", 0.2)
    monkeypatch.setattr(Connection, "max_connections", 3)
    server = HttpServer("127.0.0.1", 0)
    await server.start(application)
    yield server.port
    await server.stop()


async def connect(port: int) -> Streams:
    return await asyncio.open_connection("127.0.0.1", port)


async def rest(streams: Streams) -> bytes:
    """All that comes until the server closes."""
    reader, writer = streams
    try:
        return await asyncio.wait_for(reader.read(), 5)
    except ConnectionResetError:  # it was closed with bytes of ours unread
        return b""
    finally:
        writer.close()


async def answer(streams: Streams, request: bytes = POST) -> bytes:
    """The status line of a request on a connection that stays open."""
    reader, writer = streams
    writer.write(request)
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    if b" 200 " in head:
        await reader.readexactly(4)
    return head.partition(b"\r\n")[0]


async def test_a_client_that_says_nothing_is_closed(port: int) -> None:
    assert await rest(await connect(port)) == b""


async def test_a_client_that_drips_its_headers_is_closed(port: int) -> None:
    streams = await connect(port)

    async def drip() -> None:
        streams[1].write(b"POST / HTTP/1.1\r\nX: ")
        while True:
            streams[1].write(b"a")
            await asyncio.sleep(0.03)

    dripping = asyncio.create_task(drip())
    began = asyncio.get_running_loop().time()
    assert await rest(streams) == b""
    dripping.cancel()
    assert asyncio.get_running_loop().time() - began < 2


async def test_the_second_request_has_to_hurry_too(port: int) -> None:
    streams = await connect(port)
    assert await answer(streams) == b"HTTP/1.1 200 OK"
    streams[1].write(b"POST / HTTP/1.1\r\nHo")
    assert await rest(streams) == b""


async def test_a_connection_between_requests_is_kept(port: int) -> None:
    streams = await connect(port)
    assert await answer(streams) == b"HTTP/1.1 200 OK"
    await asyncio.sleep(0.4)
    assert await answer(streams) == b"HTTP/1.1 200 OK"
    streams[1].close()


async def test_a_slow_body_is_not_this_timers_business(port: int) -> None:
    streams = await connect(port)
    streams[1].write(POST[:-1])
    await asyncio.sleep(0.4)
    assert await answer(streams, POST[-1:]) == b"HTTP/1.1 200 OK"
    streams[1].close()


async def test_one_connection_too_many_gets_503_and_room_comes_back(port: int) -> None:
    kept = [await connect(port) for _ in range(3)]
    for streams in kept:
        assert await answer(streams) == b"HTTP/1.1 200 OK"
    refused = await rest(await connect(port))
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 2\r\n" in refused
    head, _, body = refused.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    for _, writer in kept:
        writer.close()
        await writer.wait_closed()
    await asyncio.sleep(0.05)
    streams = await connect(port)
    assert await answer(streams) == b"HTTP/1.1 200 OK"
    streams[1].close()


@pytest.mark.parametrize(
    "start",
    [
        b"POST / HTTP/1.1\r\nX: ",
        CHUNKED + b"0\r\nX: ",
        CHUNKED + b"1;x=",
    ],
    ids=["headers", "trailers", "chunk extensions"],
)
async def test_what_is_not_body_has_a_limit(port: int, start: bytes) -> None:
    streams = await connect(port)
    streams[1].write(start)
    await streams[1].drain()
    for _ in range(4):
        streams[1].write(b"a" * (MAX_OVERHEAD_BYTES // 2))
    # closed; whether the answer is seen depends on how much was still unread
    assert (await rest(streams))[:13] in (b"HTTP/1.1 431 ", b"")
    # and nobody else is harmed
    streams = await connect(port)
    assert await answer(streams) == b"HTTP/1.1 200 OK"
    streams[1].close()


async def test_an_answer_leaves_in_one_piece(port: int) -> None:
    reader, writer = await connect(port)
    writer.write(POST)
    first = await reader.read(4096)
    assert first.endswith(b"\r\n\r\nfine")
    writer.close()


async def test_an_answer_to_head_and_requests_in_a_row(port: int) -> None:
    reader, writer = await connect(port)
    head = b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"
    writer.write(head + POST + head + POST)
    for method in (head, POST, head, POST):
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        if method is POST:
            assert await reader.readexactly(4) == b"fine"
    writer.close()


async def test_a_client_that_waits_to_be_told_to_go_on(port: int) -> None:
    streams = await connect(port)
    head = POST[:-2].replace(b"Host", b"Expect: 100-continue\r\nHost")
    assert await answer(streams, head) == b"HTTP/1.1 100 Continue"
    assert await answer(streams, b"hi") == b"HTTP/1.1 200 OK"
    streams[1].close()


async def test_a_large_body_is_not_overhead(port: int) -> None:
    streams = await connect(port)
    size = MAX_OVERHEAD_BYTES * 4
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size
    assert await answer(streams, head + b"a" * size) == b"HTTP/1.1 200 OK"
    assert await answer(streams) == b"HTTP/1.1 200 OK"
    streams[1].close()


async def test_only_who_asks_again_and_again_is_let_see_the_end() -> None:
    server = HttpServer("127.0.0.1", 0)
    await server.let_followers_see(3600)  # not started: nobody
    await server.start(application)
    silent = await connect(server.port)
    asked_once = await connect(server.port)
    await answer(asked_once, POST.replace(b"Host: x", b"Host: x\r\nConnection: close"))
    await rest(asked_once)
    await asyncio.wait_for(server.let_followers_see(3600), 5)
    follower = await connect(server.port)
    await answer(follower)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(server.let_followers_see(3600), 0.05)
    await server.stop()
    for streams in (silent, follower):
        await rest(streams)
