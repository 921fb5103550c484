"""Everything that could be led inside, and who would hear of it there: a table of URLs, the name
server that answers for them, a listener, and calls whose HTTP client is the real one."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import dns.asyncresolver
import dns.exception

from doubles.world import FakeWeb, World
from outdial.calls.messages import Messages
from outdial.calls.numbers import check_destination
from outdial.calls.registry import Registry
from outdial.config import Limits, Settings, Sms, Trunk
from outdial.errors import FetchError
from outdial.net.addresses import AddressPolicy, check_url
from outdial.net.client import HttpClient
from outdial.speech.sounds import Sounds
from outdial.store.store import Store
from outdial.testing.name_server import NameServer

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
        self.real = real
        self.refused: dict[str, str] = {}
        """Why each URL was refused."""
        self.answered: list[str] = []

    async def request(self, method: str, url: str, **how: Any) -> Any:
        if url.startswith(APP):
            return await self._pages.request(method, url, params=how.get("params", ()))
        try:
            answer = await self.real.request(method, url, **how)
        except FetchError as error:
            self.refused[url] = error.kind
            raise
        self.answered.append(url)
        return answer


@dataclasses.dataclass
class Inside:
    """The stage of a test."""

    names: Dns
    listener: Listener
    client: Client
    world: World
    registry: Registry

    @property
    def urls(self) -> list[str]:
        return table(self.listener.port)

    @property
    def tried(self) -> set[str]:
        """What was asked for, and refused."""
        return {bare(url) for url in self.client.refused}

    def check(self, expected: Sequence[str]) -> None:
        """Of those every one was tried, and nobody heard of it."""
        assert self.client.answered == []
        assert self.listener.heard == 0
        assert set(self.client.refused.values()) <= {"refused-address", "bad-url", "resolve"}
        assert [url for url in expected if bare(url) not in self.tried] == []


def bare(url: str) -> str:
    """Without the fragment, which is Outdial's own, and without space around it."""
    return url.strip().partition("#")[0]


@asynccontextmanager
async def staged() -> AsyncIterator[Inside]:
    """The real client and its rules, the application's pages and legs of stand-ins."""
    async with NameServer() as names, Listener() as listener:
        for line in ZONE:
            names.add(line)
        resolver = Dns(names)
        real = HttpClient(AddressPolicy(), resolver=resolver)
        limits = Limits(
            calls_per_second=100_000, concurrent_calls=10_000, destinations=[CALLEE[:4]]
        )
        world = World(Trunk(name="a", address="192.0.2.1"), settings=Settings(limits=limits))
        client = Client(world.web, real)

        def check(number: str, field: str) -> None:
            check_destination(number, limits, field)

        world.services = dataclasses.replace(
            world.services,
            http=client,
            check_destination=check,
            messages=Messages(
                Sms(),
                store=world.store,
                journal=world.services.journal,
                routes=world.services.routes,
                plane=None,
                gateway=None,
                clock=world.services.clock,
                check_destination=check,
            ),
            sounds=Sounds(cast(HttpClient, client), cast(Any, None), cast(Any, None)),
        )
        registry = Registry(world.services, cast(Store, world.store))
        await registry.start()
        yield Inside(resolver, listener, client, world, registry)
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
