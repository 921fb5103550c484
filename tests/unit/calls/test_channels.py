"""Channels of trunks."""

from __future__ import annotations

import math

from outdial.calls.channels import Channels
from outdial.config import Trunk


def trunk(name: str, rate: float = 0, calls: int = 0) -> Trunk:
    return Trunk(name=name, address="192.0.2.1", calls_per_second=rate, concurrent_calls=calls)


def test_a_full_trunk_overflows_to_the_next_of_the_route() -> None:
    channels = Channels([trunk("a", calls=1), trunk("b", calls=1), trunk("c")], 0.0)
    assert channels.find(("a", "b"), 0.0) == "a"
    channels.take("a", 0.0)
    assert channels.find(("a", "b"), 0.0) == "b"
    channels.take("b", 0.0)
    assert channels.find(("a", "b"), 0.0) is None
    assert channels.find(("a", "c"), 0.0) == "c"
    channels.give_back("a")
    assert channels.find(("b", "a"), 0.0) == "a"
    assert [quota.live for quota in channels.quotas().values()] == [0, 1, 0]


def test_when_a_route_has_room_again() -> None:
    channels = Channels([trunk("a", calls=1), trunk("b", rate=0.5)], 0.0)
    channels.take("a", 0.0)
    channels.take("b", 0.0)
    assert channels.find(("a", "b"), 0.0) is None
    assert channels.ready_at(("a", "b"), 0.0) == 2.0
    assert channels.ready_at(("a",), 0.0) == math.inf
    assert channels.ready_at((), 0.0) == math.inf


def test_who_cannot_wait_takes_a_channel_before_its_time_or_gets_none() -> None:
    channels = Channels([trunk("a", rate=1, calls=3)], 0.0)
    assert [channels.take_at_once("a", 0.0) for _ in range(4)] == [True, True, True, False]
    channels.give_back("a")
    assert channels.find(("a",), 1.5) is None, "those who wait make up for the rate"
    assert channels.find(("a",), 2.0) == "a"


def test_a_trunk_that_is_not_known_is_never_full() -> None:
    channels = Channels([], 0.0)
    channels.take("x", 0.0)
    assert channels.find(("x",), 0.0) == "x"
    assert channels.take_at_once("x", 0.0)
    channels.give_back("x")


def test_who_waits_is_told_of_a_free_channel() -> None:
    told: list[str] = []
    channels = Channels([trunk("a", calls=1)], 0.0)
    channels.on_free = lambda: told.append("free")
    channels.take("a", 0.0)
    channels.give_back("a")
    assert told == ["free"]
