"""A leg's SIP messages as a capture file that Wireshark, tshark and sngrep open. Pure.

The format is that of libpcap (draft-ietf-opsawg-pcap), link type RAW: packets begin with the IP
header. What was kept are messages, not packets: each is written as one UDP datagram, also when it
came over TCP or TLS, because handshakes and acknowledgements made up afterwards would be lies.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import Struct
from typing import Final

from outdial.legs import TracedMessage

MEDIA_TYPE: Final = "application/vnd.tcpdump.pcap"
LARGEST: Final = 65507
"""What one UDP datagram over IPv4 can carry (RFC 768, RFC 791); a longer message is cut there."""

_LINKTYPE_RAW: Final = 101
_UDP: Final = 17
_SIP_PORT: Final = 5060
_DONT_FRAGMENT: Final = 0x4000
_TTL: Final = 64
_FILE: Final = Struct("<IHHiIII")
_PACKET: Final = Struct("<IIII")
_IPV4: Final = Struct("!BBHHHBBH4s4s")
_IPV6: Final = Struct("!IHBB16s16s")
_PORTS: Final = Struct("!HHHH")
_PSEUDO_V6: Final = Struct("!16s16sII")
_PSEUDO_V4: Final = Struct("!4s4sHH")

HEAD: Final = _FILE.pack(0xA1B2C3D4, 2, 4, 0, 0, 0x40000, _LINKTYPE_RAW)
"""A capture of nothing."""

_Address = IPv4Address | IPv6Address


def pcap(messages: Iterable[TracedMessage]) -> bytes:
    """The capture file."""
    parts = [HEAD]
    for number, message in enumerate(messages):
        packet = _packet(message, number & 0xFFFF)
        microseconds = round(min(max(message.at, 0.0), 0xFFFFFFFF) * 1e6)
        parts.append(_PACKET.pack(*divmod(microseconds, 1_000_000), len(packet), len(packet)))
        parts.append(packet)
    return b"".join(parts)


def _packet(message: TracedMessage, number: int) -> bytes:
    far, far_port = _end(message.peer)
    near, near_port = _end(message.local)
    far = far or IPv4Address(0)
    if near is None or near.version != far.version:
        near = type(far)(0)  # behind a name, or not kept: nobody's address
    ends = ((near, near_port), (far, far_port))
    (source, source_port), (target, target_port) = ends if message.outgoing else ends[::-1]
    data = message.raw[:LARGEST]
    size = _PORTS.size + len(data)
    if far.version == 4:
        pseudo = _PSEUDO_V4.pack(source.packed, target.packed, _UDP, size)
    else:
        pseudo = _PSEUDO_V6.pack(source.packed, target.packed, size, _UDP)
    bare = _PORTS.pack(source_port, target_port, size, 0)
    # RFC 768: a sum of zero is sent as all ones, zero says that there is none
    checked = _checksum(pseudo + bare + data) or 0xFFFF
    datagram = _PORTS.pack(source_port, target_port, size, checked) + data
    return _ip(source, target, size, number) + datagram


def _ip(source: _Address, target: _Address, size: int, number: int) -> bytes:
    """The header of the IP version; `size` is that of what follows."""
    if source.version == 6:
        return _IPV6.pack(6 << 28, size, _UDP, _TTL, source.packed, target.packed)
    total = _IPV4.size + size

    def head(checksum: int) -> bytes:
        return _IPV4.pack(
            *(0x45, 0, total, number, _DONT_FRAGMENT, _TTL, _UDP, checksum),
            *(source.packed, target.packed),
        )

    return head(_checksum(head(0)))


def _checksum(data: bytes) -> int:
    """RFC 1071. As 65536 is 1 modulo 65535, the sum of the words is the number they make up."""
    if len(data) % 2:
        data += b"\0"
    whole = int.from_bytes(data)
    remainder = whole % 0xFFFF
    return 0xFFFF - (remainder or (0xFFFF if whole else 0))


def _end(place: str) -> tuple[_Address | None, int]:
    """``host:port`` as an address, if the host is one, and a port."""
    host, _, port = place.rpartition(":")
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else _SIP_PORT
    try:
        return ip_address(host.removeprefix("[").removesuffix("]")), min(number, 0xFFFF)
    except ValueError:
        return None, min(number, 0xFFFF)
