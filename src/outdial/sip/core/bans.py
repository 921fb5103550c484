"""Sources that are not listened to for a while: those whose messages are nothing but trouble.

Whoever is banned is thrown away before anything of a message is read, so that a flood costs what
its datagrams cost the kernel. Memory is bounded whatever comes and from wherever: addresses can be
forged, and then everybody is a source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from ipaddress import IPv6Address

from outdial.frozen import frozen
from outdial.sip.core.counts import Drop

WINDOW_S = 60.0
"""Offences count together that fall into so many seconds."""
MOST_SOURCES = 4_096
"""Sources whose offences are counted; the one that came first makes room for a new one."""
MOST_BANS = 1_024
"""The oldest ban makes room for a new one."""
_SITE_BITS = 64


@frozen
class Ban:
    """One source that is not listened to."""

    address: str
    """IPv4 address, or the first address of an IPv6 /64: whoever has one of those has them all."""
    reason: Drop
    """What its last offence was."""
    offences: int
    """How many it took."""
    since: float
    until: float


class Bans:
    """Counts offences and remembers who has had too many; times are seconds of any one clock."""

    def __init__(self, after: int, ban_s: float) -> None:
        """So many offences within `WINDOW_S` ban for `ban_s`; 0: nobody is ever banned."""
        self._after = after
        self._ban_s = ban_s
        self._offences: dict[str, tuple[int, float]] = {}
        """How many, and when the first of them was."""
        self._bans: dict[str, Ban] = {}
        """All last equally long, so that the first is always the one that ends first."""
        self.made: dict[Drop, int] = {}
        """Bans since the start, by reason."""
        self.refused = 0
        """Messages and connections of banned sources that were thrown away."""

    def __bool__(self) -> bool:
        """Whether anybody is banned, perhaps no longer: the one question that each message asks."""
        return bool(self._bans)

    def offend(
        self, host: str, reason: Drop, now: float, spared: Callable[[], bool] = lambda: False
    ) -> Ban | None:
        """Counts an offence of the address; gives the ban if it was one too many.

        `spared` says whether the address may not be banned; it is asked only when it would be.
        """
        if not self._after:
            return None
        source = source_of(host)
        if source in self._bans:
            return None  # what was under way when the ban was made
        count, first = self._offences.pop(source, (0, now))
        if now - first > WINDOW_S:
            count, first = 0, now
        count += 1
        if count >= self._after:
            if spared():
                return None
            return self._ban(source, reason, count, now)
        if len(self._offences) >= MOST_SOURCES:
            del self._offences[next(iter(self._offences))]
        self._offences[source] = count, first
        return None

    def _ban(self, source: str, reason: Drop, offences: int, now: float) -> Ban:
        self.forget_expired(now)
        if len(self._bans) >= MOST_BANS:
            del self._bans[next(iter(self._bans))]
        ban = self._bans[source] = Ban(source, reason, offences, now, now + self._ban_s)
        self.made[reason] = self.made.get(reason, 0) + 1
        return ban

    def holds(self, host: str, now: float) -> bool:
        """Whether the address is banned now."""
        ban = self._bans.get(source_of(host))
        return ban is not None and now < ban.until

    def forgive(self, host: str) -> None:
        """The address has shown that it means well: its offences so far do not count."""
        self._offences.pop(source_of(host), None)

    def lift(self, host: str) -> bool:
        """Ends the ban of an address, and begins to count anew; False when there is none."""
        self.forgive(host)
        return self._bans.pop(source_of(host), None) is not None

    def listed(self, now: float) -> list[Ban]:
        """The bans that hold, oldest first."""
        self.forget_expired(now)
        return list(self._bans.values())

    def forget_expired(self, now: float) -> None:
        """Drops the bans that are over."""
        for source in list(self._expired(now)):
            del self._bans[source]

    def _expired(self, now: float) -> Iterator[str]:
        for source, ban in self._bans.items():
            if ban.until > now:
                return
            yield source

    @property
    def counted(self) -> int:
        """Sources whose offences are remembered."""
        return len(self._offences)


@lru_cache(maxsize=1024)
def source_of(host: str) -> str:
    """What is banned with an address: itself, or its /64; what is no address stays as it is."""
    if ":" not in host:
        return host
    try:
        address = IPv6Address(host.partition("%")[0])
    except ValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    shift = 128 - _SITE_BITS
    return str(IPv6Address(int(address) >> shift << shift))
