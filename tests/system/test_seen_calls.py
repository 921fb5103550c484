"""What a server says of a call beside its record: log lines."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from outdial.testing.server import OutdialServer
from outdial.testing.web import WebServer

pytestmark = pytest.mark.system

ANSWERS = "15005550001"
PIN = "Your pin is 8 9 70"


@pytest.fixture(scope="module")
def web() -> Iterator[WebServer]:
    with WebServer() as server:
        yield server


@pytest.fixture(scope="module")
def outdial() -> Iterator[OutdialServer]:
    with OutdialServer({"sim": {"enabled": True}, "log": {"calls": "steps"}}) as server:
        yield server


def lines_of(outdial: OutdialServer, sid: str) -> list[dict[str, Any]]:
    """Its log lines, once the last is there: they are written a moment late."""
    deadline = time.monotonic() + 10
    while True:
        lines = [line for line in outdial.log() if line.get("call") == sid]
        if lines and lines[-1]["event"] == "state.completed":
            return lines
        assert time.monotonic() < deadline, outdial.tail()
        time.sleep(0.05)


def test_each_step_of_a_call_is_a_log_line(outdial: OutdialServer, web: WebServer) -> None:
    url = web.serve("/say.xml", f"<Response><Say>{PIN}</Say></Response>")
    sid = outdial.place_call(to=ANSWERS, **{"from": "18005797676"}, url=f"{url}?token=s3cret")
    outdial.wait_until_over(sid)
    events = outdial.get(f"/v1/calls/{sid}/events")["events"]
    lines = lines_of(outdial, sid)
    assert [(line["seq"], line["event"]) for line in lines] == [
        (event["seq"], event["kind"]) for event in events
    ]
    assert {line["level"] for line in lines} == {"info"}
    (fetched,) = [line for line in lines if line["event"] == "document.fetched"]
    assert fetched["url"] == f"{url}?…"
    assert "s3cret" not in json.dumps(lines) and PIN not in json.dumps(lines)
    assert any(PIN in json.dumps(event) for event in events), "the record has it"
