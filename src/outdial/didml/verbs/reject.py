"""Reject: a call refused before it is answered."""

from __future__ import annotations

from outdial.didml.rows import Attribute, VerbRow
from outdial.didml.values import choice
from outdial.frozen import frozen


@frozen
class Reject:
    """Refuses the call; one that is answered is ended."""

    reason: str = "rejected"
    line: int = 0

    def summary(self) -> str:
        """For the timeline."""
        return self.reason


ROW = VerbRow(
    "Reject",
    "Refuses a call towards us that is not answered yet. One that is answered, as every call is "
    "that we placed, is ended as by Hangup.",
    Reject,
    attributes=(
        Attribute(
            "reason",
            choice("rejected", "busy", "notfound", "notavailable"),
            "rejected",
            "What the caller's carrier is told.",
            "reason",
        ),
    ),
)
