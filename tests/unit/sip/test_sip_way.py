"""Whether calls on a trunk go over TLS, asked before there is an offer: by the records of DNS."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from doubles.names import BookOfNames
from outdial.clock import SystemClock
from outdial.config import Sip, Trunk
from outdial.sip.core.locating import Naptr
from outdial.sip.endpoint import SipEndpoint
from outdial.sip.plane import SipPlane
from outdial.sip.resolver import Resolver

LISTEN = ["udp:127.0.0.1:0", "tls:127.0.0.1:0"]


def by_naptr(service: str, transport: str) -> BookOfNames:
    protocol = "_sips._tcp" if transport == "tls" else f"_sip._{transport}"
    return BookOfNames(
        {"one.example": ["127.0.0.2"], "two.example": ["127.0.0.3"]},
        {f"{protocol}.carrier.example": [(1, 1, "one.example", 5061), (2, 1, "two.example", 5061)]},
        {"carrier.example": [Naptr(1, 1, "s", service, f"{protocol}.carrier.example")]},
    )


@pytest.fixture
async def endpoint() -> AsyncIterator[SipEndpoint]:
    made = await SipEndpoint.start(Sip(listen=LISTEN))
    yield made
    await made.close()


async def asked(endpoint: SipEndpoint, names: BookOfNames, **more: str) -> bool:
    trunk = Trunk.model_validate({"name": "carrier", "address": "carrier.example", **more})
    resolver = Resolver(names, ("udp", "tls"))
    plane = SipPlane(Sip(listen=LISTEN), [trunk], endpoint, SystemClock(), resolver)
    try:
        first = await plane.goes_over_tls("carrier")
        assert await plane.goes_over_tls("carrier") is first, "known by now"
        return first
    finally:
        plane.close()


async def test_naptr_leads_to_tls(endpoint: SipEndpoint) -> None:
    assert await asked(endpoint, by_naptr("SIPS+D2T", "tls"))


async def test_naptr_leads_to_udp(endpoint: SipEndpoint) -> None:
    assert not await asked(endpoint, by_naptr("SIP+D2U", "udp"))


async def test_srv_alone_leads_to_tls(endpoint: SipEndpoint) -> None:
    names = by_naptr("SIPS+D2T", "tls")
    names.pointers.clear()
    assert await asked(endpoint, names)


async def test_the_settings_know_better(endpoint: SipEndpoint) -> None:
    names = BookOfNames({"carrier.example": ["127.0.0.2"]})
    assert await asked(endpoint, names, transport="tls")
    assert not await asked(endpoint, names, transport="udp")


async def test_what_cannot_be_found_goes_nowhere(endpoint: SipEndpoint) -> None:
    assert not await asked(endpoint, BookOfNames())
    names = BookOfNames()
    names.away.add("")
    assert not await asked(endpoint, names)
    plane = SipPlane(Sip(listen=LISTEN), [], endpoint, SystemClock())
    assert not await plane.goes_over_tls("carrier")
    plane.close()
