"""A call's timeline as server-sent events, over real HTTP and from a database of each kind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from contract.conftest import KEY, Door, Record, running
from outdial import ids
from outdial.api import following as pace
from outdial.api import streams
from outdial.calls import codes
from outdial.clock import SystemClock
from outdial.config import Limits
from outdial.errors import StoreUnavailable
from outdial.store.records import CallRecord, Change, EventRecord
from outdial.store.store import Store

START = 1_800_000_000.0
PATIENCE_S = 20.0


class Stream:
    """What an EventSource would see."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.comments = 0

    async def next(self) -> dict[str, Any] | None:
        """The next event; None at the end."""
        event: dict[str, Any] = {}
        async with asyncio.timeout(PATIENCE_S):
            while line := await self.response.content.readline():
                text = line.decode().rstrip("\n")
                if text.startswith("data: "):
                    event |= json.loads(text[6:])
                elif text.startswith("id: "):
                    event["id"] = int(text[4:])
                elif text.startswith(":"):
                    self.comments += 1
                elif not text and event:
                    assert event["id"] == event["seq"]
                    return event
        return None

    async def seqs(self) -> list[int]:
        """Of all that is left, to the end."""
        found = []
        while (event := await self.next()) is not None:
            found.append(event["seq"])
        return found


@dataclass
class Watched:
    """An API before a store."""

    door: Door
    store: Store

    async def call(self) -> str:
        sid = ids.new(ids.CALL)
        call = CallRecord(sid, sid, "outbound", "1800", "1949", "", "queued", START)
        await self.store.create_call(call, [EventRecord(sid, 0, START, "state.queued")])
        return sid

    async def event(self, sid: str, seq: int, kind: str = "verb.started") -> None:
        ends = {"state": "completed", "ended_at": START} if kind == "state.completed" else {}
        event = EventRecord(sid, seq, START + seq, kind, {"verb": "Say"})
        await self.store.commit(Change(sid, ends, (event,)))

    @asynccontextmanager
    async def stream(self, sid: str, last: int | None = None) -> AsyncIterator[Stream]:
        headers = {"Authorization": f"Bearer {KEY}", "Accept": "text/event-stream"}
        if last is not None:
            headers["Last-Event-ID"] = str(last)
        url = f"{self.door.base}/v1/calls/{sid}/events"
        async with self.door.http.get(url, headers=headers) as response:
            yield Stream(response)


@pytest.fixture(params=["sqlite", "postgresql"])
async def watched(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Watched]:
    url = f"sqlite:///{tmp_path / 'outdial.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("new_database")()
    store = await Store.open(url, SystemClock())
    try:
        async with running(tmp_path, Limits(), store) as door:
            yield Watched(door, store)
    finally:
        await store.close()


async def test_events_come_as_they_happen_until_the_call_is_over(watched: Watched) -> None:
    sid = await watched.call()
    async with watched.stream(sid) as stream:
        assert stream.response.status == 200
        assert stream.response.content_type == "text/event-stream"
        assert stream.response.headers["Cache-Control"] == "no-cache"
        first = await stream.next()
        assert first is not None
        assert (first["seq"], first["kind"]) == (0, "state.queued")
        for seq in (1, 2):
            await watched.event(sid, seq)
            event = await stream.next()
            assert event is not None
            assert event["seq"] == seq
        await watched.event(sid, 3, "state.completed")
        assert await stream.seqs() == [3]
    async with watched.stream(sid) as stream:
        assert await stream.seqs() == [0, 1, 2, 3]  # what is over already is told and ends


async def test_a_reader_goes_on_where_he_was(watched: Watched) -> None:
    sid = await watched.call()
    for seq in range(1, 251):
        await watched.event(sid, seq)
    await watched.event(sid, 251, "state.completed")
    async with watched.stream(sid, last=100) as stream:
        assert await stream.seqs() == list(range(101, 252))
    async with watched.stream(sid, last=251) as stream:
        assert stream.response.status == 204  # and an EventSource does not come again
    await watched.event(sid, 252, "callback.failed")
    async with watched.stream(sid, last=251) as stream:
        assert await stream.seqs() == [252]


async def test_without_the_header_it_is_a_page_and_last_event_id_means_after(
    watched: Watched,
) -> None:
    sid = await watched.call()
    await watched.event(sid, 1)
    path = f"/v1/calls/{sid}/events"
    status, page = await watched.door.get(path)
    assert (status, [one["seq"] for one in page["events"]]) == (200, [0, 1])
    for accept, last, expected in (("application/json", "0", [1]), ("*/*", "-1", [0, 1])):
        headers = {
            "Authorization": f"Bearer {KEY}",
            "Accept": accept,
            "Last-Event-ID": last,
        }
        async with watched.door.http.get(watched.door.base + path, headers=headers) as response:
            page = await response.json()
        assert [one["seq"] for one in page["events"]] == expected
    async with watched.door.http.get(
        watched.door.base + path,
        headers={"Authorization": f"Bearer {KEY}", "Last-Event-ID": "the last one"},
    ) as response:
        assert response.status == 400
    async with watched.stream("CA" + "f" * 32) as stream:
        assert stream.response.status == 404


# ------------------------------------------------------------------ with a record in memory


class Moved(Record):
    """A record whose calls and events the test moves."""

    def __init__(self) -> None:
        super().__init__()
        self.story: list[EventRecord] = []
        self.is_away = self.is_draining = False
        self.looks = 0

    async def events(
        self, call_sid: str, after_seq: int = -1, limit: int = 1000
    ) -> list[EventRecord]:
        self.looks += 1
        if self.is_away:
            raise StoreUnavailable("away")
        return [event for event in self.story if event.seq > after_seq][:limit]

    def tell(self, sid: str, *seqs: int) -> None:
        self.story += [EventRecord(sid, seq, START, "verb.started") for seq in seqs]

    def health(self) -> dict[str, Any]:
        return {**super().health(), "draining": self.is_draining, "live": 0}


@pytest.fixture
async def moved(tmp_path: Path) -> AsyncIterator[tuple[Watched, Moved, str]]:
    lists = Moved()
    async with running(tmp_path, Limits(destinations=["1"]), lists=lists) as door:
        _, call = await door.post(
            "/v1/calls",
            json={"to": "19499300360", "from": "18005797676"},
            headers={"Authorization": f"Bearer {KEY}"},
        )
        yield Watched(door, None), lists, call["sid"]  # type: ignore[arg-type]


World = tuple[Watched, Moved, str]


async def test_so_many_streams_and_no_more(moved: World, monkeypatch: pytest.MonkeyPatch) -> None:
    watched, lists, sid = moved
    monkeypatch.setattr(streams, "MOST_STREAMS", 1)
    lists.tell(sid, 0)
    async with watched.stream(sid) as stream:
        assert await stream.next() is not None
        async with watched.stream(sid) as refused:
            assert refused.response.status == 429
            assert refused.response.headers["Retry-After"] == "5"
            problem = json.loads(await refused.response.text())
            assert problem["code"] == codes.TOO_MANY_STREAMS
    looks = lists.looks
    async with asyncio.timeout(PATIENCE_S):  # whoever leaves makes room, and nobody looks any more
        while True:
            async with watched.stream(sid) as stream:
                if stream.response.status == 200:
                    break
                looks = lists.looks
    assert lists.looks >= looks


async def test_a_quiet_stream_is_kept_alive(moved: World, monkeypatch: pytest.MonkeyPatch) -> None:
    watched, lists, sid = moved
    monkeypatch.setattr(pace, "KEEP_ALIVE_S", 0.05)
    async with watched.stream(sid) as stream:
        async with asyncio.timeout(PATIENCE_S):
            while await stream.response.content.readline() != b": still here\n":
                pass
        lists.tell(sid, 0)
        event = await stream.next()
        assert event is not None
        assert event["seq"] == 0


async def test_a_record_that_is_away_for_a_while_is_waited_for(moved: World) -> None:
    watched, lists, sid = moved
    lists.tell(sid, 0)
    async with watched.stream(sid) as stream:
        assert await stream.next() is not None
        lists.is_away = True
        looks = lists.looks
        async with asyncio.timeout(PATIENCE_S):
            while lists.looks == looks:  # noqa: ASYNC110 - another task looks
                await asyncio.sleep(0.01)
        lists.tell(sid, 1)
        lists.is_away = False
        event = await stream.next()
        assert event is not None
        assert event["seq"] == 1


async def test_a_call_that_is_deleted_ends_its_streams(
    moved: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched, lists, sid = moved
    monkeypatch.setattr(pace, "CHECK_S", 0.05)
    lists.tell(sid, 0)
    async with watched.stream(sid) as stream:
        assert await stream.next() is not None
        del lists.kept[sid]
        assert await stream.seqs() == []


async def test_a_server_that_leaves_lets_its_readers_go(moved: World) -> None:
    watched, lists, sid = moved
    lists.tell(sid, 0)
    async with watched.stream(sid) as stream:
        assert await stream.next() is not None
        lists.is_draining = True
        assert await stream.seqs() == []


async def test_a_reader_who_takes_nothing_is_let_go(
    moved: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for him is a page and what the sockets hold, however much there is to tell."""
    watched, lists, sid = moved
    monkeypatch.setattr(streams, "STALLED_S", 0.2)
    long = "x" * 60_000
    lists.story += [EventRecord(sid, seq, START, "warning", {"text": long}) for seq in range(2_000)]
    reader, writer = await asyncio.open_connection("127.0.0.1", watched.door.port, limit=2**16)
    writer.write(
        f"GET /v1/calls/{sid}/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
        f"Authorization: Bearer {KEY}\r\n\r\n".encode()
    )
    async with asyncio.timeout(PATIENCE_S):
        while lists.looks == 0:  # noqa: ASYNC110 - another task looks
            await asyncio.sleep(0.01)
        looks = -1
        while looks != lists.looks:
            looks = lists.looks
            await asyncio.sleep(0.5)
    assert lists.looks < 20  # of the 20 pages there are
    writer.close()
    assert (await reader.read(100)).startswith(b"HTTP/1.1 200")
