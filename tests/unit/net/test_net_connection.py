"""Answers as they may come: well-formed ones in every shape, and whatever else may be sent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outdial.errors import FetchError
from outdial.net.connection import Answer, Connection, Disconnected

HEAD = b"HTTP/1.1 200 OK\r\n"
LENGTH = HEAD + b"Content-Type: text/xml\r\nContent-Length: 11\r\n\r\n<Response/>"
CHUNKED = (
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    b"3;note=x\r\n<Re\r\n8\r\nsponse/>\r\n0\r\nX-Sum: 1\r\n\r\n"
)
CONTINUED = b"HTTP/1.1 100 Continue\r\n\r\n" + b"HTTP/1.1 103 Early\r\nLink: a\r\n\r\n" + LENGTH
FOR_EVER = 1e9


class Wire:
    """A transport that notes what becomes of it."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.aborted = False
        self.unsent = 0

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def is_closing(self) -> bool:
        return self.aborted

    def get_extra_info(self, name: str) -> object:
        return ("192.0.2.1", 80) if name == "peername" else None

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def abort(self) -> None:
        self.aborted = True


class Talk:
    """A connection, its wire, and an answer that is awaited."""

    def __init__(self, max_bytes: int = 1000) -> None:
        self.wire = Wire()
        self.connection = Connection(asyncio.get_running_loop(), "h:80")
        wire: Any = self.wire
        self.connection.connection_made(wire)
        self.answer = self.ask(max_bytes)

    def ask(self, max_bytes: int = 1000) -> asyncio.Future[Answer]:
        return self.connection.ask(b"GET / HTTP/1.1\r\n\r\n", max_bytes, FOR_EVER)

    def hears(self, *pieces: bytes) -> None:
        for piece in pieces:
            if not self.wire.aborted:
                self.connection.data_received(piece)

    def error(self) -> FetchError:
        failure = self.answer.exception()
        assert isinstance(failure, FetchError)
        assert self.wire.aborted
        assert not self.connection.reusable
        return failure


@pytest.mark.parametrize("answer", [LENGTH, CHUNKED, CONTINUED])
async def test_answer_in_any_pieces(answer: bytes) -> None:
    for size in (1, 2, 3, 7, len(answer)):
        talk = Talk()
        talk.hears(*(answer[at : at + size] for at in range(0, len(answer), size)))
        answered = talk.answer.result()
        assert (answered.status, answered.body) == (200, b"<Response/>")
        assert b"link" not in answered.fields, "an interim answer's headers are not the answer's"
        assert b"x-sum" not in answered.fields, "nor are trailers"
        assert talk.connection.reusable and not talk.wire.aborted


async def test_one_answer_after_another() -> None:
    talk = Talk()
    talk.hears(CHUNKED)
    second = talk.ask()
    talk.hears(HEAD + b"Content-Length: 0\r\nX-A: 1\r\nx-a: 2\r\n\r\n")
    assert second.result() == Answer(200, {b"content-length": b"0", b"x-a": b"1"}, b"")
    assert len(talk.wire.sent) == talk.connection.asked == 2


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (HEAD + b"Connection: close\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5000\r\n\r\n", True),
        (HEAD + b"Upgrade: h2\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n", True),
    ],
)
async def test_which_connections_are_used_again(answer: bytes, kept: bool) -> None:
    talk = Talk()
    talk.hears(answer)
    assert talk.answer.result().body == b""
    assert talk.connection.reusable is kept


async def test_answer_before_the_request_was_sent_ends_the_connection() -> None:
    talk = Talk()
    talk.wire.unsent = 5
    talk.hears(LENGTH)
    assert talk.answer.result().status == 200
    assert not talk.connection.reusable


@pytest.mark.parametrize(
    "more",
    [b"smuggled", b"H", LENGTH, b"HTTP/1.1 100 Continue\r\n\r\n", b"\x00"],
)
async def test_more_than_the_answer_is_no_answer(more: bytes) -> None:
    talk = Talk()
    talk.hears(LENGTH + more)
    assert talk.error().kind == "protocol"


async def test_what_nobody_asked_for_ends_the_connection() -> None:
    talk = Talk()
    talk.hears(LENGTH)
    talk.hears(LENGTH)
    assert talk.wire.aborted and not talk.connection.reusable
    with pytest.raises(Disconnected):
        talk.ask().result()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
        HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: gzip\r\n\r\nabc",
        HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"X: 1\r\n folded\r\n\r\n",
        HEAD + b"X: a\x00b\r\n\r\n",
        HEAD + b"X-Long: " + b"a" * 17_000 + b"\r\n\r\n",
        HEAD + b"X" * 17_000 + b": a\r\n\r\n",
        HEAD + b"X: a\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 100 Continue\r\nA: 1\r\n\r\n" * 200,
        b"HTTP/3.7 200 OK\r\n\r\n",
        b"\n" * 70_000,
    ],
)
async def test_what_is_refused(answer: bytes) -> None:
    talk = Talk()
    talk.hears(*(answer[at : at + 4096] for at in range(0, len(answer), 4096)))
    if not talk.answer.done():
        talk.connection.eof_received()
    assert talk.error().kind == "protocol"


@pytest.mark.parametrize(
    ("begin", "endless"),
    [
        (b"HTTP/1.1 200 ", b"OK " * 1000),
        (HEAD + b"X: ", b"a" * 4096),
        (HEAD, b"X" * 4096),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", b"a" * 4096),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX", b"a" * 4096),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    ],
)
async def test_what_has_no_end_is_cut_without_content(begin: bytes, endless: bytes) -> None:
    talk = Talk()
    heard = 0
    while not talk.answer.done() and heard < 1_000_000:
        talk.hears(begin + endless)
        begin = b""
        heard += len(endless)
    assert talk.error().kind == "protocol"
    assert heard < 80_000


async def test_little_content_in_much_wrapping_is_cut() -> None:
    talk = Talk()
    heard = 0
    talk.hears(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    while not talk.answer.done() and heard < 1_000_000:
        talk.hears(b"1;" + b"a" * 2000 + b"\r\na\r\n")
        heard += 2000
    assert talk.error().kind == "protocol"
    assert heard < 80_000


async def test_the_smallest_chunks_are_content() -> None:
    talk = Talk()
    talk.hears(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[b"1\r\na\r\n"] * 1000)
    talk.hears(b"0\r\n\r\n")
    assert talk.answer.result().body == b"a" * 1000


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"Content-Length: 1001\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"a" * 1001,
        HEAD + b"\r\n" + b"a" * 1001,
    ],
)
async def test_too_large_is_known_as_soon_as_it_is(answer: bytes) -> None:
    talk = Talk()
    talk.hears(answer)
    failure = talk.error()
    assert failure.kind == "too-large"
    assert "1000 bytes" in str(failure)


@pytest.mark.parametrize(
    ("heard", "error"),
    [
        (HEAD + b"Content-Length: 5\r\n\r\nabc", None),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", None),
        (HEAD + b"X: 1\r\n", None),
        (HEAD + b"\r\nabc", ConnectionResetError()),
        (b"HTTP/1.1 100 Continue\r\n\r\n", None),
    ],
)
async def test_broken_off(heard: bytes, error: Exception | None) -> None:
    talk = Talk()
    talk.hears(heard)
    talk.connection.connection_lost(error)
    failure = talk.answer.exception()
    assert isinstance(failure, FetchError)
    assert "broke off" in str(failure)


@pytest.mark.parametrize("loses", [True, False])
async def test_body_up_to_the_end(loses: bool) -> None:
    talk = Talk()
    talk.hears(HEAD + b"\r\nab", b"c")
    assert not talk.answer.done()
    if loses:
        talk.connection.connection_lost(None)
    else:
        talk.connection.eof_received()
    assert talk.answer.result().body == b"abc"
    assert not talk.connection.reusable


async def test_closed_before_the_first_byte() -> None:
    talk = Talk()
    talk.connection.connection_lost(None)
    with pytest.raises(Disconnected, match="h:80 closed the connection before it answered"):
        talk.answer.result()
    with pytest.raises(Disconnected):
        talk.ask().result()


async def test_deadline() -> None:
    talk = Talk()
    talk.hears(LENGTH)
    late = talk.connection.ask(b"", 1000, asyncio.get_running_loop().time())
    with pytest.raises(TimeoutError):
        await late
    assert talk.wire.aborted


@given(
    st.sampled_from([LENGTH, CHUNKED, CONTINUED, HEAD + b"\r\nabc"]),
    st.lists(st.tuples(st.integers(0, 150), st.binary(max_size=4)), max_size=5),
    st.lists(st.integers(1, 60), max_size=6),
)
@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_altered_answers_end_in_an_answer_or_a_fetch_error(
    answer: bytes, changes: list[tuple[int, bytes]], cuts: list[int]
) -> None:
    for at, new in changes:
        answer = answer[:at] + new + answer[at + 1 :]
    talk = Talk()
    for cut in cuts:
        talk.hears(answer[:cut])
        answer = answer[cut:]
    if answer:
        talk.hears(answer)
    talk.connection.connection_lost(None)
    assert talk.answer.done()
    failure = talk.answer.exception()
    if failure is None:
        assert len(talk.answer.result().body) <= 1000
    else:
        assert isinstance(failure, FetchError)
