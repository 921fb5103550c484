"""SIP, SIPS and tel URIs (RFC 3261 section 19.1, RFC 3966), and any other scheme kept as text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field, replace
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from typing import Final
from urllib.parse import quote as percent_encode
from urllib.parse import unquote as percent_decode

from outdial.errors import RemoteProtocolError
from outdial.frozen import frozen
from outdial.sip.core.grammar import HOST, NO_PARAMS, Params, format_params
from outdial.sip.core.limits import CACHE_ENTRIES, MAX_CACHED, MAX_PARAMS

NO_HEADERS: Final[Mapping[str, str]] = {}

_USER_SAFE: Final = "-_.!~*'()&=+$,;?/"
_PARAM_SAFE: Final = "-_.!~*'()[]/:&+$"

# "#" in the user part has to be escaped, but star codes such as #31# arrive bare from many phones.
_sip = re.compile(
    r"(?:([A-Za-z0-9\-_.!~*'()%&=+$,;?/#]++)(?::([A-Za-z0-9\-_.!~*'()%&=+$,]*+))?@)?"
    rf"({HOST})(?::([0-9]{{1,5}}))?(;[^?]*+)?(?:\?(.+))?"
)
_tel = re.compile(r"(\+?[0-9A-Fa-f*#().\-]++)(;.*)?")
_uri_param = re.compile(
    r";([A-Za-z0-9\-_.!~*'()\[\]/:&+$%]++)(?:=([A-Za-z0-9\-_.!~*'()\[\]/:&+$%]++))?+"
)
_uri_header = re.compile(
    r"([A-Za-z0-9\-_.!~*'()\[\]/?:+$%]++)=([A-Za-z0-9\-_.!~*'()\[\]/?:+$%]*+)(?:&|$)"
)
_scheme = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*+):")
_opaque = re.compile(r"[!#-;=?-~]++")
_bad_escape = re.compile(r"%(?![0-9A-Fa-f]{2})")
_escaped_control = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@frozen
class Uri:
    """A URI as it stands in a start line, an address or a route.

    Parts are kept as they are written, escapes included, so that ``str(Uri.parse(x))`` means the
    same as ``x``.
    """

    scheme: str
    """Lower case: sip, sips, tel, or any other."""
    user: str | None = None
    """Escaped user part; the number of a tel URI; None when there is none."""
    password: str | None = None
    host: str = ""
    """Without the brackets of IPv6; "" unless the scheme is sip or sips."""
    port: int | None = None
    params: Params = field(default_factory=dict)
    """Names in lower case."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """The part after "?": names and values as written."""
    opaque: str = ""
    """All after the colon, for schemes other than sip, sips and tel."""

    @classmethod
    def parse(cls, text: str) -> Uri:
        """Parses `text`. RemoteProtocolError (400) when it is none."""
        return _parse_cached(text) if len(text) <= MAX_CACHED else _parse(text)

    @classmethod
    def sip(
        cls,
        user: str | None,
        host: str,
        port: int | None = None,
        params: Params = NO_PARAMS,
        *,
        secure: bool = False,
    ) -> Uri:
        """A SIP URI from plain parts: `user` is escaped here, `host` may be an IPv6 literal."""
        escaped = None if not user else percent_encode(user, safe=_USER_SAFE)
        return cls("sips" if secure else "sip", escaped, None, host.strip("[]"), port, params)

    @property
    def is_sip(self) -> bool:
        """Whether the scheme is sip or sips: `host` is then set."""
        return self.scheme in ("sip", "sips")

    @property
    def user_text(self) -> str:
        """The user part without escapes, "" when there is none.

        An escaped control character (``%00``) becomes U+FFFD: nobody downstream wants it.
        """
        user = self.user or ""
        if "%" not in user:
            return user
        return _escaped_control.sub("\N{REPLACEMENT CHARACTER}", percent_decode(user))

    @property
    def transport(self) -> str | None:
        """The transport parameter in lower case; None when there is none."""
        value = self.params.get("transport")
        return value.lower() if value else None

    @property
    def is_loose_route(self) -> bool:
        """Whether it has ``lr`` (RFC 3261 section 19.1.1)."""
        return "lr" in self.params

    @property
    def host_port(self) -> str:
        """``host[:port]``, brackets round an IPv6 address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    def with_params(self, **params: str | None) -> Uri:
        """A copy with these parameters added or replaced."""
        return replace(self, params={**self.params, **params})

    def without_headers(self) -> Uri:
        """A copy fit for a Request-URI: no headers part (RFC 3261 section 19.1.1, table 1)."""
        return replace(self, headers=NO_HEADERS) if self.headers else self

    def equivalent(self, other: Uri) -> bool:
        """RFC 3261 section 19.1.4. Order, case of host and of parameter values do not count."""
        if self.scheme != other.scheme:
            return False
        if not self.is_sip:
            return self._bare_number() == other._bare_number()
        return (
            self.user_text == other.user_text
            and (self.password or "") == (other.password or "")
            and self.host.lower() == other.host.lower()
            and self.port == other.port
            and _same_params(self.params, other.params)
            and {k.lower(): v for k, v in self.headers.items()}
            == {k.lower(): v for k, v in other.headers.items()}
        )

    def _bare_number(self) -> tuple[str, dict[str, str | None], str]:
        number = re.sub(r"[().\-]", "", self.user or "").lower()
        return number, {k: v and v.lower() for k, v in self.params.items()}, self.opaque

    def __str__(self) -> str:
        if not self.is_sip:
            tail = format_params(self.params) if self.params else ""
            return f"{self.scheme}:{self.user or ''}{tail}{self.opaque}"
        text = self.host_port
        if self.user is not None:
            secret = "" if self.password is None else f":{self.password}"
            text = f"{self.user}{secret}@{text}"
        text = f"{self.scheme}:{text}"
        if self.params:
            text += format_params(self.params)
        if self.headers:
            text += "?" + "&".join(f"{name}={value}" for name, value in self.headers.items())
        return text


def check_host(host: str) -> str:
    """The host without brackets. RemoteProtocolError when the brackets hold no IPv6 address.

    The grammar of RFC 3261 lets a third colon stand before an embedded IPv4 address; RFC 5118
    section 4.10 asks to take that as "::".
    """
    if host[0] != "[":
        return host
    address = host[1:-1]
    if ":::" in address and "." in address:
        address = address.replace(":::", "::", 1)
    try:
        IPv6Address(address)
    except (AddressValueError, ValueError):
        raise RemoteProtocolError(f"not an IPv6 address: {host[:60]!r}") from None
    return address


def check_port(text: str | None) -> int | None:
    """The port number, None for None."""
    if text is None:
        return None
    port = int(text)
    if port > 65_535:
        raise RemoteProtocolError(f"port {text} is out of range")
    return port


def _parse(text: str) -> Uri:
    scheme = _scheme.match(text)
    if scheme is None:
        raise RemoteProtocolError(f"not a URI: {text[:60]!r}")
    if "%" in text and _bad_escape.search(text):
        raise RemoteProtocolError(f"broken escape in the URI {text[:60]!r}")
    name = scheme[1].lower()
    rest = scheme.end()
    if name in ("sip", "sips"):
        return _parse_sip(name, text, rest)
    if name == "tel":
        return _parse_tel(text, rest)
    if not _opaque.fullmatch(text, rest):
        raise RemoteProtocolError(f"not a URI: {text[:60]!r}")
    return Uri(name, opaque=text[rest:])


_parse_cached = lru_cache(CACHE_ENTRIES)(_parse)


def _parse_sip(scheme: str, text: str, start: int) -> Uri:
    match = _sip.fullmatch(text, start)
    if match is None:
        raise RemoteProtocolError(f"malformed SIP URI: {text[:60]!r}")
    user, password, host, port, params, headers = match.groups()
    return Uri(
        scheme,
        user,
        password,
        check_host(host),
        check_port(port),
        _parse_uri_params(params) if params else NO_PARAMS,
        _parse_uri_headers(headers) if headers else NO_HEADERS,
    )


def _parse_tel(text: str, start: int) -> Uri:
    match = _tel.fullmatch(text, start)
    if match is None:
        raise RemoteProtocolError(f"malformed tel URI: {text[:60]!r}")
    return Uri("tel", match[1], params=_parse_uri_params(match[2]) if match[2] else NO_PARAMS)


def _parse_uri_params(text: str) -> Params:
    params: dict[str, str | None] = {}
    position = 0
    while position < len(text):
        match = _uri_param.match(text, position)
        if match is None:
            raise RemoteProtocolError(f"malformed URI parameter: {text[position:][:40]!r}")
        name = _plain_name(match[1]).lower()
        if name in params:
            raise RemoteProtocolError(f"URI parameter {name[:40]!r} comes twice")
        params[name] = match[2]
        position = match.end()
        if len(params) > MAX_PARAMS:
            raise RemoteProtocolError(f"more than {MAX_PARAMS} URI parameters")
    return params


def _plain_name(name: str) -> str:
    """``%6C%72`` names the same parameter as ``lr`` (RFC 4475 section 3.1.1.3)."""
    if "%" not in name:
        return name
    return percent_encode(percent_decode(name, "latin-1"), safe=_PARAM_SAFE, encoding="latin-1")


def _parse_uri_headers(text: str) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _uri_header.match(text, position)
        if match is None or len(headers) == MAX_PARAMS:
            raise RemoteProtocolError(f"malformed URI headers: {text[position:][:40]!r}")
        headers[match[1]] = match[2]
        position = match.end()
    return headers


def _same_params(one: Params, other: Params) -> bool:
    """Parameters in both must match; user, ttl, method and maddr must be in both or neither."""
    for name in one.keys() | other.keys():
        if name in one and name in other:
            if (one[name] or "").lower() != (other[name] or "").lower():
                return False
        elif name in ("user", "ttl", "method", "maddr", "transport"):
            return False
    return True
