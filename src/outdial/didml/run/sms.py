"""Sms: a text message on its way while the call goes on."""

from __future__ import annotations

from outdial.didml.run.host import Host, SmsPlan
from outdial.didml.run.outcome import CONTINUE, DocumentRequest, Goto, Next
from outdial.didml.verbs import Sms

RESULT_WAIT_S = 5.0
"""How long `action` waits for what becomes of the message: a trunk takes less than a second, and a
caller on the line hears nothing meanwhile."""


async def run(verb: Sms, host: Host) -> Next:
    """Sends it; then the answer of `action` takes over, or the next verb runs."""
    plan = SmsPlan(
        verb.text, verb.to, verb.from_, verb.status_callback, verb.status_callback_method
    )
    end = await host.send_text(plan, RESULT_WAIT_S if verb.action else 0.0)
    host.note("verb.ended", verb="Sms", result=end.status, message=end.sid, problem=end.error)
    if not verb.action:
        return CONTINUE
    params = [("SmsSid", end.sid), ("SmsStatus", end.status)]
    if end.error:
        params.append(("SmsError", end.error))
    return Goto(DocumentRequest(verb.action, verb.method, tuple(params)))
