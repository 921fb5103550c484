"""Makes, lists, rotates and revokes the API keys of the store, for the command line and the API."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Literal, NamedTuple, Protocol

from outdial.clock import Clock
from outdial.errors import OutdialError
from outdial.keys import new_key, record
from outdial.store.records import KeyRecord

LONGEST_NAME = 64
GRACE_S = 86_400.0
"""How long a rotated key's old secret goes on, unless something else is said."""
LONGEST_GRACE_S = 366 * 86_400.0


class KeyProblem(OutdialError):
    """There is no such key, or there is one of that name already, or the settings have it."""

    def __init__(self, kind: Literal["taken", "unknown", "given", "bad"], message: str) -> None:
        self.kind = kind
        super().__init__(message)


class MadeKey(NamedTuple):
    """A key and its secret, which is nowhere else."""

    record: KeyRecord
    secret: str


class KeyStore(Protocol):
    """The part of the store that has keys."""

    async def keys(self) -> list[KeyRecord]: ...

    async def add_key(self, key: KeyRecord) -> None: ...

    async def replace_key(
        self, successor: KeyRecord, old: Iterable[KeyRecord], at: float
    ) -> None: ...

    async def revoke_key(self, name: str) -> list[KeyRecord]: ...


class KeyKeeper:
    """The keys of one store, beside those of the settings. Anything may raise StoreUnavailable."""

    def __init__(self, store: KeyStore, given: Collection[str], clock: Clock) -> None:
        self._store = store
        self._given = frozenset(given)
        self._clock = clock

    def now(self) -> float:
        """Wall time."""
        return self._clock.now()

    async def listed(self) -> list[KeyRecord]:
        """Every key, oldest first, those too that are valid no more."""
        return await self._store.keys()

    async def add(self, wanted: KeyRecord) -> MadeKey:
        """A key of that name that may do what `wanted` says; its other fields are made here.
        Raises KeyProblem."""
        name = wanted.name
        if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
            problem = f"a name has 1 to {LONGEST_NAME} printable characters"
            raise KeyProblem("bad", problem)
        now = self._clock.now()
        if wanted.expires_at is not None and wanted.expires_at <= now:
            raise KeyProblem("bad", "it would have expired already: give a time to come")
        taken = {key.name for key in await self._store.keys() if key.is_valid(now)}
        if name in taken or name in self._given:
            raise KeyProblem(
                "taken", f"there is a key named {name!r} already; revoke it or choose another"
            )
        secret = new_key()
        made = _like(wanted, record(name, secret, now))
        await self._store.add_key(made)
        return MadeKey(made, secret)

    async def rotate(self, name: str, grace_s: float, expires_at: float | None = None) -> MadeKey:
        """A new secret for the key of that name or id, with the same rules; the old one is good
        for `grace_s` yet. Its expiry stays, unless another is given. Raises KeyProblem."""
        if not 0 <= grace_s <= LONGEST_GRACE_S:
            raise KeyProblem("bad", "the grace is 0 seconds to 366 days")
        now = self._clock.now()
        valid = [key for key in await self._store.keys() if key.is_valid(now)]
        names = {key.name for key in valid if name in (key.name, key.id)}
        old = [key for key in valid if key.name in names]
        if not old:
            raise unknown(name, self._given)
        secret = new_key()
        successor = _like(old[-1], record(old[-1].name, secret, now))
        if expires_at is not None:
            successor = replace(successor, expires_at=expires_at)
        await self._store.replace_key(successor, old, now + grace_s)
        return MadeKey(successor, secret)

    async def revoke(self, name: str) -> list[KeyRecord]:
        """Makes the keys of that name or id invalid now; as they were. Raises KeyProblem."""
        revoked = await self._store.revoke_key(name)
        if not revoked:
            raise unknown(name, self._given)
        return revoked


def unknown(name: str, given: Collection[str]) -> KeyProblem:
    """Why a key that is not in the store cannot be rotated or revoked."""
    if name in given:
        return KeyProblem(
            "given",
            f"{name!r} stands in the configuration: change its [[keys]] entry there "
            "(previous_key keeps an old secret valid beside a new one)",
        )
    return KeyProblem(
        "unknown", f"there is no valid key of the name or id {name!r}; see outdial keys ls"
    )


def _like(rules: KeyRecord, made: KeyRecord) -> KeyRecord:
    """The key that was just made, with what the other one may do."""
    return replace(
        rules,
        id=made.id,
        name=made.name,
        prefix=made.prefix,
        digest=made.digest,
        created_at=made.created_at,
        revoked_at=None,
        last_used_at=None,
    )
