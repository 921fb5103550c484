"""Messages that look wrong and are right: the points of RFC 4475 section 3.1.1, 3.3 and 3.4.

Each test is named after its section and makes the same point with a message of our own.
"""

from __future__ import annotations

from outdial.sip.core.message import Request, Response
from outdial.sip.core.parser import parse_message


def wire(text: str, body: bytes = b"") -> bytes:
    """Lines of an indented text block with CRLF ends; a line after a backslash is folded."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return "\r\n".join(lines).replace("\r\n\\", "\r\n ").encode() + b"\r\n\r\n" + body


def request(text: str, body: bytes = b"") -> Request:
    message = parse_message(wire(text, body))
    assert isinstance(message, Request)
    assert parse_message(message.encode()).encode() == message.encode()
    return message


def response(text: str) -> Response:
    message = parse_message(wire(text))
    assert isinstance(message, Response)
    return message


COMMON = """
    Via: SIP/2.0/UDP host1.example.com;branch=z9hG4bKone
    From: <sip:ann@example.com>;tag=a1
    To: <sip:ben@example.org>
    Call-ID: torture.1@192.0.2.77
    Max-Forwards: 70
"""


def test_3_1_1_1_white_space_case_and_folds_everywhere_the_grammar_has_them() -> None:
    message = request(
        """INVITE sip:ben@example.org;unknownparam SIP/2.0
        TO :
        \\ sip:ben@example.org ;   tag    = 77aa
        from   : "A Tester \\\\\\""       <sip:ann@example.com>
        \\ ;
        \\ tag = zz91
        MaX-fOrWaRdS: 0068
        i: ws.abc@192.0.2.5
        Content-Length   : 4
        cseq: 0009
        \\  INVITE
        Via  : SIP  /   2.0
        \\ /UDP
        \\    192.0.2.2;branch=390skd
        s :
        Brand-New-Header:   a value
        \\ that goes on
        X-Separators-Only: ;;,,;;,;
        Route:
        \\ <sip:hop.example.com;lr;withvalue=x;withoutvalue>
        v:  SIP  / 2.0  / TCP     first.example.com   ;
        \\  branch  =   z9hG4bK9x  ,
        \\ SIP  /    2.0   / UDP  192.0.2.111   ; branch=
        \\ z9hG4bK30
        m:"Quoted \\"\\"" <sip:ann@example.com> ; newparam =
        \\      newvalue ;
        \\  second ; q = 0.33""",
        b"v=0\n",
    )
    assert message.to.tag == "77aa"
    assert message.from_.display_name == 'A Tester \\"'
    assert message.from_.tag == "zz91"
    assert message.max_forwards == 68
    assert (message.cseq.number, message.cseq.method) == (9, "INVITE")
    assert [via.host for via in message.vias] == ["192.0.2.2", "first.example.com", "192.0.2.111"]
    assert [via.branch for via in message.vias] == ["390skd", "z9hG4bK9x", "z9hG4bK30"]
    assert message.headers.get("Subject") == ""
    assert message.headers.get("Brand-New-Header") == "a value that goes on"
    assert message.headers.get("X-Separators-Only") == ";;,,;;,;"
    assert message.routes[0].uri.is_loose_route
    assert message.contacts[0].params == {"newparam": "newvalue", "second": None, "q": "0.33"}
    assert message.uri.params == {"unknownparam": None}


def test_3_1_1_2_every_character_the_grammar_allows() -> None:
    method = "!odd-Method0123456789_*+`.%indeed'~"
    user = "1_odd.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    param = "fromParam''~+*_!.-%"
    message = request(
        f"""{method} sip:{user}:&pass=1!*$d_too@example.com SIP/2.0
        Via: SIP/2.0/UDP host1.example.com;branch=z9hG4bK-.!%66*_+`'~
        To: "BEL:\\\a NUL:\\\0 DEL:\\\x7f" <sip:1_odd.URI~@example.com>
        From: token1~` token2'+_ token3*%!.- <sip:x@example.com>;{param}="работ";tag=_to~1'+`*%!-.
        Call-ID: odd.word%ZK-!.*_+'@word`~)(><:\\/"][?}}{{
        CSeq: 139122385 {method}
        Max-Forwards: 255
        Other-Header-!.%*+_`'~: \ufeff大停電"""
    )
    assert message.method == method
    assert message.uri.user == user
    assert message.uri.password == "&pass=1!*$d_too"
    assert message.to.display_name == "BEL:\ufffd NUL:\ufffd DEL:\ufffd"
    assert message.from_.display_name == "token1~` token2'+_ token3*%!.-"
    assert message.from_.tag == "_to~1'+`*%!-."
    assert message.from_.params[param.lower()] == '"работ"'
    assert message.headers.get("Other-Header-!.%*+_`'~") == "\ufeff大停電"


def test_3_1_1_3_percent_escapes_in_uris() -> None:
    message = request(
        """INVITE sip:sips%3Aben%40example.com@example.net SIP/2.0
        Via: SIP/2.0/UDP host1.example.com;branch=z9hG4bKone
        To: sip:%62en@example.com
        From: <sip:I%20am%20spaced@example.net>;tag=938
        Call-ID: esc01
        CSeq: 234234 INVITE
        Contact: <sip:ann@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31>"""
    )
    assert message.uri.user_text == "sips:ben@example.com"
    assert message.uri.host == "example.net"
    assert message.to.uri.user_text == "ben"
    assert message.from_.uri.user_text == "I am spaced"
    assert message.contacts[0].uri.is_loose_route
    assert message.contacts[0].uri.params["name"] == "v%61lue%25%34%31"


def test_3_1_1_4_escaped_nulls_are_different_users_and_never_reach_anyone() -> None:
    message = request(
        """REGISTER sip:example.com SIP/2.0
        Via: SIP/2.0/UDP host1.example.com;branch=z9hG4bKone
        To: sip:null-%00-null@example.com
        From: sip:null-%00-null@example.com;tag=839923423
        Call-ID: escnull
        CSeq: 14398234 REGISTER
        Contact: <sip:%00@host5.example.com>
        Contact: <sip:%00%00@host5.example.com>"""
    )
    first, second = message.contacts
    assert not first.uri.equivalent(second.uri)
    assert first.uri.user_text == "\ufffd"
    assert message.to.uri.user == "null-%00-null"
    assert message.from_.tag == "839923423"


def test_3_1_1_5_a_percent_that_is_no_escape() -> None:
    message = request(
        """RE%47IST%45R sip:registrar.example.com SIP/2.0
        Via: SIP/2.0/UDP host1.example.com;branch=z9hG4bK%41
        To: "%Z%45" <sip:resource@example.com>
        From: "%Z%45" <sip:resource@example.com>;tag=f232jadfj23
        Call-ID: esc02.asdfnqwo34rq23i34jrjasdcnl23nrlknsdf
        CSeq: 29344 RE%47IST%45R
        Contact: <sip:alias1@host1.example.com>
        C%6Fntact: <sip:alias2@host2.example.com>"""
    )
    assert message.method == "RE%47IST%45R"
    assert message.to.display_name == "%Z%45"
    assert message.top_via.branch == "z9hG4bK%41"
    assert len(message.contacts) == 1


def test_3_1_1_6_no_space_between_name_and_bracket() -> None:
    message = request(
        f"""OPTIONS sip:ben@example.org SIP/2.0
        {COMMON.replace("From: <", "From: Ann<")}
        CSeq: 60 OPTIONS"""
    )
    assert message.from_.display_name == "Ann"


def test_3_1_1_7_long_values() -> None:
    word = "long" * 400
    vias = "\n".join(f"Via: SIP/2.0/TCP h{n}.example.com;branch=z9hG4bK{word}" for n in range(8))
    message = request(
        f"""INVITE sip:ben@example.org;unknown{word}={word} SIP/2.0
        {vias}
        To: "I have a user name of {word}" <sip:ben@example.org>
        From: <sip:{word}@example.com>;tag={word};{word}
        Call-ID: {word}
        Contact: <sip:{word}@host5.example.net>
        Unknown-{word}: {word}; {word}
        CSeq: 3882340 INVITE"""
    )
    assert len(message.vias) == 8
    assert message.from_.tag == word
    assert message.contacts[0].uri.user == word


def test_3_1_1_8_octets_after_the_content_length_are_dropped() -> None:
    first = f"""REGISTER sip:example.com SIP/2.0
        {COMMON}
        CSeq: 8 REGISTER
        Content-Length: 0"""
    message = parse_message(wire(first) + b"INVITE sip:x@example.com SIP/2.0\r\nVia: ...\r\n\r\n")
    assert message.cseq.method == "REGISTER"
    assert message.body == b""


def test_3_1_1_9_semicolons_in_the_user_part() -> None:
    message = request(
        f"""OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0
        {COMMON}
        CSeq: 8 OPTIONS"""
    )
    assert message.uri.user == "user;par=u%40example.net"
    assert message.uri.user_text == "user;par=u@example.net"
    assert message.uri.host == "example.com"
    assert message.uri.params == {}


def test_3_1_1_10_transports_known_and_unknown() -> None:
    names = ("UDP", "SCTP", "TLS", "UNKNOWN", "TCP")
    vias = "\n".join(f"Via: SIP/2.0/{n} t{n}.example.com;branch=z9hG4bK{n}" for n in names)
    message = request(
        f"""OPTIONS sip:user@example.com SIP/2.0
        To: sip:user@example.com
        From: <sip:ann@example.com>;tag=323
        Call-ID: transports.kijh4akdnaqjkwendsasfdj
        CSeq: 60 OPTIONS
        {vias}"""
    )
    assert tuple(via.transport for via in message.vias) == names


def test_3_1_1_11_a_multipart_body_is_carried_unread() -> None:
    first = b"Content-Type: text/plain\r\n\r\nHi\r\n"
    body = b"--7a\r\n" + first + b"--7a\r\nContent-Type: x/y\r\n\r\n\0\xff\r\n--7a--"
    message = request(
        f"""MESSAGE sip:ben@example.org SIP/2.0
        {COMMON}
        CSeq: 127 MESSAGE
        Content-Type: multipart/mixed;boundary=7a
        Content-Length: {len(body)}""",
        body,
    )
    assert message.body == body
    kind = message.content_type
    assert kind is not None
    assert kind.essence == "multipart/mixed"
    assert kind.params == {"boundary": "7a"}


def test_3_1_1_12_an_unusual_reason_phrase() -> None:
    message = response(
        f"""SIP/2.0 200 = 2**3 * 5**2 но сто - простое
        {COMMON}
        CSeq: 35 INVITE"""
    )
    assert message.reason == "= 2**3 * 5**2 но сто - простое"


def test_3_1_1_13_an_empty_reason_phrase() -> None:
    text = wire(f"SIP/2.0 100 \n{COMMON}\nCSeq: 35 INVITE").replace(b" 100\r\n", b" 100 \r\n")
    message = parse_message(text)
    assert isinstance(message, Response)
    assert (message.status, message.reason) == (100, "")
    assert message.encode().startswith(b"SIP/2.0 100 \r\n")


def test_3_2_1_a_branch_that_is_only_the_cookie_names_no_transaction() -> None:
    message = request(
        f"""OPTIONS sip:ben@example.org SIP/2.0
        {COMMON.replace("z9hG4bKone", "z9hG4bK")}
        CSeq: 8 OPTIONS"""
    )
    assert message.top_via.branch == "z9hG4bK"
    assert not message.top_via.has_cookie


def test_3_3_2_and_3_3_3_request_uris_of_other_schemes_are_for_the_application_to_refuse() -> None:
    for uri in ("nobodyKnowsThisScheme:totallyopaque", "soap.beep://192.0.2.103:3002"):
        message = request(f"OPTIONS {uri} SIP/2.0\n{COMMON}\nCSeq: 8 OPTIONS")
        assert not message.uri.is_sip
        assert str(message.uri) == uri.replace("KnowsThisScheme", "knowsthisscheme")


def test_3_3_4_other_schemes_in_addresses() -> None:
    message = request(
        """OPTIONS sip:user@example.com SIP/2.0
        Via: SIP/2.0/UDP host1.example.com;branch=z9hG4bKone
        To: isbn:2983792873
        From: <http://www.example.com>;tag=3234233
        Call-ID: unksm2.daksdj@hyphenated-host.example.com
        CSeq: 234902 REGISTER
        Contact: <name:John_Smith>""".replace("OPTIONS", "REGISTER", 1)
    )
    assert str(message.to.uri) == "isbn:2983792873"
    assert str(message.from_.uri) == "http://www.example.com"
    assert message.contacts[0].uri.scheme == "name"


def test_3_3_5_required_extensions_are_seen() -> None:
    message = request(
        f"""OPTIONS sip:user@example.com SIP/2.0
        {COMMON}
        CSeq: 8 OPTIONS
        Require: nothingSupportsThis, 100rel
        Require: nothingSupportsThisEither"""
    )
    assert message.required == {"nothingsupportsthis", "100rel", "nothingsupportsthiseither"}


def test_3_3_6_an_unknown_body_type() -> None:
    message = request(
        f"INVITE sip:user@example.com SIP/2.0\n{COMMON}\nCSeq: 8 INVITE\n"
        "Content-Type: application/unknownformat\nContent-Length: 9",
        b"<audio/>\n",
    )
    kind = message.content_type
    assert kind is not None
    assert kind.essence == "application/unknownformat"


def test_3_3_10_a_response_whose_via_is_a_broadcast_address_is_not_ours_by_its_via() -> None:
    message = response(
        f"""SIP/2.0 200 OK
        Via: SIP/2.0/UDP 192.0.2.198;branch=z9hG4bK1324923
        Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK1saber23
        {COMMON}
        CSeq: 1 INVITE"""
    )
    assert [via.host for via in message.vias][:2] == ["192.0.2.198", "255.255.255.255"]


def test_3_3_11_no_forwards_left() -> None:
    message = request(
        f"OPTIONS sip:user@example.com SIP/2.0\n{COMMON.replace('70', '0')}\nCSeq: 8 OPTIONS"
    )
    assert message.max_forwards == 0


def test_3_3_12_to_14_parameters_of_the_contact_and_of_its_uri_are_kept_apart() -> None:
    def contact(text: str) -> Request:
        return request(
            f"REGISTER sip:example.com SIP/2.0\n{COMMON}\nCSeq: 8 REGISTER\nContact: {text}"
        )

    outside = contact("sip:+19725552222@gw1.example.net;unknownparam").contacts[0]
    assert (outside.params, outside.uri.params) == ({"unknownparam": None}, {})
    inside = contact("<sip:+19725552222@gw1.example.net;unknownparam>").contacts[0]
    assert (inside.params, inside.uri.params) == ({}, {"unknownparam": None})
    escaped = contact("<sip:user@example.com?Route=%3Csip:sip.example.com%3E>").contacts[0]
    assert escaped.uri.headers == {"Route": "%3Csip:sip.example.com%3E"}


def test_3_4_1_an_invite_of_rfc_2543() -> None:
    message = request(
        """INVITE sip:UserB@example.com SIP/2.0
        Via: SIP/2.0/UDP ift.example.com
        From: <sip:iuser@ift.example.com>
        To: <sip:UserB@example.com>
        Call-ID: inv2543.1717@ift.example.com
        CSeq: 56 INVITE"""
    )
    assert message.from_.tag is None
    assert message.top_via.branch is None
    assert not message.top_via.has_cookie
    assert message.max_forwards is None
