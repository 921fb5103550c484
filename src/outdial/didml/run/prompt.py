"""A prompt that a key cuts short."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from outdial.didml.run.host import Host

T = TypeVar("T")


async def until_key(host: Host, prompt: Coroutine[Any, Any, T]) -> T | None:
    """Runs the prompt; None when a key was pressed before its end: what plays then is stopped."""
    playing = asyncio.ensure_future(prompt)
    pressed = asyncio.ensure_future(host.keys.wait())
    try:
        await asyncio.wait((playing, pressed), return_when=asyncio.FIRST_COMPLETED)
    finally:
        playing.cancel()
        pressed.cancel()
        await asyncio.gather(playing, pressed, return_exceptions=True)
    if not playing.cancelled():
        return playing.result()
    host.media.stop_playing()
    return None
