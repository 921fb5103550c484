"""What time brings to a stream, and no packet does: silences, reports, ends that were lost.

A stream's `due` says when there is something to do; its tick compares it with the time, and that is
all that housekeeping costs a packet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from outdial.media import wire
from outdial.media.worker.digits import tell_digits
from outdial.media.worker.hearing import tell_heard

if TYPE_CHECKING:
    from outdial.media.worker.stream import Stream

NEVER: Final = float("inf")
EVENT_SILENCE_S: Final = 0.15
"""A telephone event whose end was lost is over when nothing came for so long."""
_EVENT_LOOK_S: Final = 0.02
"""How often it is looked whether it is."""


def plan(stream: Stream, now: float) -> None:
    """Sets `due` to the next thing that time brings."""
    due = NEVER
    if stream.watch_s > 0:
        since = max(stream.arrived_at, stream.watch_from, stream.told_at, stream.reports.heard_at)
        due = since + stream.watch_s
    if stream.learning is not None:
        due = min(due, stream.learning.until)
    if stream.events.open:
        due = min(due, now + _EVENT_LOOK_S)
    for recording in stream.recordings:
        due = min(due, recording.next_at)
    if stream.endpointer is not None and stream.endpointer.begun:
        due = min(due, stream.arrived_at + stream.endpointer.silence_s)
    stream.due = min(due, stream.reports.next_at)


def watch(stream: Stream, seconds: float, now: float) -> None:
    """Tells when nothing has arrived for so long; 0: no more."""
    stream.watch_s = seconds
    stream.watch_from = now
    plan(stream, now)


def do_what_is_due(stream: Stream, now: float) -> None:
    """Lost ends of events, no-RTP, the end of learning."""
    tell_digits(stream, stream.events.expire(now, EVENT_SILENCE_S), wire.RFC4733)
    if now >= stream.reports.next_at:
        stream.reports.send(stream, now)
    for recording in [r for r in stream.recordings if now >= r.next_at]:
        if recording.hand_over(now):
            stream.recordings.remove(recording)
    if stream.learning is not None and now >= stream.learning.until:
        stream.learning.give_up(stream, now)
    endpointer = stream.endpointer
    if endpointer is not None and now >= stream.arrived_at + endpointer.silence_s:
        endpointer.expire()
        tell_heard(stream, endpointer)
    if stream.watch_s > 0:
        _look_for_silence(stream, now)
    plan(stream, now)


def _look_for_silence(stream: Stream, now: float) -> None:
    """Tells of each silence once."""
    if not stream.listening:
        stream.watch_from = now
    # A telephone that sends nothing while nobody speaks, or while it is muted, reports all the
    # same (RFC 3550 section 6.3.5 counts both): it is no dead line.
    stream.reports.read(now)
    since = max(stream.arrived_at, stream.watch_from, stream.reports.heard_at)
    if now - since >= stream.watch_s:
        if since > stream.told_at:
            payload = wire.pack_no_rtp(now - since, stream.unauthentic)
            stream.emit(wire.NO_RTP, stream.stream, payload)
        stream.told_at = now
