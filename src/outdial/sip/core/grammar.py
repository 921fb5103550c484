"""The pieces of the RFC 3261 section 25 grammar that several header fields share.

Every pattern is possessive or anchored so that no input makes it back up: the time is linear in
the text. Text given here has no CR or LF; folding was undone by the parser.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from outdial.errors import LocalProtocolError, RemoteProtocolError
from outdial.sip.core.limits import MAX_PARAMS, MAX_VALUES

TOKEN: Final = r"[A-Za-z0-9\-.!%*_+`'~]++"  # noqa: S105 - no password
HOST: Final = r"(?:[A-Za-z0-9\-._]++|\[[0-9A-Fa-f:.]++\])"
QUOTED: Final = r'"(?:[^"\\]|\\.)*+"'

_token = re.compile(TOKEN)
_quoted = re.compile(QUOTED)
_escaped_pair = re.compile(r"\\(.)")
_unsafe = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\ud800-\udfff]")
_list_item = re.compile(rf'(?:[^",<]++|{QUOTED}|<[^<>]*+>)++')

# gen-value is token, host or quoted-string. Networks also send "=", ":", "/", "@" and the like in
# bare values; none of them ends a value, so they are taken.
_param = re.compile(
    rf"[ \t]*+;[ \t]*+({TOKEN})(?:[ \t]*+=[ \t]*+({QUOTED}|[!#-+\--:=?-\[\]-~]++))?+[ \t]*+"
)

Params = Mapping[str, str | None]
"""Names in lower case; None for a parameter without "=". Quoted values keep their quotes."""

NO_PARAMS: Final[Params] = {}


def is_token(text: str) -> bool:
    """Whether `text` is a token: a method, a header name, an option tag."""
    return _token.fullmatch(text) is not None


def check_text(text: str) -> str:
    """Gives `text` back if it can stand in a message; LocalProtocolError for control characters.

    This is what keeps a caller's name or a reason from becoming a header of its own.
    """
    if not text.isprintable() and _unsafe.search(text):
        raise LocalProtocolError(f"control character in a SIP header or start line: {text[:60]!r}")
    return text


def quote(text: str) -> str:
    """A quoted-string that means `text`."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def unquote(text: str) -> str:
    """What a quoted-string means; other text is given back as it is."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    inner = text[1:-1]
    return _escaped_pair.sub(r"\1", inner) if "\\" in inner else inner


def leading_quoted(text: str) -> int:
    """Length of the quoted-string `text` starts with. RemoteProtocolError when it never ends."""
    match = _quoted.match(text)
    if match is None:
        raise RemoteProtocolError("a quoted string does not end")
    return match.end()


def split_list(text: str) -> list[str]:
    """The elements of a comma-separated header value; commas in quotes and in <> do not count.

    An empty element is refused (RFC 3261 section 7.3.1 has none).
    """
    if "," not in text:
        return [text]
    items: list[str] = []
    position = 0
    while True:
        match = _list_item.match(text, position)
        if match is None:
            raise RemoteProtocolError("an empty element or an unfinished quote in a list")
        item = match.group().strip(" \t")
        if not item:
            raise RemoteProtocolError("an empty element in a list")
        items.append(item)
        if len(items) > MAX_VALUES:
            raise RemoteProtocolError(f"more than {MAX_VALUES} elements in a list")
        position = match.end()
        if position == len(text):
            return items
        if text[position] != ",":
            raise RemoteProtocolError("an unfinished quote or bracket in a list")
        position += 1


def parse_params(text: str, start: int = 0) -> Params:
    """Parses ``*( SEMI generic-param )`` from `start` to the end of `text`.

    White space may stand round ";" and "=". A name that comes twice is refused, as is an empty
    name or value.
    """
    end = len(text)
    if start == end:
        return NO_PARAMS
    params: dict[str, str | None] = {}
    position = start
    match_param = _param.match
    while position < end:
        match = match_param(text, position)
        if match is None:
            raise RemoteProtocolError(f"malformed parameter: {text[position : position + 40]!r}")
        name = match[1].lower()
        if name in params:
            raise RemoteProtocolError(f"parameter {name[:40]!r} comes twice")
        params[name] = match[2]
        position = match.end()
        if len(params) > MAX_PARAMS:
            raise RemoteProtocolError(f"more than {MAX_PARAMS} parameters")
    return params


def format_params(params: Params) -> str:
    """``;name=value;flag``, values written as they are."""
    return "".join(
        [f";{name}" if value is None else f";{name}={value}" for name, value in params.items()]
    )


def parse_number(text: str, limit: int, what: str) -> int:
    """A decimal number from 0 to `limit`, leading zeros allowed. RemoteProtocolError otherwise."""
    if len(text) <= 9 and text.isascii() and text.isdigit() and (number := int(text)) <= limit:
        return number
    digits = text.lstrip("0")
    if text and len(digits) <= 19 and text.isascii() and text.isdigit():
        number = int(digits or "0")
        if number <= limit:
            return number
    raise RemoteProtocolError(f"{what} is not a number up to {limit}: {text[:40]!r}")
