"""`/v1/recordings`: listed, shown, heard as WAV and MP3, whole and in part, deleted."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contract.conftest import KEY, Door
from outdial import ids
from outdial.calls import codes
from outdial.errors import SoundError
from outdial.speech import decoder, mp3
from outdial.store.records import RecordingRecord
from outdial.testing import audio

AUTH = {"Authorization": f"Bearer {KEY}"}


def keep(door: Door, data: bytes = b"RIFF and so on", **fields: Any) -> RecordingRecord:
    """A recording with its file."""
    sid = ids.new(ids.RECORDING)
    (door.recordings / f"{sid}.wav").write_bytes(data)
    record = replace(RecordingRecord(sid, "CA", f"{sid}.wav", 1_800_000_000.0), **fields)
    door.record.recordings[sid] = record
    return record


def keep_recording(door: Door, data: bytes) -> str:
    """Its URL."""
    return f"{door.base}/v1/recordings/{keep(door, data).sid}.wav"


async def a_call(door: Door) -> str:
    body = {"to": "19499300360", "from": "18005797676"}
    _, call = await door.post("/v1/calls", json=body, headers=AUTH)
    return str(call["sid"])


def tone(seconds: float = 1.0) -> bytes:
    return audio.wav(audio.tone(700, seconds=seconds))


# ------------------------------------------------------------------ the list


async def test_a_recording_is_shown_with_the_paths_of_its_sound(door: Door) -> None:
    kept = keep(door, duration_ms=1500, size_bytes=48_044, kind="message", channels=1)
    shown = {
        "sid": kept.sid,
        "call_sid": "CA",
        "kind": "message",
        "created_at": "2027-01-15T08:00:00.000Z",
        "duration_ms": 1500,
        "channels": 1,
        "size_bytes": 48_044,
        "error": "",
        "wav": f"/v1/recordings/{kept.sid}.wav",
        "mp3": f"/v1/recordings/{kept.sid}.mp3",
    }
    assert await door.get(f"/v1/recordings/{kept.sid}") == (200, shown)
    assert await door.get("/v1/recordings") == (200, {"recordings": [shown], "next_cursor": ""})


async def test_recordings_are_listed_by_pages_and_filters(door: Door) -> None:
    call = await a_call(door)
    start = 1_800_000_000.0
    kept = [
        keep(door, call_sid=call, created_at=start, kind="call"),
        keep(door, call_sid=call, created_at=start + 60, kind="message"),
        keep(door, call_sid="CA2", created_at=start + 120, kind="conference"),
    ]
    names = {one.sid: number for number, one in enumerate(kept)}

    async def listed(query: str) -> list[int]:
        status, page = await door.get(f"/v1/recordings?{query}")
        assert status == 200, page
        return [names[one["sid"]] for one in page["recordings"]]

    assert await listed("") == [2, 1, 0]
    assert await listed(f"call_sid={call}") == [1, 0]
    assert await listed("kind=conference") == [2]
    assert await listed(f"call_sid={call}&kind=call") == [0]
    assert await listed("created_after=2027-01-15T08:00:30Z") == [2, 1]
    assert await listed("created_before=2027-01-15T08:01:30%2B00:00") == [1, 0]
    _, page = await door.get("/v1/recordings?limit=2")
    assert [names[one["sid"]] for one in page["recordings"]] == [2, 1]
    assert await listed(f"limit=2&cursor={page['next_cursor']}") == [0]


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("kind=fax", 400, "kind"),
        ("limit=0", 422, "limit"),
        ("limit=101", 422, "limit"),
        ("cursor=nonsense", 404, "cursor"),
        ("call_sid=CA1", 404, "call_sid"),
        ("created_after=yesterday", 400, "created_after"),
        ("created_before=5", 400, "created_before"),
    ],
)
async def test_bad_questions_are_named(door: Door, query: str, status: int, field: str) -> None:
    got, problem = await door.get(f"/v1/recordings?{query}")
    assert (got, problem["field"]) == (status, field)


# ------------------------------------------------------------------ WAV


async def test_a_recording(door: Door) -> None:
    sid = ids.new(ids.RECORDING)
    (door.recordings / f"{sid}.wav").write_bytes(b"RIFF and so on")
    door.record.recordings[sid] = RecordingRecord(sid, "CA", f"{sid}.wav", 0.0)
    path = f"{door.base}/v1/recordings/{sid}.wav"
    async with door.http.get(path, headers=AUTH) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "audio/wav"
        assert await response.read() == b"RIFF and so on"
    async with door.http.get(path) as response:
        assert response.status == 401


@pytest.mark.parametrize(
    ("wanted", "status", "part", "shown"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=5-99", 206, b"56789", "bytes 5-9/10"),
        ("bytes=9-9", 206, b"9", "bytes 9-9/10"),
        ("bytes=0-9", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=0-", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=0-1,4-5", 200, b"0123456789", None),
        ("bytes=5-2", 200, b"0123456789", None),
        ("bytes=-", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
    ],
)
async def test_a_part_of_a_recording(
    door: Door, wanted: str, status: int, part: bytes, shown: str | None
) -> None:
    path = keep_recording(door, b"0123456789")
    async with door.http.get(path, headers=AUTH | {"Range": wanted}) as response:
        assert response.status == status
        assert await response.read() == part
        assert response.headers.get("Content-Range") == shown
        assert response.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize("wanted", ["bytes=10-", "bytes=99-100", "bytes=-0"])
async def test_a_part_behind_the_end(door: Door, wanted: str) -> None:
    path = keep_recording(door, b"0123456789")
    async with door.http.get(path, headers=AUTH | {"Range": wanted}) as response:
        assert response.status == 416
        assert response.headers["Content-Range"] == "bytes */10"
        assert (await response.json(content_type=None))["code"] == codes.BAD_RANGE


async def test_a_range_of_something_else_is_the_whole(door: Door) -> None:
    path = keep_recording(door, b"0123456789")
    headers = AUTH | {"Range": "bytes=0-3", "If-Range": '"x"'}
    async with door.http.get(path, headers=headers) as response:
        assert (response.status, await response.read()) == (200, b"0123456789")
        etag = response.headers["ETag"]
    async with door.http.get(path, headers=headers | {"If-Range": etag}) as response:
        assert (response.status, await response.read()) == (206, b"0123")


async def test_recordings_leave_no_descriptor_open(door: Door) -> None:
    path = keep_recording(door, bytes(5_000_000))
    async with door.http.get(path, headers=AUTH) as response:
        assert len(await response.read()) == 5_000_000
    before = len(os.listdir("/proc/self/fd"))
    for wanted in ("bytes=0-9", "bytes=5000000-", ""):
        for _ in range(5):
            async with door.http.get(path, headers=AUTH | {"Range": wanted}) as response:
                await response.read()
    for _ in range(5):  # and clients that leave in the middle
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        place = path.removeprefix(door.base)
        writer.write(f"GET {place} HTTP/1.1\r\nHost: x\r\napikey: {KEY}\r\n\r\n".encode())
        await reader.readexactly(1000)
        writer.transport.abort()
    for _ in range(100):
        if len(os.listdir("/proc/self/fd")) <= before:
            break
        await asyncio.sleep(0.02)
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize("how", ["no file", "a link", "no row", "traversal", "malformed"])
async def test_a_recording_that_is_not_there(door: Door, how: str) -> None:
    sid = ids.new(ids.RECORDING)
    if how == "a link":
        (door.recordings / f"{sid}.wav").symlink_to("/etc/passwd")
    if how != "no row":
        door.record.recordings[sid] = RecordingRecord(sid, "CA", f"{sid}.wav", 0.0)
    else:
        (door.recordings / f"{sid}.wav").write_bytes(b"RIFF")
    name = {"traversal": "..%2F..%2Fetc%2Fpasswd", "malformed": "RE12"}.get(how, sid)
    status, problem = await door.get(f"/v1/recordings/{name}.wav")
    assert (status, problem["status"]) == (404, 404)


async def test_headers_alone_say_what_the_sound_would_be(door: Door) -> None:
    kept = keep(door, tone())
    for ending, kind in (("wav", "audio/wav"), ("mp3", "audio/mpeg")):
        path = f"{door.base}/v1/recordings/{kept.sid}.{ending}"
        async with door.http.get(path, headers=AUTH) as whole:
            data = await whole.read()
        async with door.http.head(path, headers=AUTH) as response:
            assert (response.status, await response.read()) == (200, b"")
            assert response.headers["Content-Type"] == kind
            assert response.headers["Content-Length"] == str(len(data))
            assert response.headers["ETag"] == whole.headers["ETag"]
            assert response.headers["Accept-Ranges"] == "bytes"
        async with door.http.head(path, headers=AUTH | {"Range": "bytes=10-19"}) as response:
            assert (response.status, response.headers["Content-Length"]) == (206, "10")
        async with door.http.head(path) as response:
            assert response.status == 401


async def test_what_the_client_has_is_not_sent_again(door: Door) -> None:
    kept = keep(door, tone())
    for ending in ("wav", "mp3"):
        path = f"{door.base}/v1/recordings/{kept.sid}.{ending}"
        async with door.http.get(path, headers=AUTH) as response:
            etag = response.headers["ETag"]
        for seen in (etag, f'"x", W/{etag}', "*"):
            wanted = AUTH | {"If-None-Match": seen, "Range": "bytes=99999999-"}
            async with door.http.get(path, headers=wanted) as response:
                assert (response.status, await response.read()) == (304, b"")
                assert response.headers["ETag"] == etag
        async with door.http.get(path, headers=AUTH | {"If-None-Match": '"x"'}) as response:
            assert response.status == 200


# ------------------------------------------------------------------ MP3


async def test_a_recording_is_heard_as_mp3(door: Door) -> None:
    kept = keep(door, tone(2.0))
    path = f"{door.base}/v1/recordings/{kept.sid}.mp3"
    async with door.http.get(path, headers=AUTH) as response:
        data = await response.read()
        assert (response.status, response.headers["Content-Type"]) == (200, "audio/mpeg")
        assert response.headers["Content-Length"] == str(len(data))
    sound = audio.Sound(_samples(data), 8000)
    assert sound.duration_s == pytest.approx(2.0, abs=0.15)
    assert audio.tone_share(sound.cut(0.2, 1.9), 700) > 0.95
    async with door.http.get(path, headers=AUTH | {"Range": "bytes=-300"}) as response:
        assert (response.status, await response.read()) == (206, data[-300:])
        assert response.headers["Content-Range"].endswith(f"/{len(data)}")
    behind = AUTH | {"Range": f"bytes={len(data)}-"}
    async with door.http.get(path, headers=behind) as response:
        assert response.status == 416
        assert response.headers["Content-Range"] == f"bytes */{len(data)}"


def _samples(data: bytes) -> Any:
    import numpy as np

    pcm = b"".join(decoder.decode(data, 60))
    return np.frombuffer(pcm, dtype="<i2") / 32768


async def test_what_is_no_recording_of_ours_is_not_made_into_mp3(door: Door) -> None:
    kept = keep(door, b"RIFF and so on")
    status, problem = await door.get(f"/v1/recordings/{kept.sid}.mp3")
    assert (status, problem["code"], problem["field"]) == (406, codes.NO_MP3, "sid")
    assert "it can as .wav" in problem["detail"]


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (mp3.Mp3Busy("too many MP3s are being made"), 503, codes.MP3_AWAY),
        (SoundError("the installed FFmpeg has no MP3 coder (libmp3lame)"), 406, codes.NO_MP3),
    ],
)
async def test_why_there_is_no_mp3_now_is_said(
    door: Door, monkeypatch: pytest.MonkeyPatch, failure: Exception, status: int, code: int
) -> None:
    async def fails(*_: object) -> bytes:
        raise failure

    monkeypatch.setattr(mp3.Mp3s, "_make", fails)
    kept = keep(door, tone())
    path = f"{door.base}/v1/recordings/{kept.sid}.mp3"
    async with door.http.get(path, headers=AUTH) as response:
        problem = await response.json(content_type=None)
        assert (response.status, problem["code"]) == (status, code)
        assert str(failure) in problem["detail"]
        assert ("Retry-After" in response.headers) == (status == 503)
    async with door.http.head(path, headers=AUTH) as response:
        assert response.status == 200


# ------------------------------------------------------------------ deleting


async def delete(door: Door, sid: str) -> tuple[int, Any]:
    async with door.http.delete(f"{door.base}/v1/recordings/{sid}", headers=AUTH) as response:
        return response.status, await response.json(content_type=None)


async def test_a_deleted_recording_is_gone_with_its_file(door: Door) -> None:
    kept, other = keep(door, tone()), keep(door, tone())
    prompt = door.recordings / f"{kept.sid}.ulaw"
    prompt.write_bytes(b"x")
    assert (await door.get(f"/v1/recordings/{kept.sid}"))[0] == 200
    async with door.http.get(f"{door.base}/v1/recordings/{kept.sid}.mp3", headers=AUTH) as response:
        assert len(await response.read()) > 1000
    for _ in range(2):
        assert await delete(door, kept.sid) == (204, None)
    assert sorted(door.recordings.iterdir()) == [door.recordings / f"{other.sid}.wav"]
    for ending in ("", ".wav", ".mp3"):
        assert (await door.get(f"/v1/recordings/{kept.sid}{ending}"))[0] == 404
    told = {"recording": kept.sid, "key": "dev"}
    assert door.record.archive.notes == [("recording.deleted", "CA", told)]
    assert (await door.get(f"/v1/recordings/{other.sid}"))[0] == 200


async def test_a_recording_without_a_file_can_be_deleted(door: Door) -> None:
    kept = keep(door)
    (door.recordings / f"{kept.sid}.wav").unlink()
    assert await delete(door, kept.sid) == (204, None)
    assert not door.record.recordings


async def test_a_file_without_a_row_is_not_deleted(door: Door) -> None:
    """It is being recorded just now."""
    kept = keep(door)
    door.record.recordings.clear()
    assert await delete(door, kept.sid) == (204, None)
    assert (door.recordings / f"{kept.sid}.wav").exists()


@pytest.mark.parametrize("sid", ["RE1", "..%2f..%2fetc%2fpasswd", "CA" + "0" * 32, "RE" + "G" * 32])
async def test_what_is_no_sid_cannot_be_deleted(door: Door, sid: str) -> None:
    status, problem = await delete(door, sid)
    assert (status, problem["status"]) == (404, 404)


async def test_a_sound_is_deleted_by_its_recording(door: Door) -> None:
    kept = keep(door)
    for ending in ("wav", "mp3"):
        path = f"{door.base}/v1/recordings/{kept.sid}.{ending}"
        async with door.http.delete(path, headers=AUTH) as response:
            assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")


async def test_a_link_is_removed_and_not_what_it_leads_to(door: Door, tmp_path: Path) -> None:
    kept, precious = keep(door), tmp_path / "precious"
    precious.write_text("x")
    path = door.recordings / f"{kept.sid}.wav"
    path.unlink()
    path.symlink_to(precious)
    assert await delete(door, kept.sid) == (204, None)
    assert precious.read_text() == "x"
    assert not path.is_symlink()


async def test_what_cannot_be_removed_stays_with_its_row(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = keep(door)

    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", refuse)
    status, problem = await delete(door, kept.sid)
    assert (status, problem["code"]) == (503, codes.RECORDING_STAYS)
    assert "Read-only file system" in problem["detail"]
    assert kept.sid in door.record.recordings
    monkeypatch.undo()
    assert await delete(door, kept.sid) == (204, None)
