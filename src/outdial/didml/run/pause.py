"""Pause: waits; the leg sends silence by itself meanwhile."""

from __future__ import annotations

import asyncio

from outdial.didml.run.host import Host
from outdial.didml.run.outcome import CONTINUE, Next
from outdial.didml.verbs import Pause


async def run(verb: Pause, host: Host) -> Next:
    """Sleeps for the verb's time."""
    await asyncio.sleep(verb.duration_ms / 1000)
    return CONTINUE
