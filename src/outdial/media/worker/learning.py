"""Learning the far address of a trunk behind NAT: once, briefly, and not from just anyone.

An attacker who sprays packets must not be heard or sent to (RTP Bleed, THREATS 6). So the socket
stays unconnected for at most half a second from the answer on, and only the signalling address or a
neighbour of the address in the SDP (same /24, or /64) with the negotiated payload type is believed;
with SRTP, only what is authentic.

Early media come from somewhere, too, and not always from where the answer's will: an announcement
of the network, a branch that lost. So what is learnt from a provisional response holds until the
answer and no longer. Nothing is locked then; the one source that was heard first is heard on. From
the answer on its packets may be the last that were under way: they are heard, but do not settle
anything unless nobody else is heard in the half second.
"""

from __future__ import annotations

import ctypes
import socket
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final

from outdial.legs import MediaParams
from outdial.media.core import rtp

if TYPE_CHECKING:
    from outdial.media.worker.srtp import SecureSocket
    from outdial.media.worker.stream import Stream

WINDOW_S: Final = 0.5
MOST_READ: Final = 64
"""Datagrams a turn; more than fit into the socket's buffer."""

Place = tuple[str, int]


class Learning:
    """The time of a stream before its far address is locked."""

    __slots__ = ("_early", "_heard_again", "_same", "_stated", "params", "socket", "until")

    def __init__(
        self,
        sock: socket.socket | SecureSocket,
        params: MediaParams,
        now: float,
        before: Learning | None = None,
    ) -> None:
        """`before` is that of the early media, when this is the answer's."""
        self.params = params
        self._stated: Place = (params.remote_address, params.remote_port)
        self._same = before is not None and before._stated == self._stated
        self._early: Place | None = None
        """Who was heard before the answer."""
        self._heard_again = False
        self.until = float("inf") if params.early else now + WINDOW_S
        self.socket = sock
        if before is not None and (self._same or not params.early):
            self._early = before._early

    def send(self, packet: bytes | bytearray | memoryview) -> int:
        """Until something was learnt, packets go where the SDP says."""
        return self.socket.sendto(packet, self._early or self._stated)

    def receive(self, stream: Stream, view: memoryview, now: float) -> int:
        """Reads on until a datagram may be believed, and locks the stream to its source if that
        settles it.

        Gives its size, 0 when none is believed. Raises OSError as the socket does.

        A stream's turn is one datagram otherwise. Here somebody who sprays would fill the socket's
        buffer, and the half second would be over before the far end's turn came.
        """
        for _ in range(MOST_READ):
            size, source = self.socket.recvfrom_into(view)
            if now <= self.until and self.believes(source[0], view, size):
                place = (source[0], source[1])
                if not self._holds_back(place):
                    self._lock(stream, place, now)
                    return size
                if place == self._early:
                    return size
            stream.refused += 1
        return 0

    def _holds_back(self, place: Place) -> bool:
        """Whether a source that is believed settles nothing yet."""
        if self.params.early:
            self._early = self._early or place
            return True
        if place != self._early or place == self._stated:
            return False
        self._heard_again = True
        return True

    def give_up(self, stream: Stream, now: float) -> None:
        """The time is over: the far end is where the SDP says, or still where its early media came
        from."""
        if self._early is not None and (self._heard_again or self._same):
            self._lock(stream, self._early, now)
        else:
            self._lock(stream, self._stated, now)

    def _lock(self, stream: Stream, place: Place, now: float) -> None:
        rtcp_port = self.params.remote_rtcp_port
        if place[1] != self.params.remote_port and rtcp_port:
            rtcp_port = place[1] + 1 if place[1] < 65535 else 0
        stream.lock(place, rtcp_port, now)

    def believes(self, address: str, view: memoryview, size: int) -> bool:
        """Whether a packet from there may set the far address."""
        params = self.params
        packet = rtp.parse(view, size)
        if packet is None or packet.payload_type not in (
            params.codec.value,
            params.payload_type,
            params.telephone_event,
        ):
            return False
        if address in (params.remote_address, params.signalling_address):
            return True
        try:
            source, stated = ip_address(address), ip_address(params.remote_address)
        except ValueError:
            return False
        prefix = 24 if stated.version == 4 else 64
        return source in ip_network((stated, prefix), strict=False)


def open_again(sock: socket.socket | SecureSocket) -> None:
    """Undoes `connect`, so that the socket hears others again: the far end is moving. Python has no
    call for it. Should the system refuse, the old place is heard on, and the new one is not."""
    _connect(sock.fileno(), _NOWHERE, len(_NOWHERE))


_NOWHERE: Final = bytes(16)
"""A socket address of the family AF_UNSPEC, which is 0: see connect(2)."""
_connect = ctypes.CDLL(None).connect
