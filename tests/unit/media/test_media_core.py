"""RTP and RTCP packets, reception, tones, the playlist, the protocol to the worker."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doubles.far_end import power_at, tone
from outdial.legs import Codec, Direction, MediaParams, MediaStats
from outdial.media import wire
from outdial.media.core import g711, rtcp, rtp, tones
from outdial.media.core.dtmf import EventSender
from outdial.media.core.playlist import Playlist, Sound
from outdial.media.core.reception import NEW, OLD, RESTART, Reception

# ------------------------------------------------------------------ RTP


def test_a_packet_and_back() -> None:
    data = rtp.build(8, 65536 + 5, 2**32 + 7, 99, b"abc", marker=True)
    assert rtp.parse(data, len(data)) == rtp.Packet(True, 8, 5, 7, 99, 12, 15)


def test_csrcs_extension_and_padding_are_taken_off() -> None:
    plain = rtp.build(0, 1, 2, 3, b"")
    data = bytes([0x80 | 0x30 | 2]) + plain[1:] + bytes(8)
    data += b"\xbe\xde\x00\x01" + bytes(4) + b"sound" + b"\x00\x00\x03"
    packet = rtp.parse(data, len(data))
    assert packet is not None
    assert data[packet.payload_start : packet.payload_end] == b"sound"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(11),
        bytes(12),
        b"\x8f" + bytes(11),
        b"\x90" + bytes(11),
        b"\x90" + bytes(11) + b"\x00\x00\x00\x09",
        b"\xa0" + bytes(12),
        b"\xa0" + bytes(10) + b"\x20",
    ],
)
def test_what_is_not_rtp(data: bytes) -> None:
    assert rtp.parse(data, len(data)) is None


@given(st.binary(max_size=80))
def test_any_datagram_is_a_packet_or_none(data: bytes) -> None:
    packet = rtp.parse(data, len(data))
    assert packet is None or 12 <= packet.payload_start <= packet.payload_end <= len(data)
    rtcp.parse(data)


# ------------------------------------------------------------------ RTCP

BLOCK = rtcp.Block(7, 64, -3, 0x10005, 40, 0x12345678, 65536)


def test_a_sender_report_and_back() -> None:
    ntp = rtcp.ntp_time(1_700_000_000.5)
    data = rtcp.sender_report(5, ntp, 1600, 10, 1600, [BLOCK])
    data += rtcp.description(5, "abcdef") + rtcp.bye(5)
    assert len(data) % 4 == 0
    assert rtcp.parse(data) == [rtcp.Report(5, ntp, (BLOCK,))]


def test_a_receiver_report_and_back() -> None:
    assert rtcp.parse(rtcp.receiver_report(5, [BLOCK, BLOCK])) == [
        rtcp.Report(5, None, (BLOCK, BLOCK))
    ]
    assert rtcp.parse(rtcp.receiver_report(5)) == [rtcp.Report(5, None, ())]


def test_ntp_time_is_of_rfc_5905() -> None:
    assert rtcp.ntp_time(0.5) >> 32 == 2208988800
    assert rtcp.ntp_time(0.5) & 0xFFFFFFFF == 0x80000000


def test_the_round_trip_of_rfc_3550_figure_2() -> None:
    block = BLOCK._replace(last_sr=0xB7058000, delay=0x00054000)
    arrived = 0xB7108000 << 16
    # The figure's own numbers: 0xb710:8000 - 0xb705:2000 - 0x0005:4000 = 6.125 s.
    assert rtcp.round_trip_s(block._replace(last_sr=0xB7052000), arrived) == 6.125
    assert rtcp.round_trip_s(block._replace(last_sr=0), arrived) is None
    assert rtcp.round_trip_s(block._replace(delay=0x00200000), arrived) == 0.0


@pytest.mark.parametrize("text", ["a", "ab", "abc", "abcd", "abcdefgh"])
def test_a_description_is_padded_to_words(text: str) -> None:
    data = rtcp.description(1, text)
    assert len(data) % 4 == 0
    assert data[-1] == 0
    assert int.from_bytes(data[2:4], "big") == len(data) // 4 - 1


# ------------------------------------------------------------------ reception


def fed(sequences: list[int], start: int = 0) -> Reception:
    reception = Reception()
    for index, sequence in enumerate(sequences):
        reception.packet(sequence & 0xFFFF, sequence * 160 & 0xFFFFFFFF, 1, start + index * 160)
    return reception


def test_loss_is_what_the_sequence_says() -> None:
    reception = fed([10, 11, 14, 15, 20])
    assert (reception.received, reception.expected, reception.lost) == (5, 11, 6)
    assert reception.interval_loss() == (6 << 8) // 11
    assert reception.interval_loss() == 0


def test_the_sequence_wraps() -> None:
    reception = fed(list(range(65530, 65546)))
    assert (reception.received, reception.lost) == (16, 0)
    assert reception.extended_highest == 0x10000 + 9


def test_reordered_and_repeated_packets_are_old() -> None:
    reception = Reception()
    order = [
        reception.packet(sequence, sequence * 160, 1, at * 160)
        for at, sequence in enumerate([5, 6, 8, 7, 8, 9])
    ]
    assert order == [RESTART, NEW, NEW, OLD, OLD, NEW]
    assert reception.lost == 0


def test_another_source_starts_anew_and_keeps_the_totals() -> None:
    reception = fed([1, 2, 5])
    assert reception.packet(40000, 77, 2, 1000) == RESTART
    assert (reception.received, reception.lost) == (4, 2)


def test_a_jump_is_believed_the_second_time() -> None:
    reception = fed([1, 2, 3])
    assert reception.packet(30000, 0, 1, 0) == OLD
    assert reception.packet(4, 640, 1, 640) == NEW
    assert reception.packet(30000, 0, 1, 0) == OLD
    assert reception.packet(30001, 0, 1, 0) == RESTART


@pytest.mark.parametrize("start", [0, 0xFFFFFF00])
def test_jitter_of_rfc_3550(start: int) -> None:
    reception, expected, transit = Reception(), 0.0, None
    arrivals = [0, 160, 340, 470, 700, 810]
    for index, arrival in enumerate(arrivals):
        timestamp = (start + index * 160) & 0xFFFFFFFF
        reception.packet(index, timestamp, 1, arrival)
        now = arrival - index * 160
        if transit is not None:
            expected += (abs(now - transit) - expected) / 16
        transit = now
    assert reception.jitter == pytest.approx(expected)
    assert reception.jitter_ms == pytest.approx(expected / 8)


def test_late_packets_are_those_that_missed_their_play_out() -> None:
    reception = Reception()
    arrivals = [0, 160, 320, 480 + 1000, 640 + 900, 800 + 300, 960]
    for index, arrival in enumerate(arrivals):
        reception.packet(index, index * 160, 1, arrival)
    assert reception.late == 2


def test_steady_clocks_that_differ_are_not_late() -> None:
    reception = Reception()
    for index in range(20_000):
        # A sender 100 ppm slow: 40 ms in the 400 s.
        reception.packet(index & 0xFFFF, index * 160, 1, index * 160 + index * 16 // 1000)
    assert reception.late == 0


def test_events_do_not_count_as_jitter() -> None:
    reception = fed([1, 2, 3])
    for index in range(4, 12):
        assert reception.packet(index, 640, 1, index * 160, timed=False) == NEW
    assert reception.jitter == 0.0


# ------------------------------------------------------------------ tones


@pytest.mark.parametrize("country", tones.COUNTRIES)
@pytest.mark.parametrize("name", ["ringback", "busy", "congestion"])
def test_tones_sound_and_pause_as_their_table_says(country: str, name: str) -> None:
    wanted = tones.find(f"{name}:{country}")
    rendered = tones.render(wanted)
    samples = g711.decode(rendered.ulaw, rtp.PCMU)
    assert len(samples) == 16 * sum(wanted.cadence_ms)
    at = 0
    for off, length_ms in enumerate(wanted.cadence_ms):
        part = samples[at : at + 16 * length_ms]
        at += len(part)
        for frequency in wanted.frequencies_hz:
            power = power_at(part[:3200], frequency)
            assert (power > 2000) is (off % 2 == 0)
    assert len(rendered.alaw) == len(rendered.ulaw)


def test_the_country_is_the_default_unless_named() -> None:
    assert tones.find("busy", "de") == tones.find("busy:de", "us")
    assert tones.find("beep", "de").endless is False


# ------------------------------------------------------------------ playlist


def sound(play: int, data: bytes, loops: int = 1) -> Sound:
    return Sound(play, memoryview(data), memoryview(data), loops)


def test_sounds_are_joined_inside_a_packet_and_padded_at_the_end() -> None:
    playlist = Playlist()
    finished = playlist.finished
    for item in (sound(1, b"aaa"), sound(2, b"bb", 2), sound(3, b"c")):
        playlist.add(item)
    packet = bytearray(b"HH" + bytes(6))
    assert playlist.fill(packet, 2, 6, rtp.PCMU)
    assert bytes(packet) == b"HHaaabbb"
    assert finished == [1]
    assert playlist.fill(packet, 2, 6, rtp.PCMU)
    assert bytes(packet) == b"HHbc\xff\xff\xff\xff"
    assert finished == [1, 2, 3]
    assert not playlist.fill(packet, 2, 6, rtp.PCMU)


def test_digits_wait_for_the_next_packet() -> None:
    playlist = Playlist()
    playlist.add(sound(1, b"aaa"))
    playlist.add(EventSender("1", 2))
    packet = bytearray(6)
    assert playlist.fill(packet, 0, 6, rtp.PCMA)
    assert bytes(packet) == b"aaa\xd5\xd5\xd5"
    assert isinstance(playlist.current, EventSender)
    assert playlist.clear() == [2]


def test_empty_sounds_end_and_never_loop() -> None:
    playlist = Playlist()
    finished = playlist.finished
    playlist.add(sound(1, b"", 0))
    playlist.add(sound(2, b"", 5))
    assert not playlist.fill(bytearray(4), 0, 4, rtp.PCMU)
    assert finished == [1, 2]
    assert playlist.current is None


def test_an_endless_sound_goes_on() -> None:
    playlist = Playlist()
    playlist.add(sound(1, b"ab", 0))
    packet = bytearray(5)
    for expected in (b"ababa", b"babab"):
        assert playlist.fill(packet, 0, 5, rtp.PCMU)
        assert bytes(packet) == expected
    assert playlist.clear() == [1]


def test_the_laws_agree() -> None:
    samples = tone(440, 20)
    ulaw, alaw = g711.encode(samples, rtp.PCMU), g711.encode(samples, rtp.PCMA)
    assert power_at(g711.decode(ulaw.translate(g711.ULAW_TO_ALAW), rtp.PCMA), 440) > 7000
    assert power_at(g711.decode(alaw.translate(g711.ALAW_TO_ULAW), rtp.PCMU), 440) > 7000
    assert set(g711.decode(g711.SILENCE[rtp.PCMU], rtp.PCMU)) == {0}


# ------------------------------------------------------------------ the protocol to the worker


def test_frames_survive_any_cutting() -> None:
    frames = [
        wire.frame(wire.OPEN, 1, wire.pack_port(20000)),
        wire.frame(wire.STOP, 2),
        wire.frame(wire.QUEUE, 3, wire.pack_play(9, 0, "a" * 300, "ü")),
    ]
    data = b"".join(frames)
    for size in (1, 2, 5, 7, len(data)):
        deframer = wire.Deframer()
        got = [
            frame
            for at in range(0, len(data), size)
            for frame in deframer.feed(data[at : at + size])
        ]
        assert [(opcode, stream) for opcode, stream, _ in got] == [
            (wire.OPEN, 1),
            (wire.STOP, 2),
            (wire.QUEUE, 3),
        ]
        assert wire.unpack_play(got[2][2], 2) == (9, 0, ["a" * 300, "ü"])


def test_a_frame_that_is_too_long() -> None:
    with pytest.raises(ValueError, match="64 KiB"):
        wire.frame(wire.QUEUE, 1, bytes(70_000))


@pytest.mark.parametrize("event", [None, 101])
@pytest.mark.parametrize("direction", list(Direction))
def test_parameters_and_back(event: int | None, direction: Direction) -> None:
    params = MediaParams(
        "2001:db8::1", 4000, Codec.PCMA, event, 30, direction, 4001, True, "192.0.2.1"
    )
    assert wire.unpack_params(wire.pack_params(params)) == params


def test_payloads_and_back() -> None:
    stats = MediaStats(1, 2, 3, 4, 5, 6.5, 7, 0.25, 8.125)
    assert wire.unpack_stats(wire.pack_stats(stats)) == stats
    for sound_ms in (0.0, 812.5):
        stats = MediaStats(1, sound_after_ms=sound_ms)
        assert wire.unpack_stats(wire.pack_stats(stats)) == stats
    order = wire.RecordOrder("RE1", "/x/ü.wav", 2, 60.0, 5.0)
    assert wire.unpack_record(wire.pack_record(order)) == order
    done = wire.Recorded("RE1", "/x.wav", 5, 6, "", 4)
    assert wire.unpack_recorded(wire.pack_recorded(done)) == done
    report = wire.Report(*range(len(wire.Report._fields)))
    assert wire.unpack_report(wire.pack_report(report)) == report
    assert wire.unpack_digit(wire.pack_digit("#", 1, 90)) == ("#", 1, 90)
