"""Streams without packets: what takes time, what arrives, what is recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from outdial.legs import (
    Clip,
    Codec,
    Digit,
    MediaEvent,
    MediaLeg,
    MediaParams,
    MediaStats,
    NoRtp,
    PlayEnd,
    RecordingDone,
    RecordingPlan,
)
from outdial.testing.audio import active_s, read_wav, speech_span, tone_share
from outdial.testing.rehearsal.hearing import Hearing
from outdial.testing.rehearsal.observed_media import ObservedMedia
from outdial.testing.rehearsal.sounds import KnownClip, voice_clip
from outdial.testing.rehearsal.virtual_media import VirtualMedia
from outdial.testing.rehearsal.virtual_time import VirtualTimeLoop

T = TypeVar("T")
CLIP = Clip("/none.ulaw", "/none.alaw", 2000)


class Stage:
    """A loop in virtual time, and streams on it."""

    def __init__(self) -> None:
        self.loop = VirtualTimeLoop()
        self.loop.running = 1
        self.hearing = Hearing()
        self.media = ObservedMedia(VirtualMedia(self.hearing), self.hearing, self.loop.time)
        self.events: dict[str, list[MediaEvent]] = {}

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work gives."""
        return self.loop.run_until_complete(work)

    def open(self, name: str) -> MediaLeg:
        """A stream; its events are kept by the name."""
        return self.media.open(name, self.events.setdefault(name, []).append)

    def line(self, name: str) -> tuple[MediaLeg, MediaLeg]:
        """A leg and the phone at its far end."""
        leg, phone = self.open(name), self.open(f"phone of {name}")
        for one, other in ((leg, phone), (phone, leg)):
            one.start(MediaParams(other.address, other.port, Codec.PCMU, 101))
        return leg, phone

    def digits(self, name: str) -> str:
        """Those it was told of."""
        return "".join(event.digit for event in self.events[name] if isinstance(event, Digit))

    def recordings(self, name: str) -> list[RecordingDone]:
        """Those that ended."""
        return [event for event in self.events[name] if isinstance(event, RecordingDone)]


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.loop.close()


@pytest.fixture
def voice(tmp_path: Path) -> KnownClip:
    """Three seconds of somebody."""
    return voice_clip(3.0, tmp_path)


def test_clips_are_played_one_after_the_other(stage: Stage) -> None:
    async def plays() -> None:
        leg, _ = stage.line("a")
        first, second = leg.queue(CLIP), leg.queue(CLIP, 3)
        for playing, end in ((first, 2), (second, 8), (leg.tone("beep"), 8.5)):
            assert await playing is PlayEnd.FINISHED
            assert stage.loop.time() == pytest.approx(end)

    stage.run(plays())


def test_nothing_plays_before_the_start(stage: Stage) -> None:
    async def plays() -> None:
        leg = stage.open("a")
        playing = asyncio.ensure_future(leg.queue(CLIP))
        await asyncio.sleep(10)
        assert not playing.done()
        leg.start(MediaParams("127.0.0.1", 1, Codec.PCMU, 101))
        await playing
        assert stage.loop.time() == pytest.approx(12)

    stage.run(plays())


def test_playing_is_stopped_and_lost(stage: Stage) -> None:
    async def plays() -> None:
        leg, _ = stage.line("a")
        stopped = [
            asyncio.ensure_future(leg.queue(CLIP, 0)),
            asyncio.ensure_future(leg.queue(CLIP)),
        ]
        await asyncio.sleep(5)
        leg.stop_playing()
        assert await asyncio.gather(*stopped) == [PlayEnd.STOPPED] * 2
        lost = asyncio.ensure_future(leg.tone("hold"))
        leg.close()
        leg.close()
        assert await lost is PlayEnd.LOST
        assert await leg.queue(CLIP) is PlayEnd.LOST
        await asyncio.sleep(0)
        assert stage.events["a"] == [MediaStats()]

    stage.run(plays())


def test_unknown_tones_and_digits_are_refused(stage: Stage) -> None:
    async def plays() -> None:
        leg, _ = stage.line("a")
        with pytest.raises(ValueError, match="no tone"):
            leg.tone("moo")
        with pytest.raises(ValueError, match="not a DTMF digit"):
            leg.send_digits("12x")

    stage.run(plays())


def test_digits_arrive_one_after_the_other(stage: Stage) -> None:
    async def presses() -> None:
        _, phone = stage.line("a")
        pressing = asyncio.ensure_future(phone.send_digits("1w2"))
        await asyncio.sleep(0.15)
        assert stage.digits("a") == "1"
        assert await pressing is PlayEnd.FINISHED
        assert stage.loop.time() == pytest.approx(0.2 + 0.5 + 0.2)
        assert stage.digits("a") == "12"

    stage.run(presses())


def test_digits_cross_a_bridge(stage: Stage) -> None:
    async def presses() -> None:
        leg, phone = stage.line("a")
        other, _ = stage.line("b")
        leg.bridge(other)
        await phone.send_digits("7")
        leg.unbridge()
        await phone.send_digits("8")
        await asyncio.sleep(0)

    stage.run(presses())
    assert (stage.digits("a"), stage.digits("phone of b"), stage.digits("b")) == ("78", "7", "")


def test_ringback_is_over_with_the_first_sound_of_the_other_side(
    stage: Stage, voice: KnownClip
) -> None:
    async def rings() -> None:
        leg, _ = stage.line("a")
        other, other_phone = stage.line("b")
        ringback = asyncio.ensure_future(leg.tone("ringback:us"))
        leg.bridge(other)
        await asyncio.sleep(4)
        await other_phone.send_digits("1")
        assert not ringback.done()
        said = other_phone.queue(voice)
        assert await ringback is PlayEnd.STOPPED
        hold = asyncio.ensure_future(leg.tone("hold"))
        await said
        assert not hold.done()

    stage.run(rings())


def test_a_message_ends_with_silence(stage: Stage, voice: KnownClip, tmp_path: Path) -> None:
    path = tmp_path / "message.wav"

    async def records() -> None:
        leg, phone = stage.line("a")
        leg.record(RecordingPlan("RE1", str(path), 1, 100, 2.0))
        await asyncio.sleep(1)
        await phone.queue(voice)
        await asyncio.sleep(10)

    stage.run(records())
    (done,) = stage.recordings("a")
    assert (done.duration_ms, done.error) == (6000, "")
    assert done.sound_ms == pytest.approx(3000, abs=200)
    assert done.size_bytes == path.stat().st_size
    (channel,) = read_wav(path)
    assert channel.duration_s == pytest.approx(6)
    assert speech_span(channel) == pytest.approx((1, 4), abs=0.05)


def test_silence_at_the_beginning_ends_it_too(stage: Stage, tmp_path: Path) -> None:
    async def records() -> None:
        leg, _ = stage.line("a")
        leg.record(RecordingPlan("RE1", str(tmp_path / "message.wav"), 1, 100, 2.0))
        await asyncio.sleep(10)

    stage.run(records())
    (done,) = stage.recordings("a")
    assert (done.duration_ms, done.sound_ms) == (2000, 0)


def test_a_recording_is_as_long_as_it_may_be(stage: Stage, tmp_path: Path) -> None:
    async def records() -> None:
        leg, _ = stage.line("a")
        leg.record(RecordingPlan("RE1", str(tmp_path / "message.wav"), 1, 4.0))
        await asyncio.sleep(10)
        leg.stop_recording("RE1")
        leg.close()
        await asyncio.sleep(0)

    stage.run(records())
    assert [done.duration_ms for done in stage.recordings("a")] == [4000]


def test_both_sides_of_a_bridge_are_on_a_recording(
    stage: Stage, voice: KnownClip, tmp_path: Path
) -> None:
    path = tmp_path / "whole.wav"

    async def records() -> None:
        leg, phone = stage.line("a")
        other, other_phone = stage.line("b")
        leg.record(RecordingPlan("RE1", str(path)))
        talking = asyncio.ensure_future(other_phone.queue(voice))
        await asyncio.sleep(1)
        leg.bridge(other)
        await talking
        await phone.queue(voice)
        leg.close()
        await asyncio.sleep(0)

    stage.run(records())
    far, near = read_wav(path)
    assert speech_span(far) == pytest.approx((3, 6), abs=0.05)
    assert speech_span(near) == pytest.approx((1, 3), abs=0.05)


def test_a_room_is_recorded_as_the_sum(stage: Stage, voice: KnownClip, tmp_path: Path) -> None:
    path = tmp_path / "room.wav"
    events: list[MediaEvent] = []

    async def records() -> None:
        room = stage.media.room("CF1", events.append)
        lines = [stage.line(name) for name in ("a", "b", "c")]
        for leg, _ in lines:
            leg.join(room, muted=leg is lines[2][0])
        room.record(RecordingPlan("RE1", str(path), 1))
        for _, phone in lines:
            await phone.queue(voice)
        room.close()
        room.close()
        await asyncio.sleep(0)

    stage.run(records())
    assert [type(event) for event in events] == [RecordingDone, MediaStats]
    (channel,) = read_wav(path)
    assert active_s(channel) == pytest.approx(6, abs=0.1)


def test_a_tone_is_on_a_recording(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "beep.wav"

    async def records() -> None:
        leg, _ = stage.line("a")
        leg.record(RecordingPlan("RE1", str(path)))
        await leg.tone("beep")
        leg.stop_recording("RE1")
        await asyncio.sleep(0)

    stage.run(records())
    _, near = read_wav(path)
    assert tone_share(near, 1000) > 0.9


def test_a_disk_that_is_full_fails_the_recording(stage: Stage, tmp_path: Path) -> None:
    async def records() -> None:
        leg, _ = stage.line("a")
        leg.record(RecordingPlan("RE1", str(tmp_path / "no" / "such.wav")))
        leg.close()
        await asyncio.sleep(0)

    stage.run(records())
    (done,) = stage.recordings("a")
    assert done.error.startswith("the recording cannot be written: No such file")


def test_a_far_end_that_is_gone_is_noticed(stage: Stage) -> None:
    async def listens() -> None:
        leg, phone = stage.line("a")
        leg.watch_silence(60)
        await asyncio.sleep(100)
        assert stage.events["a"] == []
        phone.close()
        await asyncio.sleep(59)
        assert stage.events["a"] == []
        await asyncio.sleep(2)
        assert stage.events["a"] == [NoRtp(60)]

    stage.run(listens())


def test_digits_sent_at_once_interrupt_what_plays(stage: Stage) -> None:
    async def plays() -> None:
        leg, _ = stage.line("a")
        playing = asyncio.ensure_future(leg.queue(CLIP))
        ended = asyncio.ensure_future(leg.send_digits("99"))
        await asyncio.sleep(1.5)
        await leg.send_digits("12", at_once=True)
        assert stage.digits("phone of a") == "12"
        assert await playing is PlayEnd.FINISHED
        assert stage.loop.time() == pytest.approx(2 + 0.4)
        again = asyncio.ensure_future(leg.send_digits("3", at_once=True))
        assert await ended is PlayEnd.STOPPED
        assert await again is PlayEnd.FINISHED

    stage.run(plays())


def test_who_is_hushed_is_neither_heard_nor_recorded(
    stage: Stage, voice: KnownClip, tmp_path: Path
) -> None:
    path = tmp_path / "hushed.wav"

    async def talks() -> None:
        leg, phone = stage.line("a")
        other, _ = stage.line("b")
        leg.bridge(other)
        leg.record(RecordingPlan("RE1", str(path)))
        leg.hush(True)
        await phone.send_digits("5")
        talking = asyncio.ensure_future(phone.queue(voice))
        await asyncio.sleep(1)
        leg.hush(False)
        await talking
        leg.close()
        await asyncio.sleep(0)

    stage.run(talks())
    assert (stage.digits("a"), stage.digits("phone of b")) == ("5", "")
    assert speech_span(read_wav(path)[0]) == pytest.approx((1.2, 3.2), abs=0.05)


def test_a_recording_that_is_paused_has_silence(
    stage: Stage, voice: KnownClip, tmp_path: Path
) -> None:
    path = tmp_path / "paused.wav"

    async def talks() -> None:
        leg, phone = stage.line("a")
        leg.record(RecordingPlan("RE1", str(path)))
        talking = asyncio.ensure_future(phone.queue(voice))
        for paused in (True, True, False):
            await asyncio.sleep(0.5)
            leg.pause_recording("RE1", paused)
        leg.pause_recording("RE2", True)
        await talking
        leg.close()
        await asyncio.sleep(0)

    stage.run(talks())
    (channel, _) = read_wav(path)
    assert channel.duration_s == pytest.approx(3)
    assert active_s(channel) == pytest.approx(2, abs=0.1)
    assert active_s(channel.cut(0.5, 1.5)) == 0
