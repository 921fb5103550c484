"""Recordings: listed, shown, deleted, and heard as WAV or MP3, whole or in part.

Files are named by our own ids only, and opened without following links: nothing in the recordings
folder can lead out of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field
from starlette.convertors import Convertor, register_url_convertor

from outdial import ids
from outdial.api import problems
from outdial.api.models import Moment, seconds
from outdial.api.ranges import Part, Window
from outdial.api.record import Mp3s, Record, known_call
from outdial.calls import codes
from outdial.calls.archive import Recordings
from outdial.clock import iso8601
from outdial.errors import Refused, SoundError
from outdial.speech.mp3 import Mp3Busy
from outdial.speech.mp3_shape import WAV_HEAD_BYTES, Shape
from outdial.store.records import RecordingFilter, RecordingRecord
from outdial.stored_file import KeyLost, PlainFile, SealingKeys, open_file

_CHUNK_BYTES = 1 << 16
_Kind = Literal["call", "message", "conference"]


class _Sid(Convertor[str]):
    """A part of a path without a dot: what has an ending is the sound, not the recording."""

    regex = "[^/.]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("sid", _Sid())


class RecordingEntry(BaseModel):
    """A recording."""

    sid: str
    call_sid: str = Field(description='"": it is not known any more which call it is of.')
    kind: _Kind = Field(
        description="All that is said on a call, a message that Record took, or a conference."
    )
    created_at: str = Field(description="When it began.")
    duration_ms: int | None
    channels: int = Field(description="2: left what the far end said, right what it heard.")
    size_bytes: int | None = Field(description="Of the WAV.")
    error: str = Field(description='Why it is not whole, or not there at all; "" when it is well.')
    wav: str = Field(description="Path of the sound.")
    mp3: str

    @classmethod
    def of(cls, record: RecordingRecord) -> RecordingEntry:
        """As the API shows it."""
        path = f"/v1/recordings/{record.sid}"
        return cls.model_validate(
            {
                "sid": record.sid,
                "call_sid": record.call_sid,
                "kind": record.kind,
                "created_at": iso8601(record.created_at),
                "duration_ms": record.duration_ms,
                "channels": record.channels,
                "size_bytes": record.size_bytes,
                "error": record.error,
                "wav": f"{path}.wav",
                "mp3": f"{path}.mp3",
            }
        )


class RecordingList(BaseModel):
    """A page of recordings, newest first."""

    recordings: list[RecordingEntry]
    next_cursor: str = Field(description='Give it as `cursor` for the next page; "" on the last.')


class RecordingRoutes:
    """The handlers. `folder` is where the files are."""

    def __init__(
        self,
        record: Record,
        recordings: Recordings,
        folder: Path,
        mp3s: Mp3s,
        keys: SealingKeys,
    ) -> None:
        self._keys = keys
        self._record = record
        self._recordings = recordings
        self._folder = folder
        self._mp3s = mp3s

    def add_to(self, routes: APIRouter) -> None:
        """Adds each handler with what the OpenAPI document says of it."""
        routes.get("/recordings", **_LIST)(self.index)
        for ending, handler in (("wav", self.wav), ("mp3", self.mp3)):
            path = f"/recordings/{{sid}}.{ending}"
            routes.get(path, **_sound(ending, "get"))(handler)
            routes.head(path, **_sound(ending, "head"))(handler)
        routes.get("/recordings/{sid:sid}", **_SHOW)(self.show)
        routes.delete("/recordings/{sid:sid}", **_DELETE)(self.delete)

    async def index(
        self,
        call_sid: Annotated[str, Query(max_length=34)] = "",
        kind: _Kind | None = None,
        created_after: Moment | None = None,
        created_before: Moment | None = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 50,
        cursor: Annotated[str, Query(max_length=200)] = "",
    ) -> RecordingList:
        """Newest first; one is there when it is complete."""
        if call_sid:
            await known_call(self._record, call_sid, "call_sid")
        wanted = RecordingFilter(
            call_sid, kind or "", seconds(created_after), seconds(created_before)
        )
        try:
            page = await self._recordings.page(wanted, cursor, limit)
        except ValueError:
            message = "cursor is not one that a page of recordings gave; leave it out to start"
            raise Refused(404, codes.UNKNOWN_PAGE, message, field="cursor") from None
        return RecordingList(
            recordings=[RecordingEntry.of(one) for one in page.recordings],
            next_cursor=page.next_cursor,
        )

    async def show(self, sid: str) -> RecordingEntry:
        """What is known of it."""
        return RecordingEntry.of(await self._known(sid))

    async def delete(self, request: Request, sid: str) -> None:
        """The sound is gone for ever. One that is gone already may be deleted again."""
        if not ids.is_sid(sid, ids.RECORDING):
            raise _unknown()
        recording = await self._record.recording(sid)
        if recording is not None:
            await self._recordings.delete(recording, request.state.key_name)

    async def wav(self, request: Request, sid: str) -> StreamingResponse:
        """The file, or the part of it that a Range header asks for."""
        file = await self._open(sid)
        try:
            size = file.size
            window = Window(request.headers, size, f'"{sid}-{size}"')
            chunks = _chunks(file, window.start, window.end) if _wants_sound(request) else None
            return Part(window, chunks, "audio/wav", file.close)
        except BaseException:
            file.close()
            raise

    async def mp3(self, request: Request, sid: str) -> StreamingResponse:
        """The same as MP3, made while it is sent; ranges are those of the MP3."""
        file = await self._open(sid)
        try:
            head, size = file.read(WAV_HEAD_BYTES, 0), file.size
            key = file.seal.key if file.seal else b""
        finally:
            file.close()
        try:
            shape = Shape.of_wav(head, size)
            window = Window(request.headers, shape.size_bytes, f'"{sid}-{size}-mp3"')
            chunks = None
            if _wants_sound(request) and not window.is_fresh:
                path = self._folder / f"{sid}.wav"
                chunks = await _begun(self._mp3s.chunks(path, shape, window.start, window.end, key))
        except Mp3Busy as error:
            message = f"The recording cannot be made into MP3 now: {error}"
            raise Refused(503, codes.MP3_AWAY, message, retry_after_s=5) from None
        except SoundError as error:
            message = f"The recording cannot be had as MP3: {error}; it can as .wav"
            raise Refused(406, codes.NO_MP3, message, field="sid") from None
        return Part(window, chunks, "audio/mpeg", lambda: None)

    async def _open(self, sid: str) -> PlainFile:
        """The recording's file, open. Raises Refused (404, 503)."""
        await self._known(sid)
        try:
            return open_file(self._folder / f"{sid}.wav", self._keys)
        except OSError:
            raise _unknown() from None
        except KeyLost as error:
            raise key_lost("recording", error) from None

    async def _known(self, sid: str) -> RecordingRecord:
        """Raises Refused (404)."""
        known = ids.is_sid(sid, ids.RECORDING) and await self._record.recording(sid)
        if not known:
            raise _unknown()
        return known


def _unknown() -> Refused:
    message = "There is no recording with this sid"
    return Refused(404, codes.UNKNOWN_RECORDING, message, field="sid")


def _wants_sound(request: Request) -> bool:
    return request.method != "HEAD"


def key_lost(what: str, error: KeyLost) -> Refused:
    """It is there, and cannot be read."""
    message = f"The {what} cannot be read: {error}"
    return Refused(503, codes.KEY_LOST, message, field="sid", retry_after_s=60)


async def _chunks(file: PlainFile, start: int, end: int) -> AsyncIterator[bytes]:
    while start < end:
        chunk = await asyncio.to_thread(file.read, min(_CHUNK_BYTES, end - start), start)
        if not chunk:
            raise OSError("the recording became shorter while it was sent")
        start += len(chunk)
        yield chunk


async def _begun(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same, when the first of them is there: what fails before it can still be answered."""
    first = await anext(chunks, b"")

    async def all_of_them() -> AsyncIterator[bytes]:
        yield first
        async for chunk in chunks:
            yield chunk

    return all_of_them()


_LIST: dict[str, Any] = {
    "response_model": RecordingList,
    "responses": problems.documented(400, 401, 404, 422, 503),
    "summary": "List recordings, newest first",
    "operation_id": "list_recordings",
}
_SHOW: dict[str, Any] = {
    "response_model": RecordingEntry,
    "responses": problems.documented(401, 404, 503),
    "summary": "Show a recording",
    "operation_id": "show_recording",
}
_DELETE: dict[str, Any] = {
    "status_code": 204,
    "responses": problems.documented(401, 404, 503),
    "summary": "Delete a recording",
    "operation_id": "delete_recording",
}


def _sound(ending: str, method: str) -> dict[str, Any]:
    """What the document says of one way to have the sound."""
    kind = {"wav": "audio/wav", "mp3": "audio/mpeg"}[ending]
    content: dict[str, Any] = {kind: {"schema": {"type": "string", "format": "binary"}}}
    refusals = (401, 404, 416, 503) if ending == "wav" else (401, 404, 406, 416, 503)
    return {
        "response_class": StreamingResponse,
        "responses": {
            200: {
                "description": "Left what the far end said, right what it heard.",
                "content": content,
            },
            206: {"description": "The part that a Range header asked for.", "content": content},
            304: {"description": "It is as If-None-Match has it."},
            **problems.documented(*refusals),
        },
        "summary": f"A recording as {ending.upper()}" + (", headers only" * (method == "head")),
        "operation_id": f"{method}_recording_{ending}",
    }
