"""Who is not listened to, and the log that says so: the shell round the pure list of bans."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from outdial.clock import Clock
from outdial.sip.core.bans import Ban, Bans
from outdial.sip.core.counts import Drop
from outdial.sip.core.hop import Hop
from outdial.sip.refusals import Refusals

OFFENCES: tuple[Drop, ...] = ("malformed", "denied", "strays", "unauthorized")
"""Not overload: that is nobody's fault in particular."""


class Sentry:
    """One for an endpoint.

    Anybody can write any address into a datagram, so those that matter cannot be banned: `is_own`
    says whether one is a trunk's, `is_called` whether a call to or from there goes on.
    """

    def __init__(
        self,
        bans: Bans,
        clock: Clock,
        time: Callable[[], float],
        is_own: Callable[[str], bool],
        is_called: Callable[[str], bool],
    ) -> None:
        self._bans = bans
        self._clock = clock
        self._time = time
        self._is_own = is_own
        self._is_called = is_called
        self._refusals = Refusals()

    def offended(self, why: Drop, source: Hop, method: str) -> None:
        """A message from there was thrown away."""
        now = self._time()
        if method:
            self._refusals.tell(why, source.peer, method, now)
        if why in OFFENCES:
            self._count(source.host, why, now)

    def broke_off(self, host: str) -> None:
        """What came over a connection from there was no SIP."""
        self._count(host, "malformed", self._time())

    def _count(self, host: str, why: Drop, now: float) -> None:
        ban = self._bans.offend(host, why, now, lambda: self._is_own(host) or self._is_called(host))
        if ban is not None:
            self._refusals.tell_banned(ban, now)

    def turns_away(self, host: str) -> bool:
        """Whether nothing from there is looked at. A ban of what has become a trunk is lifted."""
        if not self._bans or not self._bans.holds(host, self._time()):
            return False
        if self._is_own(host):
            self._bans.lift(host)
            return False
        self._bans.refused += 1
        return True

    def forgive(self, host: str) -> None:
        """Somebody there has shown the right password."""
        self._bans.forgive(host)

    # ------------------------------------------------------------ for people

    def listed(self) -> list[Ban]:
        """The bans that hold, oldest first, with wall-clock times."""
        now = self._time()
        offset = self._clock.now() - now
        return [
            replace(ban, since=ban.since + offset, until=ban.until + offset)
            for ban in self._bans.listed(now)
        ]

    def lift(self, address: str) -> bool:
        """Listens to the address again; False when it was not banned."""
        is_held = self._bans.holds(address, self._time())
        return self._bans.lift(address) and is_held

    def refused(self) -> int:
        """Messages and connections of banned sources that were thrown away."""
        return self._bans.refused

    def made(self) -> Mapping[Drop, int]:
        """Bans since the start, by reason."""
        return self._bans.made
