"""What somebody who follows a timeline is given, and when it is looked at again. Pure.

Events are written in their order, but a record in trouble may take one before the one in front of
it. Whoever goes on behind the last event he has seen would never see that one: so what stands
behind a gap is held back until the gap is filled, or will not be any more.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from outdial.api import schemas
from outdial.store.records import EventRecord

GAP_S = 3.0
"""So long an event may be missing; then it was lost, and the others are given without it."""
SOONEST_S, LATEST_S = 0.1, 0.5
"""Looks at the record are so far apart: soon again while something happens."""
KEEP_ALIVE_S = 15.0
"""Without events a comment is sent that often: proxies close what is silent."""
CHECK_S = 5.0
"""The call itself is looked at that often: it may have been deleted."""

RETRY = b"retry: 1000\n\n"
KEEP_ALIVE = b": still here\n\n"
LAST_KIND = "state.completed"


class Following:
    """One follower. `now` is any clock that goes forward."""

    __slots__ = ("_checked_at", "_gap_since", "_nap_s", "_told_at", "after", "is_done")

    def __init__(self, after: int, now: float) -> None:
        self.after = after
        """The last event that was given."""
        self.is_done = False
        """Whether the event that ends a call was given."""
        self._nap_s = SOONEST_S
        self._gap_since: float | None = None
        self._told_at = self._checked_at = now

    def take(self, found: Sequence[EventRecord], now: float) -> list[EventRecord]:
        """Those of the events found behind `after` that are given now."""
        ready: list[EventRecord] = []
        for event in found:
            if event.seq != self.after + 1 and not self._gap_is_old(now):
                break
            self._gap_since = None
            self.after = event.seq
            self.is_done = self.is_done or event.kind == LAST_KIND
            ready.append(event)
        if ready:
            self._told_at = now
        self._nap_s = SOONEST_S if ready else min(self._nap_s * 1.5, LATEST_S)
        return ready

    def _gap_is_old(self, now: float) -> bool:
        if self._gap_since is None:
            self._gap_since = now
        return now - self._gap_since >= GAP_S

    @property
    def nap_s(self) -> float:
        """How long to wait before the record is looked at again."""
        return self._nap_s

    def is_to_be_told(self, now: float) -> bool:
        """Whether a comment must say that the stream still is there."""
        if now - self._told_at < KEEP_ALIVE_S:
            return False
        self._told_at = now
        return True

    def is_to_be_checked(self, now: float) -> bool:
        """Whether it must be looked whether there still is such a call."""
        if now - self._checked_at < CHECK_S:
            return False
        self._checked_at = now
        return True


def written(events: Sequence[EventRecord]) -> bytes:
    """Events as a `text/event-stream` has them; the id is what to go on behind."""
    parts = []
    for event in events:
        shown = schemas.TimelineEvent.of(event).model_dump()
        text = json.dumps(shown, ensure_ascii=False, separators=(",", ":"))
        parts.append(f"id: {event.seq}\ndata: {text}\n\n")
    return "".join(parts).encode("utf-8", "replace")
