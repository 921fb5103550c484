"""Hangup: the end of the call."""

from __future__ import annotations

from dataclasses import dataclass

from outdial.didml.rows import VerbRow


@dataclass(frozen=True, slots=True)
class Hangup:
    """Ends the call."""

    line: int = 0

    def summary(self) -> str:
        """For the timeline."""
        return ""


ROW = VerbRow("Hangup", "Ends the call.", Hangup)
