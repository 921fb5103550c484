"""When callbacks are tried again."""

from __future__ import annotations

import pytest

from outdial.webhooks.schedule import is_delivered, next_attempt_at


def after(
    attempts: int,
    *,
    status: int | None = 500,
    retry_after_s: float | None = None,
    live: bool = False,
    most_attempts: int = 9,
    random: float = 0.5,
) -> float | None:
    at = next_attempt_at(
        attempts,
        1000.0,
        status=status,
        retry_after_s=retry_after_s,
        live=live,
        most_attempts=most_attempts,
        random=lambda: random,
    )
    return None if at is None else at - 1000.0


def test_waits_grow_to_a_day_and_then_it_is_given_up() -> None:
    waits = [after(attempts) for attempts in range(1, 10)]
    assert waits == [5, 30, 120, 600, 3600, 14400, 43200, 86400, None]


def test_while_the_call_lives_the_first_retries_come_sooner() -> None:
    assert [after(attempts, live=True) for attempts in range(1, 5)] == [1, 2, 120, 600]


def test_more_attempts_than_waits_repeat_the_longest() -> None:
    assert after(15, most_attempts=20) == 86400
    assert after(1, most_attempts=1) is None


@pytest.mark.parametrize(("random", "wait"), [(0.0, 27.0), (1.0, 33.0)])
def test_waits_vary_by_a_fifth(random: float, wait: float) -> None:
    assert after(2, random=random) == pytest.approx(wait)


@pytest.mark.parametrize(
    ("status", "retry_after_s", "wait"),
    [
        (429, 60.0, 60.0),
        (503, 60.0, 60.0),
        (429, 0.0, 5.0),
        (429, 1e12, 86400.0),
        (500, 60.0, 5.0),
        (None, 60.0, 5.0),
    ],
)
def test_retry_after(status: int | None, retry_after_s: float, wait: float) -> None:
    assert after(1, status=status, retry_after_s=retry_after_s) == wait


def test_gone_is_given_up_at_once() -> None:
    assert after(1, status=410, retry_after_s=5.0) is None


def test_only_2xx_is_delivered() -> None:
    taken = [status for status in range(100, 600) if is_delivered(status)]
    assert taken == list(range(200, 300))
    assert not is_delivered(None)
