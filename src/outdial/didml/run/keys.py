"""The keys that the person on a call has pressed and no verb has taken yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

MOST_WAITING = 200
"""As many as a Gather takes; what is pressed beyond that, with nobody to take it, is lost."""
SAME_KEY_S = 1.0
"""A far end that tells each key twice, by SIP INFO and with its audio, does so within this time."""


class Keys:
    """Keys in the order they were pressed: those pressed ahead of a question count (FreeSWITCH).

    What they are is said to nobody but the verb that takes them: they may be a PIN or a card.
    """

    __slots__ = ("_arrived", "_now", "_once_told", "_waiting")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._waiting: deque[str] = deque()
        self._arrived = asyncio.Event()
        self._once_told: deque[tuple[str, str, float]] = deque(maxlen=MOST_WAITING)
        """Key, source and time of those whose second telling may still come."""

    def __repr__(self) -> str:
        return f"<Keys: {len(self._waiting)} waiting>"

    def press(self, key: str, source: str) -> None:
        """A key was heard; `source`: rfc4733, in-band or info."""
        if self._is_told_again(key, source) or len(self._waiting) >= MOST_WAITING:
            return
        self._waiting.append(key)
        self._arrived.set()

    def _is_told_again(self, key: str, source: str) -> bool:
        now = self._now()
        while self._once_told and now - self._once_told[0][2] > SAME_KEY_S:
            self._once_told.popleft()
        for told in self._once_told:
            if told[0] == key and told[1] != source:
                self._once_told.remove(told)
                return True
        self._once_told.append((key, source, now))
        return False

    @property
    def any_waiting(self) -> bool:
        """Whether there is one to take."""
        return bool(self._waiting)

    def clear(self) -> None:
        """Forgets those that wait."""
        self._waiting.clear()

    def drop_leading(self, key: str) -> None:
        """Forgets that key where it stands first, however often."""
        while self._waiting and self._waiting[0] == key:
            self._waiting.popleft()

    async def wait(self) -> None:
        """Returns as soon as there is one to take."""
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()

    async def take(self, timeout_s: float | None) -> str | None:
        """The next key; None when none was pressed in that time. `timeout_s` None: no limit."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.wait()
        except TimeoutError:
            return None
        return self._waiting.popleft()
