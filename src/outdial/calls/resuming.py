"""Calls that an earlier process, or another node, left unfinished: dialled now, or over."""

from __future__ import annotations

from collections.abc import Callable

from outdial import log
from outdial.calls.callbacks import Subscription
from outdial.calls.left_recordings import Begun, begun, recover
from outdial.calls.leg import CallLeg
from outdial.calls.leg_plan import LegPlan
from outdial.calls.request import CallRequest
from outdial.calls.services import Services
from outdial.calls.session import Session
from outdial.calls.states import State
from outdial.legs import Ending, Outcome, Source
from outdial.store.records import CallRecord, EventRecord
from outdial.store.store import Store

_EXPIRED = Ending(
    Outcome.FAILED,
    "expired-in-queue",
    Source.OUTDIAL,
    detail="Outdial was away for longer than the call's timeout before it could be dialled",
)
_CRASHED = Ending(
    Outcome.FAILED,
    "server-restart",
    Source.OUTDIAL,
    detail="Outdial was stopped hard and found the call unfinished when it came back",
)

_log = log.get("registry")


async def resume(
    services: Services,
    store: Store,
    call: CallRecord,
    keep: Callable[[CallLeg], None],
    *,
    is_claimed: bool = False,
) -> Session | None:
    """One that was never dialled, to join the queue; any other, and one that waited for longer
    than its timeout, is over when this returns. `is_claimed`: it waited with another node."""
    now = services.clock.now()
    last, recordings = await _look_through(store, call.sid)
    next_seq = 0 if last is None else last.seq + 1
    is_first = call.parent_sid == call.sid
    request = _request_of(call) if is_first else None
    if call.state == State.QUEUED.text and request is not None:
        session = Session(services, call, request, keep, next_seq)
        keep(session.leg)
        if now - call.created_at > request.timeout_s and not is_claimed:
            session.leg.hang_up(_EXPIRED)
            return None
        return session
    if is_first:
        subscription = Subscription.of_request(request, call.sid) if request else None
    else:
        subscription = await _subscription_of_second(store, call)
    if subscription is not None:
        subscription.lane.resume_at(int(now))
    plan = LegPlan(call.to_number, call.from_number)
    leg = CallLeg(services, call, plan, subscription, next_seq=next_seq)
    keep(leg)
    lost = [one for one in recordings if await store.recording(one.sid) is None]
    leg.recordings.recover(
        await recover(services.recordings, call.sid, lost, now, services.sealing)
    )
    ladder = await store.ladder(call.sid) if call.dialog is not None else ()
    leg.abandon(_CRASHED, call.created_at if last is None else last.at, ladder)
    return None


async def _look_through(store: Store, sid: str) -> tuple[EventRecord | None, list[Begun]]:
    """The last event of a timeline, which is read a page at a time, and what was recorded."""
    last, recordings = None, list[EventRecord]()
    while page := await store.events(sid, -1 if last is None else last.seq):
        last = page[-1]
        recordings += [event for event in page if event.kind.startswith("recording.")]
    return last, begun(recordings)


async def _subscription_of_second(store: Store, call: CallRecord) -> Subscription | None:
    """A leg of a Dial has its own callbacks, if any; one of a click-to-call its parent's."""
    if "status_callback" in call.request:
        return Subscription.of_leg(call.request, call.sid)
    parent = await store.call(call.parent_sid)
    request = None if parent is None else _request_of(parent)
    if request is None or request.url:
        return None
    return Subscription.of_request(request, call.parent_sid)


def _request_of(call: CallRecord) -> CallRequest | None:
    """What was asked for. A record that cannot be read must not keep the server from starting."""
    try:
        return CallRequest.from_json(call.request)
    except (KeyError, TypeError) as error:
        _log.error("request.unreadable", call=call.sid, error=repr(error))
        return None
