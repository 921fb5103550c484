"""The name servers of a rehearsal, which do to each carrier's domain what its fault says.

`outdial.testing.name_server` does the like over sockets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from outdial.frozen import frozen
from outdial.sip.core.locating import Naptr, Srv
from outdial.sip.names import Answer, NamesAway
from outdial.testing.carrier.fault import Dns

SLOW_S = 1.5
TTL_S = 10.0
_SERVICE = "_sip._udp."


@frozen
class Domain:
    """One carrier's."""

    dns: Dns
    hosts: Sequence[str]
    """Addresses of its servers, the preferred first."""


class CarrierNames:
    """Fulfils `names.Names`."""

    def __init__(self, domains: Mapping[str, Domain]) -> None:
        self._domains = domains
        self._asked: set[str] = set()

    async def naptr(self, name: str) -> Answer[Naptr]:
        """See Names: there are none."""
        return Answer((), TTL_S)

    async def srv(self, name: str) -> Answer[Srv]:
        """See Names."""
        domain = self._domains.get(name.removeprefix(_SERVICE))
        if domain is None or not name.startswith(_SERVICE):
            return Answer((), TTL_S)
        await self._misbehave(name, domain.dns)
        if domain.dns == "no service":
            return Answer((Srv(0, 0, 0, "."),), TTL_S)
        whole = name.removeprefix(_SERVICE)
        targets = (
            ["gone"] if domain.dns == "dangling" else [str(n) for n in range(len(domain.hosts))]
        )
        return Answer(
            tuple(Srv(place, 1, 5060, f"{one}.{whole}") for place, one in enumerate(targets)), TTL_S
        )

    async def addresses(self, name: str) -> Answer[str]:
        """See Names."""
        place, _, whole = name.partition(".")
        domain = self._domains.get(whole)
        if domain is None:
            own = self._domains.get(name)
            if own is not None:
                await self._misbehave(name, own.dns)
            return Answer((), TTL_S)
        await self._misbehave(name, domain.dns)
        return Answer((domain.hosts[int(place)],) if place.isdigit() else (), TTL_S)

    async def _misbehave(self, name: str, dns: Dns) -> None:
        if dns == "silent":
            await asyncio.Event().wait()
        if dns == "slow":
            await asyncio.sleep(SLOW_S)
        if dns == "broken":
            raise NamesAway("the name server gave no usable answer (aliases in a circle)")
        if dns == "lost" and name in self._asked:
            raise NamesAway("the name server does not answer")
        self._asked.add(name)
