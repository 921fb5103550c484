"""The API over real HTTP, on a free port; calls and record behind it are only lists."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from doubles.numbers import StoredNumbers
from outdial import ids
from outdial.api import record
from outdial.api.app import create_app
from outdial.api.server import HttpServer
from outdial.api.trunks import TrunkBoard
from outdial.calls import codes
from outdial.calls.archive import Recordings
from outdial.calls.called_numbers import CalledNumbers
from outdial.calls.commands import Command
from outdial.calls.conferences import Conferences
from outdial.calls.queues import Queues
from outdial.calls.repeats import Repeatable
from outdial.calls.request import CallRequest
from outdial.calls.standing import Standing, Standings
from outdial.clock import SystemClock
from outdial.config import Limits, Number, Settings, Storage, Trunk
from outdial.errors import Refused, StoreConflict
from outdial.key_keeper import KeyKeeper
from outdial.key_rules import KeyRules
from outdial.legs import TracedMessage
from outdial.net.addresses import AddressPolicy, check_url
from outdial.sip.core import bans
from outdial.speech.mp3 import Mp3s
from outdial.speech.pool import HelperPool
from outdial.store.records import (
    CallFilter,
    CallPage,
    CallRecord,
    DeliveryFilter,
    DeliveryPage,
    DeliveryRecord,
    EventRecord,
    FaxRecord,
    FeedEvent,
    IdempotencyRecord,
    KeyRecord,
    RecordingFilter,
    RecordingPage,
    RecordingRecord,
    Usage,
)
from outdial.stored_file import SealingKeys
from outdial.trunk_state import TrunkMessages, TrunkState

KEY = "YOURSECRECTAPIKEY"
TRUNKS = [
    Trunk(name="carrier", address="sip.carrier.example", concurrent_calls=30),
    Trunk(name="spare", address="203.0.113.5:5070", prefixes=["1", "44"]),
]
V2 = "/didforsaleapi/index.php/api/V2/CallTermination/"


@dataclass
class Rows:
    """The rows of recordings in memory."""

    kept: dict[str, RecordingRecord]
    notes: list[tuple[str, str, Mapping[str, Any]]] = field(default_factory=list)

    async def page(
        self, wanted: RecordingFilter | None = None, cursor: str = "", limit: int = 50
    ) -> RecordingPage:
        assert wanted is not None
        fit = [
            one
            for one in sorted(self.kept.values(), key=lambda one: -one.created_at)
            if wanted.call_sid in ("", one.call_sid)
            and wanted.kind in ("", one.kind)
            and (wanted.created_after is None or one.created_at > wanted.created_after)
            and (wanted.created_before is None or one.created_at < wanted.created_before)
        ]
        start = int(cursor or 0)
        more = str(start + limit) if len(fit) > start + limit else ""
        return RecordingPage(tuple(fit[start : start + limit]), more)

    async def delete(self, recording: RecordingRecord) -> None:
        del self.kept[recording.sid]

    def note(self, kind: str, sid: str, data: Mapping[str, Any]) -> None:
        self.notes.append((kind, sid, data))


class BanList:
    """Two addresses are banned."""

    def __init__(self) -> None:
        made = bans.Bans(1, 600.0)
        made.offend("198.51.100.7", "denied", 0.0)
        made.offend("2001:db8::7", "malformed", 60.0)
        self._made = made

    def listed(self) -> list[bans.Ban]:
        return self._made.listed(60.0)

    def lift(self, address: str) -> bool:
        return self._made.lift(address)


class KeyShelf:
    """The stored API keys in memory."""

    def __init__(self) -> None:
        self.kept: list[KeyRecord] = []

    async def keys(self) -> list[KeyRecord]:
        return list(self.kept)

    async def add_key(self, key: KeyRecord) -> None:
        self.kept.append(key)

    async def replace_key(self, successor: KeyRecord, old: Iterable[KeyRecord], at: float) -> None:
        gone = [key.id for key in old]
        self.kept = [replace(k, revoked_at=at) if k.id in gone else k for k in self.kept]
        self.kept.append(successor)

    async def revoke_key(self, name: str) -> list[KeyRecord]:
        now = SystemClock().now()
        fit = [key for key in self.kept if name in (key.name, key.id) and key.is_valid(now)]
        self.kept = [replace(k, revoked_at=now) if k in fit else k for k in self.kept]
        return fit


@dataclass
class Record:
    """A store in memory, and the call service that fills it."""

    placed: list[tuple[CallRequest, str]] = field(default_factory=list)
    commands: list[tuple[str, Command, str]] = field(default_factory=list)
    has_node_answered: bool = True
    """Whether the server that has the call has said what came of the command."""
    kept: dict[str, CallRecord] = field(default_factory=dict)
    recordings: dict[str, RecordingRecord] = field(default_factory=dict)
    faxes: dict[str, FaxRecord] = field(default_factory=dict)
    refusal: Exception | None = None
    """Raised by every `place`."""
    refusals: list[Exception] = field(default_factory=list)
    """Each raised by one `place`."""
    positions: dict[str, int] = field(default_factory=dict)
    """Where calls wait on this server."""
    bans: BanList = field(default_factory=BanList)
    trunk_states: list[TrunkState] = field(default_factory=list)
    trunk_messages: TrunkMessages = field(default_factory=TrunkMessages)
    usage_of: list[tuple[float, float]] = field(default_factory=list)
    """The times whose usage was asked for."""
    blind_reads: int = 0
    """So many times no post of a token is found."""
    key_names: dict[str, str] = field(default_factory=lambda: {KEY: "dev"})
    rules: dict[str, KeyRules] = field(default_factory=dict)
    """Of the keys that may not do all."""
    repeats: dict[tuple[str, str], IdempotencyRecord] = field(default_factory=dict)
    callbacks: dict[str, DeliveryRecord] = field(default_factory=dict)
    replayed: list[str] = field(default_factory=list)
    verified: list[str] = field(default_factory=list)
    ready: bool = True
    conferences: Conferences = field(default_factory=Conferences)
    queues: Queues = field(default_factory=Queues)
    numbers: StoredNumbers = field(default_factory=StoredNumbers)
    stored_keys: KeyShelf = field(default_factory=KeyShelf)
    archive: Rows = field(init=False)

    def __post_init__(self) -> None:
        self.archive = Rows(self.recordings)

    async def place(
        self, request: CallRequest, key_name: str, repeatable: Repeatable | None = None
    ) -> CallRecord:
        await asyncio.sleep(0)  # as the commit of the real one, which others may come before
        if self.refusal is not None:
            raise self.refusal
        if self.refusals:
            raise self.refusals.pop()
        sid = ids.new(ids.CALL)
        record = CallRecord(
            sid=sid,
            parent_sid=sid,
            direction="outbound",
            from_number=request.from_,
            to_number=request.to,
            caller_name=request.caller_name,
            state="queued",
            created_at=1_800_000_000.0 + len(self.kept),
            key_name=key_name,
            request=request.to_json(),
        )
        if repeatable is not None:
            repeat = repeatable.record_of(record)
            if (key_name, repeat.token) in self.repeats:
                raise StoreConflict("there is a post of this token")
            self.repeats[key_name, repeat.token] = repeat
        self.placed.append((request, key_name))
        self.kept[sid] = record
        return record

    async def command(self, sid: str, command: Command, by: str) -> bool:
        if self.refusal is not None:
            raise self.refusal
        call = self.kept[sid]
        if call.state in ("completed", "queued"):
            raise Refused(409, codes.NOT_ANSWERED, f"the call is {call.state}", field="sid")
        self.commands.append((sid, command, by))
        return self.has_node_answered

    async def hang_up(self, sid: str, by: str = "") -> bool:
        call = self.kept.get(sid)
        if call is None:
            raise Refused(404, codes.UNKNOWN_CALL, "no such call")
        live = call.state != "completed"
        call.state = "completed"
        call.outcome = "canceled"
        call.ended_at = call.created_at + 1
        return live

    def position(self, sid: str) -> int | None:
        return self.positions.get(sid)

    def ended(self) -> Mapping[tuple[str, str], int]:
        return {("canceled", "originator-cancel"): 1}

    def health(self) -> dict[str, Any]:
        live = len(self.kept)
        return {"ready": self.ready, "draining": False, "live": live, "queued": 0, "checks": {}}

    async def call(self, sid: str) -> CallRecord | None:
        return self.kept.get(sid)

    async def calls(
        self, wanted: CallFilter | None = None, cursor: str = "", limit: int = 50
    ) -> CallPage:
        assert wanted is not None
        fit = [
            call
            for call in reversed(self.kept.values())
            if wanted.state in ("", call.state)
            and wanted.outcome in ("", call.outcome or "")
            and wanted.to_number in ("", call.to_number)
            and wanted.from_number in ("", call.from_number)
            and (wanted.created_after is None or call.created_at > wanted.created_after)
            and (wanted.created_before is None or call.created_at < wanted.created_before)
        ]
        start = int(cursor) if cursor else 0
        more = str(start + limit) if len(fit) > start + limit else ""
        return CallPage(tuple(fit[start : start + limit]), more)

    async def events(
        self, call_sid: str, after_seq: int = -1, limit: int = 1000
    ) -> list[EventRecord]:
        everything = [EventRecord(call_sid, n, 1_800_000_000.0 + n, "state.queued") for n in (0, 1)]
        return [event for event in everything if event.seq > after_seq][:limit]

    async def ladder(self, call_sid: str) -> list[TracedMessage]:
        raw = b"INVITE sip:19499300360@127.0.0.1 SIP/2.0\r\nCall-ID: x\r\n\r\n"
        return [TracedMessage(1_800_000_000.5, True, "127.0.0.1:5090", "udp", raw)]

    def told(self, call_sid: str) -> list[DeliveryRecord]:
        """A call's callbacks, the same each time."""
        sid = ids.of_delivery(call_sid, 1)
        if sid in self.callbacks:
            return [self.callbacks[sid]]
        self.callbacks[sid] = made = self._told(call_sid)
        return [made]

    async def deliveries(self, call_sid: str) -> list[DeliveryRecord]:
        return self.told(call_sid)

    async def delivery(self, sid: str) -> DeliveryRecord | None:
        for call in self.kept:
            self.told(call)
        return self.callbacks.get(sid)

    async def delivery_page(
        self, wanted: DeliveryFilter | None = None, cursor: str = "", limit: int = 50
    ) -> DeliveryPage:
        assert wanted is not None
        found = [one for call in reversed(self.kept) for one in self.told(call)]
        fit = [one for one in found if wanted.state in ("", one.state)]
        start = int(cursor) if cursor else 0
        more = str(start + limit) if len(fit) > start + limit else ""
        return DeliveryPage(tuple(fit[start : start + limit]), more)

    async def feed(self, after: str = "", limit: int = 100) -> list[FeedEvent]:
        if after and not (after.isascii() and after.isdigit()):
            raise ValueError(after)
        found = [
            FeedEvent(str(number), EventRecord(sid, 0, call.created_at, "state.queued"), call)
            for number, (sid, call) in enumerate(self.kept.items(), 1)
        ]
        return found[int(after or 0) :][:limit]

    async def replay(self, delivery: DeliveryRecord) -> None:
        self.replayed.append(delivery.id)
        delivery.state = "pending"

    async def replay_dead(self, call_sid: str = "", since: float | None = None) -> int:
        self.replayed.append(f"{call_sid} {since}")
        return 3

    def _told(self, call_sid: str) -> DeliveryRecord:
        return DeliveryRecord(
            id=ids.of_delivery(call_sid, 1),
            call_sid=call_sid,
            lane=call_sid,
            position=0,
            event="completed",
            url="http://127.0.0.1:9000/events",
            method="POST",
            params=(("apikey", "hidden"),),
            created_at=1_800_000_000.0,
            next_at=1_800_000_009.0,
            event_id=ids.of_event(call_sid, 1),
        )

    def standings(self) -> Standings:
        key = Standing("dev", len(self.kept), 0, 0, 5)
        trunk = Standing("carrier", len(self.kept), 0, 2.5, 0)
        return Standings(Standing("", len(self.kept), 0, 10, 500), (key,), (trunk,))

    async def usage(self, since: float, until: float) -> list[Usage]:
        self.usage_of.append((since, until))
        return [
            Usage("dev", "carrier", "completed", 3, 3, 61.23456),
            Usage("dev", "carrier", "", 1, 1, 0.0),
            Usage("dev", "", "canceled", 1, 0, 0.0),
        ]

    async def fax(self, sid: str) -> FaxRecord | None:
        return self.faxes.get(sid)

    async def recording(self, sid: str) -> RecordingRecord | None:
        return self.recordings.get(sid)

    async def queue_position(self, call: CallRecord) -> int:
        return 7

    async def idempotent(self, key_name: str, token: str) -> IdempotencyRecord | None:
        await asyncio.sleep(0)
        if self.blind_reads:
            self.blind_reads -= 1
            return None
        return self.repeats.get((key_name, token))

    def verify(self, presented: str) -> KeyRules | None:
        self.verified.append(presented)
        name = self.key_names.get(presented)
        return None if name is None else self.rules.get(name) or KeyRules(name)


@dataclass
class Door:
    """A running API."""

    base: str
    http: aiohttp.ClientSession
    record: Record
    recordings: Path
    port: int

    async def v2(self, **params: str) -> tuple[int, dict[str, Any]]:
        """A form post with the key and two good numbers, unless `params` say otherwise."""
        form = {"apikey": KEY, "from": "18005797676", "to": "19499300360"} | params
        return await self.post(data=form)

    async def post(self, path: str = V2, **how: Any) -> tuple[int, dict[str, Any]]:
        """Any post; status and JSON answer."""
        async with self.http.post(self.base + path, **how) as response:
            return response.status, await response.json(content_type=None)

    async def get(self, path: str, **how: Any) -> tuple[int, dict[str, Any]]:
        """A GET with the key."""
        headers = {"Authorization": f"Bearer {KEY}"}
        async with self.http.get(self.base + path, headers=headers, **how) as response:
            return response.status, await response.json(content_type=None)


@asynccontextmanager
async def running(
    folder: Path,
    limits: Limits,
    store: record.Record | None = None,
    lists: Record | None = None,
    sealing: SealingKeys | None = None,
    allow_private: Sequence[str] = ("127.0.0.0/8",),
) -> AsyncIterator[Door]:
    """The API under those limits, recordings in that folder; what it reads may be a real store."""
    lists = lists or Record()
    policy = AddressPolicy(allow_private)
    given = [Number(number="18005550100", url="https://app.example.com/given.xml")]
    settings = Settings(limits=limits, storage=Storage(recordings=str(folder)), numbers=given)
    pool = HelperPool()
    mp3s = Mp3s(pool)
    app = create_app(
        calls=lists,
        store=store or lists,
        replays=lists,
        numbers=CalledNumbers(given, lists.numbers, SystemClock()),
        recordings=Recordings(folder, lists.archive, lists.archive, mp3s),
        sealing=sealing or SealingKeys(),
        mp3s=mp3s,
        bans=lists.bans,
        trunks=TrunkBoard(
            TRUNKS, lambda: lists.trunk_states, messages=lambda name: lists.trunk_messages
        ),
        keys=lists,
        keeper=KeyKeeper(lists.stored_keys, ["given"], SystemClock()),
        settings=settings,
        check_url=lambda url: check_url(url, policy),
    )
    server = HttpServer("127.0.0.1", 0)
    await server.start(app)
    base = f"http://127.0.0.1:{server.port}"
    try:
        async with aiohttp.ClientSession() as http:
            yield Door(base, http, lists, folder, server.port)
    finally:
        await server.stop()
        await mp3s.stop()
        await pool.stop()


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with running(tmp_path, Limits(destinations=["1", "44"])) as opened:
        yield opened
