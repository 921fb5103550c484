"""`outdial keys`: adds, lists and revokes API keys in the store itself.

A running server sees the change within a second; no server needs to run.
"""

from __future__ import annotations

from outdial.cli.files import database_is_missing
from outdial.clock import SystemClock
from outdial.config import Settings
from outdial.errors import OutdialError
from outdial.keys import new_key, record
from outdial.store.records import KeyRecord
from outdial.store.store import Store


class KeyProblem(OutdialError):
    """There is no such key, or there is one of that name already."""


async def add(settings: Settings, name: str) -> str:
    """The new key, which is stored only as its hash. Raises KeyProblem."""
    clock = SystemClock()
    store = await Store.open(settings.store.url, clock)
    try:
        taken = {key.name for key in await store.keys() if key.revoked_at is None}
        taken.update(key.name for key in settings.keys)
        if name in taken:
            raise KeyProblem(f"there is a key named {name!r} already; revoke it or choose another")
        key = new_key()
        await store.add_key(record(name, key, clock.now()))
        return key
    finally:
        await store.close()


async def stored(settings: Settings) -> list[KeyRecord]:
    """Every key of the store, the revoked ones too."""
    if database_is_missing(settings):
        return []
    store = await Store.open(settings.store.url, SystemClock())
    try:
        return await store.keys()
    finally:
        await store.close()


async def revoke(settings: Settings, name: str) -> list[KeyRecord]:
    """Revokes the valid keys of that name or id. Raises KeyProblem when there is none."""
    if not database_is_missing(settings):
        store = await Store.open(settings.store.url, SystemClock())
        try:
            revoked = await store.revoke_key(name)
        finally:
            await store.close()
        if revoked:
            return revoked
    if any(key.name == name for key in settings.keys):
        raise KeyProblem(f"{name!r} stands in the configuration: take its [[keys]] entry out there")
    raise KeyProblem(f"there is no valid key of the name or id {name!r}; see outdial keys ls")
