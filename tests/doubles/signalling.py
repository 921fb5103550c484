"""A listener of signalling that can be waited for."""

from __future__ import annotations

import asyncio
from typing import Any

from outdial.legs import SignallingEvent

PATIENCE_S = 10


class Events:
    """Keeps what it is told, in order."""

    def __init__(self) -> None:
        self.seen: list[SignallingEvent] = []
        self._changed = asyncio.Event()

    def __call__(self, event: SignallingEvent) -> None:
        self.seen.append(event)
        self._changed.set()

    async def wait(self, kind: type[SignallingEvent]) -> Any:
        """The first of that kind, once there is one."""
        async with asyncio.timeout(PATIENCE_S):
            while not any(isinstance(event, kind) for event in self.seen):
                self._changed.clear()
                await self._changed.wait()
        return next(event for event in self.seen if isinstance(event, kind))
