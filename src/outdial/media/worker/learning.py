"""Learning the far address of a trunk behind NAT: once, briefly, and not from just anyone.

An attacker who sprays packets must not be heard or sent to (RTP Bleed, THREATS 6). So the socket
stays unconnected for at most half a second, and only the signalling address or a neighbour of the
address in the SDP (same /24, or /64) with the negotiated payload type is believed; with SRTP, only
what is authentic.
"""

from __future__ import annotations

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


class Learning:
    """The unlocked half second of one stream."""

    __slots__ = ("_address", "params", "socket", "until")

    def __init__(self, sock: socket.socket | SecureSocket, params: MediaParams, now: float) -> None:
        self.params = params
        self.until = now + WINDOW_S
        self.socket = sock
        self._address = (params.remote_address, params.remote_port)

    def send(self, packet: bytes | bytearray | memoryview) -> int:
        """Until something was learnt, packets go where the SDP says."""
        return self.socket.sendto(packet, self._address)

    def receive(self, stream: Stream, view: memoryview, now: float) -> int:
        """Reads on until a datagram may be believed, and locks the stream to its source.

        Gives its size, 0 when none is believed. Raises OSError as the socket does.

        A stream's turn is one datagram otherwise. Here somebody who sprays would fill the socket's
        buffer, and the half second would be over before the far end's turn came.
        """
        for _ in range(MOST_READ):
            size, source = self.socket.recvfrom_into(view)
            if now <= self.until and self.believes(source[0], view, size):
                break
            stream.refused += 1
        else:
            return 0
        rtcp_port = self.params.remote_rtcp_port
        if source[1] != self.params.remote_port and rtcp_port:
            rtcp_port = source[1] + 1 if source[1] < 65535 else 0
        stream.lock((source[0], source[1]), rtcp_port, now)
        return size

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
