"""Two real servers on one PostgreSQL: what one of them has outlives it, and happens once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from chaos import nodes as chaos_nodes
from chaos.carrier import Carrier, Script
from outdial.testing.server import OutdialServer
from outdial.testing.web import Answer, WebServer

pytestmark = [pytest.mark.system, pytest.mark.long]

FOREVER, UP, BUSY = "150055501", "150055502", "150055503"
"""Numbers that begin so and end in two digits ring for ever, answer, are busy."""
SCRIPTS = {
    FOREVER: Script("rings for ever", 0.01, 300.0),
    UP: Script("answers", 0.01, 0.05),
    BUSY: Script("busy", 0.01, 0.05, "486 Busy Here"),
}
DOCUMENT = "<Response><Pause length='60'/></Response>"


def script_of(number: str) -> Script:
    return SCRIPTS[number[:9]]


class Pair:
    """Two servers, their carrier, and what they send callbacks to."""

    def __init__(self, folder: Path, url: str, carrier: Carrier, web: WebServer) -> None:
        self.folder = folder
        self.url = url
        self.carrier = carrier
        self.web = web
        self.servers: list[OutdialServer] = []
        self.lease_s = 2.0

    async def start(self, name: str, **limits: Any) -> OutdialServer:
        """One more server, of that name."""
        folder = self.folder / f"{name}{len(self.servers)}"
        folder.mkdir()
        more = {"limits": limits, "node": {"name": name, "lease_s": self.lease_s}}
        tree = chaos_nodes.settings(
            folder, self.carrier.port, store_url=self.url, t1_s=0.5, drain_s=5.0, workers=1,
            more=more,
        )  # fmt: skip
        server = OutdialServer(tree, folder, ready_within_s=30.0)
        self.servers.append(server)
        await asyncio.to_thread(server.start)
        return server

    async def place(self, server: OutdialServer, number: str, **params: Any) -> str:
        """Posts a call with a document that lasts, and callbacks for all that happens."""
        sid: str = await asyncio.to_thread(
            server.place_call,
            to=number,
            **{
                "from": "15005550100",
                "url": self.web.url("/document.xml"),
                "statusCallback": self.web.url("/callbacks"),
                "statusCallbackEvent": "initiated,ringing,answered,completed",
                "timeout": 120,
                **params,
            },
        )
        return sid

    def told(self, sid: str, path: str = "/callbacks") -> list[str]:
        """The states that callbacks told of the call, in order of arrival, each once."""
        states: list[str] = []
        for request in self.web.received(path):
            if request.params.get("callSid", request.params.get("CallSid")) == sid:
                state = request.params["CallStatus"]
                if state not in states:
                    states.append(state)
        return states


@pytest.fixture
async def pair(tmp_path: Path, new_database: Callable[[], str]) -> AsyncIterator[Pair]:
    carrier = await Carrier.start(0.5, script_of)
    with WebServer() as web:
        web.serve("/document.xml", DOCUMENT)
        web.collect("/callbacks")
        made = Pair(tmp_path, new_database(), carrier, web)
        yield made
        for server in made.servers:
            with contextlib.suppress(ProcessLookupError, RuntimeError):
                os.kill(server.pid, signal.SIGCONT)
                await asyncio.to_thread(server.kill)
    carrier.close()


async def until(condition: Callable[[], Any], what: str, within_s: float = 10.0) -> float:
    """Waits; how long it took. The condition runs in a thread, it may ask a server."""
    started = time.monotonic()
    while not await asyncio.to_thread(condition):
        assert time.monotonic() - started < within_s, what
        await asyncio.sleep(0.05)
    return time.monotonic() - started


async def hang_up(server: OutdialServer, sid: str) -> None:
    """Through that server, whichever has the call."""
    await asyncio.to_thread(server.post, f"/v1/calls/{sid}", {"hangup": True})


def call_of(server: OutdialServer, sid: str) -> dict[str, Any]:
    call: dict[str, Any] = server.get(f"/v1/calls/{sid}")
    return call


async def states(server: OutdialServer, sid: str, wanted: str, within_s: float = 10.0) -> None:
    await until(lambda: call_of(server, sid)["state"] == wanted, f"{sid} {wanted}", within_s)


async def test_a_call_posted_to_one_is_hung_up_through_the_other(pair: Pair) -> None:
    one, two = await pair.start("one"), await pair.start("two")
    sid = await pair.place(one, UP + "01")
    ringing = await pair.place(one, FOREVER + "01")
    await states(two, sid, "answered")
    await states(two, ringing, "ringing")
    for each in (sid, ringing):
        await hang_up(two, each)
        took = await until(lambda each=each: call_of(two, each)["outcome"], "ended", 5.0)  # type: ignore[misc]
        assert took < 3.0
    assert (call_of(one, sid)["cause"], call_of(one, ringing)["outcome"]) == (
        "normal-clearing",
        "canceled",
    )
    assert not pair.carrier.up()
    await until(lambda: not pair.carrier.ringing(), "the carrier still rings")
    assert pair.carrier.second_invites() == {}
    assert [call_of(one, sid)["hangup_source"], call_of(one, sid)["detail"]] == [
        "caller",
        "hung up through the API",
    ]


async def test_a_call_of_one_is_changed_and_followed_through_the_other(pair: Pair) -> None:
    one, two = await pair.start("one"), await pair.start("two")
    sid = await pair.place(one, UP + "01")
    await states(two, sid, "answered")

    def change(**what: Any) -> dict[str, Any]:
        answer: dict[str, Any] = two.post(f"/v1/calls/{sid}", what)
        return answer

    def refused(**what: Any) -> tuple[int, str]:
        with pytest.raises(urllib.error.HTTPError) as caught:
            change(**what)
        with caught.value as error:
            return error.code, json.load(error)["detail"]

    following = asyncio.create_task(asyncio.to_thread(stream_of, two, sid))
    assert (await asyncio.to_thread(change, recording="start"))["recording_sid"]
    assert (await asyncio.to_thread(refused, recording="start"))[0] == 409  # that node's word
    for what in ({"muted": True}, {"send_digits": "12"}, {"recording": "stop"}):
        started = time.monotonic()
        await asyncio.to_thread(lambda what=what: change(**what))  # type: ignore[misc]
        assert time.monotonic() - started < 2.0  # it has answered: nobody waited for it in vain
    goodbye = "<Response><Hangup/></Response>"
    await asyncio.to_thread(change, document=goodbye)
    await until(lambda: call_of(two, sid)["outcome"], "ended", 5.0)
    status, detail = await asyncio.to_thread(refused, muted=True)
    assert (status, "application" in call_of(two, sid)["hangup_source"]) == (409, True)
    assert "normal-clearing" in detail
    events = await following
    told = [event["data"] for event in events if event["kind"] == "command"]
    assert [one["command"] for one in told] == [
        "recording",
        "mute",
        "digits",
        "recording",
        "redirect",
    ]
    assert {one["by"] for one in told} == {call_of(one, sid)["key_name"]}
    assert [event["seq"] for event in events] == list(range(len(events)))
    assert events[-1]["kind"] == "state.completed"


def stream_of(server: OutdialServer, sid: str) -> list[dict[str, Any]]:
    """All that its stream of the call's events brings."""
    headers = {"Authorization": f"Bearer {server.key}", "Accept": "text/event-stream"}
    request = urllib.request.Request(server.url(f"/v1/calls/{sid}/events"), headers=headers)
    with urllib.request.urlopen(request, timeout=30) as response:
        lines = (line.decode() for line in response)
        return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]


async def test_what_a_killed_node_had_is_dialled_or_ended_by_the_other(pair: Pair) -> None:
    pair.web.script("/callbacks", *[Answer(500)] * 1000)
    one = await pair.start("one", concurrent_calls=4, calls_per_second=100)
    up = [await pair.place(one, f"{UP}{n:02}") for n in range(2)]
    ringing = [await pair.place(one, f"{FOREVER}{n:02}") for n in range(2)]
    queued = [await pair.place(one, f"{BUSY}{n:02}") for n in range(3)]
    for sid in up:
        await states(one, sid, "answered")
    for sid in ringing:
        await states(one, sid, "ringing")
    assert {call_of(one, sid)["state"] for sid in queued} == {"queued"}
    await asyncio.sleep(0.3)
    one.kill()
    killed_at = time.monotonic()
    # the other one comes only now, or it would have taken those that wait at once
    two = await pair.start("two", calls_per_second=100)
    pair.web.script("/callbacks", *[Answer(200)] * 1000)
    for sid in (*up, *ringing, *queued):
        await until(lambda sid=sid: call_of(two, sid)["outcome"], f"{sid} is not over", 25.0)  # type: ignore[misc]
    assert time.monotonic() - killed_at < 25.0
    assert {call_of(two, sid)["cause"] for sid in (*up, *ringing)} == {"server-restart"}
    assert {call_of(two, sid)["outcome"] for sid in queued} == {"busy"}
    await until(lambda: not pair.carrier.up(), "the carrier still bills")
    await until(lambda: not pair.carrier.ringing(), "the carrier still rings")
    assert pair.carrier.second_invites() == {}
    assert pair.carrier.misfits == []
    for sid in up:
        await until(lambda sid=sid: "completed" in pair.told(sid), "callbacks", 15.0)  # type: ignore[misc]
        assert pair.told(sid) == ["initiated", "ringing", "answered", "completed"]


async def test_a_node_that_was_running_takes_over_within_ten_seconds(pair: Pair) -> None:
    pair.lease_s = 5.0  # as by default
    one, two = await pair.start("one"), await pair.start("two")
    up = await pair.place(one, UP + "01")
    await states(one, up, "answered")
    await asyncio.sleep(5.5)  # the other one must have been there for a while
    one.kill()
    took = await until(lambda: call_of(two, up)["outcome"], "not over", 12.0)
    assert took < 10.0
    assert not pair.carrier.up()
    gauges = two.gauges()
    assert gauges["outdial_node_takeovers_total"] == 1
    assert gauges["outdial_node_lease_held"] == 1


async def test_a_restart_under_the_same_name_takes_over_at_once(pair: Pair) -> None:
    one = await pair.start("one")
    up = await pair.place(one, UP + "01")
    await states(one, up, "answered")
    one.kill()
    again = await pair.start("one")
    took = await until(lambda: call_of(again, up)["outcome"], "not over", 5.0)
    assert took < 2.0
    assert not pair.carrier.up()


async def test_a_node_that_was_stopped_for_longer_than_its_lease_ends_itself(pair: Pair) -> None:
    one = await pair.start("one", concurrent_calls=2, calls_per_second=100)
    up = await pair.place(one, UP + "01")
    await states(one, up, "answered")
    ringing = await pair.place(one, FOREVER + "01")
    await states(one, ringing, "ringing")
    queued = [await pair.place(one, f"{BUSY}{n:02}") for n in range(2)]
    for pid in one.pids:
        os.kill(pid, signal.SIGSTOP)
    two = await pair.start("two", calls_per_second=100)
    for sid in (up, ringing, *queued):
        await until(lambda sid=sid: call_of(two, sid)["outcome"], f"{sid} is not over", 25.0)  # type: ignore[misc]
    process = one._process
    assert process is not None
    for pid in one.pids:
        os.kill(pid, signal.SIGCONT)
    assert await asyncio.to_thread(process.wait, 5.0) == 75
    assert any(line["event"] == "node.taken_over" for line in one.log())
    await asyncio.sleep(1.0)
    assert pair.carrier.second_invites() == {}
    await until(lambda: not pair.carrier.up(), "the carrier still bills")
    await until(lambda: not pair.carrier.ringing(), "the carrier still rings")
    assert {call_of(two, sid)["outcome"] for sid in queued} == {"busy"}


async def test_calls_that_wait_are_shared_by_whoever_has_room(pair: Pair) -> None:
    one = await pair.start("one", calls_per_second=5, concurrent_calls=1000)
    two = await pair.start("two", calls_per_second=5, concurrent_calls=1000)
    started = time.monotonic()
    sids = [await pair.place(one, f"{BUSY}{n:02}") for n in range(100)]
    for sid in sids:
        await until(lambda sid=sid: call_of(two, sid)["outcome"], f"{sid} is not over", 30.0)  # type: ignore[misc]
    took = time.monotonic() - started
    claimed = two.gauges()["outdial_node_calls_claimed_total"]
    assert 30 <= claimed <= 70
    assert took < 16.0  # one alone would need 19
    assert pair.carrier.second_invites() == {}
    assert len(pair.carrier.invites) == 100
    assert one.get("/readyz")["queued"] == two.get("/readyz")["queued"] == 0
    # a call is over a moment before its server has let go of it
    await until(lambda: one.get("/readyz")["live"] == 0, "calls are still live", 10.0)


async def test_on_an_orderly_stop_the_other_takes_what_waits_and_what_is_untold(
    pair: Pair,
) -> None:
    pair.web.collect("/mine")
    pair.web.script("/mine", Answer(500))
    one = await pair.start("one", concurrent_calls=1, calls_per_second=100)
    two = await pair.start("two", concurrent_calls=1, calls_per_second=100)
    mine = await pair.place(one, UP + "01", statusCallback=pair.web.url("/mine"))
    await states(one, mine, "answered")
    blocking = await pair.place(two, UP + "02")
    await states(two, blocking, "answered")
    queued = [await pair.place(one, f"{BUSY}{n:02}") for n in range(5)]
    stopping = asyncio.create_task(asyncio.to_thread(one.stop, 20.0))
    await asyncio.sleep(1.0)
    await hang_up(two, blocking)
    for sid in queued:
        await until(lambda sid=sid: call_of(two, sid)["outcome"], f"{sid} is not over", 10.0)  # type: ignore[misc]
    assert await stopping == 0
    assert {call_of(two, sid)["outcome"] for sid in queued} == {"busy"}
    # the receiver was down for long enough: the next attempt, in minutes, is the other one's
    await until(lambda: two.gauges()["outdial_callbacks_held"] == 4, "callbacks of the first", 10.0)
    assert pair.told(mine, "/mine") == ["initiated"]
    assert pair.carrier.second_invites() == {}
