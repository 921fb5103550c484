"""Recordings: the WAV files, whole or in part (RFC 9110 section 14).

Files are named by our own ids only, and opened without following links: nothing in the recordings
folder can lead out of it.
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from outdial import ids
from outdial.api import problems
from outdial.api.record import Record
from outdial.calls import codes
from outdial.errors import Refused

_CHUNK_BYTES = 1 << 16
_ONE_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class RecordingRoutes:
    """The handlers. `folder` is where the files are."""

    def __init__(self, record: Record, folder: Path) -> None:
        self._record = record
        self._folder = folder

    def add_to(self, routes: APIRouter) -> None:
        """Adds the handler with what the OpenAPI document says of it."""
        routes.get("/recordings/{sid}.wav", **_RECORDING)(self.recording)

    async def recording(self, request: Request, sid: str) -> StreamingResponse:
        """The file, or the part of it that a Range header asks for."""
        known = ids.is_sid(sid, ids.RECORDING) and await self._record.recording(sid)
        file = _open(self._folder / f"{sid}.wav") if known else None
        if file is None:
            message = "There is no recording with this sid"
            raise Refused(404, codes.UNKNOWN_RECORDING, message, field="sid")
        try:
            wanted = request.headers.get("range", "")
            if "if-range" in request.headers:  # no validators are given, so none can match
                wanted = ""
            return _Part(file, *_window(wanted, os.fstat(file).st_size))
        except BaseException:
            os.close(file)
            raise


def _open(path: Path) -> int | None:
    """A descriptor of the plain file; None when there is none."""
    try:
        file = os.open(path, _FLAGS)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(file).st_mode):
        return file
    os.close(file)
    return None


def _window(wanted: str, size: int) -> tuple[int, int, int]:
    """Start, end (exclusive) and size of what a Range header asks for.

    Everything unless the header is one well-formed range of bytes: others may be ignored. Raises
    Refused (416) for a range behind the end.
    """
    match = _ONE_RANGE.fullmatch(wanted.replace(" ", ""))
    if match is None or match[0] == "bytes=-":
        return 0, size, size
    first, last = match[1], match[2]
    if first and last and int(last) < int(first):
        return 0, size, size
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if start >= end:
        message = f"The recording has {size} bytes; the range asked for has none of them"
        raise Refused(416, codes.BAD_RANGE, message, field="Range", size_bytes=size)
    return start, end, size


class _Part(StreamingResponse):
    """Sends bytes `start` to `end` of an open file, and closes it whatever happens."""

    def __init__(self, file: int, start: int, end: int, size: int) -> None:
        headers = {"accept-ranges": "bytes", "content-length": str(end - start)}
        whole = end - start == size
        if not whole:
            headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
        super().__init__(
            _chunks(file, start, end),
            status_code=200 if whole else 206,
            headers=headers,
            media_type="audio/wav",
        )
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            os.close(self._file)


async def _chunks(file: int, start: int, end: int) -> AsyncIterator[bytes]:
    while start < end:
        chunk = await asyncio.to_thread(os.pread, file, min(_CHUNK_BYTES, end - start), start)
        if not chunk:
            raise OSError("the recording became shorter while it was sent")
        start += len(chunk)
        yield chunk


_WAV = {"audio/wav": {"schema": {"type": "string", "format": "binary"}}}
_RECORDING: dict[str, Any] = {
    "response_class": StreamingResponse,
    "responses": {
        200: {"description": "Left what the far end said, right what it heard.", "content": _WAV},
        206: {"description": "The part that a Range header asked for.", "content": _WAV},
        **problems.documented(401, 404, 416, 503),
    },
    "summary": "A recording",
    "operation_id": "get_recording",
}
