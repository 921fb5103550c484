"""Digest access authentication (RFC 3261 section 22, RFC 7616, RFC 8760): client and server side.

The client side answers challenges; whom to answer is not decided here. The server side issues
nonces that are bound to the asker and to the time, so that it keeps nothing until one is used.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Final

from outdial.errors import RemoteProtocolError
from outdial.frozen import frozen
from outdial.sip.core.grammar import QUOTED, TOKEN, check_text
from outdial.sip.core.limits import MAX_PARAMS
from outdial.sip.core.uri import Uri

_scheme = re.compile(rf"({TOKEN})[ \t]++")
# What is not quoted has no backslash: inside the quotes of our answer it would escape those.
_auth_param = re.compile(rf'({TOKEN})[ \t]*+=[ \t]*+({QUOTED}|[^", \t\\]++)[ \t]*+(?:,[ \t]*+|\Z)')
_nonce_count = re.compile(r"[0-9A-Fa-f]{8}")

_HASHES: Final[dict[str, Callable[[bytes], str]]] = {
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
    "SHA-256": lambda data: hashlib.sha256(data).hexdigest(),
}

ALGORITHMS: Final = ("MD5", "MD5-sess", "SHA-256", "SHA-256-sess")
"""From weakest to strongest."""

_ALGORITHM_BY_LOWER: Final = {name.lower(): name for name in ALGORITHMS}


@frozen
class Challenge:
    """A WWW-Authenticate or Proxy-Authenticate that we can answer."""

    realm: str
    """Without its quotes, escapes kept: it is hashed and sent back as it came."""
    nonce: str
    algorithm: str = "MD5"
    """One of `ALGORITHMS`."""
    qop: str = ""
    """auth if it was offered, else auth-int if that was, else "" (RFC 2069)."""
    opaque: str | None = None
    stale: bool = False
    """Only the nonce was too old; the password is not in doubt."""

    @classmethod
    def parse(cls, text: str) -> Challenge:
        """RemoteProtocolError when malformed, or of a scheme, algorithm or qop unknown to us."""
        params = _parse(text)
        if "realm" not in params or "nonce" not in params:
            raise RemoteProtocolError("a challenge without realm or nonce")
        return cls(
            params["realm"],
            params["nonce"],
            _algorithm(params.get("algorithm", "MD5")),
            _offered_qop(params.get("qop")),
            params.get("opaque"),
            params.get("stale", "").lower() == "true",
        )

    def __str__(self) -> str:
        text = f'Digest realm="{self.realm}", nonce="{self.nonce}", algorithm={self.algorithm}'
        if self.qop:
            text += f', qop="{self.qop}"'
        if self.opaque is not None:
            text += f', opaque="{self.opaque}"'
        return check_text(text + (", stale=true" if self.stale else ""))


def strongest_of_each_realm(values: Iterable[str]) -> list[Challenge]:
    """Of each realm the challenge with the strongest algorithm of those we can answer, the first
    among equals; in the order of the realms. A proxy that forks hands over the challenges of all
    its branches (RFC 3261 section 16.7).

    RFC 8760 section 2.4 takes the topmost unless a local policy says otherwise. This is ours: a
    peer that lists MD5 first must not get the weaker hash for it.
    """
    found: dict[str, Challenge] = {}
    for value in values:
        try:
            one = Challenge.parse(value)
        except RemoteProtocolError:
            continue
        best = found.setdefault(one.realm, one)
        if ALGORITHMS.index(one.algorithm) > ALGORITHMS.index(best.algorithm):
            found[one.realm] = one
    return list(found.values())


def answer(
    challenge: Challenge,
    username: str,
    password: str,
    method: str,
    uri: str,
    body: bytes = b"",
    nonce_count: int = 1,
    cnonce: str = "",
) -> str:
    """The value of Authorization or Proxy-Authorization.

    `uri` is the Request-URI as sent, `nonce_count` says how often this nonce has been used with
    this request, `cnonce` is fresh and random. LocalProtocolError for control characters.
    """
    qop = challenge.qop
    session = challenge.algorithm.endswith("-sess")
    user = username.replace("\\", "\\\\").replace('"', '\\"')
    count = f"{nonce_count:08x}"
    response = _response(
        challenge.algorithm,
        f"{user}:{challenge.realm}:{password}",
        challenge.nonce,
        (count, cnonce, qop),
        f"{method}:{uri}",
        body,
    )
    text = (
        f'Digest username="{user}", realm="{challenge.realm}", nonce="{challenge.nonce}", '
        f'uri="{uri}", response="{response}", algorithm={challenge.algorithm}'
    )
    if qop:
        text += f', qop={qop}, nc={count}, cnonce="{cnonce}"'
    elif session:
        text += f', cnonce="{cnonce}"'
    if challenge.opaque is not None:
        text += f', opaque="{challenge.opaque}"'
    return check_text(text)


class Verdict(Enum):
    """What a verifier says of a request."""

    ACCEPTED = "accepted"
    STALE = "stale"
    """The password is right, but the nonce is too old, used up, for another source or of another
    process: challenge again with stale."""
    REFUSED = "refused"


class Verifier:
    """The server side for one realm.

    Pure: the caller gives the key (32 random bytes), fresh salts, the time in seconds and the
    source address. Remembers only nonces that were used with the right password, and no longer
    than they live.
    """

    def __init__(
        self,
        realm: str,
        key: bytes,
        *,
        algorithms: tuple[str, ...] = ("SHA-256", "MD5"),
        lifetime_s: int = 60,
        max_nonces: int = 10_000,
    ) -> None:
        self.realm = check_text(realm)
        self._key = key
        self._algorithms = algorithms
        self._lifetime_s = lifetime_s
        self._max_nonces = max_nonces
        self._counts: dict[str, tuple[int, float]] = {}

    def challenges(self, source: str, now: float, salt: str, *, stale: bool = False) -> list[str]:
        """One value an algorithm, strongest preference first, for header lines of their own.

        `salt` (hexadecimal) makes nonces of the same second differ.
        """
        nonce = self._nonce(f"{int(now):x}", salt, source)
        return [
            str(Challenge(self.realm, nonce, algorithm, "auth", stale=stale))
            for algorithm in self._algorithms
        ]

    def verify(
        self,
        authorization: str,
        password_of: Callable[[str], str | None],
        method: str,
        uri: Uri,
        source: str,
        now: float,
        body: bytes = b"",
    ) -> Verdict:
        """Whether these credentials are good for this request.

        The digest's URI must have the user part of the request's, or none: proxies on the way may
        have changed its host (RFC 3261 section 22.4), and some peers sign the host alone.

        An unknown user takes the same path and time as a wrong password. Malformed credentials are
        refused, never raised.
        """
        try:
            params = _parse(authorization)
            algorithm = _algorithm(params.get("algorithm", "MD5"))
            sent_uri = Uri.parse(params["uri"])
            count = _count(params["nc"])
            given = params["response"]
            username, nonce, cnonce = params["username"], params["nonce"], params["cnonce"]
        except (RemoteProtocolError, KeyError):
            return Verdict.REFUSED
        password = password_of(username)
        expected = _response(
            algorithm,
            f"{username}:{self.realm}:{password or ''}",
            nonce,
            (params["nc"], cnonce, params.get("qop", "")),
            f"{method}:{params['uri']}",
            body,
        )
        right = hmac.compare_digest(expected.encode(), given.lower().encode())
        ours = self._issued(nonce, source)
        fits = (
            params.get("realm") == self.realm
            and params.get("qop", "").lower() in ("auth", "auth-int")
            and algorithm in self._algorithms
            and _is_meant(sent_uri, uri)
        )
        if not (right and fits) or password is None:
            return Verdict.REFUSED
        if not ours:  # RFC 7616 section 3.3: the digest is right, and only the nonce is not
            return Verdict.STALE
        return self._spend(nonce, count, now)

    def _nonce(self, issued: str, salt: str, source: str) -> str:
        text = f"{issued}.{salt}"
        mac = hmac.new(self._key, f"{text}.{source}".encode(), "sha256").hexdigest()
        return f"{text}.{mac[:32]}"

    def _issued(self, nonce: str, source: str) -> bool:
        """Whether this verifier made the nonce, and for this source."""
        issued, _, rest = nonce.partition(".")
        salt = rest.partition(".")[0]
        return hmac.compare_digest(self._nonce(issued, salt, source).encode(), nonce.encode())

    def _spend(self, nonce: str, count: int, now: float) -> Verdict:
        """Takes each nonce count once, in rising order, while the nonce lives."""
        expiry = int(nonce.partition(".")[0], 16) + self._lifetime_s
        if now >= expiry:
            return Verdict.STALE
        known = self._counts.get(nonce)
        if known is not None and count <= known[0]:
            return Verdict.STALE
        if known is None and len(self._counts) >= self._max_nonces:
            self.forget_expired(now)
            if len(self._counts) >= self._max_nonces:
                return Verdict.STALE
        self._counts[nonce] = count, expiry
        return Verdict.ACCEPTED

    @property
    def remembered(self) -> int:
        """How many nonces are held."""
        return len(self._counts)

    def forget_expired(self, now: float) -> None:
        """Drops the counts of nonces that no longer live."""
        self._counts = {n: (c, e) for n, (c, e) in self._counts.items() if e > now}


def _is_meant(signed: Uri, requested: Uri) -> bool:
    """Whether credentials for the one URI are good for a request to the other."""
    if signed.equivalent(requested):
        return True
    return signed.is_sip and signed.user_text in ("", requested.user_text)


def username_in(authorization: str) -> str:
    """The user name in credentials; "" when they are malformed."""
    try:
        return _parse(authorization).get("username", "")
    except RemoteProtocolError:
        return ""


def _parse(text: str) -> dict[str, str]:
    """Names in lower case, values without quotes, escapes kept."""
    scheme = _scheme.match(text)
    if scheme is None or scheme[1].lower() != "digest":
        raise RemoteProtocolError(f"not a digest: {text[:40]!r}")
    params: dict[str, str] = {}
    position = scheme.end()
    while position < len(text):
        match = _auth_param.match(text, position)
        if match is None or len(params) == MAX_PARAMS:
            raise RemoteProtocolError(f"malformed digest: {text[position : position + 40]!r}")
        name = match[1].lower()
        if name in params:
            raise RemoteProtocolError(f"{name[:40]!r} comes twice in a digest")
        value = match[2]
        params[name] = value[1:-1] if value[0] == '"' else value
        position = match.end()
    return params


def _algorithm(name: str) -> str:
    known = _ALGORITHM_BY_LOWER.get(name.lower())
    if known is None:
        raise RemoteProtocolError(f"unknown digest algorithm {name[:40]!r}")
    return known


def _offered_qop(value: str | None) -> str:
    if value is None:
        return ""
    offered = [word.strip(" \t").lower() for word in value.split(",")]
    for qop in ("auth", "auth-int"):
        if qop in offered:
            return qop
    raise RemoteProtocolError(f"unknown qop {value[:40]!r}")


def _count(text: str) -> int:
    if not _nonce_count.fullmatch(text):
        raise RemoteProtocolError(f"malformed nonce count {text[:40]!r}")
    return int(text, 16)


def _response(
    algorithm: str,
    secret: str,
    nonce: str,
    use: tuple[str, str, str],
    action: str,
    body: bytes,
) -> str:
    """RFC 7616 section 3.4.1; `use` is nonce count, cnonce and qop, `action` is method:uri."""
    digest = _HASHES[algorithm.removesuffix("-sess")]
    count, cnonce, qop = use
    first = digest(secret.encode())
    if algorithm.endswith("-sess"):
        first = digest(f"{first}:{nonce}:{cnonce}".encode())
    if qop.lower() == "auth-int":
        action = f"{action}:{digest(body)}"
    second = digest(action.encode())
    if not qop:
        return digest(f"{first}:{nonce}:{second}".encode())
    return digest(f"{first}:{nonce}:{count}:{cnonce}:{qop}:{second}".encode())
