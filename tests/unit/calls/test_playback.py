"""Play of our own recordings: from the disk, for the time of the call."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from doubles.callers import Callers
from doubles.world import until
from outdial import ids
from outdial.calls import playback
from outdial.calls.playback import FOLDER, LEFT_BEHIND_S, Playback
from outdial.config import Didml, Settings
from outdial.errors import SoundError


class Player(Callers):
    """Where there are recordings."""

    def __init__(self, folder: Path, settings: Settings | None = None) -> None:
        super().__init__(settings=settings)
        self.services = replace(self.services, recordings=folder)
        self.folder = folder

    def recorded(self, content: bytes = b"RIFF") -> str:
        """A recording; its URL."""
        sid = ids.new(ids.RECORDING)
        (self.folder / f"{sid}.wav").write_bytes(content)
        return f"http://outdial.test/v1/recordings/{sid}.wav"

    def recordings(self) -> list[str]:
        return [path.name for path in self.folder.glob("RE*.wav")]

    def prompts(self) -> list[Path]:
        return sorted((self.folder / FOLDER).glob("*"))


async def test_a_recording_is_played_from_the_disk_and_its_prompt_is_gone_with_the_call(
    tmp_path: Path,
) -> None:
    world = Player(tmp_path)
    url = world.recorded()
    caller = await world.call(f"<Play>{url}</Play><Play>{url}</Play><Pause>60000</Pause>")
    await until(lambda: len([d for d in caller.media.done if d.startswith("play")]) == 2)
    first, second = (d for d in caller.media.done if d.startswith("play"))
    assert first == second
    assert first.startswith(f"play {tmp_path}/{FOLDER}/RE")
    assert [path.suffix for path in world.prompts()] == [".alaw", ".ulaw"]
    assert not [r for r in world.web.requests if "recordings" in r[1]]
    caller.hang_up()
    await caller.over()
    await until(lambda: not len(world.services.tasks))
    assert world.prompts() == []
    assert world.recordings() == [url.rpartition("/")[2]]


@pytest.mark.parametrize(
    "url",
    [
        "http://elsewhere.test/v1/recordings/{}.wav",
        "http://outdial.test/v1/recordings/../{}.wav",
        "http://outdial.test/v1/recordings/{}.wav/more",
        "http://outdial.test.elsewhere.test/v1/recordings/{}.wav",
        "http://outdial.test/v1/recordings/RE0000.wav",
        "http://outdial.test/v1/recordings/RE" + "0" * 32 + ".wav",
    ],
)
async def test_other_urls_are_none_of_ours(tmp_path: Path, url: str) -> None:
    world = Player(tmp_path)
    sid = world.recorded().rpartition("/")[2].removesuffix(".wav")
    caller = await world.call("<Pause>60000</Pause>")
    assert Playback(world.services, caller.leg).file_of(url.format(sid)) is None


@pytest.mark.parametrize("rest", ["", "?download=1", "#t=1"])
async def test_a_query_changes_nothing(tmp_path: Path, rest: str) -> None:
    world = Player(tmp_path)
    url = world.recorded()
    caller = await world.call("<Pause>60000</Pause>")
    file = Playback(world.services, caller.leg).file_of(url + rest)
    assert file is not None and file.parent == tmp_path
    assert Playback(world.services, caller.leg).file_of(url.replace(".wav", ".mp3")) == file


async def test_a_recording_that_is_too_large_or_gone_is_skipped(tmp_path: Path) -> None:
    world = Player(tmp_path, Settings(didml=Didml(max_sound_bytes=1024)))
    caller = await world.call(
        f"<Play>{world.recorded(bytes(1025))}</Play><Say>after</Say><Pause>60000</Pause>"
    )
    await until(lambda: "play woman en: after" in caller.media.done)
    (skipped,) = world.noted(caller, "verb.ended")
    assert "didml.max_sound_bytes" in str(skipped["problem"])
    gone = Playback(world.services, caller.leg).clip(tmp_path / "RE1.wav")
    with pytest.raises(SoundError, match="cannot be read"):
        await gone


def test_what_a_crash_left_behind_is_removed(tmp_path: Path) -> None:
    playback.clear(tmp_path, 0.0)
    (tmp_path / FOLDER).mkdir()
    old, young = (tmp_path / FOLDER / name for name in ("RE1-a.ulaw", "RE2-b.ulaw"))
    for path, at in ((old, 1000.0), (young, 2000.0)):
        path.write_bytes(b"")
        os.utime(path, (at, at))
    playback.clear(tmp_path, 1500.0 + LEFT_BEHIND_S)
    assert list((tmp_path / FOLDER).iterdir()) == [young]
