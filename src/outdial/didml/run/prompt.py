"""A prompt that a key or a word cuts short."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

from outdial.didml.run.host import Host

T = TypeVar("T")


async def until_key(host: Host, prompt: Coroutine[Any, Any, T]) -> T | None:
    """Runs the prompt; None when a key was pressed before its end: what plays then is stopped."""
    return await until(host, prompt, host.keys.wait())


async def until(
    host: Host, prompt: Coroutine[Any, Any, T], *interruptions: Awaitable[None]
) -> T | None:
    """The same for whatever comes first of the interruptions."""
    playing = asyncio.ensure_future(prompt)
    waiting = [asyncio.ensure_future(interruption) for interruption in interruptions]
    try:
        await asyncio.wait((playing, *waiting), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (playing, *waiting):
            task.cancel()
        await asyncio.gather(playing, *waiting, return_exceptions=True)
    if not playing.cancelled():
        return playing.result()
    host.media.stop_playing()
    return None
