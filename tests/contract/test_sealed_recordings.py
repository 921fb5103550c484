"""Recordings and faxes that are encrypted on the disk are served like others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from contract.conftest import KEY, Door, running
from outdial import ids
from outdial.calls import codes
from outdial.config import Limits
from outdial.store.records import FaxRecord, RecordingRecord
from outdial.stored_file import SealingKeys, create, key_id
from outdial.testing import audio

AUTH = {"Authorization": f"Bearer {KEY}"}
NEW, OLD, LOST = b"n" * 32, b"o" * 32, b"l" * 32
WAV = audio.wav(audio.tone(700, seconds=2.0))


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    limits = Limits(destinations=["1"])
    async with running(tmp_path, limits, sealing=SealingKeys([NEW, OLD])) as opened:
        yield opened


def keep(door: Door, key: bytes | None, content: bytes = WAV) -> str:
    """A recording sealed with the key; its sid."""
    sid = ids.new(ids.RECORDING)
    file = create(door.recordings / f"{sid}.wav", SealingKeys([key] if key else []).new())
    file.append(content)
    file.close()
    record = RecordingRecord(sid, "CA", f"{sid}.wav", 1_800_000_000.0)
    door.record.recordings[sid] = replace(record, size_bytes=len(content))
    return sid


async def fetch(door: Door, path: str, wanted: str = "") -> tuple[int, bytes, str]:
    headers = AUTH | ({"Range": wanted} if wanted else {})
    async with door.http.get(door.base + path, headers=headers) as answer:
        return answer.status, await answer.read(), answer.headers.get("Content-Range", "")


@pytest.mark.parametrize("key", [NEW, OLD, None])
async def test_whole_and_in_part(door: Door, key: bytes | None) -> None:
    sid = keep(door, key)
    path, size = f"/v1/recordings/{sid}.wav", len(WAV)
    assert await fetch(door, path) == (200, WAV, "")
    for first, last in ((0, 0), (0, 99), (4090, 4100), (4096, 8191), (10_000, size - 1)):
        found = await fetch(door, path, f"bytes={first}-{last}")
        assert found == (206, WAV[first : last + 1], f"bytes {first}-{last}/{size}")
    assert (await fetch(door, path, "bytes=-44"))[1] == WAV[-44:]
    assert (await fetch(door, path, f"bytes={size}-"))[0] == 416
    async with door.http.head(door.base + path, headers=AUTH) as answer:
        assert (answer.status, answer.headers["Content-Length"]) == (200, str(size))


async def test_as_mp3_in_part_too(door: Door) -> None:
    sealed, plain = (f"/v1/recordings/{keep(door, key)}.mp3" for key in (NEW, None))
    status, whole, _ = await fetch(door, sealed)
    assert status == 200 and len(whole) > 1000
    assert whole == (await fetch(door, plain))[1]
    assert (await fetch(door, sealed, "bytes=500-999"))[1] == whole[500:1000]
    assert sorted({path.suffix for path in door.recordings.iterdir()}) == [".wav"]


async def test_a_lost_key_is_named(door: Door) -> None:
    sid = keep(door, LOST)
    for ending in ("wav", "mp3"):
        status, body, _ = await fetch(door, f"/v1/recordings/{sid}.{ending}")
        assert (status, str(codes.KEY_LOST) in body.decode()) == (503, True)
        assert key_id(LOST) in body.decode() and "storage.encryption_key_file" in body.decode()
    _, shown = await door.get(f"/v1/recordings/{sid}")
    assert shown["size_bytes"] == len(WAV)


async def test_it_is_deleted_without_its_key(door: Door) -> None:
    sid = keep(door, LOST)
    async with door.http.delete(f"{door.base}/v1/recordings/{sid}", headers=AUTH) as answer:
        assert answer.status == 204
    assert list(door.recordings.glob(f"{sid}*")) == []


async def test_a_changed_file_is_not_sent_as_if_it_were_whole(door: Door) -> None:
    sid = keep(door, NEW)
    path = door.recordings / f"{sid}.wav"
    raw = bytearray(path.read_bytes())
    raw[200] ^= 1
    path.write_bytes(raw)
    async with door.http.get(f"{door.base}/v1/recordings/{sid}.wav", headers=AUTH) as answer:
        with pytest.raises(Exception, match=r"payload|closed|reset|Reset|disconnect|transfer"):
            await answer.read()


@pytest.mark.parametrize("key", [NEW, None])
async def test_a_fax(door: Door, key: bytes | None) -> None:
    sid = ids.new(ids.FAX)
    file = create(door.recordings / f"{sid}.pdf", SealingKeys([key] if key else []).new())
    file.append(b"%PDF-1.4" + bytes(10_000))
    file.close()
    door.record.faxes[sid] = FaxRecord(sid, "CA", 0.0, "Complete", 1, 1, "", 10_008)
    status, body, _ = await fetch(door, f"/v1/faxes/{sid}.pdf")
    assert (status, body) == (200, b"%PDF-1.4" + bytes(10_000))


async def test_a_fax_whose_key_is_lost(door: Door) -> None:
    sid = ids.new(ids.FAX)
    create(door.recordings / f"{sid}.pdf", SealingKeys([LOST]).new()).close()
    door.record.faxes[sid] = FaxRecord(sid, "CA", 0.0, "Complete", 1, 1, "", 10_008)
    status, body, _ = await fetch(door, f"/v1/faxes/{sid}.pdf")
    assert status == 503 and key_id(LOST) in body.decode()
