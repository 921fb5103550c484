"""Session timers (RFC 4028): each rule of the negotiation, from both sides."""

from __future__ import annotations

import pytest

from outdial.sip.core.message import Request, Response
from outdial.sip.core.parser import parse_message
from outdial.sip.core.session_timer import (
    SessionInterval,
    agreed_by_answer,
    answer_to,
    expires_field,
    min_se_s,
    supports_timer,
    too_small,
)

_COMMON = (
    "Via: SIP/2.0/UDP 10.0.0.2:5070;branch=z9hG4bK1\r\nFrom: <sip:a@x>;tag=a\r\n"
    "To: <sip:b@x>;tag=b\r\nCall-ID: c\r\nCSeq: 5 INVITE\r\n"
)


def request(*fields: str) -> Request:
    lines = "".join(f"{line}\r\n" for line in fields)
    message = parse_message(f"INVITE sip:b@x SIP/2.0\r\n{_COMMON}{lines}\r\n".encode())
    assert isinstance(message, Request)
    return message


def response(*fields: str, status: int = 200) -> Response:
    lines = "".join(f"{line}\r\n" for line in fields)
    message = parse_message(f"SIP/2.0 {status} X\r\n{_COMMON}{lines}\r\n".encode())
    assert isinstance(message, Response)
    return message


@pytest.mark.parametrize(
    ("interval", "due_s"),
    [
        (SessionInterval(1800, we_refresh=True), 900),
        (SessionInterval(90, we_refresh=True), 45),
        (SessionInterval(1800, we_refresh=False), 1768),
        (SessionInterval(90, we_refresh=False), 60),
    ],
)
def test_we_refresh_at_half_and_give_up_shortly_before_the_end(
    interval: SessionInterval, due_s: float
) -> None:
    assert interval.due_s == due_s


@pytest.mark.parametrize(
    ("line", "agreed"),
    [
        ("Session-Expires: 1800;refresher=uac", SessionInterval(1800, we_refresh=True)),
        ("Session-Expires: 1800;refresher=uas", SessionInterval(1800, we_refresh=False)),
        ("Session-Expires: 1800", SessionInterval(1800, we_refresh=True)),
        ("x: 600;refresher=UAS;other=1", SessionInterval(600, we_refresh=False)),
        ("Session-Expires: 1", SessionInterval(90, we_refresh=True)),
        ("Session-Expires: 4294967295", SessionInterval(86_400, we_refresh=True)),
    ],
)
def test_what_the_answer_to_our_invite_settles(line: str, agreed: SessionInterval) -> None:
    assert agreed_by_answer(response(line)) == agreed


def test_without_session_expires_no_timer_runs() -> None:
    assert agreed_by_answer(response("Supported: timer")) is None
    assert answer_to(request("Supported: timer")) == (None, "")


def test_a_caller_that_can_refresh_does_so() -> None:
    agreed, lines = answer_to(request("Supported: timer", "Session-Expires: 1800"))
    assert agreed == SessionInterval(1800, we_refresh=False)
    assert lines == "Session-Expires: 1800;refresher=uac\r\nRequire: timer\r\n"


def test_a_caller_may_want_us_to_refresh() -> None:
    agreed, lines = answer_to(request("k: timer", "Session-Expires: 600;refresher=uas"))
    assert agreed == SessionInterval(600, we_refresh=True)
    assert lines == "Session-Expires: 600;refresher=uas\r\n"


def test_for_a_caller_that_cannot_refresh_we_do() -> None:
    """A proxy put Session-Expires in: the caller itself knows no timers."""
    agreed, lines = answer_to(request("Session-Expires: 600;refresher=uac"))
    assert agreed == SessionInterval(600, we_refresh=True)
    assert lines == "Session-Expires: 600;refresher=uas\r\n"


@pytest.mark.parametrize(("seconds", "taken"), [(1, 90), (90, 90), (999_999, 86_400)])
def test_the_interval_of_a_request_is_kept_within_limits(seconds: int, taken: int) -> None:
    agreed, lines = answer_to(request(f"Session-Expires: {seconds}"))
    assert agreed == SessionInterval(taken, we_refresh=True)
    assert lines.startswith(f"Session-Expires: {taken};")


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        (("Supported: timer", "Session-Expires: 89"), True),
        (("Require: timer", "Session-Expires: 1"), True),
        (("Supported: timer", "Session-Expires: 90"), False),
        (("Session-Expires: 89",), False),
        (("Supported: timer",), False),
    ],
)
def test_422_is_for_callers_that_understand_it(fields: tuple[str, ...], refused: bool) -> None:
    assert too_small(request(*fields)) is refused


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [((), 90), (("Min-SE: 30",), 90), (("Min-SE: 300",), 300), (("Min-SE: 4294967295",), 86_400)],
)
def test_the_interval_that_a_422_asks_for(fields: tuple[str, ...], seconds: int) -> None:
    assert min_se_s(response(*fields, status=422)) == seconds


def test_support_is_said_in_either_header_and_in_any_case() -> None:
    assert supports_timer(request("Supported: 100rel, TIMER"))
    assert supports_timer(response("Require: timer"))
    assert not supports_timer(request("Supported: 100rel"))


def test_the_line_that_we_write() -> None:
    assert expires_field(1800) == "Session-Expires: 1800\r\n"
    assert expires_field(90, "uac") == "Session-Expires: 90;refresher=uac\r\n"
