"""Posts a second per key, in virtual time."""

from __future__ import annotations

import pytest

from outdial.api.rate import PostRate
from outdial.calls import codes
from outdial.errors import Refused


class Watch:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


def refused(rate: PostRate, key: str = "dev") -> Refused | None:
    try:
        rate.take(key)
    except Refused as error:
        return error
    return None


def test_a_burst_then_one_for_each_interval() -> None:
    watch = Watch()
    rate = PostRate(4, watch)
    assert [refused(rate) for _ in range(4)] == [None] * 4
    error = refused(rate)
    assert error is not None
    assert (error.status, error.code, error.retry_after_s) == (429, codes.POST_RATE, 1)
    assert "limits.posts_per_second" in error.message
    watch.time += 0.25
    assert refused(rate) is None
    assert refused(rate) is not None


def test_a_rate_under_one_says_how_long_to_wait() -> None:
    watch = Watch()
    rate = PostRate(0.1, watch)
    assert refused(rate) is None
    error = refused(rate)
    assert error is not None
    assert error.retry_after_s == 10
    watch.time += 9.9
    error = refused(rate)
    assert error is not None
    assert error.retry_after_s == 1
    watch.time += 0.1
    assert refused(rate) is None


def test_waiting_longer_saves_up_no_more_than_a_second() -> None:
    watch = Watch()
    rate = PostRate(2, watch)
    watch.time += 3600
    assert [refused(rate) is None for _ in range(3)] == [True, True, False]


def test_refused_posts_cost_nothing() -> None:
    watch = Watch()
    rate = PostRate(1, watch)
    assert refused(rate) is None
    for _ in range(50):
        watch.time += 0.01
        assert refused(rate) is not None
    watch.time += 0.5
    assert refused(rate) is None


def test_keys_do_not_share() -> None:
    rate = PostRate(1, Watch())
    assert refused(rate, "a") is None
    assert refused(rate, "b") is None
    assert refused(rate, "a") is not None


def test_a_clock_that_goes_back_gives_nothing() -> None:
    watch = Watch()
    rate = PostRate(1, watch)
    assert refused(rate) is None
    watch.time -= 100
    assert refused(rate) is not None


@pytest.mark.parametrize("posts", [1, 10_000])
def test_zero_is_no_limit(posts: int) -> None:
    rate = PostRate(0, Watch())
    assert all(refused(rate) is None for _ in range(posts))
