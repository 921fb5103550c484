"""What each API key may do, and a book of it for whoever dials, admits or answers. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from outdial.frozen import frozen

SCOPES = ("call", "read", "admin")
"""call: place calls and change live ones. read: see everything. admin: what outlasts a call:
numbers, keys, bans, deleting recordings, sending callbacks again."""


@frozen
class KeyRules:
    """Of the key of one name; two secrets of it, as while it is being rotated, are one key.

    Where a list is None there is no such rule; an empty one allows nothing. Limits of 0 are none.
    """

    name: str
    scopes: tuple[str, ...] = SCOPES
    callers: tuple[str, ...] | None = None
    """Caller IDs that it may show: whole numbers (E.164 digits), and beginnings with a * behind."""
    destinations: tuple[str, ...] | None = None
    """Beginnings of the numbers that it may dial, of those that the settings allow."""
    calls_per_second: float = 0.0
    concurrent_calls: int = 0
    minutes_per_day: float = 0.0
    is_given: bool = False
    """It stands in the settings."""

    @property
    def is_narrow(self) -> bool:
        """Whether it may call with fewer numbers than the server may."""
        return self.callers is not None or self.destinations is not None

    def may_show(self, caller_id: str) -> bool:
        """Whether calls of it may have this caller ID."""
        return self.callers is None or any(
            caller_id.startswith(one[:-1]) if one.endswith("*") else caller_id == one
            for one in self.callers
        )

    def may_dial(self, number: str) -> bool:
        """Whether calls of it may go to the number; "" is a SIP address that has none."""
        if self.destinations is None:
            return True
        return bool(number) and number.startswith(self.destinations)


class KeyBook:
    """The rules of every key that is known, by name; keys that were revoked stay, for the calls
    that they have placed."""

    def __init__(self, rules: Mapping[str, KeyRules] = MappingProxyType({})) -> None:
        self._rules = dict(rules)
        self._watchers: list[Callable[[KeyRules], None]] = []

    def of(self, name: str) -> KeyRules:
        """Nothing but what holds for all limits a name that is not known; calls towards us have
        the name ""."""
        return self._rules.get(name) or KeyRules(name)

    def watch(self, watcher: Callable[[KeyRules], None]) -> None:
        """It is told of every key at once, and of each that changes later."""
        self._watchers.append(watcher)
        for rules in self._rules.values():
            watcher(rules)

    def learn(self, rules: Mapping[str, KeyRules]) -> None:
        """What holds from now on; names that are not in it keep their rules."""
        changed = [one for name, one in rules.items() if self._rules.get(name) != one]
        self._rules.update(rules)
        for one in changed:
            for watcher in self._watchers:
                watcher(one)
