"""Postcall: a URL that is told the call's whole record after its end."""

from __future__ import annotations

from outdial.didml.run.host import Host
from outdial.didml.run.outcome import CONTINUE, Next
from outdial.didml.verbs import Postcall


async def run(verb: Postcall, host: Host) -> Next:
    """Names it; of several the last one counts."""
    host.postcall(verb.url, verb.method)
    return CONTINUE
