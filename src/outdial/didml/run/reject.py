"""Reject: refuses a call that is not answered yet; any other it can only end."""

from __future__ import annotations

from outdial.didml.run.host import Host
from outdial.didml.run.outcome import HangUp, Next
from outdial.didml.verbs import Reject

STATUS = {"rejected": 603, "busy": 486, "notfound": 404, "notavailable": 480}
"""The SIP responses that the reasons stand for."""


async def run(verb: Reject, host: Host) -> Next:
    """Asks for the end of the call."""
    return HangUp(f"Reject ({verb.reason})", STATUS[verb.reason])
