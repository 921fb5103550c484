"""Callbacks and the feed of events over real HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from contract.conftest import KEY, Door
from outdial import ids
from outdial.api import feed
from outdial.store.records import DeliveryRecord

AUTH = {"Authorization": f"Bearer {KEY}"}
GOOD = {"to": "19499300360", "from": "18005797676"}


async def create(door: Door) -> str:
    status, call = await door.post("/v1/calls", json=GOOD, headers=AUTH)
    assert status == 201, call
    return str(call["sid"])


def told(door: Door, sid: str) -> DeliveryRecord:
    (delivery,) = door.record.told(sid)
    return delivery


async def test_callbacks_of_all_calls_newest_first(door: Door) -> None:
    sids = [await create(door) for _ in range(5)]
    told(door, sids[1]).state = told(door, sids[3]).state = "dead"
    _, page = await door.get("/v1/deliveries", params={"limit": "3"})
    assert [one["call_sid"] for one in page["deliveries"]] == sids[:1:-1]
    _, page = await door.get("/v1/deliveries", params={"cursor": page["next_cursor"]})
    assert [one["call_sid"] for one in page["deliveries"]] == [sids[1], sids[0]]
    assert page["next_cursor"] == ""
    _, page = await door.get("/v1/deliveries", params={"state": "dead"})
    assert [one["call_sid"] for one in page["deliveries"]] == [sids[3], sids[1]]


async def test_callbacks_of_one_call_in_their_order(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    sid = await create(door)
    many = []
    for place in range(5):
        one = door.record._told(sid)
        one.id = ids.of_delivery(sid, place)
        one.state = "dead" if place in (1, 4) else "done"
        many.append(one)

    async def deliveries(call_sid: str) -> list[DeliveryRecord]:
        return many

    monkeypatch.setattr(door.record, "deliveries", deliveries)
    found = []
    params = {"call_sid": sid, "limit": "2"}
    while True:
        _, page = await door.get("/v1/deliveries", params=params)
        assert len(page["deliveries"]) <= 2
        found += [one["id"] for one in page["deliveries"]]
        if not page["next_cursor"]:
            break
        params["cursor"] = page["next_cursor"]
    assert found == [one.id for one in many]
    _, page = await door.get("/v1/deliveries", params={"call_sid": sid, "state": "dead"})
    assert [one["id"] for one in page["deliveries"]] == [many[1].id, many[4].id]


async def test_one_in_full(door: Door) -> None:
    sid = await create(door)
    one = told(door, sid)
    one.params = (("CallStatus", "completed"), ("apikey", "hidden"), ("token", "1 2"))
    one.url += "#rc=1"
    one.tries = (
        {"at": 1.5, "ms": 12.5, "status": 500, "error": "answered 500", "peer": "127.0.0.1:9",
         "timestamp": 1, "signature": "v1,x", "head": "HTTP/1.1 500 No\na: b"},
        {"at": 2.0, "ms": 3.0, "status": None, "error": "connect: away", "peer": "", "head": ""},
    )  # fmt: skip
    status, shown = await door.get(f"/v1/deliveries/{one.id}")
    assert status == 200
    assert shown["event_id"] == ids.of_event(sid, 1)
    request = shown["request"]
    assert (request["method"], request["url"]) == ("POST", "http://127.0.0.1:9000/events")
    assert request["body"] == "CallStatus=completed&apikey=%2A%2A%2A&token=1+2"
    assert request["headers"]["webhook-id"] == shown["event_id"]
    assert request["headers"]["Host"] == "127.0.0.1:9000"
    sent = "CallStatus=completed&apikey=hidden&token=1+2"
    assert request["headers"]["Content-Length"] == str(len(sent))
    assert shown["tries"] == [
        {"at": "1970-01-01T00:00:01.500Z", "ms": 12.5, "status": 500, "error": "answered 500",
         "peer": "127.0.0.1:9", "timestamp": 1, "signature": "v1,x",
         "response_head": "HTTP/1.1 500 No\na: b"},
        {"at": "1970-01-01T00:00:02.000Z", "ms": 3.0, "status": None, "error": "connect: away",
         "peer": "", "timestamp": None, "signature": "", "response_head": ""},
    ]  # fmt: skip
    one.method = "GET"
    _, shown = await door.get(f"/v1/deliveries/{one.id}")
    assert shown["request"]["body"] == ""
    assert shown["request"]["url"].endswith(
        "/events?CallStatus=completed&apikey=%2A%2A%2A&token=1+2"
    )
    assert "hidden" not in str(shown)


async def test_one_from_before_there_were_event_ids(door: Door) -> None:
    one = told(door, await create(door))
    one.event_id = ""
    _, shown = await door.get(f"/v1/deliveries/{one.id}")
    assert shown["event_id"] == shown["request"]["headers"]["webhook-id"] == one.id


async def test_replays(door: Door) -> None:
    sid = await create(door)
    one = told(door, sid)
    path = f"/v1/deliveries/{one.id}/replay"
    status, problem = await door.post(path, json={}, headers=AUTH)
    assert (status, problem["code"], problem["field"]) == (409, 40902, "id")
    ways: list[tuple[str, dict[str, Any]]] = [("dead", {"json": {}}), ("done", {})]
    for state, how in ways:
        one.state = state
        status, answer = await door.post(path, headers=AUTH, **how)
        assert (status, answer["state"]) == (202, "pending")
    assert door.record.replayed == [one.id] * 2


@pytest.mark.parametrize(
    ("body", "given"),
    [
        ({"state": "dead"}, " None"),
        ({"state": "dead", "since": None}, " None"),
        ({"state": "dead", "since": "1970-01-01T01:00:00+01:00"}, " 0.0"),
        ({"state": "dead", "since": "1970-01-01T00:01:00Z", "call_sid": "CALL"}, "CALL 60.0"),
    ],
)
async def test_replays_of_all_that_were_given_up(
    door: Door, body: dict[str, Any], given: str
) -> None:
    sid = await create(door)
    if body.get("call_sid"):
        body = body | {"call_sid": sid}
    status, answer = await door.post("/v1/deliveries/replay", json=body, headers=AUTH)
    assert (status, answer) == (202, {"count": 3})
    assert door.record.replayed == [given.replace("CALL", sid)]


async def test_the_feed_goes_on_where_it_was(door: Door) -> None:
    status, page = await door.get("/v1/events")
    assert (status, page) == (200, {"events": [], "next": ""})
    sids = [await create(door) for _ in range(5)]
    seen: list[str] = []
    after = page["next"]
    for expected in (2, 2, 1, 0, 0):
        _, page = await door.get("/v1/events", params={"after": after, "limit": "2"})
        assert len(page["events"]) == expected
        seen += [event["call_sid"] for event in page["events"]]
        after = page["next"]
    assert seen == sids
    _, page = await door.get("/v1/events", params={"limit": "1"})
    (event,) = page["events"]
    assert event["id"] == ids.of_event(sids[0], 0)
    assert (event["type"], event["seq"], event["parent_sid"]) == ("call.queued", 0, sids[0])
    assert event["call"]["sid"] == sids[0] and event["at"] == "2027-01-15T08:00:00.000Z"


async def test_whoever_waits_is_told_at_once(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_LOOKS_EVERY_S", 0.01)
    loop = asyncio.get_running_loop()
    began = loop.time()
    waiting = asyncio.create_task(door.get("/v1/events", params={"wait": "30"}))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    sid = await create(door)
    _, page = await waiting
    assert [event["call_sid"] for event in page["events"]] == [sid]
    assert loop.time() - began < 5.0
    _, page = await door.get("/v1/events", params={"after": page["next"], "wait": "1"})
    assert page["events"] == []
    assert loop.time() - began >= 1.0


async def test_not_too_many_wait_and_none_for_a_server_that_ends(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "_MOST_WAITING", 1)
    monkeypatch.setattr(feed, "_LOOKS_EVERY_S", 0.01)
    first = asyncio.create_task(door.get("/v1/events", params={"wait": "30"}))
    await asyncio.sleep(0.05)
    _, page = await door.get("/v1/events", params={"wait": "30"})
    assert page["events"] == [] and not first.done()
    health = door.record.health
    monkeypatch.setattr(door.record, "health", lambda: health() | {"draining": True})
    _, page = await asyncio.wait_for(first, 5.0)
    assert page["events"] == []


@pytest.mark.parametrize(
    ("field", "problem"),
    [
        ("status_callback", "rc must be 0 to 5"),
        ("url", "rc must be 0 to 5"),
        ("fallback_url", "rc must be 0 to 5"),
    ],
)
async def test_bad_overrides_are_refused_at_the_post(door: Door, field: str, problem: str) -> None:
    body = GOOD | {"url": "http://127.0.0.1/a", field: "http://127.0.0.1/a#rc=9"}
    status, answer = await door.post("/v1/calls", json=body, headers=AUTH)
    assert (status, answer["code"], answer["field"]) == (422, 42207, field)
    assert problem in answer["detail"] and "#rc=2&rp=5xx,ct&rt=3000" in answer["detail"]
    assert door.record.placed == []
    body[field] = "http://127.0.0.1/a#rc=2&rp=5xx,ct&rt=3000"
    status, _ = await door.post("/v1/calls", json=body, headers=AUTH)
    assert status == 201
    placed = door.record.placed[0][0]
    assert getattr(placed, field) == body[field]  # kept whole, for whoever looks at the call
