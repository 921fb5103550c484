"""How the demo words what happened."""

from __future__ import annotations

from typing import Any

import pytest

from outdial.demo.story import Follower, Line, event_line, request_line, seconds_of, sip_line
from outdial.testing.web import Received

AT = "2026-01-02T03:04:05.678Z"


def event(kind: str, **data: Any) -> dict[str, Any]:
    return {"seq": 0, "at": AT, "kind": kind, "data": data}


def request(path: str, **params: str) -> Received:
    return Received(1.0, "POST", path, (), tuple(params.items()), {}, b"")


@pytest.mark.parametrize(
    ("given", "lane", "text"),
    [
        (event("state.ringing"), "CALL", "leg A is ringing"),
        (
            event("state.completed", outcome="busy", cause="user-busy", other=1),
            "CALL",
            "leg A is completed (busy, user-busy)",
        ),
        (event("verb.started", verb="Say", text="Hi", line=3), "XML", "<Say>: “Hi”"),
        (event("verb.started", verb="Hangup", text=""), "XML", "<Hangup>"),
        (event("document.fetched", bytes=99, ms=1.5), "XML", "document read: 99 bytes in 1.5 ms"),
    ],
)
def test_events_become_lines(given: dict[str, Any], lane: str, text: str) -> None:
    assert event_line(given, "A") == Line(seconds_of(AT), lane, text)


def test_what_went_wrong_stands_out() -> None:
    line = event_line(event("callback.failed", event="ringing", error="timeout"), "B")
    assert line == Line(
        seconds_of(AT), "CALL", "leg B: callback.failed (ringing, timeout)", failed=True
    )
    assert event_line(event("callback.delivered", event="ringing"), "B") is None


@pytest.mark.parametrize(
    ("direction", "start_line", "text"),
    [
        ("out", "INVITE sip:1@127.0.0.1 SIP/2.0", "leg A ──▶ INVITE sip:1@127.0.0.1"),
        ("in", "SIP/2.0 180 Ringing", "leg A ◀── 180 Ringing"),
    ],
)
def test_sip_messages_become_arrows(direction: str, start_line: str, text: str) -> None:
    line = sip_line({"at": AT, "direction": direction, "start_line": start_line}, "A")
    assert (line.lane, line.text) == ("SIP", text)


def test_requests_are_a_document_or_a_callback() -> None:
    assert request_line(request("/a.xml", callSid="CA1")).text == (
        "POST /a.xml: the document is served"
    )
    callback = {"CallbackSource": "call-progress-event", "CallStatus": "completed"}
    a_leg = request("/e", callSid="CA1", ParentCallSid="CA1", token="7", **callback)
    assert request_line(a_leg).text == "callback completed of leg A token=7"
    b_leg = request("/e", callSid="CA2", ParentCallSid="CA1", **callback)
    assert request_line(b_leg).text == "callback completed of leg B"


def test_a_follower_tells_each_line_once_in_order() -> None:
    asked: list[str] = []
    ringing = {**event("state.ringing"), "seq": 1, "at": "2026-01-02T03:04:06.000Z"}
    answers: dict[str, Any] = {
        "/v1/calls/CA1/events?after=-1": {"events": [event("state.dialling"), ringing]},
        "/v1/calls/CA1/events?after=1": {"events": []},
        "/v1/calls/CA1/ladder": {
            "messages": [
                {"at": AT[:-2] + "9Z", "direction": "out", "start_line": "INVITE sip:1@x SIP/2.0"}
            ]
        },
    }

    def get(path: str) -> Any:
        asked.append(path)
        return answers[path]

    told: list[str] = []
    follower = Follower(get, "CA1", "A", lambda line: told.append(line.text))
    follower.look()
    follower.look()
    assert told == ["leg A is dialling", "leg A ──▶ INVITE sip:1@x", "leg A is ringing"]
    assert follower.state == "ringing"
    assert asked[2] == "/v1/calls/CA1/events?after=1"
