"""The one parser of messages (RFC 3261 sections 7 and 25). Whole messages in, typed messages out.

What is tolerated: leading CRLFs, folded lines, compact names, any case, white space before the
colon of a header and wherever the grammar has it, several values in a line, a missing
Content-Length on a datagram and octets after the body it gives. What is refused: everything else
that the grammar does not have, above all control characters, bare CR or LF, and second copies of
single-value headers, because another element may have read them differently.

Text is UTF-8. A head that is not valid UTF-8 is read as Windows-1252, the superset of Latin-1 that
old PBXs send; it is written as UTF-8 from then on, so encode(parse(x)) is stable.
"""

from __future__ import annotations

import re
from typing import Final

from outdial.errors import RemoteProtocolError
from outdial.sip.core.grammar import is_token, parse_number
from outdial.sip.core.headers import CANONICAL, SINGLE, Headers, canonical
from outdial.sip.core.limits import (
    MAX_BODY_BYTES,
    MAX_HEADERS,
    MAX_LINE,
    MAX_MESSAGE_BYTES,
)
from outdial.sip.core.message import Request, Response
from outdial.sip.core.uri import Uri

_CONTROLS: Final = bytes([*range(9), 11, 12, *range(14, 32), 127])
_fold = re.compile(r"\r\n[ \t]++")
_escaped_control = re.compile(r"\\[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_c1_control = re.compile(r"[\x80-\x9f]")
_status_line = re.compile(r"SIP/2\.0 ([1-6][0-9][0-9])(?: (.*))?", re.IGNORECASE)
_version = re.compile(r"SIP/[0-9]++\.[0-9]++", re.IGNORECASE)


def is_keep_alive(data: bytes) -> bool:
    """Whether a datagram holds no message but only CRLFs (RFC 5626 section 3.5.1) or NULs."""
    return not data.strip(b"\r\n\0")


def parse_message(data: bytes) -> Request | Response:
    """Parses one datagram, or one message that `stream` has framed.

    Raises RemoteProtocolError; its `status_hint` is what a request deserves for an answer. A
    response that is refused has to be dropped.
    """
    head, body = _split(data)
    lines = _lines(head)
    headers = Headers.received(_header_lines(lines))
    message = _message(lines[0], headers, _body(headers, body))
    message.check()
    return message


def salvage_request(data: bytes) -> Request | None:
    """What can be read of a request that `parse_message` refused, enough to answer it; else None.

    It has the Vias, From, To, Call-ID and CSeq that a response copies, no body, and no other
    header. Nothing else may be done with it than to send the refusal.
    """
    try:
        lines = _lines(_split(data)[0])
        headers = Headers()
        headers.copy_from(
            Headers.received(_header_lines(lines)), "Via", "From", "To", "Call-ID", "CSeq"
        )
        method = lines[0].partition(" ")[0]
        if not is_token(method):
            return None
        request = Request(method, Uri("sip", host="invalid"), headers)
        request.check()
    except RemoteProtocolError:
        return None
    return request


def _split(data: bytes) -> tuple[bytes, bytes]:
    if len(data) > MAX_MESSAGE_BYTES:
        raise RemoteProtocolError("message too large", 513)
    if data[:1] in (b"\r", b"\n"):
        data = data.lstrip(b"\r\n")
    end = data.find(b"\r\n\r\n")
    if end < 0:
        raise RemoteProtocolError("no empty line after the headers")
    return data[:end], data[end + 4 :]


def _lines(head: bytes) -> list[str]:
    """Start line and unfolded header lines, without control characters other than HTAB.

    What is printable but for its CRLFs needs no closer look: nearly every message is.
    """
    try:
        text = head.decode()
        lines = text.split("\r\n")
        plain = "".join(lines).isprintable() and "\r\n " not in text
    except UnicodeDecodeError:
        plain = False
    if not plain:
        text = _fold.sub(" ", _text(head))
        lines = text.split("\r\n")
    if len(lines) > MAX_HEADERS + 1:
        raise RemoteProtocolError(f"more than {MAX_HEADERS} headers", 513)
    if len(text) > MAX_LINE and max(map(len, lines)) > MAX_LINE:
        raise RemoteProtocolError(f"a line longer than {MAX_LINE}", 513)
    return lines


def _text(head: bytes) -> str:
    breaks = head.count(b"\r\n")
    if head.count(b"\r") != breaks or head.count(b"\n") != breaks:
        raise RemoteProtocolError("a line end that is not CRLF")
    try:
        text = head.decode()
    except UnicodeDecodeError:
        try:
            text = head.decode("cp1252")
        except UnicodeDecodeError:
            raise RemoteProtocolError("neither UTF-8 nor Windows-1252") from None
    if len(head.translate(None, _CONTROLS)) != len(head):
        # A quoted-pair may hold any control character (RFC 4475 section 3.1.1.2). It is valid, and
        # nobody downstream wants it.
        text = _escaped_control.sub("\N{REPLACEMENT CHARACTER}", text)
        if len(text.encode().translate(None, _CONTROLS)) != len(text.encode()):
            raise RemoteProtocolError("control character")
    if not text.isascii() and _c1_control.search(text):
        raise RemoteProtocolError("control character")
    return text


def _header_lines(lines: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    known = CANONICAL.get
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise RemoteProtocolError(f"header without a colon: {line[:40]!r}")
        name = known(name) or canonical(name)
        others = found.get(name)
        if others is None:
            found[name] = [value.strip(" \t")]
        elif name in SINGLE:
            raise RemoteProtocolError(f"{name} comes twice")
        else:
            others.append(value.strip(" \t"))
    return found


def _body(headers: Headers, rest: bytes) -> bytes:
    declared = headers.lines("Content-Length")
    length = len(rest)
    if declared:
        length = parse_number(declared[0], 2**31, "Content-Length")
        if length > len(rest):
            raise RemoteProtocolError(f"body of {len(rest)} octets, Content-Length {length}")
    if length > MAX_BODY_BYTES:
        raise RemoteProtocolError("body too large", 413)
    return rest[:length]


def _message(start_line: str, headers: Headers, body: bytes) -> Request | Response:
    if start_line[:4].upper() == "SIP/":
        match = _status_line.fullmatch(start_line)
        if match is None:
            raise RemoteProtocolError(f"malformed status line: {start_line[:60]!r}")
        return Response(int(match[1]), match[2] or "", headers, body)
    parts = start_line.split(" ")
    if len(parts) != 3 or not is_token(parts[0]):
        raise RemoteProtocolError(f"malformed request line: {start_line[:60]!r}")
    if parts[2].upper() != "SIP/2.0":
        fitting = 505 if _version.fullmatch(parts[2]) else 400
        raise RemoteProtocolError(f"version {parts[2][:20]!r}", fitting)
    return Request(parts[0], _request_uri(parts[1]), headers, body)


def _request_uri(text: str) -> Uri:
    uri = Uri.parse(text)
    if uri.headers:
        raise RemoteProtocolError("headers in the Request-URI")
    return uri
