"""Dialogs: route sets, targets, sequence numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from outdial.errors import RemoteProtocolError
from outdial.sip.core.dialog import Dialog
from outdial.sip.core.hop import Hop, host_port, is_literal
from outdial.sip.core.message import Request, Response
from outdial.sip.core.outline import Outline, contact, field, name_addr, user_part
from outdial.sip.core.parser import parse_message
from outdial.sip.core.response import ResponseHead, response_hop

SOURCE = Hop("udp", "10.0.0.2", 5070, "10.0.0.1:5060")
OUTLINE = Outline(
    "sip:b@10.0.0.2:5070", SOURCE, "z9hG4bK1", (), "<sip:a@x>;tag=a", "<sip:b@x>", "c", 1
)


def response(*fields: str) -> Response:
    lines = "".join(f"{line}\r\n" for line in fields)
    text = (
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK1\r\n"
        "From: <sip:a@x>;tag=a\r\nTo: <sip:b@x>;tag=b\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n"
        f"{lines}\r\n"
    )
    message = parse_message(text.encode())
    assert isinstance(message, Response)
    return message


def invite(*fields: str, via: str = "SIP/2.0/UDP 10.0.0.2:5070;branch=z9hG4bK1") -> Request:
    lines = "".join(f"{line}\r\n" for line in fields)
    text = (
        f"INVITE sip:b@10.0.0.1 SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\n"
        f"From: <sip:a@x>;tag=a\r\nTo: <sip:b@x>\r\nCall-ID: c\r\nCSeq: 5 INVITE\r\n{lines}\r\n"
    )
    message = parse_message(text.encode())
    assert isinstance(message, Request)
    return message


def client_dialog(*fields: str, symmetric: bool = False) -> Dialog:
    return Dialog.as_client(OUTLINE, "a", response(*fields), SOURCE, symmetric=symmetric)


def test_without_routes_requests_go_to_the_contact() -> None:
    dialog = client_dialog("Contact: <sip:b@10.0.0.3:5080>")
    outline = dialog.outline("z9hG4bK2")
    assert (outline.uri, outline.routes) == ("sip:b@10.0.0.3:5080", ())
    assert outline.hop == replace(SOURCE, host="10.0.0.3", port=5080)
    assert outline.cseq == 2
    assert (outline.from_, outline.to) == ("<sip:a@x>;tag=a", "<sip:b@x>;tag=b")


@pytest.mark.parametrize("host", ["b.example.org", "[2001:db8::1]", "999.1.1.1", "010.1.1.1"])
def test_a_contact_that_the_socket_cannot_send_to_is_reached_where_it_sends_from(host: str) -> None:
    outline = client_dialog(f"Contact: <sip:b@{host}>").outline("z9hG4bK2")
    assert outline.hop == SOURCE
    assert outline.uri == f"sip:b@{host}"


SECURE = Hop("tls", "10.0.0.2", 5061, "10.0.0.1:5061", security="expects carrier.example")


@pytest.mark.parametrize(
    ("contact", "source", "goes_to"),
    [
        ("<sip:b@10.0.0.2;transport=tls>", SECURE, SECURE),
        ("<sips:b@10.0.0.2>", SECURE, SECURE),
        ("<sip:b@10.0.0.3;transport=tls>", SECURE, replace(SECURE, host="10.0.0.3")),
        ("<sip:b@10.0.0.3:5071>", SECURE, replace(SECURE, host="10.0.0.3", port=5071)),
        ("<sip:b@10.0.0.3:5071>", replace(SECURE, security=None), None),
        ("<sip:b@10.0.0.2:5071>", replace(SECURE, port=41_000, security=None), None),
    ],
)
def test_a_dialog_over_tls_goes_on_over_its_connection_or_to_whom_it_can_check(
    contact: str, source: Hop, goes_to: Hop | None
) -> None:
    found = response(f"Contact: {contact}")
    dialog = Dialog.as_client(OUTLINE, "a", found, source, symmetric=False)
    assert dialog.outline("z9hG4bK2").hop == (goes_to or source)


def test_what_we_send_over_tls_says_so() -> None:
    assert contact(SECURE) == "<sip:10.0.0.1:5061;transport=tls>"
    sent = Outline("sip:b@x", SECURE, "z9hG4bK1", (), "<sip:a@x>", "<sip:b@x>", "c", 1)
    assert b"\r\nVia: SIP/2.0/TLS 10.0.0.1:5061;branch=z9hG4bK1;rport\r\n" in sent.encode("BYE")
    assert SECURE.reliable and SECURE.is_secure and not SOURCE.is_secure


def test_headers_of_a_contact_or_strict_route_do_not_come_into_a_request_uri() -> None:
    fields = ["Contact: <sip:b;c?d@10.0.0.3?Subject=hi>", "Record-Route: <sip:r?e@10.0.0.9?X=y>"]
    assert client_dialog(fields[0]).outline("z9hG4bK2").uri == "sip:b;c?d@10.0.0.3"
    assert client_dialog(*fields).outline("z9hG4bK2").uri == "sip:r?e@10.0.0.9"


def test_loose_routes_of_a_client_are_reversed() -> None:
    dialog = client_dialog(
        "Contact: <sip:b@10.0.0.3>",
        "Record-Route: <sip:10.0.0.9;lr>, <sip:10.0.0.8:5061;lr=on>",
    )
    outline = dialog.outline("z9hG4bK2")
    assert outline.uri == "sip:b@10.0.0.3"
    assert outline.routes == ("<sip:10.0.0.8:5061;lr=on>", "<sip:10.0.0.9;lr>")
    assert (outline.hop.host, outline.hop.port) == ("10.0.0.8", 5061)
    assert b"Route: <sip:10.0.0.8:5061;lr=on>\r\nRoute: <sip:10.0.0.9;lr>" in outline.encode("BYE")


def test_loose_routes_of_a_server_keep_their_order() -> None:
    request = invite(
        "Contact: <sip:a@10.0.0.2>", "Record-Route: <sip:10.0.0.8;lr>", "Record-Route: <sip:p9;lr>"
    )
    dialog = Dialog.as_server(request, "mine", SOURCE)
    outline = dialog.outline("z9hG4bK2")
    assert outline.routes == ("<sip:10.0.0.8;lr>", "<sip:p9;lr>")
    assert outline.from_ == "<sip:b@x>;tag=mine"
    assert outline.to == "<sip:a@x>;tag=a"
    assert outline.cseq == 1


def test_a_strict_router_gets_its_own_uri() -> None:
    """RFC 3261 section 12.2.1.1: no ``lr`` in the first route."""
    dialog = client_dialog(
        "Contact: <sip:b@10.0.0.3>",
        "Record-Route: <sip:10.0.0.9;lr>",
        "Record-Route: <sip:10.0.0.8>",
    )
    outline = dialog.outline("z9hG4bK2")
    assert outline.uri == "sip:10.0.0.8"
    assert outline.routes == ("<sip:10.0.0.9;lr>", "<sip:b@10.0.0.3>")
    assert outline.hop.host == "10.0.0.8"


@pytest.mark.parametrize(
    "contact_line",
    ["Contact: <sip:b@carrier.example>", "Contact: <sips:b@10.0.0.3>", "Contact: <tel:+1>"],
)
def test_what_is_no_address_is_reached_where_the_peer_is(contact_line: str) -> None:
    assert client_dialog(contact_line).hop == SOURCE


def test_symmetric_dialogs_ignore_private_contacts() -> None:
    dialog = client_dialog("Contact: <sip:b@192.168.1.5>", symmetric=True)
    assert dialog.hop == SOURCE
    assert dialog.outline("z9hG4bK2").uri == "sip:b@192.168.1.5"


def test_an_ipv6_contact() -> None:
    source = Hop("udp", "::1", 5060, "[::1]:5061")
    dialog = Dialog.as_client(
        OUTLINE, "a", response("Contact: <sip:b@[::1]:5070>"), source, symmetric=False
    )
    assert dialog.hop == Hop("udp", "::1", 5070, "[::1]:5061")
    assert dialog.hop.peer == "[::1]:5070"


def test_without_a_contact_the_request_uri_stays_the_target() -> None:
    assert client_dialog().target == OUTLINE.uri
    with pytest.raises(RemoteProtocolError):
        Dialog.as_server(invite(), "mine", SOURCE)


def test_the_2xx_decides_the_route_set() -> None:
    dialog = client_dialog("Contact: <sip:b@10.0.0.3>", "Record-Route: <sip:10.0.0.9;lr>")
    final = response("Contact: <sip:b@10.0.0.4>", "Allow: INVITE, UPDATE")
    dialog.confirm(final, SOURCE)
    assert dialog.outline("z9hG4bK2").routes == ()
    assert dialog.hop.host == "10.0.0.4"
    assert dialog.peer_allows == {"INVITE", "UPDATE"}


def test_sequence_numbers_of_the_peer() -> None:
    dialog = Dialog.as_server(invite("Contact: <sip:a@10.0.0.2>"), "mine", SOURCE)
    request = invite("Contact: <sip:a@10.0.0.2>")
    assert not dialog.in_order(request)
    request.headers.set("CSeq", "9 INVITE")
    assert dialog.in_order(request)
    request.headers.set("CSeq", "8 INVITE")
    assert not dialog.in_order(request)


# ------------------------------------------------------------ responses


def test_received_and_rport() -> None:
    request = invite(via="SIP/2.0/UDP 192.168.1.5:5060;branch=z9hG4bK1;rport")
    lines = ResponseHead(request, SOURCE).encode(180, tag="t").decode().split("\r\n")
    assert lines[0] == "SIP/2.0 180 Ringing"
    assert "received=10.0.0.2" in lines[1]
    assert "rport=5070" in lines[1]
    assert "To: <sip:b@x>;tag=t" in lines
    assert response_hop(request, SOURCE) == SOURCE


def test_without_rport_the_port_of_via_counts_but_never_its_address() -> None:
    request = invite(via="SIP/2.0/UDP 203.0.113.7:5999;branch=z9hG4bK1")
    assert response_hop(request, SOURCE) == replace(SOURCE, port=5999)
    assert "received=10.0.0.2" in ResponseHead(request, SOURCE).encode(180).decode()
    plain = invite(via="SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK1")
    assert response_hop(plain, SOURCE).port == 5060
    assert "received" not in ResponseHead(plain, SOURCE).encode(180).decode()


def test_all_vias_are_copied_in_order() -> None:
    via = "SIP/2.0/UDP 10.0.0.2:5070;branch=z9hG4bK1;rport, SIP/2.0/TCP 10.0.0.7;branch=z9hG4bK0"
    lines = ResponseHead(invite(via=via), SOURCE).encode(200).decode().split("\r\n")
    assert lines[2] == "Via: SIP/2.0/TCP 10.0.0.7;branch=z9hG4bK0"


def test_only_dialog_making_responses_carry_record_route() -> None:
    head = ResponseHead(invite("Record-Route: <sip:p;lr>"), SOURCE)
    assert b"Record-Route" in head.encode(180)
    assert b"Record-Route" in head.encode(200)
    assert b"Record-Route" not in head.encode(100)
    assert b"Record-Route" not in head.encode(486)


def test_on_tcp_responses_go_back_down_the_connection() -> None:
    source = Hop("tcp", "10.0.0.2", 40000, "10.0.0.1:5060")
    request = invite(via="SIP/2.0/TCP 10.0.0.2:5060;branch=z9hG4bK1")
    assert response_hop(request, source) == source


# ------------------------------------------------------------ what we write


@pytest.mark.parametrize("text", ["+15005550001", "*31#", "a b", "ü", "1;x=y", "<sip:evil@h>"])
def test_user_parts_come_back_as_they_were(text: str) -> None:
    written = f"INVITE sip:{user_part(text)}@h SIP/2.0"
    request = parse_message(
        f"{written}\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@x>;tag=a\r\n"
        "To: <sip:b@x>\r\nCall-ID: c\r\nCSeq: 5 INVITE\r\nContact: <sip:a@h>\r\n\r\n".encode()
    )
    assert isinstance(request, Request)
    assert request.uri.user_text == text
    assert request.uri.host == "h"


@pytest.mark.parametrize("name", ["Bob", 'Bob "the" Builder', "back\\slash", "Zoë", ""])
def test_display_names_come_back_as_they_were(name: str) -> None:
    request = invite("Contact: <sip:a@h>")
    request.headers.set("From", f"{name_addr(name, 'sip:a@x')};tag=1")
    assert request.from_.display_name == name


def test_controls_in_display_names_become_spaces() -> None:
    assert name_addr("a\r\nb", "sip:x") == '"a  b" <sip:x>'


def test_contact_and_hosts() -> None:
    assert contact(SOURCE) == "<sip:10.0.0.1:5060>"
    assert contact(replace(SOURCE, transport="tcp")) == "<sip:10.0.0.1:5060;transport=tcp>"
    assert host_port("::1", 5060) == "[::1]:5060"
    assert [is_literal(host) for host in ("10.0.0.1", "::1", "[::1]", "1.2.3.256", "h")] == [
        True, True, True, False, False,
    ]  # fmt: skip


def test_extra_fields_are_checked() -> None:
    from outdial.errors import LocalProtocolError

    assert field("X-A", "b") == "X-A: b\r\n"
    for name, value in [("X-A", "b\r\nc"), ("X A", "b"), ("", "b"), ("X:", "b"), ("X", "\x00")]:
        with pytest.raises(LocalProtocolError):
            field(name, value)


# ------------------------------------------------------------ SIPS

PLAIN_TARGET = "Contact: <sip:a@10.0.0.2>"
SIPS_TARGET = "Contact: <sips:a@10.0.0.2>"
OURS = "<sips:10.0.0.1:5061>"


def secure_invite(uri: str, *fields: str) -> Request:
    text = (
        f"INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/TLS 10.0.0.2:5070;branch=z9hG4bK1\r\n"
        "Max-Forwards: 70\r\nFrom: <sip:a@x>;tag=a\r\nTo: <sip:b@x>\r\nCall-ID: c\r\n"
        "CSeq: 5 INVITE\r\n" + "".join(f"{line}\r\n" for line in fields) + "\r\n"
    )
    message = parse_message(text.encode())
    assert isinstance(message, Request)
    return message


@pytest.mark.parametrize(
    ("uri", "fields", "is_sips"),
    [
        ("sips:b@10.0.0.1", [PLAIN_TARGET], True),
        ("SIPS:b@10.0.0.1", [PLAIN_TARGET], True),
        ("sip:b@10.0.0.1;transport=tls", [PLAIN_TARGET], False),
        ("sip:b@10.0.0.1", [SIPS_TARGET], True),
        ("sip:b@10.0.0.1", [PLAIN_TARGET, "Record-Route: <sips:10.0.0.9;lr>"], True),
        (
            "sip:b@10.0.0.1",
            [PLAIN_TARGET, 'Record-Route: "p" <sips:10.0.0.9;lr>, <sip:q;lr>'],
            True,
        ),
        ("sip:b@10.0.0.1", [PLAIN_TARGET, "Record-Route: <sip:q;lr>, <sips:10.0.0.9;lr>"], False),
        ("sip:b@10.0.0.1", [PLAIN_TARGET, "Record-Route: <sip:sips:9@10.0.0.9;lr>"], False),
    ],
)
def test_who_asks_for_sips_gets_a_sips_contact(uri: str, fields: list[str], is_sips: bool) -> None:
    """RFC 3261 section 12.1.1: by the Request-URI, the top Record-Route, or without one Contact."""
    dialog = Dialog.as_server(secure_invite(uri, *fields), "mine", SECURE)
    assert dialog.is_sips is is_sips
    expected = OURS if is_sips else "<sip:10.0.0.1:5061;transport=tls>"
    assert dialog.contact(SECURE) == expected


def test_a_sips_contact_behind_a_sips_route_does_not_count() -> None:
    """Section 12.1.1 again: with a Record-Route the Contact says nothing of the way to us; our own
    requests have it in their Request-URI all the same, and must (section 8.1.1.8)."""
    fields = [SIPS_TARGET, "Record-Route: <sip:10.0.0.9;lr>"]
    dialog = Dialog.as_server(secure_invite("sip:b@10.0.0.1", *fields), "mine", SECURE)
    assert not dialog.is_sips
    assert dialog.contact(SECURE) == OURS


@pytest.mark.parametrize(
    ("uri", "routes", "is_sips"),
    [
        ("sips:b@x", (), True),
        ("sip:b@x;transport=tls", (), False),
        ("sip:b@x", ("<sips:10.0.0.9;lr>",), True),
        ("sip:b@x", ("<sip:10.0.0.9;lr>", "<sips:10.0.0.8;lr>"), False),
    ],
)
def test_a_call_to_a_sips_uri_has_a_sips_contact(
    uri: str, routes: tuple[str, ...], is_sips: bool
) -> None:
    outline = Outline(uri, SECURE, "z9hG4bK1", routes, "<sip:a@x>;tag=a", "<sip:b@x>", "c", 1)
    found = response("Contact: <sip:b@10.0.0.2>")
    dialog = Dialog.as_client(outline, "a", found, SECURE, symmetric=False)
    assert dialog.is_sips is is_sips
    assert dialog.contact(SECURE).startswith("<sips:" if is_sips else "<sip:")


def test_a_target_that_becomes_sips_is_met_with_sips() -> None:
    found = response("Contact: <sip:b@10.0.0.2>")
    dialog = Dialog.as_client(OUTLINE, "a", found, SECURE, symmetric=False)
    assert dialog.contact(SECURE).startswith("<sip:")
    dialog.refresh_target(response("Contact: <sips:b@10.0.0.2>"), SECURE)
    assert dialog.contact(SECURE) == OURS


def test_what_was_sips_stays_so() -> None:
    """Section 12.2.1.1: with the secure flag the Contact of a target refresh is SIPS."""
    dialog = Dialog.as_server(secure_invite("sips:b@10.0.0.1", SIPS_TARGET), "mine", SECURE)
    dialog.refresh_target(secure_invite("sips:b@10.0.0.1", PLAIN_TARGET), SECURE)
    assert dialog.contact(SECURE) == OURS


@pytest.mark.parametrize(
    ("hop", "says"),
    [
        (SECURE, "<sips:desk@10.0.0.1:5061>"),
        (SECURE.showing("198.51.100.7"), "<sips:desk@198.51.100.7:5061>"),
        (replace(SECURE, local="[2001:db8::1]:5061"), "<sips:desk@[2001:db8::1]:5061>"),
        (SOURCE, "<sips:desk@10.0.0.1>"),
        (replace(SOURCE, local="[2001:db8::1]:5060"), "<sips:desk@[2001:db8::1]>"),
        (replace(SOURCE, transport="tcp"), "<sips:desk@10.0.0.1>"),
    ],
)
def test_a_sips_contact_names_no_port_that_speaks_no_tls(hop: Hop, says: str) -> None:
    """Nor a transport: SIPS is TLS (RFC 3261 section 26.2.2, RFC 5630 section 3.1.4)."""
    assert contact(hop, "desk", sips=True) == says
