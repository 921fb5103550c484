"""The feed of events and lists of callbacks over real HTTP, from a database of each kind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from contract.conftest import Door, running
from outdial import ids
from outdial.clock import SystemClock
from outdial.config import Limits
from outdial.store.records import CallRecord, Change, DeliveryRecord, EventRecord
from outdial.store.store import Store

START = 1_800_000_000.0


@dataclass
class Following:
    """An API before a store."""

    door: Door
    store: Store

    async def call(self) -> str:
        """A new call with its first event."""
        sid = ids.new(ids.CALL)
        call = CallRecord(sid, sid, "outbound", "1800", "1949", "", "queued", START)
        await self.store.create_call(call, [EventRecord(sid, 0, START, "state.queued")])
        return sid

    async def event(self, sid: str, seq: int, kind: str, *told: DeliveryRecord) -> None:
        events = (EventRecord(sid, seq, START + seq, kind),)
        await self.store.commit(Change(sid, events=events, deliveries=told))

    async def read(self, **params: str) -> tuple[list[tuple[str, str]], str]:
        """Who and what, and where to go on."""
        status, page = await self.door.get("/v1/events", params=params)
        assert status == 200, page
        return [(one["call_sid"], one["type"]) for one in page["events"]], page["next"]


@pytest.fixture(params=["sqlite", "postgresql"])
async def following(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Following]:
    url = f"sqlite:///{tmp_path / 'outdial.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("new_database")()
    store = await Store.open(url, SystemClock())
    try:
        async with running(tmp_path, Limits(), store) as door:
            yield Following(door, store)
    finally:
        await store.close()


async def test_reading_on_gives_every_event_once_in_order(following: Following) -> None:
    found, cursor = await following.read()
    assert (found, cursor) == ([], "")
    assert await following.read(after=cursor) == ([], "")
    first = await following.call()
    found, cursor = await following.read(after=cursor)
    assert found == [(first, "call.queued")]
    assert await following.read(after=cursor) == ([], cursor)
    second = await following.call()
    await following.event(first, 1, "state.dialling")
    await following.event(first, 2, "document.fetched")  # changes no state
    await following.event(second, 1, "state.dialling")
    seen = []
    for _ in range(4):
        found, cursor = await following.read(after=cursor, limit="1")
        seen += found
    assert seen == [
        (second, "call.queued"),
        (first, "call.dialling"),
        (second, "call.dialling"),
    ]
    everything, _ = await following.read()
    assert everything == [(first, "call.queued"), *seen]


async def test_whoever_waits_reads_what_comes(following: Following) -> None:
    await following.call()
    _, cursor = await following.read()
    waiting = asyncio.create_task(following.read(after=cursor, wait="20"))
    await asyncio.sleep(0.3)
    sid = await following.call()
    assert (await waiting)[0] == [(sid, "call.queued")]


@pytest.mark.parametrize("cursor", ["x", "-", "1-", "-1", "1-2-3", "9" * 40, "é"])
async def test_what_is_no_cursor_is_refused(following: Following, cursor: str) -> None:
    for path, name in (("/v1/events", "after"), ("/v1/deliveries", "cursor")):
        status, problem = await following.door.get(path, params={name: cursor})
        assert (status, problem["code"], problem["field"]) == (404, 40404, name)


async def test_callbacks_in_pages(following: Following) -> None:
    made: list[DeliveryRecord] = []
    for seq in range(5):
        sid = await following.call()
        one = delivery(sid, seq, state="dead" if seq in (1, 3) else "done")
        made.append(one)
        await following.event(sid, seq + 1, "state.ringing", one)

    async def every(**params: Any) -> list[str]:
        found, cursor = [], ""
        while True:
            params = params | ({"cursor": cursor} if cursor else {})
            _, page = await following.door.get("/v1/deliveries", params=params | {"limit": "2"})
            found += [one["id"] for one in page["deliveries"]]
            cursor = page["next_cursor"]
            if not cursor:
                return found

    newest_first = [one.id for one in reversed(made)]
    assert await every() == newest_first
    assert await every(state="dead") == [made[3].id, made[1].id]
    assert await every(state="pending") == []
    assert await every(call_sid=made[2].call_sid) == [made[2].id]
    _, shown = await following.door.get(f"/v1/deliveries/{made[2].id}")
    assert shown["event_id"] == made[2].event_id


def delivery(sid: str, seq: int, state: str) -> DeliveryRecord:
    return DeliveryRecord(
        id=ids.of_delivery(sid, seq),
        call_sid=sid,
        lane=f"{sid} http://h/",
        position=seq,
        event="ringing",
        url="http://h/",
        method="POST",
        params=(("a", "b"),),
        created_at=START + seq,
        state=state,
        event_id=ids.of_event(sid, seq),
    )
