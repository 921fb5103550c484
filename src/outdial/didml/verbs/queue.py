"""Queue: in a Dial, the caller who has waited longest."""

from __future__ import annotations

from outdial.didml.rows import Attribute, Body, VerbRow
from outdial.didml.values import METHOD, QUEUE_NAME, URL
from outdial.frozen import frozen


@frozen
class Queue:
    """The caller who has waited longest in a queue."""

    name: str
    url: str = ""
    """Absolute URL of a document for who waited, run before the two are connected; "": none."""
    method: str = "POST"
    line: int = 0

    def summary(self) -> str:
        """For the timeline."""
        return f"queue {self.name}"


ROW = VerbRow(
    "Queue",
    "Connects to the caller who has waited longest in a queue, of all agents the one who asked "
    "first. While nobody waits this call hears ringback, as long as the Dial's `timeout`. Outside "
    "Dial it means a Dial of this queue.",
    Queue,
    Body("name", QUEUE_NAME, "The queue's name; the case of letters counts."),
    (
        Attribute(
            "url",
            URL,
            "",
            "A document run for the caller who waited, before the two are connected.",
            "url",
        ),
        Attribute("method", METHOD, "POST", "Method of the request to `url`.", "method"),
    ),
    example=(
        '  <Dial timeout="600" action="next-caller.php">\n'
        '    <Queue url="you-are-next.xml">support</Queue>\n'
        "  </Dial>\n"
    ),
    notes=(
        "The document gets the six standard parameters of the caller who waited, and `QueueSid`, "
        "`QueueTime` (seconds waited) and `DequeuingCallSid` (this call; also as "
        "`DequeingCallSid`). At its end, whatever it is, the two are connected; it must not Dial. "
        "If this call ends before, the caller is the first in the queue again.",
        "When the caller hangs up, this call goes on with the Dial's `action` or the next verb: "
        "`DialCallStatus` is `completed`, `DialCallSid` the caller's id. When nobody came within "
        "`timeout` it is `no-answer`. Either way there is `QueueSid`.",
        "With `record` on the Dial each conversation is a recording of its own, of the call that "
        "waited; it can be fetched when `action` is requested.",
    ),
)
