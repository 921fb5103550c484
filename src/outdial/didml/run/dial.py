"""Dial: other parties are rung and connected."""

from __future__ import annotations

from outdial.didml.run.host import DialLeg, DialPlan, Host
from outdial.didml.run.outcome import CONTINUE, DocumentRequest, Goto, Next
from outdial.didml.verbs import Dial, Number, Sip


async def run(verb: Dial, host: Host) -> Next:
    """Dials; afterwards the answer of `action` takes over, or the next verb runs."""
    end = await host.dial(DialPlan(tuple(_leg(target, verb) for target in verb.targets)))
    host.note("verb.ended", verb="Dial", result=end.status, sid=end.sid, duration_s=end.duration_s)
    if not verb.action:
        return CONTINUE
    params = [
        ("DialCallStatus", end.status),
        ("DialCallSid", end.sid),
        ("DialCallDuration", str(end.duration_s)),
    ]
    if end.recording_url:
        params.append(("RecordingUrl", end.recording_url))
    return Goto(DocumentRequest(verb.action, verb.method, tuple(params)))


def _leg(target: Number | Sip, dial: Dial) -> DialLeg:
    """One party; what it does not say itself the Dial says."""
    if isinstance(target, Sip):
        return DialLeg(
            uri=target.uri,
            caller_id=dial.caller_id,
            timeout_s=float(dial.timeout_s),
            time_limit_s=float(dial.time_limit_s),
            record=dial.record,
        )
    timeout_s = dial.timeout_s if target.timeout_s is None else target.timeout_s
    time_limit_s = dial.time_limit_s if target.time_limit_s is None else target.time_limit_s
    return DialLeg(
        number=target.number,
        caller_id=target.caller_id or dial.caller_id,
        timeout_s=float(timeout_s),
        time_limit_s=float(time_limit_s),
        send_digits=target.send_digits,
        url=target.url,
        method=target.method,
        status_callback=target.status_callback,
        status_callback_events=target.status_callback_events,
        status_callback_method=target.status_callback_method,
        record=dial.record if target.record is None else target.record,
    )
