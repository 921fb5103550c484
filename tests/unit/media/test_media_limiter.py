"""The limiter: nothing too loud, nothing changed that is not, and no jumps."""

from __future__ import annotations

from array import array
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from outdial.media.core.limiter import Limiter

MOST = 1_000_000


def frame(*values: int) -> bytes:
    return array("i", [*values] * (160 // len(values))).tobytes()


def peak(samples: bytes) -> int:
    return max(map(abs, array("i", samples)))


def test_what_is_not_too_loud_is_the_same() -> None:
    limiter = Limiter(MOST)
    samples = frame(MOST, -MOST, 0, 17)
    assert limiter.limit(samples) is samples


@given(st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=160, max_size=160), max_size=8))
def test_nothing_is_ever_too_loud(frames: list[list[int]]) -> None:
    limiter = Limiter(MOST)
    for values in frames:
        assert peak(limiter.limit(array("i", values).tobytes())) <= MOST + 1
        assert 0 < limiter.gain <= 1


def test_a_loud_frame_is_turned_down_as_a_whole() -> None:
    limiter = Limiter(MOST)
    limiter.limit(frame(2 * MOST, -2 * MOST))
    turned_down = limiter.limit(frame(2 * MOST, MOST, -MOST, 0))
    assert array("i", turned_down)[:4].tolist() == [MOST, MOST // 2, -MOST // 2, 0]


def test_within_the_frame_the_gain_falls_by_steps_before_the_peak() -> None:
    limiter = Limiter(MOST)
    values = [MOST // 4] * 150 + [4 * MOST] * 10
    levels = sorted(set(array("i", limiter.limit(array("i", values).tobytes()))[:140]))
    assert len(levels) == 7
    assert all(low / high > 0.8 for low, high in pairwise(levels))


def test_the_gain_comes_back_slowly_and_to_one() -> None:
    limiter = Limiter(MOST)
    limiter.limit(frame(3 * MOST))
    quiet = frame(MOST // 10)
    peaks = [peak(limiter.limit(quiet)) for _ in range(30)]
    assert peaks == sorted(peaks)
    assert peaks[0] < MOST // 10 * 0.4
    assert limiter.limit(quiet) is quiet
    assert 0.2 < 0.02 * peaks.index(peaks[-1]) < 0.4
