"""The API keys of the store itself, for `outdial keys`.

A running server sees a change within a second; no server needs to run.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from outdial.cli.files import database_is_missing
from outdial.clock import SystemClock
from outdial.config import Settings
from outdial.key_keeper import KeyKeeper, MadeKey, unknown
from outdial.store.records import KeyRecord
from outdial.store.store import Store


@asynccontextmanager
async def _keeper(settings: Settings) -> AsyncIterator[KeyKeeper]:
    clock = SystemClock()
    store = await Store.open(settings.store.url, clock)
    try:
        yield KeyKeeper(store, [key.name for key in settings.keys], clock)
    finally:
        await store.close()


def _look_for(settings: Settings, name: str) -> None:
    """Raises KeyProblem where there is no database to look in, and does not make one."""
    if database_is_missing(settings):
        raise unknown(name, [key.name for key in settings.keys])


async def add(settings: Settings, wanted: KeyRecord) -> MadeKey:
    """The new key, which is stored only as its hash. Raises KeyProblem."""
    async with _keeper(settings) as keeper:
        return await keeper.add(wanted)


async def rotate(
    settings: Settings, name: str, grace_s: float, expires_at: float | None
) -> MadeKey:
    """The key with a new secret. Raises KeyProblem."""
    _look_for(settings, name)
    async with _keeper(settings) as keeper:
        return await keeper.rotate(name, grace_s, expires_at)


async def stored(settings: Settings) -> list[KeyRecord]:
    """Every key of the store, those too that are valid no more."""
    if database_is_missing(settings):
        return []
    async with _keeper(settings) as keeper:
        return await keeper.listed()


async def revoke(settings: Settings, name: str) -> list[KeyRecord]:
    """Revokes the valid keys of that name or id. Raises KeyProblem when there is none."""
    _look_for(settings, name)
    async with _keeper(settings) as keeper:
        return await keeper.revoke(name)
