"""What was on the wire: tcpdump on the loopback interface, and what its file says.

Packets carry the kernel's time stamps, so neither the server nor the load is disturbed by clocks.
"""

from __future__ import annotations

import re
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.sink import FIRST_LEG

_INVITE = re.compile(rb"INVITE sips?:\+?" + FIRST_LEG.encode() + rb"(\d{8})")
_CALL_ID = re.compile(rb"(?i)\r\n(?:call-id|i)\s*:\s*([^\r]+)")
_INVITE_CSEQ = re.compile(rb"(?i)\r\ncseq\s*:\s*\d+\s+INVITE")
_AUDIO = re.compile(rb"\nm=audio (\d+)")
_QUIET = bytes((0xFF, 0x7F, 0xFE, 0x7E, 0xFD, 0x7D))
"""PCMU of silence, and of next to nothing."""
_PERIOD_S = 0.020
# Loopback shows each packet twice without -Q; the ring is large because the machine is busy.
_OPTIONS = ("-i", "lo", "-Q", "in", "-n", "-p", "-Z", "root", "-B", "32768")


@dataclass(slots=True)
class Leg:
    """What was seen of one called number's first leg; times of the wall clock, 0: not seen."""

    invite: float = 0.0
    answer: float = 0.0
    server_port: int = 0
    first_sound: float = 0.0
    """The first RTP packet after the answer that is not silence."""


@dataclass(slots=True)
class Stream:
    """The RTP packets from one port of the server with one SSRC."""

    times: list[float] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)

    @property
    def lost(self) -> int:
        """Sequence numbers missing between the first and the last packet."""
        span = (self.numbers[-1] - self.numbers[0]) & 0xFFFF
        return max(0, span + 1 - len(set(self.numbers)))

    @property
    def errors(self) -> list[float]:
        """How far each packet was from 20 ms after the one before, seconds."""
        pairs = zip(self.times, self.times[1:], strict=False)
        return [abs(after - before - _PERIOD_S) for before, after in pairs]


class Capture:
    """tcpdump, as a context manager; `dropped` is known when it has ended."""

    def __init__(self, folder: Path, filter_expression: str, snap: int = 1600) -> None:
        self._filter, self._snap = filter_expression, snap
        self._path = folder / "capture.pcap"
        self._process: subprocess.Popen[bytes] | None = None
        self.dropped = 0

    def __enter__(self) -> Capture:
        program = shutil.which("tcpdump")
        if program is None:
            raise SystemExit("the benchmark needs the program tcpdump")
        self._process = subprocess.Popen(
            [program, *_OPTIONS, "-s", str(self._snap), "-w", str(self._path), self._filter],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        time.sleep(0.7)
        if self._process.poll() is not None:
            raise SystemExit("tcpdump ended at once; it needs the right to capture (root)")
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            return
        time.sleep(1.3)  # it empties its ring once a second
        self._process.send_signal(signal.SIGINT)
        said = self._process.communicate()[1]
        dropped = re.search(rb"(\d+) packets? dropped by kernel", said)
        self.dropped = int(dropped[1]) if dropped else 0

    def legs(self, sip_port: int, rtp_port: int) -> dict[str, Leg]:
        """By the last eight digits of the called number."""
        legs: dict[str, Leg] = {}
        by_call_id: dict[bytes, Leg] = {}
        by_port: dict[int, Leg] = {}
        for at, source, target, payload in self._packets():
            if target == sip_port and (invite := _INVITE.match(payload)):
                leg = legs.setdefault(invite[1].decode(), Leg())
                if not leg.invite and (audio := _AUDIO.search(payload)):
                    leg.invite, leg.server_port = at, int(audio[1])
                    by_call_id[_call_id(payload)] = leg
            elif source == sip_port and payload.startswith(b"SIP/2.0 200"):
                answered = by_call_id.get(_call_id(payload))
                if answered and not answered.answer and _INVITE_CSEQ.search(payload):
                    answered.answer = at
                    by_port[answered.server_port] = answered
            elif target == rtp_port and payload[12:].strip(_QUIET):
                heard = by_port.get(source)
                if heard and not heard.first_sound:
                    heard.first_sound = at
        return legs

    def streams(self, rtp_port: int) -> list[Stream]:
        """The RTP streams with at least 20 packets."""
        found: dict[tuple[int, bytes], Stream] = {}
        for at, source, target, packet in self._packets():
            if target == rtp_port and len(packet) >= 12:
                stream = found.setdefault((source, packet[8:12]), Stream())
                stream.times.append(at)
                stream.numbers.append(packet[2] << 8 | packet[3])
        return [stream for stream in found.values() if len(stream.times) >= 20]

    def _packets(self) -> Iterator[tuple[float, int, int, bytes]]:
        """Time, source port, target port and payload of each UDP packet over IPv4."""
        data = self._path.read_bytes()
        divisor = 1e9 if data[:4] == b"\x4d\x3c\xb2\xa1" else 1e6
        offset = 24
        while offset + 16 <= len(data):
            seconds, fraction, size, _ = struct.unpack_from("<IIII", data, offset)
            begin, offset = offset + 16, offset + 16 + size
            ip = begin + 14
            if size < 42 or data[ip - 2 : ip] != b"\x08\x00" or data[ip + 9] != 17:
                continue
            udp = ip + (data[ip] & 15) * 4
            source, target = struct.unpack_from(">HH", data, udp)
            yield seconds + fraction / divisor, int(source), int(target), data[udp + 8 : offset]


def _call_id(message: bytes) -> bytes:
    found = _CALL_ID.search(message)
    return found[1].strip() if found else b""
