"""Many posts at the same time, and the limits that hold them back, at a real server."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest

from outdial.testing.server import API_KEY, OutdialServer
from outdial.testing.web import WebServer

pytestmark = pytest.mark.system

FROM = "18005550100"
BUSY, RINGS_FOR_EVER = "15005550002", "15005550003"


@pytest.fixture
def web() -> Iterator[WebServer]:
    with WebServer() as server:
        yield server


def test_a_hundred_posts_at_once_are_a_hundred_calls_each_done_once(web: WebServer) -> None:
    url = web.serve("/app.xml", "<Response><Pause length='1'/></Response>")
    events = web.collect("/events")
    settings = {"sim": {"enabled": True}, "limits": {"calls_per_second": 200}}
    with OutdialServer(settings) as outdial, ThreadPoolExecutor(100) as people:
        before = outdial.usage()

        def place(number: int) -> str:
            return outdial.place_call(
                to=f"1212555{number:04d}",
                **{"from": FROM},
                url=url,
                statusCallback=events,
                statusCallbackEvent="initiated,answered,completed",
                optional=f"order={number}",
            )

        sids = list(people.map(place, range(100)))
        assert len(set(sids)) == 100
        calls = [outdial.wait_until_over(sid, 60) for sid in sids]
        told = [request.params for request in web.wait_for("/events", 300, timeout_s=30)]
        outdial.wait_until_back_at(before, spare=4)
    assert {call["outcome"] for call in calls} == {"completed"}
    assert Counter(r.params["callSid"] for r in web.received("/app.xml")) == Counter(sids), (
        "each document is fetched once"
    )
    for number, sid in enumerate(sids):
        mine = [params for params in told if params["callSid"] == sid]
        assert [params["CallStatus"] for params in mine] == ["initiated", "answered", "completed"]
        assert {params["order"] for params in mine} == {str(number)}
        assert calls[number]["to"] == f"1212555{number:04d}"


def test_calls_over_the_limit_wait_and_what_is_too_much_is_refused() -> None:
    limits = {"concurrent_calls": 2, "queued_calls": 3, "calls_per_second": 100}
    with OutdialServer({"sim": {"enabled": True}, "limits": limits}) as outdial:
        started = [_ringing(outdial) for _ in range(2)]
        waiting = [_ringing(outdial) for _ in range(3)]
        ready = outdial.get("/readyz")
        assert (ready["live"], ready["queued"]) == (2, 3)
        assert [_state(outdial, sid) for sid in waiting] == ["queued"] * 3
        assert all(_state(outdial, sid) in ("dialling", "ringing") for sid in started)

        status, headers, answer = _refused(outdial, to=RINGS_FOR_EVER)
        assert (status, answer["code"], answer["status"]) == (429, 42902, False)
        assert "limits.queued_calls" in answer["message"]
        assert int(headers["Retry-After"]) >= 1

        outdial.post(f"/v1/calls/{started[0]}", {"hangup": True})
        outdial.wait_until_over(started[0])
        _wait(outdial, waiting[0], "ringing")
        assert [_state(outdial, sid) for sid in waiting[1:]] == ["queued"] * 2

        outdial.post(f"/v1/calls/{waiting[2]}", {"hangup": True})
        gone = outdial.wait_until_over(waiting[2])
        assert (gone["outcome"], gone["dialled_at"]) == ("canceled", None), "it never rang"
        for sid in (started[1], waiting[0], waiting[1]):
            outdial.post(f"/v1/calls/{sid}", {"hangup": True})
            outdial.wait_until_over(sid)
        ready = outdial.get("/readyz")
        assert (ready["live"], ready["queued"]) == (0, 0)


def test_calls_are_dialled_at_the_rate_that_is_set() -> None:
    with OutdialServer({"sim": {"enabled": True}, "limits": {"calls_per_second": 5}}) as outdial:
        sids = [outdial.place_call(to=BUSY, **{"from": FROM}, url=_URL) for _ in range(15)]
        calls = [outdial.wait_until_over(sid) for sid in sids]
    dialled = sorted(_clock_s(call["dialled_at"]) for call in calls)
    # Five may leave at once, the other ten at five a second.
    assert 1.7 < dialled[-1] - dialled[0] < 3.0
    for at in dialled:
        assert sum(at <= other < at + 1 for other in dialled) <= 11


def test_posts_over_the_rate_of_a_key_are_refused() -> None:
    settings = {"sim": {"enabled": True}, "limits": {"posts_per_second": 2}}
    with OutdialServer(settings) as outdial, ThreadPoolExecutor(10) as people:
        answers = list(people.map(lambda _: _post(outdial, to=BUSY), range(10)))
    statuses = Counter(status for status, _, _ in answers)
    assert 2 <= statuses[200] <= 4
    assert statuses[200] + statuses[429] == 10
    for status, headers, answer in answers:
        if status == 429:
            assert answer["code"] == 42901
            assert int(headers["Retry-After"]) >= 1


def test_what_may_not_be_reached_or_dialled_is_refused_by_default() -> None:
    settings = {
        "webhooks": {"allow_private": []},
        "trunks": [{"name": "t", "address": "127.0.0.1:9", "options_interval_s": 0}],
        "limits": {"destinations": ["1212", "1800"]},
    }
    with OutdialServer(settings) as outdial:
        for url in ("http://127.0.0.1/app", "http://10.1.2.3/app", "http://[::1]/app"):
            status, _, answer = _refused(outdial, to="12125550123", url=url)
            assert (status, answer["code"], answer["field"]) == (403, 40303, "url")
            assert "webhooks.allow_private" in answer["message"]
            status, _, answer = _refused(outdial, to="12125550123", url="", statusCallback=url)
            assert (status, answer["field"]) == (403, "statusCallback")
        for url in ("ftp://h/x", "http://user:pass@example.com/", "file:///etc/passwd"):
            assert _refused(outdial, to="12125550123", url=url)[2]["field"] == "url"
        status, _, answer = _refused(outdial, to="13105550123", url="http://example.com/app")
        assert (status, answer["code"], answer["field"]) == (403, 40301, "to")
        assert "limits.destinations" in answer["message"]
        assert outdial.get("/v1/calls")["calls"] == []


# ---------------------------------------------------------------------------- the parts

_URL = "http://127.0.0.1:9/never"


def _ringing(outdial: OutdialServer) -> str:
    return outdial.place_call(to=RINGS_FOR_EVER, **{"from": FROM}, url=_URL)


def _state(outdial: OutdialServer, sid: str) -> str:
    return str(outdial.get(f"/v1/calls/{sid}")["state"])


def _wait(outdial: OutdialServer, sid: str, state: str) -> None:
    for _ in range(200):
        if _state(outdial, sid) == state:
            return
    raise AssertionError(f"{sid} is {_state(outdial, sid)}, not {state}")


def _post(outdial: OutdialServer, **params: str) -> tuple[int, Any, dict[str, Any]]:
    """Status, headers and body of the answer of the V2 API."""
    body = {"apikey": API_KEY, "from": FROM, "url": _URL} | params
    request = urllib.request.Request(
        outdial.url("/didforsaleapi/index.php/api/V2/CallTermination/"),
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, json.load(error)


def _refused(outdial: OutdialServer, **params: str) -> tuple[int, Any, dict[str, Any]]:
    status, headers, answer = _post(outdial, **params)
    assert status >= 400, answer
    return status, headers, answer


def _clock_s(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
