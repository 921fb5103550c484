"""Named one-shot timers of one owner, cancelled together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Timers:
    """Starting a name again replaces its timer."""

    __slots__ = ("_handles", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handles: dict[str, asyncio.TimerHandle] = {}

    def start(self, name: str, seconds: float, action: Callable[[], None]) -> None:
        """Runs the action that long from now."""
        self.cancel(name)
        self._handles[name] = self._loop.call_later(seconds, self._fire, name, action)

    def cancel(self, name: str) -> None:
        """Without effect when there is no such timer."""
        handle = self._handles.pop(name, None)
        if handle is not None:
            handle.cancel()

    def cancel_all(self) -> None:
        """None of them will run."""
        for handle in self._handles.values():
            handle.cancel()
        self._handles.clear()

    def _fire(self, name: str, action: Callable[[], None]) -> None:
        self._handles.pop(name, None)
        action()
