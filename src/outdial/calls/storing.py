"""Storing a call that somebody waits for: for so long, and not a moment longer.

Whether a commit happened is not always known in time: the database may have taken it and be cut off
before it said so. Then whoever waits is refused, and if the call turns out to be stored after all
it must not be dialled, because it will be asked for once more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial

from outdial import log
from outdial.errors import StoreUnavailable

PATIENCE_S = 4.0
"""How long a post waits for its call to be stored."""

_log = log.get("calls")


async def store_in_time(
    storing: Coroutine[None, None, None],
    on_late: Callable[[bool], None],
    patience_s: float = PATIENCE_S,
) -> None:
    """Waits until it is stored. Raises what storing raises, StoreUnavailable when it takes too
    long.

    Then, and when the waiting is cancelled, `on_late` is told in the end whether it was stored.
    """
    task = asyncio.ensure_future(storing)
    try:
        await asyncio.wait((task,), timeout=patience_s)
    except asyncio.CancelledError:
        task.add_done_callback(partial(_tell, on_late))
        raise
    if not task.done():
        task.add_done_callback(partial(_tell, on_late))
        raise StoreUnavailable(f"the record has not been written within {patience_s:g} seconds")
    task.result()


def _tell(on_late: Callable[[bool], None], task: asyncio.Task[None]) -> None:
    stored = not task.cancelled() and task.exception() is None
    _log.warning("call.stored_late" if stored else "call.not_stored")
    on_late(stored)
