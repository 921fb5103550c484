"""Addresses: From, To, Contact, Route, Record-Route (RFC 3261 sections 20.10 and 25.1)."""

from __future__ import annotations

import re
from dataclasses import field, replace
from functools import lru_cache

from outdial.errors import RemoteProtocolError
from outdial.frozen import frozen
from outdial.sip.core.grammar import (
    Params,
    format_params,
    leading_quoted,
    parse_params,
    quote,
    split_list,
    unquote,
)
from outdial.sip.core.limits import CACHE_ENTRIES, MAX_CACHED
from outdial.sip.core.uri import Uri

# A bare name is made of tokens. Names with accents, brackets or an at sign arrive bare from many
# PBXs; what could be taken for the start of something else (",;<>\ and a quote) stays refused.
_bare_name = re.compile(r'[^",;<>\\]*+')
_bare_uri = re.compile(r"[^ \t;,?<>\"]++")


@frozen
class Address:
    """A name-addr or addr-spec with its header parameters."""

    uri: Uri
    display_name: str = ""
    """Without quotes and escapes."""
    params: Params = field(default_factory=dict)
    """Header parameters, not the URI's. Names in lower case, quoted values keep their quotes."""

    @classmethod
    def parse(cls, text: str) -> Address:
        """Parses one address. RemoteProtocolError (400) when it is none."""
        return _parse_cached(text) if len(text) <= MAX_CACHED else _parse(text)

    @classmethod
    def parse_list(cls, text: str) -> list[Address]:
        """Parses a comma-separated list of addresses."""
        return [cls.parse(item) for item in split_list(text)]

    @property
    def tag(self) -> str | None:
        """The tag parameter of a From or To."""
        return self.params.get("tag")

    def with_tag(self, tag: str | None) -> Address:
        """A copy with this tag, or without one."""
        others = {name: value for name, value in self.params.items() if name != "tag"}
        return replace(self, params=others if tag is None else {**others, "tag": tag})

    def __str__(self) -> str:
        name = f"{quote(self.display_name)} " if self.display_name else ""
        return f"{name}<{self.uri}>{format_params(self.params)}"


def _parse(text: str) -> Address:
    if text[:1] == '"':
        end = leading_quoted(text)
        name = unquote(text[:end])
        opening = end + len(text[end:]) - len(text[end:].lstrip(" \t"))
    else:
        opening = text.find("<")
        if opening < 0:
            return _parse_bare(text)
        name = text[:opening].rstrip(" \t")
        if not _bare_name.fullmatch(name):
            raise RemoteProtocolError(f"a display name that needs quotes: {name[:60]!r}")
    closing = text.find(">", opening)
    if closing < 0 or text[opening] != "<":
        raise RemoteProtocolError(f"malformed address: {text[:60]!r}")
    uri = Uri.parse(text[opening + 1 : closing])
    return Address(uri, name, parse_params(text, closing + 1))


_parse_cached = lru_cache(CACHE_ENTRIES)(_parse)


def _parse_bare(text: str) -> Address:
    """Without brackets, parameters are the header's, and "?" and "," may not stand in the URI."""
    match = _bare_uri.match(text)
    if match is None:
        raise RemoteProtocolError(f"malformed address: {text[:60]!r}")
    return Address(Uri.parse(match.group()), "", parse_params(text, match.end()))
