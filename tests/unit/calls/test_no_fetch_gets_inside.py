"""Every feature that fetches, with every URL that could lead inside: nothing there hears a byte.

The client, its rules and the name server are the real ones; a listener on all addresses of this
machine stands where the URLs would lead, and counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, cast
from xml.sax.saxutils import quoteattr

import dns.asyncresolver
import dns.exception
import pytest

import outdial
from doubles.legs import ANSWER, FakeSignallingLeg
from doubles.world import FakeWeb, Page, World, until
from outdial.calls import checks, codes
from outdial.calls.commands import Redirect
from outdial.calls.gateway import Gateway
from outdial.calls.numbers import check_destination
from outdial.calls.registry import Registry
from outdial.calls.request import CallRequest
from outdial.clock import SystemClock
from outdial.config import Limits, Settings, Sms, Trunk, Webhooks
from outdial.errors import FetchError, Refused
from outdial.legs import Answered
from outdial.net.addresses import AddressPolicy, check_url
from outdial.net.client import HttpClient
from outdial.speech.sounds import Sounds
from outdial.store.records import DeliveryRecord, MessageRecord
from outdial.store.store import Store
from outdial.testing.name_server import NameServer
from outdial.webhooks.deliver import Deliverer

APP = "http://app.test/"
CALLEE, CALLER, OTHER, DENIED = "12025550123", "12025550100", "12025550177", "19495550100"

ZONE = (
    "inside.example. 1 IN A 127.0.0.1",
    "inside6.example. 1 IN AAAA ::1",
    "mapped.example. 1 IN AAAA ::ffff:127.0.0.1",
    "nat64.example. 1 IN AAAA 64:ff9b::7f00:1",
    "sixtofour.example. 1 IN AAAA 2002:7f00:1::",
    "lan.example. 1 IN A 10.0.0.1",
    "cloud.example. 1 IN A 169.254.169.254",
    "zero.example. 1 IN A 0.0.0.0",
    "cgn.example. 1 IN A 100.64.0.1",
    "local6.example. 1 IN AAAA fe80::1",
    "unique.example. 1 IN AAAA fd00::1",
    # one of them is public: an attacker hopes that the other one is used
    "mixed.example. 1 IN A 8.8.8.8",
    "mixed.example. 1 IN A 127.0.0.1",
    "mixed6.example. 1 IN A 8.8.8.8",
    "mixed6.example. 1 IN AAAA ::1",
    "alias.example. 1 IN CNAME inside.example.",
    "chain.example. 1 IN CNAME alias.example.",
    "tolocalhost.example. 1 IN CNAME localhost.",
    "localhost. 1 IN A 127.0.0.1",
)

HOSTS = (
    # this machine, as it is and disguised
    "127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "2130706433", "017700000001", "0177.0.0.1",
    "0x7f000001", "0x7f.0.0.1", "0X7F.1", "127.0.0.0x1", "127.0.0.1.", "00000177.0.0.1",
    "localhost", "LOCALHOST", "localhost.", "app.localhost", "ｌocalhost", "①27.0.0.1",
    "127。0。0。1", "１２７.０.０.１", "١٢٧.٠.٠.١",
    "0", "0.0.0.0", "0.1.2.3", "[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[fe80::1%25lo]", "[fe80::1]", "[::1%25lo]",
    # the network, clouds' metadata, and what is nowhere
    "10.0.0.1", "172.16.0.1", "192.168.0.1", "192.168.257", "100.64.0.1", "169.254.169.254",
    "[::ffff:169.254.169.254]", "2852039166", "[fd00:ec2::254]", "[fd00::1]", "[fec0::1]",
    "224.0.0.1", "255.255.255.255", "198.18.0.1", "[2001:db8::1]", "[ff02::1]",
    # names that lead there
    *(line.split(". ", 1)[0] for line in ZONE if ".example." in line.split(" ", 1)[0]),
    "inside.example.", "INSIDE.example", "nowhere.example",
    # who reads a URL otherwise than the client does
    "user@127.0.0.1", "user:secret@inside.example", "public.example@127.0.0.1",
    "127.0.0.1#@8.8.8.8", "127.0.0.1?@8.8.8.8", "127.0.0.1\\@8.8.8.8", "8.8.8.8\\@127.0.0.1",
    "%31%32%37.0.0.1", "127.0.0.1;@8.8.8.8", "127.0.0.1%00.example", "127.0.0.1\t",
    "inside.example%2f",
)  # fmt: skip
OTHERS = (
    "ftp://127.0.0.1:{port}/", "gopher://127.0.0.1:{port}/_x", "file:///etc/passwd",
    "dict://127.0.0.1:{port}/", "ws://127.0.0.1:{port}/", "//127.0.0.1:{port}/",
    "http:127.0.0.1:{port}/", "http:///127.0.0.1:{port}/", "http://127.0.0.1:0/",
    "http://127.0.0.1:{port}@8.8.8.8:99999/", "jar:http://127.0.0.1:{port}/!/", "data:text/xml,x",
    "https://127.0.0.1:{port}/", "https://inside.example:{port}/", "https://[::1]:{port}/",
)  # fmt: skip


def table(port: int) -> list[str]:
    """Every URL, all of them with the listener's port where they can have one."""
    urls = []
    for host in dict.fromkeys(HOSTS):
        name, mark, rest = host, "", ""
        for cut in "#?":
            if cut in host:
                name, mark, rest = host.partition(cut)
        urls.append(f"http://{name}:{port}/{mark}{rest}")
    return urls + [url.format(port=port) for url in OTHERS]


def test_the_table_is_large_enough() -> None:
    assert len(set(table(1))) >= 100


class Listener:
    """Listens on every address of the machine; nobody may ever come."""

    def __init__(self) -> None:
        self.heard = 0
        self.port = 0
        self._servers: list[asyncio.Server] = []

    async def __aenter__(self) -> Listener:
        first = await asyncio.start_server(self._take, "0.0.0.0", 0)
        self.port = first.sockets[0].getsockname()[1]
        self._servers = [first]
        with contextlib.suppress(OSError):  # a machine without IPv6
            self._servers.append(await asyncio.start_server(self._take, "::", self.port))
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard += 1
        writer.close()


class Dns:
    """Asks the name server, as the system's resolver would."""

    def __init__(self, server: NameServer) -> None:
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        self._resolver.nameservers = [server.host]
        self._resolver.port = server.port
        self._resolver.lifetime = 2.0

    async def resolve(self, host: str) -> Sequence[str]:
        found: list[str] = []
        for kind in ("A", "AAAA"):
            with contextlib.suppress(dns.exception.DNSException):
                answer = await self._resolver.resolve(f"{host}.", kind, search=False)
                found += [record.address for record in answer]
        if not found:
            raise OSError("no such name")
        return found

    async def close(self) -> None:
        pass


class Client:
    """Pages of the application are given; everything else goes to the real client."""

    def __init__(self, pages: FakeWeb, real: HttpClient) -> None:
        self._pages = pages
        self._real = real
        self.refused: dict[str, str] = {}
        """Why each URL was refused."""
        self.answered: list[str] = []

    async def request(self, method: str, url: str, **how: Any) -> Any:
        if url.startswith(APP):
            return await self._pages.request(method, url, params=how.get("params", ()))
        try:
            answer = await self._real.request(method, url, **how)
        except FetchError as error:
            self.refused[url] = error.kind
            raise
        self.answered.append(url)
        return answer


@dataclasses.dataclass
class Inside:
    """The stage of a test."""

    listener: Listener
    client: Client
    world: World
    registry: Registry

    @property
    def urls(self) -> list[str]:
        return table(self.listener.port)

    def check(self, expected: Sequence[str]) -> None:
        """Of those every one was tried, and nobody heard of it."""
        assert self.client.answered == []
        assert self.listener.heard == 0
        assert set(self.client.refused.values()) <= {"refused-address", "bad-url", "resolve"}
        tried = {_bare(url) for url in self.client.refused}
        assert [url for url in expected if _bare(url) not in tried] == []


def _bare(url: str) -> str:
    """Without the fragment, which is Outdial's own, and without space around it."""
    return url.strip().partition("#")[0]


@pytest.fixture
async def inside() -> AsyncIterator[Inside]:
    async with NameServer() as names, Listener() as listener:
        for line in ZONE:
            names.add(line)
        real = HttpClient(AddressPolicy(), resolver=Dns(names))
        limits = Limits(
            calls_per_second=100_000, concurrent_calls=10_000, destinations=[CALLEE[:4]]
        )
        world = World(Trunk(name="a", address="192.0.2.1"), settings=Settings(limits=limits))
        client = Client(world.web, real)
        world.services = dataclasses.replace(
            world.services,
            http=client,
            check_destination=lambda number, field: check_destination(number, limits, field),
            sounds=Sounds(cast(HttpClient, client), cast(Any, None), cast(Any, None)),
        )
        registry = Registry(world.services, cast(Store, world.store))
        await registry.start()
        yield Inside(listener, client, world, registry)
        await real.close()


def wanted(urls: Sequence[str]) -> list[str]:
    """Those that a document or a request may have: the others are refused before, as no URLs."""
    policy = AddressPolicy()
    taken = []
    for url in urls:
        try:
            check_url(url, policy)
        except FetchError as error:
            if error.kind == "bad-url":
                continue
        taken.append(url)
    return taken


Verb = Callable[[str], str]
VERBS: dict[str, Verb] = {
    "Redirect": lambda url: f"<Redirect>{url[1:-1]}</Redirect>",
    "Play": lambda url: f"<Play>{url[1:-1]}</Play>",
    "Play in Gather": lambda url: f"<Gather timeout='1'><Play>{url[1:-1]}</Play></Gather>",
    "action of Dial": lambda url: f"<Dial action={url}>{DENIED}</Dial>",
    "url of Number": lambda url: f"<Dial><Number url={url}>{OTHER}</Number></Dial>",
    "waitUrl of Conference": lambda url: (
        f"<Dial><Conference startConferenceOnEnter='false' waitUrl={url}>r{{n}}</Conference></Dial>"
    ),
    "waitUrl of Enqueue": lambda url: f"<Enqueue waitUrl={url}>q{{n}}</Enqueue>",
    "action of Fax": lambda url: f"<Fax action={url}/>",
    "action of Sms": lambda url: f"<Sms action={url} to='{CALLEE}'>hello</Sms>",
}


@pytest.mark.parametrize("feature", VERBS)
async def test_no_verb_gets_inside(inside: Inside, feature: str) -> None:
    urls = wanted(inside.urls)
    requests = []
    for n, url in enumerate(urls):
        verb = VERBS[feature](quoteattr(url)).replace("{n}", str(n))
        inside.world.web.pages[f"{APP}{n}"] = Page(f"<Response>{verb}</Response>".encode())
        requests.append(CallRequest(CALLEE, CALLER, f"{APP}{n}"))
    await _call(inside, requests, urls)
    inside.check(urls)


@pytest.mark.parametrize("feature", ["url", "fallbackUrl", "url by GET", "redirected by the API"])
async def test_no_url_of_a_call_gets_inside(inside: Inside, feature: str) -> None:
    """Though it was not refused when the call was posted: a name may lead elsewhere since."""
    urls = wanted(inside.urls)
    inside.world.web.pages[APP] = Page(b"<Response><Pause length='60'/></Response>")
    missing = f"{APP}missing"
    made: Callable[[str], CallRequest] = {
        "url": lambda url: CallRequest(CALLEE, CALLER, url),
        "url by GET": lambda url: CallRequest(CALLEE, CALLER, url, method="GET"),
        "fallbackUrl": lambda url: CallRequest(CALLEE, CALLER, missing, fallback_url=url),
        "redirected by the API": lambda _: CallRequest(CALLEE, CALLER, APP),
    }[feature]
    redirect = feature == "redirected by the API"
    await _call(inside, [made(url) for url in urls], urls, redirect=redirect)
    inside.check(urls)


async def _call(
    inside: Inside, requests: Sequence[CallRequest], urls: Sequence[str], *, redirect: bool = False
) -> None:
    """Places them all, answers them, and hangs up when every URL was tried, or none is left."""
    calls = [await inside.registry.place(request, "dev") for request in requests]
    legs: list[FakeSignallingLeg] = []
    for count in range(1, len(calls) + 1):
        legs.append(await inside.world.signalling.next_leg(count))
    for leg in legs:
        leg.answers(Answered(ANSWER))
    if redirect:
        await until(lambda: inside.world.store.kinds().count("verb.started") == len(calls))
        for call, url in zip(calls, urls, strict=True):
            await inside.registry.command(call.sid, Redirect(url), "dev")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(20):
            while len(set(map(_bare, inside.client.refused))) < len(set(map(_bare, urls))):
                if not inside.registry.health()["live"]:
                    break
                for leg in inside.world.signalling.legs[len(legs) :]:  # whom a Dial has rung
                    legs.append(leg)
                    leg.answers(Answered(ANSWER))
                await asyncio.sleep(0.01)
    for call in calls:
        await inside.registry.hang_up(call.sid)
    async with asyncio.timeout(20):
        await until(
            lambda: not inside.registry.health()["live"] and not len(inside.world.services.tasks)
        )


async def test_no_callback_gets_inside(inside: Inside) -> None:
    """statusCallback, also of a Number, a text message and a number of ours, and Postcall."""
    urls = wanted(inside.urls)
    settled: list[DeliveryRecord] = []
    deliverer = Deliverer(
        cast(Any, _Outbox()),
        cast(Any, inside.client),
        SystemClock(),
        Webhooks(attempts=1),
        on_settled=lambda delivery, _: settled.append(delivery),
    )
    await deliverer.start()
    deliverer.submit(
        DeliveryRecord(
            f"DE{n}", f"CA{n}", f"CA{n} {url}", 0, "completed", url, "POST", (), SystemClock().now()
        )
        for n, url in enumerate(urls)
    )
    await until(lambda: len(settled) == len(urls))
    await deliverer.stop()
    assert all(one.last_status is None and one.last_error for one in settled)
    inside.check(urls)


async def test_no_gateway_of_messages_gets_inside(inside: Inside) -> None:
    urls = wanted(inside.urls)
    message = MessageRecord("SM", "CA", CALLER, CALLEE, "hello", "queued", 0.0, via="")
    for url in urls:
        sms = Sms.model_construct(**Sms().model_dump() | {"gateway_url": url})
        result = await Gateway(cast(Any, inside.client), sms).send(message)
        assert result.local and result.not_taken
    inside.check([url for url in urls if "{" not in url])


@pytest.mark.parametrize("follow", [0, 3])
async def test_no_redirect_leads_inside(inside: Inside, follow: int) -> None:
    """Of sounds they are followed, and judged at each hop; of all else they are not followed."""
    hops = 0

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal hops
        hops += 1
        request = await reader.readuntil(b"\r\n\r\n")
        number = request.split(b" ")[1].strip(b"/")
        target = b"/nowhere"
        if number.isdigit():
            target = urls[int(number)].encode("ascii", "ignore").replace(b"\t", b"")
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n" % target)
        writer.write(b"Connection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    urls = inside.urls
    server = await asyncio.start_server(redirect, "127.0.0.3", 0)
    allowed = f"http://127.0.0.3:{server.sockets[0].getsockname()[1]}/"
    names = inside.client._real._resolver
    client = HttpClient(AddressPolicy(["127.0.0.3/32"]), resolver=names)
    refused = 0
    for number in range(len(urls)):
        try:
            answer = await client.request("GET", f"{allowed}{number}", follow=follow)
        except FetchError:
            refused += 1
        else:
            assert answer.status == 302  # of the server that may be asked: a path of its own
            assert answer.url.startswith(allowed)
    await client.close()
    server.close()
    assert hops >= len(urls)
    assert refused > (90 if follow else -1)
    assert inside.listener.heard == 0


async def test_a_second_answer_of_the_name_server_is_not_asked_for(inside: Inside) -> None:
    """Rebinding: public when it is judged, private when it is connected to."""

    class Rebinding:
        def __init__(self) -> None:
            self.asked = 0

        async def resolve(self, host: str) -> Sequence[str]:
            self.asked += 1
            return ["192.0.2.1"] if self.asked % 2 else ["127.0.0.1"]

        async def close(self) -> None:
            pass

    names = Rebinding()
    policy = AddressPolicy(["192.0.2.0/24"])  # stands for a public address, where nobody answers
    client = HttpClient(policy, resolver=names)
    url = f"http://rebinds.example:{inside.listener.port}/"
    with pytest.raises(FetchError):
        await client.request("GET", url, timeout_s=0.3)
    assert names.asked == 1
    await client.close()
    assert inside.listener.heard == 0


@pytest.mark.parametrize("name", ["url", "status_callback", "fallback_url"])
def test_what_can_be_told_without_a_name_server_is_refused_at_the_post(name: str) -> None:
    policy = AddressPolicy()
    rules = checks.Rules(Limits(destinations=["1"]), lambda url: check_url(url, policy))
    refused: dict[int, int] = {}
    fields = set()
    for url in table(9):
        values = {"to": [CALLEE], "from": [CALLER], "url": ["https://example.com/"], name: [url]}
        try:
            checks.check(values, {one: one for one in checks.FIELDS}, rules)
        except Refused as refusal:
            fields.add(refusal.field)
            refused[refusal.code] = refused.get(refusal.code, 0) + 1
        else:
            assert ".example" in url, url  # a name says only at the call where it leads
    assert fields == {name}
    assert refused[codes.REFUSED_ADDRESS] > 40 and refused[codes.BAD_VALUE] > 15


class _Outbox:
    def settle_delivery(self, delivery: DeliveryRecord) -> None:
        pass

    async def flush(self) -> None:
        pass

    async def pending_deliveries(
        self, limit: int, after: int = 0
    ) -> tuple[list[DeliveryRecord], int]:
        return [], 0


ELSEWHERE = {"net/pool.py", "store/postgresql.py"}
"""What connects by TCP besides SIP: the client's pool, and the database."""
CONNECTS = re.compile(
    r"open_connection|create_connection\(|urllib\.request|http\.client|import (aiohttp|requests)"
)


def test_nothing_else_in_a_server_fetches() -> None:
    """So what is shown of the one client holds for a feature that nobody has written yet."""
    source = Path(outdial.__file__).parent
    found = {
        str(path.relative_to(source))
        for path in source.rglob("*.py")
        if path.relative_to(source).parts[0]
        not in ("cli", "testing", "sim", "demo", "sip", "trunk_check")
        and CONNECTS.search(path.read_text())
    }
    assert found <= ELSEWHERE, found
