"""The smaller typed header values."""

from __future__ import annotations

import pytest

from outdial.errors import RemoteProtocolError
from outdial.sip.core.fields import (
    CSeq,
    MediaType,
    RAck,
    Reason,
    SessionExpires,
    option_tags,
    q850_cause,
    reasons,
    retry_after_s,
    token_list,
)


def test_cseq() -> None:
    assert CSeq.parse("0009 \t INVITE") == CSeq(9, "INVITE")
    assert str(CSeq(2**31 - 1, "BYE")) == "2147483647 BYE"


@pytest.mark.parametrize(
    "text", ["", "1", "INVITE", "1INVITE", "-1 BYE", "1.0 BYE", "2147483648 BYE", "1 BYE x", "1 é"]
)
def test_cseq_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        CSeq.parse(text)


def test_rack() -> None:
    assert RAck.parse("4294967295 1 INVITE") == RAck(2**32 - 1, 1, "INVITE")
    assert str(RAck(1, 2, "INVITE")) == "1 2 INVITE"


@pytest.mark.parametrize(
    "text", ["", "1 INVITE", "1 2 3 INVITE", "4294967296 1 INVITE", "a 1 INVITE"]
)
def test_rack_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        RAck.parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1800", SessionExpires(1800)),
        ("1800;refresher=uas", SessionExpires(1800, "uas")),
        ("90 ; x=y ; Refresher = UAC", SessionExpires(90, "uac")),
        ("90;refresher=me", SessionExpires(90)),
    ],
)
def test_session_expires(text: str, expected: SessionExpires) -> None:
    assert SessionExpires.parse(text) == expected
    assert SessionExpires.parse(str(expected)) == expected


@pytest.mark.parametrize("text", ["", "x", "-1", "1 2", "4294967296", "90;", "90,91"])
def test_session_expires_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        SessionExpires.parse(text)


def test_reasons() -> None:
    lines = ['SIP ;cause=200 ;text="Call completed, elsewhere"', "broken;;", "Q.850;cause=16, x"]
    found = reasons(lines)
    assert found == [
        Reason("SIP", 200, "Call completed, elsewhere"),
        Reason("Q.850", 16),
        Reason("x"),
    ]
    assert q850_cause(lines) == 16
    assert q850_cause(["SIP;cause=487"]) is None
    assert q850_cause(["q.850;cause=x", "q.850;cause=99999999"]) is None


def test_a_reason_is_written_so_that_it_is_read_back() -> None:
    for reason in (Reason("Q.850", 31), Reason("SIP", 603, 'said "no\\"'), Reason("SIP")):
        assert Reason.parse(str(reason)) == reason


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("18000;duration=3600", 18000), ("120 (I'm in a meeting)", 120), ("5", 5), ("0", 0),
        (None, None), ("", None), ("soon", None), ("-5", None), ("99999999999999999999", None),
        ("9999999999", 2**32 - 1),
    ],
)  # fmt: skip
def test_retry_after(text: str | None, seconds: int | None) -> None:
    assert retry_after_s(text) == seconds


def test_option_tags() -> None:
    assert option_tags(["100rel, Timer", "", " replaces ,, "]) == {"100rel", "timer", "replaces"}
    assert token_list(["INVITE,ACK", "BYE"]) == ["INVITE", "ACK", "BYE"]


def test_media_type() -> None:
    kind = MediaType.parse('Multipart / Mixed ; Boundary="a;b"')
    assert kind.essence == "multipart/mixed"
    assert kind.params == {"boundary": '"a;b"'}
    assert MediaType.parse(str(kind)) == kind


@pytest.mark.parametrize("text", ["", "a", "a/", "/b", "a/b/c", "a/b c", "a/b;", "a/b,c/d"])
def test_media_type_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        MediaType.parse(text)
