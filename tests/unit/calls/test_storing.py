"""Whoever waits for a call to be stored has an answer in time, and the call then has its end."""

from __future__ import annotations

import asyncio

import pytest

from outdial.calls.storing import store_in_time
from outdial.errors import StoreConflict, StoreUnavailable


async def test_what_is_stored_in_time_is_nobody_elses_concern() -> None:
    late: list[bool] = []
    await store_in_time(asyncio.sleep(0), late.append, 1.0)
    assert late == []


async def test_an_error_reaches_who_waits() -> None:
    async def conflict() -> None:
        raise StoreConflict("used before")

    late: list[bool] = []
    with pytest.raises(StoreConflict):
        await store_in_time(conflict(), late.append, 1.0)
    assert late == []


@pytest.mark.parametrize("stored", [True, False])
async def test_what_takes_too_long_is_refused_and_told_later(stored: bool) -> None:
    answer = asyncio.Event()

    async def storing() -> None:
        await answer.wait()
        if not stored:
            raise StoreUnavailable("gone")

    late: list[bool] = []
    with pytest.raises(StoreUnavailable, match=r"within 0\.01 seconds"):
        await store_in_time(storing(), late.append, 0.01)
    assert late == []
    answer.set()
    await asyncio.sleep(0.01)
    assert late == [stored]


async def test_a_poster_that_goes_away_leaves_no_call_that_nobody_knows() -> None:
    answer, late = asyncio.Event(), list[bool]()

    async def storing() -> None:
        await answer.wait()

    waiting = asyncio.ensure_future(store_in_time(storing(), late.append, 10.0))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    answer.set()
    await asyncio.sleep(0.01)
    assert late == [True]
