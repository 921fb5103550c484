"""Recordings: what is on disk is what was said and heard, at its time."""

from __future__ import annotations

import asyncio
import resource
import signal
import wave
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

from doubles.far_end import FarEnd, Listener, power_at, tone
from outdial.clock import SystemClock
from outdial.config import Media
from outdial.legs import Clip, MediaStats, RecordingDone, RecordingPlan
from outdial.media.core import g711, rtp
from outdial.media.core.timeline import Timeline
from outdial.media.plane import WorkerPool
from outdial.media.wire import RecordOrder
from outdial.media.worker.recorder import Batch, Recorder
from outdial.stored_file import SealingKeys, open_file

MakeClip = Callable[[str, bytes], Clip]


def payloads(samples: bytes) -> list[bytes]:
    encoded = g711.encode(samples, rtp.PCMU)
    return [encoded[at : at + 160] for at in range(0, len(encoded), 160)]


def channels(path: str) -> list[bytes]:
    """The samples of each channel of a WAV file."""
    with wave.open(path) as file:
        assert (file.getframerate(), file.getsampwidth()) == (8000, 2)
        count = file.getnchannels()
        samples = array("h", file.readframes(file.getnframes()))
        assert len(samples) == file.getnframes() * count
    return [samples[channel::count].tobytes() for channel in range(count)]


@pytest.mark.asyncio(loop_scope="module")
async def test_left_is_the_far_end_and_right_is_ours(
    pool: WorkerPool, far: FarEnd, clips: MakeClip, tmp_path: Path
) -> None:
    listener = Listener()
    path = str(tmp_path / "both.wav")
    leg = pool.open("CA1", listener)
    leg.start(far.params())
    leg.record(RecordingPlan("RE1", path))
    leg.queue(clips("recorded", tone(500, 800)))
    await far.talk(leg, payloads(tone(1200, 800)))
    leg.stop_recording("RE1")
    (done,) = await listener.wait(RecordingDone)
    assert (done.recording_id, done.path, done.error) == ("RE1", path, "")
    assert 700 < done.duration_ms < 1500
    left, right = channels(path)
    assert done.size_bytes == 44 + len(left) + len(right)
    middle = slice(len(left) // 4 // 2 * 2, len(left) * 3 // 4 // 2 * 2)
    assert power_at(left[middle], 1200) > 6000
    assert power_at(left[middle], 500) < 200
    assert power_at(right[middle], 500) > 6000
    assert power_at(right[middle], 1200) < 200


@pytest.mark.asyncio(loop_scope="module")
async def test_a_bridged_leg_records_what_is_relayed_to_it(
    pool: WorkerPool, far: FarEnd, other_far: FarEnd, tmp_path: Path
) -> None:
    listener = Listener()
    path = str(tmp_path / "bridge.wav")
    one = pool.open("CA1", listener)
    two = pool.open("CA2", Listener(), near=one)
    one.start(far.params())
    two.start(other_far.params())
    one.bridge(two)
    one.record(RecordingPlan("RE1", path))
    await asyncio.gather(
        far.talk(one, payloads(tone(400, 600))), other_far.talk(two, payloads(tone(1500, 600)))
    )
    # Closing the leg ends its recording, and the stats still come last.
    one.close()
    (done,) = await listener.wait(RecordingDone)
    assert done.error == ""
    await listener.wait(MediaStats)
    assert isinstance(listener.events[-1], MediaStats)
    left, right = channels(path)
    assert power_at(left, 400) > 3000 > 300 > power_at(left, 1500)
    assert power_at(right, 1500) > 3000 > 300 > power_at(right, 400)


async def test_the_pool_waits_for_recordings_when_it_stops(far: FarEnd, tmp_path: Path) -> None:
    pool = await WorkerPool.start(Media(workers=1, ports="30000-39999"), SystemClock())
    listener = Listener()
    leg = pool.open("CA1", listener)
    leg.start(far.params())
    leg.record(RecordingPlan("RE1", str(tmp_path / "stop.wav"), channels=1))
    await far.talk(leg, payloads(tone(400, 200)))
    await pool.stop()
    assert [type(event) for event in listener.events] == [RecordingDone, MediaStats]
    (mono,) = channels(str(tmp_path / "stop.wav"))
    assert power_at(mono, 400) > 3000


@pytest.mark.asyncio(loop_scope="module")
async def test_a_folder_that_is_not_there(pool: WorkerPool, far: FarEnd, tmp_path: Path) -> None:
    listener = Listener()
    leg = pool.open("CA1", listener)
    leg.start(far.params())
    leg.record(RecordingPlan("RE1", str(tmp_path / "no" / "where.wav")))
    await far.receive()
    leg.stop_recording("RE1")
    (done,) = await listener.wait(RecordingDone)
    assert "No such file" in done.error
    assert (done.duration_ms, done.size_bytes) == (0, 0)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_recording_ends_by_itself_at_its_longest(
    pool: WorkerPool, far: FarEnd, tmp_path: Path
) -> None:
    listener = Listener()
    leg = pool.open("CA1", listener)
    leg.start(far.params())
    leg.record(RecordingPlan("RE1", str(tmp_path / "short.wav"), max_duration_s=0.3))
    (done,) = await listener.wait(RecordingDone)
    assert done.duration_ms == 300


@pytest.mark.asyncio(loop_scope="module")
async def test_a_recording_ends_with_silence_and_says_how_much_was_said(
    pool: WorkerPool, far: FarEnd, tmp_path: Path
) -> None:
    listener = Listener()
    path = str(tmp_path / "message.wav")
    leg = pool.open("CA1", listener)
    leg.start(far.params())
    await far.receive()
    leg.record(RecordingPlan("RE1", path, channels=1, silence_s=0.5))
    await far.talk(leg, payloads(tone(700, 600)))
    await far.talk(leg, payloads(bytes(2 * 8 * 1600)))
    (done,) = await listener.wait(RecordingDone)
    assert 500 <= done.sound_ms <= 800
    assert 1000 <= done.duration_ms <= 1400, "cut where the silence had lasted so long"
    (mono,) = channels(path)
    assert power_at(mono[: 2 * 8 * 500], 700) > 5000


ORDER = RecordOrder("RE1", "", 2, 14400.0)


def recorded(
    path: Path,
    batches: list[tuple[list[tuple[int, int, bytes]], int]],
    order: RecordOrder = ORDER,
) -> Recorder:
    """A recorder that was handed those batches of the far channel, the last one ending it."""
    recorder = Recorder()
    recording = recorder.begin(1, order._replace(path=str(path)), 0.0)
    for index, (far, until) in enumerate(batches):
        recorder.batches.put(Batch(recording, far, [], until, index == len(batches) - 1))
    recorder.stop()
    return recorder


def test_gaps_reordering_and_stragglers(tmp_path: Path) -> None:
    loud = g711.encode(tone(1000, 20), rtp.PCMU)
    path = tmp_path / "gaps.wav"
    recorder = recorded(
        path,
        [
            # Out of order, a gap at 320, and one that reaches beyond the batch.
            ([(160, 0, loud), (0, 0, loud), (560, 0, loud)], 640),
            # Too late: its place is on disk already.
            ([(320, 0, loud)], 960),
        ],
    )
    ((stream, done),) = recorder.take_finished()
    assert (stream, done.duration_ms, done.error) == (1, 120, "")
    left, right = channels(str(path))
    assert right == bytes(2 * 960)
    expected = g711.decode(loud, rtp.PCMU)
    assert left[:640] == expected * 2
    assert left[640:1120] == bytes(480)
    assert left[1120:1440] == expected
    assert left[1440:] == bytes(480)


KEYS = SealingKeys([b"k" * 32])


def sealed_order() -> RecordOrder:
    seal = KEYS.new()
    assert seal is not None
    return ORDER._replace(seal_head=seal.head, seal_key=seal.key)


def opened(path: Path, into: Path) -> Path:
    """A sealed recording in clear."""
    file = open_file(path, KEYS)
    into.write_bytes(file.read(file.size, 0))
    file.close()
    return into


def test_a_sealed_recording_is_the_same_and_nothing_of_it_is_in_clear(tmp_path: Path) -> None:
    loud = [of(tone(440, 1000), 8000 * second) for second in range(3)]
    batches = [([one], 8000 * (place + 1)) for place, one in enumerate(loud)]
    ((_, plain),) = recorded(tmp_path / "plain.wav", batches).take_finished()
    ((_, sealed),) = recorded(tmp_path / "sealed.wav", batches, sealed_order()).take_finished()
    assert sealed[2:] == plain[2:]
    content = (tmp_path / "plain.wav").read_bytes()
    assert opened(tmp_path / "sealed.wav", tmp_path / "opened.wav").read_bytes() == content
    raw = (tmp_path / "sealed.wav").read_bytes()
    assert b"RIFF" not in raw and b"WAVE" not in raw
    assert not any(content[at : at + 16] in raw for at in range(0, len(content), 1000))


def test_a_sealed_recording_on_a_full_disk_leaves_what_plays(tmp_path: Path) -> None:
    path = tmp_path / "full.wav"
    loud = g711.encode(tone(1000, 1000), rtp.PCMU)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_001, before[1]))
    try:
        batches = [([(n * 8000, 0, loud)], (n + 1) * 8000) for n in range(4)]
        recorder = recorded(path, batches, sealed_order())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    ((_, done),) = recorder.take_finished()
    assert "cannot be written" in done.error
    left, _ = channels(str(opened(path, tmp_path / "opened.wav")))
    assert len(left) * 2 > 40_000
    assert done.size_bytes == 44 + 2 * len(left)
    assert power_at(left, 1000) > 3000


@pytest.mark.asyncio(loop_scope="module")
async def test_a_worker_records_sealed(pool: WorkerPool, far: FarEnd, tmp_path: Path) -> None:
    listener, seal = Listener(), KEYS.new()
    assert seal is not None
    path = tmp_path / "sealed.wav"
    leg = pool.open("CA1", listener)
    leg.start(far.params())
    plan = RecordingPlan("RE1", str(path), seal_head=seal.head, seal_key=seal.key)
    assert seal.key.hex() not in repr(plan) and repr(seal.key) not in repr(plan)
    leg.record(plan)
    await far.talk(leg, payloads(tone(1200, 800)))
    leg.stop_recording("RE1")
    (done,) = await listener.wait(RecordingDone)
    assert done.error == ""
    assert b"RIFF" not in path.read_bytes()
    left, right = channels(str(opened(path, tmp_path / "opened.wav")))
    assert done.size_bytes == 44 + len(left) + len(right)
    assert power_at(left, 1200) > 3000


def of(samples: bytes, place: int) -> tuple[int, int, bytes]:
    return place, rtp.PCMU, g711.encode(samples, rtp.PCMU)


def test_silence_cuts_the_recording_to_the_sample(tmp_path: Path) -> None:
    path = tmp_path / "cut.wav"
    order = ORDER._replace(silence_s=1.0)
    said = [of(tone(440, 500), 0), of(tone(440, 500), 8000)]
    batches = [(said, 8000), ([], 16_000), ([], 24_000), ([of(tone(440, 900), 24_000)], 32_000)]
    ((_, done),) = recorded(path, batches, order).take_finished()
    assert (done.sound_ms, done.duration_ms) == (1000, 2500)
    left, right = channels(str(path))
    assert len(left) == len(right) == 2 * 20_000


def test_a_line_that_hums_is_silent(tmp_path: Path) -> None:
    hum = [of(tone(100, 1000, level=60), 0)]
    ((_, done),) = recorded(tmp_path / "hum.wav", [(hum, 8000)]).take_finished()
    assert (done.sound_ms, done.duration_ms) == (0, 1000)


def test_without_a_limit_silence_ends_nothing(tmp_path: Path) -> None:
    ((_, done),) = recorded(tmp_path / "long.wav", [([], 80_000)]).take_finished()
    assert done.duration_ms == 10_000


def test_a_full_disk_leaves_a_file_that_plays(tmp_path: Path) -> None:
    path = tmp_path / "full.wav"
    loud = g711.encode(tone(1000, 1000), rtp.PCMU)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_001, before[1]))
    try:
        recorder = recorded(path, [([(n * 8000, 0, loud)], (n + 1) * 8000) for n in range(4)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    ((_, done),) = recorder.take_finished()
    assert "cannot be written" in done.error
    left, _ = channels(str(path))
    assert len(left) == (50_001 - 44) // 4 * 2
    assert done.size_bytes == path.stat().st_size
    assert power_at(left, 1000) > 3000


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    path = tmp_path / "link.wav"
    path.symlink_to(target)
    ((_, done),) = recorded(path, [([], 800)]).take_finished()
    assert done.error
    assert target.read_text() == "precious"


def test_a_slow_disk_ends_the_recording_not_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outdial.media.worker.recorder.MOST_WAITING_BYTES", 1000)
    recorder = Recorder()
    recording = recorder.begin(1, ORDER._replace(path=str(tmp_path / "slow.wav")), 0.0)
    for index in range(10):
        recording.heard(index * 160, 0, b"\x10" * 160, index * 0.02)
    assert recording.hand_over(0.5)
    recorder.stop()
    ((_, done),) = recorder.take_finished()
    assert done.error == "the disk is too slow"


@pytest.mark.parametrize("start", [0, 0xFFFFFF00])
def test_timestamps_place_packets_and_jumps_anchor_anew(start: int) -> None:
    line = Timeline()

    def at(offset: int) -> int:
        return (start + offset) & 0xFFFFFFFF

    assert line.place(at(0), 1000) == 1000
    # 20 ms later by timestamp, 35 ms by the clock: jitter does not move it.
    assert line.place(at(160), 1280) == 1160
    assert line.place(at(320), 1310) == 1320
    # Reordered.
    assert line.place(at(80), 1330) == 1080
    # A jump of ten seconds in the timestamps is not ten seconds of silence.
    assert line.place(at(80_320), 1480) == 1480
    assert line.place(at(80_480), 1640) == 1640
    # Timestamps that stood still while half a minute passed.
    assert line.place(at(80_640), 250_000) == 250_000
    line.reset()
    assert line.place(12345, 260_000) == 260_000
