"""What happened on a call, told for people: the timeline with what was heard in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from outdial.frozen import frozen
from outdial.store.records import CallRecord, EventRecord
from outdial.testing.rehearsal.heard import Heard, PhoneCall
from outdial.testing.rehearsal.sounds import MESSAGE, PLAY, SAY, TONE, VOICE

_LEFT_OUT = frozenset(("sid", "line", "ms"))
_LONGEST = 100


@frozen
class Line:
    """A line of the story."""

    at: float
    """Wall time, seconds."""
    who: str
    text: str
    is_heard: bool = False


def told(lines: Iterable[Line], began: float) -> str:
    """The lines in their order, with the seconds since then."""
    # what is heard at one moment is heard because of what the server did then
    ordered = sorted(lines, key=lambda line: (round(line.at - began, 3), line.is_heard))
    width = max((len(line.who) for line in ordered), default=0)
    return "\n".join(
        f"{max(line.at - began, 0):9.3f}  {line.who:{width}}  {line.text}" for line in ordered
    )


def heading(call: CallRecord) -> str:
    """The call in one line."""
    state = call.state if call.outcome is None else f"{call.outcome}, {call.cause}"
    detail = f" ({call.detail})" if call.detail else ""
    names = f"from {call.from_number} to {call.to_number}"
    return f"{call.direction} call {names}: {state}{detail}  {call.sid}"


def of_timeline(call: CallRecord, events: Iterable[EventRecord]) -> list[Line]:
    """What the server wrote of it."""
    who = "server" if call.sid == call.parent_sid else f"server, to {call.to_number}"
    return [Line(event.at, who, _event(event.kind, event.data)) for event in events]


def of_phone(call: PhoneCall, epoch: float) -> list[Line]:
    """What a phone heard; `epoch` is the wall time of monotonic zero."""
    heard = [] if call.transcript is None else call.transcript.entries
    who = f"phone {call.phone.name}"
    return [Line(epoch + entry.at, who, _heard(entry), True) for entry in heard]


def _event(kind: str, data: Mapping[str, Any]) -> str:
    if kind == "verb.started":
        return f"{kind}  {data.get('verb')} {data.get('text', '')}".rstrip()
    shown_data = "  ".join(
        f"{name}={value}"
        for name, value in data.items()
        if name not in _LEFT_OUT and value not in ("", None)
    )
    return f"{kind}  {shown_data}".rstrip()


def _heard(entry: Heard) -> str:
    sound = entry.sound
    text = entry.text if len(entry.text) <= _LONGEST else f"{entry.text[:_LONGEST]}…"
    what = {
        SAY: f"hears “{text}”",
        PLAY: f"hears the file {text}",
        MESSAGE: "hears the recorded message",
        TONE: f"hears the tone {text}",
        VOICE: f"hears {text}",
    }[sound.kind]
    if entry.until is None:
        return f"{what}, on and on"
    seconds = f"{entry.until - entry.at:.1f} s"
    is_cut = sound.kind != TONE and not sound.finished
    return f"{what} for {seconds}" + (", cut short" if is_cut else "")
