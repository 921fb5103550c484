"""The path of a stream's packets: its sockets, the keys between it and them, the far address.

Set up at the start and changed by an offer, never by a packet. What packets go through, `send` and
`rtp`, stands in the stream itself, so that none of them looks anything up here.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Final

from outdial.legs import MediaKeys, MediaParams
from outdial.media.core import g711, rtp
from outdial.media.worker.learning import Learning, open_again

if TYPE_CHECKING:
    from outdial.media.worker.stream import Stream

UNSPECIFIED: Final = ("0.0.0.0", "::")
MOST_DRAINED: Final = 256
"""Datagrams looked at when a socket is connected; more than fit into its buffer."""


def bind(stream: Stream) -> None:
    """Lets `send` go through the edge, if there is one."""
    if stream.edge is None:
        stream.send = stream.transmit
    else:
        stream.edge.transmit = stream.transmit
        stream.send = stream.edge.send


def secure(stream: Stream, keys: MediaKeys | None) -> None:
    """Puts SRTP between the stream and its sockets, gives it other keys, or takes it away."""
    from outdial.media.worker import srtp

    before = stream.rtp
    if keys is not None and stream.srtp is not None:
        stream.srtp.rekey(keys)
    elif keys is not None:
        stream.srtp = srtp.Context(keys)
    if keys is None and isinstance(stream.rtp, srtp.SecureSocket):
        stream.rtp = stream.rtp.plain
    elif keys is not None and stream.srtp is not None and isinstance(stream.rtp, socket.socket):
        stream.rtp = srtp.SecureSocket(stream.rtp, stream.srtp)
    stream.reports.secure(stream.srtp if keys is not None else None)
    if stream.rtp is not before:
        if stream.learning is not None:
            stream.learning.socket = stream.rtp
        else:
            stream.transmit = stream.rtp.send


def aim(stream: Stream, params: MediaParams, now: float) -> None:
    """Points the sockets at the far end."""
    if params.remote_address in UNSPECIFIED:
        # On hold the old way: packets may still come from where they came from. From the
        # start there is no such place; only the discard port of this machine is let through.
        if not stream.started:
            loopback = "::1" if ":" in params.remote_address else "127.0.0.1"
            lock(stream, (loopback, 9), 0, now)
        return
    learning, stream.learning = stream.learning, None
    if params.learn_address:
        if stream.started and learning is None:
            open_again(stream.rtp)
        stream.learning = Learning(stream.rtp, params, now, learning)
        stream.transmit = stream.learning.send
        stream.due = min(stream.due, stream.learning.until)
        return
    lock(stream, (params.remote_address, params.remote_port), params.remote_rtcp_port, now)


def lock(stream: Stream, address: tuple[str, int], rtcp_port: int, now: float) -> None:
    """Connects the sockets: from now on the kernel drops what others send (THREATS 6)."""
    stream.learning = None
    stream.transmit = stream.rtp.send
    bind(stream)
    try:
        stream.rtp.connect(address)
    except OSError:
        # No route: nothing can be sent there, and nobody else may be heard in its place. A
        # socket that is connected to its own machine's discard port hears nobody.
        stream.send_errors += 1
        stream.sends = False
        with contextlib.suppress(OSError):
            stream.rtp.connect((stream.rtp.getsockname()[0], 9))
    stream.reports.aim(address[0], rtcp_port, now)
    _drain(stream, address, now)


def _drain(stream: Stream, address: tuple[str, int], now: float) -> None:
    """Looks at what anyone sent before the socket was connected; only the far end counts.

    Its first packets are often quicker than its answer.
    """
    for _ in range(MOST_DRAINED):
        try:
            raw, source = stream.rtp.recvfrom(rtp.MAX_PACKET)
        except OSError:
            return
        if source[:2] == address:
            data = bytearray(rtp.MAX_PACKET)
            data[: len(raw)] = raw
            stream.arrive(data, memoryview(data), len(raw), now, int(now * g711.RATE_HZ))
        else:
            stream.refused += 1
