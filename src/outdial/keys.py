"""API keys: those of the settings and those that `outdial keys add` has put into the store.

A key is 192 random bits, so its plain SHA-256 is stored: a slow hash protects guessable secrets,
and these are not. Looking up a digest in a dict tells an attacker nothing by its time, because he
would have to choose digests, not keys.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import Protocol

from outdial import config, ids, log
from outdial.clock import Clock
from outdial.errors import StoreUnavailable
from outdial.store.records import KeyRecord

_PREFIX_LENGTH = 7
_EVERY_S = 5.0
"""A key that was revoked by another process is refused after so long."""
_ON_MISS_S = 1.0
"""A key that was added by another process is taken after so long."""
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
    """Knows every valid key. Made by `KeyRing.open`."""

    def __init__(self, given: Sequence[config.Key], store: StoredKeys, clock: Clock) -> None:
        self._given = {digest(key.key.get_secret_value()): key.name for key in given}
        self._store = store
        self._clock = clock
        self._names = dict(self._given)
        self._read_at = float("-inf")

    @classmethod
    async def open(cls, given: Sequence[config.Key], store: StoredKeys, clock: Clock) -> KeyRing:
        """A ring with the keys of the settings and of the store. Raises StoreUnavailable."""
        ring = cls(given, store, clock)
        await ring.reload()
        return ring

    async def verify(self, presented: str) -> str | None:
        """The name of the key, None when it is not valid.

        Reads the store again when its last reading is some seconds old; while the store cannot be
        read, what was read last holds.
        """
        if not presented or len(presented) > _LONGEST_KEY:
            return None
        wanted = digest(presented)
        age_s = self._clock.monotonic() - self._read_at
        if age_s >= _EVERY_S or (age_s >= _ON_MISS_S and wanted not in self._names):
            self._read_at = self._clock.monotonic()  # first, so that others need not read too
            try:
                await self.reload()
            except StoreUnavailable as problem:
                _log.warning("keys could not be read again", reason=str(problem))
        return self._names.get(wanted)

    async def reload(self) -> None:
        """Reads the store's keys. Raises StoreUnavailable."""
        stored = await self._store.keys()
        self._read_at = self._clock.monotonic()
        valid = {key.digest: key.name for key in stored if key.revoked_at is None}
        self._names = valid | self._given
