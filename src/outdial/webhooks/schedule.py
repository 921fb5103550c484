"""When a callback is tried again."""

from __future__ import annotations

from collections.abc import Callable

DELAYS_S = (0.0, 5.0, 30.0, 120.0, 600.0, 3600.0, 14400.0, 43200.0, 86400.0)
"""Before each attempt; attempts beyond the last wait as long as the last."""

LIVE_DELAYS_S = (0.0, 1.0, 2.0)
"""Before the first attempts while the call goes on: the news is of use now."""

_JITTER = 0.2
_MOST_RETRY_AFTER_S = 86400.0


def is_delivered(status: int | None) -> bool:
    """Whether a receiver that answered so has taken it: only 2xx. None: it did not answer."""
    return status is not None and 200 <= status < 300


def next_attempt_at(
    attempts: int,
    now: float,
    *,
    status: int | None,
    retry_after_s: float | None,
    live: bool,
    most_attempts: int,
    random: Callable[[], float],
) -> float | None:
    """Wall time of the next attempt after `attempts` that failed; None: given up.

    `status` is the last answer's, `retry_after_s` its Retry-After, which counts on 429 and 503 and
    never shortens the wait. `random` gives 0 to 1: waits vary by 20 %, so that the callbacks that
    failed together do not come back together.
    """
    if attempts >= most_attempts or status == 410:
        return None
    delays = LIVE_DELAYS_S if live and attempts < len(LIVE_DELAYS_S) else DELAYS_S
    delay = delays[min(attempts, len(delays) - 1)]
    delay *= 1.0 + _JITTER * (random() - 0.5)
    if status in (429, 503) and retry_after_s is not None:
        delay = max(delay, min(retry_after_s, _MOST_RETRY_AFTER_S))
    return now + delay
