"""Rows of recordings, on every database."""

from __future__ import annotations

from dataclasses import replace

import pytest

from doubles.records import a_call
from outdial.store.records import RecordingFilter, RecordingRecord
from outdial.store.store import Store

ONE = RecordingRecord("RE1", "CA1", "RE1.wav", 10.0, 1500, 2, 48044, kind="call")


async def fill(store: Store) -> list[RecordingRecord]:
    """Some, oldest first; two were made at one moment."""
    made = [
        ONE,
        replace(ONE, sid="RE2", created_at=11.0, kind="message", channels=1),
        replace(ONE, sid="RE3", created_at=11.0, kind="conference", channels=1),
        replace(ONE, sid="RE4", call_sid="CA2", created_at=12.0, error="the disk is full"),
    ]
    for recording in made:
        await store.save_recording(recording)
    return made


async def sids(store: Store, wanted: RecordingFilter | None = None) -> list[str]:
    return [one.sid for one in (await store.archive.page(wanted)).recordings]


async def test_recordings_come_newest_first_and_as_they_were_written(store: Store) -> None:
    made = await fill(store)
    page = await store.archive.page()
    assert list(page.recordings) == made[::-1]
    assert page.next_cursor == ""


async def test_recordings_come_by_pages_each_once(store: Store) -> None:
    await fill(store)
    found, cursor = [], ""
    while True:
        page = await store.archive.page(cursor=cursor, limit=1)
        found += [one.sid for one in page.recordings]
        cursor = page.next_cursor
        if not cursor:
            break
    assert found == ["RE4", "RE3", "RE2", "RE1"]


async def test_recordings_are_found_by_call_kind_and_date(store: Store) -> None:
    await fill(store)
    assert await sids(store, RecordingFilter(call_sid="CA2")) == ["RE4"]
    assert await sids(store, RecordingFilter(kind="conference")) == ["RE3"]
    assert await sids(store, RecordingFilter(created_after=11.0)) == ["RE4"]
    assert await sids(store, RecordingFilter(created_before=11.0)) == ["RE1"]
    everything = RecordingFilter("CA1", "message", 10.0, 12.0)
    assert await sids(store, everything) == ["RE2"]
    page = await store.archive.page(RecordingFilter("CA1"), limit=2)
    rest = await store.archive.page(RecordingFilter("CA1"), page.next_cursor, 2)
    assert [one.sid for one in rest.recordings] == ["RE1"]


@pytest.mark.parametrize("cursor", ["x", "é", "MTIz", "MS41IENBIDI", "bm90IGEgbnVtYmVyIFJFMQ"])
async def test_a_cursor_nobody_gave_is_refused(store: Store, cursor: str) -> None:
    with pytest.raises(ValueError, match="not a cursor"):
        await store.archive.page(cursor=cursor)


async def test_files_without_a_row_are_told_from_the_others(store: Store) -> None:
    await fill(store)
    assert await store.archive.without_row(["RE9", "RE1", "RE8"]) == ["RE9", "RE8"]
    assert await store.archive.without_row([]) == []


async def test_a_deleted_recording_is_nowhere_named(store: Store) -> None:
    call, other = a_call(), a_call()
    call.recording_sid, other.recording_sid = "RE1", "RE2"
    for one in (call, other):
        await store.create_call(one)
    await fill(store)
    recording = replace(ONE, call_sid=call.sid)
    await store.save_recording(recording)
    for _ in range(2):
        await store.archive.delete(recording)
    assert await store.recording("RE1") is None
    assert await sids(store) == ["RE4", "RE3", "RE2"]
    found = await store.call(call.sid)
    assert found is not None and found.recording_sid is None
    found = await store.call(other.sid)
    assert found is not None and found.recording_sid == "RE2"
