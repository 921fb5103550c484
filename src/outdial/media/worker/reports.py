"""RTCP of one stream: our reports every five seconds or so, and what the far end's say.

Nothing is urgent about reports: what has come is read when ours goes out, with the kernel's time of
arrival, and the socket is neither polled nor connected. That was a fifth of a short call's work.
"""

from __future__ import annotations

import random
import socket
import time
from struct import Struct
from typing import TYPE_CHECKING, Final

from outdial.media.core import rtcp

if TYPE_CHECKING:
    from outdial.media.worker.srtp import Context, SecureControl
    from outdial.media.worker.stream import Stream

_TIMESTAMPS: Final = 35
"""SO_TIMESTAMPNS, which the socket module does not name."""
_TIMESPEC: Final = Struct("qq")
MOST_READ: Final = 64
"""Datagrams looked at before a report of ours; the rest waits for the next."""


class Reports:
    """The RTCP side of a stream; `aim` makes it live."""

    __slots__ = (
        "_cname",
        "_far",
        "_packets_reported",
        "_socket",
        "_sr_at",
        "_sr_middle",
        "far_lost_fraction",
        "heard_at",
        "next_at",
        "round_trip_s",
    )

    def __init__(self, sock: socket.socket) -> None:
        self._socket: socket.socket | SecureControl = sock
        self._far: tuple[str, int] | None = None
        self._cname = f"{random.getrandbits(64):016x}"
        """RFC 7022 4.2: random, and it says nothing about us."""
        self._sr_middle = 0
        self._sr_at = 0.0
        self._packets_reported = 0
        self.far_lost_fraction = 0.0
        self.round_trip_s = 0.0
        self.heard_at = 0.0
        """When the far end last reported."""
        self.next_at = float("inf")

    def close(self) -> None:
        self._socket.close()

    def secure(self, context: Context | None) -> None:
        """Reports are SRTCP from now on, or (None) no longer."""
        from outdial.media.worker.srtp import SecureControl

        sock = self._socket
        plain = sock.plain if isinstance(sock, SecureControl) else sock
        self._socket = plain if context is None else SecureControl(plain, context)

    def aim(self, address: str, port: int, now: float) -> None:
        """Reports go there from now on, and only those from there count. 0: none."""
        self._far = None
        self.next_at = float("inf")
        if not port:
            return
        self._socket.setsockopt(socket.SOL_SOCKET, _TIMESTAMPS, 1)
        self._far = (address, port)
        self.next_at = now + rtcp.INTERVAL_S / 2 * random.uniform(0.5, 1.5)

    def send(self, stream: Stream, now: float, *, leaving: bool = False) -> None:
        """Sends a report now and plans the next one; with `leaving` a BYE goes with it.

        Reads what the far end has reported first.
        """
        if self._far is None:
            return
        self.read(now)
        self.next_at = now + rtcp.INTERVAL_S * random.uniform(0.5, 1.5)
        blocks = self._blocks(stream, now)
        if stream.sent > self._packets_reported:
            ntp = rtcp.ntp_time(time.time())
            edge = stream.edge
            octets = stream.sent * stream.samples if edge is None else edge.outward.octets
            timestamp = (stream.timestamp * stream.clock_scale) & 0xFFFFFFFF
            data = rtcp.sender_report(stream.ssrc, ntp, timestamp, stream.sent, octets, blocks)
            self._packets_reported = stream.sent
        else:
            data = rtcp.receiver_report(stream.ssrc, blocks)
        data += rtcp.description(stream.ssrc, self._cname)
        if leaving:
            data += rtcp.bye(stream.ssrc)
        try:
            self._socket.sendto(data, self._far)
        except OSError:
            # No route, or a full device queue; the next report says it all again.
            pass

    def _blocks(self, stream: Stream, now: float) -> list[rtcp.Block]:
        reception = stream.reception
        if reception.ssrc is None:
            return []
        delay = int((now - self._sr_at) * 65536) if self._sr_middle else 0
        return [
            rtcp.Block(
                ssrc=reception.ssrc,
                fraction_lost=reception.interval_loss(),
                lost=min(reception.lost, 0x7FFFFF),
                highest=reception.extended_highest,
                jitter=int(reception.jitter * stream.clock_scale) & 0xFFFFFFFF,
                last_sr=self._sr_middle,
                delay=min(delay, 0xFFFFFFFF),
            )
        ]

    def read(self, now: float) -> None:
        """Takes in the reports that have come from the far end."""
        for _ in range(MOST_READ):
            try:
                data, ancillary, _, source = self._socket.recvmsg(1500, 64)
            except OSError:
                return
            if source[:2] == self._far:
                self._learn(data, ancillary, now)

    def _learn(self, data: bytes, ancillary: list[tuple[int, int, bytes]], now: float) -> None:
        wall = time.time()
        arrived = wall
        if ancillary and len(ancillary[0][2]) == _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
            arrived = seconds + nanoseconds / 1e9
        for report in rtcp.parse(data):
            self.heard_at = now
            if report.ntp is not None:
                self._sr_middle = rtcp.middle(report.ntp)
                self._sr_at = now - max(0.0, wall - arrived)
            for block in report.blocks:
                self._take(block, arrived)

    def _take(self, block: rtcp.Block, arrived: float) -> None:
        self.far_lost_fraction = block.fraction_lost / 256
        trip = rtcp.round_trip_s(block, rtcp.ntp_time(arrived))
        if trip is not None and trip < 10:
            self.round_trip_s = trip
