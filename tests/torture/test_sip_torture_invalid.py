"""Messages that have to be refused: the points of RFC 4475 sections 3.1.2 and 3.3, and smuggling.

What each is refused with is what its sender deserves for a request; responses are dropped.
"""

from __future__ import annotations

import pytest

from outdial.errors import RemoteProtocolError
from outdial.sip.core.parser import parse_message, salvage_request

GOOD = {
    "start": "OPTIONS sip:ben@example.org SIP/2.0",
    "Via": "SIP/2.0/UDP host1.example.com;branch=z9hG4bKone",
    "From": "<sip:ann@example.com>;tag=a1",
    "To": "<sip:ben@example.org>",
    "Call-ID": "torture.2@192.0.2.77",
    "CSeq": "12 OPTIONS",
}


def message(changes: dict[str, str | None] | None = None, extra: str = "", body: str = "") -> bytes:
    """A good message with changed or removed (None) lines and extra ones."""
    fields = {**GOOD, **(changes or {})}
    start = fields.pop("start")
    lines = [f"{name}: {value}\r\n" for name, value in fields.items() if value is not None]
    return f"{start}\r\n{''.join(lines)}{extra}\r\n{body}".encode("latin-1")


def hint(data: bytes) -> int:
    with pytest.raises(RemoteProtocolError) as caught:
        parse_message(data)
    return caught.value.status_hint


def test_the_message_that_the_others_are_made_from_is_good() -> None:
    assert parse_message(message()).cseq.number == 12


CASES: dict[str, tuple[bytes, int]] = {
    "3.1.2.1 separators without anything between": (
        message({"Via": "SIP/2.0/UDP 192.0.2.15;;,;,,"}),
        400,
    ),
    "3.1.2.1 in a contact": (message({"Contact": '"Joe" <sip:joe@example.org>;;;;'}), 400),
    "3.1.2.2 body shorter than its length": (message({"Content-Length": "99"}, body="v=0"), 400),
    "3.1.2.3 negative length": (message({"Content-Length": "-999"}), 400),
    "3.1.2.4 CSeq too large": (message({"CSeq": "36893488147419103232 OPTIONS"}), 400),
    "3.1.2.4 CSeq of 2**31": (message({"CSeq": "2147483648 OPTIONS"}), 400),
    "3.1.2.4 Max-Forwards too large": (message({"Max-Forwards": "300"}), 400),
    "3.1.2.5 CSeq too large in a response": (
        message({"start": "SIP/2.0 503 No", "CSeq": "9292394834772304023312 OPTIONS"}),
        400,
    ),
    "3.1.2.6 quote that does not end": (
        message({"To": '"Mr. J. User <sip:j.user@example.com>'}),
        400,
    ),
    "3.1.2.7 brackets round the Request-URI": (
        message({"start": "OPTIONS <sip:user@example.com> SIP/2.0"}),
        400,
    ),
    "3.1.2.8 space in the Request-URI": (
        message({"start": "OPTIONS sip:user@example.com; lr SIP/2.0"}),
        400,
    ),
    "3.1.2.9 spaces between the parts": (
        message({"start": "OPTIONS  sip:user@example.com  SIP/2.0"}),
        400,
    ),
    "3.1.2.10 space at the end of the line": (
        message({"start": "OPTIONS sip:a@example.com SIP/2.0 "}),
        400,
    ),
    "3.1.2.11 headers in the Request-URI": (
        message({"start": "OPTIONS sip:user@example.com?Route=%3Csip:example.com%3E SIP/2.0"}),
        400,
    ),
    "3.1.2.13 question mark in a bare contact": (
        message({"Contact": "sip:user@example.com?Route=%3Csip:sip.example.com%3E"}),
        400,
    ),
    "3.1.2.14 spaces inside the brackets": (
        message({"To": '"Watson, Thomas" < sip:t.watson@example.org >'}),
        400,
    ),
    "3.1.2.15 a comma in a bare name": (
        message({"From": "Bell, Alexander <sip:a.g.bell@example.com>;tag=43"}),
        400,
    ),
    "3.1.2.16 another version": (message({"start": "OPTIONS sip:t@example.org SIP/7.0"}), 505),
    "3.1.2.17 methods differ": (message({"CSeq": "8 INVITE"}), 400),
    "3.1.2.18 methods differ, one unknown": (
        message({"start": "NEWMETHOD sip:user@example.com SIP/2.0", "CSeq": "8 OPTIONS"}),
        400,
    ),
    "3.1.2.19 status too large": (message({"start": "SIP/2.0 4294967301 better not break"}), 400),
    "3.3.1 no Call-ID": (message({"Call-ID": None}), 400),
    "3.3.1 no From": (message({"From": None}), 400),
    "3.3.1 no To": (message({"To": None}), 400),
    "3.3.1 no Via": (message({"Via": None}), 400),
    "3.3.1 no CSeq": (message({"CSeq": None}), 400),
    "3.3.8 two CSeqs": (message(extra="CSeq: 12 OPTIONS\r\n"), 400),
    "3.3.8 two Call-IDs": (message(extra="i: other\r\n"), 400),
    "3.3.8 two Tos": (message(extra="t: <sip:other@example.org>\r\n"), 400),
    "3.3.8 two Froms": (message(extra="FROM: <sip:other@example.org>\r\n"), 400),
    "3.3.8 two Tos in a line": (message({"To": "<sip:a@example.org>, <sip:b@example.org>"}), 400),
    "3.3.8 two Max-Forwards": (message({"Max-Forwards": "7"}, "Max-Forwards: 8\r\n"), 400),
    "3.3.9 two lengths": (message({"Content-Length": "0"}, "l: 3\r\n", "abc"), 400),
    "3.3.9 two lengths in a line": (message({"Content-Length": "3, 3"}, body="abc"), 400),
    "control character in a name": (message(extra="Contact\x01: <sip:x@example.com>\r\n"), 400),
    "control character in a value": (message({"Subject": "a\x01b"}), 400),
    "NUL in a value": (message({"To": "<sip:ben\x00@example.org>"}), 400),
    "DEL in a value": (message({"Subject": "a\x7fb"}), 400),
    "escaped CR and LF in a name": (message({"To": '"a\\\r\nX: b" <sip:b@example.org>'}), 400),
    "bare LF as a line end": (message({"Subject": "a\nX-Admin: yes"}), 400),
    "bare CR as a line end": (message({"Subject": "a\rX-Admin: yes"}), 400),
    "vertical tab before the colon": (message(extra="X-Admin\x0b: yes\r\n"), 400),
    "no-break space before the colon": (message(extra="X-Admin\xa0: yes\r\n"), 400),
    "space inside a name": (message(extra="X Admin: yes\r\n"), 400),
    "no name": (message(extra=": yes\r\n"), 400),
    "no colon": (message(extra="X-Admin\r\n"), 400),
    "fold after the start line": (
        message().replace(b"SIP/2.0\r\n", b"SIP/2.0\r\n X: y\r\n", 1),
        400,
    ),
    "no empty line": (message()[:-2], 400),
    "HTTP": (message({"start": "OPTIONS /index.html HTTP/1.1"}), 400),
    "status line of another version": (message({"start": "SIP/3.0 200 OK"}), 400),
    "status of two digits": (message({"start": "SIP/2.0 20 OK"}), 400),
    "status of class 7": (message({"start": "SIP/2.0 700 OK"}), 400),
    "Arabic digits in a status": (
        message({"start": "SIP/2.0 2@@ OK"}).replace(b"@@", "\u0660\u0660".encode()),
        400,
    ),
    "Arabic digits in a CSeq": (
        message({"CSeq": "@ OPTIONS"}).replace(b"@ OPT", "\u0661 OPT".encode()),
        400,
    ),
    "length with a sign": (message({"Content-Length": "+0"}), 400),
    "a word as length": (message({"Content-Length": "zero"}), 400),
    "no length": (message({"Content-Length": ""}), 400),
    "a tag without value": (message({"From": "<sip:a@example.com>;tag="}), 400),
    "two tags": (message({"From": "<sip:a@example.com>;tag=a;tag=b"}), 400),
    "text after the bracket": (message({"To": "<sip:a@example.com> hello"}), 400),
    "a space in the Call-ID": (message({"Call-ID": "a b"}), 400),
    "an empty Call-ID": (message({"Call-ID": ""}), 400),
    "an empty From": (message({"From": ""}), 400),
    "a From of NULL": (message({"From": "NULL"}), 400),
    "port too large": (message({"start": "OPTIONS sip:a@example.com:65536 SIP/2.0"}), 400),
    "two at signs": (message({"start": "OPTIONS sip:a@b@example.com SIP/2.0"}), 400),
    "broken escape": (message({"start": "OPTIONS sip:%4@example.com SIP/2.0"}), 400),
    "Via of another protocol": (message({"Via": "HTTP/1.1 example.com"}), 400),
    "empty element in a route": (message({"Route": "<sip:a.example.com;lr>,,"}), 400),
    "malformed session interval": (message({"Session-Expires": "soon"}), 400),
    "malformed RAck": (message({"RAck": "1 OPTIONS"}), 400),
    "malformed Content-Type": (message({"Content-Type": "sdp"}), 400),
    "message too large": (message({"Subject": "x" * 66_000}), 513),
    "line too long": (message({"Subject": "x" * 8_300}), 513),
    "folded line too long": (message({"Subject": "\r\n ".join(["x" * 1_000] * 9)}), 513),
    "too many headers": (message(extra="X: y\r\n" * 130), 513),
    "too many parameters": (
        message({"To": "<sip:a@b>" + "".join(f";p{n}" for n in range(65))}),
        400,
    ),
    "too many URI parameters": (
        message({"To": "<sip:a@b" + "".join(f";p{n}" for n in range(65)) + ">"}),
        400,
    ),
    "too many routes": (message({"Route": ",".join(["<sip:a;lr>"] * 129)}), 400),
    "body too large": (message(body="x" * 17_000), 413),
}


@pytest.mark.parametrize("name", CASES)
def test_refused(name: str) -> None:
    data, expected = CASES[name]
    assert hint(data) == expected


def test_a_refused_request_can_be_answered_when_its_own_headers_are_sound() -> None:
    request = salvage_request(CASES["3.1.2.2 body shorter than its length"][0])
    assert request is not None
    assert request.call_id == GOOD["Call-ID"]
    assert request.headers.get("Content-Length") is None
    assert salvage_request(CASES["3.1.2.16 another version"][0]) is not None
    assert salvage_request(CASES["3.3.1 no From"][0]) is None
    assert salvage_request(CASES["3.1.2.19 status too large"][0]) is None
    assert salvage_request(CASES["control character in a name"][0]) is None


@pytest.mark.parametrize("value", ["Fri, 01 Jan 2010 16:00:00 EST", "yesterday"])
def test_3_1_2_12_a_wrong_date_is_nobodys_business(value: str) -> None:
    assert parse_message(message({"Date": value})).headers.get("Date") == value


def test_3_1_2_5_a_wrong_retry_after_does_not_cost_the_response() -> None:
    data = message({"start": "SIP/2.0 503 No", "Retry-After": "949302838503028349304023988"})
    assert parse_message(data).retry_after_s is None
