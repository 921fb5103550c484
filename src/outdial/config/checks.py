"""What the values of settings must look like. Each check gives the value or raises ValueError,
whose text says what is wrong and what would be right."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from datetime import UTC, date, datetime
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from pydantic import SecretStr

SECRET_PREFIX = "whsec_"  # noqa: S105 - what is not secret of it
"""What a secret for signing requests begins with."""

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+:[ \t]*[^\x00-\x08\x0a-\x1f\x7f]+")
_BRACKETED = re.compile(r"\[([^\]]*)\](?::(.*))?", re.DOTALL)


def host_and_port(text: str) -> tuple[str, int | None]:
    """Parts of ``host[:port]``; an IPv6 address stands in brackets, which are taken off."""
    bracketed = _BRACKETED.fullmatch(text)
    if bracketed:
        host, port = bracketed.group(1), bracketed.group(2)
        if ":" not in host or not is_address(host):
            raise ValueError(f"{host!r} is not an IPv6 address")
    else:
        host, colon, rest = text.partition(":")
        port = rest if colon else None
        if ":" in rest:
            raise ValueError(f"{text!r}: write an IPv6 address in brackets, [::1]:5060")
        if not _HOST.fullmatch(host):
            raise ValueError(f"{host!r} is not a host name or address")
    return host, None if port is None else _port(port)


def listen_address(text: str) -> str:
    """host:port to listen on."""
    _, port = host_and_port(text)
    if port is None:
        raise ValueError(f"{text!r} has no port; write host:port, e.g. 127.0.0.1:8080")
    return text


def sip_listen(text: str) -> str:
    """transport:host:port, e.g. ``udp:127.0.0.1:5060``."""
    transport, _, address = text.partition(":")
    if transport not in ("udp", "tcp", "tls"):
        raise ValueError(f"{text!r} must start with udp:, tcp: or tls:, e.g. udp:127.0.0.1:5060")
    host, port = host_and_port(address)
    if port is None:
        raise ValueError(f"{text!r} has no port; write transport:host:port")
    if not is_address(host):
        raise ValueError(f"{host!r} is not an IP address; SIP listens on an address")
    return text


def host_maybe_port(text: str) -> str:
    """host or host:port."""
    host_and_port(text)
    return text


def optional_host(text: str) -> str:
    """As `host_maybe_port`, or nothing."""
    return host_maybe_port(text) if text else text


def name_server(text: str) -> str:
    """An IP address, with a port or without."""
    bare = f"[{text}]" if text.count(":") > 1 and not text.startswith("[") else text
    host, port = host_and_port(bare)
    if not is_address(host):
        raise ValueError(f"{host!r} is not an IP address; a name server is named by its address")
    if port == 0:
        raise ValueError(f"{text!r}: 0 is not the port of a name server; 53 is what most have")
    return bare


def address(text: str) -> str:
    """An IPv4 or IPv6 address that can stand in an SDP."""
    if not is_address(text):
        raise ValueError(f"{text!r} is not an IP address")
    if ip_address(text).is_unspecified:
        raise ValueError(f"{text} cannot be sent to; give the address that trunks can reach")
    return text


def optional_address(text: str) -> str:
    """As `address`, or nothing."""
    return address(text) if text else text


def optional_address_maybe_port(text: str) -> str:
    """An address as `address` takes it, IPv6 in brackets, perhaps with a port; or nothing."""
    if text:
        address(host_and_port(text)[0])
    return text


def port_range(text: str) -> str:
    """first-last, with at least one even port that has its odd neighbour."""
    first, dash, last = text.partition("-")
    if not dash:
        raise ValueError(f"{text!r} is not a range; write first-last, e.g. 20000-29999")
    low, high = _port(first.strip()), _port(last.strip())
    if low < 1024:
        raise ValueError(f"{text!r} begins below 1024")
    if high < low + low % 2 + 1:
        raise ValueError(f"{text!r} has no even port with the odd one after it")
    return text


_HOURS = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]-(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)")


def optional_hours(text: str) -> str:
    """From when until when on one day, ``09:00-20:00``, or nothing."""
    first, _, last = text.partition("-")
    if text and (_HOURS.fullmatch(text) is None or first >= last):
        raise ValueError(f"{text!r} are no hours of a day; write from-to, e.g. 09:00-20:00")
    return text


def number(text: str) -> str:
    """A telephone number: country code and digits; a leading plus sign is taken off."""
    digits = text.removeprefix("+")
    if not (digits.isascii() and digits.isdigit() and 3 <= len(digits) <= 15):
        raise ValueError(f"{text!r} is not a number; write 3 to 15 digits, country code first")
    return digits


def prefix(text: str) -> str:
    """The first digits of numbers; a leading plus sign is taken off."""
    digits = text.removeprefix("+")
    if digits and not (digits.isascii() and digits.isdigit() and len(digits) <= 15):
        raise ValueError(f"{text!r} is not a prefix; write digits only, e.g. 1 or 4420")
    return digits


def caller(text: str) -> str:
    """A caller ID: a whole number, or the first digits of some with a * behind."""
    bare = text.removesuffix("*")
    try:
        return prefix(bare) + "*" if bare != text else number(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is not a caller ID; write a whole number, country code first, "
            "or a beginning such as 1800*"
        ) from None


def optional_moment(given: object) -> float | None:
    """A date or an RFC 3339 time, as seconds since the epoch; a date is its midnight, in UTC."""
    moment: object = given
    if given is None or given == "":
        return None
    if isinstance(given, str):
        try:
            moment = datetime.fromisoformat(given.strip())
        except ValueError:
            moment = None
    elif isinstance(given, date) and not isinstance(given, datetime):  # as TOML has them bare
        moment = datetime(given.year, given.month, given.day, tzinfo=UTC)
    if not isinstance(moment, datetime):
        raise ValueError(f"{given!r} is not a time; write e.g. 2027-01-31 or 2027-01-31T12:00:00Z")
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (OverflowError, ValueError):
        raise ValueError(f"{given!r} is too far away") from None


def network(text: str) -> str:
    """An address range such as 10.0.0.0/8."""
    try:
        ip_network(text)
    except ValueError:
        try:
            meant = f"; {ip_network(text, strict=False)} would be right"
        except ValueError:
            meant = "; write e.g. 10.0.0.0/8"
        raise ValueError(f"{text!r} is not an address range{meant}") from None
    return text


def url(text: str) -> str:
    """An http or https URL with a host."""
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise ValueError(f"{text!r} is not a URL; it must begin with http:// or https://")
    return text


def optional_url(text: str) -> str:
    """As `url`, or nothing."""
    return url(text) if text else text


def port_number(port: int) -> int:
    """1 to 65535."""
    if not 1 <= port <= 65535:
        raise ValueError(f"{port} is not a port; ports are 1 to 65535")
    return port


def webhook_key(secret: str) -> bytes:
    """The bytes of a secret for signing requests: whsec_ and the Base64 of 24 to 64 of them."""
    try:
        key = b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or not 24 <= len(key) <= 64:
        # the text itself is not repeated: it may be a secret with a typing error
        raise ValueError(
            f"is not a secret: it must be {SECRET_PREFIX} and the Base64 of 24 to 64 random bytes, "
            "as `outdial deliveries secret rotate` makes them"
        )
    return key


def webhook_secret(secret: SecretStr) -> SecretStr:
    """A secret for signing requests."""
    webhook_key(secret.get_secret_value())
    return secret


def secret_header(line: SecretStr) -> SecretStr:
    """A header line, ``Name: value``."""
    if _HEADER.fullmatch(line.get_secret_value()) is None:
        raise ValueError('is not a header line; write e.g. "Authorization: Bearer ..."')
    return line


def plain(text: str) -> str:
    """Without control characters."""
    if not text.isprintable():
        raise ValueError(f"{text!r} has characters that cannot be printed")
    return text


def each_once(names: list[str]) -> list[str]:
    """Names of which none is there twice."""
    twice = repeated(names)
    if twice is not None:
        raise ValueError(f"{twice} is there twice; each may be there once")
    return names


def repeated(names: list[str]) -> str | None:
    """The first name that is there twice."""
    seen = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
        raise ValueError(f"{text!r} is not a port; ports are 0 to 65535")
    return int(text)


def is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
