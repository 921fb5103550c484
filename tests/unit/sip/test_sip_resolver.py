"""Names to addresses: what is asked, in which order, and for how long the answer counts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from outdial.sip import resolver as module
from outdial.sip.resolver import ResolutionFailed, Resolver, SrvRecord, host_addresses, srv_records


class Names:
    """A name server with a book of its own, which notes what it was asked."""

    def __init__(self, **hosts: list[str]) -> None:
        self.hosts = {name.replace("_", "."): found for name, found in hosts.items()}
        self.srv: list[SrvRecord] = []
        self.asked: list[str] = []

    async def look_up_srv(self, name: str) -> list[SrvRecord]:
        self.asked.append(name)
        return self.srv

    async def look_up_host(self, name: str) -> list[str]:
        self.asked.append(name)
        return self.hosts.get(name, [])

    def resolver(self) -> Resolver:
        return Resolver(self.look_up_srv, self.look_up_host)


@pytest.mark.parametrize(
    ("host", "port", "address"),
    [
        ("192.0.2.1", None, ("192.0.2.1", 5060)),
        ("192.0.2.1", 5070, ("192.0.2.1", 5070)),
        ("[2001:db8::1]", None, ("2001:db8::1", 5060)),
        ("2001:db8::1", 5061, ("2001:db8::1", 5061)),
    ],
)
async def test_literals_are_not_asked_for(
    host: str, port: int | None, address: tuple[str, int]
) -> None:
    names = Names()
    assert names.resolver().known(host, port, "udp") == [address]
    assert await names.resolver().resolve(host, port, "udp") == [address]
    assert names.asked == []


async def test_a_port_means_that_srv_is_not_asked() -> None:
    names = Names(carrier_example=["192.0.2.1", "192.0.2.2"])
    found = await names.resolver().resolve("carrier.example", 5070, "udp")
    assert found == [("192.0.2.1", 5070), ("192.0.2.2", 5070)]
    assert names.asked == ["carrier.example"]


async def test_without_a_port_srv_comes_first() -> None:
    names = Names(a_example=["192.0.2.1"], b_example=["192.0.2.2"], c_example=["192.0.2.3"])
    names.srv = [
        (20, 0, "c.example", 5063),
        (10, 10, "a.example", 5061),
        (10, 90, "b.example", 5062),
        (30, 0, "192.0.2.4", 5064),
    ]
    found = await names.resolver().resolve("carrier.example", None, "tcp")
    assert names.asked[0] == "_sip._tcp.carrier.example"
    assert found == [
        ("192.0.2.2", 5062), ("192.0.2.1", 5061), ("192.0.2.3", 5063), ("192.0.2.4", 5064),
    ]  # fmt: skip


async def test_without_srv_the_host_is_asked_with_the_default_port() -> None:
    names = Names(carrier_example=["192.0.2.1"])
    found = await names.resolver().resolve("carrier.example", None, "udp")
    assert found == [("192.0.2.1", 5060)]
    assert names.asked == ["_sip._udp.carrier.example", "carrier.example"]


async def test_an_address_that_two_records_share_is_tried_once() -> None:
    names = Names(a_example=["192.0.2.1"], b_example=["192.0.2.1"])
    names.srv = [(1, 0, "a.example", 5060), (2, 0, "b.example", 5060)]
    found = await names.resolver().resolve("carrier.example", None, "udp")
    assert found == [("192.0.2.1", 5060)]


async def test_answers_count_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(carrier_example=["192.0.2.1"])
    resolver = names.resolver()
    assert resolver.known("carrier.example", 5060, "udp") is None
    await resolver.resolve("carrier.example", 5060, "udp")
    names.hosts = {"carrier.example": ["192.0.2.9"]}
    assert resolver.known("carrier.example", 5060, "udp") == [("192.0.2.1", 5060)]
    assert await resolver.resolve("carrier.example", 5060, "udp") == [("192.0.2.1", 5060)]
    loop = asyncio.get_running_loop()
    later = loop.time() + 61
    monkeypatch.setattr(loop, "time", lambda: later)
    assert resolver.known("carrier.example", 5060, "udp") is None
    assert await resolver.resolve("carrier.example", 5060, "udp") == [("192.0.2.9", 5060)]


async def test_answers_are_kept_by_port_and_transport() -> None:
    names = Names(carrier_example=["192.0.2.1"])
    resolver = names.resolver()
    await resolver.resolve("carrier.example", 5060, "udp")
    assert resolver.known("carrier.example", 5061, "udp") is None
    assert resolver.known("carrier.example", 5060, "tcp") is None


async def test_the_cache_does_not_grow_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_CACHED", 3)
    names = Names(**{f"h{number}": ["192.0.2.1"] for number in range(5)})
    resolver = names.resolver()
    for number in range(4):
        await resolver.resolve(f"h{number}", 5060, "udp")
    kept = [number for number in range(4) if resolver.known(f"h{number}", 5060, "udp")]
    assert kept == [3]


async def test_a_name_without_address_is_an_error_and_is_not_kept() -> None:
    names = Names()
    resolver = names.resolver()
    with pytest.raises(ResolutionFailed, match=r"carrier\.example has no address"):
        await resolver.resolve("carrier.example", None, "udp")
    names.hosts = {"carrier.example": ["192.0.2.1"]}
    assert await resolver.resolve("carrier.example", None, "udp") == [("192.0.2.1", 5060)]


async def test_a_silent_name_server_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TIMEOUT_S", 0.01)

    async def silence(name: str) -> list[Any]:
        await asyncio.Event().wait()
        return []

    with pytest.raises(ResolutionFailed, match="does not answer"):
        await Resolver(silence, silence).resolve("carrier.example", None, "udp")


async def test_the_systems_own_look_up() -> None:
    assert "127.0.0.1" in await host_addresses("localhost")
    assert await host_addresses("no host name at all") == []
    assert await host_addresses("a" * 300) == []


async def test_srv_without_a_name_server_is_no_error() -> None:
    assert await srv_records("no..name") == []
