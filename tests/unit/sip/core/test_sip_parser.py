"""The parser: framing of a datagram, text, limits. What is refused stands in tests/torture."""

from __future__ import annotations

import sys

import pytest

from outdial.errors import RemoteProtocolError
from outdial.sip.core import limits
from outdial.sip.core.message import Request, Response
from outdial.sip.core.parser import is_keep_alive, parse_message

HEAD = (
    b"INVITE sip:b@example.org SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"
    b"From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.org>\r\nCall-ID: 1\r\n"
    b"CSeq: 1 INVITE\r\n"
)


def parse(extra: bytes = b"", body: bytes = b"") -> Request | Response:
    return parse_message(HEAD + extra + b"\r\n" + body)


def test_a_response() -> None:
    data = HEAD.replace(b"INVITE sip:b@example.org SIP/2.0", b"SIP/2.0 200 OK") + b"\r\n"
    message = parse_message(data)
    assert isinstance(message, Response)
    assert (message.status, message.reason) == (200, "OK")


@pytest.mark.parametrize("line", [b"SIP/2.0 200 ", b"SIP/2.0 200", b"sip/2.0 200 "])
def test_a_response_without_a_phrase(line: bytes) -> None:
    data = HEAD.replace(b"INVITE sip:b@example.org SIP/2.0", line) + b"\r\n"
    message = parse_message(data)
    assert isinstance(message, Response)
    assert (message.status, message.reason) == (200, "")


@pytest.mark.parametrize("leading", [b"\r\n", b"\r\n\r\n\r\n"])
def test_leading_line_ends(leading: bytes) -> None:
    assert parse_message(leading + HEAD + b"\r\n").call_id == "1"


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"", True), (b"\r\n", True), (b"\r\n\r\n", True), (b"\0", True), (b"\0\0\0\0", True),
     (b"\r\nX", False), (b"hello", False)],
)  # fmt: skip
def test_keep_alives(data: bytes, expected: bool) -> None:
    assert is_keep_alive(data) is expected


def test_a_datagram_without_length_is_body_to_its_end() -> None:
    assert parse(b"", b"v=0\r\n\r\nx").body == b"v=0\r\n\r\nx"
    assert parse(b"l: 3\r\n", b"v=0\r\n\r\nx").body == b"v=0"
    assert parse(b"Content-Length: 0\r\n", b"v=0").body == b""
    assert parse(b"Content-Length: 000003\r\n", b"v=0").body == b"v=0"


def test_the_body_may_hold_anything() -> None:
    body = bytes(range(256)) * 2
    assert parse(b"", body).body == body


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ('"Zoë"'.encode(), "Zoë"),
        ('"Zoë"'.encode("latin-1"), "Zoë"),
        ('"Joe’s €"'.encode("cp1252"), "Joe’s €"),
        ("Zoë".encode("latin-1"), "Zoë"),
        ('"日本"'.encode(), "日本"),
    ],
)
def test_names_in_utf_8_and_in_latin_1(name: bytes, expected: str) -> None:
    message = parse_message(HEAD.replace(b"From: <", b"From: " + name + b" <") + b"\r\n")
    assert message.from_.display_name == expected
    assert parse_message(message.encode()).from_ == message.from_
    assert parse_message(message.encode()).encode() == message.encode()


@pytest.mark.parametrize("octets", [b"\x81", b"\x8d\xff", "\x85".encode(), "\x9f".encode()])
def test_octets_that_are_no_text(octets: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse(b"Subject: " + octets + b"\r\n")


def test_folds_become_one_space() -> None:
    message = parse(b"Subject: a\r\n b\r\n\t\t c\r\nX-Empty:\r\n \r\n")
    assert message.headers.get("Subject") == "a b c"
    assert message.headers.get("X-Empty") == ""


def test_unknown_headers_are_kept() -> None:
    message = parse(b"X-One:1\r\nx-one : 2\r\nX-TWO:\t3 \r\n")
    assert message.headers.get_all("X-One") == ["1", "2"]
    assert message.headers.get("X-Two") == "3"


def test_what_is_just_within_the_limits() -> None:
    own = HEAD.count(b"\r\n") - 1
    assert len(parse(b"X-A: y\r\n" * (limits.MAX_HEADERS - own)).headers) == limits.MAX_HEADERS
    line = b"Subject: " + b"x" * (limits.MAX_LINE - 9) + b"\r\n"
    assert len(parse(line).headers.get("Subject") or "") == limits.MAX_LINE - 9
    assert len(parse(b"", b"x" * limits.MAX_BODY_BYTES).body) == limits.MAX_BODY_BYTES
    params = b"".join(b";p%d" % n for n in range(limits.MAX_PARAMS))
    assert len(parse(b"Contact: <sip:a@b>" + params + b"\r\n").contacts[0].params) == 64


def test_what_is_just_over_them() -> None:
    own = HEAD.count(b"\r\n") - 1
    for extra, body, hint in (
        (b"X-A: y\r\n" * (limits.MAX_HEADERS - own + 1), b"", 513),
        (b"Subject: " + b"x" * (limits.MAX_LINE - 8) + b"\r\n", b"", 513),
        (b"", b"x" * (limits.MAX_BODY_BYTES + 1), 413),
    ):
        with pytest.raises(RemoteProtocolError) as caught:
            parse(extra, body)
        assert caught.value.status_hint == hint


def test_a_cached_text_means_the_same_as_a_fresh_one() -> None:
    """Texts over the cache limit take the other way through each view."""
    pad = "x" * limits.MAX_CACHED
    for number in range(2):
        message = parse(
            f"m: <sip:a@b;x={pad}>;q=0.{number}\r\nv: SIP/2.0/UDP h;p={pad}\r\n".encode()
        )
        assert message.contacts[0].params == {"q": f"0.{number}"}
        assert message.vias[1].params == {"p": pad}


def test_the_work_is_in_proportion_to_the_size() -> None:
    """Counts the calls that Python makes: twice the input may cost twice the calls, not more."""
    pad = b"x" * limits.MAX_CACHED
    for line in (
        b"X-Odd: y\r\n",
        b"v: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx;rport\r\n",
        b"m: <sip:a@b>;x=" + pad + b",<sip:c@d>;y;z\r\n",
        b"X-Folded: a\r\n b\r\n c\r\n",
    ):
        once, twice = _calls(HEAD + line * 25), _calls(HEAD + line * 50)
        assert once < twice < 2 * once


def _calls(data: bytes) -> int:
    count = 0

    def on_event(*_: object) -> None:
        nonlocal count
        count += 1

    sys.setprofile(on_event)
    try:
        parse_message(data + b"\r\n")
    finally:
        sys.setprofile(None)
    return count
