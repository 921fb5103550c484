"""Streams of G.722 and opus on a real worker: what is heard is decoded again and measured."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from doubles.far_end import FarEnd, Listener, power_at, tone
from outdial.legs import Clip, Codec, Digit, MediaStats, PlayEnd, RecordingDone, RecordingPlan
from outdial.media.coders import coders
from outdial.media.core import dtmf, g711, rtp
from outdial.media.plane import WorkerPool
from outdial.testing import audio

pytestmark = pytest.mark.asyncio(loop_scope="module")
MakeClip = Callable[[str, bytes], Clip]
CODECS = [Codec.G722, Codec.OPUS]
BOTH = pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.encoding)
SILENCES = (b"\xff" * 160, b"\xd5" * 160)
SINE_DBFS = -15.3
"""What `tone` has: an amplitude of 8000."""


class CodedEnd:
    """What a telephone with the codec does with a `FarEnd`."""

    def __init__(self, far: FarEnd, codec: Codec) -> None:
        self.far = far
        self.codec = codec
        self._encoder, self._decoder = coders(codec).encoder(), coders(codec).decoder()

    async def hear(self, count: int) -> bytes:
        """The samples of so many packets."""
        return b"".join([self._decoder.decode((await self.far.receive())[1]) for _ in range(count)])

    def packets(self, samples: bytes) -> list[bytes]:
        """20 ms each."""
        return [self._encoder.encode(samples[at : at + 320]) for at in range(0, len(samples), 320)]

    async def talk(self, leg: object, samples: bytes) -> None:
        """Says it, a packet every 20 ms by the clock."""
        loop = asyncio.get_running_loop()
        began, step = loop.time(), self.codec.rtp_hz // 50
        for place, payload in enumerate(self.packets(samples)):
            await asyncio.sleep(max(0.0, began + place * 0.02 - loop.time()))
            self.far.send(leg, payload, pt=self.codec.value, timestamp=place * step)  # type: ignore[arg-type]


def read_wav(path: str) -> list[audio.Sound]:
    return audio.read_wav(Path(path).read_bytes())


def loudness(samples: bytes, frequency_hz: int) -> float:
    """Amplitude of the frequency in the middle of it: a codec needs a moment to begin."""
    return power_at(samples[len(samples) // 4 : len(samples) * 3 // 4], frequency_hz)


@BOTH
async def test_silence_leaves_at_the_clock_of_the_codec(
    pool: WorkerPool, far: FarEnd, codec: Codec
) -> None:
    leg = pool.open("CA1", Listener())
    leg.start(far.params(codec))
    packets = [(await far.receive())[0] for _ in range(5)]
    assert {packet.payload_type for packet in packets} == {codec.value}
    assert [packet.marker for packet in packets] == [True, False, False, False, False]
    for before, after in pairwise(packets):
        assert (after.sequence - before.sequence) & 0xFFFF == 1
        assert (after.timestamp - before.timestamp) & 0xFFFFFFFF == codec.rtp_hz // 50
    assert max(map(abs, memoryview(await CodedEnd(far, codec).hear(10)).cast("h"))) < 50


async def test_opus_is_sent_under_the_number_of_the_far_end(pool: WorkerPool, far: FarEnd) -> None:
    leg = pool.open("CA1", Listener())
    leg.start(far.params(Codec.OPUS, payload_type=96))
    assert (await far.receive())[0].payload_type == 96


@BOTH
async def test_a_prompt_arrives_as_loud_and_as_high_as_it_is(
    pool: WorkerPool, far: FarEnd, other_far: FarEnd, clips: MakeClip, codec: Codec
) -> None:
    samples = tone(440, 400)
    clip = clips("440", samples)
    for end in (far, other_far):  # the second one hears what was encoded for the first
        leg = pool.open("CA1", Listener())
        leg.start(end.params(codec))
        played = leg.queue(clip)
        heard = await CodedEnd(end, codec).hear(20)
        assert loudness(heard, 440) == pytest.approx(8000, rel=0.1)
        assert loudness(heard, 1000) < 400
        assert await played is PlayEnd.FINISHED


@BOTH
async def test_a_prompt_is_told_when_it_is_over_and_silence_follows(
    pool: WorkerPool, far: FarEnd, clips: MakeClip, codec: Codec
) -> None:
    """Of two that follow each other without a gap the second begins within a packet."""
    leg = pool.open("CA1", Listener())
    leg.start(far.params(codec))
    ends = [leg.queue(clips("350ms", tone(600, 350))), leg.queue(clips("long", tone(1100, 330)), 2)]
    end = CodedEnd(far, codec)
    heard = await end.hear(52)
    assert loudness(heard[: 350 * 16], 600) == pytest.approx(8000, rel=0.1)
    assert loudness(heard[370 * 16 : 1000 * 16], 1100) == pytest.approx(8000, rel=0.1)
    assert [await one for one in ends] == [PlayEnd.FINISHED, PlayEnd.FINISHED]
    await end.hear(5)
    assert max(map(abs, memoryview(await end.hear(10)).cast("h"))) < 50


@BOTH
async def test_what_is_said_is_recorded_with_what_is_played(
    pool: WorkerPool, far: FarEnd, clips: MakeClip, codec: Codec, tmp_path: Path
) -> None:
    listener = Listener()
    leg = pool.open("CA1", listener)
    leg.start(far.params(codec))
    leg.record(RecordingPlan("RE1", str(tmp_path / "RE1.wav")))
    leg.queue(clips("high", tone(1000, 1000)))
    await CodedEnd(far, codec).talk(leg, tone(500, 1000))
    leg.stop_recording("RE1")
    (done,) = await listener.wait(RecordingDone)
    assert not done.error
    said, played = read_wav(done.path)
    assert audio.tone_share(said.cut(0.2, 0.9), 500) > 0.95
    assert audio.tone_share(played.cut(0.2, 0.9), 1000) > 0.95
    for sound in (said, played):
        assert audio.level_dbfs(sound.cut(0.2, 0.9)) == pytest.approx(SINE_DBFS, abs=0.7)


@BOTH
async def test_digits_leave_with_the_clock_that_was_agreed_on(
    pool: WorkerPool, far: FarEnd, codec: Codec
) -> None:
    leg = pool.open("CA1", Listener())
    rate_hz = codec.rtp_hz
    leg.start(far.params(codec, 110, telephone_event_hz=rate_hz))
    sent = leg.send_digits("7")
    packet, payload = await far.until(lambda packet, _: packet.payload_type == 110)
    assert payload[0] == 7
    _, payload = await far.until(lambda packet, p: packet.payload_type == 110 and p[1] >= 0x80)
    assert int.from_bytes(payload[2:], "big") == rate_hz // 10, "100 ms"
    assert await sent is PlayEnd.FINISHED
    after, _ = await far.until(lambda packet, _: packet.payload_type == codec.value)
    assert 0 < (after.timestamp - packet.timestamp) & 0xFFFFFFFF < rate_hz


@pytest.mark.parametrize(
    ("codec", "rate_hz"), [(Codec.G722, 8000), (Codec.OPUS, 48000), (Codec.OPUS, 8000)]
)
async def test_digits_are_heard_at_either_clock(
    pool: WorkerPool, far: FarEnd, codec: Codec, rate_hz: int
) -> None:
    listener = Listener()
    leg = pool.open("CA1", listener)
    leg.start(far.params(codec, 101, telephone_event_hz=rate_hz))
    for count, digit in enumerate("4*"):
        at = 90_000 + count * rate_hz
        for end in (False, True):
            far.send(leg, dtmf.payload(digit, rate_hz // 8, end=end), pt=101, timestamp=at)
    heard = await listener.wait(Digit, 2)
    assert [(one.digit, one.duration_ms) for one in heard] == [("4", 125), ("*", 125)]


async def test_an_opus_packet_of_four_bytes_is_no_digit(pool: WorkerPool, far: FarEnd) -> None:
    listener = Listener()
    leg = pool.open("CA1", listener)
    leg.start(far.params(Codec.OPUS, 101))
    for _ in range(3):
        far.send(leg, b"\x08\x0b\x05\x00", pt=111)
    far.send(leg, dtmf.payload("5", 800, end=True), pt=101)
    (heard,) = await listener.wait(Digit)
    assert heard.digit == "5"


@BOTH
async def test_digits_in_the_audio_are_heard(pool: WorkerPool, far: FarEnd, codec: Codec) -> None:
    listener = Listener()
    leg = pool.open("CA1", listener)
    leg.start(far.params(codec, None))
    low, high = memoryview(tone(852, 120, 4000)).cast("h"), memoryview(tone(1336, 120, 4000))
    both = b"".join(
        (one + other).to_bytes(2, "little", signed=True)
        for one, other in zip(low, high.cast("h"), strict=True)
    )
    await CodedEnd(far, codec).talk(leg, both + bytes(320 * 6))
    (heard,) = await listener.wait(Digit)
    assert (heard.digit, heard.source) == ("8", "in-band")


@pytest.mark.parametrize("inner", [Codec.PCMU, Codec.PCMA, *CODECS], ids=lambda c: c.encoding)
@BOTH
async def test_a_bridge_makes_the_codec_of_the_other_side(
    pool: WorkerPool, far: FarEnd, other_far: FarEnd, codec: Codec, inner: Codec
) -> None:
    one, other = pool.open("CA1", Listener()), None
    other = pool.open("CA2", Listener(), near=one)
    one.start(far.params(codec))
    other.start(other_far.params(inner))
    one.bridge(other)
    await asyncio.gather(far.receive(), other_far.receive())
    coded = CodedEnd(far, codec)
    samples = tone(700, 400)
    if inner.is_g711:
        plain = [g711.encode(samples[at : at + 320], inner.value) for at in range(0, 6400, 320)]
        await asyncio.gather(coded.talk(one, samples), other_far.talk(other, plain, pt=inner.value))
        got = other_far.drain()
        heard = b"".join(g711.decode(p, inner.value) for _, p in got if p not in SILENCES)
    else:
        there = CodedEnd(other_far, inner)
        await asyncio.gather(coded.talk(one, samples), there.talk(other, samples))
        got = other_far.drain()
        decoder = coders(inner).decoder()
        heard = b"".join(decoder.decode(payload) for _, payload in got)
        heard = heard[-320 * 18 : -320 * 2]
    assert {packet.payload_type for packet, _ in got} == {inner.value}
    assert loudness(heard, 700) == pytest.approx(8000, rel=0.15)
    decoder = coders(codec).decoder()
    back = b"".join(decoder.decode(payload) for _, payload in far.drain()[-18:])
    assert loudness(back, 700) == pytest.approx(8000, rel=0.15)


@BOTH
async def test_two_of_one_codec_get_each_others_packets_unchanged(
    pool: WorkerPool, far: FarEnd, other_far: FarEnd, codec: Codec, tmp_path: Path
) -> None:
    listener = Listener()
    one = pool.open("CA1", listener)
    other = pool.open("CA2", Listener(), near=one)
    one.start(far.params(codec))
    other.start(other_far.params(codec))
    one.bridge(other)
    await asyncio.gather(far.receive(), other_far.receive())
    payloads = CodedEnd(far, codec).packets(tone(700, 400))
    for recorded in (False, True):
        if recorded:  # what is recorded is decoded, and passed on as it came all the same
            one.record(RecordingPlan("RE1", str(tmp_path / "RE1.wav")))
        for place, payload in enumerate(payloads):
            far.send(one, payload, pt=codec.value, timestamp=(place + 20 * recorded) * 160)
            _, got = await other_far.until(lambda _, p, want=payload: p == want)  # type: ignore[misc]
            assert got == payload
    one.close()
    (stats,) = await listener.wait(MediaStats)
    assert stats.packets_received == 2 * len(payloads)
    assert (stats.packets_lost, stats.packets_refused) == (0, 0)


@BOTH
async def test_a_room_of_three_codecs(
    pool: WorkerPool, far: FarEnd, other_far: FarEnd, codec: Codec
) -> None:
    room = pool.room("CF1", Listener())
    plain, coded = pool.open("CA1", Listener()), pool.open("CA2", Listener())
    plain.start(far.params())
    coded.start(other_far.params(codec))
    plain.join(room)
    coded.join(room)
    payloads = [g711.encode(tone(900, 20 * 40)[at : at + 320], 0) for at in range(0, 12800, 320)]
    await asyncio.gather(
        far.talk(plain, payloads), CodedEnd(other_far, codec).talk(coded, tone(600, 800))
    )
    heard = b"".join(g711.decode(payload, 0) for _, payload in far.drain()[-25:-5])
    assert loudness(heard, 600) == pytest.approx(8000, rel=0.2)
    decoder = coders(codec).decoder()
    heard = b"".join(decoder.decode(payload) for _, payload in other_far.drain())[-320 * 25 :]
    assert loudness(heard[: -320 * 5], 900) == pytest.approx(8000, rel=0.2)
    room.close()


async def test_the_codec_changes_in_the_middle(
    pool: WorkerPool, far: FarEnd, clips: MakeClip
) -> None:
    leg = pool.open("CA1", Listener())
    leg.start(far.params())
    leg.queue(clips("2s", tone(800, 2000)))
    assert (await far.receive())[0].payload_type == rtp.PCMU
    for codec in (Codec.OPUS, Codec.G722, Codec.PCMA):
        leg.update(far.params(codec))
        packet, payload = await far.until(lambda p, _, c=codec: p.payload_type == c.value)  # type: ignore[misc]
        got = [payload] + [(await far.receive())[1] for _ in range(15)]
        if codec.is_g711:
            heard = b"".join(g711.decode(one, codec.value) for one in got)
        else:
            decoder = coders(codec).decoder()
            heard = b"".join(decoder.decode(one) for one in got)
        assert loudness(heard, 800) == pytest.approx(8000, rel=0.15), packet


async def test_lost_opus_is_concealed_and_counted(
    pool: WorkerPool, far: FarEnd, tmp_path: Path
) -> None:
    """Every fifth packet is lost: the tone has no holes, and the counters say what was lost."""
    listener = Listener()
    leg = pool.open("CA1", listener)
    leg.start(far.params(Codec.OPUS))
    leg.record(RecordingPlan("RE1", str(tmp_path / "RE1.wav"), channels=1))
    for place, payload in enumerate(CodedEnd(far, Codec.OPUS).packets(tone(500, 1000))):
        far.sequence = 100 + place
        if place % 5 != 3:
            far.send(leg, payload, pt=111, timestamp=place * 960)
        await asyncio.sleep(0.02)
    leg.close()
    (done,) = await listener.wait(RecordingDone)
    (stats,) = await listener.wait(MediaStats)
    assert (stats.packets_received, stats.packets_lost) == (40, 10)
    (said,) = read_wav(done.path)
    # with holes it would sound in four fifths of the time; one of 20 ms may be this machine's
    assert audio.active_s(said.cut(0.1, 0.9)) > 0.9 * 0.8
    assert audio.tone_share(said.cut(0.1, 0.9), 500) > 0.85


async def test_garbage_is_counted_and_nothing_else(pool: WorkerPool, far: FarEnd) -> None:
    listener = Listener()
    leg = pool.open("CA1", listener)
    leg.start(far.params(Codec.OPUS, None))
    await far.receive()
    for payload in (b"", b"\xff", bytes(range(200)), b"\xff" * 1300, b"\x03\xff"):
        far.send(leg, payload, pt=111)
    far.send(leg, b"\x08\x07", pt=77)  # a number that nobody agreed on
    await asyncio.sleep(0.1)
    leg.close()
    (stats,) = await listener.wait(MediaStats)
    assert stats.packets_received == 6
    assert stats.packets_refused >= 3
