"""A token bucket and a ceiling."""

from __future__ import annotations

import math

import pytest

from outdial.calls.quota import Quota


def taken(quota: Quota, now: float) -> int:
    """How many there is room for at once; they are taken."""
    count = 0
    while count < 1000 and quota.has_room(now):
        quota.take(now)
        count += 1
    return count


@pytest.mark.parametrize(
    ("rate", "concurrent", "first", "after_1_s"),
    [
        (0, 0, 1000, 1000),
        (5, 0, 5, 5),
        (0.5, 0, 1, 0),
        (0, 3, 3, 0),
        (5, 7, 5, 2),
        (2.5, 0, 2, 2),
    ],
)
def test_what_there_is_room_for(rate: float, concurrent: int, first: int, after_1_s: int) -> None:
    quota = Quota(rate, concurrent, 10.0)
    assert taken(quota, 10.0) == first
    assert taken(quota, 10.0) == (1000 if not rate and not concurrent else 0)
    assert taken(quota, 11.0) == after_1_s


def test_when_there_is_room_again() -> None:
    quota = Quota(2.0, 3, 0.0)
    assert quota.ready_at(0.0) == 0.0
    assert taken(quota, 0.0) == 2
    assert quota.ready_at(0.0) == 0.5
    assert quota.has_room(0.5)
    quota.take(0.5)
    assert quota.ready_at(0.5) == math.inf, "one must end first"
    quota.give_back()
    assert quota.ready_at(0.5) == 1.0
    assert quota.live == 2


def test_what_was_not_used_is_given_back_with_its_turn() -> None:
    quota = Quota(1.0, 1, 0.0)
    quota.take(0.0)
    quota.give_back()
    assert not quota.has_room(0.0), "its second is spent"
    quota.take(1.0)
    quota.give_back(unused=True)
    assert quota.has_room(1.0)
    assert taken(quota, 1.0) == 1, "no more than a burst"


def test_what_was_taken_without_room_is_waited_for_but_not_for_ever() -> None:
    quota = Quota(2.0, 0, 0.0)
    for _ in range(100):
        quota.take(0.0)
    assert not quota.has_room(1.4)
    assert quota.has_room(1.5), "a debt of one second at most"
    assert quota.live == 100


def test_time_that_goes_back_takes_nothing_away() -> None:
    quota = Quota(1.0, 0, 100.0)
    assert taken(quota, 100.0) == 1
    assert taken(quota, 50.0) == 0
    assert taken(quota, 51.0) == 1
