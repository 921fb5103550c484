"""Pause: silence."""

from __future__ import annotations

from outdial.didml.rows import Attribute, Body, VerbRow
from outdial.didml.values import integer, seconds_as_ms
from outdial.frozen import frozen

_LONGEST_S = 3600


@frozen
class Pause:
    """Waits in silence."""

    duration_ms: int
    line: int = 0

    def summary(self) -> str:
        """For the timeline."""
        return f"{self.duration_ms} ms"


ROW = VerbRow(
    "Pause",
    "Waits in silence. The body is in milliseconds, unlike in other markups.",
    Pause,
    Body(
        "duration_ms",
        integer(1, _LONGEST_S * 1000, "milliseconds"),
        "How long. Needed unless `length` is given, over which it wins.",
        remedy='for one second write <Pause>1000</Pause> (milliseconds) or <Pause length="1"/>',
    ),
    (
        Attribute(
            "length",
            seconds_as_ms(_LONGEST_S),
            None,
            "How long, in seconds: an extension.",
            "duration_ms",
            shown_default="none",
        ),
    ),
)
