"""Packets of a fax in order, whatever the network does with them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outdial.fax.intake import PATIENCE_S, RATE_HZ, Intake, Piece

TICK_S, SAMPLES = 0.02, 160


def payload(number: int) -> bytes:
    return bytes([number % 251]) * SAMPLES


def play(arrivals: list[tuple[float, int]], seconds: float, first: int = 0) -> list[Piece]:
    """What is heard when packets (by number) arrive at those times; looked at every tick."""
    intake, heard = Intake(0.0), list[Piece]()
    for tick in range(int(seconds / TICK_S) + 1):
        now = tick * TICK_S
        while arrivals and arrivals[0][0] <= now + 1e-9:
            at, number = arrivals.pop(0)
            intake.put((first + number * SAMPLES) % 2**32, payload(number), at)
        heard += intake.take(now)
    return heard


def test_what_comes_in_order_is_heard_at_once() -> None:
    heard = play([(n * TICK_S, n) for n in range(5)], 4 * TICK_S)
    assert heard == [Piece(payload(n), SAMPLES, False) for n in range(5)]


@pytest.mark.parametrize("first", [0, 2**32 - 2 * SAMPLES])
def test_packets_that_overtook_each_other_are_put_in_order(first: int) -> None:
    order = [0, 3, 2, 1, 4, 6, 5]
    heard = play([(0.0, 0), *((0.04, n) for n in order[1:])], 0.06, first)
    assert [piece[0] for piece in heard] == [payload(n) for n in range(7)]


def test_what_is_missing_is_waited_for_and_then_given_up() -> None:
    arrivals = [(n * TICK_S, n) for n in range(10) if n != 3]
    heard = play(arrivals, 9 * TICK_S)
    assert (b"", SAMPLES, True) in heard
    assert [piece[0] for piece in heard if piece[0]] == [payload(n) for n in range(10) if n != 3]
    assert sum(piece[1] for piece in heard) == 10 * SAMPLES, "nothing is shifted"


def test_one_that_comes_after_all_is_dropped() -> None:
    arrivals = [(n * TICK_S, n) for n in range(20) if n != 3]
    arrivals.append((0.3, 3))
    heard = play(sorted(arrivals), 20 * TICK_S)
    assert payload(3) not in [piece[0] for piece in heard]
    assert sum(piece[1] for piece in heard) == 20 * SAMPLES


def test_where_nothing_comes_time_goes_on_in_silence() -> None:
    heard = play([(0.0, 0)], 1.0)
    silence = sum(samples for data, samples, _ in heard if not data)
    assert silence == pytest.approx((1.0 - PATIENCE_S) * RATE_HZ, abs=SAMPLES)
    assert not any(lost for _, _, lost in heard)


def test_a_sender_that_goes_on_where_it_stopped_is_heard() -> None:
    arrivals = [(0.0, 0), *((1.0 + n * TICK_S, 1 + n) for n in range(5))]
    heard = play(arrivals, 1.2)
    assert [piece[0] for piece in heard if piece[0]] == [payload(n) for n in range(6)]


def test_a_stream_that_begins_anew_is_heard() -> None:
    arrivals = [(0.0, 0), (0.02, 1_000_000), (0.04, 1_000_001)]
    heard = play(arrivals, 0.06)
    assert [piece[0] for piece in heard if piece[0]] == [
        payload(0), payload(1_000_000), payload(1_000_001)
    ]  # fmt: skip


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(-50, 2**32)), max_size=60))
def test_nothing_that_comes_is_held_for_ever(arrivals: list[tuple[float, int]]) -> None:
    intake = Intake(0.0)
    for at, stamp in sorted(arrivals):
        intake.put(stamp % 2**32, b"x" * 80, at)
        intake.take(at)
    intake.take(10.0)
    intake.take(11.0)
    assert not intake._held
