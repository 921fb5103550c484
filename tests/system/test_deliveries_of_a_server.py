"""Callbacks of a real server: signed, repeated, replayed, taken up after a crash; and the feed."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from outdial import ids
from outdial.testing.server import OutdialServer, free_port
from outdial.testing.signatures import signed_payload, verify
from outdial.testing.web import Answer, Received, WebServer
from outdial.webhooks.secret_file import read

pytestmark = pytest.mark.system

FROM = "18005797676"
ANSWERS, DECLINES = "15005550001", "15005550004"
ALL = "initiated ringing answered completed"
P95_MS = 250.0


@pytest.fixture(scope="module")
def outdial() -> Iterator[OutdialServer]:
    with OutdialServer({"sim": {"enabled": True}}) as server:
        yield server


@pytest.fixture
def web() -> Iterator[WebServer]:
    with WebServer() as server:
        server.serve("/app.xml", "<Response><Say>Hello</Say></Response>")
        yield server


def command(outdial: OutdialServer, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "outdial", "deliveries", *words, "--config", "outdial.toml"],
        cwd=outdial.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def printed(outdial: OutdialServer, *words: str) -> list[Any]:
    done = command(outdial, *words, "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def is_over(received: list[Received]) -> bool:
    return any(one.params["CallStatus"] == "completed" for one in received)


def statuses(received: list[Received]) -> list[str]:
    return [one.params["CallStatus"] for one in received]


def settled(outdial: OutdialServer, sid: str) -> list[dict[str, Any]]:
    """The call's callbacks once all are delivered: what came of them is written a little later."""
    for _ in range(100):
        found: list[dict[str, Any]] = outdial.get(f"/v1/deliveries?call_sid={sid}")["deliveries"]
        if all(one["state"] == "done" for one in found):
            return found
        time.sleep(0.05)
    raise TimeoutError(f"{found}")


def test_every_request_is_signed_and_a_rotation_needs_no_restart(
    outdial: OutdialServer, web: WebServer
) -> None:
    (secret,) = printed(outdial, "secret", "show")
    assert secret == {"secret": read(outdial.secret_path)[0], "newest": True}
    url = web.collect("/events")

    def call() -> list[Received]:
        before = len(web.requests)
        outdial.place_call(
            **{"to": ANSWERS, "from": FROM, "url": web.url("/app.xml?mine=1"), "Method": "GET"},
            statusCallback=url,
            statusCallbackEvent=ALL,
        )
        web.wait_until("/events", lambda got: is_over(got[max(0, before - 1) :]))
        return web.requests[before:]

    for one in call():
        verify(secret["secret"], one.headers, signed_payload(one))
        kind = "EV" if one.path == "/events" else "RQ"
        assert ids.is_sid(one.headers["webhook-id"], kind)
    newest, before = printed(outdial, "secret", "rotate")
    assert before == {"secret": secret["secret"], "newest": False}
    # read within a second, while calls go on
    for _ in range(20):
        last = call()[-1]
        if len(last.headers["webhook-signature"].split(" ")) == 2:
            break
    for known in (newest, before):
        verify(known["secret"], last.headers, signed_payload(last))
    log = outdial.log_path.read_text()
    assert secret["secret"][6:] not in log and newest["secret"][6:] not in log


def test_failures_of_a_live_call_are_made_good_in_order_and_every_attempt_is_kept(
    outdial: OutdialServer, web: WebServer
) -> None:
    web.script(
        "/events",
        Answer(status=500, headers={"X-Why": "no\tdatabase"}),
        Answer(failure="reset"),
        Answer(),
    )
    sid = outdial.place_call(
        **{"to": ANSWERS, "from": FROM, "url": web.url("/app.xml")},
        statusCallback=web.url("/events"),
        statusCallbackEvent=ALL,
        secretKey="callback-key",
    )
    received = web.wait_until("/events", is_over, timeout_s=20.0)
    assert statuses(received) == ["initiated"] * 2 + ALL.split()
    outdial.wait_until_over(sid)
    first, *others = settled(outdial, sid)
    assert (first["event"], first["attempts"]) == ("initiated", 3)
    assert [one["event"] for one in others] == ALL.split()[1:]
    shown = outdial.get(f"/v1/deliveries/{first['id']}")
    assert {shown["event_id"]} == {one.headers["webhook-id"] for one in received[:3]}
    refused, reset, taken = shown["tries"]
    assert (refused["status"], refused["error"]) == (500, "answered 500")
    assert refused["response_head"].startswith("HTTP/1.1 500 Internal Server Error\n")
    assert "x-why: no\\u0009database" in refused["response_head"]
    assert reset["status"] is None and reset["error"].startswith("protocol: ")
    assert (taken["status"], taken["error"]) == (200, "")
    for kept, one in zip(shown["tries"], received, strict=False):
        assert kept["signature"] == one.headers["webhook-signature"]
        assert str(kept["timestamp"]) == one.headers["webhook-timestamp"]
        assert kept["peer"] == f"127.0.0.1:{web.port}"
        assert kept["at"].endswith("Z") and kept["ms"] >= 0
    # the request is shown as it was, but for the caller's secret
    sent = {name.lower(): value for name, value in shown["request"]["headers"].items()}
    for name, value in sent.items():
        assert received[0].headers[name] == value
    body = received[0].body.decode()
    assert "apikey=callback-key" in body
    assert shown["request"]["body"] == body.replace("callback-key", "%2A%2A%2A")
    assert "callback-key" not in json.dumps(shown)
    told = command(outdial, "show", first["id"]).stdout
    assert "attempt 2" in told and "< HTTP/1.1 500 Internal Server Error" in told
    assert "  CallStatus = initiated" in told


def test_a_callback_given_up_is_told_of_and_can_be_replayed(
    outdial: OutdialServer, web: WebServer
) -> None:
    web.script("/events", Answer(status=503))
    sid = outdial.place_call(
        **{"to": DECLINES, "from": FROM},
        statusCallback=web.url("/events#rc=0"),
        statusCallbackEvent=ALL,
    )
    outdial.wait_until_over(sid)
    gone = web.wait_until("/events", is_over)
    told = statuses(gone)
    dead = printed(outdial, "ls", "--state", "dead", "--call", sid)
    assert [one["event"] for one in dead] == told
    assert all(one["url"].endswith("#rc=0") for one in dead)
    assert {one.path for one in gone} == {"/events"}
    notes = [e for e in outdial.get(f"/v1/calls/{sid}/events")["events"] if "callback" in e["kind"]]
    assert [note["kind"] for note in notes] == ["callback.dead"] * len(told)
    logged = [line for line in outdial.log() if line.get("event") == "callback given up"]
    assert {line["delivery"] for line in logged} >= {one["id"] for one in dead}
    metrics = outdial.get_bytes("/metrics").decode()
    assert 'outdial_callback_attempts_total{result="dead"}' in metrics
    listed = outdial.get("/v1/deliveries?state=dead&limit=100")["deliveries"]
    assert [one["id"] for one in listed if one["call_sid"] == sid] == [
        one["id"] for one in reversed(dead)
    ]

    web.script("/events", Answer())
    (one,) = printed(outdial, "replay", dead[-1]["id"])
    assert (one["state"], one["attempts"]) == ("pending", 0)
    again = web.wait_for("/events", len(told) + 1)[-1]
    assert again.headers["webhook-id"] == gone[-1].headers["webhook-id"]
    assert again.body == gone[-1].body
    (counted,) = printed(outdial, "replay", "--dead", "--call", sid)
    assert counted == {"count": len(told) - 1}
    arrived = web.wait_for("/events", len(told) * 2)[len(told) + 1 :]
    assert statuses(arrived) == told[:-1]
    ids_before = [one.headers["webhook-id"] for one in gone]
    assert [one.headers["webhook-id"] for one in arrived] == ids_before[:-1]
    nothing = outdial.post("/v1/deliveries/replay", {"state": "dead", "call_sid": sid})
    assert nothing == {"count": 0}
    settled(outdial, sid)
    tried_twice = outdial.get(f"/v1/deliveries/{dead[0]['id']}")
    assert [one["status"] for one in tried_twice["tries"]] == [503, 200]


def test_the_feed_has_every_event_once_with_the_ids_of_the_callbacks(
    outdial: OutdialServer, web: WebServer
) -> None:
    url = web.collect("/events")
    sid = outdial.place_call(
        **{"to": ANSWERS, "from": FROM, "url": web.url("/app.xml")},
        statusCallback=url,
        statusCallbackEvent=ALL,
    )
    received = web.wait_until("/events", is_over)
    outdial.wait_until_over(sid)
    events: list[dict[str, Any]] = []
    after = ""
    while True:
        page = outdial.get(f"/v1/events?after={after}&limit=3")
        if not page["events"]:
            break
        events += page["events"]
        after = page["next"]
    assert page["next"] == after
    assert len({one["id"] for one in events}) == len(events)
    mine = [one for one in events if one["call_sid"] == sid]
    states = ["queued", "dialling", "ringing", "answered", "completed"]
    assert [one["type"] for one in mine] == [f"call.{state}" for state in states]
    assert [one["id"] for one in mine[1:]] == [one.headers["webhook-id"] for one in received]
    assert mine[-1]["call"]["outcome"] == "completed" and mine[-1]["data"]["cause"]
    # somebody who waits is told as soon as there is something
    other = outdial.place_call(**{"to": DECLINES, "from": FROM})
    following = outdial.get(f"/v1/events?after={after}&wait=10")
    assert following["events"][0]["call_sid"] == other


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/v1/deliveries/replay", {"state": "done"}, 40003),
        ("/v1/deliveries/replay", {}, 40002),
        ("/v1/deliveries/replay", {"state": "dead", "since": "today"}, 40003),
        ("/v1/deliveries/replay", {"state": "dead", "call_sid": "CA1"}, 40402),
        ("/v1/deliveries/DE1/replay", {}, 40406),
        ("/v1/calls", {"to": ANSWERS, "from": FROM, "url": "http://127.0.0.1/#rc=9"}, 42207),
        (
            "/v1/calls",
            {"to": ANSWERS, "from": FROM, "status_callback": "http://127.0.0.1/#rq=1"},
            42207,
        ),
    ],
)
def test_what_is_refused(
    outdial: OutdialServer, path: str, body: dict[str, Any], code: int
) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        outdial.post(path, body)
    problem = json.loads(caught.value.read())
    assert problem["code"] == code and problem["field"]


def test_callbacks_left_by_a_crash_arrive_in_order_after_the_start(tmp_path: Path) -> None:
    port = free_port(socket.SOCK_STREAM)
    with OutdialServer({"sim": {"enabled": True}}, tmp_path) as outdial:
        sids = [
            outdial.place_call(
                **{"to": DECLINES, "from": FROM},
                statusCallback=f"http://127.0.0.1:{port}/events",
                statusCallbackEvent=ALL,
            )
            for _ in range(5)
        ]
        for sid in sids:
            outdial.wait_until_over(sid)
        outdial.kill()
        with WebServer(port) as web:
            web.collect("/events")
            outdial.start()
            count = {
                sid: len(outdial.get(f"/v1/deliveries?call_sid={sid}")["deliveries"])
                for sid in sids
            }
            received = web.wait_for("/events", sum(count.values()), timeout_s=45.0)
        for sid in sids:
            mine = [one for one in received if one.params["callSid"] == sid]
            numbers = [int(one.params["SequenceNumber"]) for one in mine]
            assert numbers == sorted(set(numbers)) and len(mine) == count[sid]
            assert mine[0].params["CallStatus"] == "initiated"
            assert mine[-1].params["CallStatus"] == "completed"
            verify(read(outdial.secret_path)[0], mine[0].headers, signed_payload(mine[0]))


@pytest.mark.alone
def test_receivers_that_hang_delay_no_event_of_other_calls(
    outdial: OutdialServer, web: WebServer, record_property: Callable[[str, object], None]
) -> None:
    """From the moment something happens on a call to the request's arrival, the commit included."""
    url = web.collect("/events")
    silent = [socket.create_server(("127.0.0.1", 0), backlog=512) for _ in range(12)]
    try:
        for receiver in silent:  # which the system connects, and nobody answers
            for _ in range(10):
                outdial.place_call(
                    **{"to": DECLINES, "from": FROM},
                    statusCallback=f"http://127.0.0.1:{receiver.getsockname()[1]}/",
                    statusCallbackEvent=ALL,
                )
        for _ in range(30):
            outdial.place_call(
                **{"to": DECLINES, "from": FROM}, statusCallback=url, statusCallbackEvent=ALL
            )
            time.sleep(0.05)
        received = web.wait_until(
            "/events", lambda got: statuses(got).count("completed") == 30, timeout_s=30.0
        )
        assert outdial.get_bytes("/metrics").decode().count("outdial_callbacks_under_way 0.0") == 0
    finally:
        for receiver in silent:
            receiver.close()
    delays = sorted(
        (one.at - datetime.fromisoformat(one.params["Timestamp"]).timestamp()) * 1000.0
        for one in received
    )
    p50, p95 = delays[len(delays) // 2], delays[int(len(delays) * 0.95)]
    record_property("p95_ms", round(p95, 1))
    print(f"p50 {p50:.0f} ms, p95 {p95:.0f} ms of {len(delays)}")
    assert p95 < P95_MS


def test_the_listener_prints_what_comes_and_whether_it_is_signed(
    outdial: OutdialServer, web: WebServer
) -> None:
    listener = subprocess.Popen(
        [
            *(sys.executable, "-m", "outdial", "deliveries", "listen"),
            *("--port", "0", "--json", "--config", "outdial.toml"),
        ],
        cwd=outdial.folder,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert listener.stdout is not None
        where = json.loads(listener.stdout.readline())["listening"]
        sid = outdial.place_call(
            **{"to": DECLINES, "from": FROM, "statusCallback": where + "cb?mine=1"}
        )
        told = json.loads(listener.stdout.readline())
        assert told["signature"] == "right" and told["status"] == 200
        assert told["params"]["callSid"] == sid and told["path"] == "/cb"
        assert ids.is_sid(told["webhook_id"], ids.EVENT)
        listener.send_signal(signal.SIGINT)
        assert listener.wait(10) == 0
    finally:
        listener.kill()
        listener.wait()
        if listener.stdout is not None:
            listener.stdout.close()
