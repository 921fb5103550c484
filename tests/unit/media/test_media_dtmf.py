"""RFC 4733 events both ways, and digits in the audio."""

from __future__ import annotations

from itertools import pairwise

import pytest

from doubles.far_end import tone
from outdial.media.core import dtmf, g711, inband, pcm, rtp, tones
from outdial.media.core.dtmf import EventReceiver, EventSender, Heard, payload

ALL = "0123456789*#ABCD"


def sent(text: str, samples: int = 160, start: int = 0) -> list[dtmf.Emission | None]:
    """What a digit string sends, a packet time each."""
    sender, out, timestamp = EventSender(text), [], start
    while not sender.finished:
        out.append(sender.tick(timestamp & 0xFFFFFFFF, samples))
        timestamp += samples
    return out


def heard(packets: list[dtmf.Emission | None], lost: list[bool], gap_s: float = 0.02) -> str:
    """The digits a receiver hears of those packets when some are lost."""
    receiver, got, now = EventReceiver(), [], 0.0
    for index, packet in enumerate(packets):
        now += gap_s
        if packet is not None and not lost[index % len(lost)]:
            got += receiver.packet(packet.timestamp, packet.payload, now)
        got += receiver.expire(now)
    got += receiver.expire(now + 1)
    return "".join(digit.digit for digit in got)


def test_one_digit_packet_by_packet() -> None:
    packets = sent("5", start=4000)
    assert len(packets) == 10  # 100 ms of tone, 100 ms of gap
    events = [packet for packet in packets if packet is not None]
    assert [event.marker for event in events] == [True] + [False] * 6
    assert {event.timestamp for event in events} == {4000}
    durations = [int.from_bytes(event.payload[2:], "big") for event in events]
    assert durations == [160, 320, 480, 640, 800, 800, 800]
    assert [event.payload[1] >> 7 for event in events] == [0, 0, 0, 0, 1, 1, 1]
    assert {event.payload[0] for event in events} == {5}


def test_pauses_are_silence() -> None:
    packets = sent("1wW2")
    assert [packet is not None for packet in packets].count(True) == 14
    assert len(packets) == 10 + 25 + 50 + 10


@pytest.mark.parametrize("samples", [80, 160, 240, 480])
def test_every_digit_at_every_packet_time(samples: int) -> None:
    packets = sent(ALL, samples)
    assert heard(packets, [False]) == ALL
    starts = [packet.timestamp for packet in packets if packet is not None and packet.marker]
    assert all(later - earlier >= 1600 for earlier, later in pairwise(starts))


@pytest.mark.parametrize("phase", range(20))
def test_one_packet_in_twenty_lost(phase: int) -> None:
    lost = [index == phase for index in range(20)]
    assert heard(sent(ALL * 2), lost) == ALL * 2


def test_all_ends_lost() -> None:
    packets = [
        None if packet is not None and packet.payload[1] & 0x80 else packet for packet in sent("12")
    ]
    assert heard(packets, [False]) == "12"


def test_only_ends_arrive() -> None:
    packets = [
        packet if packet is not None and packet.payload[1] & 0x80 else None for packet in sent("11")
    ]
    assert heard(packets, [False]) == "11"


def test_copies_and_stragglers_are_not_digits() -> None:
    receiver = EventReceiver()
    end = payload("7", 800, end=True)
    assert receiver.packet(1000, payload("7", 160), 0.0) == []
    assert receiver.packet(1000, end, 0.1) == [Heard("7", 100)]
    assert receiver.packet(1000, end, 0.1) == []
    assert receiver.packet(1000, payload("7", 640), 0.1) == []
    assert receiver.packet(2600, payload("8", 160), 0.2) == []
    assert receiver.packet(1000, end, 0.2) == []
    assert receiver.packet(2600, payload("8", 800, end=True), 0.3) == [Heard("8", 100)]
    assert not receiver.open


def test_the_timestamp_may_wrap() -> None:
    assert heard(sent("123", start=0xFFFFFFFF - 1000), [False]) == "123"


def test_a_long_press_is_one_digit() -> None:
    receiver = EventReceiver()
    for duration in range(160, 0xFFFF, 1600):
        assert receiver.packet(500, payload("0", duration), 0.0) == []
    assert receiver.packet(500, payload("0", 0xFFFF), 0.0) == []
    following = 500 + 0xFFFF
    assert receiver.packet(following, payload("0", 160), 0.0) == []
    assert receiver.packet(following, payload("0", 800, end=True), 0.0) == [
        Heard("0", (0xFFFF + 800) // 8)
    ]


def test_rubbish_is_ignored() -> None:
    receiver = EventReceiver()
    assert receiver.packet(1, b"", 0.0) == []
    assert receiver.packet(1, b"\x05\x80\x03", 0.0) == []
    # Flash (16) and the tones above it are no digits.
    assert receiver.packet(1, b"\x10\x8a\x03\x20", 0.0) == []
    assert not receiver.open


@pytest.mark.parametrize("text", ["x", "1 2", "E", "１"])
def test_letters_that_are_not_digits(text: str) -> None:
    with pytest.raises(ValueError, match="not a DTMF digit"):
        EventSender(text)


# ------------------------------------------------------------------ in the audio


def in_band(samples: bytes, law: int = rtp.PCMU, size: int = 160) -> str:
    """The digits heard in the samples, packet by packet."""
    receiver = inband.InBandReceiver()
    data = g711.encode(samples + bytes(3200), law)
    return "".join(
        digit.digit
        for at in range(0, len(data), size)
        for digit in receiver.feed(data[at : at + size], law)
    )


def pair(low: int, high: int, length_ms: int, level: int = 4000) -> bytes:
    one, two = tone(low, length_ms, level), tone(high, length_ms, level)
    return bytes(pcm.audioop.add(one, two, 2))


@pytest.mark.parametrize("law", [rtp.PCMU, rtp.PCMA])
@pytest.mark.parametrize("size", [80, 160, 240])
def test_our_own_tones_are_heard(law: int, size: int) -> None:
    rendered = tones.render_digits(dtmf.steps(ALL + "11w22"))
    data = rendered.ulaw if law == rtp.PCMU else rendered.alaw
    assert in_band(g711.decode(data, law), law, size) == ALL + "1122"


@pytest.mark.parametrize("shift", [0.985, 1.015])
def test_frequencies_may_be_off_by_one_and_a_half_percent(shift: float) -> None:
    for row, low in enumerate(tones.LOW_HZ):
        for column, high in enumerate(tones.HIGH_HZ):
            samples = pair(round(low * shift), round(high * shift), 100)
            assert in_band(samples) == tones.KEYPAD[row][column]


@pytest.mark.parametrize("offset", [0, 37, 80, 123])
@pytest.mark.parametrize("level", [600, 2000, 12000])
def test_weak_and_loud_and_anywhere(offset: int, level: int) -> None:
    samples = bytes(2 * offset) + pair(770, 1336, 80, level) + bytes(1000)
    assert in_band(samples) == "5"


def test_what_is_not_a_digit() -> None:
    assert in_band(bytes(16000)) == ""
    assert in_band(tone(697, 500)) == ""
    assert in_band(pair(697, 770, 500)) == ""
    assert in_band(pair(440, 480, 500)) == ""
    assert in_band(pair(697, 1209, 20)) == ""
    for tone_name in ("ringback", "busy", "congestion"):
        for country in tones.COUNTRIES:
            rendered = tones.render(tones.find(tone_name, country))
            assert in_band(g711.decode(rendered.ulaw, rtp.PCMU)) == ""
    # Much harmonic content round the two frequencies, as a voice has.
    voice = pair(697, 1209, 400, 2000)
    for frequency in (150, 300, 450, 600, 1500):
        voice = pcm.audioop.add(voice, tone(frequency, 400, 2500), 2)
    assert in_band(voice) == ""
