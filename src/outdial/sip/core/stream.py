"""Cutting a TCP or TLS byte stream into messages (RFC 3261 section 18.3, RFC 5626 section 3.5.1).

Only the end of the head and the Content-Length are looked at here; what is in between is for
`parser`. A stream that cannot be cut is lost: its connection has to be closed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import Final

from outdial.errors import RemoteProtocolError
from outdial.sip.core.grammar import parse_number
from outdial.sip.core.limits import MAX_BODY_BYTES, MAX_HEAD_BYTES

_HEAD_END: Final = b"\r\n\r\n"
_length_name = re.compile(rb"\r\n(?:content-length|l)[ \t]*+:", re.IGNORECASE)
_lws = rb"(?:[ \t]|\r\n[ \t])*+"
_length_value = re.compile(_lws + rb"([0-9]++)" + _lws + rb"(?:\r\n|\Z)")


class KeepAlive(Enum):
    """What stood between messages."""

    PING = "ping"
    """CRLFCRLF from the side that opened the connection: answer with `PONG_BYTES`."""
    PONG = "pong"
    """CRLF on a connection that we opened: the answer to our ping."""


PING_BYTES: Final = b"\r\n\r\n"
PONG_BYTES: Final = b"\r\n"


class StreamFramer:
    """One direction of one connection.

    `opened_by_us`: on such a connection a CRLF between messages is a pong, on others two are a
    ping (only the side that opened it sends pings).
    """

    __slots__ = ("_body_length", "_buffer", "_head_end", "_opened_by_us", "_searched")

    def __init__(self, *, opened_by_us: bool = False) -> None:
        self._buffer = bytearray()
        self._opened_by_us = opened_by_us
        self._reset()

    def _reset(self) -> None:
        self._searched = 0
        self._head_end = -1
        self._body_length = 0

    @property
    def buffered_bytes(self) -> int:
        """What waits for the rest of its message."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[bytes | KeepAlive]:
        """Gives what `data` completes, in order; it has to be iterated to its end.

        RemoteProtocolError, after all that came before it, for a head without end, no or two
        Content-Lengths, one that is no number, or a message over the limits. It is final.
        """
        self._buffer += data
        while self._buffer:
            if self._head_end < 0:
                yield from self._keep_alives()
                if not self._find_head():
                    return
            end = self._head_end + self._body_length
            if len(self._buffer) < end:
                return
            message = bytes(self._buffer[:end])
            del self._buffer[:end]
            self._reset()
            yield message

    def _keep_alives(self) -> Iterator[KeepAlive]:
        """Drops the CRLFs before a message. Pings that arrive together count as one."""
        if self._searched or self._buffer[0] not in b"\r\n":
            return
        count = 0
        while self._buffer.startswith(b"\r\n", 2 * count):
            count += 1
        if self._opened_by_us:
            del self._buffer[: 2 * count]
            if count:
                yield KeepAlive.PONG
            return
        follows = len(self._buffer) - 2 * count
        waits = count % 2 if not follows or self._buffer[2 * count :] == b"\r" else 0
        del self._buffer[: 2 * (count - waits)]
        if count > 1:
            yield KeepAlive.PING

    def _find_head(self) -> bool:
        """Looks for the end of the head in what is new; True when it and the length are known."""
        buffer = self._buffer
        if len(buffer) < 4 and not buffer.strip(b"\r\n"):
            return False
        end = buffer.find(_HEAD_END, self._searched)
        if end > MAX_HEAD_BYTES or (end < 0 and len(buffer) > MAX_HEAD_BYTES):
            raise RemoteProtocolError("the head does not end", 513)
        if end < 0:
            self._searched = max(0, len(buffer) - 3)
            return False
        self._body_length = _content_length(bytes(buffer[:end]))
        self._head_end = end + len(_HEAD_END)
        return True


def _content_length(head: bytes) -> int:
    names = list(_length_name.finditer(head))
    if len(names) != 1:
        raise RemoteProtocolError(f"{len(names)} Content-Lengths on a stream")
    value = _length_value.match(head, names[0].end())
    if value is None:
        raise RemoteProtocolError("malformed Content-Length")
    length = parse_number(value[1].decode(), 2**31, "Content-Length")
    if length > MAX_BODY_BYTES:
        raise RemoteProtocolError("body too large", 413)
    return length
