"""API keys: those of the settings and those that `outdial keys add` has put into the store.

A key is 192 random bits, so its plain SHA-256 is stored: a slow hash protects guessable secrets,
and these are not. Looking up a digest in a dict tells an attacker nothing by its time, because he
would have to choose digests, not keys.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Sequence
from typing import Protocol

from outdial import config, ids, log
from outdial.clock import Clock
from outdial.errors import StoreUnavailable
from outdial.store.records import KeyRecord

_PREFIX_LENGTH = 7
_EVERY_S = 0.5
"""A key that another process has added is taken, and one it has revoked refused, after so long."""
_LONGEST_KEY = 512

_log = log.get("keys")


def new_key() -> str:
    """A new key: ``ok_`` and 32 URL-safe characters."""
    return "ok_" + secrets.token_urlsafe(24)


def digest(key: str) -> str:
    """What is stored of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def record(name: str, key: str, now: float) -> KeyRecord:
    """The row for a new key."""
    return KeyRecord(ids.new(ids.KEY), name, key[:_PREFIX_LENGTH], digest(key), now)


class StoredKeys(Protocol):
    """What the ring needs of the store."""

    async def keys(self) -> list[KeyRecord]: ...


class KeyRing:
    """Knows every valid key. Made by `KeyRing.open`; reads the store's keys twice a second.

    While the store cannot be read, what was read last holds.
    """

    def __init__(self, store: StoredKeys, given: Sequence[config.Key], clock: Clock) -> None:
        self._store = store
        self._given = {digest(key.key.get_secret_value()): key.name for key in given}
        self._clock = clock
        self._names: dict[str, str] = {}
        self._readable = True
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, store: StoredKeys, settings: config.Settings, clock: Clock) -> KeyRing:
        """A ring with the keys of the settings and of the store. Raises StoreUnavailable."""
        ring = cls(store, settings.keys, clock)
        await ring.reload()
        ring._read_later()
        return ring

    def verify(self, presented: str) -> str | None:
        """The name of the key, None when it is not valid."""
        if len(presented) > _LONGEST_KEY:
            return None
        return self._names.get(digest(presented))

    async def reload(self) -> None:
        """Reads the store's keys now. Raises StoreUnavailable."""
        stored = await self._store.keys()
        now = self._clock.now()
        valid = {
            key.digest: key.name for key in stored if key.revoked_at is None or key.revoked_at > now
        }
        self._names = valid | self._given

    def _read_later(self) -> None:
        # a timer and not a sleeping task: nothing needs to be ended when the program ends
        asyncio.get_running_loop().call_later(_EVERY_S, self._read)

    def _read(self) -> None:
        self._reading = asyncio.create_task(self._read_again())

    async def _read_again(self) -> None:
        try:
            await self.reload()
            self._readable = True
        except StoreUnavailable as problem:
            if self._readable:
                _log.warning("keys cannot be read; those known hold", reason=str(problem))
            self._readable = False
        finally:
            self._read_later()  # whatever happened: a revoked key must not be good for ever
