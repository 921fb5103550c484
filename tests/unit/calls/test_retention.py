"""What is old goes with all that belongs to it, and nothing else: on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from doubles.world import until
from outdial import ids
from outdial.calls import retention
from outdial.calls.retention import Sweeper
from outdial.config import Retention
from outdial.errors import StoreConflict, StoreUnavailable
from outdial.legs import TracedMessage
from outdial.store.records import (
    CallRecord,
    Change,
    DeliveryRecord,
    EventRecord,
    FaxRecord,
    IdempotencyRecord,
    MessageRecord,
    RecordingRecord,
)
from outdial.store.store import Store
from outdial.testing.clock import FakeClock

DAY_S = 86_400.0
MADE_AT = 1_800_000_000.0
MESSAGE = TracedMessage(MADE_AT, True, "192.0.2.1:5060", "udp", b"INVITE sip:x SIP/2.0\r\n\r\n")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/a.db"
    made: str = request.getfixturevalue("new_database")()
    return made


class Kept:
    """A store with calls in it, recordings on disk, and a clock."""

    def __init__(self, store: Store, clock: FakeClock, folder: Path) -> None:
        self.store = store
        self.clock = clock
        self.folder = folder
        self.number = 0

    def sweeper(self, **days: float) -> Sweeper:
        settings = Retention.model_validate(days)
        return Sweeper(self.store.expiry, settings, self.folder, self.clock, pause_s=0.0)

    async def add(
        self, day: float = 0.0, *, ended: bool = True, delivery: str = "done", **fields: Any
    ) -> str:
        """A call made so many days after `MADE_AT`, with everything a call can have."""
        self.number += 1
        at = MADE_AT + day * DAY_S
        sid = f"{ids.CALL}{int(at * 1000):012x}{self.number:020x}"
        call = CallRecord(
            sid, sid, "outbound", "18005797676", "19499300360", "",
            "completed" if ended else "answered", at,
            ended_at=at + 60 if ended else None, **fields,
        )  # fmt: skip
        events = [EventRecord(sid, seq, at + seq, "state.queued", {}) for seq in range(3)]
        callback = DeliveryRecord(
            ids.of_delivery(sid, 2), sid, sid, 0, "completed", "http://a.test/", "POST", (), at,
            state=delivery, next_at=at,
        )  # fmt: skip
        token = IdempotencyRecord("dev", sid, "digest", sid, "{}", at)
        await self.store.create_call(call, events, [callback], token)
        self.store.save_ladder(sid, [MESSAGE])
        recording = ids.new(ids.RECORDING)
        path = self.folder / f"{recording}.wav"
        path.write_bytes(b"RIFF")
        await self.store.save_recording(RecordingRecord(recording, sid, path.name, at + 60))
        return sid

    async def left(self, sid: str) -> dict[str, int]:
        """How much there is of a call."""
        store = self.store
        recordings = await store.recordings(sid)
        feed = await store.feed(limit=1000)
        found = {
            "call": int(await store.call(sid) is not None),
            "events": len(await store.events(sid)),
            "deliveries": len(await store.deliveries(sid)),
            "ladder": len(await store.ladder(sid)),
            "recordings": len(recordings),
            "files": sum((self.folder / f"{one.sid}.wav").exists() for one in recordings),
            "feed": sum(line.call.sid == sid for line in feed),
            "token": int(await store.idempotent("dev", sid) is not None),
        }
        return {name: count for name, count in found.items() if count}


EVERYTHING = {
    "call": 1, "events": 3, "deliveries": 1, "ladder": 1,
    "recordings": 1, "files": 1, "feed": 3, "token": 1,
}  # fmt: skip


def without(*names: str) -> dict[str, int]:
    return {name: count for name, count in EVERYTHING.items() if name not in names}


@pytest.fixture
async def kept(url: str, tmp_path: Path) -> AsyncIterator[Kept]:
    clock = FakeClock(MADE_AT)
    store = await Store.open(url, clock)
    folder = tmp_path / "recordings"
    folder.mkdir()
    yield Kept(store, clock, folder)
    await store.close()


async def test_old_calls_go_with_all_they_have(kept: Kept) -> None:
    old, young = await kept.add(0), await kept.add(8)
    await kept.clock.advance(10 * DAY_S)
    assert await kept.left(old) == EVERYTHING
    sweeper = kept.sweeper(calls_days=7, idempotency_hours=7 * 24)
    assert await sweeper.sweep()
    assert await kept.left(old) == {}
    assert await kept.left(young) == EVERYTHING
    assert len(list(kept.folder.iterdir())) == 1
    await kept.clock.advance(6 * DAY_S)
    await sweeper.sweep()
    assert await kept.left(young) == {}
    assert list(kept.folder.iterdir()) == []
    assert await kept.store.expiry.delete_feed(1000) == 0, "the feed has no lines of them either"


async def test_nothing_is_deleted_unless_the_settings_say_so(kept: Kept) -> None:
    old = await kept.add(0)
    await kept.clock.advance(10_000 * DAY_S)
    assert await kept.sweeper().sweep()
    assert await kept.left(old) == without("token")


async def test_live_calls_and_callbacks_that_are_due_keep_a_call(kept: Kept) -> None:
    live = await kept.add(0, ended=False)
    telling = await kept.add(0, delivery="pending")
    dead = await kept.add(0, delivery="dead")
    await kept.clock.advance(100 * DAY_S)
    sweeper = kept.sweeper(calls_days=1, ladders_days=1, recordings_days=1)
    await sweeper.sweep()
    assert await kept.left(live) == without("token")
    assert await kept.left(telling) == without("token", "ladder", "recordings", "files")
    assert await kept.left(dead) == {}
    # once it is told, it goes
    (callback,) = await kept.store.deliveries(telling)
    kept.store.settle_delivery(replace(callback, state="done", done_at=kept.clock.now()))
    await kept.store.flush()
    await sweeper.sweep()
    assert await kept.left(telling) == {}
    assert await kept.left(live) == without("token")


async def test_recordings_and_ladders_may_go_before_their_calls(kept: Kept) -> None:
    old, young = await kept.add(0), await kept.add(5)
    await kept.clock.advance(6 * DAY_S)
    await kept.sweeper(recordings_days=3, idempotency_hours=1000).sweep()
    assert await kept.left(old) == without("recordings", "files")
    await kept.sweeper(ladders_days=3, idempotency_hours=1000).sweep()
    assert await kept.left(old) == without("recordings", "files", "ladder")
    assert await kept.left(young) == EVERYTHING
    assert len(list(kept.folder.iterdir())) == 1


async def test_recordings_of_no_call_go_when_calls_of_their_age_do(kept: Kept) -> None:
    old, new = (RecordingRecord(ids.new(ids.RECORDING), "", "", MADE_AT + day) for day in (0, 1e6))
    for one in (old, new):
        await kept.store.archive.add(one)
        await kept.store.archive.add(replace(one, channels=1))
        (kept.folder / f"{one.sid}.wav").write_bytes(b"RIFF")
    await kept.clock.advance(3 * DAY_S)
    await kept.sweeper(ladders_days=1).sweep()
    assert await kept.store.recording(old.sid) == old, "what has a row keeps it"
    await kept.sweeper(calls_days=2).sweep()
    assert await kept.store.recording(old.sid) is None
    assert await kept.store.recording(new.sid) == new
    assert [path.name for path in kept.folder.iterdir()] == [f"{new.sid}.wav"]


async def test_faxes_go_with_the_recordings_and_at_the_latest_with_their_calls(kept: Kept) -> None:
    sid = await kept.add(0)
    fax = FaxRecord(ids.new(ids.FAX), sid, MADE_AT + 50, "Complete", 1, 1, "", 900)
    message = MessageRecord("SM1", sid, "1", "2", "hello", "sent", MADE_AT, MADE_AT + 1)
    await kept.store.commit(Change(sid, faxes=(fax,), messages=(message,)))
    file = kept.folder / f"{fax.sid}.pdf"
    file.write_bytes(b"%PDF")
    assert await kept.store.fax(fax.sid) == fax
    await kept.clock.advance(4 * DAY_S)
    await kept.sweeper(recordings_days=5).sweep()
    assert file.exists()
    await kept.sweeper(recordings_days=3).sweep()
    assert not file.exists()
    assert await kept.store.fax(fax.sid) is None
    assert len(await kept.store.messages(sid)) == 1
    await kept.store.commit(Change(sid, faxes=(fax,)))
    file.write_bytes(b"%PDF")
    await kept.sweeper(calls_days=3).sweep()
    assert not file.exists()
    assert await kept.store.fax(fax.sid) is None
    assert await kept.store.messages(sid) == []


async def test_a_token_is_kept_for_its_time_and_can_then_be_used_again(kept: Kept) -> None:
    sid = await kept.add(0)
    await kept.clock.advance(DAY_S - 1)
    await kept.sweeper().sweep()
    assert await kept.store.idempotent("dev", sid)
    await kept.clock.advance(2)
    await kept.sweeper().sweep()
    assert await kept.store.idempotent("dev", sid) is None
    other = ids.new(ids.CALL)
    call = CallRecord(other, other, "outbound", "1", "2", "", "queued", kept.clock.now())
    again = IdempotencyRecord("dev", sid, "digest", other, "{}", kept.clock.now())
    await kept.store.create_call(call, (), (), again)
    with pytest.raises(StoreConflict):
        await kept.store.create_call(replace(call, sid=ids.new(ids.CALL)), (), (), again)


async def test_a_file_goes_by_the_recordings_id_and_not_by_what_a_row_says(
    kept: Kept, tmp_path: Path
) -> None:
    sid = await kept.add(0)
    outside = tmp_path / "RE.wav"
    outside.write_bytes(b"precious")
    for path in ("../RE.wav", str(outside), "x.wav"):
        row = RecordingRecord(ids.new(ids.RECORDING), sid, path, MADE_AT)
        await kept.store.save_recording(row)
    await kept.store.save_recording(RecordingRecord("../RE", sid, "../RE.wav", MADE_AT))
    linked = ids.new(ids.RECORDING)
    (kept.folder / f"{linked}.wav").symlink_to(outside)
    await kept.store.save_recording(RecordingRecord(linked, sid, f"{linked}.wav", MADE_AT))
    stuck = ids.new(ids.RECORDING)
    (kept.folder / f"{stuck}.wav").mkdir()  # cannot be unlinked
    await kept.store.save_recording(RecordingRecord(stuck, sid, f"{stuck}.wav", MADE_AT))
    await kept.clock.advance(10 * DAY_S)
    await kept.sweeper(recordings_days=1).sweep()
    assert outside.read_bytes() == b"precious"
    assert await kept.store.recordings(sid) == []
    assert [path.name for path in kept.folder.iterdir()] == [f"{stuck}.wav"]


async def test_a_round_is_bounded_and_the_next_goes_on(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 3)
    monkeypatch.setattr(retention, "BATCHES", 2)
    sids = [await kept.add(0) for _ in range(10)]
    await kept.clock.advance(10 * DAY_S)
    sweeper = kept.sweeper(calls_days=1, idempotency_hours=1000)
    left = []
    for _ in range(3):
        left.append((await sweeper.sweep(), [await kept.left(sid) for sid in sids].count({})))
    assert left[0][0] is False
    assert [count for _, count in left] == [0, 0, 0]
    calls = [await kept.store.call(sid) for sid in sids]
    assert calls == [None] * 10


async def test_what_was_deleted_is_logged(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        await kept.add(0)
    await kept.clock.advance(10 * DAY_S)
    lines: list[tuple[str, dict[str, Any]]] = []

    class Log:
        def info(self, event: str, **data: Any) -> None:
            lines.append((event, data))

    monkeypatch.setattr(retention, "_log", Log())
    sweeper = kept.sweeper(calls_days=1, ladders_days=2, recordings_days=2)
    await sweeper.sweep()
    await sweeper.sweep()
    told = {"recordings": 3, "ladders": 3, "calls": 3, "idempotency": 3}
    assert lines == [("retention.deleted", told)]


async def test_it_goes_on_when_the_store_was_away_and_ends_when_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "EVERY_S", 0.0)
    asked: list[float] = []

    class Away:
        async def delete_tokens(self, before: float, most: int) -> int:
            asked.append(before)
            if len(asked) == 1:
                raise StoreUnavailable("away")
            return 0

    clock = FakeClock(MADE_AT)
    expiry: Any = Away()
    sweeper = Sweeper(expiry, Retention(), tmp_path, clock)
    monkeypatch.setattr(retention, "SOON_S", 0.0)
    sweeper.start()
    await until(lambda: len(asked) >= 3)
    await sweeper.stop()
    await sweeper.stop()
    assert set(asked) == {MADE_AT - DAY_S}
