"""Which URLs and addresses Outdial may reach: no I/O, no DNS.

A URL from outside (an application, a callback, a sound) must not become a way into the machine's
own network (server-side request forgery). `parse_target` reads it, once, and judges everything
that needs no lookup; `AddressPolicy.check_address` judges each address that a name resolves to.
The client connects to addresses that passed, and to no others.

The judgement depends on nothing but scheme, host and port, so it is kept by these (`Origin`):
callback URLs carry an id of their own in each query, and are judged again at each request.

Sources: RFC 3986 (URLs), the IANA special-purpose registries for IPv4 and IPv6 (RFC 6890 and its
successors), RFC 6052 and 8215 (NAT64), RFC 3056 (6to4), RFC 4291 2.5.5 (IPv4 inside IPv6),
RFC 6761 6.3 (localhost), UTS 46 (names that are not ASCII).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from urllib.parse import quote

from outdial.errors import ConfigError, FetchError
from outdial.frozen import frozen

MAX_URL_LENGTH = 4096

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network

_FORBIDDEN_V4 = tuple(
    (IPv4Network(network), name)
    for network, name in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "protocol assignments"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_FORBIDDEN_V6 = tuple(
    (IPv6Network(network), name)
    for network, name in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("64:ff9b:1::/48", "local NAT64"),
        ("100::/64", "discard"),
        ("100:0:0:1::/64", "dummy prefix"),
        ("2001::/23", "protocol assignments"),
        ("2001:db8::/32", "documentation"),
        ("3fff::/20", "documentation"),
        ("5f00::/16", "segment routing"),
        ("fc00::/7", "unique local"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)
_GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR = IPv6Network("2002::/16")
_IPV4_COMPATIBLE = IPv6Network("::/96")

_PORTS = {"http": 80, "https": 443}
_ORIGINS_KEPT = 1024

_KEPT = "%/:@!$&'()*+,;=~-._[]"
_USUAL = re.compile(
    r"(https?)://([A-Za-z0-9.-]+(?::[0-9]{1,5})?)((?:[/?][A-Za-z0-9%/:@!$&'()*+,;=~._\[\]?-]*)?)"
)
"""The URLs that need nothing escaped, in parts: what it takes must be what `_take_apart` gives."""
_PARTS = re.compile(
    r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#.*)?", re.DOTALL
)
_PLACE = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:]*))(?::([0-9]{0,5}))?")
_BAD_IN_URL = re.compile(r"[\x00-\x20\x7f\\]")
_HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")


@frozen
class Origin:
    """A server that may be asked: a scheme, host and port that passed."""

    scheme: str
    """http or https."""
    host: str
    """Lower case, ASCII, without a trailing dot and without brackets."""
    port: int
    address: str
    """`host` if it is an address, else ""."""
    authority: str
    """For the Host header: with brackets, and with the port unless it is the scheme's own."""
    text: str
    """``scheme://authority``."""


@frozen
class Target:
    """A URL that passed every check that needs no DNS."""

    origin: Origin
    path: str
    """Path and query as they will be requested: ASCII, quoted, from the first slash on."""

    @property
    def url(self) -> str:
        """The whole URL, without its fragment."""
        return self.origin.text + self.path


class AddressPolicy:
    """What may be reached: every public address, and what the owner allows besides.

    `allow_private` are networks in CIDR form, or single addresses; `allow_ports` are ports besides
    80 and 443, empty for any port. Raises ConfigError for what is not a network.
    """

    __slots__ = ("_networks", "_ports", "origins")

    def __init__(self, allow_private: Sequence[str] = (), allow_ports: Sequence[int] = ()) -> None:
        self._networks = tuple(_network(text) for text in allow_private)
        self._ports = frozenset((80, 443, *allow_ports)) if allow_ports else frozenset[int]()
        self.origins: dict[tuple[str, str], Origin] = {}
        """Those that passed lately, by scheme and authority as they were written."""

    def check_address(self, text: str) -> None:
        """Raises FetchError(refused-address) unless requests may go to the address."""
        try:
            address = _unwrap(ip_address(text))
        except ValueError:
            raise FetchError("refused-address", f"{text!r} is not an IP address") from None
        if any(address in network for network in self._networks):
            return
        kind = _special(address)
        if kind:
            raise FetchError(
                "refused-address",
                f"{text} is a {kind} address; only public addresses may be reached, "
                "or those in webhooks.allow_private",
            )

    def loopbacks(self) -> list[str]:
        """What the name localhost stands for here: the loopback addresses that are allowed."""
        allowed = []
        for text in ("127.0.0.1", "::1"):
            address = ip_address(text)
            if any(address in network for network in self._networks):
                allowed.append(text)
        return allowed

    def check_port(self, port: int) -> None:
        """Raises FetchError(refused-address) unless URLs may name the port."""
        if port == 0 or (self._ports and port not in self._ports):
            allowed = ", ".join(map(str, sorted(self._ports))) or "1 to 65535"
            raise FetchError(
                "refused-address",
                f"port {port} may not be reached; webhooks.allow_ports allows {allowed}",
            )


def check_url(url: str, policy: AddressPolicy) -> None:
    """Raises FetchError(bad-url or refused-address) for what can be told without DNS."""
    parse_target(url, policy)


def parse_target(text: str, policy: AddressPolicy) -> Target:
    """Reads a URL as the client will use it, and judges it. Raises FetchError as `check_url`."""
    text = text.strip()
    usual = _USUAL.fullmatch(text) if len(text) <= MAX_URL_LENGTH else None
    scheme, authority, path = usual.groups() if usual else _take_apart(text)
    origin = policy.origins.get((scheme, authority))
    if origin is None:
        origin = _judge(scheme, authority, policy)
        if len(policy.origins) >= _ORIGINS_KEPT:
            del policy.origins[next(iter(policy.origins))]
        policy.origins[scheme, authority] = origin
    return Target(origin, path if path.startswith("/") else "/" + path)


def is_localhost(host: str) -> bool:
    """Whether the name means this machine whatever the DNS says (RFC 6761 section 6.3)."""
    return host == "localhost" or host.endswith(".localhost")


def _take_apart(text: str) -> tuple[str, str, str]:
    """Scheme, authority, and path with query (RFC 3986 appendix B).

    Path and query stay as they were written, escaping only what must be: a server may have
    signed its URLs, so ``%2F`` stays ``%2F``.
    """
    if len(text) > MAX_URL_LENGTH:
        raise FetchError("bad-url", f"the URL is longer than {MAX_URL_LENGTH} characters")
    if _BAD_IN_URL.search(text):
        raise FetchError("bad-url", "the URL contains a space, backslash or control character")
    parts = _PARTS.fullmatch(text)
    scheme, authority, path, query = parts.groups() if parts else ("", "", "", "")
    scheme = (scheme or "").lower()
    if scheme not in _PORTS:
        said = f"{scheme!r} URLs are not fetched" if scheme else f"{text!r} has no scheme"
        raise FetchError("bad-url", f"{said}; write http://… or https://…")
    if not authority:
        raise FetchError("bad-url", "the URL names no host; write http://host/path")
    try:
        path = quote(path, safe=_KEPT)
        if query is not None:
            path += "?" + quote(query, safe=_KEPT + "?")
        return scheme, authority, path
    except UnicodeError:
        raise FetchError("bad-url", "the URL contains half a character") from None


def _judge(scheme: str, authority: str, policy: AddressPolicy) -> Origin:
    host, port = _place(scheme, authority)
    policy.check_port(port)
    address = ""
    if is_localhost(host):
        if not policy.loopbacks():
            raise FetchError(
                "refused-address",
                f"{host} is this machine; give a public host name, "
                "or allow 127.0.0.0/8 in webhooks.allow_private",
            )
    elif ":" in host or _looks_like_ipv4(host):
        host = address = _literal(host)
        policy.check_address(address)
    elif len(host) > 253 or not _HOST_NAME.fullmatch(host):
        raise FetchError("bad-url", f"{host!r} is not a host name")
    written = f"[{host}]" if ":" in host else host
    if port != _PORTS[scheme]:
        written += f":{port}"
    return Origin(scheme, host, port, address, written, f"{scheme}://{written}")


def _place(scheme: str, authority: str) -> tuple[str, int]:
    """Host (lower case, ASCII, no trailing dot) and port."""
    credentials, _, place = authority.rpartition("@")
    if credentials:
        raise FetchError("bad-url", "the URL contains credentials; leave out user:password@")
    found = _PLACE.fullmatch(place)
    if found is None:
        raise FetchError("bad-url", f"{place!r} is not a host; write http://host:port/path")
    host = (found[1] or _ascii(found[2] or "")).lower().removesuffix(".")
    port = int(found[3]) if found[3] else _PORTS[scheme]
    if not host:
        raise FetchError("bad-url", "the URL names no host; write http://host/path")
    if port > 65535:
        raise FetchError("bad-url", f"there is no port {port}")
    if "%" in host:
        raise FetchError("bad-url", f"{host!r} has an escape or zone; write a plain host")
    return host, port


def _ascii(host: str) -> str:
    """The name as the DNS has it; digits and dots of other scripts become the usual ones."""
    if host.isascii():
        return host
    import idna  # most machines never need it

    try:
        if len(host) > 253:  # the library's time grows with the square of the length
            raise idna.IDNAError
        return idna.encode(host, uts46=True).decode("ascii")
    except UnicodeError:
        raise FetchError("bad-url", f"{host[:80]!r} is not a host name") from None


def _looks_like_ipv4(host: str) -> bool:
    """Whether the system's resolver could take the name for a number (WHATWG URL 3.5)."""
    return _NUMERIC_LABEL.fullmatch(host.rpartition(".")[2]) is not None


def _literal(host: str) -> str:
    """The address in its canonical form; octal, hex, short and single-number forms are refused."""
    try:
        return str(ip_address(host))
    except ValueError:
        raise FetchError(
            "refused-address",
            f"{host!r} is not an address in its usual form; write four decimal numbers",
        ) from None


def _network(text: str) -> _Network:
    try:
        return ip_network(text.strip(), strict=False)
    except ValueError:
        raise ConfigError(
            "webhooks.allow_private", f"{text!r} is not a network", "write 10.0.0.0/8 or 10.1.2.3"
        ) from None


def _unwrap(address: _Address) -> _Address:
    """The IPv4 address that an IPv6 address leads to, else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _SIX_TO_FOUR:
        return IPv4Address((int(address) >> 80) & 0xFFFFFFFF)
    if address in _IPV4_COMPATIBLE and int(address) > 1:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _special(address: _Address) -> str:
    """What kind of special address it is; "" for a public one."""
    if isinstance(address, IPv4Address):
        return next((name for network, name in _FORBIDDEN_V4 if address in network), "")
    if address.scope_id:
        return "scoped"
    name = next((name for network, name in _FORBIDDEN_V6 if address in network), "")
    return name or ("" if address in _GLOBAL_UNICAST_V6 else "reserved")
