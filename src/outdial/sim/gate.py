"""The digest challenge of a simulated phone: 407, then the call again with credentials."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Protocol

from outdial.clock import Clock
from outdial.legs import IncomingLeg
from outdial.sim.steps import Challenge
from outdial.sip.core.digest import Verdict, Verifier
from outdial.sip.core.message import Request

REALM = "sim.outdial"


class SimulatedLeg(IncomingLeg, Protocol):
    """What a simulated phone needs besides an incoming leg: to see the INVITE's credentials."""

    @property
    def request(self) -> Request:
        """The INVITE."""


Admits = Callable[[SimulatedLeg, Challenge], bool]
"""Whether the INVITE carries the right credentials; if not, it has been answered with 407."""


class DigestGate:
    """Admits calls by digest (RFC 8760: SHA-256 offered first, MD5 after it)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._verifier = Verifier(REALM, secrets.token_bytes(32))

    def admits(self, leg: SimulatedLeg, challenge: Challenge) -> bool:
        """See `Admits`."""
        verdict = self._judge(leg, challenge)
        if verdict is Verdict.ACCEPTED:
            return True
        values = self._verifier.challenges(
            leg.source[0],
            self._clock.now(),
            secrets.token_hex(8),
            stale=verdict is Verdict.STALE,
        )
        leg.reject(407, "", tuple(("Proxy-Authenticate", value) for value in values))
        return False

    def _judge(self, leg: SimulatedLeg, challenge: Challenge) -> Verdict:
        request = leg.request
        authorization = request.headers.get("Proxy-Authorization")
        if authorization is None:
            return Verdict.REFUSED
        return self._verifier.verify(
            authorization,
            {challenge.username: challenge.password}.get,
            request.method,
            request.uri,
            leg.source[0],
            self._clock.now(),
            request.body,
        )
