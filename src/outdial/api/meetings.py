"""`/v1/conferences` and `/v1/queues`: who is in them now, on this server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from outdial.api import problems
from outdial.api.models import json_body, read_model
from outdial.calls import codes, conferences, queues
from outdial.calls.key_checks import check_change
from outdial.calls.service import CallService
from outdial.clock import Clock, iso8601
from outdial.errors import Refused


class MemberChange(BaseModel):
    """What to do with a member of a conference: one of the two."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"oneOf": [{"required": ["muted"]}, {"required": ["remove"]}]},
    )

    # Without a default, which would be null in the OpenAPI document, and null is not taken.
    muted: bool = Field(default_factory=bool, description="Whether the others do not hear it.")
    remove: Literal[True] = Field(
        default_factory=lambda: True, description="It leaves, and goes on with its document."
    )


class Member(BaseModel):
    """A call in a conference."""

    call_sid: str
    from_: str = Field(alias="from")
    to: str
    muted: bool
    waiting: bool = Field(description="It is on hold until the conference begins.")
    joined_at: str

    @classmethod
    def of(cls, attendee: conferences.Attendee) -> Member:
        """As the API shows it."""
        call = attendee.leg.call
        return cls.model_validate(
            {
                "call_sid": call.sid,
                "from": call.from_number,
                "to": call.to_number,
                "muted": attendee.is_muted,
                "waiting": not attendee.is_seated,
                "joined_at": iso8601(attendee.joined_at),
            }
        )


class Conference(BaseModel):
    """A conference that goes on."""

    sid: str
    name: str
    created_at: str = Field(description="When the first caller came.")
    began_at: str | None = Field(description="null: it has not begun, and all wait.")
    recording_sid: str | None = Field(description="null: it is not recorded.")
    members: list[Member] = Field(description="In the order they came.")

    @classmethod
    def of(cls, conference: conferences.Conference) -> Conference:
        """As the API shows it."""
        began = conference.began_at
        return cls(
            sid=conference.sid,
            name=conference.name,
            created_at=iso8601(conference.created_at),
            began_at=None if began is None else iso8601(began),
            recording_sid=conference.recording_sid,
            members=[Member.of(one) for one in conference.attendees.values()],
        )


class Conferences(BaseModel):
    """The conferences of this server."""

    conferences: list[Conference] = Field(description="Oldest first.")


class WaitingCall(BaseModel):
    """A call in a queue."""

    call_sid: str
    from_: str = Field(alias="from")
    to: str
    queued_at: str
    waited_s: float

    @classmethod
    def of(cls, waiting: queues.Waiting, now: float) -> WaitingCall:
        """As the API shows it."""
        call = waiting.leg.call
        return cls.model_validate(
            {
                "call_sid": call.sid,
                "from": call.from_number,
                "to": call.to_number,
                "queued_at": iso8601(waiting.since),
                "waited_s": round(max(0.0, now - waiting.since), 3),
            }
        )


class Queue(BaseModel):
    """A queue, which may be empty."""

    sid: str = Field(description="The same whenever there is a queue of that name.")
    name: str
    size: int
    longest_wait_s: float = Field(description="Of the caller who is next; 0: nobody waits.")
    agents: int = Field(description="Calls that wait for a caller.")
    members: list[WaitingCall] = Field(description="The next one first.")

    @classmethod
    def of(cls, queue: queues.Queue, now: float) -> Queue:
        """As the API shows it."""
        members = [WaitingCall.of(waiting, now) for waiting in queue.callers]
        return cls(
            sid=queue.sid,
            name=queue.name,
            size=len(members),
            longest_wait_s=max((member.waited_s for member in members), default=0.0),
            agents=queue.agents,
            members=members,
        )


class Queues(BaseModel):
    """The queues of this server that were used since it was started."""

    queues: list[Queue] = Field(description="By name.")


class MeetingRoutes:
    """The handlers."""

    def __init__(self, calls: CallService, clock: Clock, max_body_bytes: int) -> None:
        self._calls = calls
        self._clock = clock
        self._max_body_bytes = max_body_bytes

    def add_to(self, routes: APIRouter) -> None:
        """Adds each handler with what the OpenAPI document says of it."""
        routes.get("/conferences", **_CONFERENCES)(self.list_conferences)
        routes.get("/conferences/{name_or_sid}", **_CONFERENCE)(self.conference)
        routes.post("/conferences/{name_or_sid}/members/{call_sid}", **_MEMBER)(self.change)
        routes.get("/queues", **_QUEUES)(self.list_queues)
        routes.get("/queues/{name_or_sid}", **_QUEUE)(self.queue)

    async def list_conferences(self) -> Conferences:
        """Those with somebody in them."""
        return Conferences(conferences=[Conference.of(one) for one in self._calls.conferences])

    async def conference(self, name_or_sid: str) -> Conference:
        """The one of that name or sid."""
        return Conference.of(self._conference(name_or_sid))

    async def change(self, request: Request, name_or_sid: str, call_sid: str) -> Conference:
        """The conference as it is then."""
        change = await read_model(request, self._max_body_bytes, MemberChange)
        if len(change.model_fields_set) != 1:
            raise Refused(400, codes.BAD_VALUE, 'Give "muted": true or false, or "remove": true')
        conference = self._conference(name_or_sid)
        member = conference.attendees.get(call_sid)
        if member is None:
            message = "No call with this sid is in the conference"
            raise Refused(404, codes.UNKNOWN_MEMBER, message, field="call_sid")
        check_change(request.state.key, member.leg.call.key_name, call_sid)
        if "muted" in change.model_fields_set:
            conference.mute(member, change.muted)
        else:
            member.dismiss("removed")
        return Conference.of(conference)

    async def list_queues(self) -> Queues:
        """Empty ones too."""
        now = self._clock.now()
        return Queues(queues=[Queue.of(queue, now) for queue in self._calls.queues])

    async def queue(self, name_or_sid: str) -> Queue:
        """The one of that name or sid."""
        queue = self._calls.queues.find(name_or_sid)
        if queue is None:
            message = "There is no queue with this name or sid"
            raise Refused(404, codes.UNKNOWN_QUEUE, message, field="name_or_sid")
        return Queue.of(queue, self._clock.now())

    def _conference(self, name_or_sid: str) -> conferences.Conference:
        conference = self._calls.conferences.find(name_or_sid)
        if conference is None:
            message = "No conference with this name or sid goes on"
            raise Refused(404, codes.UNKNOWN_CONFERENCE, message, field="name_or_sid")
        return conference


_CONFERENCES: dict[str, Any] = {
    "response_model": Conferences,
    "responses": problems.documented(401),
    "summary": "List conferences",
    "operation_id": "list_conferences",
}
_CONFERENCE: dict[str, Any] = {
    "response_model": Conference,
    "responses": problems.documented(401, 404),
    "summary": "Show a conference",
    "operation_id": "show_conference",
}
_MEMBER: dict[str, Any] = {
    "response_model": Conference,
    "responses": problems.documented(400, 401, 403, 404, 408, 413, 415, 422),
    "openapi_extra": json_body(MemberChange),
    "summary": "Mute or remove a member",
    "operation_id": "change_member",
}
_QUEUES: dict[str, Any] = {
    "response_model": Queues,
    "responses": problems.documented(401),
    "summary": "List queues",
    "operation_id": "list_queues",
}
_QUEUE: dict[str, Any] = {
    "response_model": Queue,
    "responses": problems.documented(401, 404),
    "summary": "Show a queue",
    "operation_id": "show_queue",
}

BODIES: Sequence[type[BaseModel]] = (MemberChange,)
"""Models that only request bodies refer to; the OpenAPI document must be told of them."""
