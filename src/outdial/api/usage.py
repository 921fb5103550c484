"""`/v1/usage`: what calls came to in a time, and what goes on now under which limits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from outdial.api import problems
from outdial.api.models import Moment
from outdial.api.record import Record
from outdial.api.schemas import Outcome
from outdial.calls import standing as standings
from outdial.calls.service import CallService
from outdial.clock import Clock, iso8601
from outdial.store import records

DAY_S = 86_400.0


class UsageRow(BaseModel):
    """What the calls of one API key, trunk and outcome came to. One leg is one call."""

    key: str
    trunk: str = Field(description='"" for calls that were not dialled.')
    outcome: Outcome | None = Field(description="null: not over.")
    calls: int
    answered: int
    seconds: float = Field(description="Answered time of the calls that are over.")


class Standing(BaseModel):
    """What goes on now and how much may; null: no limit."""

    name: str
    live: int
    queued: int = Field(description="On a trunk: calls that wait and may go to it.")
    calls_per_second: float | None
    concurrent_calls: int | None

    @classmethod
    def of(cls, standing: standings.Standing) -> Standing:
        """As the API shows it."""
        return cls(
            name=standing.name,
            live=standing.live,
            queued=standing.queued,
            calls_per_second=standing.calls_per_second or None,
            concurrent_calls=standing.concurrent_calls or None,
        )


class Usage(BaseModel):
    """What the calls made in a time came to, and what goes on now on this server."""

    since: str
    until: str
    calls: list[UsageRow]
    total: Standing
    keys: list[Standing]
    trunks: list[Standing]

    @classmethod
    def of(
        cls,
        since: float,
        until: float,
        rows: Iterable[records.Usage],
        now: standings.Standings,
    ) -> Usage:
        """As the API shows it."""
        return cls(
            since=iso8601(since),
            until=iso8601(until),
            calls=[
                UsageRow.model_validate(
                    {
                        "key": row.key_name,
                        "trunk": row.trunk,
                        "outcome": row.outcome or None,
                        "calls": row.calls,
                        "answered": row.answered,
                        "seconds": round(row.seconds, 3),
                    }
                )
                for row in rows
            ],
            total=Standing.of(now.total),
            keys=[Standing.of(one) for one in now.keys],
            trunks=[Standing.of(one) for one in now.trunks],
        )


class UsageRoutes:
    """The handler."""

    def __init__(self, record: Record, calls: CallService, clock: Clock) -> None:
        self._record = record
        self._calls = calls
        self._clock = clock

    def add_to(self, routes: APIRouter) -> None:
        """Adds the handler with what the OpenAPI document says of it."""
        routes.get("/usage", **_USAGE)(self.usage)

    async def usage(self, since: Moment | None = None, until: Moment | None = None) -> Usage:
        """Calls made from `since` on and before `until`; without them, in the last 24 hours."""
        end = self._clock.now() if until is None else until.timestamp()
        start = end - DAY_S if since is None else since.timestamp()
        rows = await self._record.usage(start, end)
        return Usage.of(start, end, rows, self._calls.standings())


_USAGE: dict[str, Any] = {
    "response_model": Usage,
    "responses": problems.documented(400, 401, 503),
    "summary": "What calls came to, and what goes on now",
    "operation_id": "usage",
}
