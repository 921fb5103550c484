"""What stands in a certificate (RFC 5280), as far as a person or a check of names needs it.

Python reads only certificates that it has found good, and says nothing of one that has expired or
that nobody vouches for: those are the ones that people ask about.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import ip_address

from outdial.frozen import frozen

DAY_S = 86_400.0
_MAX_BYTES = 65_536
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)

_SEQUENCE, _OID, _UTC_TIME, _TIME = 0x30, 0x06, 0x17, 0x18
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_DNS_NAME, _URI_NAME, _ADDRESS_NAME = 0x82, 0x86, 0x87
_UTF_16, _UTF_32 = 0x1E, 0x1C
_ALTERNATIVE_NAMES = b"\x55\x1d\x11"
_COMMON_NAME = b"\x55\x04\x03"
_SHORT = {
    _COMMON_NAME: "CN",
    b"\x55\x04\x06": "C",
    b"\x55\x04\x07": "L",
    b"\x55\x04\x08": "ST",
    b"\x55\x04\x0a": "O",
    b"\x55\x04\x0b": "OU",
}


class NoCertificate(ValueError):
    """The bytes are no certificate that can be read; the text says why."""


@frozen
class Certificate:
    """One certificate."""

    subject: str
    """Whose it is: ``CN=sip.example.com, O=Example``."""
    issuer: str
    """Who vouches for that."""
    common_name: str
    """The CN of the subject; "" when it has none."""
    dns_names: tuple[str, ...]
    """Host names, and domains, that it is good for, in lower case."""
    uris: tuple[str, ...]
    addresses: tuple[str, ...]
    """IP addresses that it is good for."""
    valid_from: float
    """Seconds since 1970."""
    valid_until: float

    @classmethod
    def parse(cls, der: bytes) -> Certificate:
        """Reads the DER of one. Raises NoCertificate."""
        if len(der) > _MAX_BYTES:
            raise NoCertificate("it is longer than any certificate")
        try:
            return _certificate(der)
        except (ValueError, IndexError, StopIteration, OverflowError) as error:
            raise NoCertificate(f"it cannot be read: {error or 'it ends too early'}") from None

    @property
    def is_self_signed(self) -> bool:
        """Whether it vouches for itself."""
        return self.subject == self.issuer

    @property
    def names(self) -> tuple[str, ...]:
        """Everything it is good for; the common name only where there is nothing else."""
        names = (*self.dns_names, *self.uris, *self.addresses)
        return names or ((self.common_name,) if self.common_name else ())

    def days_left(self, now: float) -> float:
        """Until it expires; negative afterwards. `now` is in seconds since 1970."""
        return (self.valid_until - now) / DAY_S


def read_pem(text: str) -> list[Certificate]:
    """The certificates of a PEM file, in order. Raises NoCertificate when there is none."""
    found = []
    for block in _PEM.findall(text):
        try:
            der = b64decode("".join(block.split()), validate=True)
        except ValueError as error:  # binascii.Error is one; characters beyond ASCII are another
            raise NoCertificate(f"its Base64 is wrong: {error}") from None
        found.append(Certificate.parse(der))
    if not found:
        raise NoCertificate("there is no certificate in it (-----BEGIN CERTIFICATE-----)")
    return found


def day_of(seconds: float) -> str:
    """``2026-05-04`` of a time in seconds since 1970."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"


def _certificate(der: bytes) -> Certificate:
    body = _only(_only(der, _SEQUENCE), _SEQUENCE)
    fields = [one for one in _items(body) if one[0] != _VERSION]
    # serial number, signature algorithm, issuer, validity, subject, key
    _, _, issuer, validity, subject = (value for _, value in fields[:5])
    begin, end = (_time(tag, value) for tag, value in _items(validity))
    names = _alternative_names(fields[6:])
    return Certificate(
        subject=_name(subject),
        issuer=_name(issuer),
        common_name=next((v for oid, v in _parts(subject) if oid == _COMMON_NAME), ""),
        dns_names=tuple(_text(value).lower() for tag, value in names if tag == _DNS_NAME),
        uris=tuple(_text(value) for tag, value in names if tag == _URI_NAME),
        addresses=tuple(_address(value) for tag, value in names if tag == _ADDRESS_NAME),
        valid_from=begin,
        valid_until=end,
    )


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tags and contents of the values that stand one behind the other."""
    place = 0
    while place < len(data):
        tag, length = data[place], data[place + 1]
        place += 2
        if length & 0x80:
            count = length & 0x7F
            if not 1 <= count <= 4:
                raise ValueError("a length of no known form")
            length = int.from_bytes(data[place : place + count], "big")
            place += count
        if place + length > len(data):
            raise ValueError("it ends too early")
        yield tag, data[place : place + length]
        place += length


def _only(data: bytes, tag: int) -> bytes:
    """The content of the first value, which must have that tag."""
    found, value = next(_items(data))
    if found != tag:
        raise ValueError("it is no certificate")
    return value


def _parts(name: bytes) -> Iterator[tuple[bytes, str]]:
    """Object identifiers and texts of a distinguished name."""
    for _, values in _items(name):
        for _, pair in _items(values):
            (_, oid), (kind, value) = list(_items(pair))[:2]
            yield oid, _text(value, kind)


def _name(name: bytes) -> str:
    shown = [f"{_SHORT[oid]}={value}" for oid, value in _parts(name) if oid in _SHORT]
    return ", ".join(reversed(shown)) or "(no name)"


def _text(value: bytes, kind: int = 0) -> str:
    """What people may see of it: controls become spaces."""
    coding = {_UTF_16: "utf-16-be", _UTF_32: "utf-32-be"}.get(kind, "utf-8")
    text = value.decode(coding, "replace")
    return "".join(c if c.isprintable() else " " for c in text)


def _address(value: bytes) -> str:
    return str(ip_address(value))


def _time(tag: int, value: bytes) -> float:
    text = value.decode("ascii")
    if tag == _UTC_TIME:  # RFC 5280 section 4.1.2.5.1: 50 to 99 are of the last century
        text = ("19" if text[:2] >= "50" else "20") + text
    elif tag != _TIME:
        raise ValueError("a time of no known form")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _alternative_names(fields: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    for tag, value in fields:
        if tag != _EXTENSIONS:
            continue
        for _, extension in _items(_only(value, _SEQUENCE)):
            parts = list(_items(extension))
            if parts[0] == (_OID, _ALTERNATIVE_NAMES):
                return list(_items(_only(parts[-1][1], _SEQUENCE)))
    return []
