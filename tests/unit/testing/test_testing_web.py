"""The web server of tests, by real HTTP."""

from __future__ import annotations

import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator

import pytest

from outdial.testing.web import Answer, WebServer


@pytest.fixture
def web() -> Iterator[WebServer]:
    before = threading.active_count()
    with WebServer() as web:
        yield web
    assert threading.active_count() == before


def get(url: str, timeout_s: float = 5) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_documents_are_served_and_other_paths_are_404(web: WebServer) -> None:
    assert get(web.serve("/hello.xml", "<Response/>")) == (200, b"<Response/>")
    assert get(web.url("/other"))[0] == 404


def test_requests_are_kept_with_query_and_form(web: WebServer) -> None:
    url = web.collect("/events") + "?token=1&empty="
    body = urllib.parse.urlencode({"CallStatus": "ringing", "token": "2"}).encode()
    urllib.request.urlopen(url, data=body).close()
    request = web.received("/events")[0]
    assert (request.method, request.query) == ("POST", (("token", "1"), ("empty", "")))
    assert request.params == {"token": "2", "empty": "", "CallStatus": "ringing"}
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"


def test_json_bodies_are_read_as_fields(web: WebServer) -> None:
    request = urllib.request.Request(
        web.collect("/events"), b'{"a": 1}', {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request).close()
    assert web.received("/events")[0].params == {"a": "1"}


def test_answers_come_in_turn_and_the_last_stays(web: WebServer) -> None:
    web.script("/events", Answer(status=500), Answer(status=429), Answer())
    assert [get(web.url("/events"))[0] for _ in range(4)] == [500, 429, 200, 200]


def test_waiting_for_requests(web: WebServer) -> None:
    url = web.collect("/events")
    threading.Timer(0.05, get, [url]).start()
    assert len(web.wait_for("/events", 1)) == 1
    with pytest.raises(TimeoutError, match="1 requests at /events"):
        web.wait_for("/events", 2, timeout_s=0.05)


def test_a_reset_a_hang_and_a_cut_are_what_the_client_sees(web: WebServer) -> None:
    web.script("/reset", Answer(failure="reset"))
    with pytest.raises(OSError):
        get(web.url("/reset"))
    web.script("/hang", Answer(failure="hang"))
    with pytest.raises(TimeoutError):
        get(web.url("/hang"), timeout_s=0.1)
    web.script("/cut", Answer(body=b"12345678", failure="cut"))
    with pytest.raises(Exception, match="IncompleteRead"):
        get(web.url("/cut"))
    assert [request.path for request in web.requests] == ["/reset", "/hang", "/cut"]


def test_a_drip_comes_byte_by_byte_until_the_client_has_enough(web: WebServer) -> None:
    web.script("/drip", Answer(failure="drip"))
    with urllib.request.urlopen(web.url("/drip"), timeout=5) as answer:
        assert answer.status == 200
        assert [answer.read(1) for _ in range(3)] == [b"."] * 3


def test_the_raw_query_is_kept_as_it_was_sent(web: WebServer) -> None:
    get(web.collect("/events") + "?a=1%20b&c&d=")
    (request,) = web.requests
    assert request.raw_query == "a=1%20b&c&d="
    assert request.query == (("a", "1 b"), ("c", ""), ("d", ""))


def test_whoever_watches_sees_each_request_before_its_answer() -> None:
    seen: list[str] = []
    with WebServer(on_request=lambda request: seen.append(request.path)) as web:
        get(web.serve("/a", b""))
        assert seen == ["/a"]
