"""Sms through an HTTP gateway, and what a hard end of the server does to messages."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from outdial.testing.server import OutdialServer
from outdial.testing.web import Answer, Received, WebServer

pytestmark = pytest.mark.system


@pytest.fixture
def web() -> Iterator[WebServer]:
    with WebServer() as server:
        yield server


@pytest.fixture
def outdial(web: WebServer) -> Iterator[OutdialServer]:
    sms = {
        "gateway_url": web.url("/send?key=k"),
        "gateway_content_type": "application/json",
        "gateway_body": '{"to": "+{to}", "from": "{from}", "text": "{text}", "id": "{sid}"}',
        "gateway_headers": ["Authorization: Bearer s3cret"],
    }
    with OutdialServer({"sim": {"enabled": True}, "sms": sms}) as server:
        yield server


def send(outdial: OutdialServer, web: WebServer, texts: list[str]) -> str:
    """A call that sends them and ends."""
    web.script("/texts", Answer())
    verbs = "".join(
        f'<Sms to="12025550177" statusCallback="{web.url("/texts")}">{text}</Sms>' for text in texts
    )
    return outdial.place_call(
        to="15005550001",
        **{"from": "18005550100"},
        url=web.serve("/start.xml", f"<Response>{verbs}<Pause>300</Pause></Response>"),
    )


def queued(outdial: OutdialServer, sid: str) -> int:
    """How many of the call's messages are on the disk."""
    events = outdial.get(f"/v1/calls/{sid}/events")["events"]
    return sum(event["kind"] == "message.queued" for event in events)


def bodies(got: list[Received]) -> list[str]:
    return [json.loads(request.body)["text"] for request in got]


def test_the_gateway_gets_what_the_settings_say(outdial: OutdialServer, web: WebServer) -> None:
    web.script("/send", Answer(status=201))
    sid = send(outdial, web, ["Your &quot;table&quot; is ready"])
    (request,) = web.wait_for("/send", 1)
    (told,) = web.wait_for("/texts", 1)
    assert request.method == "POST" and request.params["key"] == "k"
    assert request.headers["authorization"] == "Bearer s3cret"
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.body) == {
        "to": "+12025550177",
        "from": "18005550100",
        "text": 'Your "table" is ready',
        "id": told.params["SmsSid"],
    }
    assert (told.params["SmsStatus"], told.params["callSid"]) == ("sent", sid)
    assert "s3cret" not in outdial.log_path.read_text()


def test_killed_while_one_is_sent_and_one_waits(outdial: OutdialServer, web: WebServer) -> None:
    web.script("/send", Answer(failure="hang"))
    sid = send(outdial, web, ["going", "waiting"])
    web.wait_for("/send", 1)
    deadline = time.monotonic() + 10
    while queued(outdial, sid) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    outdial.kill()
    web.script("/send", Answer())
    outdial.start()
    told = web.wait_for("/texts", 2, timeout_s=15)
    assert bodies(web.received("/send")) == ["going", "waiting"], "each left once"
    assert sorted(request.params["SmsStatus"] for request in told) == ["failed", "sent"]
    (lost,) = [r.params for r in told if r.params["SmsStatus"] == "failed"]
    assert "may have arrived" in lost["SmsError"]


def test_stopped_in_order_what_is_sent_gets_its_answer(
    outdial: OutdialServer, web: WebServer
) -> None:
    web.script("/send", Answer(delay_s=1.0))
    send(outdial, web, ["going"])
    web.wait_for("/send", 1)
    outdial.stop()
    assert [r.params["SmsStatus"] for r in web.received("/texts")] == ["sent"]
