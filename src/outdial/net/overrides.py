"""Connection overrides in a URL's fragment: ``https://example.com/events#rc=2&rp=5xx,ct&rt=3000``.

The names and ranges are those that applications know from Twilio's webhooks (its documentation,
"Connection Overrides"). The fragment is for us and never sent. One without an equals sign is an
ordinary fragment and means nothing. Pure.

=====  =====================================================  ===========
name   meaning                                                values
=====  =====================================================  ===========
`ct`   milliseconds a connection may take                     100 - 10000
`rt`   milliseconds without a byte of the answer              100 - 15000
`tt`   milliseconds in all                                    100 - 15000
`rc`   how often a failed request is tried again              0 - 5
`rp`   after which failures: 4xx, 5xx, ct, rt, all; several   a list
       with commas
=====  =====================================================  ===========

`sni` and `e` (an edge of that service's network) are taken and mean nothing here: SNI is always
sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

from outdial.frozen import frozen

POLICIES = ("4xx", "5xx", "ct", "rt", "all")
_IGNORED = frozenset(("sni", "e"))
_RANGES = {"ct": (100, 10_000), "rt": (100, 15_000), "tt": (100, 15_000), "rc": (0, 5)}
_CONNECTING = frozenset(("connect", "tls", "resolve"))
_READING = frozenset(("timeout", "protocol"))


class BadOverrides(ValueError):
    """A fragment has a name or value that does not exist; the message says what would be right."""


@frozen
class Overrides:
    """What a URL asks for; None where it says nothing."""

    connect_s: float | None = None
    read_s: float | None = None
    total_s: float | None = None
    retries: int | None = None
    policy: frozenset[str] | None = None

    def retried(self, kind: str, status: int | None, default: Iterable[str]) -> bool:
        """Whether such a failure may be tried again.

        `kind` is the FetchError's, "" for an answer, whose `status` then counts; `default` the
        policy when the URL names none. Other failures (a refused address, an answer that is too
        large) would fail again.
        """
        policy = self.policy if self.policy is not None else frozenset(default)
        if kind in _CONNECTING:
            wanted = "ct"
        elif kind in _READING:
            wanted = "rt"
        elif status is not None and 400 <= status < 600:
            wanted = f"{status // 100}xx"
        else:
            # a redirect, which is not followed, say: only who wants everything gets that
            return "all" in policy and not kind
        return wanted in policy or "all" in policy


NONE = Overrides()


def split(url: str) -> tuple[str, Overrides]:
    """The URL as it is requested, and its overrides. Raises BadOverrides."""
    bare, mark, fragment = url.partition("#")
    return (bare, parse(fragment)) if mark else (bare, NONE)


def split_leniently(url: str, warn: Callable[[str], None] | None = None) -> tuple[str, Overrides]:
    """As `split`, for URLs that nobody could refuse in time: bad overrides are left out."""
    try:
        return split(url)
    except BadOverrides as problem:
        if warn is not None:
            warn(str(problem))
        return url.partition("#")[0], NONE


@lru_cache(maxsize=1024)
def parse(fragment: str) -> Overrides:
    """The overrides of a fragment, without its mark. Raises BadOverrides."""
    if "=" not in fragment:
        return NONE
    found: dict[str, int] = {}
    policy: frozenset[str] | None = None
    for piece in filter(None, fragment.split("&")):
        name, _, value = piece.partition("=")
        if name in found or (name == "rp" and policy is not None):
            raise BadOverrides(f"{name} is there twice")
        if name == "rp":
            policy = _policy(value)
        elif name in _RANGES:
            found[name] = _number(name, value)
        elif name not in _IGNORED:
            raise BadOverrides(f'"{_shown(name)}" is none of ct, rt, tt, rc, rp')
    return Overrides(
        _seconds(found.get("ct")),
        _seconds(found.get("rt")),
        _seconds(found.get("tt")),
        found.get("rc"),
        policy,
    )


def _number(name: str, value: str) -> int:
    low, high = _RANGES[name]
    if value.isascii() and value.isdigit() and len(value) <= 6 and low <= int(value) <= high:
        return int(value)
    unit = "" if name == "rc" else " milliseconds"
    raise BadOverrides(f'{name} must be {low} to {high}{unit}, not "{_shown(value)}"')


def _policy(value: str) -> frozenset[str]:
    words = value.lower().replace("%2c", ",").split(",")
    for word in words:
        if word not in POLICIES:
            raise BadOverrides(
                f'rp must be of {", ".join(POLICIES)}, several with commas, not "{_shown(word)}"'
            )
    return frozenset(words)


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000.0


def _shown(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:40])
