"""The outgoing client against real local servers, good and bad."""

from __future__ import annotations

import asyncio
import gzip
import os
import shutil
import ssl
import subprocess
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from outdial.errors import FetchError
from outdial.net.addresses import AddressPolicy, parse_target
from outdial.net.client import HttpClient, with_params
from outdial.net.resolver import CheckedResolver

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = (
    b"HTTP/1.1 200 OK\r\nContent-Type: Text/XML; charset=utf-8\r\n"
    b"Content-Length: 11\r\n\r\n<Response/>"
)


class Peer:
    """A server that answers each connection by a handler, and remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.connections = 0
        self.handler: Handler = self.answering(OK)
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answering(self, *answers: bytes) -> Handler:
        """Each request of a connection gets the next answer, the last one for ever."""
        queue = list(answers)

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await self.take(reader):
                writer.write(queue.pop(0) if len(queue) > 1 else queue[0])
                await writer.drain()

        return handle

    async def take(self, reader: asyncio.StreamReader) -> bool:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        first, *lines = head.rstrip().split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.requests.append((first, headers, body))
        return True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        try:
            await self.handler(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


class Names:
    """A resolver that says what it is told to, each answer once, the last for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def resolve(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def close(self) -> None:
        pass


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    server = Peer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    http = HttpClient(AddressPolicy(["127.0.0.0/8"]))
    yield http
    await http.close()


async def fails(client: HttpClient, url: str, **options: object) -> FetchError:
    with pytest.raises(FetchError) as caught:
        await client.request("GET", url, **options)  # type: ignore[arg-type]
    return caught.value


async def test_post_sends_a_form(peer: Peer, client: HttpClient) -> None:
    params = [("To", "+1 555"), ("Name", "Zoë & co"), ("Empty", "")]
    response = await client.request("POST", f"{peer.url}/cb?keep=1", params=params)
    assert (response.status, response.body) == (200, b"<Response/>")
    assert response.content_type == "text/xml"
    assert response.headers["content-length"] == "11"
    first, headers, body = peer.requests[0]
    assert first == "POST /cb?keep=1 HTTP/1.1"
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert headers["user-agent"].startswith("Outdial/")
    assert headers["accept-encoding"] == "identity"
    assert body == b"To=%2B1+555&Name=Zo%C3%AB+%26+co&Empty="


async def test_post_without_parameters_is_an_empty_form(peer: Peer, client: HttpClient) -> None:
    await client.request("POST", peer.url)
    _, headers, body = peer.requests[0]
    assert (headers["content-length"], body) == ("0", b"")


async def test_post_of_another_body(peer: Peer, client: HttpClient) -> None:
    await client.request("POST", peer.url, body=b"{}", content_type="application/json")
    _, headers, body = peer.requests[0]
    assert (headers["content-type"], body) == ("application/json", b"{}")


async def test_get_keeps_the_query_that_is_there(peer: Peer, client: HttpClient) -> None:
    response = await client.request(
        "GET", f"{peer.url}/a%2Fb?sig=%2F+%7E&x=1#here", params=[("To", "1 2"), ("x", "2")]
    )
    first, headers, _ = peer.requests[0]
    assert first == "GET /a%2Fb?sig=%2F+%7E&x=1&To=1+2&x=2 HTTP/1.1"
    assert "content-length" not in headers
    assert response.url == f"{peer.url}/a%2Fb?sig=%2F+%7E&x=1&To=1+2&x=2"


@pytest.mark.parametrize(
    ("url", "merged"),
    [
        ("http://h/p", "http://h/p?a=1"),
        ("http://h", "http://h/?a=1"),
        ("http://h/p?", "http://h/p?a=1"),
        ("http://h/p?b=2", "http://h/p?b=2&a=1"),
        ("http://h/p?b=%7e%2F?/", "http://h/p?b=%7e%2F?/&a=1"),
        ("http://h/ü?b=é", "http://h/%C3%BC?b=%C3%A9&a=1"),
    ],
)
def test_merging_parameters(url: str, merged: str) -> None:
    target = parse_target(url, AddressPolicy())
    assert str(with_params(target.url, [("a", "1")])) == merged


async def test_connection_is_used_again(peer: Peer, client: HttpClient) -> None:
    for _ in range(5):
        await client.request("POST", peer.url, params=[("a", "b")])
    assert (peer.connections, len(peer.requests)) == (1, 5)


async def test_any_status_is_an_answer(peer: Peer, client: HttpClient) -> None:
    peer.handler = peer.answering(b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno")
    response = await client.request("GET", peer.url)
    assert (response.status, response.body, response.content_type) == (503, b"no", "")


async def test_header_injection_is_refused(peer: Peer, client: HttpClient) -> None:
    failure = await fails(client, peer.url, headers=[("X-Key", "a\r\nX-Evil: b")])
    assert failure.kind == "protocol"
    assert peer.connections == 0


# --- addresses


async def test_forbidden_listener_hears_nothing(peer: Peer) -> None:
    client = HttpClient(AddressPolicy())
    for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "127.1"):
        assert (await fails(client, f"http://{host}:{peer.port}/")).kind == "refused-address"
    await client.close()
    assert peer.connections == 0


async def test_name_that_leads_inside_is_refused(peer: Peer) -> None:
    client = HttpClient(AddressPolicy(), resolver=Names(["127.0.0.1"]))
    failure = await fails(client, f"http://innocent.example:{peer.port}/")
    assert failure.kind == "refused-address"
    assert "innocent.example leads to 127.0.0.1" in str(failure)
    await client.close()
    assert peer.connections == 0


async def test_one_bad_address_refuses_the_name(peer: Peer) -> None:
    names = Names(["127.0.0.1", "10.0.0.1"])
    client = HttpClient(AddressPolicy(["127.0.0.0/8"]), resolver=names)
    assert (await fails(client, f"http://mixed.example:{peer.port}/")).kind == "refused-address"
    await client.close()
    assert peer.connections == 0


async def test_rebinding_is_never_asked_for(peer: Peer) -> None:
    # the first answer is allowed, every further one is the forbidden address of a real listener
    names = Names(["127.0.0.2"], ["127.0.0.1"])
    client = HttpClient(AddressPolicy(["127.0.0.2"]), resolver=names)
    failure = await fails(client, f"http://rebind.example:{peer.port}/")
    assert failure.kind == "connect"  # nobody listens on 127.0.0.2
    assert names.asked == ["rebind.example"]
    await client.close()
    assert peer.connections == 0


async def test_name_that_rebinds_between_requests_is_refused(peer: Peer) -> None:
    names = Names(["127.0.0.1"], ["10.0.0.1"])
    resolver = CheckedResolver(AddressPolicy(["127.0.0.0/8"]), names)
    assert await resolver.resolve("a.example") == ["127.0.0.1"]
    with pytest.raises(FetchError, match=r"10\.0\.0\.1"):
        await resolver.resolve("a.example")


async def test_host_header_is_the_name(peer: Peer) -> None:
    client = HttpClient(AddressPolicy(["127.0.0.0/8"]), resolver=Names(["127.0.0.1"]))
    response = await client.request("GET", f"http://App.Example:{peer.port}/")
    await client.close()
    assert response.status == 200
    assert peer.requests[0][1]["host"] == f"app.example:{peer.port}"


async def test_localhost_is_not_looked_up(peer: Peer) -> None:
    names = Names(["10.0.0.1"])
    client = HttpClient(AddressPolicy(["127.0.0.0/8"]), resolver=names)
    response = await client.request("GET", f"http://localhost:{peer.port}/")
    await client.close()
    assert (response.status, names.asked) == (200, [])


async def test_failed_lookup_fails_closed() -> None:
    class Broken(Names):
        async def resolve(self, host: str) -> Sequence[str]:
            raise OSError(-2, "Name or service not known")

    client = HttpClient(AddressPolicy(["127.0.0.0/8"]), resolver=Broken())
    failure = await fails(client, "http://nowhere.example/")
    assert failure.kind == "resolve"
    assert "nowhere.example cannot be looked up" in str(failure)
    await client.close()


async def test_name_without_addresses_fails_closed() -> None:
    client = HttpClient(AddressPolicy(), resolver=Names([]))
    assert (await fails(client, "http://empty.example/")).kind == "resolve"
    await client.close()


async def test_waiters_for_one_failing_lookup_get_errors_of_their_own() -> None:
    client = HttpClient(AddressPolicy(), resolver=Names(["10.0.0.1"]))
    failures = await asyncio.gather(*(fails(client, "http://same.example/") for _ in range(4)))
    await client.close()
    assert {failure.kind for failure in failures} == {"refused-address"}
    assert len({id(failure) for failure in failures}) == 4


# --- redirects


def moved(status: int, location: str) -> bytes:
    return f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


async def test_redirect_is_an_answer(peer: Peer, client: HttpClient) -> None:
    peer.handler = peer.answering(moved(302, "http://10.0.0.1/"))
    response = await client.request("GET", peer.url)
    assert (response.status, response.headers["Location"]) == (302, "http://10.0.0.1/")


async def test_redirects_are_followed_when_asked(peer: Peer, client: HttpClient) -> None:
    peer.handler = peer.answering(moved(301, "/two?x=1"), moved(307, "three"), OK)
    response = await client.request("GET", f"{peer.url}/one", params=[("a", "b")], follow=3)
    assert [first.split()[1] for first, _, _ in peer.requests] == ["/one?a=b", "/two?x=1", "/three"]
    assert (response.status, response.url) == (200, f"{peer.url}/three")


async def test_redirect_hops_are_counted(peer: Peer, client: HttpClient) -> None:
    peer.handler = peer.answering(moved(302, "/again"))
    response = await client.request("GET", peer.url, follow=2)
    assert (response.status, len(peer.requests)) == (302, 3)


@pytest.mark.parametrize(
    ("location", "kind"),
    [
        ("http://10.0.0.1/", "refused-address"),
        ("http://169.254.169.254/latest", "refused-address"),
        ("//[::1]/", "refused-address"),
        ("http://inside.example/", "refused-address"),
        ("file:///etc/passwd", "bad-url"),
        ("http://user:pw@example.com/", "bad-url"),
        ("http://[::1", "protocol"),
    ],
)
async def test_each_hop_is_judged(peer: Peer, location: str, kind: str) -> None:
    peer.handler = peer.answering(moved(302, location))
    client = HttpClient(AddressPolicy(["127.0.0.0/8"]), resolver=Names(["192.168.0.1"]))
    assert (await fails(client, peer.url, follow=3)).kind == kind
    await client.close()
    assert len(peer.requests) == 1


async def test_redirected_post_becomes_get_without_its_form(peer: Peer, client: HttpClient) -> None:
    peer.handler = peer.answering(moved(303, "/seen"), OK)
    await client.request("POST", peer.url, params=[("a", "b")], follow=1)
    first, headers, body = peer.requests[1]
    assert (first, body) == ("GET /seen HTTP/1.1", b"")
    assert "content-type" not in headers


# --- bad servers


async def test_nobody_listens(client: HttpClient) -> None:
    failure = await fails(client, "http://127.0.0.1:1/")
    assert failure.kind == "connect"
    assert "127.0.0.1:1" in str(failure)


async def test_slow_answer_times_out(peer: Peer, client: HttpClient) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.take(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    peer.handler = drip
    started = asyncio.get_running_loop().time()
    failure = await fails(client, peer.url, timeout_s=0.2)
    assert failure.kind == "timeout"
    assert asyncio.get_running_loop().time() - started < 1.5


async def test_silent_server_times_out(peer: Peer, client: HttpClient) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    peer.handler = silent
    assert (await fails(client, peer.url, timeout_s=0.1)).kind == "timeout"


async def test_silent_hosts_do_not_block_others(peer: Peer, client: HttpClient) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    dead = Peer()
    await dead.start()
    dead.handler = silent
    stuck = [asyncio.create_task(fails(client, dead.url, timeout_s=2)) for _ in range(300)]
    await asyncio.sleep(0)
    async with asyncio.timeout(1.5):
        assert (await client.request("GET", peer.url)).status == 200
    for task in stuck:
        task.cancel()
    await asyncio.gather(*stuck, return_exceptions=True)
    await dead.stop()


async def test_declared_too_large(peer: Peer, client: HttpClient) -> None:
    peer.handler = peer.answering(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nabc")
    failure = await fails(client, peer.url, max_bytes=1000)
    assert failure.kind == "too-large"
    assert "1000 bytes" in str(failure)


async def test_endless_body_is_cut(peer: Peer, client: HttpClient) -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await peer.take(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while sent < 1 << 30:
            writer.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
            sent += 0x10000
            await writer.drain()

    peer.handler = flood
    assert (await fails(client, peer.url, max_bytes=100_000)).kind == "too-large"
    assert sent < 32 << 20


async def test_body_up_to_the_close(peer: Peer, client: HttpClient) -> None:
    async def old(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.take(reader)
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + b"z" * 5000)
        await writer.drain()

    peer.handler = old
    assert len((await client.request("GET", peer.url)).body) == 5000
    assert (await fails(client, peer.url, max_bytes=4999)).kind == "too-large"
    assert len((await client.request("GET", peer.url, max_bytes=5000)).body) == 5000


async def test_shorter_than_declared(peer: Peer, client: HttpClient) -> None:
    async def liar(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.take(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        await writer.drain()

    peer.handler = liar
    assert (await fails(client, peer.url)).kind == "protocol"


async def test_longer_than_declared(peer: Peer, client: HttpClient) -> None:
    peer.handler = peer.answering(OK + b"smuggled")
    assert (await fails(client, peer.url)).kind == "protocol"
    peer.handler = peer.answering(OK)
    assert (await client.request("GET", peer.url)).body == b"<Response/>"


async def test_closed_without_an_answer(peer: Peer, client: HttpClient) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.take(reader)
        writer.transport.abort()

    peer.handler = reset
    with pytest.raises(FetchError) as caught:
        await client.request("POST", peer.url)
    assert caught.value.kind == "protocol"
    assert len(peer.requests) == 1, "a POST is not repeated"


@pytest.mark.parametrize(
    "answer",
    [
        b"not HTTP at all\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nBad header line\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nabcde",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
        b"SIP/2.0 200 OK\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
)
async def test_what_is_not_http(peer: Peer, client: HttpClient, answer: bytes) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.take(reader)
        writer.write(answer)
        await writer.drain()

    peer.handler = speak
    assert (await fails(client, peer.url)).kind == "protocol"


async def test_endless_headers(peer: Peer, client: HttpClient) -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await peer.take(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while sent < 1 << 28:
            writer.write(b"X-Header: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 100)
            sent += 5000
            await writer.drain()

    peer.handler = flood
    assert (await fails(client, peer.url, timeout_s=5)).kind == "protocol"
    assert sent < 32 << 20


def compressed(data: bytes, encoding: str) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


async def test_compression_that_nobody_asked_for(peer: Peer, client: HttpClient) -> None:
    peer.handler = peer.answering(compressed(gzip.compress(b"<Response/>"), "gzip"))
    assert (await client.request("GET", peer.url)).body == b"<Response/>"
    peer.handler = peer.answering(compressed(zlib.compress(b"<Response/>"), "deflate"))
    assert (await client.request("GET", f"http://localhost:{peer.port}")).body == b"<Response/>"


@pytest.mark.parametrize(
    ("data", "encoding", "kind"),
    [
        (gzip.compress(bytes(50_000_000), 9, mtime=0), "gzip", "too-large"),
        (gzip.compress(b"<Response/>", mtime=0)[:-9], "gzip", "protocol"),
        (b"<Response/>", "gzip", "protocol"),
        (b"\x0b\x05\x80<Response/>\x03", "br", "protocol"),
    ],
)
async def test_bad_compression(
    peer: Peer, client: HttpClient, data: bytes, encoding: str, kind: str
) -> None:
    peer.handler = peer.answering(compressed(data, encoding))
    assert (await fails(client, peer.url)).kind == kind


async def test_tls_to_a_server_without_it(peer: Peer, client: HttpClient) -> None:
    peer.handler = peer.answering(b"HTTP/1.1 400 Bad\r\n\r\n")

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    peer.handler = plain
    assert (await fails(client, f"https://127.0.0.1:{peer.port}/")).kind == "tls"


# --- leaving nothing behind


async def test_cancelled_request_closes_its_connection(peer: Peer, client: HttpClient) -> None:
    taken = asyncio.Event()
    gone = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.take(reader)
        taken.set()
        await reader.read()
        gone.set()

    peer.handler = silent
    task = asyncio.create_task(client.request("GET", peer.url))
    await taken.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(2):
        await gone.wait()


async def test_nothing_is_left_open(peer: Peer) -> None:
    before = len(os.listdir("/proc/self/fd"))
    client = HttpClient(AddressPolicy(["127.0.0.0/8"]))
    await asyncio.gather(*(client.request("GET", peer.url) for _ in range(20)))
    await client.close()
    await client.close()
    writers, peer._writers = peer._writers, []
    for writer in writers:
        writer.transport.abort()
    await asyncio.sleep(0.05)
    assert len(os.listdir("/proc/self/fd")) <= before + 1


def make_certificate(folder: Path) -> tuple[str, str]:
    """A self-signed certificate for tls.example, and its key."""
    certificate, key = str(folder / "cert.pem"), str(folder / "key.pem")
    subject = ["-subj", "/CN=tls.example", "-addext", "subjectAltName=DNS:tls.example"]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*make, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl program")
async def test_certificate_must_be_for_the_name_and_trusted(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate, key)
    names: list[str | None] = []
    serving.sni_callback = lambda sock, name, context: names.append(name)
    peer = Peer()
    await peer.start(serving)

    async def ask(host: str, tls: ssl.SSLContext | None = None) -> int:
        client = HttpClient(AddressPolicy(["127.0.0.0/8"]), resolver=Names(["127.0.0.1"]), tls=tls)
        try:
            await client.request("POST", f"https://{host}:{peer.port}/")
            return (await client.request("GET", f"https://{host}:{peer.port}/")).status
        finally:
            await client.close()

    with pytest.raises(FetchError, match=r"no secure connection to tls\.example") as caught:
        await ask("tls.example")
    assert caught.value.kind == "tls"
    trusting = ssl.create_default_context(cafile=certificate)
    connections = peer.connections
    assert await ask("tls.example", trusting) == 200
    assert peer.connections == connections + 1, "the connection is used again"
    assert names[-1] == "tls.example"
    with pytest.raises(FetchError) as caught:
        await ask("other.example", trusting)
    assert caught.value.kind == "tls"
    await peer.stop()


# --- kept connections


def closing_after_one(peer: Peer) -> Handler:
    """The first connection answers once, takes a second request, and closes without a word."""
    connections = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        lasting = connections > 1
        await peer.take(reader)
        writer.write(OK)
        while await peer.take(reader) and lasting:
            writer.write(OK)

    return handle


async def test_get_on_a_dead_connection_is_repeated(peer: Peer, client: HttpClient) -> None:
    peer.handler = closing_after_one(peer)
    await client.request("GET", peer.url)
    assert (await client.request("GET", peer.url)).status == 200
    assert (peer.connections, len(peer.requests)) == (2, 3)


async def test_post_on_a_dead_connection_is_not_repeated(peer: Peer, client: HttpClient) -> None:
    peer.handler = closing_after_one(peer)
    await client.request("POST", peer.url)
    failure = None
    try:
        await client.request("POST", peer.url)
    except FetchError as error:
        failure = error
    assert failure is not None and failure.kind == "protocol"
    assert len(peer.requests) == 2


async def test_server_that_closes_each_connection(peer: Peer, client: HttpClient) -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.take(reader)
        writer.write(OK.replace(b"200 OK\r\n", b"200 OK\r\nConnection: close\r\n"))

    peer.handler = once
    for _ in range(3):
        assert (await client.request("POST", peer.url)).status == 200
    assert peer.connections == 3


async def test_time_includes_waiting_for_a_name() -> None:
    class Slow(Names):
        async def resolve(self, host: str) -> Sequence[str]:
            await asyncio.sleep(30)
            return []

    client = HttpClient(AddressPolicy(), resolver=Slow())
    assert (await fails(client, "http://slow.example/", timeout_s=0.05)).kind == "timeout"
    await client.close()


async def test_closed_client_refuses(peer: Peer) -> None:
    client = HttpClient(AddressPolicy(["127.0.0.0/8"]))
    await client.request("GET", peer.url)
    await client.close()
    assert "closed" in str(await fails(client, peer.url))


@pytest.mark.parametrize("name", ["", "X Y", "X:", "X\r\nY", "Ü"])
async def test_header_names_are_tokens(peer: Peer, client: HttpClient, name: str) -> None:
    assert (await fails(client, peer.url, headers=[(name, "a")])).kind == "protocol"
    assert peer.connections == 0


async def test_headers_are_sent_and_read_in_any_case(peer: Peer, client: HttpClient) -> None:
    peer.handler = peer.answering(b"HTTP/1.1 200 OK\r\nX-a: \xc3\xa9\r\nContent-Length: 0\r\n\r\n")
    response = await client.request("GET", peer.url, headers=[("If-None-Match", '"1"')])
    assert peer.requests[0][1]["if-none-match"] == '"1"'
    assert (response.headers["x-A"], response.headers.get("Nothing")) == ("é", None)
    assert sorted(response.headers) == ["content-length", "x-a"] and len(response.headers) == 2


async def test_no_place_is_lost_whatever_becomes_of_requests(peer: Peer) -> None:
    count = 0

    async def moody(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        while await peer.take(reader):
            count += 1
            match count % 6:
                case 0:
                    return
                case 1:
                    writer.write(OK + b"more")
                case 2:
                    await asyncio.sleep(30)
                case 3:
                    writer.write(OK[:20])
                    return
                case _:
                    writer.write(OK)

    peer.handler = moody
    client = HttpClient(AddressPolicy(["127.0.0.0/8"]), resolver=Names(["127.0.0.1"]))

    async def ask(number: int) -> None:
        host = "app.example" if number % 2 else "127.0.0.1"
        url = f"http://{host}:{peer.port}/"
        task = asyncio.create_task(
            client.request("POST" if number % 3 else "GET", url, timeout_s=0.02 + number % 7 / 100)
        )
        if number % 4 == 0:
            await asyncio.sleep(number % 5 / 1000)
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled() or isinstance(task.exception(), FetchError | None)

    for _ in range(3):
        await asyncio.gather(*(ask(number) for number in range(100)))
    pool = client._pool
    assert pool is not None
    assert pool._slots.free == 1024
    assert all(server.slots.free == 256 for server in pool._servers.values())
    assert sum(len(server.idle) for server in pool._servers.values()) == pool._idle
    assert len(pool._open) == pool._idle
    await client.close()
