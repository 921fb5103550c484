"""Keys in session descriptions (SDES, RFC 4568): the ``a=crypto`` lines of an audio stream. Pure.

A line has a key in it, so no error and no representation repeats one.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import field

from outdial.errors import NegotiationError
from outdial.frozen import frozen
from outdial.legs import CryptoSuite

_SUITES = {suite.name: suite for suite in CryptoSuite}
_TAG = re.compile(r"[1-9][0-9]{0,8}")
# RFC 4568 section 9.2: key and salt, then perhaps a lifetime, then perhaps a master key index.
_LIFETIME = re.compile(r"(2\^[0-9]{1,2}|[0-9]{1,15})")
_MKI = re.compile(r"[0-9]+:[0-9]{1,3}")
_SAFE = re.compile(r"[A-Za-z0-9_]{1,40}")


@frozen
class Security:
    """What a stream encrypts, with which keys of ours."""

    keys: Mapping[CryptoSuite, bytes] = field(repr=False)
    """Master key and salt for what we send, by suite; the best first. Its place is the tag."""
    is_required: bool = False
    """Plain RTP will not do."""
    insists: bool = False
    """Our offers are RTP/SAVP, which those who cannot encrypt refuse; else RTP/AVP, which they
    answer without keys."""

    answered: tuple[int, CryptoSuite] | None = None
    """Tag and suite of our last answer. When the session is refreshed that answer is sent once
    more, as an offer."""

    @property
    def profile(self) -> str:
        """The protocol of our offers."""
        return "RTP/SAVP" if self.insists or self.is_required else "RTP/AVP"

    def offered(self) -> str:
        """The lines of our offer."""
        return "".join(
            line(tag, suite, key) for tag, (suite, key) in enumerate(self.keys.items(), start=1)
        )


@frozen
class Chosen:
    """A line that is agreed on."""

    tag: int
    suite: CryptoSuite
    key: bytes = field(repr=False)
    """The far end's, for what it sends."""


def line(tag: int, suite: CryptoSuite, key: bytes) -> str:
    """An ``a=crypto`` line with its end."""
    return f"a=crypto:{tag} {suite.name} inline:{b64encode(key).decode('ascii')}\r\n"


def accepted(values: Sequence[str], security: Security) -> Chosen:
    """What an answer to our offer has chosen: section 5.1.3. Raises NegotiationError."""
    chosen = _parse(values[0])
    offered = [*enumerate(security.keys, start=1), security.answered]
    if (chosen.tag, chosen.suite) not in offered:
        raise NegotiationError(
            f"the answer's a=crypto has tag {chosen.tag} for {chosen.suite.name}, which was not "
            "offered so"
        )
    return _unlike_ours(chosen, security)


def selected(values: Sequence[str], security: Security) -> Chosen:
    """The first of an offer's lines that we can do: section 5.1.2.

    Raises NegotiationError, with what is wrong with the first line, if there is none.
    """
    problem: NegotiationError | None = None
    for value in values:
        try:
            chosen = _parse(value)
            if chosen.suite in security.keys:
                return _unlike_ours(chosen, security)
        except NegotiationError as error:
            problem = problem or error
    raise problem or NegotiationError("the description has no a=crypto line that is usable")


def _unlike_ours(chosen: Chosen, security: Security) -> Chosen:
    """Section 6.1: who sends back our own key would have both sides encrypt alike."""
    if chosen.key == security.keys[chosen.suite]:
        raise NegotiationError("the far end's a=crypto repeats our key instead of giving its own")
    return chosen


def _parse(value: str) -> Chosen:
    """A line that we can do as it stands. Raises NegotiationError."""
    parts = value.split()
    if len(parts) < 3 or not _TAG.fullmatch(parts[0]):
        raise NegotiationError("an a=crypto line is not of the form: tag suite inline:key")
    suite = _SUITES.get(parts[1].upper())
    if suite is None:
        name = parts[1] if _SAFE.fullmatch(parts[1]) else "a name that is none"
        raise NegotiationError(f"an a=crypto line asks for {name}, which is not supported")
    for parameter in parts[3:]:
        if not _may_be_ignored(parameter.upper()):
            raise NegotiationError("an a=crypto line asks for SRTP without one of its protections")
    return Chosen(int(parts[0]), suite, _key(parts[2], suite))


def _may_be_ignored(parameter: str) -> bool:
    """Section 6.3: what is not known rules a line out, unless it begins with a dash."""
    return parameter.startswith(("WSH=", "-")) or parameter == "KDR=0"


def _key(parameter: str, suite: CryptoSuite) -> bytes:
    method, _, info = parameter.partition(":")
    if method.lower() != "inline" or ";" in info:
        raise NegotiationError("an a=crypto line has no inline key, or several")
    text, *rest = info.split("|")
    if rest and _LIFETIME.fullmatch(rest[0]):
        rest = rest[1:]
    if rest:
        what = "a master key index" if _MKI.fullmatch(rest[0]) else "something unknown"
        raise NegotiationError(f"an a=crypto line has {what} behind its key: not supported")
    try:
        # Base64 without its padding is common, and means the same.
        key = b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != suite.key_bytes:
        raise NegotiationError(
            f"an a=crypto line has no key of {suite.key_bytes} bytes in Base64 for {suite.name}"
        )
    return key
