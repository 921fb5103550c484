"""URIs (RFC 3261 section 19.1, RFC 3966)."""

from __future__ import annotations

import pytest

from outdial.errors import RemoteProtocolError
from outdial.sip.core.uri import Uri

SAME_WHEN_WRITTEN = [
    "sip:alice@atlanta.com",
    "sip:alice:secretword@atlanta.com;transport=tcp",
    "sips:alice@atlanta.com?subject=project%20x&priority=urgent",
    "sip:+1-212-555-1212:1234@gateway.com;user=phone",
    "sip:1212@gateway.com",
    "sip:alice@192.0.2.4",
    "sip:atlanta.com;method=REGISTER?to=alice%40atlanta.com",
    "sip:alice;day=tuesday@atlanta.com",
    "sip:[2001:db8::1]:5060;lr",
    "sip:*98#@pbx.local",
    "sip:under_score@my_host",
    "tel:+15005550010",
    "tel:7042;phone-context=example.com",
    "tel:+358-555-1234567;postd=pp22",
    "urn:service:sos",
    "mailto:a@b",
]


@pytest.mark.parametrize("text", SAME_WHEN_WRITTEN)
def test_what_is_read_is_written_as_it_was(text: str) -> None:
    assert str(Uri.parse(text)) == text


def test_all_parts() -> None:
    uri = Uri.parse("SIPS:bob:pw@Example.COM:5061;Transport=TCP;lr?a=b&c=")
    assert (uri.scheme, uri.user, uri.password) == ("sips", "bob", "pw")
    assert (uri.host, uri.port, uri.transport) == ("Example.COM", 5061, "tcp")
    assert uri.params == {"transport": "TCP", "lr": None}
    assert uri.headers == {"a": "b", "c": ""}
    assert uri.is_loose_route
    assert uri.host_port == "Example.COM:5061"
    assert str(uri.without_headers()) == "sips:bob:pw@Example.COM:5061;transport=TCP;lr"


def test_tel_numbers() -> None:
    uri = Uri.parse("tel:7042;phone-context=+1")
    assert (uri.scheme, uri.user, uri.host) == ("tel", "7042", "")
    assert uri.params == {"phone-context": "+1"}
    assert not uri.is_sip


@pytest.mark.parametrize(
    "text",
    [
        "", "sip", "sip:", "sip:@example.com", "sip:a@", ":a@b", "1sip:a@b", "sip:a@b c",
        "sip: a@b",
        "sip:a@b;", "sip:a@b;;lr", "sip:a@b;lr;LR", "sip:a@b;x=", "sip:a@b;=x", "sip:a@b?",
        "sip:a@b?x",
        "sip:a@b:", "sip:a@b:x", "sip:a@b:65536", "sip:a@b:123456", "sip:a@b:-1", "sip:é@b",
        "sip:a@é",
        "sip:a@b;x=é", "sip:a\"@b", "sip:<a>@b", "sip:a@[b]", "sip:a@[::1", "sip:a%@b", "sip:a%4@b",
        "sip:a@b\r\nX: y", "sip:a@b\x00", "tel:", "tel:bob!", "tel:+1 500", "http:", "http: //x",
        "x:é",
    ],
)  # fmt: skip
def test_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        Uri.parse(text)
    assert caught.value.status_hint == 400


@pytest.mark.parametrize(
    ("user", "written"),
    [
        ("+15005550010", "sip:+15005550010@192.0.2.1"),
        ("*21#", "sip:*21%23@192.0.2.1"),
        ("a b@c:d", "sip:a%20b%40c%3Ad@192.0.2.1"),
        ("é\r\n", "sip:%C3%A9%0D%0A@192.0.2.1"),
        (None, "sip:192.0.2.1"),
        ("", "sip:192.0.2.1"),
    ],
)
def test_building_escapes_the_user(user: str | None, written: str) -> None:
    uri = Uri.sip(user, "192.0.2.1")
    assert str(uri) == written
    assert Uri.parse(str(uri)) == uri


def test_building_with_ipv6_and_sips() -> None:
    assert str(Uri.sip("a", "2001:db8::1", 5061, secure=True)) == "sips:a@[2001:db8::1]:5061"
    assert Uri.sip("a", "[2001:db8::1]") == Uri.sip("a", "2001:db8::1")


def test_the_user_as_people_read_it() -> None:
    assert Uri.parse("sip:%C3%A9t%C3%A9@b").user_text == "été"
    assert Uri.parse("sip:%00%0A%7F@b").user_text == "\ufffd\ufffd\ufffd"
    assert Uri.parse("sip:%FF@b").user_text == "\ufffd"
    assert Uri.parse("sip:b").user_text == ""


def test_parameters_are_added_to_a_copy() -> None:
    uri = Uri.parse("sip:a@b;transport=udp")
    assert str(uri.with_params(transport="tcp", lr=None)) == "sip:a@b;transport=tcp;lr"
    assert str(uri) == "sip:a@b;transport=udp"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
        ("sip:b.com;method=REGISTER;transport=tcp", "sip:b.com;transport=tcp;method=REGISTER"),
        ("sip:alice@atlanta.com?a=x&b=y", "sip:alice@atlanta.com?b=y&A=x"),
        ("tel:+1-500-555", "tel:+1500555"),
        ("urn:service:sos", "URN:service:sos"),
    ],
)
def test_equivalent(one: str, other: str) -> None:
    """The examples of RFC 3261 section 19.1.4 and of RFC 3966."""
    assert Uri.parse(one).equivalent(Uri.parse(other))
    assert Uri.parse(other).equivalent(Uri.parse(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ("sip:a@b", "sips:a@b"),
        ("sip:a@b", "sip:a:pw@b"),
        ("tel:+1500", "tel:1500"),
    ],
)
def test_not_equivalent(one: str, other: str) -> None:
    assert not Uri.parse(one).equivalent(Uri.parse(other))


def test_long_uris_are_parsed_like_short_ones() -> None:
    user = "a" * 4_000
    assert Uri.parse(f"sip:{user}@b").user == user
