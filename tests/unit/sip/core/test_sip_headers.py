"""The header collection and its names (RFC 3261 section 7.3)."""

from __future__ import annotations

import pytest

from outdial.errors import LocalProtocolError, RemoteProtocolError
from outdial.sip.core.headers import Headers, canonical


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("call-id", "Call-ID"), ("CALL-ID", "Call-ID"), ("i", "Call-ID"), ("I \t", "Call-ID"),
        ("cSeQ", "CSeq"), ("l", "Content-Length"), ("v", "Via"), ("WWW-authenticate",
        "WWW-Authenticate"),
        ("x", "Session-Expires"), ("x-my-header", "X-My-Header"), ("X-MY-HEADER", "X-My-Header"),
        ("rack", "RAck"), ("mime-version", "MIME-Version"), ("s", "Subject"),
        ("P-asserted-identity",
        "P-Asserted-Identity"),
    ],
)  # fmt: skip
def test_names_have_one_spelling(written: str, name: str) -> None:
    assert canonical(written) == name
    assert canonical(name) == name


@pytest.mark.parametrize("name", ["", " ", "a b", "é", "a:b", "a\x01", "a\r\nb", "a\xa0"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(RemoteProtocolError):
        canonical(name)
    with pytest.raises(LocalProtocolError):
        Headers([(name, "x")])


def test_any_spelling_finds_a_header() -> None:
    headers = Headers([("v", "a"), ("Via", "b"), ("X-Foo", "c")])
    for name in ("Via", "via", "VIA", "v", "V"):
        assert headers.get(name) == "a"
        assert headers.get_all(name) == ["a", "b"]
        assert name in headers
    assert headers.get("x-foo") == "c"
    assert headers.get("To") is None
    assert headers.get_all("To") == []
    assert "To" not in headers
    assert len(headers) == 3


def test_order() -> None:
    headers = Headers([("To", "t"), ("Via", "1"), ("From", "f"), ("Via", "2")])
    assert list(headers.items()) == [("To", "t"), ("Via", "1"), ("Via", "2"), ("From", "f")]
    headers.insert_first("Via", "0")
    assert headers.get_all("Via") == ["0", "1", "2"]
    headers.insert_first("Route", "r")
    assert next(headers.items()) == ("Route", "r")
    assert list(headers.names()) == ["Route", "To", "Via", "From"]


def test_set_and_remove() -> None:
    headers = Headers([("Via", "1"), ("Via", "2"), ("To", "t")])
    headers.set("v", "3")
    assert list(headers.items()) == [("Via", "3"), ("To", "t")]
    headers.set_all("Via", ["4", "5"])
    assert headers.get_all("Via") == ["4", "5"]
    headers.set_all("Via", [])
    headers.remove("to")
    headers.remove("to")
    assert len(headers) == 0


def test_copies_are_independent() -> None:
    headers = Headers([("Via", "1")])
    copy = headers.copy()
    assert copy == headers
    copy.add("Via", "2")
    headers.get_all("Via").append("3")
    other = Headers()
    other.copy_from(headers, "Via", "To")
    other.add("Via", "4")
    assert headers.get_all("Via") == ["1"]
    assert copy != headers


@pytest.mark.parametrize(
    "value", ["a\r\nX: y", "a\n", "a\r", "\0", "a\x7f", "\x1b[31m", "a\x85b", "\ud800"]
)
def test_no_value_of_ours_can_become_a_line_of_its_own(value: str) -> None:
    headers = Headers([("X-A", "b")])
    for change in (headers.add, headers.set, headers.insert_first):
        with pytest.raises(LocalProtocolError):
            change("X-A", value)
    with pytest.raises(LocalProtocolError):
        headers.set_all("X-A", [value])
    assert headers.get_all("X-A") == ["b"]


@pytest.mark.parametrize("value", ["", "a\tb", "é", "日本", "a\xa0b", "\u2028", "😀"])
def test_other_text_is_allowed(value: str) -> None:
    assert Headers([("X-A", value)]).get("X-A") == value
