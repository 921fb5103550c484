"""Files in part: ranges of bytes and the conditions on them (RFC 9110 sections 13 and 14)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable

from fastapi.responses import StreamingResponse
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from outdial.calls import codes
from outdial.errors import Refused

_NOTHING: tuple[bytes, ...] = ()
_ONE_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)


class Window:
    """What of a file of `size` bytes is asked for. `etag` is strong, with its quotes.

    Raises Refused (416) for a range that is behind the end.
    """

    __slots__ = ("end", "etag", "is_fresh", "is_part", "size", "start")

    def __init__(self, headers: Headers, size: int, etag: str) -> None:
        self.size, self.etag = size, etag
        self.is_fresh = _names(headers.get("if-none-match", ""), etag)
        """The client has it already, in this form."""
        wanted = headers.get("range", "")
        if "if-range" in headers and headers["if-range"].strip() != etag:
            wanted = ""  # it has a part of something else
        found = None if self.is_fresh else _range(wanted, size)
        self.is_part = found is not None
        """Whether a range is answered; that may be all of it."""
        self.start, self.end = found or (0, size)
        """The end is exclusive."""

    @property
    def status(self) -> int:
        """Of the answer."""
        return 304 if self.is_fresh else 206 if self.is_part else 200

    def headers(self) -> dict[str, str]:
        """Of the answer."""
        headers = {"etag": self.etag, "accept-ranges": "bytes", "cache-control": "private"}
        if not self.is_fresh:
            headers["content-length"] = str(self.end - self.start)
        if self.is_part:
            headers["content-range"] = f"bytes {self.start}-{self.end - 1}/{self.size}"
        return headers


class Part(StreamingResponse):
    """Sends what the window shows, and calls `close` whatever happens.

    Without `chunks` only the headers are sent, as HEAD wants it.
    """

    def __init__(
        self,
        window: Window,
        chunks: AsyncIterator[bytes] | None,
        media_type: str,
        close: Callable[[], None],
    ) -> None:
        content = _NOTHING if chunks is None or window.is_fresh else chunks
        super().__init__(content, window.status, window.headers(), media_type)
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._close()


def _names(wanted: str, etag: str) -> bool:
    """Whether If-None-Match has the tag; weak comparison, as it says."""
    tags = [tag.strip().removeprefix("W/") for tag in wanted.split(",")]
    return etag in tags or "*" in tags


def _range(wanted: str, size: int) -> tuple[int, int] | None:
    """Start and end of what a Range header asks for.

    None unless the header is one well-formed range of bytes: others may be ignored.
    """
    match = _ONE_RANGE.fullmatch(wanted.replace(" ", ""))
    if match is None or not (match[1] or match[2]):
        return None
    first, last = match[1], match[2]
    if first and last and int(last) < int(first):
        return None
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if start >= end:
        message = f"The recording has {size} bytes; the range asked for has none of them"
        raise Refused(416, codes.BAD_RANGE, message, field="Range", size_bytes=size)
    return start, end
