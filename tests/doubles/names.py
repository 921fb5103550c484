"""A book of names in place of name servers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from outdial.sip.core.locating import Naptr, Srv
from outdial.sip.names import Answer, NamesAway

SrvRow = tuple[int, int, str, int]
"""Priority, weight, target, port."""


class BookOfNames:
    """Fulfils `names.Names`, and notes what it was asked."""

    def __init__(
        self,
        hosts: Mapping[str, Sequence[str]] | None = None,
        srv: Mapping[str, Sequence[SrvRow]] | None = None,
        naptr: Mapping[str, Sequence[Naptr]] | None = None,
        ttl_s: float = 60.0,
    ) -> None:
        self.hosts = dict(hosts or {})
        self.services = dict(srv or {})
        self.pointers = dict(naptr or {})
        self.ttl_s = ttl_s
        self.asked: list[str] = []
        self.away: set[str] = set()
        """Names that nobody answers for; "" is every name."""
        self.before: Callable[[], Awaitable[None]] | None = None
        """What happens before each answer."""

    async def naptr(self, name: str) -> Answer[Naptr]:
        """See Names."""
        await self._hear(f"NAPTR {name}", name)
        return Answer(tuple(self.pointers.get(name, ())), self.ttl_s)

    async def srv(self, name: str) -> Answer[Srv]:
        """See Names."""
        await self._hear(name, name)
        rows = self.services.get(name, ())
        records = (Srv(priority, weight, port, target) for priority, weight, target, port in rows)
        return Answer(tuple(records), self.ttl_s)

    async def addresses(self, name: str) -> Answer[str]:
        """See Names."""
        await self._hear(name, name)
        return Answer(tuple(self.hosts.get(name, ())), self.ttl_s)

    async def _hear(self, note: str, name: str) -> None:
        self.asked.append(note)
        if self.before is not None:
            await self.before()
        if self.away & {"", name}:
            raise NamesAway("the name server does not answer")


async def silence() -> None:
    """A name server that never answers."""
    await asyncio.Event().wait()
