"""Cutting a stream into messages (RFC 3261 section 18.3, RFC 5626 section 3.5.1)."""

from __future__ import annotations

import pytest

from outdial.errors import RemoteProtocolError
from outdial.sip.core.limits import MAX_BODY_BYTES, MAX_HEAD_BYTES
from outdial.sip.core.stream import KeepAlive, StreamFramer


def message(length: str = "Content-Length: 4", body: bytes = b"v=0\n") -> bytes:
    return b"OPTIONS sip:b SIP/2.0\r\nTo: x\r\n" + length.encode() + b"\r\nX: y\r\n\r\n" + body


def feed(data: bytes, *, opened_by_us: bool = False) -> list[bytes | KeepAlive]:
    return list(StreamFramer(opened_by_us=opened_by_us).feed(data))


def bytewise(data: bytes, *, opened_by_us: bool = False) -> list[bytes | KeepAlive]:
    framer = StreamFramer(opened_by_us=opened_by_us)
    return [item for octet in data for item in framer.feed(bytes([octet]))]


def test_one_message_whole() -> None:
    assert feed(message()) == [message()]


def test_cut_at_every_octet() -> None:
    data = message() + b"\r\n" + message("l:0", b"") + message("l : 4", b"\r\n\r\n")
    whole: list[bytes | KeepAlive] = [message(), message("l:0", b""), message("l : 4", b"\r\n\r\n")]
    assert feed(data) == whole
    assert bytewise(data) == whole
    for at in range(len(data)):
        framer = StreamFramer()
        assert [*framer.feed(data[:at]), *framer.feed(data[at:])] == whole
        assert framer.buffered_bytes == 0


def test_several_in_one_read() -> None:
    assert feed(message() * 50) == [message()] * 50


@pytest.mark.parametrize(
    "line",
    ["Content-Length: 4", "CONTENT-LENGTH:4", "l:4", "L \t:\t4  ", "Content-Length:\r\n 4",
     "Content-Length: 00000000000000000000004", "l: 4\r\n "],
)  # fmt: skip
def test_spellings_of_the_length(line: str) -> None:
    assert feed(message(line)) == [message(line)]


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("Y: z", 400), ("X-l: 4", 400), ("l: 4\r\nContent-Length: 4", 400), ("l: -4", 400),
        ("l: 4 4", 400), ("l: 4\r\n 4", 400), ("l:", 400), ("l: x", 400), ("l: 4,4", 400),
        ("Y: z\r\n l: 4", 400), (f"l: {MAX_BODY_BYTES + 1}", 413), ("l: 99999999999999999999", 400),
        ("l: " + "9" * 5000, 400),
    ],
)  # fmt: skip
def test_lengths_that_lose_the_stream(line: str, hint: int) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        feed(message(line))
    assert caught.value.status_hint == hint


def test_what_came_before_the_error_is_given_first() -> None:
    items = StreamFramer().feed(message() + message("l: x"))
    assert next(items) == message()
    with pytest.raises(RemoteProtocolError):
        next(items)


def test_a_head_that_does_not_end() -> None:
    framer = StreamFramer()
    for _ in range(MAX_HEAD_BYTES // 1024):
        assert list(framer.feed(b"x" * 1024)) == []
    assert framer.buffered_bytes == MAX_HEAD_BYTES
    with pytest.raises(RemoteProtocolError) as caught:
        list(framer.feed(b"x"))
    assert caught.value.status_hint == 513


def test_a_head_too_large_though_it_ends() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        feed(b"X: " + b"y" * MAX_HEAD_BYTES + b"\r\nl: 0\r\n\r\n")
    assert caught.value.status_hint == 513


def test_pings_from_who_opened_the_connection() -> None:
    assert feed(b"\r\n\r\n") == [KeepAlive.PING]
    assert bytewise(b"\r\n\r\n") == [KeepAlive.PING]
    assert feed(b"\r\n\r\n" + message() + b"\r\n\r\n") == [
        KeepAlive.PING,
        message(),
        KeepAlive.PING,
    ]
    assert feed(b"\r\n" * 1001) == [KeepAlive.PING]
    assert feed(b"\r\n") == []
    assert feed(b"\r\n" + message()) == [message()]
    assert bytewise(b"\r\n\r\n\r\n" + message()) == [KeepAlive.PING, message()]


def test_pongs_on_a_connection_of_ours() -> None:
    assert feed(b"\r\n", opened_by_us=True) == [KeepAlive.PONG]
    assert bytewise(b"\r\n" + message(), opened_by_us=True) == [KeepAlive.PONG, message()]
    assert feed(b"\r", opened_by_us=True) == []


def test_a_flood_of_line_ends_leaves_nothing_behind() -> None:
    framer = StreamFramer()
    for _ in range(100):
        assert list(framer.feed(b"\r\n" * 500)) == [KeepAlive.PING]
        assert framer.buffered_bytes <= 2


def test_octets_are_searched_once() -> None:
    """Octet by octet, the search starts where it ended, or a slow sender costs us the square."""
    framer = StreamFramer()
    data = b"OPTIONS sip:b SIP/2.0\r\nX: " + b"y" * 5000
    for octet in data:
        list(framer.feed(bytes([octet])))
        assert framer._searched >= framer.buffered_bytes - 3
