"""`/v1/conferences` and `/v1/queues`, over HTTP, with calls of stand-ins in them."""

from __future__ import annotations

import pytest

from contract.conftest import KEY, Door
from doubles.callers import Callers
from doubles.world import until

ROOM = "<Dial><Conference>Sales room</Conference></Dial>"
HEADERS = {"Authorization": f"Bearer {KEY}"}


def met(door: Door) -> Callers:
    """Calls whose conferences and queues the API shows."""
    world = Callers()
    door.record.conferences = world.services.conferences
    door.record.queues = world.services.queues
    return world


async def test_nothing_goes_on(door: Door) -> None:
    assert await door.get("/v1/conferences") == (200, {"conferences": []})
    assert await door.get("/v1/queues") == (200, {"queues": []})


async def test_a_conference_and_its_members(door: Door) -> None:
    world = met(door)
    one = await world.call(ROOM)
    status, waiting = await door.get("/v1/conferences/Sales room")
    assert status == 200
    assert waiting["began_at"] is None
    assert [m["waiting"] for m in waiting["members"]] == [True]
    two = await world.call(
        '<Dial><Conference muted="on" record="on">Sales room</Conference></Dial>'
    )
    await until(lambda: "join muted" in two.media.done)
    _, shown = await door.get("/v1/conferences")
    (conference,) = shown["conferences"]
    assert conference["sid"].startswith("CF")
    assert conference["name"] == "Sales room"
    assert conference["recording_sid"].startswith("RE")
    assert conference["began_at"].endswith("Z")
    assert [(m["call_sid"], m["muted"], m["waiting"]) for m in conference["members"]] == [
        (one.sid, False, False),
        (two.sid, True, False),
    ]
    assert conference["members"][0]["to"] == one.leg.call.to_number
    assert await door.get(f"/v1/conferences/{conference['sid']}") == (200, conference)
    assert (await door.get("/v1/conferences/sales room"))[0] == 404


async def test_members_are_muted_and_removed(door: Door) -> None:
    world = met(door)
    one = await world.call(ROOM + "<Say>next</Say>")
    await world.call(ROOM)
    await until(lambda: "join" in one.media.done)
    path = f"/v1/conferences/Sales%20room/members/{one.sid}"
    status, conference = await door.post(path, json={"muted": True}, headers=HEADERS)
    assert (status, conference["members"][0]["muted"]) == (200, True)
    assert one.media.done[-1] == "mute"
    assert (await door.post(path, json={"remove": True}, headers=HEADERS))[0] == 200
    await one.over()
    assert "play woman en: next" in one.media.done
    status, problem = await door.post(path, json={"remove": True}, headers=HEADERS)
    assert (status, problem["code"]) == (404, 40408)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"muted": True, "remove": True}, 400),
        ({"muted": "yes"}, 400),
        ({"remove": False}, 400),
        ({"mute": True}, 400),
        ([], 400),
    ],
)
async def test_a_bad_change_says_what_is_wrong(door: Door, body: object, status: int) -> None:
    world = met(door)
    one = await world.call(ROOM)
    path = f"/v1/conferences/Sales%20room/members/{one.sid}"
    answered, problem = await door.post(path, json=body, headers=HEADERS)
    assert answered == status, problem
    assert problem["detail"]


async def test_a_queue_its_callers_and_agents(door: Door) -> None:
    world = met(door)
    callers = [await world.call("<Enqueue>support</Enqueue>") for _ in range(2)]
    _, shown = await door.get("/v1/queues")
    (queue,) = shown["queues"]
    assert (queue["name"], queue["size"], queue["agents"]) == ("support", 2, 0)
    assert [m["call_sid"] for m in queue["members"]] == [caller.sid for caller in callers]
    assert queue["longest_wait_s"] == queue["members"][0]["waited_s"] >= 0
    assert queue["members"][0]["queued_at"].endswith("Z")
    for _ in range(3):
        await world.call("<Dial><Queue>support</Queue></Dial>")
    _, queue = await door.get(f"/v1/queues/{queue['sid']}")
    assert (queue["size"], queue["longest_wait_s"], queue["agents"]) == (0, 0, 1)
    status, problem = await door.get("/v1/queues/sales")
    assert (status, problem["code"]) == (404, 40409)


async def test_nobody_without_a_key(door: Door) -> None:
    for path in ("/v1/conferences", "/v1/conferences/x", "/v1/queues", "/v1/queues/x"):
        async with door.http.get(door.base + path) as response:
            assert response.status == 401
    status, problem = await door.post("/v1/conferences/x/members/y", json={"remove": True})
    assert status == 401, problem


async def test_the_metrics_count_them(door: Door) -> None:
    world = met(door)
    for document in (ROOM, ROOM, "<Enqueue>support</Enqueue>", "<Queue>sales</Queue>"):
        await world.call(document)
    async with door.http.get(f"{door.base}/metrics") as response:
        lines = (await response.text()).splitlines()
    for line in (
        "outdial_conferences 1.0",
        "outdial_conference_members 2.0",
        "outdial_queue_callers 1.0",
        "outdial_queue_agents 1.0",
    ):
        assert line in lines
