"""HTTP connections: how many there may be, and how long one may take to say what it wants.

uvicorn times out connections only between requests. A client that connects and says nothing, or
sends its headers a byte at a time, would keep its descriptor for ever (the "slowloris" attack).
Bodies have their own time limit, in `bodies.read`.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADERS_S = 15.0
"""Within so long after connecting, or after its first byte, a request's headers must be there."""
MAX_CONNECTIONS = 1024
MAX_OVERHEAD_BYTES = 65_536
"""Of one request all that is not body: request line, headers, chunk sizes, trailers. The parser
itself has no limit."""

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: 39\r\n"
    b"Retry-After: 2\r\n"
    b"Connection: close\r\n\r\n"
    b"Too many connections; try again later.\n"
)
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"Content-Length: 0\r\n"
    b"Connection: close\r\n\r\n"
)


class _Together:
    """What an answer is written to: its head leaves with the first part of its body.

    uvicorn writes them one after the other, which costs a system call and often a packet more.
    """

    __slots__ = ("_head", "_headed", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self._headed = False

    def write(self, data: bytes) -> None:
        if self._headed:
            self._transport.write(self._head + data if self._head else data)
            self._head = b""
        elif data.startswith(b"HTTP/1.1 100 "):
            self._transport.write(data)
        else:
            self._head = data
            self._headed = True

    def close(self) -> None:
        if self._head:
            self.write(b"")
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()


class Connection(HttpToolsProtocol):
    """uvicorn's protocol with a cap on connections, and on what a request has but its body.

    The timer runs only while headers are awaited or incomplete: a request that arrives in one
    piece on a connection that is kept alive costs no timer.
    """

    headers_s = HEADERS_S
    max_connections = MAX_CONNECTIONS

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._patience: asyncio.TimerHandle | None = None
        self.asked_at = -math.inf
        """When its last request was complete, by the loop's clock."""
        self._overhead_bytes = 0
        self._in_headers = False
        self._in_message = False
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refused at once when there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            self._refuse(_FULL)
        else:
            self._patience = self.loop.call_later(self.headers_s, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """The timers go with the connection."""
        self._stop_waiting()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """As uvicorn, but watches requests that come in pieces."""
        if self._refused:
            return
        super().data_received(data)
        if self._in_message and not self.transport.is_closing():
            self._overhead_bytes += len(data)
            if self._overhead_bytes > MAX_OVERHEAD_BYTES:
                self._refuse(_TOO_LARGE)
            elif self._in_headers and self._patience is None:
                self._patience = self.loop.call_later(self.headers_s, self._give_up)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._in_message = self._in_headers = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The request can be answered."""
        self._in_headers = False
        self._stop_waiting()
        super().on_headers_complete()
        if self.scope["method"] != "HEAD":  # its answer has no part that would follow
            self.cycle.transport = _Together(self.transport)  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        """The body has a limit of its own."""
        self._overhead_bytes -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The last byte of a request."""
        self._in_message = False
        self._overhead_bytes = 0
        self.asked_at = self.loop.time()
        super().on_message_complete()

    def _refuse(self, answer: bytes) -> None:
        """The last words on this connection; no words in the middle of another answer."""
        self._refused = True
        self._stop_waiting()
        if self.cycle is None or not self.cycle.response_started or self.cycle.response_complete:
            self.transport.write(answer)
        self.transport.close()

    def _give_up(self) -> None:
        self._patience = None
        self.transport.close()

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
