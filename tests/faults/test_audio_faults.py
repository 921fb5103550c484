"""The table of audio faults of docs/reference/carrier-faults.md, packet by packet, in a time of our
own: a stream of the media worker is given ten seconds of tone with keys between."""

from __future__ import annotations

import random
import socket
import wave
from array import array
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from doubles.far_end import tone
from faults.test_carrier_faults import lines_of
from outdial.legs import Codec, MediaParams
from outdial.media import wire
from outdial.media.coders import coders
from outdial.media.core import g711, rtp
from outdial.media.core.dtmf import DIGITS, EventSender
from outdial.media.wire import RecordOrder
from outdial.media.worker.housekeeping import do_what_is_due
from outdial.media.worker.recorder import Recorder
from outdial.media.worker.stream import Stream

Packets = list[tuple[float, bytes]]
"""When each arrives, and its bytes."""
EVERY_S = 0.6
"""A key is pressed so often."""
START_S = 100.0
EVENTS = 101
SEEDS = range(5)
BY_CHANCE = (
    *("audio-loss-1", "audio-loss-5", "audio-loss-20"),
    *("audio-jitter-200", "audio-opus-loss-5"),
)
TOLERATED = 5.0
"""Percent: a burst may fall on keys, and the edges of the tone are not counted as tone."""


def talk(
    *,
    law: int = rtp.PCMU,
    pt: int | None = None,
    events: int = EVENTS,
    ptime_ms: int = 20,
    ssrc_from: float | None = None,
) -> Packets:
    """All sixteen keys with tone between them, as a phone sends it."""
    samples = 8 * ptime_ms
    payload = g711.encode(tone(1000, ptime_ms), law)
    packets: Packets = []
    timestamp, keys, sender = 8000, list(DIGITS), None
    for number in range(int(EVERY_S * 1000 * (len(DIGITS) + 1)) // ptime_ms):
        at = number * ptime_ms / 1000
        if keys and sender is None and at >= EVERY_S * (len(DIGITS) - len(keys) + 0.5):
            sender = EventSender(keys.pop(0))
        later = ssrc_from is not None and at >= ssrc_from
        ssrc, jump = (78, 1_000_000) if later else (77, 0)
        sequence = number + 30_000 * later
        event = None if sender is None else sender.tick(timestamp, samples)
        if sender is None:
            kind = law if pt is None else pt
            packets.append((at, rtp.build(kind, sequence, timestamp + jump, ssrc, payload)))
        elif event is not None:
            place = event.timestamp + jump
            packets.append((at, rtp.build(events, sequence, place, ssrc, event.payload)))
        if sender is not None and sender.finished:
            sender = None
        timestamp += samples
    return packets


def bursts(fraction: float, seed: int) -> Packets:
    """That part of the packets is lost, in bursts of two to four with something between them: a
    key is seven packets, and of one that is lost as a whole nobody can know."""
    return lossy(talk(), fraction, seed)


def lossy(packets: Packets, fraction: float, seed: int) -> Packets:
    chance = random.Random(seed)
    lost: set[int] = set()
    while len(lost) < fraction * len(packets):
        first = chance.randrange(len(packets))
        burst = range(first, first + chance.randint(2, 4))
        if lost.isdisjoint(range(burst.start - 1, burst.stop + 1)):
            lost.update(burst)
    return [packet for number, packet in enumerate(packets) if number not in lost]


def jittered(seed: int) -> Packets:
    """Each packet takes up to 200 ms longer than it should."""
    chance = random.Random(seed)
    return sorted((at + chance.uniform(0, 0.2), data) for at, data in talk())


def doubled(seed: int) -> Packets:
    return sorted(packet for at, data in talk() for packet in ((at, data), (at + 0.03, data)))


def coded(packets: Packets, codec: Codec, numbers: tuple[int, ...] = ()) -> Packets:
    """The same in another codec, at its clock; by these payload types in turn."""
    encoder, scale = coders(codec).encoder(), codec.rtp_hz // 8000
    made = []
    for place, (at, data) in enumerate(packets):
        parsed = rtp.parse(data, len(data))
        assert parsed is not None
        number, payload = parsed.payload_type, data[12:]
        if number == rtp.PCMU:
            number = (numbers or (codec.value,))[place % len(numbers or (1,))]
            payload = encoder.encode(g711.decode(payload, rtp.PCMU))
        else:
            payload = payload[:2] + (int.from_bytes(payload[2:], "big") * scale).to_bytes(2, "big")
        timestamp = parsed.timestamp * scale
        made.append((at, rtp.build(number, parsed.sequence, timestamp, parsed.ssrc, payload)))
    return made


AUDIO: dict[str, Callable[[int], Packets]] = {
    "audio-as-it-should-be": lambda seed: talk(),
    "audio-loss-1": lambda seed: bursts(0.01, seed),
    "audio-loss-5": lambda seed: bursts(0.05, seed),
    "audio-loss-20": lambda seed: bursts(0.20, seed),
    "audio-jitter-200": jittered,
    "audio-doubled": doubled,
    "audio-other-source": lambda seed: talk(ssrc_from=5.0),
    "audio-ptime-10": lambda seed: talk(ptime_ms=10),
    "audio-ptime-40": lambda seed: talk(ptime_ms=40),
    "audio-ptime-60": lambda seed: talk(ptime_ms=60),
    "audio-other-law": lambda seed: talk(law=rtp.PCMA),
    "audio-unknown-type": lambda seed: talk(pt=18),
    "audio-events-other-type": lambda seed: talk(events=96),
    "audio-g722": lambda seed: coded(talk(), Codec.G722),
    "audio-opus": lambda seed: coded(talk(), Codec.OPUS),
    "audio-opus-loss-5": lambda seed: lossy(coded(talk(), Codec.OPUS), 0.05, seed),
    "audio-opus-two-numbers": lambda seed: coded(talk(), Codec.OPUS, (111, 96)),
    "audio-opus-not-sent": lambda seed: talk(),
}
AGREED = {"audio-g722": Codec.G722}
"""On which codec, where it is neither PCMU nor what the name of the fault says."""
PAGE = {name: (heard, keys) for name, _, heard, keys in lines_of("Audio faults")}


class Ear:
    """A stream that records, and what it told."""

    def __init__(self, path: Path, codec: Codec = Codec.PCMU) -> None:
        ours, control, self.far = (socket.socket(type=socket.SOCK_DGRAM) for _ in range(3))
        for sock in (ours, control, self.far):
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
        self.keys = ""
        self._closed = False
        self.path = path
        self.recorder = Recorder()
        self.stream = Stream(1, 0, ours, control, self._told)
        port = self.far.getsockname()[1]
        theirs = 96 if codec is Codec.OPUS else None
        params = MediaParams("127.0.0.1", port, codec, EVENTS)
        params = replace(params, payload_type=theirs, telephone_event_hz=codec.rtp_hz)
        self.stream.configure(params, START_S)
        order = RecordOrder("RE1", str(path), 1, 3600.0)
        self.stream.recordings.append(self.recorder.begin(1, order, START_S))

    def _told(self, opcode: int, number: int, payload: bytes) -> None:
        if opcode == wire.DIGIT:
            self.keys += wire.unpack_digit(payload)[0]

    def hear(self, packets: Packets) -> None:
        """All of them, and half a second of nothing."""
        for at, packet in packets:
            now = START_S + at
            if now >= self.stream.due:
                do_what_is_due(self.stream, now)
            data = bytearray(rtp.MAX_PACKET)
            data[: len(packet)] = packet
            self.stream.arrive(data, memoryview(data), len(packet), now, int(now * 8000))
        do_what_is_due(self.stream, START_S + packets[-1][0] + 0.5)

    def sounded_s(self) -> float:
        """How much of the recording is tone, once it has ended."""
        self.close()
        with wave.open(str(self.path)) as file:
            samples = array("h", file.readframes(file.getnframes()))
        frames = [samples[at : at + 80] for at in range(0, len(samples), 80)]
        return len([1 for frame in frames if max(map(abs, frame)) > 4000]) / 100

    def close(self) -> None:
        """Ends the recording. Idempotent."""
        if not self._closed:
            self._closed = True
            self.stream.close(START_S + 20)
            self.recorder.stop()
            self.far.close()


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    one = Ear(tmp_path / "heard.wav")
    yield one
    one.close()


def test_the_page_has_a_line_for_each_audio_fault() -> None:
    assert set(PAGE) == set(AUDIO)


@pytest.mark.parametrize(
    ("name", "seed"),
    [(name, seed) for name in AUDIO for seed in (SEEDS if name in BY_CHANCE else [0])],
)
def test_what_is_heard_is_what_the_page_says(name: str, seed: int, tmp_path: Path) -> None:
    heard, keys = PAGE[name]
    opus = Codec.OPUS if name.startswith("audio-opus") else Codec.PCMU
    ear = Ear(tmp_path / "heard.wav", AGREED.get(name, opus))
    ear.hear(AUDIO[name](seed))
    whole = talk(ptime_ms=60) if name == "audio-ptime-60" else talk()
    said_s = sum(len(packet) - 12 for _, packet in whole if len(packet) > 100) / 8000
    share = 100 * ear.sounded_s() / said_s
    assert share == pytest.approx(float(heard.removesuffix(" %")), abs=TOLERATED)
    assert keys == "all"
    assert ear.keys == DIGITS
    ear.close()


def test_no_key_is_missed_or_doubled_at_five_percent_loss(ear: Ear) -> None:
    for seed in range(300):
        ear.keys = ""
        ear.stream.reception.ssrc = None  # another call begins
        ear.stream.recordings.clear()
        ear.hear(bursts(0.05, seed))
        assert ear.keys == DIGITS, seed
