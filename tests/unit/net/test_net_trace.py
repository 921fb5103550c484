"""Signed requests, patience in parts, and what is told of a request that failed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest

from outdial import ids
from outdial.errors import FetchError
from outdial.net.addresses import AddressPolicy
from outdial.net.client import HttpClient, preview
from outdial.net.trace import Trace
from outdial.testing.clock import FakeClock
from outdial.webhooks.secret_file import Signing
from outdial.webhooks.sign import SignatureError, new_secret, verify

SECRET = new_secret(bytes(range(40)))
NOW = 1_700_000_000.0
OK = b"HTTP/1.1 200 OK\r\nServer: t\r\nContent-Length: 2\r\n\r\nok"

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Peer:
    """A server on 127.0.0.1; it keeps the head and body of each request."""

    def __init__(self, answer: bytes = OK) -> None:
        self.answer = answer
        self.handler: Handler = self._answer
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.server: asyncio.Server | None = None

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await self.read(reader):
            writer.write(self.answer)

    async def read(self, reader: asyncio.StreamReader) -> bool:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        first, *lines = head.strip().split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.got.append((first, headers, body))
        return True

    async def start(self) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await self.handler(reader, writer)
            except ConnectionError:
                pass
            finally:
                writer.close()

        self.server = await asyncio.start_server(serve, "127.0.0.1", 0)

    @property
    def place(self) -> str:
        assert self.server is not None
        return f"127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    def payload(self, number: int) -> bytes:
        first, _, body = self.got[number]
        return body or first.split(" ")[1].partition("?")[2].encode()

    def verified(self, number: int = -1) -> str:
        return verify([SECRET], self.got[number][1], self.payload(number), NOW)


@pytest.fixture
async def peers() -> AsyncIterator[tuple[Peer, Peer]]:
    made = Peer(), Peer()
    for peer in made:
        await peer.start()
    yield made
    for peer in made:
        assert peer.server is not None
        peer.server.close()


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    signer = Signing(FakeClock(), [SECRET])
    http = HttpClient(AddressPolicy(["127.0.0.0/8"]), signer=signer)
    yield http
    await http.close()


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("POST", "/cb?keep=1", {"params": [("To", "+1 & 2"), ("Name", "Zoë")]}),
        ("POST", "/cb", {}),
        ("GET", "/app.xml?mine=1", {"params": [("To", "+1")]}),
        ("GET", "/app.xml?mine=a%20b&x", {}),
        ("GET", "/app.xml?", {}),
        ("GET", "/", {}),
        ("GET", "/a.wav#rc=1", {"headers": [("If-None-Match", '"1"')]}),
        ("PUT", "/x", {"body": b"\x00\xff", "content_type": "audio/wav"}),
    ],
)
async def test_every_request_is_signed_as_it_leaves(
    peers: tuple[Peer, Peer], client: HttpClient, method: str, path: str, options: dict[str, object]
) -> None:
    peer, _ = peers
    await client.request(method, f"http://{peer.place}{path}", **options)  # type: ignore[arg-type]
    first, headers, _ = peer.got[0]
    assert "#" not in first
    assert ids.is_sid(peer.verified(), ids.REQUEST)
    assert headers["webhook-timestamp"] == "1700000000"
    with pytest.raises(SignatureError):
        verify([SECRET], headers, peer.payload(0) + b"x", NOW)


async def test_the_id_is_the_callers_or_a_new_one(
    peers: tuple[Peer, Peer], client: HttpClient
) -> None:
    peer, _ = peers
    for message_id in ("EV" + "1" * 32, "", ""):
        await client.request("POST", f"http://{peer.place}/", message_id=message_id)
    assert peer.verified(0) == "EV" + "1" * 32
    assert peer.verified(1) != peer.verified(2)


async def test_without_a_signer_nothing_is_signed(peers: tuple[Peer, Peer]) -> None:
    peer, _ = peers
    client = HttpClient(AddressPolicy(["127.0.0.0/8"]))
    await client.request("POST", f"http://{peer.place}/", message_id="EV1")
    await client.close()
    assert not [name for name in peer.got[0][1] if name.startswith("webhook-")]


async def test_a_redirect_cannot_have_something_signed_for_another_server(
    peers: tuple[Peer, Peer], client: HttpClient
) -> None:
    peer, victim = peers
    where = b"Location: http://%b/cb?CallStatus=completed\r\nContent-Length: 0\r\n\r\n"
    peer.answer = b"HTTP/1.1 302 Found\r\n" + where % victim.place.encode()
    await client.request("GET", f"http://{peer.place}/a.wav", follow=3)
    assert peer.verified()
    assert not [name for name in victim.got[0][1] if name.startswith("webhook-")]
    # to itself it may redirect as it likes
    again = b"HTTP/1.1 302 Found\r\nLocation: /b.wav?x=1\r\nContent-Length: 0\r\n\r\n"
    peer.answer = again
    await client.request("GET", f"http://{peer.place}/a.wav", follow=1)
    assert peer.got[-1][0].startswith("GET /b.wav?x=1 ")
    assert peer.verified(-1) == peer.verified(-2)


async def test_a_trace_tells_what_was_sent_and_came(
    peers: tuple[Peer, Peer], client: HttpClient
) -> None:
    peer, _ = peers
    trace = Trace()
    peer.answer = b"HTTP/1.1 404 Not here\r\nX-A: 1\r\nX-a: 2\r\nContent-Length: 0\r\n\r\n"
    await client.request("POST", f"http://{peer.place}/", trace=trace)
    assert (trace.timestamp, trace.signature) == (
        1_700_000_000,
        peer.got[0][1]["webhook-signature"],
    )
    assert trace.peer == peer.place
    assert trace.head() == "HTTP/1.1 404 Not here\nx-a: 1\ncontent-length: 0"


@pytest.mark.parametrize(
    ("answer", "kind", "head"),
    [
        (b"", "protocol", ""),
        (b"HTTP/1.1 200", "protocol", ""),
        (b"nonsense\r\n\r\n", "protocol", ""),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
            "protocol",
            "HTTP/1.1 200 OK\ncontent-length: 5",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
            "too-large",
            "HTTP/1.1 200 OK\ncontent-length: 99999999",
        ),
    ],
)
async def test_of_a_failure_it_tells_what_there_was(
    peers: tuple[Peer, Peer], client: HttpClient, answer: bytes, kind: str, head: str
) -> None:
    peer, _ = peers

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.read(reader)
        writer.write(answer)
        await writer.drain()

    peer.handler = handler
    trace = Trace()
    with pytest.raises(FetchError) as caught:
        await client.request("POST", f"http://{peer.place}/", trace=trace)
    assert caught.value.kind == kind
    assert (trace.peer, trace.head()) == (peer.place, head)
    assert trace.signature


async def test_where_nobody_listens_there_is_no_peer(client: HttpClient) -> None:
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    trace = Trace()
    with pytest.raises(FetchError):
        await client.request("POST", f"http://127.0.0.1:{port}/", trace=trace)
    assert (trace.peer, trace.head()) == ("", "")


def told(reason: bytes, *fields: tuple[bytes, bytes]) -> str:
    trace = Trace()
    trace.status, trace.reason, trace.fields = 200, reason, dict(fields)
    return trace.head()


def test_a_head_is_short_and_safe_to_show() -> None:
    assert told(b"", (b"a", b"1")) == "HTTP/1.1 200\na: 1"
    assert told(b"OK\x1b[2J") == "HTTP/1.1 200 OK\\u001b[2J"
    assert told(b"OK", (b"a", b"\x1b]0;x\x07")) == "HTTP/1.1 200 OK\na: \\u001b]0;x\\u0007"
    assert told(b"OK", (b"a", "\u202eevil".encode())) == "HTTP/1.1 200 OK\na: \\u202eevil"
    assert told(b"OK", (b"a", b"1\nb: 2"), (b"c", b"3")) == "HTTP/1.1 200 OK\na: 1\\u000ab: 2\nc: 3"
    assert told(b"OK", (b"a", "é".encode())) == "HTTP/1.1 200 OK\na: é"
    assert told(b"OK", (b"a", b"\xff")) == "HTTP/1.1 200 OK\na: \ufffd"
    long = told(b"OK", *((f"x{n}".encode(), b"y" * 100) for n in range(50)))
    assert len(long) == 1027 and long.endswith("...")


class Slow:
    """A resolver that takes its time."""

    async def resolve(self, host: str) -> Sequence[str]:
        await asyncio.sleep(30.0)
        return []

    async def close(self) -> None:
        pass


async def test_a_connection_has_its_own_patience() -> None:
    client = HttpClient(AddressPolicy(), resolver=Slow())
    for connect_s, total_s, kind in ((0.05, 5.0, "connect"), (5.0, 0.05, "timeout")):
        with pytest.raises(FetchError) as caught:
            await client.request(
                "GET", "http://slow.example/", timeout_s=total_s, connect_timeout_s=connect_s
            )
        assert caught.value.kind == kind
    assert "within 0.05 s" in str(caught.value)
    await client.close()


async def test_an_answer_may_be_slow_but_not_silent(
    peers: tuple[Peer, Peer], client: HttpClient
) -> None:
    peer, _ = peers
    pauses = [0.05] * 10

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.read(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        for pause in pauses:
            await asyncio.sleep(pause)
            writer.write(b".")

    peer.handler = handler
    url = f"http://{peer.place}/"
    answer = await client.request("GET", url, timeout_s=5.0, read_timeout_s=0.3)
    assert answer.body == b"." * 10
    with pytest.raises(FetchError, match=r"no complete answer within 0.2 s") as caught:
        await client.request("GET", url, timeout_s=0.2, read_timeout_s=0.15)
    assert caught.value.kind == "timeout"
    pauses[3] = 5.0
    with pytest.raises(FetchError, match=r"nothing came for 0.15 s") as caught:
        await client.request("GET", url, timeout_s=5.0, read_timeout_s=0.15)
    assert caught.value.kind == "timeout"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_preview_is_what_is_sent(
    peers: tuple[Peer, Peer], client: HttpClient, method: str
) -> None:
    peer, _ = peers
    url, params = f"http://{peer.place}/cb?mine=1#rc=2", (("To", "+1 2"), ("apikey", "é"))
    await client.request(method, url, params=params, message_id="EV7")
    shown = preview(method, url, params, "EV7")
    first, headers, body = peer.got[0]
    sent = {
        name: value
        for name, value in headers.items()
        if name not in ("webhook-signature", "webhook-timestamp")
    }
    assert {name.lower(): value for name, value in shown.headers.items()} == sent
    assert first == f"{method} {shown.url.removeprefix(f'http://{peer.place}')} HTTP/1.1"
    assert body == shown.body.encode()
