"""How long may be talked in a day."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from outdial.calls.allowance import DAY_S, Allowance, day, next_day

NOON = 20_000 * DAY_S + DAY_S / 2


def test_all_who_talk_use_it_up_together() -> None:
    allowance = Allowance(600, NOON)
    assert allowance.look_again_in_s(NOON) == math.inf
    allowance.begin(NOON)
    assert allowance.look_again_in_s(NOON) == 600
    allowance.begin(NOON + 100)
    assert allowance.left_s(NOON + 100) == 500
    assert allowance.look_again_in_s(NOON + 100) == 250
    allowance.end(NOON + 200)
    assert allowance.look_again_in_s(NOON + 200) == 300
    assert allowance.left_s(NOON + 500) == 0
    assert allowance.look_again_in_s(NOON + 500) == 0


def test_what_was_talked_before_counts() -> None:
    allowance = Allowance(600, NOON)
    allowance.add(590, NOON)
    allowance.begin(NOON + 5)
    assert allowance.look_again_in_s(NOON + 5) == 10


def test_a_new_day_begins_with_all_of_it() -> None:
    midnight = next_day(NOON)
    allowance = Allowance(600, NOON)
    allowance.add(600, NOON)
    assert allowance.left_s(midnight - 1) == 0
    assert allowance.left_s(midnight) == 600
    allowance.begin(midnight - 1)
    assert allowance.look_again_in_s(midnight) == 600


def test_who_talks_over_midnight_counts_on_both_days() -> None:
    midnight = next_day(NOON)
    allowance = Allowance(600, NOON)
    allowance.begin(midnight - 100)
    assert allowance.look_again_in_s(midnight - 100) == 100
    assert allowance.left_s(midnight + 30) == 570
    assert allowance.left_s(midnight + 3 * DAY_S + 30) == 570


def test_a_clock_that_is_set_back_counts_nothing_twice() -> None:
    allowance = Allowance(600, NOON)
    allowance.begin(NOON)
    assert allowance.left_s(NOON + 100) == 500
    assert allowance.left_s(NOON + 40) == 500
    assert allowance.left_s(NOON + 110) == 490


@given(
    st.lists(st.tuples(st.floats(0, 50), st.booleans()), max_size=60),
    st.floats(1, 1000),
)
def test_hung_up_in_time_it_is_never_exceeded(
    steps: list[tuple[float, bool]], most_s: float
) -> None:
    now = day(NOON)
    allowance = Allowance(most_s, now)
    talked = 0.0
    for wait_s, begins in steps:
        if allowance.left_s(now) > 0 and begins:
            allowance.begin(now)
        elif allowance.live and not begins:
            allowance.end(now)
        waited = min(wait_s, allowance.look_again_in_s(now))
        talked += allowance.live * waited
        now += waited
        while allowance.live and allowance.left_s(now) <= 1e-6:
            allowance.end(now)
    assert talked <= most_s + 1e-3
