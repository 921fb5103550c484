"""What a crash leaves of recordings: found, made whole, and somebody's."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from outdial import ids
from outdial.calls import left_recordings
from outdial.calls.left_recordings import Begun, Finished, Strays, begun, finish, recover
from outdial.store.records import EventRecord, RecordingRecord
from outdial.stored_file import PIECE_BYTES, KeyLost, SealingKeys, create, read_whole
from outdial.testing import audio
from outdial.testing.clock import FakeClock

KEYS = SealingKeys([b"k" * 32])
SID, OTHER = ids.new(ids.RECORDING), ids.new(ids.RECORDING)


def broken(seconds: float = 1.0, channels: int = 1, said_bytes: int = 0, extra: int = 0) -> bytes:
    """A recording as a killed worker leaves it: its header says too little."""
    samples = audio.wav(audio.tone(700, seconds=seconds))[44:] * channels
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", 36 + said_bytes, b"WAVE", b"fmt ", 16, 1, channels),
        *(8000, 16000 * channels, 2 * channels, 16, b"data", said_bytes),
    )
    return head + samples + bytes(extra)


def keep(folder: Path, data: bytes, sid: str = SID, age_s: float = 0.0) -> Path:
    path = folder / f"{sid}.wav"
    path.write_bytes(data)
    written_at = FakeClock().now() - age_s
    os.utime(path, (written_at, written_at))
    return path


# ------------------------------------------------------------------ the file


@pytest.mark.parametrize(("channels", "extra"), [(1, 0), (1, 1), (2, 0), (2, 3)])
def test_the_header_says_what_is_there(tmp_path: Path, channels: int, extra: int) -> None:
    path = keep(tmp_path, broken(1.5, channels, extra=extra))
    size = 44 + 24_000 * channels
    assert finish(tmp_path, SID) == Finished(channels, 1500, size)
    assert path.stat().st_size == size
    assert struct.unpack("<I", path.read_bytes()[40:44]) == (size - 44,)
    assert [sound.duration_s for sound in audio.read_wav(path)] == [1.5] * channels
    assert finish(tmp_path, SID) == Finished(channels, 1500, size), "a second time is the same"


def seal(path: Path, keys: SealingKeys, torn: int = 0) -> Path:
    """The same file, sealed, and cut off where a crash did it."""
    content = path.read_bytes()
    file = create(path, keys.new())
    file.append(content)
    file.close()
    os.truncate(path, path.stat().st_size - torn)
    return path


@pytest.mark.parametrize("torn", [0, 1, 50, 3000])
def test_a_sealed_one_is_made_whole_too(tmp_path: Path, torn: int) -> None:
    path = seal(keep(tmp_path, broken(1.5, 2)), KEYS, torn)
    found = finish(tmp_path, SID, KEYS)
    assert found is not None
    size = found.size_bytes
    assert 48_044 - PIECE_BYTES - torn <= size <= 48_044 and size % 4 == 0
    assert b"RIFF" not in path.read_bytes()
    wav = read_whole(path, KEYS)
    assert len(wav) == size
    assert struct.unpack("<I", wav[40:44]) == (size - 44,)
    assert wav[44:] == broken(1.5, 2)[44:size]
    assert finish(tmp_path, SID, KEYS) == found, "a second time is the same"


async def test_one_whose_key_is_lost_stays_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = seal(keep(tmp_path, broken(1.5)), KEYS)
    before = path.read_bytes()
    with pytest.raises(KeyLost):
        finish(tmp_path, SID, SealingKeys())
    begun_ = [Begun(SID, 0.0, False)]
    assert await recover(tmp_path, "CA", begun_, 1.0, SealingKeys([b"x" * 32])) == []
    assert path.read_bytes() == before
    (row,) = await recover(tmp_path, "CA", begun_, 1.0, KEYS)
    assert row.duration_ms == 1500


@pytest.mark.parametrize("data", [b"", b"RIFF", broken(0.0), b"not a recording at all" * 10])
def test_what_has_no_sound_goes(tmp_path: Path, data: bytes) -> None:
    path = keep(tmp_path, data)
    assert finish(tmp_path, SID) is None
    assert not path.exists()


def test_prompts_of_one_who_listened_go(tmp_path: Path) -> None:
    keep(tmp_path, broken())
    for ending in (".ulaw", ".alaw"):
        (tmp_path / f"{SID}{ending}").write_bytes(b"x")
    assert finish(tmp_path, SID) is not None
    assert [path.name for path in tmp_path.iterdir()] == [f"{SID}.wav"]
    assert finish(tmp_path, OTHER) is None


def test_links_are_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(broken())
    (tmp_path / f"{SID}.wav").symlink_to(elsewhere)
    with pytest.raises(OSError):
        finish(tmp_path, SID)
    assert elsewhere.read_bytes() == broken()


# ------------------------------------------------------------------ of unfinished calls


def event(kind: str, sid: str = SID, at: float = 10.0, **data: Any) -> EventRecord:
    return EventRecord("CA1", 0, at, kind, {"recording": sid, **data})


def test_what_was_begun_stands_on_the_timeline() -> None:
    third = ids.new(ids.RECORDING)
    events = [
        event("recording.started"),
        event("recording.started", OTHER, 11.0),
        event("recording.discarded", OTHER),
        event("recording.started", third, 12.0, of="conference"),
        event("recording.done", third),
        event("recording.started", "../../etc/passwd"),
        EventRecord("CA1", 5, 1.0, "recording.started", {}),
    ]
    assert begun(events) == [Begun(SID, 10.0, False), Begun(third, 12.0, True)]
    assert begun([*events, event("recording.deleted")]) == [Begun(third, 12.0, True)]


async def test_recordings_that_were_begun_are_the_calls(tmp_path: Path) -> None:
    keep(tmp_path, broken(2.0, 2))
    keep(tmp_path, broken(1.0), OTHER)
    wanted = [Begun(SID, 10.0, False), Begun(ids.new(ids.RECORDING), 11.0, False)]
    rows = await recover(tmp_path, "CA1", wanted, 99.0)
    assert rows == [RecordingRecord(SID, "CA1", f"{SID}.wav", 10.0, 2000, 2, 64_044, "", "call")]
    (room,) = await recover(tmp_path, "CA1", [Begun(OTHER, 12.0, True)], 99.0)
    assert (room.kind, room.channels) == ("conference", 1)
    (message,) = await recover(tmp_path, "CA1", [Begun(OTHER, 12.0, False)], 99.0)
    assert message.kind == "message"


async def test_a_file_that_cannot_be_had_keeps_nobody(tmp_path: Path) -> None:
    (tmp_path / f"{SID}.wav").symlink_to(tmp_path / "nowhere")
    keep(tmp_path, broken(), OTHER)
    wanted = [Begun(SID, 10.0, False), Begun(OTHER, 10.0, False)]
    assert [row.sid for row in await recover(tmp_path, "CA1", wanted, 99.0)] == [OTHER]


# ------------------------------------------------------------------ of nobody


class Known:
    """A store that knows some."""

    def __init__(self, *sids: str) -> None:
        self.sids = set(sids)
        self.added: list[RecordingRecord] = []

    async def without_row(self, sids: Iterable[str]) -> list[str]:
        return [sid for sid in sids if sid not in self.sids]

    async def add(self, recording: RecordingRecord) -> None:
        self.added.append(recording)
        self.sids.add(recording.sid)


async def test_files_that_nobody_knows_are_taken_in_once(tmp_path: Path) -> None:
    clock, known = FakeClock(), Known(OTHER)
    keep(tmp_path, broken(3.0, 2), age_s=1000)
    keep(tmp_path, broken(), OTHER, age_s=1000)
    strays = Strays(tmp_path, known, clock, pause_s=0)
    assert [await strays.look() for _ in range(2)] == [1, 0]
    (found,) = known.added
    created_at = found.created_at
    assert created_at == pytest.approx(clock.now() - 1003, abs=0.1)
    assert found == RecordingRecord(SID, "", f"{SID}.wav", created_at, 3000, 2, 96_044, "", "call")


async def test_what_may_be_recorded_now_and_what_is_no_recording_stays(tmp_path: Path) -> None:
    clock, known = FakeClock(), Known()
    fresh = keep(tmp_path, broken(), age_s=800)
    before = fresh.read_bytes()
    (tmp_path / "notes.wav").write_bytes(b"mine")
    (tmp_path / "playing").mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(broken())
    (tmp_path / f"{OTHER}.wav").symlink_to(elsewhere)
    assert await Strays(tmp_path, known, clock, pause_s=0).look() == 0
    assert not known.added
    assert fresh.read_bytes() == before
    assert (tmp_path / "notes.wav").read_bytes() == b"mine"
    assert elsewhere.read_bytes() == broken()


async def test_many_are_looked_at_a_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(left_recordings, "BATCH", 3)
    known = Known()
    sids = {ids.new(ids.RECORDING) for _ in range(10)}
    for sid in sids:
        keep(tmp_path, broken(0.1), sid, age_s=1000)
    sizes: list[int] = []
    asked = known.without_row

    async def counting(wanted: Iterable[str]) -> list[str]:
        wanted = list(wanted)
        sizes.append(len(wanted))
        return await asked(wanted)

    monkeypatch.setattr(known, "without_row", counting)
    assert await Strays(tmp_path, known, FakeClock(), pause_s=0).look() == 10
    assert {one.sid for one in known.added} == sids
    assert max(sizes) == 3


async def test_a_folder_that_is_gone_is_told_and_not_looked_at(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        await Strays(tmp_path / "gone", Known(), FakeClock()).look()
    strays = Strays(tmp_path / "gone", Known(), FakeClock())
    strays.start()
    await strays.stop()
