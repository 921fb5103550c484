"""Enqueue: waits in a queue, and talks to who takes the call."""

from __future__ import annotations

from outdial.didml.run.host import EnqueuePlan, Host
from outdial.didml.run.outcome import CONTINUE, Next
from outdial.didml.verbs import Enqueue


async def run(verb: Enqueue, host: Host) -> Next:
    """Returns when the conversation is over; who hangs up in the queue ends the call."""
    await host.enqueue(EnqueuePlan(verb.name, verb.wait_url, verb.wait_method))
    return CONTINUE
