"""`/v1/usage`: over HTTP, and against a real record."""

from __future__ import annotations

import time
from pathlib import Path

from contract.conftest import Door, running
from outdial import ids
from outdial.clock import SystemClock
from outdial.config import Limits
from outdial.store.records import CallRecord
from outdial.store.store import Store

START = 1_800_000_000.0
"""2027-01-15T08:00:00Z"""


async def test_the_answer_and_the_time_it_is_of(door: Door) -> None:
    times = {"since": "2027-01-15T08:00:00Z", "until": "2027-01-15T09:30:00+01:00"}
    status, usage = await door.get("/v1/usage", params=times)
    assert status == 200
    assert door.record.usage_of == [(START, START + 1800)]
    assert (usage["since"], usage["until"]) == (
        "2027-01-15T08:00:00.000Z",
        "2027-01-15T08:30:00.000Z",
    )
    assert [(row["outcome"], row["calls"], row["seconds"]) for row in usage["calls"]] == [
        ("completed", 3, 61.235),
        (None, 1, 0.0),
        ("canceled", 1, 0.0),
    ]
    assert usage["total"] == {
        "name": "",
        "live": 0,
        "queued": 0,
        "calls_per_second": 10.0,
        "concurrent_calls": 500,
    }
    assert (usage["keys"][0]["name"], usage["keys"][0]["calls_per_second"]) == ("dev", None)
    assert (usage["trunks"][0]["name"], usage["trunks"][0]["concurrent_calls"]) == ("carrier", None)


async def test_without_a_time_it_is_the_last_day(door: Door) -> None:
    assert (await door.get("/v1/usage"))[0] == 200
    assert (await door.get("/v1/usage", params={"until": "2027-01-15T08:00:00Z"}))[0] == 200
    (first, last), other = door.record.usage_of
    assert last - first == 86_400
    assert abs(last - time.time()) < 30
    assert other == (START - 86_400, START)


async def test_what_is_no_time_is_refused_by_name(door: Door) -> None:
    for name in ("since", "until"):
        status, problem = await door.get("/v1/usage", params={name: "yesterday"})
        assert (status, problem["code"], problem["field"]) == (400, 40003, name)
    async with door.http.get(f"{door.base}/v1/usage") as response:
        assert response.status == 401


async def test_calls_are_summed_by_key_trunk_and_outcome(tmp_path: Path) -> None:
    store = await Store.open(f"sqlite:///{tmp_path / 'outdial.db'}", SystemClock())

    async def add(key: str, trunk: str, outcome: str | None, answered_s: float | None) -> None:
        sid = ids.new(ids.CALL)
        answered_at = None if answered_s is None else START + 2
        ended_at = None if outcome is None else START + 2 + (answered_s or 0)
        call = CallRecord(
            sid, sid, "outbound", "1", "2", "", "completed", START, key_name=key, trunk=trunk,
            answered_at=answered_at, ended_at=ended_at, outcome=outcome,
        )  # fmt: skip
        await store.create_call(call)

    for key, trunk, outcome, answered_s in (
        ("dev", "a", "completed", 30.5),
        ("dev", "a", "completed", 10.0),
        ("dev", "a", "busy", None),
        ("dev", "a", None, 5.0),
        ("dev", "b", "completed", 1.0),
        ("ops", "a", "completed", 2.0),
    ):
        await add(key, trunk, outcome, answered_s)
    try:
        async with running(tmp_path, Limits(), store) as door:
            times = {"since": "2027-01-15T08:00:00Z", "until": "2027-01-15T08:00:01Z"}
            _, usage = await door.get("/v1/usage", params=times)
            _, none = await door.get("/v1/usage", params={"since": "2027-01-15T08:00:01Z"})
    finally:
        await store.close()
    assert [tuple(row.values()) for row in usage["calls"]] == [
        ("dev", "a", None, 1, 1, 0.0),
        ("dev", "a", "busy", 1, 0, 0.0),
        ("dev", "a", "completed", 2, 2, 40.5),
        ("dev", "b", "completed", 1, 1, 1.0),
        ("ops", "a", "completed", 1, 1, 2.0),
    ]
    assert none["calls"] == []
