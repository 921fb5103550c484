"""The smaller typed header values: CSeq, RAck, Session-Expires, Reason, option tags, media type."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import field
from functools import lru_cache
from typing import Final

from outdial.errors import RemoteProtocolError
from outdial.frozen import frozen
from outdial.sip.core.grammar import (
    TOKEN,
    Params,
    format_params,
    parse_number,
    parse_params,
    split_list,
    unquote,
)
from outdial.sip.core.limits import CACHE_ENTRIES, MAX_CACHED, MAX_CSEQ

_NOTHING: Final[frozenset[str]] = frozenset()
MAX_DELTA_S: Final = 2**32 - 1
"""The largest delta-seconds (RFC 3261 section 20.19)."""

_cseq = re.compile(rf"([0-9]++)[ \t]++({TOKEN})")
_rack = re.compile(rf"([0-9]++)[ \t]++([0-9]++)[ \t]++({TOKEN})")
_delta = re.compile(r"([0-9]++)[ \t]*+(?=;|$)")
_retry_after = re.compile(r"[ \t]*+([0-9]{1,10})(?![0-9])")
_leading_token = re.compile(rf"({TOKEN})[ \t]*+(?=;|$)")
_media_type = re.compile(rf"({TOKEN})[ \t]*+/[ \t]*+({TOKEN})[ \t]*+(?=;|$)")


@frozen
class CSeq:
    """RFC 3261 section 20.16."""

    number: int
    method: str

    @classmethod
    def parse(cls, text: str) -> CSeq:
        """RemoteProtocolError when malformed or 2**31 and more."""
        return _cached_cseq(text) if len(text) <= MAX_CACHED else _parse_cseq(text)

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


@frozen
class RAck:
    """RFC 3262 section 7.2: which reliable provisional response a PRACK acknowledges."""

    rseq: int
    cseq: int
    method: str

    @classmethod
    def parse(cls, text: str) -> RAck:
        """RemoteProtocolError when malformed."""
        match = _rack.fullmatch(text)
        if match is None:
            raise RemoteProtocolError(f"malformed RAck: {text[:60]!r}")
        rseq = parse_number(match[1], MAX_DELTA_S, "RSeq in RAck")
        return cls(rseq, parse_number(match[2], MAX_CSEQ, "CSeq in RAck"), match[3])

    def __str__(self) -> str:
        return f"{self.rseq} {self.cseq} {self.method}"


@frozen
class SessionExpires:
    """RFC 4028 section 4."""

    seconds: int
    refresher: str | None = None
    """uac, uas, or None when it was left open."""

    @classmethod
    def parse(cls, text: str) -> SessionExpires:
        """RemoteProtocolError when malformed. Other parameters are passed over."""
        return _cached_expires(text) if len(text) <= MAX_CACHED else _parse_expires(text)

    def __str__(self) -> str:
        return str(self.seconds) + (f";refresher={self.refresher}" if self.refresher else "")


@frozen
class Reason:
    """One value of the Reason header (RFC 3326)."""

    protocol: str
    """As written: SIP, Q.850, or another token."""
    cause: int | None = None
    text: str = ""

    @classmethod
    def parse(cls, text: str) -> Reason:
        """RemoteProtocolError when malformed; a cause that is no number is left out."""
        match = _leading_token.match(text)
        if match is None:
            raise RemoteProtocolError(f"malformed Reason: {text[:60]!r}")
        params = parse_params(text, match.end())
        cause = params.get("cause") or ""
        number = int(cause) if cause.isascii() and cause.isdigit() and len(cause) <= 5 else None
        return cls(match[1], number, unquote(params.get("text") or ""))

    def __str__(self) -> str:
        params: dict[str, str | None] = {}
        if self.cause is not None:
            params["cause"] = str(self.cause)
        if self.text:
            escaped = self.text.replace("\\", "\\\\").replace('"', '\\"')
            params["text"] = f'"{escaped}"'
        return self.protocol + format_params(params)


@frozen
class MediaType:
    """Content-Type (RFC 3261 section 20.15)."""

    type: str
    """Lower case."""
    subtype: str
    """Lower case."""
    params: Params = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> MediaType:
        """RemoteProtocolError when malformed."""
        return _cached_type(text) if len(text) <= MAX_CACHED else _parse_type(text)

    @property
    def essence(self) -> str:
        """``type/subtype``, e.g. application/sdp."""
        return f"{self.type}/{self.subtype}"

    def __str__(self) -> str:
        return self.essence + format_params(self.params)


def _parse_cseq(text: str) -> CSeq:
    match = _cseq.fullmatch(text)
    if match is None:
        raise RemoteProtocolError(f"malformed CSeq: {text[:60]!r}")
    return CSeq(parse_number(match[1], MAX_CSEQ, "CSeq"), match[2])


def _parse_expires(text: str) -> SessionExpires:
    seconds, params = parse_delta(text, "Session-Expires")
    refresher = (params.get("refresher") or "").lower()
    return SessionExpires(seconds, refresher if refresher in ("uac", "uas") else None)


def _parse_type(text: str) -> MediaType:
    match = _media_type.match(text)
    if match is None:
        raise RemoteProtocolError(f"malformed Content-Type: {text[:60]!r}")
    return MediaType(match[1].lower(), match[2].lower(), parse_params(text, match.end()))


_cached_cseq = lru_cache(CACHE_ENTRIES)(_parse_cseq)
_cached_type = lru_cache(CACHE_ENTRIES)(_parse_type)
_cached_expires = lru_cache(CACHE_ENTRIES)(_parse_expires)


def parse_delta(text: str, what: str) -> tuple[int, Params]:
    """``delta-seconds *( ";" param )`` as in Session-Expires and Min-SE."""
    match = _delta.match(text)
    if match is None:
        raise RemoteProtocolError(f"malformed {what}: {text[:60]!r}")
    return parse_number(match[1], MAX_DELTA_S, what), parse_params(text, match.end())


def retry_after_s(text: str | None) -> int | None:
    """Seconds of a Retry-After; None when it is absent or malformed.

    A response is worth more than its hint, so a bad one does not make the response bad.
    """
    match = _retry_after.match(text) if text else None
    return min(int(match[1]), MAX_DELTA_S) if match else None


def option_tags(lines: Sequence[str]) -> frozenset[str]:
    """The tags of Supported, Require and the like, in lower case."""
    if not lines:
        return _NOTHING
    return _cached_tags(tuple(lines)) if sum(map(len, lines)) <= MAX_CACHED else _tags(lines)


def words(lines: Sequence[str]) -> frozenset[str]:
    """The words of Allow, as they are written."""
    return _cached_words(tuple(lines)) if sum(map(len, lines)) <= MAX_CACHED else _words(lines)


def _tags(lines: Sequence[str]) -> frozenset[str]:
    return frozenset([tag.lower() for tag in token_list(lines)])


def _words(lines: Sequence[str]) -> frozenset[str]:
    return frozenset(token_list(lines))


_cached_tags = lru_cache(CACHE_ENTRIES)(_tags)
_cached_words = lru_cache(CACHE_ENTRIES)(_words)


def token_list(lines: Iterable[str]) -> list[str]:
    """The words of comma-separated lines; empty ones are passed over, an empty line is allowed."""
    words = [word.strip(" \t") for line in lines for word in line.split(",")]
    return [word for word in words if word]


def reasons(lines: Iterable[str]) -> list[Reason]:
    """All values of the Reason lines; malformed ones are passed over, they only inform."""
    found: list[Reason] = []
    for line in lines:
        try:
            found += [Reason.parse(value) for value in split_list(line)]
        except RemoteProtocolError:
            continue
    return found


def q850_cause(lines: Iterable[str]) -> int | None:
    """The Q.850 cause in the Reason lines, if any says one."""
    for reason in reasons(lines):
        if reason.protocol.upper() == "Q.850" and reason.cause is not None:
            return reason.cause
    return None
