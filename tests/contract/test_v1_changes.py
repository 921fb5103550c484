"""`POST /v1/calls/{sid}` over real HTTP: what is taken, what is refused, and what is asked for."""

from __future__ import annotations

from typing import Any

import pytest

from contract.conftest import KEY, Door
from outdial.calls import codes
from outdial.calls.commands import Command, Mute, Record, Redirect, SendDigits

AUTH = {"Authorization": f"Bearer {KEY}"}
GOOD = {"to": "19499300360", "from": "18005797676"}


async def live(door: Door) -> str:
    """A call that was answered."""
    _, call = await door.post("/v1/calls", json=GOOD, headers=AUTH)
    door.record.kept[call["sid"]].state = "answered"
    sid: str = call["sid"]
    return sid


@pytest.mark.parametrize(
    ("body", "command"),
    [
        ({"url": "http://127.0.0.1/x.xml"}, Redirect("http://127.0.0.1/x.xml")),
        (
            {
                "url": "http://127.0.0.1/x.xml",
                "method": "GET",
                "fallback_url": "http://127.0.0.1/y.xml",
            },
            Redirect("http://127.0.0.1/x.xml", "GET", "http://127.0.0.1/y.xml"),
        ),
        ({"document": "\n <Response/>"}, Redirect(document="<Response/>")),
        (
            {"document": "<!-- hold --><Response><Hangup/></Response>"},
            Redirect(document="<!-- hold --><Response><Hangup/></Response>"),
        ),
        ({"send_digits": "12w#"}, SendDigits("12w#")),
        ({"muted": True}, Mute(muted=True)),
        ({"muted": False}, Mute(muted=False)),
        ({"recording": "pause"}, Record("pause")),
    ],
)
async def test_what_can_be_done_to_a_live_call(
    door: Door, body: dict[str, Any], command: Command
) -> None:
    sid = await live(door)
    status, call = await door.post(f"/v1/calls/{sid}", json=body, headers=AUTH)
    assert (status, call["sid"]) == (200, sid)
    assert door.record.commands == [(sid, command, "dev")]
    door.record.has_node_answered = False
    status, _ = await door.post(f"/v1/calls/{sid}", json=body, headers=AUTH)
    assert status == 202


@pytest.mark.parametrize(
    ("body", "status", "code", "field", "said"),
    [
        ({}, 400, codes.MISSING_FIELD, None, "Give one of hangup, url, document"),
        ({"muted": True, "hangup": True}, 400, codes.BAD_VALUE, "hangup", "hangup and muted"),
        ({"muted": "yes"}, 400, codes.BAD_VALUE, "muted", "boolean"),
        ({"muted": True, "loud": 1}, 400, codes.BAD_VALUE, "loud", "not a parameter"),
        ({"hangup": False}, 400, codes.BAD_VALUE, "hangup", "True"),
        ({"recording": "rewind"}, 400, codes.BAD_VALUE, "recording", "'start'"),
        ({"send_digits": "12a"}, 400, codes.BAD_VALUE, "send_digits", "0-9 * # A-D, w"),
        ({"send_digits": ""}, 422, codes.OUT_OF_RANGE, "send_digits", "at least 1"),
        ({"url": "ftp://x/y"}, 400, codes.BAD_VALUE, "url", "https://example.com"),
        ({"url": "http://10.0.0.1/"}, 403, codes.REFUSED_ADDRESS, "url", "refused"),
        ({"url": "http://127.0.0.1/", "fallback_url": "http://10.0.0.1/"}, 403,
         codes.REFUSED_ADDRESS, "fallback_url", "refused"),
        ({"document": "Hello"}, 422, codes.BAD_DOCUMENT, "document", "no <Response> element"),
        ({"document": "\n<Respons/>"}, 422, codes.BAD_DOCUMENT, "document",
         "the root element is <Respons>, not <Response> (line 1, column 1)"),
        ({"document": "\ud800<Response/>"}, 400, codes.BAD_VALUE, "document", "unicode"),
        ({"document": "<Response/>" + "x" * 20_000}, 422, codes.OUT_OF_RANGE, "document", "16384"),
        ({"document": "<Response>" + "<Gather>" * 30 + "</Response>"}, 422, codes.BAD_DOCUMENT,
         "document", "(line 1, column"),
        (["hangup"], 400, codes.MALFORMED_BODY, None, "object"),
    ],
)  # fmt: skip
async def test_a_change_that_cannot_be_meant_is_refused(
    door: Door, body: Any, status: int, code: int, field: str | None, said: str
) -> None:
    sid = await live(door)
    got, problem = await door.post(f"/v1/calls/{sid}", json=body, headers=AUTH)
    assert (got, problem["code"], problem.get("field")) == (status, code, field), problem
    assert said in problem["detail"]
    assert door.record.commands == []


async def test_only_a_live_call_is_changed(door: Door) -> None:
    _, call = await door.post("/v1/calls", json=GOOD, headers=AUTH)
    path = f"/v1/calls/{call['sid']}"
    status, problem = await door.post(path, json={"muted": True}, headers=AUTH)
    assert (status, problem["code"]) == (409, codes.NOT_ANSWERED)
    status, problem = await door.post("/v1/calls/CA" + "f" * 32, json={"muted": True}, headers=AUTH)
    assert (status, problem["code"]) == (404, codes.UNKNOWN_CALL)
