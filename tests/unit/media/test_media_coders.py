"""The libraries behind G.722 and opus, and what is said where one is missing."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doubles.far_end import power_at, tone
from outdial.config import Media, Settings, Trunk
from outdial.errors import CodecUnavailable, ConfigError
from outdial.legs import Codec
from outdial.media import coders as package
from outdial.media.coders import available, coders, g722, opus
from outdial.media.core.coder import Coders

LOADERS = {"opus": opus.load, "ffmpeg": g722.load_ffmpeg, "spandsp": g722.load_spandsp}


@pytest.fixture(params=LOADERS)
def made(request: pytest.FixtureRequest) -> Coders:
    try:
        return LOADERS[request.param]()
    except CodecUnavailable as error:
        pytest.skip(str(error))


def through(made: Coders, samples: bytes, packet_bytes: int = 320) -> bytes:
    encoder, decoder = made.encoder(), made.decoder()
    return b"".join(
        decoder.decode(encoder.encode(samples[at : at + packet_bytes]))
        for at in range(0, len(samples), packet_bytes)
    )


@pytest.mark.parametrize("frequency_hz", [350, 1000, 3000])
def test_a_tone_keeps_its_level(made: Coders, frequency_hz: int) -> None:
    heard = through(made, tone(frequency_hz, 400))
    assert len(heard) == 2 * 3200
    assert power_at(heard[1600:], frequency_hz) == pytest.approx(8000, rel=0.1)


def test_silence_stays_silence(made: Coders) -> None:
    assert max(map(abs, memoryview(through(made, bytes(6400))).cast("h"))) < 30


@pytest.mark.parametrize("packet_ms", [20, 40, 60])
def test_longer_packets(made: Coders, packet_ms: int) -> None:
    assert made.encoder().takes(8 * packet_ms)
    heard = through(made, tone(700, 360), 16 * packet_ms)
    assert power_at(heard[2400:], 700) == pytest.approx(8000, rel=0.1)


def test_a_reset_encoder_is_a_new_one(made: Coders) -> None:
    encoder, fresh = made.encoder(), made.encoder()
    for at in range(0, 6400, 320):
        encoder.encode(tone(900, 400)[at : at + 320])
    encoder.reset()
    for at in range(0, 3200, 320):
        packet = tone(500, 200)[at : at + 320]
        assert encoder.encode(packet) == fresh.encode(packet)


@given(st.lists(st.binary(max_size=1600), max_size=8))
def test_a_decoder_takes_anything(payloads: list[bytes]) -> None:
    """And gives whole samples, no more than the longest packet has; afterwards it still hears."""
    for load in LOADERS.values():
        try:
            decoder = load().decoder()
        except CodecUnavailable:
            continue
        for payload in payloads:
            heard = decoder.decode(payload)
            assert len(heard) % 2 == 0
            assert len(heard) <= 2 * max(opus.MOST_SAMPLES, len(payload))
            decoder.conceal(160, payload)


@given(st.lists(st.integers(0, 1000), max_size=10))
def test_an_encoder_takes_packets_of_any_length(lengths: list[int]) -> None:
    """Of those that it says it takes; nothing is a packet of nothing."""
    for load in LOADERS.values():
        try:
            encoder = load().encoder()
        except CodecUnavailable:
            continue
        for length in lengths:
            if encoder.takes(length):
                assert bool(encoder.encode(bytes(2 * length))) == bool(length)


def test_an_odd_number_of_samples_of_opus_is_no_packet() -> None:
    encoder = opus.load().encoder()
    assert encoder.encode(bytes(318)) == b""
    assert not encoder.takes(159)
    assert encoder.encode(bytes(320)) != b""


def test_forward_error_correction_brings_a_lost_packet_back() -> None:
    """What is concealed with the packet behind it sounds like what was lost, not like before."""
    encoder, decoder = opus.load().encoder(), opus.load().decoder()
    said = tone(400, 200) + tone(900, 200)
    packets = [encoder.encode(said[at : at + 320]) for at in range(0, len(said), 320)]
    for packet in packets[:13]:
        decoder.decode(packet)
    lost = decoder.conceal(160, packets[14])
    assert len(lost) == 320
    assert power_at(lost, 900) > 4 * power_at(lost, 400)
    assert len(decoder.decode(packets[14])) == 320


# ------------------------------------------------------------------ what is missing


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def missing(name: str, *_: Any) -> Any:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    package.coders.cache_clear()
    yield
    package.coders.cache_clear()


def trunk(*codecs: str) -> Settings:
    media = Media.model_validate({"codecs": ["PCMU"]})
    one = Trunk.model_validate({"name": "pbx", "address": "192.0.2.1", "codecs": list(codecs)})
    return Settings.model_construct(media=media, trunks=[one])


def test_what_is_here_can_be_offered() -> None:
    available.check(trunk("opus", "G722", "PCMA"))
    assert available.problem(list(Codec)) == ""


@pytest.mark.usefixtures("nothing_installed")
def test_a_trunk_with_a_codec_that_is_missing_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^trunks\.pbx\.codecs: opus needs libopus"):
        available.check(trunk("opus"))
    available.check(trunk("PCMA"))


@pytest.mark.usefixtures("nothing_installed")
def test_without_libspandsp_g722_is_coded_by_ffmpeg() -> None:
    available.check(trunk("G722"))
    assert type(coders(Codec.G722)).__name__ == "FfmpegG722"


@pytest.mark.usefixtures("nothing_installed")
def test_with_neither_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("av.codecs_available", set())
    with pytest.raises(ConfigError, match="apt install libspandsp2"):
        available.check(trunk("G722"))


@pytest.mark.parametrize(
    ("codecs", "problem"), [(["opus", "opus"], "opus is there twice"), (["G729"], "'opus'")]
)
def test_lists_that_cannot_be_right(codecs: list[str], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Trunk.model_validate({"name": "pbx", "address": "192.0.2.1", "codecs": codecs})


def test_garbage_leaves_nothing_behind(made: Coders) -> None:
    """Memory after 8,000 packets of it is what it was after 4,000; so it is after 1,000 coders."""
    chance = random.Random(1)

    def resident_kib() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4

    encoder, decoder = made.encoder(), made.decoder()
    after = []
    for _ in range(2):
        for _ in range(4000):
            garbage = chance.randbytes(chance.choice((0, 1, 2, 4, 20, 160, 400, 1300)))
            decoder.decode(garbage)
            decoder.conceal(chance.choice((20, 160, 960)), garbage)
            encoder.encode((garbage * 3)[:320] if len(garbage) >= 160 else b"")
        for _ in range(1000):
            made.encoder()
            made.decoder()
        after.append(resident_kib())
    assert after[1] - after[0] < 1024
