"""What stands in the store, read with plain SQL: the judge does not use the code that is judged."""

from __future__ import annotations

import asyncio
import importlib
import sqlite3
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

_CALLS = (
    "SELECT sid, parent_sid, from_number, to_number, state, created_at, dialled_at, answered_at,"
    " outcome, cause FROM calls"
)
_EVENTS = "SELECT call_sid, kind, at FROM events WHERE kind LIKE 'state.%' ORDER BY call_sid, seq"
_DELIVERIES = "SELECT call_sid, event, state, attempts FROM deliveries"
_UNFINISHED = "SELECT count(*) FROM calls WHERE ended_at IS NULL"
_PENDING = "SELECT count(*) FROM deliveries WHERE state = 'pending'"


@dataclass(slots=True)
class Call:
    """A call with what belongs to it. Times are those of the wall clock."""

    sid: str
    parent_sid: str
    from_number: str
    to_number: str
    state: str
    created_at: float
    dialled_at: float | None
    answered_at: float | None
    outcome: str | None
    cause: str | None
    states: list[tuple[str, float]] = field(default_factory=list)
    """The states of its timeline in order, with their times."""
    deliveries: list[tuple[str, str, int]] = field(default_factory=list)
    """Event, state and attempts of its callbacks."""

    @property
    def is_first_leg(self) -> bool:
        """Whether it was posted and not made for another call."""
        return self.parent_sid == self.sid

    @property
    def over_at(self) -> float | None:
        """When it was written that it is over."""
        return next((at for state, at in self.states if state == "completed"), None)


async def read(store_url: str) -> dict[str, Call]:
    """Every call by its sid."""
    calls = {row[0]: Call(*row) for row in await _rows(store_url, _CALLS)}
    orphans: defaultdict[str, int] = defaultdict(int)
    for sid, kind, at in await _rows(store_url, _EVENTS):
        if sid in calls:
            calls[sid].states.append((kind.removeprefix("state."), at))
        else:
            orphans[sid] += 1
    for sid, event, state, attempts in await _rows(store_url, _DELIVERIES):
        if sid in calls:
            calls[sid].deliveries.append((event, state, attempts))
        else:
            orphans[sid] += 1
    if orphans:
        raise AssertionError(f"events or callbacks of calls that are not stored: {dict(orphans)}")
    return calls


async def open_work(store_url: str) -> tuple[int, int]:
    """How many calls are not over, and how many callbacks are not delivered."""
    ((unfinished,),) = await _rows(store_url, _UNFINISHED)
    ((pending,),) = await _rows(store_url, _PENDING)
    return int(unfinished), int(pending)


async def _rows(store_url: str, sql: str) -> list[tuple[Any, ...]]:
    if store_url.startswith("sqlite:///"):
        return await asyncio.to_thread(_sqlite_rows, store_url.removeprefix("sqlite:///"), sql)
    asyncpg: Any = importlib.import_module("asyncpg")  # only PostgreSQL needs it

    connection = await asyncpg.connect(store_url)
    try:
        return [tuple(row) for row in await connection.fetch(sql)]
    finally:
        await connection.close()


def _sqlite_rows(path: str, sql: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path, timeout=10)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()
