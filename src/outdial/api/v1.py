"""The native API: every route under `/v1`, each behind an API key."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.security import HTTPBearer

from outdial.api import keys, scopes
from outdial.api.api_keys import KeyRoutes
from outdial.api.bans import BanList, BanRoutes
from outdial.api.calls import CallRoutes
from outdial.api.changes import ChangeRoutes
from outdial.api.deliveries import DeliveryRoutes
from outdial.api.faxes import FaxRoutes
from outdial.api.feed import FeedRoutes
from outdial.api.intake import Intake
from outdial.api.meetings import MeetingRoutes
from outdial.api.numbers import NumberRoutes
from outdial.api.record import Record, Replays
from outdial.api.recordings import RecordingRoutes
from outdial.api.timeline import TimelineRoutes
from outdial.api.trunks import TrunkBoard, TrunkRoutes
from outdial.api.usage import UsageRoutes
from outdial.calls.called_numbers import CalledNumbers
from outdial.clock import Clock

_KEY_PLACE = "send it as Authorization: Bearer KEY"
_Bearer = Annotated[
    Any, Depends(HTTPBearer(auto_error=False, description="An API key.", scheme_name="bearer"))
]


def router(
    intake: Intake,
    record: Record,
    replays: Replays,
    numbers: CalledNumbers,
    recordings: RecordingRoutes,
    faxes: FaxRoutes,
    bans: BanList,
    trunks: TrunkBoard,
    key_ring: keys.Keys,
    key_routes: KeyRoutes,
    clock: Clock,
    max_document_bytes: int,
) -> APIRouter:
    """The routes."""

    async def authenticated(request: Request, documented: _Bearer) -> None:
        presented = keys.from_headers(request.scope["headers"])
        scope = scopes.of(request.method, request.scope["route"].path)
        request.state.key = keys.authenticate(key_ring, presented, _KEY_PLACE, scope)
        request.state.key_name = request.state.key.name

    routes = APIRouter(prefix="/v1", dependencies=[Depends(authenticated)])
    CallRoutes(intake, record).add_to(routes)
    ChangeRoutes(intake, record, max_document_bytes).add_to(routes)
    TimelineRoutes(record, intake.calls).add_to(routes)
    FeedRoutes(record, intake.calls).add_to(routes)
    DeliveryRoutes(intake, record, replays).add_to(routes)
    NumberRoutes(intake, numbers).add_to(routes)
    recordings.add_to(routes)
    faxes.add_to(routes)
    BanRoutes(bans).add_to(routes)
    TrunkRoutes(trunks, intake.calls).add_to(routes)
    key_routes.add_to(routes)
    UsageRoutes(record, intake.calls, clock).add_to(routes)
    MeetingRoutes(intake.calls, clock, intake.max_body_bytes).add_to(routes)
    return routes
