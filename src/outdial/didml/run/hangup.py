"""Hangup: ends the call."""

from __future__ import annotations

from outdial.didml.run.host import Host
from outdial.didml.run.outcome import HangUp, Next
from outdial.didml.verbs import Hangup


async def run(verb: Hangup, host: Host) -> Next:
    """Asks for the end of the call."""
    return HangUp("Hangup")
