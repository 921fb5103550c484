"""Texts of the settings with places for values: requests to a gateway for short messages. Pure.

A place is ``{to}``; every other brace is a brace, so that JSON can be written as it is. What stands
in a place cannot become anything else: it is escaped for the content type, or for the part of the
URL, that it stands in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from urllib.parse import quote, quote_plus, urlsplit
from xml.sax.saxutils import quoteattr

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
PLAIN = "text/plain"
XML = ("application/xml", "text/xml")

PLACES = ("from", "to", "text", "sid", "callsid")
"""What there is a value for. All but ``text`` are digits and letters."""

_PLACE = re.compile(r"\{([a-z_]+)\}")
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_HOSTILE = {"from": "1", "to": "1", "sid": "S", "callsid": "C", "text": "\"'\\\n<>&{}=%+,:[]"}
"""A text that breaks out of wherever it is not escaped."""

Escape = Callable[[str], str]


def fill_body(template: str, content_type: str, values: Mapping[str, str]) -> bytes:
    """The body with the values in their places, as UTF-8."""
    escape = _ESCAPES[_kind(content_type)]
    return _fill(template, values, escape).encode("utf-8", "replace")


def fill_url(template: str, values: Mapping[str, str]) -> str:
    """The URL with the values in their places, percent-encoded."""
    return _fill(template, values, _in_url)


def check_body(template: str, content_type: str) -> None:
    """Raises ValueError, which says what is wrong, for a template that cannot be right."""
    kind = _kind(content_type)
    if kind not in _ESCAPES:
        known = ", ".join(sorted(_ESCAPES))
        raise ValueError(f"{kind!r} is not a content type that a text can be put in; use {known}")
    _check_places(template)
    if kind == JSON:
        _check_json(template)
    elif kind in XML and _PLACE.search("".join(re.findall(r"<[^>]*>", template))):
        raise ValueError("places must stand between the tags of XML, not in them")
    elif kind == PLAIN and "{text}" not in template:
        raise ValueError("{text} is missing: nothing would be sent")


def check_url(template: str) -> None:
    """The same for the URL: the server is fixed, and a text can only stand in the query."""
    _check_places(template)
    parts = urlsplit(template)
    if _PLACE.search(parts.scheme + parts.netloc):
        raise ValueError("places must stand behind the server's name")
    if "{text}" in parts.path + parts.fragment:
        raise ValueError("{text} must stand in the query of the URL, behind the question mark")


def _fill(template: str, values: Mapping[str, str], escape: Escape) -> str:
    def value(place: re.Match[str]) -> str:
        return escape(values[place[1]]) if place[1] in PLACES else place[0]

    return _PLACE.sub(value, template)


def _check_places(template: str) -> None:
    for name in _PLACE.findall(template):
        if name not in PLACES:
            known = ", ".join(f"{{{known}}}" for known in PLACES)
            raise ValueError(f"{{{name}}} is no place for a value; there are {known}")


def _check_json(template: str) -> None:
    try:
        read = json.loads(_fill(template, _HOSTILE, _in_json))
    except ValueError as problem:
        raise ValueError(
            f'is not JSON once it is filled in ({problem}); write e.g. {{"text": "{{text}}"}}'
        ) from None
    if "{text}" in template and _HOSTILE["text"] not in "".join(_strings(read)):
        raise ValueError("{text} must stand in a string of the JSON")


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.items() for part in item for text in _strings(part)]
    if isinstance(value, list):
        return [text for item in value for text in _strings(item)]
    return []


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _in_url(text: str) -> str:
    return quote(text, safe="", errors="replace")


def _in_form(text: str) -> str:
    return quote_plus(text, errors="replace")


def _in_json(text: str) -> str:
    return json.dumps(text)[1:-1]


def _in_xml(text: str) -> str:
    quoted = quoteattr(_NOT_XML.sub("\ufffd", text), {"'": "&apos;", '"': "&quot;"})
    return quoted[1:-1]


def _as_it_is(text: str) -> str:
    return text


_ESCAPES: dict[str, Escape] = {
    FORM: _in_form,
    JSON: _in_json,
    PLAIN: _as_it_is,
    **dict.fromkeys(XML, _in_xml),
}
