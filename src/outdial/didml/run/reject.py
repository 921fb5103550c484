"""Reject: on an answered call it can only end it."""

from __future__ import annotations

from outdial.didml.run.host import Host
from outdial.didml.run.outcome import HangUp, Next
from outdial.didml.verbs import Reject


async def run(verb: Reject, host: Host) -> Next:
    """Asks for the end of the call."""
    return HangUp(f"Reject ({verb.reason})")
