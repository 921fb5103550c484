"""Which servers take no calls at present, as earlier calls have found. Bounded, and soon forgotten.

A server that said nothing, or is not there, is tried after all others: to leave it out would make
an outage of a minute out of one lost datagram. One that asked for no requests (503 with
Retry-After) gets none, for as long as it said.
"""

from __future__ import annotations

from collections.abc import Sequence

from outdial.frozen import frozen
from outdial.sip.core.hop import Hop, host_port

FORGOTTEN_AFTER_S = 60.0
MAX_PAUSE_S = 600.0
"""Longer wishes are cut short: a carrier's mistake in a number must not take it away for a day."""
_MAX_KEPT = 1000

_Key = tuple[str, str, int]


@frozen
class Outage:
    """One server that is avoided, or paused."""

    target: str
    """transport:address:port."""
    why: str
    """As a person says it: "says nothing"."""
    until: float
    is_pause: bool = False
    """It asked for it: nothing is sent there."""


class Outages:
    """Of all trunks."""

    def __init__(self) -> None:
        self._kept: dict[_Key, Outage] = {}

    def __bool__(self) -> bool:
        return bool(self._kept)

    def died(self, hop: Hop, why: str, now: float) -> None:
        """It does not take calls; `why` goes behind its name."""
        known = self._at(hop, now)
        if known is None or not known.is_pause:
            self._keep(hop, Outage(_name(hop), why, now + FORGOTTEN_AFTER_S))

    def paused(self, hop: Hop, seconds: float, now: float) -> None:
        """It asked for no requests for so long."""
        seconds = min(seconds, MAX_PAUSE_S)
        if seconds > 0:
            why = f"asked for no calls for {seconds:g} s"
            self._keep(hop, Outage(_name(hop), why, now + seconds, is_pause=True))

    def revived(self, hop: Hop, now: float) -> None:
        """It answers. What it asked for stays."""
        known = self._at(hop, now)
        if known is not None and not known.is_pause:
            del self._kept[_key(hop)]

    def in_order(self, hops: Sequence[Hop], now: float) -> list[Hop]:
        """Those that may be tried: the ones that are avoided behind the others, without those that
        are paused."""
        if not self._kept:
            return list(hops)
        states = [(hop, self._at(hop, now)) for hop in hops]
        fit = [hop for hop, outage in states if outage is None]
        return fit + [hop for hop, outage in states if outage is not None and not outage.is_pause]

    def of(self, hops: Sequence[Hop], now: float) -> list[Outage]:
        """What is known of them."""
        if not self._kept:
            return []
        return [outage for hop in hops if (outage := self._at(hop, now)) is not None]

    def _at(self, hop: Hop, now: float) -> Outage | None:
        key = _key(hop)
        outage = self._kept.get(key)
        if outage is not None and outage.until <= now:
            del self._kept[key]
            return None
        return outage

    def _keep(self, hop: Hop, outage: Outage) -> None:
        key = _key(hop)
        self._kept.pop(key, None)
        if len(self._kept) >= _MAX_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = outage


def _key(hop: Hop) -> _Key:
    return hop.transport, hop.host, hop.port


def _name(hop: Hop) -> str:
    return f"{hop.transport}:{host_port(hop.host, hop.port)}"
