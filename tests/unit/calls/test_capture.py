"""Capture files: read back byte by byte here, and by tcpdump where it is installed."""

from __future__ import annotations

import shutil
import struct
import subprocess
from ipaddress import ip_address
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outdial.calls.capture import HEAD, LARGEST, pcap
from outdial.legs import TracedMessage

INVITE = b"INVITE sip:1@10.0.0.2 SIP/2.0\r\nCall-ID: x\r\nContent-Length: 0\r\n\r\n"
RINGING = b"SIP/2.0 180 Ringing\r\nCall-ID: x\r\nContent-Length: 0\r\n\r\n"
AT = 1_800_000_000.25


def sent(peer: str, local: str, raw: bytes = INVITE) -> TracedMessage:
    return TracedMessage(AT, True, peer, "udp", raw, local)


class Packet(NamedTuple):
    at: float
    source: str
    target: str
    data: bytes


def words_sum(data: bytes) -> int:
    """The one's complement sum of RFC 1071, as the RFC writes it: 0xFFFF when all is right."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def read(capture: bytes) -> list[Packet]:
    """The packets, each with every length and checksum looked at."""
    magic, major, minor, _, _, snaplen, linktype = struct.unpack_from("<IHHiIII", capture)
    assert (magic, major, minor, linktype) == (0xA1B2C3D4, 2, 4, 101)
    rest, packets = capture[24:], []
    while rest:
        seconds, microseconds, kept, length = struct.unpack_from("<IIII", rest)
        assert kept == length <= snaplen
        assert microseconds < 1_000_000
        packet, rest = rest[16 : 16 + kept], rest[16 + kept :]
        assert len(packet) == kept
        if packet[0] >> 4 == 4:
            assert words_sum(packet[:20]) == 0xFFFF
            assert struct.unpack_from("!H", packet, 2)[0] == kept
            source, target, udp = packet[12:16], packet[16:20], packet[20:]
            assert packet[9] == 17
        else:
            assert packet[0] >> 4 == 6
            assert struct.unpack_from("!HB", packet, 4) == (kept - 40, 17)
            source, target, udp = packet[8:24], packet[24:40], packet[40:]
        source_port, target_port, size, checksum = struct.unpack_from("!HHHH", udp)
        assert size == len(udp)
        assert checksum
        assert words_sum(source + target + struct.pack("!HH", 17, size) + udp) == 0xFFFF
        packets.append(
            Packet(
                seconds + microseconds / 1e6,
                f"{ip_address(source)} {source_port}",
                f"{ip_address(target)} {target_port}",
                udp[8:],
            )
        )
    return packets


def test_messages_are_datagrams_between_the_two_ends() -> None:
    there = sent("10.0.0.2:5090", "10.0.0.1:5070")
    back = TracedMessage(AT + 0.001, False, "10.0.0.2:5090", "tcp", RINGING, "10.0.0.1:5070")
    assert read(pcap([there, back])) == [
        Packet(AT, "10.0.0.1 5070", "10.0.0.2 5090", INVITE),
        Packet(AT + 0.001, "10.0.0.2 5090", "10.0.0.1 5070", RINGING),
    ]


def test_nothing_is_a_capture_of_nothing() -> None:
    assert pcap([]) == HEAD
    assert read(HEAD) == []


@pytest.mark.parametrize(
    ("peer", "local", "source", "target"),
    [
        ("[2001:db8::2]:5060", "[2001:db8::1]:5070", "2001:db8::1 5070", "2001:db8::2 5060"),
        ("[fe80::2%lo]:5060", "[fe80::1]:5060", "fe80::1 5060", "fe80::2 5060"),
        ("10.0.0.2:5060", "pbx.example.com:5070", "0.0.0.0 5070", "10.0.0.2 5060"),
        ("[2001:db8::2]:5060", "10.0.0.1:5070", ":: 5070", "2001:db8::2 5060"),
        ("10.0.0.2:5060", "", "0.0.0.0 5060", "10.0.0.2 5060"),
        ("nowhere", "10.0.0.1:99999", "10.0.0.1 65535", "0.0.0.0 5060"),
    ],
    ids=["ipv6", "scope", "name", "families", "not-kept", "odd"],
)
def test_ends_of_every_kind(peer: str, local: str, source: str, target: str) -> None:
    (packet,) = read(pcap([sent(peer, local)]))
    assert (packet.source, packet.target) == (source, target)


@pytest.mark.parametrize("peer", ["10.0.0.2:5060", "[2001:db8::2]:5060"])
def test_a_message_that_no_datagram_can_carry_is_cut(peer: str) -> None:
    (packet,) = read(pcap([sent(peer, "", b"x" * 70_000)]))
    assert packet.data == b"x" * LARGEST


@given(st.binary(max_size=99), st.floats(allow_nan=False, allow_infinity=False), st.booleans())
def test_any_bytes_at_any_time_are_written(raw: bytes, at: float, outgoing: bool) -> None:
    message = TracedMessage(at, outgoing, "10.0.0.2:5060", "udp", raw, "10.0.0.1:5060")
    (packet,) = read(pcap([message]))
    assert packet.data == raw


@pytest.mark.parametrize("size", range(4))
def test_a_sum_of_zero_is_sent_as_all_ones(size: int) -> None:
    """Two bytes are chosen such that all that is summed comes to zero, RFC 768's special case."""
    (blank,) = read(pcap([sent("10.0.0.2:5060", "10.0.0.1:5060", bytes(2 * size + 2))]))
    udp = pcap([sent("10.0.0.2:5060", "10.0.0.1:5060", blank.data)])[24 + 16 + 20 :]
    special = udp[6:8] + bytes(2 * size)
    capture = pcap([sent("10.0.0.2:5060", "10.0.0.1:5060", special)])
    assert capture[24 + 16 + 20 + 6 :][:2] == b"\xff\xff"
    assert read(capture)[0].data == special


@pytest.mark.skipif(shutil.which("tcpdump") is None, reason="tcpdump is not installed")
def test_tcpdump_reads_it() -> None:
    capture = pcap(
        [
            sent("10.0.0.2:5060", "10.0.0.1:5070"),
            TracedMessage(AT, False, "[2001:db8::2]:5060", "tcp", RINGING, "[2001:db8::1]:5060"),
        ]
    )
    done = subprocess.run(
        ["tcpdump", "-nn", "-vv", "-r", "-"],
        input=capture,
        capture_output=True,
        check=True,
        timeout=30,
    )
    told = done.stdout.decode()
    assert "10.0.0.1.5070 > 10.0.0.2.5060: [udp sum ok] SIP" in told
    assert "2001:db8::2.5060 > 2001:db8::1.5060: [udp sum ok] SIP" in told
    assert "INVITE sip:1@10.0.0.2 SIP/2.0" in told
    assert "bad" not in told
