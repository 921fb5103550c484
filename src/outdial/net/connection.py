"""One connection to an HTTP/1.1 server: asks, reads the whole answer, asks again.

The bytes are read by llhttp (httptools), which is strict about what HTTP is; what is here is about
how much of it there may be, where an answer ends, and whether the connection may be used again.
A connection on which anything was odd is not.

Sources: RFC 9112 section 6.3 (how long a body is), 9.3 (persistence), 9.6 (closing), 11.2
(response splitting), RFC 9110 section 15.2 (interim answers).
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import httptools

from outdial.errors import FetchError
from outdial.frozen import frozen
from outdial.net.trace import Trace

_MAX_BARREN_BYTES = 65536
"""How many bytes may come, read after read, without bringing any content: head, trailers."""
_MAX_WRAPPING = 8
"""At most so many times the allowed content may come in all, however it is chunked."""
_MAX_LINE_BYTES = 16384
_MAX_REASON_BYTES = 256
_MAX_LINES = 128
"""Header and trailer lines, those of interim answers too."""
_NO_CONTENT = frozenset((204, 304))


class Disconnected(FetchError):
    """The server closed the connection before it sent the first byte of an answer."""


@frozen
class Answer:
    """A complete answer as it came."""

    status: int
    fields: dict[bytes, bytes]
    """By lower-case name; of repeated ones the first."""
    body: bytes


class Connection(asyncio.Protocol):
    """One request at a time. `place` is host:port, for messages."""

    __slots__ = (
        "_answer",
        "_barren",
        "_complete",
        "_content",
        "_deadline",
        "_fields",
        "_head_read",
        "_heard",
        "_heard_at",
        "_lines",
        "_loop",
        "_max_bytes",
        "_parser",
        "_peer",
        "_place",
        "_read_timeout_s",
        "_reason",
        "_refusal",
        "_size",
        "_started",
        "_status",
        "_timer",
        "_transport",
        "_until_close",
        "asked",
        "idle_since",
        "reusable",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, place: str) -> None:
        self._loop = loop
        self._place = place
        self._peer: tuple[Any, ...] = ()
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[Answer] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._refusal: FetchError | None = None
        self._fields: dict[bytes, bytes] = {}
        self._content: bytes | bytearray = b""
        self._max_bytes = self._size = self._barren = self._heard = self._lines = self._status = 0
        self._started = self._head_read = self._complete = self._until_close = False
        self._reason = b""
        self._deadline = self._heard_at = 0.0
        self._read_timeout_s: float | None = None
        self.asked = 0
        """Requests sent on it."""
        self.idle_since = 0.0
        """Loop time, for the pool."""
        self.reusable = False
        """Whether nothing is wrong with it and nothing under way."""

    def ask(
        self,
        request: bytes,
        max_bytes: int,
        deadline: float,
        read_timeout_s: float | None = None,
    ) -> asyncio.Future[Answer]:
        """Sends a request. `deadline` is loop time, `read_timeout_s` the longest silence.

        The future raises TimeoutError at the deadline or after the silence; FetchError: `too-large`
        as soon as the body is larger than `max_bytes`, `protocol`, `Disconnected`. Whoever stops
        waiting for it must `abort` the connection.
        """
        transport = self._transport
        self.asked += 1
        self.reusable = False
        answer = self._answer = self._loop.create_future()
        if transport is None or transport.is_closing():
            self._fail(Disconnected("protocol", f"{self._place} closed the connection"))
            return answer
        self._max_bytes = max_bytes
        self._size = self._barren = self._heard = self._lines = 0
        self._started = self._head_read = self._complete = self._until_close = False
        self._content = b""
        self._reason = b""
        self._deadline = deadline
        self._read_timeout_s = read_timeout_s
        if read_timeout_s is not None:
            self._heard_at = self._loop.time()
            deadline = min(deadline, self._heard_at + read_timeout_s)
        self._timer = self._loop.call_at(deadline, self._expire)
        transport.write(request)
        return answer

    def abort(self) -> None:
        """Closes it at once; an answer under way fails."""
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    def tell(self, trace: Trace) -> None:
        """What there is of the answer to the last request, and whom it came from."""
        if self._peer:
            host, port = self._peer[:2]
            trace.peer = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if self._head_read:
            trace.status, trace.reason, trace.fields = self._status, self._reason, self._fields

    # ------------------------------------------------------------------ asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._peer = transport.get_extra_info("peername") or ()
        self.reusable = True

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            self.abort()  # nobody asked
            return
        self._started = True
        if self._read_timeout_s is not None:
            self._heard_at = self._loop.time()
        size = self._size
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(self._strange("changes the protocol"))
        except httptools.HttpParserError as error:
            self._fail(self._refusal or self._strange(str(error)))
        else:
            if self._complete:
                self._finish()
            else:
                self._weigh(len(data), self._size > size)

    def eof_received(self) -> None:
        self._ended(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended(exc)
        self._transport = self._timer = None
        del self._parser  # they hold each other

    # ------------------------------------------------------------------ httptools
    # what is raised here stops the parser, and the answer fails

    def on_message_begin(self) -> None:
        if self._complete:
            raise ValueError("something after the answer")
        self._fields = {}
        self._reason = b""

    def on_status(self, reason: bytes) -> None:
        if len(self._reason) < _MAX_REASON_BYTES:
            self._reason += reason[:_MAX_REASON_BYTES]  # it may come in pieces

    def on_header(self, name: bytes, value: bytes) -> None:
        self._lines += 1
        if (
            self._lines > _MAX_LINES
            or len(value) > _MAX_LINE_BYTES
            or name is None
            or len(name) > _MAX_LINE_BYTES
        ):
            self._refuse("the header is too large")
        if not self._head_read:  # else a trailer, which nobody reads
            self._fields.setdefault(name.lower(), value)

    def on_headers_complete(self) -> None:
        self._status = status = self._parser.get_status_code()
        if status < 200:
            return
        self._head_read = True
        length = self._fields.get(b"content-length")
        coding = self._fields.get(b"transfer-encoding")
        if coding is not None and coding.strip().lower() != b"chunked":
            self._refuse("the answer has a transfer coding that nobody asked for")
        if status in _NO_CONTENT:
            return
        self._until_close = length is None and coding is None
        if length is not None and int(length) > self._max_bytes:
            self._refuse_size()

    def on_body(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._max_bytes:
            self._refuse_size()
        if self._size == len(data):
            self._content = data
        else:  # one buffer: a list of two-byte chunks would hold thirty times its content
            if isinstance(self._content, bytes):
                self._content = bytearray(self._content)
            self._content += data

    def on_message_complete(self) -> None:
        if not self._head_read:
            if self._status == 101:
                self._refuse("the server changes the protocol")
            return
        self._complete = True
        self.reusable = self._parser.should_keep_alive()

    # ------------------------------------------------------------------ ends of an answer

    def _finish(self) -> None:
        answer, self._answer = self._answer, None
        transport = self._transport
        if self._timer is not None:
            self._timer.cancel()
        if transport is None or transport.is_closing() or transport.get_write_buffer_size():
            self.reusable = False  # answered before it had the whole request
        if answer is not None and not answer.done():
            body, self._content = bytes(self._content), b""
            answer.set_result(Answer(self._status, self._fields, body))

    def _fail(self, error: Exception) -> None:
        answer, self._answer = self._answer, None
        self._content = b""
        if self._timer is not None:
            self._timer.cancel()
        self.abort()
        if answer is not None and not answer.done():
            answer.set_exception(error)

    def _expire(self) -> None:
        if self._read_timeout_s is not None:
            due = min(self._deadline, self._heard_at + self._read_timeout_s)
            if due > self._loop.time():  # something came meanwhile
                self._timer = self._loop.call_at(due, self._expire)
                return
            if due < self._deadline:
                self._fail(TimeoutError(f"nothing came for {self._read_timeout_s:g} s"))
                return
        self._fail(TimeoutError())

    def _ended(self, error: Exception | None) -> None:
        """No more will come: the end of a body without a length, or too early."""
        self.reusable = False
        if self._answer is None:
            return
        if self._until_close and error is None:
            self._finish()
        elif self._started:
            self._fail(FetchError("protocol", f"{self._place} broke off its answer"))
        else:
            self._fail(
                Disconnected("protocol", f"{self._place} closed the connection before it answered")
            )

    def _weigh(self, heard: int, content: bool) -> None:
        """Refuses what brings too little content for its length; the answer is not complete."""
        self._heard += heard
        self._barren = 0 if content else self._barren + heard
        if (
            self._barren > _MAX_BARREN_BYTES
            or self._heard > _MAX_BARREN_BYTES + _MAX_WRAPPING * self._max_bytes
        ):
            self._fail(self._strange("there is no end to what is not content"))

    def _strange(self, what: str) -> FetchError:
        return FetchError("protocol", f"{self._place} does not speak HTTP: {what}")

    def _refuse(self, what: str) -> None:
        self._refusal = self._strange(what)
        raise self._refusal

    def _refuse_size(self) -> None:
        self._refusal = FetchError(
            "too-large", f"the answer is larger than {self._max_bytes} bytes"
        )
        raise self._refusal
