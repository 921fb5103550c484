"""Addresses (RFC 3261 sections 20.10, 25.1)."""

from __future__ import annotations

import pytest

from outdial.errors import RemoteProtocolError
from outdial.sip.core.address import Address
from outdial.sip.core.uri import Uri


@pytest.mark.parametrize(
    ("text", "name", "uri", "params"),
    [
        ("<sip:a@b>", "", "sip:a@b", {}),
        ('"Ann" <sip:a@b>;tag=x', "Ann", "sip:a@b", {"tag": "x"}),
        ("Ann<sip:a@b>;tag=x", "Ann", "sip:a@b", {"tag": "x"}),
        ("Ann van der B. <sip:a@b>", "Ann van der B.", "sip:a@b", {}),
        ("Ann (home) <sip:a@b>", "Ann (home)", "sip:a@b", {}),
        ("ann@example.com <sip:a@b>", "ann@example.com", "sip:a@b", {}),
        ("José Müller <sip:a@b>", "José Müller", "sip:a@b", {}),
        ('"a\\"b\\\\c" <sip:a@b>', 'a"b\\c', "sip:a@b", {}),
        ('"<sip:x@y>;,"<sip:a@b>', "<sip:x@y>;,", "sip:a@b", {}),
        ('"" <sip:a@b>', "", "sip:a@b", {}),
        ("sip:a@b;tag=x", "", "sip:a@b", {"tag": "x"}),
        ("sip:a@b", "", "sip:a@b", {}),
        ("tel:+1500;tag=x", "", "tel:+1500", {"tag": "x"}),
        ("<tel:+1500;phone-context=y>;tag=x", "", "tel:+1500;phone-context=y", {"tag": "x"}),
        ("<sip:a@b;lr> ; Tag = X ; q=0.5", "", "sip:a@b;lr", {"tag": "X", "q": "0.5"}),
        ('<sip:a@b>;x="a;b,\\"c"', "", "sip:a@b", {"x": '"a;b,\\"c"'}),
        ("<sip:a@b>;+sip.instance=\"<urn:uuid:1>\"", "", "sip:a@b",
         {"+sip.instance": '"<urn:uuid:1>"'}),
    ],
)  # fmt: skip
def test_parts(text: str, name: str, uri: str, params: dict[str, str | None]) -> None:
    address = Address.parse(text)
    assert address.display_name == name
    assert str(address.uri) == uri
    assert address.params == params
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "", "Ann", "<>", '"Ann <sip:a@b>', '"Ann" sip:a@b', '"Ann', '"Ann"', "<sip:a@b", "sip:a@b>",
        "<sip:a@b>tag=x", "<sip:a@b> x", "<<sip:a@b>>", "< sip:a@b>", "<sip:a@b >", "<sip:a@b>;",
        "<sip:a@b>;;x", "<sip:a@b>;tag=", "<sip:a@b>;x;X", "sip:a@b?x=y", "sip:a@b,sip:c@d",
        'A "B" <sip:a@b>', "A, B <sip:a@b>", "A; B <sip:a@b>", "A\\B <sip:a@b>", "sip:a@b;x=<y>",
    ],
)  # fmt: skip
def test_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        Address.parse(text)


def test_written_with_quotes_and_brackets() -> None:
    address = Address(Uri.parse("sip:a@b"), 'A "B" \\', {"tag": "x"})
    assert str(address) == '"A \\"B\\" \\\\" <sip:a@b>;tag=x'


def test_lists() -> None:
    found = Address.parse_list('"a, b" <sip:a@b;x=y>;q=1 , <sip:c@d>,sip:e@f')
    assert [str(address.uri) for address in found] == ["sip:a@b;x=y", "sip:c@d", "sip:e@f"]


@pytest.mark.parametrize(
    "text", [",<sip:a@b>", "<sip:a@b>,", "<sip:a@b>,,<sip:c@d>", "<sip:a,", ","]
)
def test_lists_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        Address.parse_list(text)


def test_tags_are_changed_on_a_copy() -> None:
    address = Address.parse("<sip:a@b>;tag=x;y=z")
    assert address.tag == "x"
    assert address.with_tag("new").params == {"y": "z", "tag": "new"}
    assert address.with_tag(None).tag is None
    assert address.tag == "x"


def test_a_name_from_the_network_cannot_end_its_quotes() -> None:
    address = Address(Uri.parse("sip:a@b"), '" <sip:evil@x>;tag=1, "')
    assert Address.parse_list(str(address)) == [address]
