"""Dial: other parties are rung and connected, or met in a room."""

from __future__ import annotations

from outdial.didml.run.host import (
    ConferencePlan,
    DialEnd,
    DialLeg,
    DialPlan,
    Gone,
    Host,
    Params,
    QueuePlan,
)
from outdial.didml.run.outcome import CONTINUE, DocumentRequest, Goto, Next
from outdial.didml.verbs import Conference, Dial, Number, Queue, Sip


async def run(verb: Dial, host: Host) -> Next:
    """Dials; afterwards the answer of `action` takes over, or the next verb runs.

    When the caller hangs up, which is how most conversations end, `action` is told all the same.
    """

    def gone(end: DialEnd) -> None:
        _note(end, host)
        if verb.action:
            host.notify(verb.action, verb.method, _params(end))

    end = await _connect(verb, host, gone)
    _note(end, host)
    if not verb.action:
        return CONTINUE
    return Goto(DocumentRequest(verb.action, verb.method, tuple(_params(end))))


def _note(end: DialEnd, host: Host) -> None:
    host.note("verb.ended", verb="Dial", result=end.status, sid=end.sid, duration_s=end.duration_s)


def _params(end: DialEnd) -> Params:
    """What `action` is told."""
    params = [
        ("DialCallStatus", end.status),
        ("DialCallSid", end.sid),
        ("DialCallDuration", str(end.duration_s)),
    ]
    return params + [
        (name, value)
        for name, value in (
            ("RecordingUrl", end.recording_url),
            ("ConferenceSid", end.conference_sid),
            ("QueueSid", end.queue_sid),
        )
        if value
    ]


async def _connect(verb: Dial, host: Host, gone: Gone) -> DialEnd:
    match verb.targets[0]:
        case Conference() as room:
            return await host.confer(
                ConferencePlan(
                    name=room.name,
                    muted=room.muted,
                    beep=room.beep,
                    starts=room.starts,
                    ends=room.ends,
                    wait_url=room.wait_url,
                    wait_method=room.wait_method,
                    max_participants=room.max_participants,
                    record=verb.record if room.record is None else room.record,
                    time_limit_s=float(verb.time_limit_s),
                    gone=gone,
                )
            )
        case Queue() as queue:
            return await host.dequeue(
                QueuePlan(
                    name=queue.name,
                    url=queue.url,
                    method=queue.method,
                    timeout_s=float(verb.timeout_s),
                    time_limit_s=float(verb.time_limit_s),
                    record=verb.record,
                    gone=gone,
                )
            )
        case _:
            callees = (t for t in verb.targets if isinstance(t, Number | Sip))
            return await host.dial(DialPlan(tuple(_leg(target, verb) for target in callees), gone))


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
