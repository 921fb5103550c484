"""Rooms on real workers, with real loopback sockets."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from doubles.far_end import PATIENCE_S, FarEnd, Listener, power_at, tone
from outdial.clock import SystemClock
from outdial.config import Media
from outdial.errors import MediaUnavailable
from outdial.legs import (
    Clip,
    Codec,
    Digit,
    MediaLeg,
    MediaLost,
    MediaStats,
    PlayEnd,
    RecordingDone,
    RecordingPlan,
)
from outdial.media.core import dtmf, g711, rtp
from outdial.media.plane import WorkerPool
from outdial.testing.audio import read_mono, tone_share

pytestmark = pytest.mark.asyncio(loop_scope="module")

HZ = (400, 600, 900, 1300, 1900)
LEVEL = 3000
SILENCE = b"\xff" * 160


@pytest.fixture
def fars() -> Iterator[list[FarEnd]]:
    ends = [FarEnd() for _ in HZ]
    yield ends
    for end in ends:
        end.socket.close()


@pytest_asyncio.fixture(loop_scope="module")
async def two_workers() -> AsyncIterator[WorkerPool]:
    pool = await WorkerPool.start(Media(workers=2, ports="30000-39999"), SystemClock())
    yield pool
    await pool.stop()


def spoken(hz: int, length_ms: int, law: int = rtp.PCMU) -> list[bytes]:
    said = g711.encode(tone(hz, length_ms, LEVEL), law)
    return [said[at : at + 160] for at in range(0, len(said), 160)]


async def all_talk(legs: list[MediaLeg], fars: list[FarEnd], length_ms: int = 800) -> list[bytes]:
    """Each says its tone; what each hears then, as 16-bit samples, without beginning and end."""
    for far in fars:
        far.drain()
    talks = [
        far.talk(leg, spoken(hz, length_ms)) for leg, far, hz in zip(legs, fars, HZ, strict=False)
    ]
    await asyncio.gather(*talks)
    heard = []
    for far in fars[: len(legs)]:
        packets = sorted((packet.sequence, packet, payload) for packet, payload in far.drain())
        samples = b"".join(g711.decode(pay, packet.payload_type) for _, packet, pay in packets)
        heard.append(samples[16 * 200 : 16 * (length_ms - 100)])
    return heard


def assert_each_hears_the_others(heard: list[bytes]) -> None:
    for listener, samples in enumerate(heard):
        for speaker, hz in enumerate(HZ[: len(heard)]):
            power = power_at(samples, hz)
            # A busy machine sends a packet late here and there.
            assert power < 0.1 * LEVEL if speaker == listener else power > 0.6 * LEVEL


async def seated(
    pool: WorkerPool, fars: list[FarEnd], count: int = 5
) -> tuple[list[MediaLeg], list[Listener]]:
    listeners = [Listener() for _ in range(count)]
    legs = [pool.open(f"CA{n}", listener) for n, listener in enumerate(listeners)]
    codecs = (Codec.PCMU, Codec.PCMA)
    for n, (leg, far) in enumerate(zip(legs, fars, strict=False)):
        leg.start(far.params(codecs[n % 2], ptime_ms=20 if n < 3 else 10 * n))
    return legs, listeners


async def test_five_with_five_tones_each_hears_the_four_others(
    pool: WorkerPool, fars: list[FarEnd]
) -> None:
    legs, _ = await seated(pool, fars)
    closed = Listener()
    room = pool.room("CF1", closed)
    for leg in legs:
        leg.join(room)
    assert_each_hears_the_others(await all_talk(legs, fars))
    room.close()
    await closed.wait(MediaStats)
    assert (await pool.stats())["rooms"] == 0


async def test_muted_unmuted_left(pool: WorkerPool, fars: list[FarEnd]) -> None:
    legs, _ = await seated(pool, fars, 3)
    room = pool.room("CF1", Listener())
    for leg in legs:
        leg.join(room, muted=leg is legs[1])
    heard = await all_talk(legs, fars, 400)
    assert power_at(heard[0], HZ[1]) < 0.1 * LEVEL
    assert power_at(heard[1], HZ[0]) > 0.6 * LEVEL
    legs[1].mute(False)
    legs[0].mute(True)
    heard = await all_talk(legs, fars, 400)
    assert power_at(heard[0], HZ[1]) > 0.6 * LEVEL
    assert power_at(heard[2], HZ[0]) < 0.1 * LEVEL
    legs[2].leave()
    heard = await all_talk(legs, fars, 400)
    assert power_at(heard[0], HZ[2]) < 0.1 * LEVEL
    assert set(heard[2]) == {0}
    room.close()


async def test_a_prompt_is_for_one_member_alone_and_in_preference_to_the_room(
    pool: WorkerPool, fars: list[FarEnd], clips: Callable[[str, bytes], Clip]
) -> None:
    legs, _ = await seated(pool, fars, 2)
    room = pool.room("CF1", Listener())
    for leg in legs:
        leg.join(room)
    prompt = legs[0].queue(clips("prompt", tone(2500, 2000)))
    heard = await all_talk(legs, fars, 500)
    assert power_at(heard[0], 2500) > 5000
    assert power_at(heard[0], HZ[1]) < 0.1 * LEVEL
    assert power_at(heard[1], 2500) < 0.1 * LEVEL
    assert power_at(heard[1], HZ[0]) > 0.6 * LEVEL
    legs[0].stop_playing()
    assert await prompt is PlayEnd.STOPPED
    heard = await all_talk(legs, fars, 500)
    assert power_at(heard[0], HZ[1]) > 0.6 * LEVEL
    room.close()


async def test_a_cue_is_heard_by_the_others(pool: WorkerPool, fars: list[FarEnd]) -> None:
    legs, _ = await seated(pool, fars, 3)
    room = pool.room("CF1", Listener())
    for leg in legs:
        leg.join(room)
    await fars[0].receive()
    for far in fars:
        far.drain()
    room.cue("beep", unheard_by=legs[2])
    for far in fars[:2]:
        await far.until(lambda packet, payload: payload != g711.SILENT_FRAME[packet.payload_type])
    assert all(payload == SILENCE for _, payload in fars[2].drain())
    with pytest.raises(ValueError, match="no tone"):
        room.cue("gong")
    room.close()


async def test_digits_of_a_member_are_told_and_not_heard(
    pool: WorkerPool, fars: list[FarEnd]
) -> None:
    legs, listeners = await seated(pool, fars, 2)
    room = pool.room("CF1", Listener())
    for leg in legs:
        leg.join(room)
    for n in range(3):
        event = dtmf.payload("5", 160 + 160 * n, end=n == 2)
        fars[0].send(legs[0], event, pt=101, timestamp=4000)
    assert (await listeners[0].wait(Digit))[0].digit == "5"
    await fars[1].receive()
    assert all(len(payload) == 160 for _, payload in fars[1].drain())
    room.close()


async def test_a_recording_has_everybody_and_is_told_before_the_end(
    pool: WorkerPool, fars: list[FarEnd], tmp_path: Path
) -> None:
    legs, _ = await seated(pool, fars, 2)
    listener = Listener()
    room = pool.room("CF1", listener)
    with pytest.raises(MediaUnavailable):
        room.record(RecordingPlan("RE1", str(tmp_path / "empty.wav")))
    for leg in legs:
        leg.join(room)
    room.record(RecordingPlan("RE1", str(tmp_path / "one.wav")))
    room.record(RecordingPlan("RE2", str(tmp_path / "two.wav")))
    await all_talk(legs, fars, 600)
    room.stop_recording("RE1")
    (done,) = await listener.wait(RecordingDone)
    assert (done.recording_id, done.error) == ("RE1", "")
    room.close()
    await listener.wait(MediaStats)
    assert isinstance(listener.events[-1], MediaStats)
    assert [done.recording_id for done in listener.of(RecordingDone)] == ["RE1", "RE2"]
    sound = read_mono(tmp_path / "one.wav")
    assert tone_share(sound, HZ[0]) > 0.3
    assert tone_share(sound, HZ[1]) > 0.3


async def test_a_bridge_ends_a_membership_and_the_other_way_round(
    pool: WorkerPool, fars: list[FarEnd]
) -> None:
    legs, _ = await seated(pool, fars, 3)
    room = pool.room("CF1", Listener())
    for leg in legs:
        leg.join(room)
    legs[0].bridge(legs[1])
    heard = await all_talk(legs, fars, 400)
    assert power_at(heard[2], HZ[0]) < 0.1 * LEVEL
    assert power_at(heard[0], HZ[1]) > 0.6 * LEVEL
    legs[0].join(room)
    heard = await all_talk(legs, fars, 400)
    assert power_at(heard[0], HZ[1]) < 0.1 * LEVEL
    assert power_at(heard[0], HZ[2]) > 0.6 * LEVEL
    room.close()


async def test_a_room_over_two_workers(two_workers: WorkerPool, fars: list[FarEnd]) -> None:
    pool = two_workers
    legs, _ = await seated(pool, fars)
    closed = Listener()
    room = pool.room("CF1", closed)
    for leg in legs:
        leg.join(room)
    stats = await pool.stats()
    assert (stats["rooms"], stats["legs"]) == (2, 7)
    assert_each_hears_the_others(await all_talk(legs, fars, 1000))
    room.cue("beep")
    for far in fars:
        await far.until(lambda packet, payload: payload != g711.SILENT_FRAME[packet.payload_type])
    room.close()
    await closed.wait(MediaStats)
    async with asyncio.timeout(PATIENCE_S):
        while (await pool.stats())["legs"] != 5:  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.01)


async def test_when_the_hub_dies_the_others_go_on(
    two_workers: WorkerPool, fars: list[FarEnd], tmp_path: Path
) -> None:
    pool = two_workers
    legs, listeners = await seated(pool, fars)
    told = Listener()
    room = pool.room("CF1", told)
    for leg in legs:
        leg.join(room)
    room.record(RecordingPlan("RE1", str(tmp_path / "one.wav")))
    await pool.stats()
    os.kill(pool.pids[0], signal.SIGKILL)
    await told.wait(MediaLost)
    staying = [n for n, listener in enumerate(listeners) if not listener.of(MediaLost)]
    assert 0 < len(staying) < 5
    heard = await all_talk([legs[n] for n in staying], [fars[n] for n in staying], 600)
    for listener in range(len(staying)):
        for speaker in range(len(staying)):
            power = power_at(heard[listener], HZ[speaker])
            assert power < 300 if speaker == listener else power > 0.5 * LEVEL
    room.close()
    await told.wait(MediaStats)


async def test_a_closed_room_takes_nobody(pool: WorkerPool, fars: list[FarEnd]) -> None:
    legs, _ = await seated(pool, fars, 1)
    room = pool.room("CF1", closed := Listener())
    room.close()
    room.close()
    with pytest.raises(MediaUnavailable):
        legs[0].join(room)
    assert closed.events == [MediaStats()]


async def test_a_room_whose_only_worker_died_takes_new_members(fars: list[FarEnd]) -> None:
    pool = await WorkerPool.start(Media(workers=1, ports="30000-39999"), SystemClock())
    try:
        told = Listener()
        room = pool.room("CF1", told)
        legs, listeners = await seated(pool, fars, 2)
        for leg in legs:
            leg.join(room)
        await pool.stats()
        os.kill(pool.pids[0], signal.SIGKILL)
        for listener in (told, *listeners):
            await listener.wait(MediaLost)
        for leg in legs:
            leg.leave()
            leg.join(room)  # it is gone, and so this does nothing
        async with asyncio.timeout(PATIENCE_S):
            while not pool.pids or not (await pool.stats())["workers"]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        legs, _ = await seated(pool, fars[2:], 2)
        for leg in legs:
            leg.join(room)
        heard = await all_talk(legs, fars[2:], 500)
        assert power_at(heard[0], HZ[1]) > 0.6 * LEVEL
        room.close()
        await told.wait(MediaStats)
    finally:
        await pool.stop()
