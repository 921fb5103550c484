"""API keys: those of the settings and those that `outdial keys add` has put into the store.

A key is 192 random bits, so its plain SHA-256 is stored: a slow hash protects guessable secrets,
and these are not. Looking up a digest in a dict tells an attacker nothing by its time, because he
would have to choose digests, not keys.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import secrets
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from outdial import config, ids, log
from outdial.clock import Clock
from outdial.errors import StoreUnavailable
from outdial.key_rules import SCOPES, KeyBook, KeyRules
from outdial.store.records import KeyRecord

_PREFIX_LENGTH = 7
_EVERY_S = 0.5
"""A key that another process has added is taken, and one it has revoked refused, after so long."""
_NOTED_EVERY_S = 15.0
"""How late the store may learn that a key was used."""
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


def rules_of(key: KeyRecord) -> KeyRules:
    """What a key of the store may do."""
    return KeyRules(
        key.name,
        SCOPES if key.scopes is None else key.scopes,
        key.callers,
        key.destinations,
        key.calls_per_second,
        key.concurrent_calls,
        key.minutes_per_day,
    )


def rules_given(key: config.Key) -> KeyRules:
    """What a key of the settings may do."""
    return KeyRules(
        key.name,
        tuple(key.scopes),
        None if key.from_ is None else tuple(key.from_),
        None if key.destinations is None else tuple(key.destinations),
        key.calls_per_second,
        key.concurrent_calls,
        key.minutes_per_day,
        is_given=True,
    )


class StoredKeys(Protocol):
    """What the ring needs of the store."""

    async def keys(self) -> list[KeyRecord]: ...

    async def keys_used(self, at: Mapping[str, float]) -> None: ...


class _Valid(NamedTuple):
    """A secret that is let in."""

    rules: KeyRules
    until: float = math.inf
    id: str = ""
    """"" for those of the settings, whose use is not noted."""


class KeyRing:
    """Knows every valid key. Made by `KeyRing.open`; reads the store's keys twice a second.

    While the store cannot be read, what was read last holds.
    """

    def __init__(self, store: StoredKeys, given: Sequence[config.Key], clock: Clock) -> None:
        self._store = store
        self._given: dict[str, _Valid] = {}
        for key in given:
            valid = _Valid(rules_given(key), math.inf if key.expires is None else key.expires)
            for secret in (key.key, key.previous_key):
                if secret.get_secret_value():
                    self._given[digest(secret.get_secret_value())] = valid
        self.book = KeyBook({one.rules.name: one.rules for one in self._given.values()})
        """What each may do."""
        self._clock = clock
        self._valid: dict[str, _Valid] = dict(self._given)
        self._used: dict[str, float] = {}
        self._noted_at = clock.monotonic()
        self._readable = True
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, store: StoredKeys, settings: config.Settings, clock: Clock) -> KeyRing:
        """A ring with the keys of the settings and of the store. Raises StoreUnavailable."""
        ring = cls(store, settings.keys, clock)
        await ring.reload()
        ring._read_later()
        return ring

    def verify(self, presented: str) -> KeyRules | None:
        """What the key may do, None when it is not valid."""
        if len(presented) > _LONGEST_KEY:
            return None
        found = self._valid.get(digest(presented))
        now = self._clock.now()
        if found is None or found.until <= now:
            return None
        if found.id:
            self._used[found.id] = now
        return found.rules

    async def reload(self) -> None:
        """Reads the store's keys now. Raises StoreUnavailable."""
        stored = await self._store.keys()
        given = {one.rules.name for one in self._given.values()}
        # oldest first: of several of one name the newest says what all of them may
        rules = {key.name: rules_of(key) for key in stored if key.name not in given}
        self.book.learn(rules)
        valid = {key.digest: _Valid(self.book.of(key.name), _end_of(key), key.id) for key in stored}
        self._valid = valid | self._given

    def _read_later(self) -> None:
        # a timer and not a sleeping task: nothing needs to be ended when the program ends
        asyncio.get_running_loop().call_later(_EVERY_S, self._read)

    def _read(self) -> None:
        self._reading = asyncio.create_task(self._read_again())

    async def _read_again(self) -> None:
        try:
            await self.reload()
            await self._note_use()
            self._readable = True
        except StoreUnavailable as problem:
            if self._readable:
                _log.warning("keys cannot be read; those known hold", reason=str(problem))
            self._readable = False
        finally:
            self._read_later()  # whatever happened: a revoked key must not be good for ever

    async def _note_use(self) -> None:
        """Tells the store which keys were used, not more often than it is worth."""
        now = self._clock.monotonic()
        if not self._used or now - self._noted_at < _NOTED_EVERY_S:
            return
        self._noted_at = now
        used, self._used = self._used, {}
        await self._store.keys_used(used)


def _end_of(key: KeyRecord) -> float:
    """When it ceases to be valid."""
    ends = (key.revoked_at, key.expires_at)
    return min((end for end in ends if end is not None), default=math.inf)
