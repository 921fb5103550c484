"""Enqueue: waiting until somebody takes the call."""

from __future__ import annotations

from outdial.didml.rows import Body, VerbRow
from outdial.didml.values import QUEUE_NAME
from outdial.didml.verbs.attributes import WAITING, waiting
from outdial.frozen import frozen


@frozen
class Enqueue:
    """Waits in a queue until somebody takes the call."""

    name: str
    wait_url: str = ""
    """Absolute URL of a document run over and over meanwhile; "": the built-in sound."""
    wait_method: str = "POST"
    line: int = 0

    def summary(self) -> str:
        """For the timeline."""
        return self.name


ROW = VerbRow(
    "Enqueue",
    "Puts the caller into a queue, from which a Queue of another call takes it: first in, first "
    "out. When the conversation is over and the caller is still there, the next verb runs.",
    Enqueue,
    Body("name", QUEUE_NAME, "The queue's name; the case of letters counts."),
    waiting("somebody takes the call"),
    example=(
        "  <Say>All our people are talking. Please stay on the line.</Say>\n"
        '  <Enqueue waitUrl="music.xml">support</Enqueue>\n'
        "  <Say>Thank you for calling.</Say>\n"
    ),
    notes=(
        WAITING,
        "`waitUrl` is told by `QueuePosition`, `QueueTime` and `CurrentQueueSize` how the caller "
        "stands, so that it may say so: the position of the next to be taken is 1.",
    ),
)
