"""Dial, also written Forward: other parties to ring, or a room to join."""

from __future__ import annotations

from typing import Any

from outdial.didml.rows import Attribute, Body, VerbRow
from outdial.didml.shown import short
from outdial.didml.values import BOOLEAN, PHONE, Unfit
from outdial.didml.verbs.attributes import RINGING_S, TALKING_S, action
from outdial.didml.verbs.conference import Conference
from outdial.didml.verbs.enqueue import Enqueue
from outdial.didml.verbs.number import Number
from outdial.didml.verbs.queue import Queue
from outdial.didml.verbs.sip import Sip
from outdial.frozen import frozen

MOST_TARGETS = 10
"""Whom one Dial rings: more is a slip, or a way to make one call cost a hundred."""


@frozen
class Dial:
    """Rings other parties, all at once, and connects the first to answer; or joins a room."""

    targets: tuple[Number | Sip | Conference | Queue, ...]
    """At least one; a Conference or a Queue is alone."""
    action: str = ""
    """Absolute URL whose answer takes over afterwards; "" for none."""
    method: str = "POST"
    caller_id: str = ""
    timeout_s: int = 30
    time_limit_s: int = 14400
    record: bool = False
    line: int = 0

    def summary(self) -> str:
        """For the timeline."""
        return short(", ".join(target.summary() for target in self.targets))


def dial_of(
    targets: tuple[Number | Sip | Conference | Queue, ...], *, line: int = 0, **fields: Any
) -> Dial:
    """A Dial of the targets; an `action` that only a Number has, as old documents write it, is its.

    `fields` are those that the element's attributes set.
    """
    for target in targets:
        if isinstance(target, Number) and target.action and "action" not in fields:
            fields |= {"action": target.action, "method": target.method}
    return Dial(targets, line=line, **fields)


def _dial(
    *,
    number: str = "",
    children: tuple[Number | Sip | Conference | Queue | Enqueue, ...] = (),
    line: int = 0,
    **fields: Any,
) -> Dial | Enqueue:
    called = (Number(number, line=line), *children) if number else children
    if not called:
        raise Unfit("it names nobody to dial")
    for target in called:
        if isinstance(target, Conference | Queue | Enqueue):
            alone = (
                target if isinstance(target, Enqueue) else dial_of((target,), line=line, **fields)
            )
            if len(called) == 1:
                return alone
            name = type(target).__name__
            raise Unfit(f"{name} stands in it alone; the others are left out", alone)
    targets = tuple(target for target in called if isinstance(target, Number | Sip))
    dial = dial_of(targets[:MOST_TARGETS], line=line, **fields)
    if len(targets) > MOST_TARGETS:
        left_out = len(targets) - MOST_TARGETS
        raise Unfit(f"{MOST_TARGETS} are rung at most; {left_out} are left out", dial)
    return dial


ROW = VerbRow(
    "Dial",
    "Rings the number in its body and every Number and Sip inside, all at once, "
    f"{MOST_TARGETS} at most; the first to answer is connected, the others are dropped. "
    "Or joins a Conference, or takes the first caller of a Queue.",
    _dial,
    Body("number", PHONE, "A number to ring.", required=False),
    (
        *action(
            "Requested afterwards with `DialCallStatus` (completed, busy, no-answer, failed, "
            "canceled), `DialCallSid` and `DialCallDuration`; its answer takes over. Without it "
            "the next verb runs."
        ),
        Attribute("timeout", RINGING_S, 30, "How long to ring.", "timeout_s"),
        Attribute("timelimit", TALKING_S, 14400, "The longest conversation.", "time_limit_s"),
        Attribute(
            "callerid",
            PHONE,
            "",
            "Caller ID shown to those who are rung.",
            "caller_id",
            shown_default="the call's own",
        ),
        Attribute(
            "record",
            BOOLEAN,
            False,
            "Record the conversation, as a recording of the leg that is connected: `RecordingURL` "
            "on its `completed` callback, `RecordingUrl` for `action`.",
            "record",
        ),
    ),
    children=frozenset({"number", "sip", "queue", "enqueue", "conference"}),
    aliases=("Forward",),
    notes=(
        "The caller hears ringback at once. Where one party alone is rung and its network sends "
        "early media, the caller hears that from its first packet on. During the conversation "
        "each hears the other, and keys pass both ways.",
        "When several answer at the same moment one is connected and the others are hung up on.",
        "When the caller hangs up, `action` is told so and its answer thrown away: "
        "`DialCallStatus` is `completed` if the two were connected, else `canceled`.",
        "`timeout` is for ringing and `timelimit` for the conversation: at its end this call goes "
        "on with `action` or the next verb.",
    ),
)
