"""What happened in the demo, line by line: from timelines, SIP ladders and the web server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from outdial.frozen import frozen
from outdial.testing.web import Received


@frozen
class Line:
    """One line of the demo."""

    at: float
    """Wall time, seconds."""
    lane: str
    """Who it is about: API, CALL, SIP, WEB, XML, HOOK or PHONE."""
    text: str
    failed: bool = False


def seconds_of(moment: str) -> float:
    """RFC 3339 to seconds since the epoch."""
    return datetime.fromisoformat(moment).timestamp()


def event_line(event: Mapping[str, Any], leg: str) -> Line | None:
    """A line of the timeline, None for what another lane shows already. `leg` is "A" or "B"."""
    kind, data = str(event["kind"]), event["data"]
    at = seconds_of(event["at"])
    family, _, what = kind.partition(".")
    if family == "state":
        return Line(at, "CALL", f"leg {leg} is {what}{_details(data, ('outcome', 'cause'))}")
    if family == "verb" and what == "started":
        text = f": “{data['text']}”" if data.get("text") else ""
        return Line(at, "XML", f"<{data.get('verb', '?')}>{text}")
    if kind == "bridged":
        return Line(at, "CALL", "legs A and B are bridged: audio and digits pass both ways")
    if kind == "document.fetched":
        return Line(at, "XML", f"document read: {data.get('bytes')} bytes in {data.get('ms')} ms")
    if what in ("failed", "dead") or "warning" in kind:
        return Line(at, "CALL", f"leg {leg}: {kind}{_details(data)}", failed=True)
    return None


def sip_line(message: Mapping[str, Any], leg: str) -> Line:
    """A SIP message as it went over the wire."""
    arrow = "──▶" if message["direction"] == "out" else "◀──"
    text = f"leg {leg} {arrow} {message['start_line'].removesuffix(' SIP/2.0')}"
    return Line(seconds_of(message["at"]), "SIP", text.replace("SIP/2.0 ", ""))


def request_line(request: Received) -> Line:
    """A request that the demo's own web server got."""
    params = request.params
    if "CallbackSource" not in params:
        return Line(request.at, "WEB", f"{request.method} {request.path}: the document is served")
    shown = ("CallDuration", "CallOutcome", "HangupSource", "token")
    details = " ".join(f"{name}={params[name]}" for name in shown if name in params)
    leg = "A" if params.get("callSid") == params.get("ParentCallSid") else "B"
    text = f"callback {params.get('CallStatus')} of leg {leg}"
    return Line(request.at, "HOOK", f"{text} {details}".rstrip())


class Follower:
    """Reads a call's timeline and ladder again and again and tells each line once."""

    def __init__(
        self, get: Callable[[str], Any], sid: str, leg: str, tell: Callable[[Line], None]
    ) -> None:
        self._get = get
        self._tell = tell
        self._after = -1
        self._messages = 0
        self.sid = sid
        self.leg = leg
        self.state = "queued"

    def look(self) -> None:
        """Tells what is new, in the order it happened."""
        lines: list[Line] = []
        for event in self._get(f"/v1/calls/{self.sid}/events?after={self._after}")["events"]:
            self._after = event["seq"]
            if event["kind"].startswith("state."):
                self.state = event["kind"].removeprefix("state.")
            if line := event_line(event, self.leg):
                lines.append(line)
        messages = self._get(f"/v1/calls/{self.sid}/ladder")["messages"]
        lines += [sip_line(message, self.leg) for message in messages[self._messages :]]
        self._messages = max(self._messages, len(messages))
        for line in sorted(lines, key=lambda line: line.at):
            self._tell(line)


def _details(data: Mapping[str, Any], names: tuple[str, ...] | None = None) -> str:
    shown = [
        str(value)
        for name, value in data.items()
        if value not in (None, "") and (names is None or name in names)
    ]
    return f" ({', '.join(shown)})" if shown else ""
