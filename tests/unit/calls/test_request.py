"""The request as stored, and its checks where HTTP adds nothing; tests/contract has the rest."""

from __future__ import annotations

import json

import pytest

from outdial.calls import codes
from outdial.calls.checks import FIELDS, Rules, check
from outdial.calls.request import CallRequest
from outdial.config import Limits
from outdial.errors import FetchError, Refused

SPELLING = {name: name.upper() for name in FIELDS}
GOOD = {"to": ["9499300360"], "from": ["18005797676"]}


def refuse_url(url: str) -> None:
    if "private" in url:
        raise FetchError("refused-address", "10.0.0.1 is private")
    if not url.startswith("http"):
        raise FetchError("bad-url", "the scheme is not http or https")


RULES = Rules(Limits(destinations=["1"]), refuse_url)


def test_a_request_survives_the_store() -> None:
    request = check(
        GOOD | {"url": ["http://a/"], "status_callback_event": ["ringing"], "record": ["on"]},
        SPELLING,
        RULES,
    )
    assert CallRequest.from_json(json.loads(json.dumps(request.to_json()))) == request


def test_the_defaults_are_those_of_the_source_document() -> None:
    request = check(GOOD, SPELLING, RULES)
    assert request == CallRequest(to="19499300360", from_="18005797676")
    assert (request.method, request.status_callback_method) == ("POST", "POST")
    assert request.status_callback_events == ("completed",)


def test_events_come_in_the_order_they_happen() -> None:
    given = GOOD | {"status_callback_event": ["completed,ANSWERED", " initiated\tringing "]}
    request = check(given, SPELLING, RULES)
    assert request.status_callback_events == ("initiated", "ringing", "answered", "completed")


def test_the_same_value_twice_is_one() -> None:
    assert check(GOOD | {"to": ["9499300360", "9499300360"]}, SPELLING, RULES).to == "19499300360"
    with pytest.raises(Refused) as caught:
        check(GOOD | {"to": ["9499300360", "9499300361"]}, SPELLING, RULES)
    assert caught.value.code == codes.REPEATED_FIELD


@pytest.mark.parametrize("name", ["url", "status_callback", "fallback_url"])
def test_every_url_is_checked(name: str) -> None:
    for url, code in (("http://private/", codes.REFUSED_ADDRESS), ("ftp://x", codes.BAD_VALUE)):
        with pytest.raises(Refused) as caught:
            check(GOOD | {name: [url]}, SPELLING, RULES)
        assert (caught.value.code, caught.value.field) == (code, name.upper())
        assert caught.value.message.startswith(name.upper())


def test_the_caller_id_must_be_allowed_only_where_it_is_dialled() -> None:
    abroad = GOOD | {"from": ["33142685300"]}
    with pytest.raises(Refused) as caught:
        check(abroad, SPELLING, RULES)
    assert (caught.value.code, caught.value.field) == (codes.DESTINATION, "FROM")
    assert check(abroad | {"url": ["http://a/"]}, SPELLING, RULES).from_ == "33142685300"


def test_simulation_needs_no_destinations() -> None:
    rules = Rules(Limits(), refuse_url, sim=True)
    assert check(GOOD, SPELLING, rules).to == "19499300360"


def test_a_caller_id_may_be_withheld_unless_it_is_dialled() -> None:
    for written in ("anonymous", "Anonymous", " ANONYMOUS "):
        request = check(GOOD | {"from": [written], "url": ["http://a/"]}, SPELLING, RULES)
        assert request.from_ == "anonymous"
    with pytest.raises(Refused) as caught:
        check(GOOD | {"from": ["anonymous"]}, SPELLING, RULES)
    assert (caught.value.code, caught.value.field) == (codes.BAD_VALUE, "FROM")
    assert "without URL" in caught.value.message


def test_sip_headers_survive_the_store() -> None:
    headers = ["X-Account: 42", "X-Note: a b: c"]
    request = check(GOOD | {"sip_headers": headers}, SPELLING, RULES)
    assert request.sip_headers == (("X-Account", "42"), ("X-Note", "a b: c"))
    assert CallRequest.from_json(json.loads(json.dumps(request.to_json()))) == request
    assert "sip_headers" not in check(GOOD, SPELLING, RULES).to_json()


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (["Route: <sip:evil.test>"], codes.BAD_VALUE),
        (["From: <sip:x@y>"], codes.BAD_VALUE),
        (["X-: y"], codes.BAD_VALUE),
        (["X-A\u0130: y"], codes.BAD_VALUE),
        (["X-A:: y"], codes.BAD_VALUE),
        (["X-A y: z"], codes.BAD_VALUE),
        (["X-A: "], codes.BAD_VALUE),
        (["X-A:  y"], codes.BAD_VALUE),
        (["X-A: y "], codes.BAD_VALUE),
        (["X-A: y\r\nRoute: <sip:evil.test>"], codes.BAD_VALUE),
        (["X-A: y\n"], codes.BAD_VALUE),
        (["X-A: \x00"], codes.BAD_VALUE),
        (["X-A: caf\u00e9"], codes.BAD_VALUE),
        (["X-" + "a" * 63 + ": y"], codes.BAD_VALUE),
        (["X-A: " + "y" * 257], codes.BAD_VALUE),
        (["X-A: 1", "X-a: 2"], codes.REPEATED_FIELD),
        ([f"X-A{n}: 1" for n in range(17)], codes.OUT_OF_RANGE),
    ],
)
def test_sip_headers_that_are_refused(lines: list[str], code: int) -> None:
    with pytest.raises(Refused) as caught:
        check(GOOD | {"sip_headers": lines}, SPELLING, RULES)
    assert (caught.value.code, caught.value.field) == (code, "SIP_HEADERS")


def test_the_longest_sip_headers() -> None:
    lines = ["X-" + "a" * 61 + f"{n:x}: " + "y" * 256 for n in range(16)]
    assert len(check(GOOD | {"sip_headers": lines}, SPELLING, RULES).sip_headers) == 16
