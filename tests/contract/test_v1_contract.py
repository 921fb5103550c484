"""The native API over real HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from contract.conftest import KEY, Door
from outdial.calls import codes
from outdial.calls.capture import HEAD
from outdial.errors import Refused, StoreUnavailable

AUTH = {"Authorization": f"Bearer {KEY}"}
GOOD = {"to": "19499300360", "from": "18005797676"}
PROBLEM = "application/problem+json"


async def create(door: Door, **params: Any) -> dict[str, Any]:
    status, call = await door.post("/v1/calls", json=GOOD | params, headers=AUTH)
    assert status == 201, call
    return call


async def test_place_show_and_hang_up(door: Door) -> None:
    async with door.http.post(
        door.base + "/v1/calls", json=GOOD | {"secret_key": "s3cret"}, headers=AUTH
    ) as response:
        call = await response.json()
        assert response.status == 201
        assert response.headers["Location"] == f"/v1/calls/{call['sid']}"
    assert (call["to"], call["from"], call["state"]) == ("19499300360", "18005797676", "queued")
    assert call["created_at"] == "2027-01-15T08:00:00.000Z"
    assert call["request"]["secret_key"] == "***"
    assert door.record.placed[0][0].secret_key == "s3cret"
    path = f"/v1/calls/{call['sid']}"
    # the answer to the post says where it waits on this server, here the record's order counts
    assert call["queue_position"] is None
    assert await door.get(path) == (200, call | {"queue_position": 7})
    door.record.positions[call["sid"]] = 3
    assert await door.get(path) == (200, call | {"queue_position": 3})
    status, ended = await door.post(path, json={"hangup": True}, headers=AUTH)
    assert (status, ended["state"], ended["duration_s"]) == (202, "completed", 0)
    status, again = await door.post(path, json={"hangup": True}, headers=AUTH)
    assert (status, again) == (200, ended)


async def test_all_parameters(door: Door) -> None:
    await create(
        door,
        url="http://127.0.0.1:9000/a.xml",
        method="GET",
        send_digits="1w2",
        status_callback="http://127.0.0.1:9000/e",
        status_callback_event=["answered", "initiated"],
        status_callback_method="GET",
        optional="a=1",
        timeout=5,
        time_limit=50,
        record=True,
        fallback_url="http://127.0.0.1:9000/f.xml",
        trunk="t",
        caller_name="N",
    )
    request, key_name = door.record.placed[0]
    assert key_name == "dev"
    assert request.status_callback_events == ("initiated", "answered")
    assert (request.timeout_s, request.time_limit_s, request.record) == (5, 50, True)
    assert (request.url, request.method, request.send_digits) == (
        "http://127.0.0.1:9000/a.xml",
        "GET",
        "1w2",
    )


async def test_headers_for_the_invite(door: Door) -> None:
    call = await create(
        door, **{"from": "anonymous"}, url="http://127.0.0.1/", sip_headers={"X-Account": "42"}
    )
    request, _ = door.record.placed[0]
    assert (request.from_, request.sip_headers) == ("anonymous", (("X-Account", "42"),))
    assert call["request"]["sip_headers"] == {"X-Account": "42"}
    for headers in ({"Via": "x"}, {"X-Account": "4\r\n2"}, {"X-Account": 42}, ["X-Account: 42"]):
        body = {"to": "19499300360", "from": "18005797676", "sip_headers": headers}
        status, problem = await door.post("/v1/calls", json=body, headers=AUTH)
        assert (status, problem["field"].partition(".")[0]) == (400, "sip_headers")


async def test_listing_filters_and_pages(door: Door) -> None:
    sids = [(await create(door, to=f"1949930000{n}"))["sid"] for n in range(5)]
    status, page = await door.get("/v1/calls", params={"limit": "2"})
    assert status == 200
    assert [call["sid"] for call in page["calls"]] == [sids[4], sids[3]]
    _, page = await door.get("/v1/calls", params={"limit": "2", "cursor": page["next_cursor"]})
    _, page = await door.get("/v1/calls", params={"limit": "2", "cursor": page["next_cursor"]})
    assert [call["sid"] for call in page["calls"]] == [sids[0]]
    assert page["next_cursor"] == ""
    _, page = await door.get("/v1/calls", params={"to": "+19499300002"})
    assert [call["sid"] for call in page["calls"]] == [sids[2]]
    _, page = await door.get("/v1/calls", params={"state": "completed"})
    assert page["calls"] == []
    bounds = {
        "created_after": "2027-01-15T08:00:01Z",
        "created_before": "2027-01-15T09:00:03+01:00",
    }
    _, page = await door.get("/v1/calls", params=bounds)
    assert [call["sid"] for call in page["calls"]] == [sids[2]]


async def test_timeline_ladder_and_deliveries(door: Door) -> None:
    sid = (await create(door))["sid"]
    _, timeline = await door.get(f"/v1/calls/{sid}/events")
    assert [event["seq"] for event in timeline["events"]] == [0, 1]
    _, timeline = await door.get(f"/v1/calls/{sid}/events", params={"after": "0"})
    assert [event["seq"] for event in timeline["events"]] == [1]
    _, ladder = await door.get(f"/v1/calls/{sid}/ladder")
    message = ladder["messages"][0]
    assert message["start_line"] == "INVITE sip:19499300360@127.0.0.1 SIP/2.0"
    assert (message["direction"], message["transport"]) == ("out", "udp")
    _, deliveries = await door.get("/v1/deliveries", params={"call_sid": sid})
    delivery = deliveries["deliveries"][0]
    assert (delivery["event"], delivery["state"]) == ("completed", "pending")
    assert "hidden" not in str(delivery)


async def test_the_messages_as_text_and_as_a_capture_file(door: Door) -> None:
    sid = (await create(door))["sid"]
    async with door.http.get(f"{door.base}/v1/calls/{sid}/sip.txt", headers=AUTH) as response:
        text = await response.text()
        assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "|INVITE sip:19499300360@127.0.0.1 ---" in text
    assert "\n2027-01-15T08:00:00.500Z  to 127.0.0.1:5090 over udp\n" in text
    assert text.endswith("\n  Call-ID: x\n")
    async with door.http.get(f"{door.base}/v1/calls/{sid}/sip.pcap", headers=AUTH) as response:
        capture = await response.read()
        assert response.headers["Content-Type"] == "application/vnd.tcpdump.pcap"
        assert response.headers["Content-Disposition"] == f'attachment; filename="{sid}.pcap"'
    assert capture.startswith(HEAD)
    assert capture.endswith(b"\r\nCall-ID: x\r\n\r\n")


REFUSED = [
    ({"to": "letters"}, 400, codes.BAD_VALUE, "to"),
    ({"to": 19499300360}, 400, codes.BAD_VALUE, "to"),
    ({"to": "911"}, 422, codes.IMPOSSIBLE_NUMBER, "to"),
    ({"to": "19005550100"}, 403, codes.PREMIUM, "to"),
    ({"url": "http://10.0.0.1/"}, 403, codes.REFUSED_ADDRESS, "url"),
    ({"method": "PUT"}, 400, codes.BAD_VALUE, "method"),
    ({"send_digits": "x"}, 400, codes.BAD_VALUE, "send_digits"),
    ({"status_callback_event": ["rung"]}, 400, codes.BAD_VALUE, "status_callback_event"),
    ({"timeout": 0}, 422, codes.OUT_OF_RANGE, "timeout"),
    ({"timeout": "5"}, 400, codes.BAD_VALUE, "timeout"),
    ({"time_limit": 10**9}, 422, codes.OUT_OF_RANGE, "time_limit"),
    ({"record": 1}, 400, codes.BAD_VALUE, "record"),
    ({"secret_key": "x" * 257}, 422, codes.OUT_OF_RANGE, "secret_key"),
    ({"sendDigits": "1"}, 400, codes.BAD_VALUE, "sendDigits"),
]


@pytest.mark.parametrize(("params", "status", "code", "field"), REFUSED)
async def test_a_bad_value(
    door: Door, params: dict[str, Any], status: int, code: int, field: str
) -> None:
    got, problem = await door.post("/v1/calls", json=GOOD | params, headers=AUTH)
    assert (got, problem["status"], problem["code"]) == (status, status, code)
    assert problem["field"] == field
    assert field in problem["detail"]
    assert problem["type"] == f"urn:outdial:error:{code}"
    assert door.record.placed == []


async def test_missing_fields(door: Door) -> None:
    got, problem = await door.post("/v1/calls", json={"to": "19499300360"}, headers=AUTH)
    assert (got, problem["code"], problem["field"]) == (400, codes.MISSING_FIELD, "from")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/v1/calls/CA12", 404),
        ("GET", f"/v1/calls/CA{'0' * 32}", 404),
        ("GET", f"/v1/calls/CA{'0' * 32}/events", 404),
        ("GET", f"/v1/calls/CA{'0' * 32}/ladder", 404),
        ("GET", f"/v1/calls/CA{'0' * 32}/sip.txt", 404),
        ("GET", f"/v1/calls/CA{'0' * 32}/sip.pcap", 404),
        ("GET", f"/v1/deliveries?call_sid=CA{'0' * 32}", 404),
        ("GET", "/v1/deliveries?state=lost", 400),
        ("GET", "/v1/deliveries?cursor=x", 404),
        ("GET", f"/v1/deliveries/DE{'0' * 32}", 404),
        ("POST", f"/v1/deliveries/DE{'0' * 32}/replay", 404),
        ("GET", "/v1/events?after=x", 404),
        ("GET", "/v1/events?wait=31", 422),
        ("PUT", "/v1/calls", 405),
        ("DELETE", "/healthz", 405),
        ("GET", "/v1/calls?limit=0", 422),
        ("GET", "/v1/calls?limit=101", 422),
        ("GET", "/v1/calls?limit=x", 400),
        ("GET", "/v1/calls?state=odd", 400),
        ("GET", "/v1/calls?cursor=odd", 404),
        ("GET", "/v1/calls?created_after=yesterday", 400),
        ("GET", "/v1/calls?created_after=2027-01-15T08:00:01", 400),
        ("GET", "/v1/calls?created_after=0.5", 400),
    ],
)
async def test_every_error_is_a_problem(door: Door, method: str, path: str, status: int) -> None:
    async with door.http.request(method, door.base + path, headers=AUTH) as response:
        problem = await response.json(content_type=PROBLEM)
        assert (response.status, problem["status"]) == (status, status)
        assert problem["code"] // 100 == status
        assert problem["detail"]
        allowed = {"/v1/calls": "GET, POST", "/healthz": "GET"}.get(path)
        assert response.headers.get("Allow") == (allowed if status == 405 else None)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/calls"),
        ("GET", "/v1/calls"),
        ("GET", "/v1/calls/CA1"),
        ("POST", "/v1/calls/CA1"),
        ("GET", "/v1/calls/CA1/events"),
        ("GET", "/v1/calls/CA1/ladder"),
        ("GET", "/v1/calls/CA1/sip.txt"),
        ("GET", "/v1/calls/CA1/sip.pcap"),
        ("GET", "/v1/recordings/RE1.wav"),
        ("GET", "/v1/deliveries?call_sid=CA1"),
    ],
)
@pytest.mark.parametrize("key", ["", "wrong"])
async def test_a_key_is_needed_everywhere(door: Door, method: str, path: str, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with door.http.request(method, door.base + path, headers=headers) as response:
        problem = await response.json(content_type=PROBLEM)
        assert (response.status, problem["code"]) == (401, codes.BAD_KEY)
        assert response.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"[" * 60_000, "application/json", 400),
        (b"to=1", "application/x-www-form-urlencoded", 415),
        (b"x" * 70_000, "application/json", 413),
    ],
)
async def test_bad_bodies(door: Door, body: bytes, kind: str, status: int) -> None:
    for path in ("/v1/calls", f"/v1/calls/CA{'0' * 32}"):
        got, problem = await door.post(path, data=body, headers=AUTH | {"Content-Type": kind})
        assert (got, problem["status"]) == (status, status)


@pytest.mark.parametrize(
    ("refusal", "status", "retry"),
    [
        (Refused(429, codes.QUEUE_FULL, "too many wait", retry_after_s=7), 429, "7"),
        (StoreUnavailable("disk full"), 503, "2"),
    ],
)
async def test_what_the_calls_refuse(
    door: Door, refusal: Exception, status: int, retry: str
) -> None:
    door.record.refusal = refusal
    async with door.http.post(door.base + "/v1/calls", json=GOOD, headers=AUTH) as response:
        assert response.status == status
        assert response.headers["Retry-After"] == retry
        assert (await response.json(content_type=PROBLEM))["status"] == status


async def test_health_readiness_and_metrics(door: Door) -> None:
    assert await door.get("/healthz") == (200, {"status": "ok"})
    assert (await door.get("/readyz"))[0] == 200
    await door.v2()
    await door.v2(to="")
    async with door.http.get(door.base + "/metrics") as response:
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        text = await response.text()
    assert 'outdial_api_requests_total{door="v2",status="200"} 1.0' in text
    assert 'outdial_api_requests_total{door="v2",status="400"} 1.0' in text
    assert "outdial_calls_live 1.0" in text
    door.record.ready = False
    assert (await door.get("/readyz"))[0] == 503
