"""API keys of the settings and of the store."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from outdial import config, keys
from outdial.clock import SystemClock
from outdial.errors import StoreUnavailable
from outdial.keys import KeyRing
from outdial.store.records import KeyRecord
from outdial.store.store import Store

SETTINGS = config.load(
    None, environment={"OUTDIAL_KEYS__0__NAME": "dev", "OUTDIAL_KEYS__0__KEY": "given"}
)


class Shelf:
    """Keys as the store gives them, or trouble."""

    def __init__(self, *stored: KeyRecord) -> None:
        self.stored: list[KeyRecord] | None = list(stored)
        self.used: list[dict[str, float]] = []

    async def keys(self) -> list[KeyRecord]:
        if self.stored is None:
            raise StoreUnavailable("away")
        return self.stored

    async def keys_used(self, at: Mapping[str, float]) -> None:
        self.used.append(dict(at))


def name_of(ring: KeyRing, presented: str) -> str:
    rules = ring.verify(presented)
    assert rules is not None
    return rules.name


def test_new_keys_are_long_random_and_recognisable() -> None:
    made = {keys.new_key() for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"ok_[A-Za-z0-9_-]{32}", key) for key in made)


def test_of_a_key_only_its_beginning_and_its_hash_are_stored() -> None:
    key = keys.new_key()
    row = keys.record("crm", key, 5.0)
    assert key[7:] not in repr(row)
    assert (row.name, row.prefix, row.created_at) == ("crm", key[:7], 5.0)
    assert re.fullmatch(r"[0-9a-f]{64}", row.digest)


async def test_a_key_is_known_by_its_name_and_others_are_not_known() -> None:
    key = keys.new_key()
    ring = await KeyRing.open(Shelf(keys.record("crm", key, 0.0)), SETTINGS, SystemClock())
    assert name_of(ring, "given") == "dev"
    assert name_of(ring, key) == "crm"
    for wrong in ("", "Given", "given ", key[:-1], key + "x", "x" * 100_000, "\ud800", "é\x00"):
        assert ring.verify(wrong) is None


async def test_keys_that_another_process_adds_and_revokes_are_followed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    ours, theirs = await Store.open(url, SystemClock()), await Store.open(url, SystemClock())
    ring = await KeyRing.open(ours, SETTINGS, SystemClock())
    key = keys.new_key()
    await theirs.add_key(keys.record("crm", key, 0.0))
    assert ring.verify(key) is None
    await ring.reload()
    assert name_of(ring, key) == "crm"
    await theirs.revoke_key("crm")
    await ring.reload()
    assert ring.verify(key) is None
    await ours.close()
    await theirs.close()


async def test_the_ring_reads_again_by_itself_also_after_trouble(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keys, "_EVERY_S", 0.0)
    key = keys.new_key()
    shelf = Shelf(keys.record("crm", key, 0.0))
    ring = await KeyRing.open(shelf, SETTINGS, SystemClock())
    shelf.stored = None
    while ring._readable:
        await ring._read_again()
    assert name_of(ring, key) == "crm"
    shelf.stored = []
    await ring._read_again()
    assert ring.verify(key) is None
    assert name_of(ring, "given") == "dev"


async def test_the_ring_reads_again_even_after_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    key = keys.new_key()
    shelf = Shelf(keys.record("crm", key, 0.0))
    ring = await KeyRing.open(shelf, SETTINGS, SystemClock())
    monkeypatch.setattr(keys, "_EVERY_S", 0.001)
    monkeypatch.setattr(shelf, "keys", None)  # calling it is a TypeError
    with pytest.raises(TypeError):
        await ring._read_again()
    monkeypatch.undo()
    shelf.stored = []
    async with asyncio.timeout(5):
        while ring.verify(key) is not None:  # noqa: ASYNC110 - a timer does it
            await asyncio.sleep(0.001)


async def test_a_store_that_is_away_at_the_start_is_an_error() -> None:
    shelf = Shelf()
    shelf.stored = None
    with pytest.raises(StoreUnavailable):
        await KeyRing.open(shelf, SETTINGS, SystemClock())
