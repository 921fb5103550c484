"""RTCP, RFC 3550 section 6: sender and receiver reports, SDES with a CNAME, BYE."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final, NamedTuple

SR: Final = 200
RR: Final = 201
SDES: Final = 202
BYE: Final = 203

INTERVAL_S: Final = 5.0
"""Section 6.2; each wait is this times 0.5 to 1.5 at random, the first one half of it."""
NTP_EPOCH_S: Final = 2208988800
MAX_BLOCKS: Final = 31

_HEADER: Final = Struct("!BBHI")
_SENDER: Final = Struct("!QIII")
_BLOCK: Final = Struct("!IIIIII")
_CNAME: Final = 1


class Block(NamedTuple):
    """A report block: how one source is received."""

    ssrc: int
    fraction_lost: int
    """Of 256, since the last report."""
    lost: int
    """In all; negative with duplicates."""
    highest: int
    """Extended highest sequence number."""
    jitter: int
    """In timestamp units."""
    last_sr: int
    """Middle 32 bits of the NTP time of the last SR from that source; 0 without one."""
    delay: int
    """Since that SR arrived, in 1/65536 s."""


class Report(NamedTuple):
    """A parsed SR (then `ntp` is set) or RR."""

    ssrc: int
    ntp: int | None
    """64-bit NTP time."""
    blocks: tuple[Block, ...]


def ntp_time(wall_s: float) -> int:
    """Wall time as a 64-bit NTP time (section 4)."""
    return int((wall_s + NTP_EPOCH_S) * 4294967296) & 0xFFFFFFFFFFFFFFFF


def middle(ntp: int) -> int:
    """The 32 bits of an NTP time that LSR and round-trip times are counted in."""
    return (ntp >> 16) & 0xFFFFFFFF


def sender_report(
    ssrc: int, ntp: int, timestamp: int, packets: int, octets: int, blocks: Sequence[Block] = ()
) -> bytes:
    """An SR, section 6.4.1."""
    sender = _SENDER.pack(ntp, timestamp, packets & 0xFFFFFFFF, octets & 0xFFFFFFFF)
    return _packet(SR, len(blocks), ssrc, sender + _blocks(blocks))


def receiver_report(ssrc: int, blocks: Sequence[Block] = ()) -> bytes:
    """An RR, section 6.4.2."""
    return _packet(RR, len(blocks), ssrc, _blocks(blocks))


def description(ssrc: int, cname: str) -> bytes:
    """An SDES with the CNAME, section 6.5.1."""
    text = cname.encode()
    item = bytes((_CNAME, len(text))) + text
    return _packet(SDES, 1, ssrc, item + bytes(4 - len(item) % 4))


def bye(ssrc: int) -> bytes:
    """A BYE without a reason, section 6.6."""
    return _packet(BYE, 1, ssrc, b"")


def _packet(kind: int, count: int, ssrc: int, rest: bytes) -> bytes:
    return _HEADER.pack(0x80 | count, kind, 1 + len(rest) // 4, ssrc) + rest


def _blocks(blocks: Sequence[Block]) -> bytes:
    return b"".join(
        _BLOCK.pack(
            block.ssrc,
            block.fraction_lost << 24 | block.lost & 0xFFFFFF,
            block.highest,
            block.jitter,
            block.last_sr,
            block.delay,
        )
        for block in blocks[:MAX_BLOCKS]
    )


def parse(data: bytes) -> list[Report]:
    """The reports of a compound packet; what is malformed or of another kind is passed over."""
    reports = []
    at = 0
    while len(data) - at >= _HEADER.size:
        flags, kind, words, ssrc = _HEADER.unpack_from(data, at)
        end = at + 4 * (words + 1)
        if flags & 0xC0 != 0x80 or end > len(data):
            break
        body, ntp = at + _HEADER.size, None
        if kind in (SR, RR):
            if kind == SR and end - body >= _SENDER.size:
                ntp = _SENDER.unpack_from(data, body)[0]
                body += _SENDER.size
            elif kind == SR:
                break
            count = min(flags & 0x1F, (end - body) // _BLOCK.size)
            blocks = (_block(data, body + index * _BLOCK.size) for index in range(count))
            reports.append(Report(ssrc, ntp, tuple(blocks)))
        at = end
    return reports


def _block(data: bytes, at: int) -> Block:
    ssrc, loss, highest, jitter, last_sr, delay = _BLOCK.unpack_from(data, at)
    lost = loss & 0xFFFFFF
    lost -= (lost & 0x800000) << 1
    return Block(ssrc, loss >> 24, lost, highest, jitter, last_sr, delay)


def round_trip_s(block: Block, arrived_ntp: int) -> float | None:
    """Section 6.4.1's A - LSR - DLSR; None when the far end has had no SR of ours."""
    if not block.last_sr:
        return None
    units = (middle(arrived_ntp) - block.last_sr - block.delay) & 0xFFFFFFFF
    # A far clock that counts DLSR coarsely can make it slightly negative.
    return 0.0 if units > 0x7FFFFFFF else units / 65536
