"""Learning where the far end of a call behind NAT is, with a clock that only moves when told."""

from __future__ import annotations

import socket
from typing import Any, cast

import pytest

from outdial.legs import Codec, MediaParams
from outdial.media.core import rtp
from outdial.media.worker.learning import WINDOW_S, Learning
from outdial.media.worker.stream import Stream

Place = tuple[str, int]
STATED, BEHIND, OTHER = ("192.0.2.10", 4000), ("192.0.2.77", 31000), ("192.0.2.78", 32000)
STRANGER = ("198.51.100.66", 4000)
SIGNALLING = "203.0.113.5"


class FakeSocket:
    """What has arrived, and where things were sent."""

    def __init__(self) -> None:
        self.waiting: list[tuple[bytes, Place]] = []
        self.sent_to: list[Place] = []

    def recvfrom_into(self, view: memoryview) -> tuple[int, Place]:
        if not self.waiting:
            raise BlockingIOError
        data, source = self.waiting.pop(0)
        view[: len(data)] = data
        return len(data), source

    def sendto(self, packet: bytes, place: Place) -> int:
        self.sent_to.append(place)
        return len(packet)


class FakeStream:
    """Where it was locked to."""

    def __init__(self) -> None:
        self.refused = 0
        self.locked: tuple[Place, int] | None = None

    def lock(self, place: Place, rtcp_port: int, now: float) -> None:
        self.locked = place, rtcp_port


class Line:
    """A stream that learns."""

    def __init__(self, *, early: bool = False, stated: Place = STATED) -> None:
        self.socket, self.stream = FakeSocket(), FakeStream()
        self.learning = Learning(cast(Any, self.socket), params(early, stated), 0.0)
        self.at = 0.0

    def answered(self, stated: Place = STATED) -> None:
        self.learning = Learning(
            cast(Any, self.socket), params(False, stated), self.at, self.learning
        )

    def hears(self, source: Place, pt: int = 0) -> bool:
        """Whether a packet from there is taken."""
        data = rtp.build(pt, 1, 160, 7, b"\xff" * 160)
        self.socket.waiting.append((data, source))
        try:
            return bool(self._receive())
        except BlockingIOError:
            return False

    def _receive(self) -> int:
        view = memoryview(bytearray(2048))
        return self.learning.receive(cast(Any, self.stream), view, self.at)

    def gives_up(self) -> Place | None:
        """Where it is locked to when the time is over."""
        self.at = self.learning.until
        self.learning.give_up(cast(Any, self.stream), self.at)
        return self.locked

    @property
    def locked(self) -> Place | None:
        return self.stream.locked and self.stream.locked[0]

    def sends_to(self) -> Place:
        self.learning.send(b"x")
        return self.socket.sent_to[-1]


def params(early: bool, stated: Place) -> MediaParams:
    return MediaParams(
        *stated,
        Codec.PCMU,
        101,
        remote_rtcp_port=stated[1] + 1,
        learn_address=True,
        signalling_address=SIGNALLING,
        early=early,
    )


@pytest.mark.parametrize("source", [STATED, BEHIND, (SIGNALLING, 9)])
def test_the_first_who_may_be_believed_is_the_far_end(source: Place) -> None:
    line = Line()
    assert line.sends_to() == STATED
    assert line.hears(source)
    assert line.stream.locked == (source, source[1] + 1)


@pytest.mark.parametrize(("source", "pt"), [(STRANGER, 0), (BEHIND, 8), (BEHIND, 102)])
@pytest.mark.parametrize("early", [False, True])
def test_who_may_not_be_believed(early: bool, source: Place, pt: int) -> None:
    line = Line(early=early)
    assert not line.hears(source, pt)
    assert (line.locked, line.stream.refused, line.sends_to()) == (None, 1, STATED)


def test_nobody_is_believed_after_half_a_second() -> None:
    line = Line()
    line.at = WINDOW_S + 0.001
    assert not line.hears(BEHIND)
    assert line.gives_up() == STATED


def test_a_spray_in_front_of_the_far_end_does_not_use_up_its_turn() -> None:
    line = Line()
    line.socket.waiting = [(rtp.build(0, 1, 1, 1, b"x"), STRANGER)] * 60
    assert line.hears(BEHIND)
    assert (line.locked, line.stream.refused) == (BEHIND, 60)


def test_early_media_are_heard_however_late_they_begin_and_nothing_is_locked() -> None:
    line = Line(early=True)
    line.at = 20.0
    assert line.hears(BEHIND)
    assert (line.locked, line.sends_to()) == (None, BEHIND)
    line.at = 40.0
    assert line.hears(BEHIND)


def test_of_early_media_one_source_is_heard() -> None:
    line = Line(early=True)
    assert line.hears(BEHIND)
    assert not line.hears(OTHER)
    assert line.hears(BEHIND)
    assert line.stream.refused == 1


def test_what_is_still_under_way_of_early_media_settles_nothing() -> None:
    line = Line(early=True)
    line.hears(BEHIND)
    line.at = 30.0
    line.answered()
    assert line.hears(BEHIND), "it is heard on"
    assert line.locked is None
    assert line.hears(OTHER), "who answered"
    assert line.locked == OTHER


def test_the_window_begins_at_the_answer() -> None:
    line = Line(early=True)
    line.at = 30.0
    line.answered()
    line.at += WINDOW_S
    assert line.hears(BEHIND)
    assert line.locked == BEHIND


def test_an_answer_from_where_early_media_came_is_settled_when_nobody_else_is_heard() -> None:
    line = Line(early=True)
    line.hears(BEHIND)
    line.answered((STATED[0], 5000))
    assert line.hears(BEHIND)
    assert line.gives_up() == BEHIND


def test_a_silent_answer_of_the_same_far_end_stays_where_its_early_media_came_from() -> None:
    line = Line(early=True)
    line.hears(BEHIND)
    line.answered()
    assert line.sends_to() == BEHIND
    assert line.gives_up() == BEHIND


def test_a_silent_answer_of_another_far_end_is_where_it_says() -> None:
    line = Line(early=True)
    line.hears(BEHIND)
    line.answered((STATED[0], 5000))
    assert line.gives_up() == (STATED[0], 5000)


def test_the_stated_address_settles_it_at_once_though_its_early_media_were_heard() -> None:
    line = Line(early=True)
    line.hears(STATED)
    line.answered()
    assert line.hears(STATED)
    assert line.locked == STATED


def test_another_early_answer_forgets_the_first_one() -> None:
    line = Line(early=True)
    line.hears(BEHIND)
    other = params(True, (STATED[0], 5000))
    line.learning = Learning(cast(Any, line.socket), other, 1.0, line.learning)
    assert line.hears(OTHER)
    assert not line.hears(BEHIND)
    again = params(True, (STATED[0], 5000))
    line.learning = Learning(cast(Any, line.socket), again, 2.0, line.learning)
    assert line.hears(OTHER)


@pytest.mark.parametrize("early", [False, True])
def test_strangers_are_not_heard_after_the_answer_either(early: bool) -> None:
    line = Line(early=True)
    if early:
        line.hears(BEHIND)
    line.answered()
    assert not line.hears(STRANGER)
    assert line.hears(OTHER)
    assert line.stream.refused == 1


def test_where_nothing_can_be_sent_nobody_else_is_heard() -> None:
    """An address that the system has no way to leaves no socket open to everybody."""
    ours, control, stranger = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3))
    try:
        for one in (ours, control):
            one.setblocking(False)
            one.bind(("127.0.0.1", 0))
        stream = Stream(1, 0, ours, control, lambda *event: None)
        stream.configure(MediaParams("255.255.255.255", 4000, Codec.PCMU, 101), 0.0)
        assert stream.send_errors == 1
        stranger.sendto(rtp.build(0, 1, 160, 7, b"\xff" * 160), ours.getsockname())
        with pytest.raises(BlockingIOError):
            ours.recv(2048)
    finally:
        for one in (ours, control, stranger):
            one.close()
