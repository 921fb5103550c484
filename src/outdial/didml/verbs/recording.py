"""Recording: the whole call on file."""

from __future__ import annotations

from outdial.didml.rows import VerbRow
from outdial.frozen import frozen


@frozen
class Recording:
    """Records the whole call from here on."""

    line: int = 0

    def summary(self) -> str:
        """For the timeline."""
        return ""


ROW = VerbRow(
    "Recording",
    "Records the whole call from here on, left the far end and right what it hears, and runs the "
    "next verb at once. The parties are not told: telling them may be your duty.",
    Recording,
    example=("  <Say>This call is recorded.</Say>\n  <Recording/>\n  <Dial>12025550177</Dial>\n"),
    notes=("The leg's `completed` callback has `RecordingURL`. A call is recorded once.",),
)
