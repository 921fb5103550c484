"""Redirect: another document takes over."""

from __future__ import annotations

from outdial.didml.run.host import Host
from outdial.didml.run.outcome import DocumentRequest, Goto, Next
from outdial.didml.verbs import Redirect


async def run(verb: Redirect, host: Host) -> Next:
    """Asks for the other document; the rest of this one is dropped."""
    return Goto(DocumentRequest(verb.url, verb.method))
