"""A stream whose codec has lost its library: nothing leaves that was not agreed on."""

from __future__ import annotations

import ctypes
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from outdial.legs import Codec, MediaParams
from outdial.media import coders as package
from outdial.media import wire
from outdial.media.core import dtmf, rtp
from outdial.media.core.dtmf import EventSender
from outdial.media.core.inband import InBandReceiver
from outdial.media.worker.edge import prompts_of
from outdial.media.worker.stream import Stream

OPUS = Codec.OPUS.value
EVENT = 101


@pytest.fixture(autouse=True)
def no_library(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if it had been removed since the server was started."""

    def missing(name: str, *_: Any) -> Any:
        raise OSError(name)

    def forget() -> None:
        package.coders.cache_clear()
        prompts_of.cache_clear()

    forget()
    with monkeypatch.context() as patch:
        patch.setattr(ctypes, "CDLL", missing)
        patch.setattr("av.codecs_available", set())
        yield
    forget()


class Line:
    """A stream of ours and its far end's socket."""

    def __init__(self) -> None:
        self.far, ours, control = (self._bound() for _ in range(3))
        self.address = ours.getsockname()
        self.digits: list[str] = []
        self.stream = Stream(1, 0, ours, control, self._told)
        self.now = 100.0

    @staticmethod
    def _bound() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        return sock

    def _told(self, opcode: int, number: int, payload: bytes) -> None:
        if opcode == wire.DIGIT:
            self.digits.append(wire.unpack_digit(payload)[0])

    def configure(self, codec: Codec) -> None:
        port = self.far.getsockname()[1]
        hz = codec.rtp_hz if codec is Codec.OPUS else 8000
        self.stream.configure(
            MediaParams("127.0.0.1", port, codec, EVENT, telephone_event_hz=hz), self.now
        )

    def tick(self, count: int = 1) -> list[int]:
        """The payload types that left in so many packet times."""
        for _ in range(count):
            self.now += 0.02
            self.stream.tick(self.now)
        left = []
        while True:
            try:
                left.append(self.far.recv(2000)[1] & 0x7F)
            except BlockingIOError:
                return left

    def receive(self, pt: int, sequence: int, payload: bytes) -> None:
        data = rtp.build(pt, sequence, 960 * sequence, 77, payload)
        self.far.sendto(data, self.address)
        buffer = bytearray(rtp.MAX_PACKET)
        self.stream.receive(buffer, memoryview(buffer), self.now, int(self.now * 8000))

    def close(self) -> None:
        self.stream.close(self.now)
        self.far.close()


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.close()


@pytest.fixture
def other() -> Iterator[Line]:
    made = Line()
    yield made
    made.close()


@pytest.mark.parametrize("codec", [Codec.OPUS, Codec.G722], ids=lambda codec: codec.encoding)
def test_nothing_leaves_in_another_codec(line: Line, codec: Codec) -> None:
    """In the middle of a call that began with one that is there, too; it counts as not sent."""
    line.configure(Codec.PCMA)
    assert line.tick(3) == [Codec.PCMA.value] * 3
    line.configure(codec)
    assert line.tick(5) == []
    assert line.stream.stats().packets_sent == 3
    assert line.stream.send_errors == 5


def test_with_the_next_codec_it_is_heard_again(line: Line) -> None:
    line.configure(Codec.OPUS)
    assert line.tick(3) == []
    line.configure(Codec.PCMU)
    assert line.tick(3) == [Codec.PCMU.value] * 3


def test_digits_need_no_library(line: Line) -> None:
    """They were agreed on, either way."""
    line.configure(Codec.OPUS)
    line.stream.playlist.add(EventSender("7"))
    left = line.tick(10)
    assert left and set(left) == {EVENT}
    line.receive(EVENT, 1, dtmf.payload("5", 4800, end=True))
    assert line.digits == ["5"]


def test_what_comes_is_counted_and_not_taken_for_sound(line: Line) -> None:
    line.configure(Codec.OPUS)
    line.stream.in_band = InBandReceiver()
    line.receive(OPUS, 1, b"\x08" * 40)
    stats = line.stream.stats()
    assert (stats.packets_received, stats.packets_refused) == (1, 1)


def test_two_of_that_codec_still_hear_each_other(line: Line, other: Line) -> None:
    """Their packets pass as they are."""
    line.configure(Codec.OPUS)
    other.configure(Codec.OPUS)
    other.stream.bridge(line.stream)
    line.receive(OPUS, 1, b"\x08" * 40)
    assert other.far.recv(2000)[12:] == b"\x08" * 40


def test_a_bridge_to_another_codec_is_silent(line: Line, other: Line) -> None:
    line.configure(Codec.OPUS)
    other.configure(Codec.PCMU)
    other.stream.bridge(line.stream)
    other.receive(0, 1, bytes(160))
    assert line.tick(0) == []
    assert line.stream.sent == 0
