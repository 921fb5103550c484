"""IPv6 in SIP: the points of RFC 5118 section 4, with addresses of our own."""

from __future__ import annotations

import pytest

from outdial.errors import RemoteProtocolError
from outdial.sip.core.message import Request
from outdial.sip.core.parser import parse_message


def request(uri: str, via: str = "[2001:db8::9:1]", via_params: str = "") -> Request:
    message = parse_message(
        f"REGISTER {uri} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {via};branch=z9hG4bKas3{via_params}\r\n"
        "From: <sip:user@example.com>;tag=81x2\r\nTo: <sip:user@example.com>\r\n"
        f"Call-ID: one@[2001:db8::9:1]\r\nCSeq: 9 REGISTER\r\nContact: <{uri}>\r\n\r\n".encode()
    )
    assert isinstance(message, Request)
    return message


def test_4_1_a_reference_in_brackets() -> None:
    message = request("sip:[2001:db8::10]")
    assert message.uri.host == "2001:db8::10"
    assert message.uri.host_port == "[2001:db8::10]"
    assert str(message.contacts[0].uri) == "sip:[2001:db8::10]"
    assert message.top_via.host == "2001:db8::9:1"
    assert message.call_id == "one@[2001:db8::9:1]"


@pytest.mark.parametrize("uri", ["sip:2001:db8::10", "sip:2001:db8::10:5070", "sip:user@::1"])
def test_4_2_and_4_3_without_brackets_nobody_knows_where_the_port_is(uri: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        request(uri)
    assert caught.value.status_hint == 400


def test_4_4_a_port_inside_the_brackets_is_part_of_the_address() -> None:
    uri = request("sip:[2001:db8::10:5070]").uri
    assert (uri.host, uri.port) == ("2001:db8::10:5070", None)
    uri = request("sip:[2001:db8::10]:5070").uri
    assert (uri.host, uri.port) == ("2001:db8::10", 5070)


@pytest.mark.parametrize("written", ["2001:db8::9:255", "[2001:db8::9:255]"])
def test_4_5_received_with_and_without_brackets(written: str) -> None:
    via = request("sip:[2001:db8::10]", via_params=f";received={written}").top_via
    assert via.received == "2001:db8::9:255"


def test_4_6_sent_by_with_and_without_port() -> None:
    via = request("sip:[2001:db8::10]", via="[2001:db8::9:1]:6050").top_via
    assert (via.host, via.port, via.sent_by) == ("2001:db8::9:1", 6050, "[2001:db8::9:1]:6050")


def test_4_8_hosts_of_both_kinds_in_one_message() -> None:
    message = request("sip:user@[2001:db8::10]", via="192.0.2.1, SIP/2.0/UDP [2001:db8::9:1]:6050")
    assert [via.host for via in message.vias] == ["192.0.2.1", "2001:db8::9:1"]


def test_4_9_an_ipv4_address_in_an_ipv6_one() -> None:
    assert request("sip:user@[::ffff:192.0.2.10]:19823").uri.host == "::ffff:192.0.2.10"


def test_4_10_the_third_colon_of_the_old_grammar_is_read_as_two() -> None:
    uri = request("sip:user@[2001:db8:::192.0.2.1]").uri
    assert uri.host == "2001:db8::192.0.2.1"
    assert str(uri) == "sip:user@[2001:db8::192.0.2.1]"


@pytest.mark.parametrize("host", ["[]", "[:]", "[2001:db8::1", "[::1%25eth0]", "[1:2:3]", "[::1]x"])
def test_what_is_no_address(host: str) -> None:
    with pytest.raises(RemoteProtocolError):
        request(f"sip:user@{host}")
