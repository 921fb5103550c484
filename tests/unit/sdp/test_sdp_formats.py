"""Codecs and telephone events by number and clock: RFC 3551, RFC 4733, RFC 7587."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outdial import sdp
from outdial.errors import NegotiationError
from outdial.legs import Codec, MediaParams

ALL = (Codec.OPUS, Codec.G722, Codec.PCMA, Codec.PCMU)
PLAIN = (Codec.PCMU, Codec.PCMA)


def description(formats: str, *attributes: str) -> bytes:
    lines = "".join(f"a={attribute}\r\n" for attribute in attributes)
    return (
        "v=0\r\no=a 1 1 IN IP4 192.0.2.7\r\ns=x\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n"
        f"m=audio 4000 RTP/AVP {formats}\r\n{lines}"
    ).encode()


def audio_of(raw: bytes) -> list[str]:
    """The media line and what follows."""
    lines = raw.decode().split("\r\n")
    return lines[next(n for n, line in enumerate(lines) if line.startswith("m=")) : -1]


def test_our_offer_of_everything_in_the_order_of_the_trunk() -> None:
    assert audio_of(sdp.offer("192.0.2.1", 20000, 1, ALL)) == [
        "m=audio 20000 RTP/AVP 111 9 8 0 101 110",
        "a=rtpmap:111 opus/48000/2",
        "a=fmtp:111 useinbandfec=1;maxplaybackrate=8000;sprop-maxcapturerate=8000",
        "a=rtpmap:9 G722/8000",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        "a=rtpmap:110 telephone-event/48000",
        "a=fmtp:110 0-15",
        "a=ptime:20",
        "a=sendrecv",
    ]


def test_g722_alone_needs_events_of_8000_only() -> None:
    assert audio_of(sdp.offer("192.0.2.1", 20000, 1, (Codec.G722,)))[:5] == [
        "m=audio 20000 RTP/AVP 9 101",
        "a=rtpmap:9 G722/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        "a=ptime:20",
    ]


def test_an_answer_is_under_the_numbers_of_the_offer() -> None:
    offer = description(
        "96 97 0",
        "rtpmap:96 opus/48000/2",
        "fmtp:96 minptime=10; useinbandfec=1",
        "rtpmap:97 telephone-event/48000",
    )
    answer, params = sdp.answer(offer, "192.0.2.1", 20000, 1, ALL)
    assert audio_of(answer) == [
        "m=audio 20000 RTP/AVP 96 97",
        "a=rtpmap:96 opus/48000/2",
        "a=fmtp:96 useinbandfec=1;maxplaybackrate=8000;sprop-maxcapturerate=8000",
        "a=rtpmap:97 telephone-event/48000",
        "a=fmtp:97 0-15",
        "a=ptime:20",
        "a=sendrecv",
    ]
    assert (params.codec, params.payload_type) == (Codec.OPUS, 96)
    assert (params.telephone_event, params.telephone_event_hz) == (97, 48000)


@pytest.mark.parametrize("codec", list(Codec))
def test_an_offer_and_its_answer_agree_on_each(codec: Codec) -> None:
    offer = sdp.offer("127.0.0.1", 4000, 1, (codec,))
    answer, callee = sdp.answer(offer, "127.0.0.1", 5000, 2, ALL)
    caller = sdp.accept(answer, (codec,))
    for params in (callee, caller):
        assert (params.codec, params.payload_type) == (codec, None)
        assert params.telephone_event_hz == codec.rtp_hz
        assert params.telephone_event == (110 if codec is Codec.OPUS else 101)


def test_the_offerers_order_counts_in_our_answer() -> None:
    offer = sdp.offer("127.0.0.1", 4000, 1, (Codec.PCMA, Codec.OPUS, Codec.G722))
    assert sdp.answer(offer, "127.0.0.1", 5000, 2, ALL)[1].codec is Codec.PCMA
    _, params = sdp.answer(offer, "127.0.0.1", 5000, 2, (Codec.G722, Codec.OPUS))
    assert params.codec is Codec.OPUS


def test_an_answer_may_have_its_own_number_for_opus() -> None:
    params = sdp.accept(description("120", "rtpmap:120 OPUS/48000/2"), ALL)
    assert (params.codec, params.payload_type) == (Codec.OPUS, 120)


@pytest.mark.parametrize(
    ("formats", "attributes", "event", "rate_hz"),
    [
        # opus: its own clock first, in whatever order they stand
        ("111 101 110", ("101 telephone-event/8000", "110 telephone-event/48000"), 110, 48000),
        ("111 101", ("101 telephone-event/8000",), 101, 8000),
        ("111 101", ("101 telephone-event/16000",), None, 8000),
        ("111 101", (), None, 8000),
        # G.711 and G.722: only events of their clock
        ("9 110 101", ("101 telephone-event/8000", "110 telephone-event/48000"), 101, 8000),
        ("0 110", ("110 telephone-event/48000",), None, 8000),
        ("0 13", ("13 telephone-event/8000",), None, 8000),
    ],
)
def test_the_events_that_go_with_the_codec(
    formats: str, attributes: tuple[str, ...], event: int | None, rate_hz: int
) -> None:
    maps = [f"rtpmap:{attribute}" for attribute in ("111 opus/48000/2", *attributes)]
    params = sdp.accept(description(formats, *maps), ALL)
    assert (params.telephone_event, params.telephone_event_hz) == (event, rate_hz)


@pytest.mark.parametrize(
    ("formats", "attributes"),
    [
        ("111", ()),  # a number without a name
        ("111", ("rtpmap:111 opus/8000",)),
        ("111", ("rtpmap:111 opus/48000/6",)),
        ("9", ("rtpmap:9 G722/16000",)),  # what it samples is not what it counts
        ("9", ("rtpmap:9 opus/48000/2",)),
        ("96", ("rtpmap:96 G722/8000",)),
        ("999", ("rtpmap:999 opus/48000/2",)),
        ("²", ("rtpmap:² opus/48000/2",)),
    ],
)
def test_what_is_none_of_ours(formats: str, attributes: tuple[str, ...]) -> None:
    with pytest.raises(NegotiationError):
        sdp.accept(description(formats, *attributes), ALL)


@pytest.mark.parametrize("formats", ["9", "111 9"])
def test_what_was_not_offered_is_not_accepted(formats: str) -> None:
    answer = description(formats, "rtpmap:111 opus/48000/2", "rtpmap:9 G722/8000")
    with pytest.raises(NegotiationError, match="codec that was offered"):
        sdp.accept(answer, PLAIN)
    with pytest.raises(NegotiationError, match="codec of ours"):
        sdp.answer(answer, "127.0.0.1", 5000, 1, PLAIN)


@pytest.mark.parametrize(
    ("attribute", "ptime_ms"), [("ptime:30", 20), ("ptime:40", 40), ("maxptime:10", 10)]
)
def test_opus_has_packets_of_one_frame(attribute: str, ptime_ms: int) -> None:
    raw = description("111", "rtpmap:111 opus/48000/2", attribute)
    assert sdp.accept(raw, ALL).ptime_ms == ptime_ms


@given(st.permutations(list(Codec)), st.permutations(list(Codec)), st.integers(1, 4))
def test_both_sides_always_agree(offered: list[Codec], taken: list[Codec], count: int) -> None:
    """On the first of the offer that the other takes, each under a number the other knows."""
    offered, taken = offered[:count], taken[:3]
    offer = sdp.offer("127.0.0.1", 4000, 1, offered)
    common = [codec for codec in offered if codec in taken]
    if not common:
        with pytest.raises(NegotiationError):
            sdp.answer(offer, "127.0.0.1", 5000, 2, taken)
        return
    answer, callee = sdp.answer(offer, "127.0.0.1", 5000, 2, taken)
    caller: MediaParams = sdp.accept(answer, offered)
    assert caller.codec is callee.codec is common[0]
    assert caller.telephone_event == callee.telephone_event
    assert caller.telephone_event_hz == callee.telephone_event_hz
