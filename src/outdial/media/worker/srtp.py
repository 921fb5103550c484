"""SRTP and SRTCP (RFC 3711, RFC 7714) of one stream, between the stream and its sockets.

`SecureSocket` and `SecureControl` have the methods of a socket that streams and reports use, so
that they are written for plain RTP alone, and plain RTP pays nothing for this. A datagram that is
not authentic, or comes a second time, arrives as an empty one: it is refused like anything else
that is not RTP, before its source could be learnt or its content believed.
"""

from __future__ import annotations

import errno
import socket
from typing import Any, Final

from pylibsrtp import Error, Policy, Session

from outdial.legs import CryptoSuite, MediaKeys

LARGEST: Final = 1500
"""What pylibsrtp takes; an audio packet of 60 ms has 508 bytes."""
MOST_SOURCES: Final = 16
"""SSRCs of the far end that are remembered, each with what it has sent. A far end that changes its
SSRC with each packet would fill the memory otherwise."""

_PROFILES: Final = {
    CryptoSuite.AES_CM_128_HMAC_SHA1_80: Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    CryptoSuite.AES_CM_128_HMAC_SHA1_32: Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    CryptoSuite.AEAD_AES_128_GCM: Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    CryptoSuite.AEAD_AES_256_GCM: Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}
_BAD: Final = (Error, ValueError)
"""What pylibsrtp raises for a packet: not authentic, or longer than it takes."""


class Context:
    """Both directions of a stream's encryption, from its first keys to its last."""

    __slots__ = ("_keys", "_receiving", "_sending", "_source", "_sources", "unauthentic")

    def __init__(self, keys: MediaKeys) -> None:
        self._keys = keys
        self._sending = _sending(keys)
        self._receiving = _receiving(keys)
        self._source = b""
        self._sources: dict[bytes, None] = {}
        """SSRCs; whoever was heard last is last."""
        self.unauthentic = 0
        """RTP packets that were dropped."""

    def rekey(self, keys: MediaKeys) -> None:
        """Other keys. A direction whose key is the same goes on as it was: its packet counter and
        its memory of what was sent before must not begin anew (RFC 3711 section 3.3.1)."""
        before, self._keys = self._keys, keys
        if (keys.suite, keys.send) != (before.suite, before.send):
            self._sending = _sending(keys)
        if (keys.suite, keys.receive) != (before.suite, before.receive):
            self._receiving = _receiving(keys)
            self._source = b""
            self._sources.clear()

    def protect(self, packet: bytes) -> bytes:
        """Raises OSError for what cannot be sent, such as one sequence number twice."""
        try:
            return self._sending.protect(packet)
        except _BAD as error:
            raise OSError(errno.EPROTO, str(error)) from None

    def protect_control(self, packet: bytes) -> bytes:
        """The same for RTCP."""
        try:
            return self._sending.protect_rtcp(packet)
        except _BAD as error:
            raise OSError(errno.EPROTO, str(error)) from None

    def unprotect(self, packet: bytes) -> bytes:
        """The RTP packet; nothing, and counted, when it is not authentic."""
        try:
            plain = self._receiving.unprotect(packet)
        except _BAD:
            self.unauthentic += 1
            return b""
        source = plain[8:12]
        if source != self._source:
            self._source = source
            self._remember(source)
        return plain

    def unprotect_control(self, packet: bytes) -> bytes:
        """The same for RTCP, but it is not counted: baresip 1.0.0 among others sends some in the
        clear, and the count is there to tell of keys that do not fit."""
        try:
            plain = self._receiving.unprotect_rtcp(packet)
        except _BAD:
            return b""
        if plain[4:8] != self._source:
            self._remember(plain[4:8])
        return plain

    def _remember(self, source: bytes) -> None:
        """The one that has been silent for longest is forgotten, never the one that talks."""
        for one in (source, self._source):
            if one:
                self._sources.pop(one, None)
                self._sources[one] = None
        if len(self._sources) > MOST_SOURCES:
            oldest = next(iter(self._sources))
            del self._sources[oldest]
            self._receiving.remove_stream(int.from_bytes(oldest, "big"))


class SecureSocket:
    """The RTP socket."""

    __slots__ = ("_context", "close", "connect", "fileno", "getsockname", "plain")

    def __init__(self, plain: socket.socket, context: Context) -> None:
        self.plain = plain
        self._context = context
        self.connect = plain.connect
        self.fileno = plain.fileno
        self.close = plain.close
        self.getsockname = plain.getsockname

    def send(self, packet: bytes | bytearray | memoryview) -> int:
        """As of a socket."""
        return self.plain.send(self._context.protect(bytes(packet)))

    def sendto(self, packet: bytes | bytearray | memoryview, address: Any) -> int:
        """As of a socket."""
        return self.plain.sendto(self._context.protect(bytes(packet)), address)

    def recv_into(self, data: bytearray) -> int:
        """As of a socket."""
        plain = self._context.unprotect(self.plain.recv(LARGEST))
        data[: len(plain)] = plain
        return len(plain)

    def recvfrom_into(self, view: memoryview) -> tuple[int, Any]:
        """As of a socket."""
        packet, source = self.plain.recvfrom(LARGEST)
        plain = self._context.unprotect(packet)
        view[: len(plain)] = plain
        return len(plain), source

    def recvfrom(self, size: int) -> tuple[bytes, Any]:
        """As of a socket."""
        packet, source = self.plain.recvfrom(min(size, LARGEST))
        return self._context.unprotect(packet), source


class SecureControl:
    """The RTCP socket."""

    __slots__ = ("_context", "close", "getsockname", "plain", "setsockopt")

    def __init__(self, plain: socket.socket, context: Context) -> None:
        self.plain = plain
        self._context = context
        self.setsockopt = plain.setsockopt
        self.close = plain.close
        self.getsockname = plain.getsockname

    def sendto(self, packet: bytes, address: Any) -> int:
        """As of a socket."""
        return self.plain.sendto(self._context.protect_control(packet), address)

    def recvmsg(self, size: int, ancillary: int) -> tuple[bytes, Any, int, Any]:
        """As of a socket."""
        packet, about, flags, source = self.plain.recvmsg(min(size, LARGEST), ancillary)
        return self._context.unprotect_control(packet), about, flags, source


def _sending(keys: MediaKeys) -> Session:
    return Session(Policy(keys.send, Policy.SSRC_ANY_OUTBOUND, srtp_profile=_PROFILES[keys.suite]))


def _receiving(keys: MediaKeys) -> Session:
    return Session(
        Policy(keys.receive, Policy.SSRC_ANY_INBOUND, srtp_profile=_PROFILES[keys.suite])
    )
