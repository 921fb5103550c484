"""Templates for gateways: what stands in a place stays there, whatever it is."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl, urlsplit
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outdial import template

VALUES = {"from": "12025550100", "to": "12025550177", "sid": "SM1", "callsid": "CA1", "text": ""}
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@given(TEXTS)
def test_a_text_cannot_break_out_of_json(text: str) -> None:
    body = template.fill_body(
        '{"to": "+{to}", "m": {"text": "{text}"}}', template.JSON, VALUES | {"text": text}
    )
    assert json.loads(body) == {"to": "+12025550177", "m": {"text": text}}


@given(TEXTS)
def test_a_text_cannot_break_out_of_a_form(text: str) -> None:
    body = template.fill_body("to={to}&text={text}&x=1", template.FORM, VALUES | {"text": text})
    assert parse_qsl(body.decode(), keep_blank_values=True) == [
        ("to", "12025550177"), ("text", text), ("x", "1")
    ]  # fmt: skip


@given(TEXTS)
def test_a_text_cannot_break_out_of_a_url(text: str) -> None:
    url = template.fill_url("https://g.test/send/{to}?t={text}&x=1", VALUES | {"text": text})
    parts = urlsplit(url)
    assert (parts.netloc, parts.path, parts.fragment) == ("g.test", "/send/12025550177", "")
    assert parse_qsl(parts.query, keep_blank_values=True) == [("t", text), ("x", "1")]


@given(TEXTS)
def test_a_text_cannot_break_out_of_xml(text: str) -> None:
    body = template.fill_body(
        "<m><to>{to}</to><t>{text}</t></m>", "text/xml", VALUES | {"text": text}
    )
    read = ElementTree.fromstring(body)
    assert [child.tag for child in read] == ["to", "t"]
    told = read.findtext("t") or ""
    assert len(told) == len(text)
    assert all(a == b or b == "\ufffd" for a, b in zip(text, told, strict=True))


def test_places_in_values_are_not_filled() -> None:
    body = template.fill_body("{text} {to}", "text/plain; charset=utf-8", VALUES | {"text": "{to}"})
    assert body == b"{to} 12025550177"


@pytest.mark.parametrize(
    ("body", "kind", "told"),
    [
        ('{"text": {text}}', "application/json", "is not JSON once it is filled in"),
        ('{"text": "{text}"', "application/json", "is not JSON once it is filled in"),
        ('{"id": {sid}, "text": "{text}"}', "application/json", "is not JSON once it is filled in"),
        ("text={tekst}", template.FORM, "{tekst} is no place for a value; there are {from}, {to}"),
        ('<m t="{text}"/>', "text/xml", "between the tags"),
        ("<![CDATA[{text}]]>", "application/xml", "between the tags"),
        ("hello", "text/plain", "{text} is missing"),
        ("{text}", "multipart/form-data", "not a content type that a text can be put in"),
    ],
)
def test_a_body_that_cannot_be_right_is_refused(body: str, kind: str, told: str) -> None:
    with pytest.raises(ValueError) as refused:
        template.check_body(body, kind)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    "url", ["https://{to}.g.test/", "https://g.test/{text}", "https://g.test/#{text}"]
)
def test_a_url_whose_server_or_path_a_text_would_choose_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must stand"):
        template.check_url(url)


@pytest.mark.parametrize(
    "body", ['{"to": {to}, "text": "{text}"}', '{"messages": [{"text": "{text}"}]}', "{}"]
)
def test_other_braces_are_braces(body: str) -> None:
    template.check_body(body, "application/json; charset=utf-8")
