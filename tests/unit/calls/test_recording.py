"""The recordings of a leg: which are kept, which is told of, and what becomes of their files."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from doubles.legs import FakeMediaLeg
from doubles.world import World, until
from outdial import ids
from outdial.calls.recording import MIN_SOUND_MS, Recording, Recordings
from outdial.errors import SoundError
from outdial.legs import MediaEvent, RecordingDone

SID = "CA" + "0" * 32


class Recorded(World):
    """A leg that is recorded; the files are in `folder`."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.services = replace(self.services, recordings=folder)
        self.stream = FakeMediaLeg(SID, self.hear, None)
        timeline = self.services.journal.open_timeline(SID)
        self.recordings = Recordings(self.services, timeline)

    def hear(self, event: MediaEvent) -> None:
        assert isinstance(event, RecordingDone)
        self.recordings.done(event)

    def message(self) -> Recording:
        """A message, and its file."""
        recording = self.recordings.message(self.stream, 60.0, 5.0)
        recording.path.write_bytes(b"RIFF")
        return recording


@pytest.fixture
async def world(tmp_path: Path) -> Recorded:
    return Recorded(tmp_path)


async def test_a_recording_is_named_by_our_id_alone(world: Recorded, tmp_path: Path) -> None:
    recording = world.message()
    plan = world.stream.recording
    assert plan is not None
    assert ids.is_sid(plan.recording_id, ids.RECORDING)
    assert plan.path == str(tmp_path / f"{recording.sid}.wav")
    assert (plan.channels, plan.max_duration_s, plan.silence_s) == (1, 60.0, 5.0)
    assert recording.url == f"http://outdial.test/v1/recordings/{recording.sid}.wav"


async def test_everything_is_recorded_once_and_without_end(world: Recorded) -> None:
    first, second = (world.recordings.whole(world.stream) for _ in range(2))
    assert first is second is world.recordings.of_everything
    plan = world.stream.recording
    assert plan is not None
    assert (plan.channels, plan.silence_s) == (2, 0.0)
    assert world.stream.done == ["record"]


async def test_a_message_can_be_fetched_once_it_is_kept(world: Recorded) -> None:
    message = world.message()
    message.stop()
    end = await message.end()
    assert (end.duration_ms, end.is_empty, end.error) == (2500, False, "")
    assert world.store.recordings == []
    await message.keep()
    (record,) = world.store.recordings
    assert (record.sid, record.duration_ms, record.channels) == (message.sid, 2500, 1)
    assert record.call_sid == SID
    assert world.store.kinds() == ["recording.started", "recording.done"]
    message.stop()
    assert world.stream.done == ["record", "stop recording"]


async def test_a_message_is_kept_later_when_the_store_is_away(world: Recorded) -> None:
    message = world.message()
    message.stop()
    await message.end()
    world.store.away = True
    await message.keep()
    await until(lambda: world.services.journal.held_back == 1)


@pytest.mark.parametrize(("sound_ms", "is_empty"), [(0, True), (MIN_SOUND_MS, False)])
async def test_a_message_without_sound_is_empty(
    world: Recorded, sound_ms: int, is_empty: bool
) -> None:
    world.stream.sound_ms = sound_ms
    message = world.message()
    message.stop()
    assert (await message.end()).is_empty is is_empty
    assert bool(world.recordings.to_store()) is not is_empty
    assert (world.recordings.told is None) is is_empty


async def test_silence_is_no_reason_not_to_keep_a_whole_call(world: Recorded) -> None:
    world.stream.sound_ms = 0
    whole = world.recordings.whole(world.stream)
    whole.stop()
    await whole.end()
    assert world.recordings.told == (whole.sid, whole.url)


async def test_a_conversation_is_on_a_recording_of_its_own(world: Recorded) -> None:
    first, second = (world.recordings.conversation(world.stream) for _ in range(2))
    assert first.sid != second.sid
    assert world.recordings.of_everything is None
    second.stop()
    await second.end()
    assert not first.is_complete
    assert world.recordings.told == (second.sid, second.url)


async def test_a_conferences_recording_is_told_when_there_is_no_other(world: Recorded) -> None:
    world.recordings.name_conference("RE1", "http://outdial.test/RE1.wav")
    assert world.recordings.told == ("RE1", "http://outdial.test/RE1.wav")
    world.stream.sound_ms = 0
    whole = world.recordings.whole(world.stream)
    whole.stop()
    await whole.end()
    assert world.recordings.told == (whole.sid, whole.url)
    world.recordings.forget_conference()
    assert world.recordings.told == (whole.sid, whole.url)


async def test_what_is_thrown_away_leaves_no_file(world: Recorded) -> None:
    message = world.message()
    message.stop()
    await message.end()
    await message.discard()
    await message.discard()
    assert not message.path.exists()
    assert world.recordings.to_store() == ()
    assert world.store.kinds()[-1] == "recording.discarded"


async def test_the_last_callback_names_everything_or_the_last_message(world: Recorded) -> None:
    def told() -> str:
        recording = world.recordings.told
        return recording.sid if recording is not None else ""

    assert told() == ""
    first, second = world.message(), world.message()
    for sid in (first.sid, second.sid):
        world.hear(RecordingDone(sid, "", 900, 7244, "", 800))
    assert told() == second.sid
    await second.discard()
    assert told() == first.sid
    whole = world.recordings.whole(world.stream)
    assert told() == first.sid, "the other is not complete"
    whole.stop()
    await whole.end()
    assert told() == whole.sid
    assert {record.sid for record in world.recordings.to_store()} == {first.sid, whole.sid}


async def test_a_stream_that_is_lost_ends_its_recordings(world: Recorded) -> None:
    message = world.message()
    world.recordings.close()
    world.recordings.close()
    assert (await message.end()).error == "the audio stream was lost"
    assert world.recordings.told is None
    assert world.store.kinds()[-1] == "recording.failed"
    world.hear(RecordingDone(message.sid, "", 900, 7244))
    assert (await message.end()).error, "what comes late changes nothing"
    (record,) = world.recordings.to_store()
    assert (record.error, record.duration_ms) == ("the audio stream was lost", 0)


async def test_waiting_for_the_end_may_be_given_up(world: Recorded) -> None:
    message = world.message()
    waiting = asyncio.ensure_future(message.end())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.sleep(0)
    message.stop()
    assert not (await message.end()).error


def files(folder: Path) -> dict[str, bytes]:
    """What is in the folder, by suffix."""
    return {path.suffix: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("is_kept", [True, False])
async def test_a_message_is_played_from_its_file_and_nothing_else_keeps_it(
    world: Recorded, tmp_path: Path, is_kept: bool
) -> None:
    message = world.message()
    clip = await message.clip()
    assert clip.ulaw_path == f"{tmp_path}/{message.sid}.ulaw"
    assert files(tmp_path) == {".wav": b"RIFF", ".ulaw": b"RIFF", ".alaw": b"RIFF"}
    assert await message.clip() is clip
    await (message.keep() if is_kept else message.discard())
    assert files(tmp_path) == ({".wav": b"RIFF"} if is_kept else {})


async def test_one_who_hangs_up_while_the_message_is_made_ready_leaves_no_file(
    world: Recorded, tmp_path: Path
) -> None:
    message = world.message()
    listening = asyncio.ensure_future(message.clip())
    await asyncio.sleep(0)
    listening.cancel()
    await message.keep()
    assert files(tmp_path) == {".wav": b"RIFF"}


async def test_a_message_whose_file_is_gone_is_not_played(world: Recorded) -> None:
    message = world.message()
    await message.discard()
    with pytest.raises(SoundError, match="cannot be read: No such file"):
        await message.clip()
