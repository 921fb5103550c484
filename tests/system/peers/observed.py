"""What a call looked like from outside, as the API and the callbacks tell it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from outdial.testing.server import OutdialServer
from outdial.testing.web import WebServer

HELD = (
    "calls_live",
    "calls_queued",
    "sip_calls",
    "sip_dialogs",
    "sip_early_dialogs",
    "media_legs",
    "media_plays",
    "media_streams",
    "media_started",
    "media_bridged",
    "media_recordings",
    "callbacks_held",
)
"""Gauges that are zero when no call is up. Transactions linger for half a minute and are not
among them: tests/system/sipp looks at those, with a T1 of its own."""


def wait_until_at_rest(outdial: OutdialServer, timeout_s: float = 10.0) -> None:
    """Returns once nothing of any call is held. Raises AssertionError naming what is."""
    deadline = time.monotonic() + timeout_s
    while True:
        gauges = outdial.gauges()
        held = {name: gauges[f"outdial_{name}"] for name in HELD if gauges[f"outdial_{name}"]}
        if not held:
            return
        assert time.monotonic() < deadline, f"still held: {held}\n{outdial.tail()}"
        time.sleep(0.05)


def callbacks(web: WebServer, path: str, sid: str) -> list[dict[str, str]]:
    """The call's callbacks up to `completed`, in the order they came. Raises TimeoutError."""
    got = web.wait_until(
        path,
        lambda requests: any(
            (r.params.get("callSid"), r.params.get("CallStatus")) == (sid, "completed")
            for r in requests
        ),
    )
    return [request.params for request in got if request.params.get("callSid") == sid]


def kinds(outdial: OutdialServer, sid: str) -> list[str]:
    """The kinds of the timeline's entries, oldest first."""
    return [event["kind"] for event in outdial.get(f"/v1/calls/{sid}/events")["events"]]


def seconds_answered(call: Mapping[str, Any]) -> float:
    """From the answer to the end."""
    ended, answered = (datetime.fromisoformat(call[name]) for name in ("ended_at", "answered_at"))
    return (ended - answered).total_seconds()


def leg_of(outdial: OutdialServer, sid: str) -> dict[str, Any]:
    """The second leg of a call, once it is over."""
    (other,) = [
        call
        for call in outdial.get("/v1/calls?limit=100")["calls"]
        if call["parent_sid"] == sid and call["sid"] != sid
    ]
    return outdial.wait_until_over(other["sid"])
