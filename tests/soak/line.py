"""A line between two network namespaces that loses packets: ``python -m soak.line PID LOSS SEED``.

Both ends are TUN devices, and this process carries the packets between them, as a bad network
would; kernels without netem have no other way. PID is a process in the far namespace. On the way it
looks at the RTP: at what the near side sends, with the time stamps of the kernel (how evenly), and
at what arrives on either side (whether the tone is in it). When its standard input ends it writes
what it saw as JSON.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import random
import select
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from typing import Final

import numpy as np
import numpy.typing as npt

NEAR, FAR = "10.77.0.1", "10.77.0.2"
NEAR_HZ, FAR_HZ = 1000, 600
"""What the near side plays, and the far side: whole periods in 20 ms."""
LOOKED_AT: Final = 25
"""One packet in so many is looked into."""
_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_TUN_NO_PI = 0x1001
_TIMESTAMPS = 35
_OUTGOING = 4
_ALL = 3
"""ETH_P_ALL: nothing less sees what leaves."""
_BURST = 3
_OVER_S = 4.0
"""No pause within a call lasts so long, and SIPp keeps a port longer behind a call."""


def main() -> None:
    """Until the standard input ends."""
    pid, loss, seed = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    near = _tun("near", NEAR)
    watch = _watch("near")
    with open(f"/proc/{pid}/ns/net") as space:
        if ctypes.CDLL(None, use_errno=True).setns(space.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    far = _tun("far", FAR)
    line = Line(near, far, watch, loss, seed)
    print("up", flush=True)
    line.run()
    print(json.dumps(line.report()), flush=True)


class Stream:
    """The RTP of one SSRC that arrived, until there was none for a while."""

    def __init__(self) -> None:
        self.packets = self.looked = self.right = 0
        self.latest_s = 0.0


class Line:
    """Carries packets, loses some, and looks at the RTP among them."""

    def __init__(self, near: int, far: int, watch: socket.socket, loss: float, seed: int) -> None:
        self._near, self._far, self._watch = near, far, watch
        self._loss = loss
        self._chance = random.Random(seed).random
        self._burst = {near: 0, far: 0}
        self.carried = self.lost = 0
        self._streams: dict[tuple[int, int, int, int], Stream] = {}
        """By descriptor that it went to, ports and SSRC. All three come again: SIPp gives its
        streams few numbers."""
        self._ended: list[tuple[int, Stream]] = []
        """Streams before those, by descriptor."""
        self._latest: dict[tuple[int, int], tuple[int, float]] = {}
        self._errors: Counter[int] = Counter()
        """Packets by tenths of a millisecond between their time and 20 ms after the one before."""

    def run(self) -> None:
        """Until the standard input ends."""
        poll = select.epoll()
        for descriptor in (self._near, self._far, self._watch.fileno(), 0):
            poll.register(descriptor, select.EPOLLIN)
        other = {self._near: self._far, self._far: self._near}
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == 0:
                    return
                if descriptor == self._watch.fileno():
                    self._look_at_departures()
                else:
                    self._carry(descriptor, other[descriptor])

    def _carry(self, source: int, target: int) -> None:
        for _ in range(64):
            try:
                packet = os.read(source, 4096)
            except BlockingIOError:
                return
            if self._loses(target):
                self.lost += 1
                continue
            self.carried += 1
            self._look(packet, target)
            try:
                os.write(target, packet)
            except OSError:  # the far end's queue is full
                self.lost += 1

    def _loses(self, target: int) -> bool:
        """A third of what is lost is lost alone, the rest in bursts of two and three."""
        if self._burst[target]:
            self._burst[target] -= 1
            return True
        if self._chance() * (1 + _BURST) / 2 < self._loss:
            self._burst[target] = int(self._chance() * _BURST)
            return True
        return False

    def _look(self, packet: bytes, target: int) -> None:
        found = _rtp(packet)
        if found is None:
            return
        ports, ssrc, _, payload = found
        key = (target, *ports, ssrc)
        now = time.monotonic()
        stream = self._streams.get(key)
        if stream is not None and now - stream.latest_s > _OVER_S:
            self._ended.append((target, stream))
            stream = None
        if stream is None:
            stream = self._streams[key] = Stream()
        stream.latest_s = now
        stream.packets += 1
        if stream.packets % LOOKED_AT == 0:
            stream.looked += 1
            hertz = NEAR_HZ if target == self._far else FAR_HZ
            stream.right += _is_tone(payload, hertz)

    def _look_at_departures(self) -> None:
        for _ in range(64):
            try:
                packet, ancillary, _, address = self._watch.recvmsg(4096, 128)
            except BlockingIOError:
                return
            found = _rtp(packet)
            if address[2] != _OUTGOING or found is None or not ancillary:
                continue
            seconds, nanoseconds = struct.unpack("qq", ancillary[0][2][:16])
            ports, ssrc, sequence, _ = found
            self._departed((ports[0], ssrc), sequence, seconds + nanoseconds / 1e9)

    def _departed(self, key: tuple[int, int], sequence: int, at: float) -> None:
        before = self._latest.get(key)
        self._latest[key] = (sequence, at)
        if before is not None and (sequence - before[0]) & 0xFFFF == 1:
            self._errors[int(abs(at - before[1] - 0.02) * 10_000)] += 1

    def report(self) -> dict[str, object]:
        """What was seen."""
        streams: dict[str, list[list[int]]] = {"to the far end": [], "to the near end": []}
        last = [(key[0], one) for key, one in self._streams.items()]
        for target, one in (*self._ended, *last):
            where = "to the far end" if target == self._far else "to the near end"
            streams[where].append([one.packets, one.looked, one.right])
        return {
            "carried": self.carried,
            "lost": self.lost,
            "streams": streams,
            "errors": sorted(self._errors.items()),
        }


def _rtp(packet: bytes) -> tuple[tuple[int, int], int, int, bytes] | None:
    """Ports, SSRC, sequence and payload of an IPv4 packet with 20 ms of PCMU."""
    if len(packet) != 200 or packet[9] != 17 or packet[28] != 0x80 or packet[29] & 0x7F:
        return None
    ports = struct.unpack_from("!HH", packet, 20)
    sequence, _, ssrc = struct.unpack_from("!HII", packet, 30)
    return ports, ssrc, sequence, packet[40:]


def _is_tone(payload: bytes, hertz: int) -> bool:
    """Whether nine tenths of the power of 20 ms are at that frequency."""
    samples = _LINEAR[np.frombuffer(payload, np.uint8)]
    power = np.abs(np.fft.rfft(samples)) ** 2
    total = float(power.sum())
    at = hertz // 50
    return total > 1e9 and float(power[at - 1 : at + 2].sum()) > 0.9 * total


def _ulaw() -> npt.NDArray[np.float64]:
    """What each byte of PCMU stands for (ITU-T G.711)."""
    flipped = ~np.arange(256, dtype=np.uint8)
    size = ((flipped & 0x0F).astype(int) * 8 + 132 << ((flipped >> 4) & 7)) - 132
    return np.asarray(np.where(flipped & 0x80, -size, size), dtype=np.float64)


_LINEAR: Final = _ulaw()


def _tun(name: str, address: str) -> int:
    """A TUN device of this namespace, up; gives its descriptor."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TUN_NO_PI))
    for command in (
        ["ip", "addr", "add", f"{address}/24", "dev", name],
        ["ip", "link", "set", name, "txqueuelen", "5000", "up"],
    ):
        subprocess.run(command, check=True)
    return descriptor


def _watch(device: str) -> socket.socket:
    """Sees what leaves by the device, with the times of the kernel."""
    watch = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL))
    watch.setsockopt(socket.SOL_SOCKET, _TIMESTAMPS, 1)
    watch.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
    watch.bind((device, _ALL))
    watch.setblocking(False)
    return watch


if __name__ == "__main__":
    main()
