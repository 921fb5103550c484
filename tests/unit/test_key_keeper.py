"""Keys are made, rotated and revoked in a real store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from outdial.clock import SystemClock
from outdial.key_keeper import KeyKeeper, KeyProblem
from outdial.keys import digest
from outdial.store.records import KeyRecord
from outdial.store.store import Store

WANTED = KeyRecord(
    "",
    "crm",
    "",
    "",
    0.0,
    scopes=("call",),
    callers=("1800*",),
    destinations=("1949", "44"),
    calls_per_second=2.5,
    concurrent_calls=3,
    minutes_per_day=30.0,
    expires_at=4e9,
)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(f"sqlite:///{tmp_path}/a.db", SystemClock())
    yield store
    await store.close()


@pytest.fixture
def keeper(store: Store) -> KeyKeeper:
    return KeyKeeper(store, ["given"], SystemClock())


async def test_a_key_is_stored_with_its_rules_and_without_its_secret(keeper: KeyKeeper) -> None:
    made = await keeper.add(WANTED)
    (kept,) = await keeper.listed()
    assert kept == made.record
    assert kept.digest == digest(made.secret)
    assert made.secret.startswith(kept.prefix) and made.secret not in repr(kept)
    assert replace(kept, id="", prefix="", digest="", created_at=0.0) == WANTED


async def test_none_and_nothing_are_different_lists(keeper: KeyKeeper) -> None:
    wanted = replace(WANTED, callers=None, destinations=())
    await keeper.add(wanted)
    (kept,) = await keeper.listed()
    assert (kept.callers, kept.destinations) == (None, ())


async def test_a_rotated_key_has_the_same_rules_and_its_old_secret_a_grace(
    keeper: KeyKeeper,
) -> None:
    first = await keeper.add(WANTED)
    second = await keeper.rotate("crm", 3600.0)
    assert second.secret != first.secret
    now = SystemClock().now()
    old, new = await keeper.listed()
    assert old.revoked_at is not None and now + 3500 < old.revoked_at <= now + 3600
    assert old.is_valid(now) and not old.is_valid(now + 3600)
    assert (new.revoked_at, new.expires_at) == (None, 4e9)
    assert (new.callers, new.destinations, new.minutes_per_day) == (
        WANTED.callers,
        WANTED.destinations,
        WANTED.minutes_per_day,
    )
    await keeper.rotate(new.id, 7200.0, expires_at=5e9)
    ends = [key.revoked_at for key in await keeper.listed()]
    assert ends[0] == old.revoked_at  # not put off
    assert ends[1] is not None and ends[1] > now + 7100
    assert (await keeper.listed())[2].expires_at == 5e9


async def test_revoking_ends_the_grace_too(keeper: KeyKeeper) -> None:
    await keeper.add(WANTED)
    await keeper.rotate("crm", 3600.0)
    assert len(await keeper.revoke("crm")) == 2
    now = SystemClock().now()
    assert not any(key.is_valid(now) for key in await keeper.listed())
    with pytest.raises(KeyProblem) as caught:
        await keeper.revoke("crm")
    assert caught.value.kind == "unknown"
    await keeper.add(WANTED)  # the name is free again


@pytest.mark.parametrize("name", ["crm", "given"])
async def test_a_name_is_there_once(keeper: KeyKeeper, name: str) -> None:
    await keeper.add(WANTED)
    with pytest.raises(KeyProblem) as caught:
        await keeper.add(replace(WANTED, name=name))
    assert caught.value.kind == "taken"


@pytest.mark.parametrize("name", ["", "x" * 65, "a\nb", "a\x1b[31m"])
async def test_names_can_be_printed(keeper: KeyKeeper, name: str) -> None:
    with pytest.raises(KeyProblem) as caught:
        await keeper.add(replace(WANTED, name=name))
    assert caught.value.kind == "bad"


async def test_what_cannot_be_done_says_why(keeper: KeyKeeper) -> None:
    with pytest.raises(KeyProblem, match="expired already"):
        await keeper.add(replace(WANTED, expires_at=5.0))
    with pytest.raises(KeyProblem, match="outdial keys ls"):
        await keeper.rotate("nobody", 0.0)
    with pytest.raises(KeyProblem, match="previous_key") as caught:
        await keeper.rotate("given", 0.0)
    assert caught.value.kind == "given"
    with pytest.raises(KeyProblem, match="366 days"):
        await keeper.rotate("crm", 1e9)


async def test_when_a_key_was_used_is_kept(keeper: KeyKeeper, store: Store) -> None:
    made = await keeper.add(WANTED)
    await store.keys_used({made.record.id: 1_800_000_000.5})
    (kept,) = await keeper.listed()
    assert kept == replace(made.record, last_used_at=1_800_000_000.5)
