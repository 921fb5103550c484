"""A stream while its call goes on: hushed, digits in between, a recording paused."""

from __future__ import annotations

import asyncio
import wave
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

from doubles.far_end import FarEnd, Listener, power_at, tone
from outdial.legs import Clip, Digit, PlayEnd, RecordingDone, RecordingPlan
from outdial.media.core import dtmf, g711, rtp
from outdial.media.core.dtmf import EventSender
from outdial.media.core.inband import InBandReceiver
from outdial.media.core.playlist import DigitSound, Playlist, Sound
from outdial.media.plane import WorkerPool

MakeClip = Callable[[str, bytes], Clip]
SILENCE = b"\xff" * 160
LOUD = b"\x10" * 160


def payloads(samples: bytes) -> list[bytes]:
    encoded = g711.encode(samples, rtp.PCMU)
    return [encoded[at : at + 160] for at in range(0, len(encoded), 160)]


def left_of(path: str) -> bytes:
    """The left channel of a WAV file."""
    with wave.open(path) as file:
        samples = array("h", file.readframes(file.getnframes()))
    return samples[0::2].tobytes()


# ------------------------------------------------------------------ digits in between


def sound(play: int, size: int = 480) -> Sound:
    return Sound(play, memoryview(b"\x10" * size), memoryview(b"\x10" * size), 1)


def test_digits_interrupt_a_sound_which_goes_on_where_it_was() -> None:
    playlist = Playlist()
    playing = sound(1)
    playlist.add(playing)
    playlist.add(sound(2))
    packet = bytearray(160)
    playlist.fill(packet, 0, 160, rtp.PCMU)
    playlist.interject(EventSender("1", 3))
    playlist.interject(EventSender("2", 4))
    order = []
    while playlist.current is not None:
        order.append(playlist.current.play)
        playlist.advance()
    assert order == [3, 4, 1, 2]
    assert playing.position == 160


def test_digits_are_not_cut_in_two_by_others_not_even_as_sound() -> None:
    playlist = Playlist()
    playlist.add(DigitSound(1, memoryview(LOUD), memoryview(LOUD), 1))
    playlist.add(EventSender("5", 2))
    playlist.add(sound(3))
    playlist.interject(EventSender("6", 4))
    assert playlist.clear() == [1, 2, 4, 3]


def test_digits_on_an_idle_stream_begin() -> None:
    playlist = Playlist()
    playlist.interject(EventSender("6", 4))
    assert playlist.current is not None
    assert playlist.current.play == 4


@pytest.mark.asyncio(loop_scope="module")
async def test_digits_are_heard_in_the_middle_of_a_prompt(
    pool: WorkerPool, far: FarEnd, clips: MakeClip
) -> None:
    leg = pool.open("CA1", Listener())
    leg.start(far.params())
    prompt = asyncio.ensure_future(leg.queue(clips("interrupted", tone(500, 800))))
    before = [await far.until(lambda _, payload: payload != SILENCE)]
    assert await leg.send_digits("12", at_once=True) is PlayEnd.FINISHED
    assert not prompt.done()
    assert await prompt is PlayEnd.FINISHED
    receiver, digits, loud = dtmf.EventReceiver(), [], 0
    for packet, payload in before + far.drain():
        if packet.payload_type == 101:
            digits += receiver.packet(packet.timestamp, payload, 0.0)
        elif payload != SILENCE:
            loud += 1
    assert [heard.digit for heard in digits] == ["1", "2"]
    assert loud == 40, "all of the prompt, each packet once"


@pytest.mark.asyncio(loop_scope="module")
async def test_digits_in_the_audio_are_heard_in_the_middle_of_a_prompt_too(
    pool: WorkerPool, far: FarEnd, clips: MakeClip
) -> None:
    leg = pool.open("CA1", Listener())
    leg.start(far.params(telephone_event=None))
    prompt = asyncio.ensure_future(leg.queue(clips("interrupted too", tone(500, 800))))
    await far.until(lambda _, payload: payload != SILENCE)
    first, second = leg.send_digits("27", at_once=True), leg.send_digits("D", at_once=True)
    assert await first is PlayEnd.FINISHED
    assert await second is PlayEnd.FINISHED
    assert not prompt.done()
    receiver = InBandReceiver()
    heard = [h.digit for _, payload in far.drain() for h in receiver.feed(payload, rtp.PCMU)]
    assert heard == ["2", "7", "D"]
    assert await prompt is PlayEnd.FINISHED


# ------------------------------------------------------------------ hushed


@pytest.mark.asyncio(loop_scope="module")
async def test_a_hushed_far_end_is_not_heard_over_a_bridge(
    pool: WorkerPool, far: FarEnd, other_far: FarEnd
) -> None:
    listener = Listener()
    one = pool.open("CA1", listener)
    two = pool.open("CA2", Listener(), near=one)
    one.start(far.params())
    two.start(other_far.params())
    one.bridge(two)
    one.hush(True)
    far.send(one, LOUD)
    far.send(one, dtmf.payload("5", 800, end=True), pt=101)
    assert (await listener.wait(Digit))[0].digit == "5", "its keys count"
    other_far.send(two, b"\x20" * 160)
    await far.until(lambda _, payload: payload == b"\x20" * 160)  # it hears the other
    one.hush(False)
    far.send(one, b"\x30" * 160)
    heard: list[tuple[rtp.Packet, bytes]] = []
    while not heard or heard[-1][1] != b"\x30" * 160:
        heard.append(await other_far.receive())
    assert {payload for _, payload in heard[:-1]} <= {SILENCE}, "neither audio nor digit"


@pytest.mark.asyncio(loop_scope="module")
async def test_a_hushed_far_end_is_not_heard_in_a_room(
    pool: WorkerPool, far: FarEnd, other_far: FarEnd
) -> None:
    one, two = pool.open("CA1", Listener()), pool.open("CA2", Listener())
    room = pool.room("CF1", lambda event: None)
    one.start(far.params())
    two.start(other_far.params())
    for leg in (one, two):
        leg.join(room)
    one.hush(True)
    await far.talk(one, payloads(tone(700, 400)))
    await pool.stats()
    assert {payload for _, payload in other_far.drain()} <= {SILENCE}
    one.hush(False)
    talking = asyncio.ensure_future(far.talk(one, payloads(tone(700, 2000))))
    await other_far.until(lambda _, payload: len(set(payload)) > 5)
    talking.cancel()
    room.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_it_stays_hushed_over_a_new_negotiation_and_is_not_recorded(
    pool: WorkerPool, far: FarEnd, tmp_path: Path
) -> None:
    listener, path = Listener(), str(tmp_path / "hushed.wav")
    leg = pool.open("CA1", listener)
    leg.start(far.params())
    leg.record(RecordingPlan("RE1", path))
    leg.hush(True)
    leg.update(far.params(telephone_event=None))
    await far.talk(leg, payloads(tone(1200, 400)))
    await pool.stats()  # it has read all of that
    leg.hush(False)
    await far.talk(leg, payloads(tone(700, 400)))
    leg.stop_recording("RE1")
    await listener.wait(RecordingDone)
    left = left_of(path)
    assert power_at(left, 1200) < 50
    assert power_at(left[len(left) // 4 * 2 :], 700) > 3000


# ------------------------------------------------------------------ a recording paused


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_said_while_a_recording_is_paused_is_silence_on_it(
    pool: WorkerPool, far: FarEnd, tmp_path: Path
) -> None:
    listener, path = Listener(), str(tmp_path / "paused.wav")
    leg = pool.open("CA1", listener)
    leg.start(far.params())
    leg.record(RecordingPlan("RE1", path))
    await far.talk(leg, payloads(tone(400, 400)))
    await pool.stats()  # it has read all of that
    leg.pause_recording("RE1", True)
    await far.talk(leg, payloads(tone(1200, 600)))
    await pool.stats()
    leg.pause_recording("RE1", False)
    leg.pause_recording("RE unknown", True)
    await far.talk(leg, payloads(tone(2000, 400)))
    leg.stop_recording("RE1")
    (done,) = await listener.wait(RecordingDone)
    assert done.duration_ms >= 1300, "the time in it stays right"
    left = left_of(path)
    assert power_at(left, 1200) < 50
    half = len(left) // 4 * 2
    assert power_at(left[:half], 400) > 1500
    assert power_at(left[half:], 2000) > 1500
    quiet = left[16 * 550 : 16 * 850]
    assert max(array("h", quiet), key=abs) == 0
