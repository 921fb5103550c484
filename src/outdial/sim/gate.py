"""The digest challenge of a simulated phone: 407, then the call again with credentials."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import Protocol

from outdial.clock import Clock
from outdial.errors import RemoteProtocolError
from outdial.legs import IncomingLeg
from outdial.sim.steps import Challenge
from outdial.sip.core.digest import Verdict, Verifier
from outdial.sip.core.uri import Uri

REALM = "sim.outdial"

_URI = re.compile(r'[\s,]uri="([^"]*)"', re.IGNORECASE)


class SimulatedLeg(IncomingLeg, Protocol):
    """What a simulated phone needs besides an incoming leg: to see the INVITE's credentials."""

    def header(self, name: str) -> str | None:
        """A header of the INVITE."""


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
        authorization = leg.header("Proxy-Authorization")
        uri = None if authorization is None else _called(authorization, leg.called)
        if authorization is None or uri is None:
            return Verdict.REFUSED
        return self._verifier.verify(
            authorization,
            {challenge.username: challenge.password}.get,
            "INVITE",
            uri,
            leg.source[0],
            self._clock.now(),
            leg.offer or b"",
        )


def _called(authorization: str, called: str) -> Uri | None:
    """The URI that the credentials are for, if it is the number called.

    A phone behind a carrier sees another host in its Request-URI than the caller wrote.
    """
    match = _URI.search(authorization)
    if match is None:
        return None
    try:
        uri = Uri.parse(match[1])
    except RemoteProtocolError:
        return None
    return uri if uri.user_text == called else None
