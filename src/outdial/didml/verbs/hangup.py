"""Hangup: the end of the call."""

from __future__ import annotations

from outdial.didml.rows import VerbRow
from outdial.frozen import frozen


@frozen
class Hangup:
    """Ends the call."""

    line: int = 0

    def summary(self) -> str:
        """For the timeline."""
        return ""


ROW = VerbRow("Hangup", "Ends the call.", Hangup)
