"""The API over HTTPS: its certificate, its handshakes, and the commands that speak to it."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from doubles.certificates import Authority, Made
from doubles.world import until
from outdial.api import secure
from outdial.api.server import HttpServer
from outdial.cli.client import ApiError, Client, connect
from outdial.tls.contexts import ServerSecurity

HERE = "127.0.0.1"


Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Also on the loop that the program runs on, which reads and closes at other moments."""
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Says over what it was asked."""
    body = b'{"scheme": "%s"}' % scope["scheme"].encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def served(made: Made) -> AsyncIterator[tuple[HttpServer, ServerSecurity]]:
    security = ServerSecurity("http", str(made.path), str(made.key_path))
    server = HttpServer(HERE, 0, security)
    await server.start(app)
    try:
        yield server, security
    finally:
        await server.stop()


@contextmanager
def in_a_thread(made: Made) -> Iterator[int]:
    """A server for the commands, which wait for their answers; its port."""
    ports: list[int] = []
    ready, done = threading.Event(), threading.Event()

    async def run() -> None:
        async with served(made) as (server, _):
            ports.append(server.port)
            ready.set()
            await asyncio.to_thread(done.wait, 30)

    thread = threading.Thread(target=lambda: uvloop.run(run()))
    thread.start()
    try:
        assert ready.wait(10)
        yield ports[0]
    finally:
        done.set()
        thread.join()


async def asked(port: int, trust: ssl.SSLContext) -> tuple[bytes, str]:
    """The answer, and the common name of who gave it."""
    reader, writer = await asyncio.open_connection(HERE, port, ssl=trust)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    async with asyncio.timeout(5):
        answer = await reader.read()
    subject = writer.get_extra_info("peercert")["subject"]
    writer.close()
    return answer, dict(one[0] for one in subject)["commonName"]


def test_requests_are_answered(authority: Authority, run: Run) -> None:
    async def scenario() -> None:
        made = authority.make("api.example", [HERE])
        async with served(made) as (server, _):
            trust = ssl.create_default_context(cafile=authority.path)
            answer, name = await asked(server.port, trust)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b'{"scheme": "https"}' in answer
            assert name == "api.example"

    run(scenario())


def test_a_renewed_certificate_is_shown_without_a_restart(authority: Authority, run: Run) -> None:
    async def scenario() -> None:
        made = authority.make("old.example", [HERE], under="api")
        trust = ssl.create_default_context(cafile=authority.path)
        async with served(made) as (server, security):
            assert (await asked(server.port, trust))[1] == "old.example"
            authority.make("new.example", [HERE], under="api")
            assert security.refresh()
            assert (await asked(server.port, trust))[1] == "new.example"

    run(scenario())


def test_a_handshake_that_dribbles_is_given_up(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(secure, "HANDSHAKE_S", 0.2)
        async with served(authority.make(names=[HERE])) as (server, _):
            reader, writer = await asyncio.open_connection(HERE, server.port)
            writer.write(b"\x16\x03\x01")
            async with asyncio.timeout(5):
                assert await reader.read() == b""
            writer.close()
            assert server.connections() == 0

    run(scenario())


async def gone(reader: asyncio.StreamReader) -> bool:
    """Whether the other side closes without a word."""
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True


def test_handshakes_count_as_connections(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(secure, "MAX_CONNECTIONS", 2)
        async with served(authority.make(names=[HERE])) as (server, _):
            held = [await asyncio.open_connection(HERE, server.port) for _ in range(2)]
            reader, writer = await asyncio.open_connection(HERE, server.port)
            async with asyncio.timeout(5):
                assert await gone(reader)
            for _, one in [*held, (reader, writer)]:
                one.close()

    run(scenario())


def test_plain_http_gets_nothing(authority: Authority, run: Run) -> None:
    async def scenario() -> None:
        async with served(authority.make(names=[HERE])) as (server, _):
            reader, writer = await asyncio.open_connection(HERE, server.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(5):
                assert not (await reader.read()).startswith(b"HTTP/")
            writer.close()

    run(scenario())


class Short(socket.socket):
    """A listener of a process that has no descriptor left, once."""

    tries = 0

    def accept(self) -> Any:
        self.tries += 1
        if self.tries == 1:
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


class Told(asyncio.Protocol):
    """Says when a connection became one of the server's."""

    def __init__(self, told: asyncio.Event) -> None:
        self._told = told

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._told.set()


@asynccontextmanager
async def kept(
    authority: Authority, listener: socket.socket, told: asyncio.Event
) -> AsyncIterator[secure.Doorkeeper]:
    made = authority.make("api.example", [HERE])
    security = ServerSecurity("http", str(made.path), str(made.key_path))
    with listener:
        listener.bind((HERE, 0))
        listener.listen()
        listener.setblocking(False)
        keeper = secure.Doorkeeper(listener, security, lambda: Told(told), lambda: 0)
        yield keeper
        keeper.close()
        await keeper.wait_closed()


def test_without_descriptors_it_rests_and_goes_on(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(secure, "_REST_S", 0.05)
        listener, told = Short(), asyncio.Event()
        async with kept(authority, listener, told):
            trust = ssl.create_default_context(cafile=authority.path)
            _, writer = await asyncio.open_connection(*listener.getsockname(), ssl=trust)
            async with asyncio.timeout(5):
                await told.wait()
            assert listener.tries >= 2
            writer.close()

    run(scenario())


def test_closing_ends_the_handshakes_and_a_rest(authority: Authority, run: Run) -> None:
    async def scenario() -> None:
        listener, told = socket.socket(), asyncio.Event()
        async with kept(authority, listener, told) as keeper:
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(b"\x16\x03\x01")
            await until(lambda: keeper._under_way)
            keeper.close()
            async with asyncio.timeout(5):
                assert await gone(reader)
            writer.close()
        async with kept(authority, Short(), told) as resting:
            resting._accept()
            resting.close()
        assert not told.is_set()

    run(scenario())


# ------------------------------------------------------------------ commands


def settings_file(folder: Path, made: Made, port: int) -> Path:
    path = folder / "outdial.toml"
    path.write_text(
        f'[http]\nlisten = "0.0.0.0:{port}"\ntls_certificate = "{made.path}"\n'
        f'tls_key = "{made.key_path}"\n[[keys]]\nname = "dev"\nkey = "k"\n'
    )
    return path


def test_commands_find_the_server_of_their_settings(authority: Authority, tmp_path: Path) -> None:
    """Though its certificate is for another name, and of an authority that nobody knows."""
    made = authority.make("api.example", ["api.example"])
    with in_a_thread(made) as port:
        with closing(connect(settings_file(tmp_path, made, port), "", "")) as client:
            assert client.get("/") == {"scheme": "https"}
        other = authority.make("api.example", ["api.example"])
        client = connect(settings_file(tmp_path, other, port), "", "")
        with pytest.raises(ApiError, match="nobody who is trusted vouches for the certificate"):
            client.get("/")


def test_commands_believe_whom_they_are_told_to(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    with in_a_thread(authority.make(names=[HERE])) as port:
        url = f"https://{HERE}:{port}"
        with pytest.raises(ApiError, match="--ca or OUTDIAL_CA names a file of whom to trust"):
            connect(None, url, "k").get("/")
        monkeypatch.setenv("OUTDIAL_CA", authority.path)
        with closing(connect(None, url, "k")) as client:
            assert client.get("/") == {"scheme": "https"}


def test_a_server_that_speaks_no_tls_is_told(authority: Authority) -> None:
    made = authority.make(names=[HERE])
    with in_a_thread(made) as port, pytest.raises(ApiError):
        Client(f"http://{HERE}:{port}", "k").get("/")
