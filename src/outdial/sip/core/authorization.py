"""Answering digest challenges (RFC 3261 section 22, RFC 7616, RFC 8760) as a client.

A digest is worth cracking offline, so one is given only for a trunk's own credentials and only to
an address of that trunk: a challenge from anybody else is taken as a plain rejection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from outdial.sip.core import digest
from outdial.sip.core.hop import Hop
from outdial.sip.core.message import Response

MAX_TRIES = 2
_HEADERS = {401: ("WWW-Authenticate", "Authorization"), 407: (
    "Proxy-Authenticate", "Proxy-Authorization"
)}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Credentials:
    """A trunk's user name and password, and the hosts that may see a digest of them."""

    username: str
    password: str
    hosts: frozenset[str]

    def __repr__(self) -> str:
        return f"Credentials({self.username!r})"


class Authorization:
    """The challenges of one call that we answer, and how often each nonce was used."""

    __slots__ = ("_challenges", "_counts", "_credentials", "_token", "_tries")

    def __init__(self, credentials: Credentials | None, token: Callable[[], str]) -> None:
        self._credentials = credentials
        self._token = token
        self._challenges: dict[str, digest.Challenge] = {}
        self._counts: dict[str, int] = {}
        self._tries = 0

    def takes(self, response: Response, source: Hop) -> bool:
        """Whether the request is worth repeating with the `fields` that follow from this response.

        Not when the password was refused: the same realm challenges again and the nonce was not
        merely stale.
        """
        credentials = self._credentials
        names = _HEADERS.get(response.status)
        if credentials is None or names is None or source.host not in credentials.hosts:
            return False
        challenge = digest.strongest(response.headers.get_all(names[0]))
        if challenge is None or self._tries >= MAX_TRIES:
            return False
        known = self._challenges.get(names[1])
        repeated = known is not None and known.realm == challenge.realm and self._tries > 0
        if repeated and not challenge.stale:
            return False
        self._tries += 1
        self._challenges[names[1]] = challenge
        return True

    def succeeded(self) -> None:
        """The request was accepted: the next one may be challenged anew."""
        self._tries = 0

    def fields(self, method: str, uri: str, hop: Hop, body: bytes = b"") -> str:
        """The credential lines for a request to the hop; "" when none are due there."""
        credentials = self._credentials
        if not self._challenges or credentials is None or hop.host not in credentials.hosts:
            return ""
        lines = ""
        for name, challenge in self._challenges.items():
            count = self._counts.get(challenge.nonce, 0) + 1
            self._counts[challenge.nonce] = count
            value = digest.answer(
                challenge, credentials.username, credentials.password, method, uri, body, count,
                self._token(),
            )  # fmt: skip
            lines += f"{name}: {value}\r\n"
        return lines
