"""Answering digest challenges (RFC 3261 section 22, RFC 7616, RFC 8760) as a client.

A digest is worth cracking offline, so one is given only for a trunk's own credentials and only to
an address of that trunk: a challenge from anybody else is taken as a plain rejection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field

from outdial.frozen import frozen
from outdial.sip.core import digest
from outdial.sip.core.hop import Hop
from outdial.sip.core.message import Response

MAX_TRIES = 4
"""Of one request: two proxies and a server on the way may each want a digest."""
_MAX_TRIES_A_REALM = 2
"""The first one, and one with a newer nonce."""
_MAX_REALMS = 4
"""Challenges of one response that are answered, and realms that are remembered of a trunk."""
_HEADERS = {401: ("WWW-Authenticate", "Authorization"), 407: (
    "Proxy-Authenticate", "Proxy-Authorization"
)}  # fmt: skip

Space = tuple[str, str]
"""The protection space of a challenge: the name of the answering header, and the realm."""


class Known:
    """A challenge and how many answers were given to it: the nonce count must grow with each."""

    __slots__ = ("challenge", "count")

    def __init__(self, challenge: digest.Challenge) -> None:
        self.challenge = challenge
        self.count = 0


class Nonces:
    """The nonces that a trunk gave last, by protection space.

    With one of these a request shows its digest at once and saves the round trip of the challenge
    (RFC 7616 section 3.6). A nonce that is not good any more is answered by a new challenge, which
    is what would have come anyhow.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[Space, Known] = {}

    def all(self) -> dict[Space, Known]:
        """Those to show."""
        return dict(self._known)

    def learn(self, space: Space, known: Known) -> None:
        """The trunk challenges with another one from now on. The oldest makes room."""
        self._known.pop(space, None)
        while len(self._known) >= _MAX_REALMS:
            del self._known[next(iter(self._known))]
        self._known[space] = known

    def forget(self) -> None:
        """They may be why a request was refused."""
        self._known.clear()


@frozen
class Credentials:
    """A trunk's user name and password, and the hosts that may see a digest of them."""

    username: str
    password: str
    hosts: frozenset[str]
    nonces: Nonces | None = field(default=None, compare=False)
    """What the trunk's requests have in common; None: each waits for its own challenge."""

    def __repr__(self) -> str:
        return f"Credentials({self.username!r})"


class Authorization:
    """The challenges of one call that we answer, and how often each nonce was used."""

    __slots__ = ("_is_fresh", "_known", "_token", "_tries", "credentials")

    def __init__(self, credentials: Credentials | None, token: Callable[[], str]) -> None:
        self.credentials = credentials
        self._token = token
        nonces = None if credentials is None else credentials.nonces
        self._known = {} if nonces is None else nonces.all()
        self._is_fresh = not self._known
        """Whether every answer so far was to a challenge of this call's own."""
        self._tries: dict[str, dict[Space, int]] = {}
        """Of the request of each method that is under way."""

    def takes(self, response: Response, source: Hop) -> bool:
        """Whether the request is worth repeating with the `fields` that follow from this response.

        Not when the password was refused: the same realm challenges again and the nonce was not
        merely stale.
        """
        credentials = self.credentials
        names = _HEADERS.get(response.status)
        if credentials is None or names is None or source.host not in credentials.hosts:
            return False
        challenges = digest.strongest_of_each_realm(response.headers.get_all(names[0]))
        taken = {(names[1], one.realm): one for one in challenges[:_MAX_REALMS]}
        if not taken:
            return False
        tries = self._tries.setdefault(response.cseq.method, {})
        if sum(tries.values()) >= MAX_TRIES:
            return False
        if any(not _may_try(tries.get(space, 0), one) for space, one in taken.items()):
            return False
        for space, challenge in taken.items():
            tries[space] = tries.get(space, 0) + 1
            known = self._learn(space, challenge)
            if credentials.nonces is not None:
                credentials.nonces.learn(space, known)
        self._is_fresh = True
        return True

    def _learn(self, space: Space, challenge: digest.Challenge) -> Known:
        """The oldest make room: a registration lives for months, and each realm that it was ever
        challenged with would be one more line of every refresh."""
        known = Known(challenge)
        self._known.pop(space, None)
        while len(self._known) >= _MAX_REALMS:
            del self._known[next(iter(self._known))]
        self._known[space] = known
        return known

    def settled(self, method: str) -> None:
        """The request has its answer: the next one of the method may be challenged anew."""
        self._tries.pop(method, None)

    def refused(self) -> None:
        """The request was refused without a challenge. If that was for an old nonce, which it
        should not be, the next call had better wait for a new one."""
        credentials = self.credentials
        if not self._is_fresh and credentials is not None and credentials.nonces is not None:
            credentials.nonces.forget()

    def fields(self, method: str, uri: str, hop: Hop, body: bytes = b"") -> str:
        """The credential lines for a request to the hop; "" when none are due there."""
        credentials = self.credentials
        if not self._known or credentials is None or hop.host not in credentials.hosts:
            return ""
        lines = ""
        for (name, _), known in self._known.items():
            known.count += 1
            value = digest.answer(
                known.challenge, credentials.username, credentials.password, method, uri, body,
                known.count, self._token(),
            )  # fmt: skip
            lines += f"{name}: {value}\r\n"
        return lines


def _may_try(tries: int, challenge: digest.Challenge) -> bool:
    return not tries or (challenge.stale and tries < _MAX_TRIES_A_REALM)
