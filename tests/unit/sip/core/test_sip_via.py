"""Via (RFC 3261 section 20.42, RFC 3581)."""

from __future__ import annotations

import pytest

from outdial.errors import RemoteProtocolError
from outdial.sip.core.via import Via


@pytest.mark.parametrize(
    "text",
    [
        "SIP/2.0/UDP a.example.com:5060;branch=z9hG4bK1;rport",
        "sip/2.0/udp a.example.com:5060;branch=z9hG4bK1;rport",
        "SIP / 2.0 / UDP \t a.example.com : 5060 ; branch = z9hG4bK1 ; rport",
        "SIP/2.0/UDP  a.example.com: 5060;Branch=z9hG4bK1;RPORT ",
    ],
)
def test_however_it_is_written_it_means_the_same(text: str) -> None:
    via = Via.parse(text.strip())
    assert via == Via("UDP", "a.example.com", 5060, {"branch": "z9hG4bK1", "rport": None})
    assert str(via) == "SIP/2.0/UDP a.example.com:5060;branch=z9hG4bK1;rport"


@pytest.mark.parametrize(
    "text",
    [
        "", "SIP/2.0/UDP", "SIP/2.0/UDP ", "SIP/2.0 a", "SIP/3.0/UDP a", "SIP/2.0/UDPa",
        "SIP/2.0/UDP a b",
        "SIP/2.0/UDP a:", "SIP/2.0/UDP a:65536", "SIP/2.0/UDP a:5060x", "SIP/2.0/UDP [::x]",
        "SIP/2.0/UDP a;", "SIP/2.0/UDP a;branch=", "SIP/2.0/UDP a;branch=1;branch=2",
        "SIP/2.0/UDP é",
        "SIP/2.0/UDP a;x=\"", "SIP/2.0/UDP <a>",
    ],
)  # fmt: skip
def test_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        Via.parse(text)


def test_several_in_a_line() -> None:
    found = Via.parse_list('SIP/2.0/UDP a;x="1,2" , SIP/2.0/TCP [2001:db8::1]:5061')
    assert [(via.host, via.port) for via in found] == [("a", None), ("2001:db8::1", 5061)]
    assert found[1].sent_by == "[2001:db8::1]:5061"


@pytest.mark.parametrize(
    ("branch", "expected"),
    [("z9hG4bKx", True), ("z9hG4bK", False), ("z9hg4bkx", False), ("1", False)],
)
def test_the_cookie(branch: str, expected: bool) -> None:
    assert Via("UDP", "a", None, {"branch": branch}).has_cookie is expected


@pytest.mark.parametrize(
    ("value", "port"),
    [("rport=5062", 5062), ("rport", None), ("rport=0", None), ("rport=65536", None), ("x", None),
     ("rport=٣", None), ("rport=123456", None)],
)  # fmt: skip
def test_rport(value: str, port: int | None) -> None:
    name, _, number = value.partition("=")
    via = Via("UDP", "a", None, {name: number or None})
    assert via.rport == port
    assert via.wants_rport is (name == "rport")


def test_a_server_notes_where_the_request_came_from() -> None:
    plain = Via.parse("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1")
    assert plain.with_source("192.0.2.1", 9) is plain
    assert plain.with_source("192.0.2.2", 9).received == "192.0.2.2"
    assert plain.with_source("192.0.2.2", 9).rport is None
    asking = Via.parse("SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bK1")
    noted = asking.with_source("192.0.2.1", 4711)
    assert (noted.received, noted.rport, noted.branch) == ("192.0.2.1", 4711, "z9hG4bK1")
    assert asking.rport is None
