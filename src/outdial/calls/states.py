"""The states of a call and the table of its transitions. Pure.

A call is one leg. An event that the table does not list for a state is a defect in our own code and
raises LocalProtocolError; nothing is ignored.
"""

from __future__ import annotations

from outdial.errors import LocalProtocolError
from outdial.word import Word


class State(Word):
    """Where a call is. The values are stored and shown."""

    QUEUED = "queued"
    DIALLING = "dialling"
    RINGING = "ringing"
    ANSWERED = "answered"
    COMPLETED = "completed"


class Event(Word):
    """What can happen to a call."""

    DIAL = "dial"
    ARRIVE = "arrive"
    RING = "ring"
    ANSWER = "answer"
    END = "end"


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.QUEUED, Event.DIAL): State.DIALLING,
    (State.QUEUED, Event.ARRIVE): State.RINGING,
    (State.QUEUED, Event.END): State.COMPLETED,
    (State.DIALLING, Event.RING): State.RINGING,
    (State.DIALLING, Event.ANSWER): State.ANSWERED,
    (State.DIALLING, Event.END): State.COMPLETED,
    (State.RINGING, Event.ANSWER): State.ANSWERED,
    (State.RINGING, Event.END): State.COMPLETED,
    (State.ANSWERED, Event.END): State.COMPLETED,
}

STATUS_EVENT: dict[State, str] = {
    State.DIALLING: "initiated",
    State.RINGING: "ringing",
    State.ANSWERED: "answered",
    State.COMPLETED: "completed",
}
"""The status callback that tells of reaching a state (source document, statusCallbackEvents)."""

ENTERED_AT: dict[State, str] = {
    State.DIALLING: "dialled_at",
    State.RINGING: "ringing_at",
    State.ANSWERED: "answered_at",
    State.COMPLETED: "ended_at",
}
"""The column of CallRecord that keeps when a state was reached."""


def following(state: State, event: Event) -> State:
    """The state after the event. Raises LocalProtocolError when the table has none."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise LocalProtocolError(f"a call that is {state.text} cannot {event.text}") from None
