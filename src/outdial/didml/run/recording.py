"""Recording: the whole call from here on, without a word to the parties."""

from __future__ import annotations

from outdial.didml.run.host import Host
from outdial.didml.run.outcome import CONTINUE, Next
from outdial.didml.verbs import Recording


async def run(verb: Recording, host: Host) -> Next:
    """Starts it; a call that is recorded already goes on being so."""
    host.record_whole()
    return CONTINUE
