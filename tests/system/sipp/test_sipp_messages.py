"""Sms over trunks: SIPp takes the MESSAGE, asks for credentials, refuses it, or is silent."""

from __future__ import annotations

import re

from outdial.testing.web import Answer
from system.sipp.digest import check_credentials
from system.sipp.stage import STEPS, WELL, Call, Line, Phone, Scene

_QUIET = {"Connection": "close"}
_DEMAND = (
    'Proxy-Authenticate: Digest realm="the carrier", nonce="abc", qop="auth", algorithm=SHA-256'
)


def send(scene: Scene, text: str, to: Phone | Line, **attributes: str) -> tuple[Call, str]:
    """A call whose document sends it and goes on; the path of the status callback."""
    caller = scene.phone("answer")
    path = f"/texts/{to.number if isinstance(to, Line) else to.line.number}"
    scene.web.script(path, Answer(headers=_QUIET))
    written = "".join(f' {name}="{value}"' for name, value in attributes.items())
    document = f'<Response><Sms to="{to.number}" statusCallback="{path}"{written}>{text}</Sms>'
    return scene.call(caller, f"{document}<Pause>500</Pause></Response>"), path


def test_a_message_goes_over_the_trunk_of_its_number_while_the_call_goes_on(scene: Scene) -> None:
    phone = scene.phone("takes-messages", status="200 OK")
    call, path = send(scene, 'Grüße &amp; 👋 "q"', phone)
    call.ended(*STEPS, WELL)
    (request,) = phone.received("MESSAGE ")
    assert request.start_line == f"MESSAGE sip:{phone.number}@{phone.line.hosts[0]}:5060 SIP/2.0"
    assert request.body == 'Grüße & 👋 "q"'
    assert request.get("Content-Type") == "text/plain;charset=UTF-8"
    assert request.get("From").startswith(f"<sip:{call.from_}@")
    assert request.get_all("Contact") == []
    (told,) = scene.web.wait_for(path, 1)
    assert told.method == "POST" and re.fullmatch("SM[0-9a-f]{32}", told.params["SmsSid"])
    assert {name: told.params[name] for name in ("SmsStatus", "From", "To", "callSid")} == {
        "SmsStatus": "sent", "From": call.from_, "To": phone.number, "callSid": call.sid
    }  # fmt: skip
    assert told.headers["webhook-id"].startswith("DE")
    kinds = [event["kind"] for event in call.timeline()]
    assert kinds.index("message.queued") < kinds.index("message.sent")


def test_a_challenge_is_answered(scene: Scene) -> None:
    line = scene.stage.guarded_line()
    phone = scene.phone(
        "challenges-messages",
        line,
        status="407 Proxy Authentication Required",
        demand=_DEMAND,
    )
    call, path = send(scene, "hello", phone)
    call.ended(*STEPS, WELL)
    (told,) = scene.web.wait_for(path, 1)
    assert told.params["SmsStatus"] == "sent"
    first, second = phone.received("MESSAGE ")
    assert first.get_all("Proxy-Authorization") == []
    check_credentials(
        second.get("Proxy-Authorization"), "MESSAGE", nonce="abc", algorithm="SHA-256"
    )
    assert (first.body, second.body) == ("hello", "hello")


def test_a_trunk_that_takes_no_messages_leaves_it_to_the_next(scene: Scene) -> None:
    line = scene.stage.pair()
    first = scene.phone("takes-messages", line, status="405 Method Not Allowed")
    second = scene.phone("takes-messages", line, at=1, status="202 Accepted")
    call, path = send(scene, "hello", first)
    call.ended(*STEPS, WELL)
    (told,) = scene.web.wait_for(path, 1)
    assert told.params["SmsStatus"] == "sent"
    assert len(first.received("MESSAGE ")) == len(second.received("MESSAGE ")) == 1


def test_a_refusal_is_told_with_its_status_and_the_action_decides(scene: Scene) -> None:
    phone = scene.phone("takes-messages", status="404 Not Found")
    after = f"/after/{phone.number}"
    scene.web.script(after, Answer(body=b"<Response/>", content_type="text/xml", headers=_QUIET))
    call, path = send(scene, "hello", phone, action=after)
    call.ended(*STEPS, WELL)
    (asked,) = scene.web.received(after)
    assert (asked.params["SmsStatus"], asked.params["SmsError"]) == ("failed", "Not Found")
    assert asked.params["callSid"] == call.sid
    (told,) = scene.web.wait_for(path, 1)
    assert (told.params["SmsStatus"], told.params["SmsErrorCode"]) == ("failed", "404")
    assert told.params["SmsSid"] == asked.params["SmsSid"]


def test_a_long_text_goes_in_parts_one_after_the_other(scene: Scene) -> None:
    words = " ".join(f"wörd{number}" for number in range(150))
    phone = scene.phone("takes-messages", status="202 Accepted", calls=3)
    call, path = send(scene, words, phone)
    call.ended(*STEPS, WELL)
    parts = phone.received("MESSAGE ")
    assert " ".join(part.body for part in parts) == words
    assert all(len(part.body.encode()) < 1000 for part in parts)
    assert len({part.get("Call-ID") for part in parts}) == len(parts) == 3
    assert [told.params["SmsStatus"] for told in scene.web.wait_for(path, 1)] == ["sent"]


def test_a_trunk_that_is_silent_gets_one_message_however_often_it_is_repeated(
    scene: Scene,
) -> None:
    line = scene.stage.pair()
    phone = scene.phone("ignores-messages", line, patience_ms="1400")
    call, path = send(scene, "hello", phone)
    (told,) = scene.web.wait_for(path, 1, timeout_s=10)
    assert told.params["SmsStatus"] == "failed"
    assert told.params["SmsError"] == "Request Timeout"
    call.ended(*STEPS, WELL)
    got = phone.received("MESSAGE ")
    assert len(got) > 3
    assert len({message.get("Via") for message in got}) == 1
