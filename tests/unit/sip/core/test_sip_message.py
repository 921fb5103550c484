"""Requests and responses: views, building, writing."""

from __future__ import annotations

import pytest

from outdial.errors import LocalProtocolError, RemoteProtocolError
from outdial.sip.core.address import Address
from outdial.sip.core.fields import CSeq, RAck, SessionExpires
from outdial.sip.core.headers import Headers
from outdial.sip.core.message import Request, Response, reason_phrase
from outdial.sip.core.parser import parse_message
from outdial.sip.core.uri import Uri
from outdial.sip.core.via import Via


def invite() -> Request:
    request = Request("INVITE", Uri.parse("sip:b@example.org"), body=b"v=0\r\n")
    for name, value in (
        ("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1"),
        ("Via", "SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK2"),
        ("Max-Forwards", "70"),
        ("From", '"Ann" <sip:a@example.com>;tag=1'),
        ("To", "<sip:b@example.org>"),
        ("Call-ID", "abc@192.0.2.1"),
        ("CSeq", "7 INVITE"),
        ("Contact", "<sip:a@192.0.2.1>"),
        ("Record-Route", "<sip:p2.example.com;lr>, <sip:p1.example.com;lr>"),
        ("Record-Route", "<sip:p0.example.com>"),
        ("Supported", "100rel, timer"),
        ("Require", "x-odd"),
        ("Allow", "INVITE, ACK"),
        ("Session-Expires", "1800;refresher=uac"),
        ("Min-SE", "90"),
        ("RSeq", "3"),
        ("RAck", "3 7 INVITE"),
        ("Reason", "Q.850;cause=17"),
        ("Retry-After", "5"),
        ("Timestamp", "54"),
        ("Content-Type", "application/sdp"),
    ):
        request.headers.add(name, value)
    return request


def test_views() -> None:
    message = parse_message(invite().encode())
    assert isinstance(message, Request)
    assert message.method == "INVITE"
    assert str(message.uri) == "sip:b@example.org"
    assert [via.branch for via in message.vias] == ["z9hG4bK1", "z9hG4bK2"]
    assert message.top_via.host == "192.0.2.1"
    assert (message.from_.display_name, message.from_.tag) == ("Ann", "1")
    assert message.to.tag is None
    assert message.call_id == "abc@192.0.2.1"
    assert message.cseq == CSeq(7, "INVITE")
    assert message.max_forwards == 70
    assert str(message.contacts[0].uri) == "sip:a@192.0.2.1"
    assert [r.uri.host for r in message.record_routes] == [
        "p2.example.com",
        "p1.example.com",
        "p0.example.com",
    ]
    assert [r.uri.is_loose_route for r in message.record_routes] == [True, True, False]
    assert message.routes == []
    assert message.supported == {"100rel", "timer"}
    assert message.required == {"x-odd"}
    assert message.allowed == frozenset({"INVITE", "ACK"})
    assert message.session_expires == SessionExpires(1800, "uac")
    assert (message.min_se, message.rseq, message.rack) == (90, 3, RAck(3, 7, "INVITE"))
    assert (message.q850_cause, message.retry_after_s) == (17, 5)
    assert message.content_type is not None
    assert message.content_type.essence == "application/sdp"
    assert message.headers.get("Content-Length") == "5"
    assert message.body == b"v=0\r\n"


def test_views_of_what_is_not_there() -> None:
    message = Response(200, "OK")
    assert message.contacts == message.routes == message.record_routes == []
    assert message.supported == message.required == frozenset()
    for absent in (
        message.content_type,
        message.allowed,
        message.session_expires,
        message.min_se,
        message.rseq,
        message.rack,
        message.q850_cause,
        message.retry_after_s,
        Request("BYE", Uri.parse("sip:b")).max_forwards,
    ):
        assert absent is None
    for view in ("vias", "top_via", "from_", "to", "call_id", "cseq"):
        with pytest.raises(RemoteProtocolError):
            getattr(message, view)


def test_views_follow_the_headers() -> None:
    message = invite()
    message.headers.set("To", str(message.to.with_tag("x")))
    assert message.to.tag == "x"
    message.headers.set("t", "<sip:other@example.org>")
    assert message.to == Address(Uri.parse("sip:other@example.org"))
    message.headers.insert_first("Via", "SIP/2.0/TCP 192.0.2.3")
    assert message.top_via == Via("TCP", "192.0.2.3")
    message.headers.set_all("Contact", ["<sip:a@example.org>"])
    assert [str(address) for address in message.contacts] == ["<sip:a@example.org>"]
    message.headers.add("Contact", "<sip:b@example.org>")
    assert len(message.contacts) == 2
    assert message.cseq.number == 7
    message.headers.copy_from(Headers([("CSeq", "8 INVITE")]), "CSeq")
    assert message.cseq.number == 8
    message.headers.remove("CSeq")
    with pytest.raises(RemoteProtocolError):
        _ = message.cseq


def test_wildcard_contact() -> None:
    message = Request("REGISTER", Uri.parse("sip:b"), Headers([("m", "*")]))
    assert message.is_wildcard_contact
    assert message.contacts == []


def test_a_wildcard_beside_an_address_is_refused() -> None:
    headers = Headers([("m", "*"), ("m", "<sip:a@b>")])
    message = Request("REGISTER", Uri.parse("sip:b"), headers)
    with pytest.raises(RemoteProtocolError):
        _ = message.contacts


def test_a_response_repeats_what_the_standard_wants() -> None:
    request = invite()
    ringing = Response.to_request(request, 180, to_tag="me", headers=[("Contact", "<sip:me@b>")])
    assert (ringing.status, ringing.reason) == (180, "Ringing")
    for name in ("Via", "From", "Call-ID", "CSeq", "Record-Route"):
        assert ringing.headers.get_all(name) == request.headers.get_all(name)
    assert ringing.headers.get("To") == "<sip:b@example.org>;tag=me"
    assert [str(c.uri) for c in ringing.contacts] == ["sip:me@b"]
    assert "Timestamp" not in ringing.headers
    assert parse_message(ringing.encode()).encode() == ringing.encode()


def test_a_trying_has_the_timestamp_and_a_failure_no_route() -> None:
    trying = Response.to_request(invite(), 100)
    assert trying.headers.get("Timestamp") == "54"
    assert trying.to.tag is None
    assert "Record-Route" not in trying.headers
    busy = Response.to_request(invite(), 486, "Not now", to_tag="me")
    assert busy.start_line == "SIP/2.0 486 Not now"
    assert "Record-Route" not in busy.headers


def test_a_tag_that_is_there_stays() -> None:
    request = invite()
    request.headers.set("To", "sip:b@example.org;tag=old")
    assert Response.to_request(request, 200, to_tag="new").to.tag == "old"


def test_content_length_is_that_of_the_body() -> None:
    request = invite()
    request.headers.set("Content-Length", "999")
    wire = request.encode()
    assert wire.count(b"Content-Length") == 1
    assert wire.endswith(b"Content-Length: 5\r\n\r\nv=0\r\n")


def test_text_is_written_as_utf_8() -> None:
    request = invite()
    request.headers.set("From", '"Zoë 日本" <sip:a@example.com>;tag=1')
    assert "Zoë 日本".encode() in request.encode()
    assert parse_message(request.encode()).from_.display_name == "Zoë 日本"


@pytest.mark.parametrize(
    "message",
    [
        Request("INVITE\r\nX: y", Uri.parse("sip:b")),
        Request("", Uri.parse("sip:b")),
        Request("BYE", Uri("sip", "a\r\nX: y", host="b")),
        Request("BYE", Uri("sip", host="b", params={"x": "\n"})),
        Response(200, "OK\r\nX: y"),
        Response(200, "a\0"),
    ],
)
def test_the_start_line_cannot_be_broken(message: Request | Response) -> None:
    with pytest.raises(LocalProtocolError):
        message.encode()


@pytest.mark.parametrize(
    ("status", "phrase"),
    [(200, "OK"), (486, "Busy Here"), (199, "Early Dialog Terminated"), (499, "Client Error"),
     (699, "Failure"), (155, "Progress")],
)  # fmt: skip
def test_reason_phrases(status: int, phrase: str) -> None:
    assert reason_phrase(status) == phrase
