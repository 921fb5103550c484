"""The RTP header, RFC 3550 section 5.1."""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

HEADER: Final = Struct("!BBHII")
"""Version and flags, marker and payload type, sequence number, timestamp, SSRC."""
HEADER_BYTES: Final = 12
VERSION: Final = 0x80
MARKER: Final = 0x80
MAX_PACKET: Final = 2048
"""Largest datagram read; an audio packet of 60 ms has 492 bytes."""

PCMU: Final = 0
PCMA: Final = 8
SAMPLES_PER_MS: Final = 8


class Packet(NamedTuple):
    """A parsed packet; `payload_start` and `payload_end` are offsets into the datagram."""

    marker: bool
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload_start: int
    payload_end: int


def parse(data: bytes | bytearray | memoryview, size: int) -> Packet | None:
    """The packet in the first `size` bytes of `data`, None if they are not RTP version 2.

    CSRCs, a header extension and padding are taken off.
    """
    if size < HEADER_BYTES:
        return None
    flags, second, sequence, timestamp, ssrc = HEADER.unpack_from(data)
    if flags & 0xC0 != VERSION:
        return None
    start, end = HEADER_BYTES + 4 * (flags & 0x0F), size
    if flags & 0x10:
        if start + 4 > size:
            return None
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
    if flags & 0x20:
        end -= data[size - 1]
        if data[size - 1] == 0:
            return None
    if start > end:
        return None
    return Packet(second >= MARKER, second & 0x7F, sequence, timestamp, ssrc, start, end)


def plain(data: bytearray, size: int) -> int:
    """Takes CSRCs, extension and padding off in place: the payload moves up to a plain header.

    Gives the new size, 0 for what is no RTP.
    """
    parsed = parse(data, size)
    if parsed is None:
        return 0
    end = HEADER_BYTES + parsed.payload_end - parsed.payload_start
    data[HEADER_BYTES:end] = bytes(data[parsed.payload_start : parsed.payload_end])
    data[0] = VERSION
    return end


def build(
    payload_type: int,
    sequence: int,
    timestamp: int,
    ssrc: int,
    payload: bytes,
    marker: bool = False,
) -> bytes:
    """A packet. Sequence number and timestamp wrap."""
    second = payload_type | (MARKER if marker else 0)
    header = HEADER.pack(VERSION, second, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc)
    return header + payload
