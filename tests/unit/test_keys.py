"""API keys of the settings and of the store."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from outdial import config, keys
from outdial.clock import SystemClock
from outdial.errors import StoreUnavailable
from outdial.key_rules import SCOPES, KeyRules
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


class SetClock(SystemClock):
    """A clock that is set."""

    def __init__(self, at: float) -> None:
        self.at = at

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


async def test_an_expired_key_and_one_whose_grace_is_over_are_not_let_in() -> None:
    old, new, short = keys.new_key(), keys.new_key(), keys.new_key()
    shelf = Shelf(
        replace(keys.record("crm", old, 0.0), revoked_at=200.0),
        keys.record("crm", new, 1.0),
        replace(keys.record("trial", short, 2.0), expires_at=150.0),
    )
    clock = SetClock(100.0)
    ring = await KeyRing.open(shelf, SETTINGS, clock)
    assert (name_of(ring, old), name_of(ring, new), name_of(ring, short)) == ("crm", "crm", "trial")
    clock.at = 150.0  # between two looks at the store
    assert ring.verify(short) is None
    assert name_of(ring, old) == "crm"
    clock.at = 200.0
    assert ring.verify(old) is None
    assert name_of(ring, new) == "crm"


async def test_a_key_of_the_settings_has_a_previous_secret_and_an_end() -> None:
    settings = config.Settings.model_validate(
        {
            "keys": [
                {"name": "dev", "key": "new", "previous_key": "old", "expires": "2027-01-31"},
                {"name": "ever", "key": "other"},
            ]
        }
    )
    clock = SetClock(1_801_353_599.0)  # a second before
    ring = await KeyRing.open(Shelf(), settings, clock)
    assert [name_of(ring, key) for key in ("new", "old", "other")] == ["dev", "dev", "ever"]
    assert ring.verify("") is None
    clock.at += 1.0
    assert [ring.verify("new"), ring.verify("old")] == [None, None]
    assert name_of(ring, "other") == "ever"


async def test_what_a_key_may_do_is_known_by_its_name() -> None:
    key = keys.new_key()
    stored = replace(
        keys.record("crm", key, 0.0),
        scopes=("read",),
        callers=("1800*",),
        destinations=(),
        calls_per_second=2.0,
    )
    ring = await KeyRing.open(Shelf(stored), SETTINGS, SystemClock())
    rules = ring.verify(key)
    assert rules is not None and rules is ring.book.of("crm")
    assert (rules.scopes, rules.callers, rules.destinations) == (("read",), ("1800*",), ())
    assert rules.calls_per_second == 2.0
    given = ring.verify("given")
    assert given is not None and (given.scopes, given.callers) == (SCOPES, None)
    assert ring.book.of("nobody") == KeyRules("nobody")


async def test_who_watches_is_told_of_each_key_once_and_of_every_change() -> None:
    old = replace(keys.record("crm", "a", 0.0), concurrent_calls=1)
    shelf = Shelf(old)
    ring = await KeyRing.open(shelf, SETTINGS, SystemClock())
    told: list[tuple[str, int]] = []
    ring.book.watch(lambda rules: told.append((rules.name, rules.concurrent_calls)))
    assert told == [("dev", 0), ("crm", 1)]
    await ring.reload()
    assert len(told) == 2
    shelf.stored = [old, replace(keys.record("crm", "b", 1.0), concurrent_calls=5)]
    await ring.reload()
    assert told[2:] == [("crm", 5)]
    shelf.stored = []
    await ring.reload()
    assert ring.verify("b") is None
    assert ring.book.of("crm").concurrent_calls == 5  # its calls may still wait


async def test_a_name_of_the_settings_is_not_changed_by_the_store() -> None:
    key = keys.new_key()
    stored = replace(keys.record("dev", key, 0.0), scopes=("read",))
    ring = await KeyRing.open(Shelf(stored), SETTINGS, SystemClock())
    rules = ring.verify(key)
    assert rules is not None and rules.scopes == SCOPES and rules.is_given


async def test_the_use_of_a_stored_key_is_noted_now_and_then() -> None:
    key = keys.new_key()
    stored = keys.record("crm", key, 0.0)
    shelf, clock = Shelf(stored), SetClock(100.0)
    ring = await KeyRing.open(shelf, SETTINGS, clock)
    for at in (101.0, 102.0):
        clock.at = at
        ring.verify(key)
        ring.verify("given")
        ring.verify("wrong")
        await ring._read_again()
    assert shelf.used == []
    clock.at = 115.0
    await ring._read_again()
    assert shelf.used == [{stored.id: 102.0}]
    clock.at = 200.0
    await ring._read_again()
    assert len(shelf.used) == 1


@pytest.mark.parametrize(
    ("callers", "caller_id", "may"),
    [
        (None, "18005550100", True),
        ((), "18005550100", False),
        (("18005550100",), "18005550100", True),
        (("18005550100",), "180055501001", False),
        (("1800*",), "18005550100", True),
        (("1800*",), "1800", True),
        (("1800*",), "18015550100", False),
        (("1949*", "18005550100"), "18005550100", True),
        (("*",), "anonymous", True),
    ],
)
def test_caller_ids(callers: tuple[str, ...] | None, caller_id: str, may: bool) -> None:
    assert KeyRules("k", callers=callers).may_show(caller_id) is may


@pytest.mark.parametrize(
    ("destinations", "number", "may"),
    [
        (None, "18005550100", True),
        (None, "", True),
        ((), "18005550100", False),
        (("1949",), "19495550100", True),
        (("1949",), "19485550100", False),
        (("1949", "44"), "442071838750", True),
        (("1949",), "", False),
        (("",), "19485550100", True),
        (("",), "", False),
    ],
)
def test_destinations(destinations: tuple[str, ...] | None, number: str, may: bool) -> None:
    assert KeyRules("k", destinations=destinations).may_dial(number) is may
