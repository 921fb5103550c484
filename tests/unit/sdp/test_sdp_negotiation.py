"""Offer/answer, RFC 3264."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outdial import sdp
from outdial.errors import NegotiationError, RemoteProtocolError
from outdial.legs import Codec, Direction

BOTH = (Codec.PCMU, Codec.PCMA)


def description(media: str, *, connection: str = "c=IN IP4 192.0.2.7\r\n", more: str = "") -> bytes:
    return (
        f"v=0\r\no=alice 1 1 IN IP4 192.0.2.7\r\ns=x\r\n{connection}t=0 0\r\n{more}{media}"
    ).encode()


def test_our_offer_is_what_the_rfc_describes() -> None:
    assert sdp.offer("192.0.2.1", 20000, 77, BOTH) == (
        b"v=0\r\no=- 77 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
        b"m=audio 20000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
        b"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
    )


def test_offer_over_ipv6_and_without_events() -> None:
    offer = sdp.offer("2001:db8::1", 20000, 77, [Codec.PCMA], telephone_event=None, version=3)
    assert b"o=- 77 3 IN IP6 2001:db8::1\r\n" in offer
    assert b"m=audio 20000 RTP/AVP 8\r\n" in offer
    assert b"telephone-event" not in offer


@pytest.mark.parametrize("codecs", [BOTH, (Codec.PCMA,), (Codec.PCMU,)])
@pytest.mark.parametrize("event", [None, 96, 101])
def test_our_own_offer_and_answer_agree(codecs: tuple[Codec, ...], event: int | None) -> None:
    offer = sdp.offer("127.0.0.1", 4000, 1, codecs, telephone_event=event)
    reply, callee = sdp.answer(offer, "127.0.0.1", 5000, 2, BOTH)
    caller = sdp.accept(reply, codecs)
    assert callee.codec is caller.codec is codecs[0]
    assert callee.telephone_event == caller.telephone_event == event
    assert (callee.remote_port, caller.remote_port) == (4000, 5000)
    assert (callee.remote_rtcp_port, caller.remote_rtcp_port) == (4001, 5001)
    assert callee.direction is caller.direction is Direction.SENDRECV


def test_static_payload_types_need_no_rtpmap_nor_direction() -> None:
    params = sdp.accept(description("m=audio 4000 RTP/AVP 8 0\r\n"), BOTH)
    assert params.codec is Codec.PCMA
    assert params.direction is Direction.SENDRECV
    assert params.telephone_event is None
    assert params.ptime_ms == 20


def test_a_static_type_mapped_to_something_else_is_not_ours() -> None:
    with pytest.raises(NegotiationError):
        sdp.accept(description("m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 G729/8000\r\n"), BOTH)


def test_any_dynamic_event_type_and_any_case() -> None:
    params = sdp.accept(
        description("m=audio 4000 RTP/AVP 0 121\r\na=rtpmap:121 Telephone-Event/8000\r\n"), BOTH
    )
    assert params.telephone_event == 121


def test_events_that_are_mapped_but_not_in_the_formats_do_not_count() -> None:
    raw = description("m=audio 4000 RTP/AVP 0\r\na=rtpmap:101 telephone-event/8000\r\n")
    assert sdp.accept(raw, BOTH).telephone_event is None


def test_media_level_connection_wins() -> None:
    raw = description("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 198.51.100.9\r\n")
    assert sdp.accept(raw, BOTH).remote_address == "198.51.100.9"


def test_the_first_usable_audio_line_is_taken_and_the_others_refused() -> None:
    raw = description(
        "m=video 5000 RTP/AVP 96 97\r\na=rtpmap:96 VP8/90000\r\n"
        "m=audio 4000 RTP/SAVP 0\r\n"
        "m=audio 4002 RTP/AVP 18\r\n"
        "m=audio 4004 RTP/AVP 18 8 0\r\na=sendonly\r\n"
        "m=audio 4006 RTP/AVP 0\r\n"
        "m=image 4008 udptl t38\r\n"
    )
    reply, params = sdp.answer(raw, "127.0.0.1", 6000, 5, BOTH)
    assert params.remote_port == 4004
    assert params.codec is Codec.PCMA
    assert params.direction is Direction.RECVONLY
    lines = [line for line in reply.split(b"\r\n") if line.startswith(b"m=")]
    assert lines == [
        b"m=video 0 RTP/AVP 96",
        b"m=audio 0 RTP/SAVP 0",
        b"m=audio 0 RTP/AVP 18",
        b"m=audio 6000 RTP/AVP 8",
        b"m=audio 0 RTP/AVP 0",
        b"m=image 0 udptl t38",
    ]
    assert b"a=recvonly" in reply


@pytest.mark.parametrize(
    ("stated", "ours"),
    [
        ("sendrecv", Direction.SENDRECV),
        ("sendonly", Direction.RECVONLY),
        ("recvonly", Direction.SENDONLY),
        ("inactive", Direction.INACTIVE),
    ],
)
def test_direction_is_turned_round(stated: str, ours: Direction) -> None:
    for raw in (
        description(f"m=audio 4000 RTP/AVP 0\r\na={stated}\r\n"),
        description("m=audio 4000 RTP/AVP 0\r\n", more=f"a={stated}\r\n"),
    ):
        assert sdp.accept(raw, BOTH).direction is ours


def test_the_old_way_to_hold() -> None:
    raw = description("m=audio 4000 RTP/AVP 0\r\n", connection="c=IN IP4 0.0.0.0\r\n")
    reply, params = sdp.answer(raw, "127.0.0.1", 6000, 5, BOTH)
    assert params.direction is Direction.RECVONLY
    assert b"a=recvonly" in reply


def test_what_we_want_limits_what_is_agreed() -> None:
    raw = description("m=audio 4000 RTP/AVP 0\r\n")
    assert sdp.accept(raw, BOTH, direction=Direction.SENDONLY).direction is Direction.SENDONLY
    reply, params = sdp.answer(
        raw, "127.0.0.1", 6000, 5, BOTH, direction=Direction.INACTIVE, version=4
    )
    assert params.direction is Direction.INACTIVE
    assert b"o=- 5 4 IN" in reply


@pytest.mark.parametrize(
    ("attribute", "ptime"),
    [
        ("", 20),
        ("a=ptime:30\r\n", 30),
        ("a=ptime:10\r\n", 10),
        ("a=ptime:5\r\n", 10),
        ("a=ptime:25\r\n", 20),
        ("a=ptime:200\r\n", 60),
        ("a=ptime:40\r\na=maxptime:30\r\n", 30),
        ("a=ptime:20.5\r\n", 20),
        ("a=ptime:many\r\n", 20),
    ],
)
def test_ptime(attribute: str, ptime: int) -> None:
    assert sdp.accept(description(f"m=audio 4000 RTP/AVP 0\r\n{attribute}"), BOTH).ptime_ms == ptime


@pytest.mark.parametrize(
    ("attribute", "port"),
    [("", 4001), ("a=rtcp:5555\r\n", 5555), ("a=rtcp:99999\r\n", 4001), ("a=rtcp:x\r\n", 4001)],
)
def test_rtcp_port(attribute: str, port: int) -> None:
    raw = description(f"m=audio 4000 RTP/AVP 0\r\n{attribute}")
    assert sdp.accept(raw, BOTH).remote_rtcp_port == port


@pytest.mark.parametrize(
    "raw",
    [
        description("m=audio 0 RTP/AVP 0\r\n"),
        description("m=audio 4000 RTP/AVP 18\r\n"),
        description("m=audio 4000 RTP/SAVP 0\r\n"),
        description("m=audio 4000 RTP/AVP 0\r\n", connection=""),
        description("m=audio 4000 RTP/AVP 0\r\n", connection="c=IN IP4 239.1.1.1\r\n"),
        description("m=audio 4000 RTP/AVP 0\r\n", connection="c=IN IP4 255.255.255.255\r\n"),
        description("m=audio 4000 RTP/AVP 0\r\n", connection="c=IN IP4 host.example\r\n"),
        description("m=audio 4000 RTP/AVP 0\r\n", connection="c=IN IP6 fe80::1%eth0\r\n"),
        description("", more=""),
    ],
)
def test_nothing_usable(raw: bytes) -> None:
    with pytest.raises(NegotiationError):
        sdp.accept(raw, BOTH)
    with pytest.raises(NegotiationError):
        sdp.answer(raw, "127.0.0.1", 6000, 5, BOTH)


def test_the_other_ip_version_is_refused() -> None:
    raw = description("m=audio 4000 RTP/AVP 0\r\n", connection="c=IN IP6 2001:db8::2\r\n")
    with pytest.raises(NegotiationError):
        sdp.answer(raw, "127.0.0.1", 6000, 5, BOTH)
    _, params = sdp.answer(raw, "::1", 6000, 5, BOTH)
    assert params.remote_address == "2001:db8::2"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"hello",
        b"v=1\r\n",
        b"v=0\r\nm=audio\r\n",
        b"v=0\r\nm=audio 99999 RTP/AVP 0\r\n",
        b"v=0\r\nm=audio -1 RTP/AVP 0\r\n",
        b"v=0\r\nc=IN\r\n",
        b"v=0\r\nc=IN IP5 1.2.3.4\r\n",
        b"v=0\r\nrubbish\r\n",
        b"v=0\r\ns=\x00\r\n",
        b"v=0\r\n" + b"m=audio 4000 RTP/AVP 0\r\n" * 17,
        b"v=0\r\n" + b"a=x\r\n" * 1001,
        b"v=0\r\n" + b"a=" + b"x" * 17000,
    ],
)
def test_malformed(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        sdp.parse(raw)


def test_bare_line_feeds_and_trailing_spaces_are_taken() -> None:
    raw = b"v=0\no=- 1 1 IN IP4 192.0.2.7\nc=IN IP4 192.0.2.7\nm=audio 4000 RTP/AVP 0 \n\n"
    assert sdp.accept(raw, BOTH).remote_port == 4000


_LINES = st.sampled_from(
    [
        "v=0",
        "c=IN IP4 1.2.3.4",
        "c=IN IP6 ::",
        "m=audio 4000 RTP/AVP 0 8 101",
        "m=audio 0 RTP/AVP 0",
        "a=rtpmap:101 telephone-event/8000",
        "a=rtpmap:",
        "a=ptime:",
        "a=ptime:²",
        "a=rtcp:²",
        "a=inactive",
        "a=",
        "=",
        "",
    ]
)


@given(
    st.one_of(
        st.binary(max_size=400),
        st.lists(_LINES, max_size=12).map(
            lambda lines: ("v=0\r\n" + "\r\n".join(lines)).encode("utf-8")
        ),
    )
)
def test_only_the_documented_errors(raw: bytes) -> None:
    for negotiate in (
        lambda: sdp.accept(raw, BOTH),
        lambda: sdp.answer(raw, "127.0.0.1", 6000, 5, BOTH),
    ):
        try:
            negotiate()
        except (NegotiationError, RemoteProtocolError):
            continue


@pytest.mark.parametrize(
    "media",
    [
        "m=image 40000 udptl t38\r\n",
        "m=audio 0 RTP/AVP 0\r\nm=image 40000 udptl t38\r\n",
        "m=image 40000 udptl t38\r\nm=audio 0 RTP/AVP 0\r\n",
    ],
)
def test_a_change_to_t38_is_refused(media: str) -> None:
    with pytest.raises(NegotiationError):
        sdp.answer(description(media), "127.0.0.1", 4000, 1, BOTH)
