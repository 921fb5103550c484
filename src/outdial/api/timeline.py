"""What happened on a call: its events, as they stand or as they come; its SIP messages."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import PlainTextResponse

from outdial.api import problems, schemas, streams
from outdial.api.record import Record, known_call
from outdial.api.streams import Streams
from outdial.calls.capture import MEDIA_TYPE, pcap
from outdial.calls.drawing import message_lines
from outdial.calls.service import CallService
from outdial.legs import TracedMessage

_LARGEST = 2**31 - 1


class TimelineRoutes:
    """The handlers."""

    def __init__(self, record: Record, calls: CallService) -> None:
        self._record = record
        self._streams = Streams(record, calls)

    def add_to(self, routes: APIRouter) -> None:
        """Adds each handler with what the OpenAPI document says of it."""
        routes.get("/calls/{sid}/events", **_EVENTS)(self.events)
        routes.get("/calls/{sid}/ladder", **_LADDER)(self.ladder)
        routes.get("/calls/{sid}/sip.txt", **_TEXT)(self.text)
        routes.get("/calls/{sid}/sip.pcap", **_CAPTURE)(self.capture)

    async def events(
        self,
        request: Request,
        sid: str,
        after: Annotated[int, Query(ge=-1, le=_LARGEST)] = -1,
        last_event_id: Annotated[int, Header(ge=-1, le=_LARGEST)] = -1,
    ) -> Any:
        """Those behind event `after`; `Last-Event-ID` means the same, and goes before it. With
        `Accept: text/event-stream` they are streamed until the call is over."""
        call = await known_call(self._record, sid)
        if last_event_id >= 0:
            after = last_event_id
        if not streams.is_wanted(request.headers.get("accept", "")):
            found = await self._record.events(sid, after)
            return schemas.Timeline(events=[schemas.TimelineEvent.of(event) for event in found])
        if call.ended_at is not None and not await self._record.events(sid, after, 1):
            return Response(status_code=204)  # an EventSource does not come again then
        return self._streams.of(call, after)

    async def ladder(self, sid: str) -> schemas.Ladder:
        """Saved when the leg ends."""
        found = await self._messages(sid)
        return schemas.Ladder(messages=[schemas.SipMessage.of(message) for message in found])

    async def text(self, sid: str) -> Response:
        """Drawn as a ladder, and below it each message in full; nothing while none is saved."""
        found = await self._messages(sid)
        return Response(
            await asyncio.to_thread(_drawn, found), media_type="text/plain; charset=utf-8"
        )

    async def capture(self, sid: str) -> Response:
        """For Wireshark and its like: each message as one UDP datagram, whatever it came over."""
        found = await self._messages(sid)
        name = {"content-disposition": f'attachment; filename="{sid}.pcap"'}
        # a peer may have sent 300 messages of 64 KB: a tenth of a second that no call must wait for
        capture = await asyncio.to_thread(pcap, found)
        return Response(capture, headers=name, media_type=MEDIA_TYPE)

    async def _messages(self, sid: str) -> list[TracedMessage]:
        await known_call(self._record, sid)
        return await self._record.ladder(sid)


def _drawn(messages: list[TracedMessage]) -> str:
    shown = [schemas.SipMessage.of(message).model_dump() for message in messages]
    return "".join(f"{line}\n" for line in message_lines(shown))


_EVENTS: dict[str, Any] = {
    "response_model": schemas.Timeline,
    "responses": {
        200: {
            "description": "Oldest first; streamed, each has its `seq` as id and is JSON as in a "
            "Timeline.",
            "content": {streams.KIND: {"schema": {"type": "string"}}},
        },
        204: {"description": "Only to a stream: the call is over and has no more events."},
        **problems.documented(400, 401, 404, 422, 429, 503),
    },
    "summary": "A call's timeline",
    "operation_id": "call_events",
}
_LADDER: dict[str, Any] = {
    "response_model": schemas.Ladder,
    "responses": problems.documented(401, 404, 503),
    "summary": "A call's SIP messages",
    "operation_id": "call_ladder",
}
_TEXT: dict[str, Any] = {
    "response_class": PlainTextResponse,
    "responses": problems.documented(401, 404, 503),
    "summary": "A call's SIP messages, drawn",
    "operation_id": "call_sip_text",
}
_CAPTURE: dict[str, Any] = {
    "response_class": Response,
    "responses": {
        200: {"content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}},
        **problems.documented(401, 404, 503),
    },
    "summary": "A call's SIP messages as a capture file",
    "operation_id": "call_sip_capture",
}
