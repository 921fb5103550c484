"""Whom a Dial, a click-to-call or a transfer rings for somebody."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from outdial.calls.callbacks import Subscription
from outdial.calls.leg import CallLeg
from outdial.calls.leg_plan import LegPlan
from outdial.frozen import frozen


@frozen
class Party:
    """One leg to ring. `subscribe` gives its callbacks once its sid is known."""

    plan: LegPlan
    subscribe: Callable[[str], Subscription | None]
    time_limit_s: float = 14400.0
    """Of the conversation."""
    send_digits: str = ""
    whisper: Callable[[CallLeg], Awaitable[bool]] | None = None
    """Spoken to who answers before the bridge: whether the call is taken."""
    record: bool = False
    """The conversation, as a recording of this leg: what is said before is between us two."""
