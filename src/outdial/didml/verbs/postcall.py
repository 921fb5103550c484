"""Postcall: who is told of the call after its end."""

from __future__ import annotations

from outdial.didml.rows import Attribute, Body, VerbRow
from outdial.didml.shown import URL_IN_SUMMARY, shown_url
from outdial.didml.values import METHOD, URL
from outdial.frozen import frozen


@frozen
class Postcall:
    """Names a URL that is told everything after the call."""

    url: str
    method: str = "POST"
    line: int = 0

    def summary(self) -> str:
        """For the timeline."""
        return f"{self.method} {shown_url(self.url, URL_IN_SUMMARY)}"


ROW = VerbRow(
    "Postcall",
    "Names a URL that is told the whole record of the call after its end, however it ends. Of "
    "several the last one counts.",
    Postcall,
    Body("url", URL, "Where the record goes."),
    (Attribute("method", METHOD, "POST", "Method of the request.", "method"),),
    notes=(
        "It gets `To`, `From`, `CallerName`, `callSid`, `Direction`, `CallStatus` (completed), "
        "`CallDuration`, `CallOutcome`, `SipResponseCode`, `HangupCause`, `HangupSource`, "
        "`StartTime`, `AnswerTime`, `EndTime`, `Trunk`, and `RecordingURL` when there is one.",
        "It is delivered like a status callback: signed, repeated until it is taken, also after a "
        "restart, and shown with the deliveries.",
    ),
)
