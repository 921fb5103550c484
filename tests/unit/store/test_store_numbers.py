"""Numbers that the API manages, on every database."""

from __future__ import annotations

from dataclasses import replace

import pytest

from outdial.clock import SystemClock
from outdial.errors import StoreConflict
from outdial.store.records import NumberRecord
from outdial.store.store import Store

FULL = NumberRecord(
    "18005550101",
    "https://example.com/é.xml",
    "GET",
    "https://example.com/fallback.xml",
    "https://example.com/events",
    ("answered", "completed"),
    record=True,
    created_at=10.5,
    updated_at=11.5,
)


async def test_a_number_is_read_as_it_was_written(store: Store) -> None:
    assert await store.numbers.number(FULL.number) is None
    await store.numbers.add(FULL)
    assert await store.numbers.number(FULL.number) == FULL


async def test_a_number_is_there_once(store: Store) -> None:
    await store.numbers.add(FULL)
    with pytest.raises(StoreConflict):
        await store.numbers.add(replace(FULL, url="http://other/"))
    assert await store.numbers.number(FULL.number) == FULL


async def test_a_number_is_changed_in_everything_but_itself(store: Store) -> None:
    other = replace(FULL, number="18005550102")
    await store.numbers.add(FULL)
    await store.numbers.add(other)
    changed = NumberRecord(FULL.number, "http://new/", updated_at=20.0)
    await store.numbers.change(changed)
    assert await store.numbers.number(FULL.number) == changed
    assert await store.numbers.number(other.number) == other
    await store.numbers.change(replace(changed, number="18005550199"))
    assert await store.numbers.number("18005550199") is None


async def test_a_number_is_removed_however_often(store: Store) -> None:
    await store.numbers.add(FULL)
    for _ in range(2):
        await store.numbers.remove(FULL.number)
        assert await store.numbers.number(FULL.number) is None
    await store.numbers.add(FULL)


async def test_numbers_come_in_their_order_and_by_pages(store: Store) -> None:
    numbers = ["442079460000", "18005550103", "18005550101", "999"]
    for number in numbers:
        await store.numbers.add(replace(FULL, number=number))
    found = [one.number for one in await store.numbers.behind("", 10)]
    assert found == sorted(numbers)
    assert [one.number for one in await store.numbers.behind(found[0], 2)] == found[1:3]
    assert await store.numbers.behind(found[-1], 2) == []


async def test_numbers_are_there_when_the_store_is_opened_again(url: str) -> None:
    store = await Store.open(url, SystemClock())
    await store.numbers.add(FULL)
    await store.close()
    store = await Store.open(url, SystemClock())
    assert await store.numbers.behind("", 10) == [FULL]
    await store.close()


async def test_a_number_is_there_on_every_server_at_once(url: str) -> None:
    here, there = [await Store.open(url, SystemClock()) for _ in range(2)]
    await here.numbers.add(FULL)
    assert await there.numbers.number(FULL.number) == FULL
    await there.numbers.remove(FULL.number)
    assert await here.numbers.number(FULL.number) is None
    for store in (here, there):
        await store.close()
