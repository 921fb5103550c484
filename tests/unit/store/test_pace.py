"""When the next transaction may be, by a clock of the test's own."""

from __future__ import annotations

from itertools import pairwise

import pytest

from outdial.store.pace import BURST, DEAREST, Pace

RATE = 50.0
STEP_S = 0.0005


def starts(pace: Pace, operations_per_s: float, seconds: float, began: float = 0.0) -> list[float]:
    """When transactions begin while so many operations come, each of them urgent and evenly."""
    written, begun = 0, []
    for step in range(round(seconds / STEP_S)):
        at = began + step * STEP_S
        waiting = int(step * STEP_S * operations_per_s) - written
        if waiting and not pace.wait_s(at):
            pace.spend(waiting, at)
            written += waiting
            begun.append(at)
    return begun


def gaps(begun: list[float], after: float) -> list[float]:
    return [later - earlier for earlier, later in pairwise(begun) if earlier > after]


def test_a_burst_is_free_and_then_one_waits_for_the_rate() -> None:
    pace = Pace(RATE, 0.0)
    for _ in range(int(BURST)):
        assert pace.wait_s(0.0) == 0.0
        pace.spend(1, 0.0)
    assert pace.wait_s(0.0) == pytest.approx(1 / RATE)
    assert pace.wait_s(0.015) == pytest.approx(0.005)
    assert pace.wait_s(0.021) == 0.0


def test_a_pause_gives_back_a_burst_and_not_more() -> None:
    pace = Pace(RATE, 0.0)
    for _ in range(int(BURST) + 4):
        pace.spend(1, 0.0)
    for _ in range(int(BURST)):
        assert pace.wait_s(100.0) == 0.0
        pace.spend(1, 100.0)
    assert pace.wait_s(100.0) > 0.0


@pytest.mark.parametrize("operations_per_s", [30.0, 260.0])
def test_who_writes_little_shares_only_what_the_rate_makes_him(operations_per_s: float) -> None:
    """The operations of two calls a second, and of twenty."""
    begun = starts(Pace(RATE, 0.0), operations_per_s, 5.0)
    wanted = max(1 / RATE, 1 / operations_per_s)
    assert max(gaps(begun, 3.0)) == pytest.approx(wanted, abs=0.001)


@pytest.mark.parametrize(
    ("operations_per_s", "gap_s"), [(450.0, 0.030), (600.0, 0.040), (900.0, 0.060), (5000.0, 0.060)]
)
def test_the_more_is_written_the_more_shares_a_transaction(
    operations_per_s: float, gap_s: float
) -> None:
    settled = gaps(starts(Pace(RATE, 0.0), operations_per_s, 10.0), 7.0)
    assert sum(settled) / len(settled) == pytest.approx(gap_s, rel=0.05)
    assert max(settled) <= 0.062


def test_what_was_written_long_ago_does_not_count() -> None:
    pace = Pace(RATE, 0.0)
    starts(pace, 5000.0, 3.0)
    begun = starts(pace, 260.0, 8.0, began=20.0)
    assert max(gaps(begun, 25.0)) == pytest.approx(1 / RATE, abs=0.001)


def test_one_large_group_makes_none_dearer_than_the_dearest() -> None:
    pace = Pace(RATE, 0.0)
    pace.spend(1_000_000, 0.0)
    more = 0
    while not pace.wait_s(0.0):
        pace.spend(1, 0.0)
        more += 1
    assert more == 5  # three tokens each, the last with one that was left
    assert pace.wait_s(0.0) == pytest.approx(DEAREST / RATE)
