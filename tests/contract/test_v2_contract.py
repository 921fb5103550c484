"""CallTermination V2 over real HTTP: what the source document promises, and every bad input."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from contract.conftest import KEY, V2, Door
from outdial import ids
from outdial.calls import codes
from outdial.errors import Refused, StoreUnavailable

GOOD = {"apikey": KEY, "from": "18005797676", "to": "19499300360"}


# ---------------------------------------------------------------------- what is taken


@pytest.mark.parametrize(
    "path",
    [
        "/didforsaleapi/index.php/api/V2/CallTermination/",
        "/didforsaleapi/index.php/api/V2/CallTermination",
        "/didforsaleapi/index.php/api/v2/CallTermination/",
        "/didforsaleapi/index.php/api/v2/CallTermination",
    ],
)
async def test_every_spelling_of_the_path(door: Door, path: str) -> None:
    status, answer = await door.post(path, data=GOOD)
    assert status == 200
    assert answer["status"] is True
    assert answer["message"]
    assert ids.is_sid(answer["callSid"], ids.CALL)
    assert list(door.record.kept) == [answer["callSid"]]


def multipart(params: dict[str, str]) -> aiohttp.MultipartWriter:
    writer = aiohttp.MultipartWriter("form-data")
    for name, value in params.items():
        part = writer.append(value)
        part.set_content_disposition("form-data", name=name)
    return writer


ALL = {
    "APIKEY": KEY,
    "From": "(800) 579-7676",
    "TO": "+1 949.930.0360",
    "URL": "http://127.0.0.1:9000/app.xml",
    "method": "get",
    "senddigits": "WWWW101",
    "statuscallback": "http://127.0.0.1:9000/events",
    "statusCallbackEvents": "Initiated, ringing answered",
    "StatusCallbackMethod": "Get",
    "secretkey": "s3cret",
    "Optional": "token=123456",
    "Timeout": "20",
    "timelimit": "600",
    "RECORD": "yes",
    "fallbackurl": "http://127.0.0.1:9000/sorry.xml",
    "trunk": "carrier-a",
    "callername": "Zoë",
    "unheardOf": "ignored",
}


@pytest.mark.parametrize("body", ["form", "multipart", "json"])
async def test_all_parameters_in_any_case_in_three_kinds_of_body(door: Door, body: str) -> None:
    how: dict[str, Any] = (
        {"data": ALL}
        if body == "form"
        else {"json": ALL}
        if body == "json"
        else {"data": multipart(ALL)}
    )
    status, answer = await door.post(**how)
    assert status == 200, answer
    request, key_name = door.record.placed[0]
    assert key_name == "dev"
    assert request.to == "19499300360"
    assert request.from_ == "18005797676"
    assert request.url == "http://127.0.0.1:9000/app.xml"
    assert request.method == "GET"
    assert request.send_digits == "WWWW101"
    assert request.status_callback == "http://127.0.0.1:9000/events"
    assert request.status_callback_events == ("initiated", "ringing", "answered")
    assert request.status_callback_method == "GET"
    assert request.secret_key == "s3cret"
    assert request.optional == "token=123456"
    assert request.timeout_s == 20
    assert request.time_limit_s == 600
    assert request.record is True
    assert request.fallback_url == "http://127.0.0.1:9000/sorry.xml"
    assert request.trunk == "carrier-a"
    assert request.caller_name == "Zoë"


async def test_defaults_and_empty_values(door: Door) -> None:
    status, _ = await door.v2(url="", Method="", sendDigits="", statusCallbackEvent="", timeout="")
    assert status == 200
    request, _ = door.record.placed[0]
    assert (request.url, request.method, request.send_digits) == ("", "POST", "")
    assert request.status_callback_events == ("completed",)
    assert (request.timeout_s, request.time_limit_s, request.record) == (60, 14_400, False)


async def test_json_values_of_other_types(door: Door) -> None:
    status, answer = await door.post(
        json={
            "apikey": KEY,
            "to": 19499300360,
            "from": 18005797676,
            "timeout": 20.0,
            "timeLimit": 90,
            "record": True,
            "url": None,
            "statusCallbackEvent": ["ringing", "completed"],
        }
    )
    assert status == 200, answer
    request, _ = door.record.placed[0]
    assert (request.to, request.timeout_s, request.record) == ("19499300360", 20, True)
    assert request.status_callback_events == ("ringing", "completed")


@pytest.mark.parametrize(
    "events",
    [
        "statusCallbackEvent=ringing&statusCallbackEvent=answered",
        "statusCallbackEvent[]=ringing&statusCallbackEvent[]=answered",
        "statusCallbackEvent=ringing&statusCallbackEvents=answered",
        "statusCallbackEvent=answered%20ringing",
        "statusCallbackEvent=ringing,answered,ringing",
    ],
)
async def test_events_repeated_or_in_one(door: Door, events: str) -> None:
    body = f"apikey={KEY}&from=18005797676&to=19499300360&{events}"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    status, _ = await door.post(data=body.encode(), headers=headers)
    assert status == 200
    assert door.record.placed[0][0].status_callback_events == ("ringing", "answered")


@pytest.mark.parametrize(
    "headers",
    [
        {"apikey": KEY},
        {"X-API-Key": KEY},
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": f"bearer  {KEY}"},
    ],
)
async def test_the_key_in_a_header(door: Door, headers: dict[str, str]) -> None:
    status, _ = await door.post(data={"from": "18005797676", "to": "19499300360"}, headers=headers)
    assert status == 200


@pytest.mark.parametrize("body", [b"apikey=%s&from=18005797676&to=19499300360", None])
async def test_a_body_without_content_type_is_looked_at(door: Door, body: bytes | None) -> None:
    raw = body % KEY.encode() if body else json.dumps(GOOD).encode()
    head = f"POST {V2} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(raw)}\r\n\r\n"
    assert await raw_status(door, head.encode() + raw) == 200


async def raw_status(door: Door, request: bytes) -> int:
    """Sends bytes as they are and gives the status of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(request)
    line = await asyncio.wait_for(reader.readline(), 10)
    writer.close()
    await writer.wait_closed()
    return int(line.split()[1])


async def test_a_hundred_posts_at_once(door: Door) -> None:
    answers = await asyncio.gather(*(door.v2(to=f"1949930{number:04}") for number in range(100)))
    assert {status for status, _ in answers} == {200}
    assert len({answer["callSid"] for _, answer in answers}) == 100
    assert {request.to for request, _ in door.record.placed} == {
        f"1949930{number:04}" for number in range(100)
    }


# ---------------------------------------------------------------------- what is refused

REFUSED = [
    # params, status, code, field, a word of the message that says what would be right
    ({"to": ""}, 400, codes.MISSING_FIELD, "to", "19499300360"),
    ({"from": "  "}, 400, codes.MISSING_FIELD, "from", "caller ID"),
    ({"to": "1800FLOWERS"}, 400, codes.BAD_VALUE, "to", "digits"),
    ({"to": "٠١٢٣٤٥٦٧٨٩٠"}, 400, codes.BAD_VALUE, "to", "digits"),
    ({"to": "++19499300360"}, 400, codes.BAD_VALUE, "to", "digits"),
    ({"to": "911"}, 422, codes.IMPOSSIBLE_NUMBER, "to", "short"),
    ({"to": "1" * 16}, 422, codes.IMPOSSIBLE_NUMBER, "to", "long"),
    ({"to": "1" * 1000}, 422, codes.IMPOSSIBLE_NUMBER, "to", "longer"),
    ({"to": "194993003601"}, 422, codes.IMPOSSIBLE_NUMBER, "to", "possible"),
    ({"from": "99912345678"}, 422, codes.IMPOSSIBLE_NUMBER, "from", "possible"),
    ({"to": "33142685300"}, 403, codes.DESTINATION, "to", "limits.destinations"),
    ({"from": "33142685300"}, 403, codes.DESTINATION, "from", "limits.destinations"),
    ({"to": "19005550100"}, 403, codes.PREMIUM, "to", "limits.premium_rate"),
    ({"to": "449061234567"}, 403, codes.PREMIUM, "to", "limits.premium_rate"),
    ({"to": "881631234567"}, 403, codes.PREMIUM, "to", "satellite"),
    ({"url": "ftp://example.com/a.xml"}, 400, codes.BAD_VALUE, "url", "http"),
    ({"url": "file:///etc/passwd"}, 400, codes.BAD_VALUE, "url", "http"),
    ({"url": "http://u:p@example.com/"}, 400, codes.BAD_VALUE, "url", "https://example.com"),
    ({"url": "not a url"}, 400, codes.BAD_VALUE, "url", "http"),
    ({"url": "http://10.0.0.1/a.xml"}, 403, codes.REFUSED_ADDRESS, "url", "allow_private"),
    ({"url": "http://169.254.169.254/"}, 403, codes.REFUSED_ADDRESS, "url", "allow_private"),
    ({"url": "http://[::ffff:10.0.0.1]/"}, 403, codes.REFUSED_ADDRESS, "url", "allow_private"),
    ({"url": "http://a.b/" + "x" * 2048}, 422, codes.OUT_OF_RANGE, "url", "2048"),
    ({"fallbackUrl": "http://10.0.0.1/"}, 403, codes.REFUSED_ADDRESS, "fallbackUrl", "private"),
    ({"statusCallback": "gopher://a/"}, 400, codes.BAD_VALUE, "statusCallback", "http"),
    ({"statusCallbackEvent": "answred"}, 400, codes.BAD_VALUE, "statusCallbackEvent", "initiated"),
    ({"statusCallbackMethod": "PUT"}, 400, codes.BAD_VALUE, "statusCallbackMethod", "GET or POST"),
    ({"Method": "DELETE"}, 400, codes.BAD_VALUE, "Method", "GET or POST"),
    ({"sendDigits": "12x"}, 400, codes.BAD_VALUE, "sendDigits", "0-9 * # A-D"),
    ({"sendDigits": "1 2"}, 400, codes.BAD_VALUE, "sendDigits", "0-9 * # A-D"),
    ({"sendDigits": "1" * 129}, 422, codes.OUT_OF_RANGE, "sendDigits", "128"),
    ({"secretKey": "x" * 257}, 422, codes.OUT_OF_RANGE, "secretKey", "256"),
    ({"secretKey": "a\r\nb"}, 400, codes.BAD_VALUE, "secretKey", "control"),
    ({"optional": "x" * 1025}, 422, codes.OUT_OF_RANGE, "optional", "1024"),
    ({"callerName": "a\x00b"}, 400, codes.BAD_VALUE, "callerName", "control"),
    ({"callerName": "x" * 65}, 422, codes.OUT_OF_RANGE, "callerName", "64"),
    ({"timeout": "soon"}, 400, codes.BAD_VALUE, "timeout", "1 to 600"),
    ({"timeout": "-5"}, 400, codes.BAD_VALUE, "timeout", "1 to 600"),
    ({"timeout": "0"}, 422, codes.OUT_OF_RANGE, "timeout", "1 to 600"),
    ({"timeLimit": "86401"}, 422, codes.OUT_OF_RANGE, "timeLimit", "86400"),
    ({"record": "maybe"}, 400, codes.BAD_VALUE, "record", "true or false"),
]


@pytest.mark.parametrize(("params", "status", "code", "field", "word"), REFUSED)
async def test_a_bad_value_names_the_field_and_what_is_right(
    door: Door, params: dict[str, str], status: int, code: int, field: str, word: str
) -> None:
    got, answer = await door.v2(**params)
    assert (got, answer["status"], answer["code"], answer["field"]) == (status, False, code, field)
    assert field in answer["message"]
    assert word in answer["message"]
    assert door.record.placed == []


async def test_from_is_no_destination_when_a_url_takes_the_call(door: Door) -> None:
    status, _ = await door.v2(**{"from": "33142685300", "url": "http://127.0.0.1:9000/a.xml"})
    assert status == 200


async def test_a_repeated_field_with_two_values(door: Door) -> None:
    body = f"apikey={KEY}&from=18005797676&to=19499300360&TO=19499300361".encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    status, answer = await door.post(data=body, headers=headers)
    assert (status, answer["code"], answer["field"]) == (400, codes.REPEATED_FIELD, "to")


@pytest.mark.parametrize("how", ["wrong", "nearly", "missing", "header", "bad body too"])
async def test_a_wrong_key(door: Door, how: str) -> None:
    form = {"from": "18005797676", "to": "19499300360"}
    headers = {}
    if how == "header":
        headers["apikey"] = KEY + "x"
    elif how != "missing":
        form["apikey"] = {"wrong": "x", "nearly": KEY[:-1], "bad body too": "x"}[how]
    if how == "bad body too":
        form["to"] = "nonsense"
    async with door.http.post(door.base + V2, data=form, headers=headers) as response:
        answer = await response.json()
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert (answer["status"], answer["code"]) == (False, codes.BAD_KEY)
    said = "missing" if how == "missing" else "not valid"
    assert said in answer["message"]
    assert KEY[:4] not in answer["message"]
    assert door.record.placed == []


async def test_a_wrong_key_in_a_header_is_judged_before_the_body(door: Door) -> None:
    head = f"POST {V2} HTTP/1.1\r\nHost: x\r\napikey: no\r\nContent-Length: 60000\r\n\r\n"
    assert await raw_status(door, head.encode()) == 401


MALFORMED = [
    (b"{", "application/json", "JSON"),
    (b"", "application/json", "JSON"),
    (b"[1,2]", "application/json", "object"),
    (b'"x"', "application/json", "object"),
    (b"[" * 60_000, "application/json", "deeply"),
    (b'{"a":' * 10_000, "application/json", "JSON"),
    (b'{"to": NaN}', "application/json", "JSON"),
    (b'{"to": ' + b"9" * 5000 + b"}", "application/json", "JSON"),
    (b"\xff\xfe", "application/json", "UTF-8"),
    (b"to=%ff", "application/x-www-form-urlencoded", "utf-8"),
    (b"to=\xff", "application/x-www-form-urlencoded", "utf-8"),
    (b'{"to":1}', "application/x-www-form-urlencoded", "application/json"),
    (b"&".join(b"a=1" for _ in range(101)), "application/x-www-form-urlencoded", "100"),
    (b"x", "multipart/form-data", "boundary"),
    (b"x", "multipart/form-data; boundary=b", "multipart"),
    (b"--b\r\n\r\nx", "multipart/form-data; boundary=b", "closing boundary"),
]


@pytest.mark.parametrize(("body", "kind", "word"), MALFORMED)
async def test_a_malformed_body(door: Door, body: bytes, kind: str, word: str) -> None:
    headers = {"Content-Type": kind, "apikey": KEY}
    status, answer = await door.post(data=body, headers=headers)
    assert (status, answer["status"], answer["code"]) == (400, False, codes.MALFORMED_BODY)
    assert word in answer["message"]


async def test_a_json_value_no_parameter_can_have(door: Door) -> None:
    status, answer = await door.post(json=GOOD | {"to": {"number": 1}})
    assert (status, answer["code"], answer["field"]) == (400, codes.BAD_VALUE, "to")
    status, answer = await door.post(json=GOOD | {"timeout": 1.5})
    assert (status, answer["code"], answer["field"]) == (400, codes.BAD_VALUE, "timeout")


@pytest.mark.parametrize("name", ["optional", "url", "callerName"])
async def test_a_lone_surrogate_never_reaches_the_store(door: Door, name: str) -> None:
    body = json.dumps(GOOD | {name: "http://a.b/\ud800"}).encode()
    status, answer = await door.post(data=body, headers={"Content-Type": "application/json"})
    assert (status, answer["field"]) == (400, name)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/xml"},
        {"Content-Type": "application/x-www-form-urlencoded; charset=utf-16"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
async def test_a_body_of_a_kind_that_is_not_taken(door: Door, headers: dict[str, str]) -> None:
    status, answer = await door.post(data=b"apikey=x", headers=headers | {"apikey": KEY})
    assert (status, answer["status"], answer["code"]) == (415, False, codes.BAD_TYPE)


async def test_latin1_forms_are_read_when_they_say_so(door: Door) -> None:
    body = f"apikey={KEY}&from=18005797676&to=19499300360&callerName=Zo%EB".encode()
    kind = "application/x-www-form-urlencoded; charset=ISO-8859-1"
    status, _ = await door.post(data=body, headers={"Content-Type": kind})
    assert status == 200
    assert door.record.placed[0][0].caller_name == "Zoë"


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large(door: Door, chunked: bool) -> None:
    async def chunks() -> Any:
        for _ in range(20):
            yield b"x" * 10_000

    data: Any = chunks() if chunked else b"x" * 200_000
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    status, answer = await door.post(data=data, headers=headers)
    assert (status, answer["status"], answer["code"]) == (413, False, codes.TOO_LARGE)
    assert "65536" in answer["message"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods(door: Door, method: str) -> None:
    async with door.http.request(method, door.base + V2) as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"
        assert (await response.json())["code"] == codes.BAD_METHOD


async def test_other_paths_beside_it(door: Door) -> None:
    status, answer = await door.post("/didforsaleapi/index.php/api/V2/ListDID/", data=GOOD)
    assert (status, answer["status"], answer["code"]) == (404, False, codes.UNKNOWN_PATH)


@pytest.mark.parametrize(
    ("refusal", "status", "retry"),
    [
        (Refused(429, codes.QUEUE_FULL, "too many wait", retry_after_s=7), 429, "7"),
        (Refused(503, codes.DRAINING, "stopping", retry_after_s=3), 503, "3"),
        (StoreUnavailable("disk full"), 503, "2"),
        (Refused(422, codes.NO_ROUTE, "no trunk takes it", field="to"), 422, None),
        (RuntimeError("a defect"), 500, None),
    ],
)
async def test_what_the_calls_refuse(
    door: Door, refusal: Exception, status: int, retry: str | None
) -> None:
    door.record.refusal = refusal
    async with door.http.post(door.base + V2, data=GOOD) as response:
        answer = await response.json()
        assert response.status == status
        assert response.headers.get("Retry-After") == retry
    assert answer["status"] is False
    assert answer["code"] // 100 == status
    assert "defect" not in answer["message"]


async def test_the_server_does_not_say_what_it_is_made_of(door: Door) -> None:
    async with door.http.post(door.base + V2, data=GOOD) as response:
        assert response.headers.getall("Server") == ["Outdial"]
