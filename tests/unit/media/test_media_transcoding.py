"""The edges of a stream, without sockets: numbers, clocks, losses, lengths."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doubles.far_end import power_at, tone
from outdial.legs import Codec
from outdial.media.coders import coders
from outdial.media.core import dtmf, g711, rtp
from outdial.media.core.playlist import Playlist, Sound
from outdial.media.core.prompts import MOST_PROMPTS, Prompts
from outdial.media.core.transcoding import MOST_CONCEALED, NOT_TAKEN, Inward, Outward

SPEECH = g711.encode(tone(500, 20), 0)
SILENCE = b"\xff" * 160


class Words:
    """A codec one can read: a packet is its number, and what it was made from."""

    def __init__(self, lengths: tuple[int, ...] = (80, 160, 320)) -> None:
        self.lengths = lengths
        self.made = 0
        self.resets = 0
        self.concealed: list[tuple[int, bytes]] = []

    def takes(self, samples: int) -> bool:
        return samples in self.lengths

    def encode(self, samples: bytes) -> bytes:
        self.made += 1
        return struct.pack("!I", self.made) + samples[:2]

    def reset(self) -> None:
        self.resets += 1
        self.made = 1000 * self.resets

    def decode(self, payload: bytes) -> bytes:
        return tone(300, 20) if payload != b"bad" else b""

    def conceal(self, samples: int, following: bytes) -> bytes:
        self.concealed.append((samples, following))
        return bytes(2 * samples)


def outward(
    words: Words, codec: Codec = Codec.OPUS, *, event_hz: int = 48000, prompts: bool = False
) -> tuple[Outward, Playlist]:
    playlist = Playlist()
    ready = Prompts(lambda: words) if prompts else None
    return Outward(codec, 96, event_hz, words, playlist, ready), playlist


def packet(payload: bytes, sequence: int = 1, timestamp: int = 160, pt: int = 0) -> bytes:
    return rtp.build(pt, sequence, timestamp, 7, payload)


def read(data: bytes) -> tuple[int, int, int, bytes]:
    """Payload type, sequence number, timestamp, payload."""
    parsed = rtp.parse(data, len(data))
    assert parsed is not None
    return parsed.payload_type, parsed.sequence, parsed.timestamp, data[12:]


# ------------------------------------------------------------------ out


@pytest.mark.parametrize(("codec", "scale"), [(Codec.G722, 1), (Codec.OPUS, 6)])
def test_numbers_and_clock(codec: Codec, scale: int) -> None:
    out, _ = outward(Words(), codec)
    (one,) = out.packets(packet(SPEECH, 65535, 0xFFFFFF60))
    (two,) = out.packets(packet(SPEECH, 0, 0))
    assert read(one)[:3] == (96, 65535, (0xFFFFFF60 * scale) & 0xFFFFFFFF)
    assert read(two)[:3] == (96, 0, 0)
    assert (read(two)[2] - read(one)[2]) & 0xFFFFFFFF == 160 * scale, "also over the wrap"


def test_a_marker_stays_a_marker() -> None:
    out, _ = outward(Words())
    (data,) = out.packets(rtp.build(0, 1, 160, 7, SPEECH, marker=True))
    assert data[1] == 96 | rtp.MARKER


@pytest.mark.parametrize(
    ("event_hz", "duration", "says"), [(8000, 800, 800), (48000, 800, 4800), (48000, 16000, 0xFFFF)]
)
def test_events_keep_their_number(event_hz: int, duration: int, says: int) -> None:
    out, _ = outward(Words(), event_hz=event_hz)
    (data,) = out.packets(packet(dtmf.payload("5", duration), pt=101))
    assert read(data) == (101, 1, 960, dtmf.payload("5", says))


def test_packets_of_30_ms_leave_as_20() -> None:
    """Three in, four and a half out: each has its time, and the numbers go on without a gap."""
    out, _ = outward(Words())
    left = []
    for n in range(4):
        left += out.packets(packet(SPEECH + SPEECH[:80], 10 + n, 240 * n))
    assert [read(data)[1:3] for data in left] == [(10 + n, 960 * n) for n in range(6)]


def test_a_packet_that_fills_up_what_waits() -> None:
    """40 bytes are no packet: with 120 more they are."""
    out, _ = outward(Words())
    assert out.packets(packet(SPEECH[:40], 10, 0)) == []
    (data,) = out.packets(packet(SPEECH[:120], 11, 40))
    assert read(data)[1:3] == (10, 0)


def test_what_cannot_be_encoded_is_not_sent() -> None:
    words = Words()
    words.encode = lambda samples: b""  # type: ignore[method-assign]
    out, _ = outward(words)
    assert out.packets(packet(SPEECH)) == []
    assert out.packets(packet(dtmf.payload("1", 160), 2, pt=101)) != []


def test_a_packet_of_the_same_codec_passes() -> None:
    words = Words()
    out, _ = outward(words)
    out.passing = b"as it came"
    (data,) = out.packets(packet(SPEECH, 5, 160))
    assert read(data) == (96, 5, 960, b"as it came")
    assert words.made == 0
    out.packets(packet(SPEECH, 6, 320))
    assert words.resets == 1, "what it knew before is old"


def test_a_prompt_is_encoded_once_for_all() -> None:
    words = Words()
    prompts = Prompts(lambda: words)
    sound = bytes(range(1, 201)) * 8
    heard = []
    for _ in range(3):
        playlist = Playlist()
        out = Outward(Codec.OPUS, 96, 8000, words, playlist, prompts)
        view = memoryview(sound)
        playlist.add(Sound(1, view, view, 1, key="prompt"))
        left = []
        for n in range(9):
            assert isinstance(playlist.current, Sound)
            playlist.current.position = 160 * (n + 1)  # as `Stream.tick` does
            left += out.packets(packet(sound[160 * n : 160 * n + 160], n, 160 * n))
        heard.append([read(data)[3] for data in left])
    assert heard[0] == heard[1] == heard[2]
    assert words.made == 1009, "nine packets, by one encoder that was reset once"
    assert len(prompts) == 9


def test_silence_is_encoded_once() -> None:
    words = Words()
    out, _ = outward(words, prompts=True)
    left = [read(out.packets(packet(SILENCE, n, 160 * n))[0])[3] for n in range(20)]
    assert len(set(left)) == 1
    assert words.made == 8


def test_prompts_are_forgotten_when_there_are_too_many() -> None:
    words = Words()
    prompts = Prompts(lambda: words, most=50)
    for name in range(MOST_PROMPTS + 20):
        prompts.packet(name, 0, SPEECH, b"")
        assert len(prompts) <= 51
    for place in range(60):
        prompts.packet("long", 160 * place, SPEECH, b"")
    assert len(prompts) <= 60
    assert prompts.packet("long", 0, SPEECH, b"") == prompts.packet("long", 0, SPEECH, b"")


# ------------------------------------------------------------------ in


def inward(
    words: Words, codec: Codec = Codec.OPUS, event: int | None = 101, event_hz: int = 48000
) -> Inward:
    return Inward(codec, frozenset({96, codec.value}), event, event_hz, words)


def taken(into: Inward, data: bytes, *, decode: bool = True) -> bytes | int:
    """The datagram after `take`, or NOT_TAKEN."""
    whole = bytearray(rtp.MAX_PACKET)
    whole[: len(data)] = data
    size = into.take(whole, len(data), decode=decode)
    return NOT_TAKEN if size == NOT_TAKEN else bytes(whole[:size])


def test_a_packet_becomes_g711_at_our_clock() -> None:
    into = inward(Words())
    times = []
    for n in range(5):
        got = taken(into, packet(b"x", n, (0xFFFFF000 + 960 * n) & 0xFFFFFFFF, pt=96))
        assert isinstance(got, bytes)
        number, sequence, timestamp, payload = read(got)
        assert (number, sequence, payload) == (0, n, g711.encode(tone(300, 20), 0))
        times.append(timestamp)
    assert {(b - a) & 0xFFFFFFFF for a, b in pairwise(times)} == {160}


def test_timestamps_that_are_no_multiple_do_not_drift() -> None:
    into = inward(Words())
    first = read(taken(into, packet(b"x", 0, 0, pt=96)))[2]  # type: ignore[arg-type]
    for n in range(1, 100):
        got = read(taken(into, packet(b"x", n, 961 * n, pt=96)))[2]  # type: ignore[arg-type]
    assert (got - first) & 0xFFFFFFFF == 961 * 99 // 6


def test_both_numbers_are_taken_and_no_other() -> None:
    into = inward(Words())
    for n, number in enumerate((96, 111)):
        assert read(taken(into, packet(b"x", n, 960 * n, pt=number)))[0] == 0  # type: ignore[arg-type]
    for number in (0, 8, 9, 13, 97):
        data = packet(b"what it is", 5, 4800, pt=number)
        assert taken(into, data) == data
        assert into.raw is None


def test_an_event_in_our_units() -> None:
    into = inward(Words())
    taken(into, packet(b"x", 1, 48000, pt=96))
    got = taken(into, packet(dtmf.payload("9", 4800, end=True), 2, 48960, pt=101))
    assert isinstance(got, bytes)
    number, _, _, payload = read(got)
    assert (number, payload) == (101, dtmf.payload("9", 800, end=True))


def test_an_event_under_the_number_of_our_offer_for_opus() -> None:
    """111 is what they call events: then it is no opus."""
    into = inward(Words(), event=111)
    got = taken(into, packet(dtmf.payload("9", 4800), 2, 0, pt=111))
    assert isinstance(got, bytes)
    assert read(got)[0] == 111


@pytest.mark.parametrize(("gap", "filled"), [(1, 1), (2, 2), (3, 3), (40, MOST_CONCEALED)])
def test_what_is_missing_is_filled(gap: int, filled: int) -> None:
    words = Words()
    into = inward(words)
    taken(into, packet(b"first", 65535, 0, pt=96))
    got = taken(into, packet(b"later", gap, 960 * (gap + 1), pt=96))
    assert isinstance(got, bytes)
    here = read(got)[2]
    assert [following for _, following in words.concealed] == [b""] * (filled - 1) + [b"later"]
    assert [read(data)[1] for data in into.lost] == [gap - n for n in range(filled, 0, -1)]
    assert [(here - read(data)[2]) & 0xFFFFFFFF for data in into.lost] == [
        160 * n for n in range(filled, 0, -1)
    ]
    taken(into, packet(b"next", gap + 1, 960 * (gap + 2), pt=96))
    assert into.lost == []


def test_a_late_packet_is_dropped_when_its_place_was_filled() -> None:
    into = inward(Words())
    taken(into, packet(b"one", 1, 0, pt=96))
    taken(into, packet(b"three", 3, 1920, pt=96))
    assert taken(into, packet(b"two", 2, 960, pt=96)) == NOT_TAKEN
    assert not into.garbled
    # but it passes on to a stream of the same codec, which may still have time for it
    assert taken(into, packet(b"two", 2, 960, pt=96), decode=False) != NOT_TAKEN
    assert into.raw == b"two"


def test_another_source_is_no_loss() -> None:
    into = inward(Words())
    taken(into, rtp.build(96, 1, 0, 7, b"x"))
    taken(into, rtp.build(96, 500, 77, 8, b"x"))
    assert into.lost == []


def test_what_cannot_be_decoded_is_told() -> None:
    into = inward(Words())
    assert taken(into, packet(b"bad", 1, 0, pt=96)) == NOT_TAKEN
    assert into.garbled


def test_extensions_and_padding_come_off() -> None:
    head = rtp.HEADER.pack(0xB1, 96, 1, 960, 7)  # padding, extension, one CSRC
    data = head + b"CSRC" + b"\xbe\xde\x00\x01" + b"exts" + b"payload" + b"\x00\x00\x03"
    into = inward(Words())
    taken(into, data)
    assert into.raw == b"payload"
    assert taken(into, head + b"CSRC" + b"\xbe\xde\xff\xff" + b"x") == b""


@given(st.lists(st.binary(max_size=1500), max_size=20), st.booleans())
@pytest.mark.parametrize("codec", [Codec.G722, Codec.OPUS])
def test_anything_may_come(codec: Codec, datagrams: list[bytes], decode: bool) -> None:
    """Whole datagrams of garbage, and garbage under the number of the codec."""
    into = Inward(codec, frozenset({codec.value}), 101, codec.rtp_hz, coders(codec).decoder())
    for n, garbage in enumerate(datagrams):
        for data in (garbage, packet(garbage, 3 * n, 160 * n, pt=codec.value)):
            got = taken(into, data, decode=decode)
            assert got == NOT_TAKEN or len(got) <= rtp.MAX_PACKET  # type: ignore[arg-type]
            assert len(into.lost) <= MOST_CONCEALED


@given(st.lists(st.integers(0, 1000), max_size=30))
@pytest.mark.parametrize("codec", [Codec.G722, Codec.OPUS])
def test_packets_of_any_length_leave(codec: Codec, lengths: list[int]) -> None:
    """All that came has left but for less than a packet, whatever a peer's packets are."""
    made = coders(codec)
    out = Outward(codec, 96, 8000, made.encoder(), Playlist(), None)
    decoder, heard, at = made.decoder(), 0, 0
    for n, length in enumerate(lengths):
        for data in out.packets(packet((SPEECH * 7)[:length], n, at)):
            heard += len(decoder.decode(data[12:])) // 2
        at += length
    assert 0 <= sum(lengths) - heard < 160


# ------------------------------------------------------------------ the libraries


@pytest.mark.parametrize("codec", [Codec.G722, Codec.OPUS])
def test_the_real_thing_through_both_edges(codec: Codec) -> None:
    made = coders(codec)
    out = Outward(codec, codec.value, 8000, made.encoder(), Playlist(), None)
    into = Inward(codec, frozenset({codec.value}), None, 8000, made.decoder())
    said, heard = tone(600, 400), b""
    for n in range(20):
        payload = g711.encode(said[320 * n : 320 * n + 320], 0)
        (data,) = out.packets(packet(payload, n, 160 * n))
        got = taken(into, data)
        assert isinstance(got, bytes)
        heard += g711.decode(got[12:], 0)
    assert power_at(heard[3200:], 600) == pytest.approx(8000, rel=0.1)
    assert power_at(heard[3200:], 900) < 300
