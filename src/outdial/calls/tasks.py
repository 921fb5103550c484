"""Background tasks that are never lost: kept, counted, and their failures logged."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from outdial import log

_log = log.get("tasks")


class Tasks:
    """A group of tasks."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def running(self) -> list[asyncio.Task[Any]]:
        """Those that are not done."""
        return list(self._tasks)

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Runs the coroutine; a failure is logged under the name."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("task.defect", task=task.get_name(), exc_info=error)

    async def wait(self, timeout_s: float) -> None:
        """Until all are done, at most so long; what is left is cancelled."""
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=timeout_s)
        left = list(self._tasks)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=1)
