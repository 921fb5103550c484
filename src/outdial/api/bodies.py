"""Request bodies: read with a cap, and turned into name and value pairs.

A body is never held beyond the cap, whatever its length header says or leaves out. Everything here
raises Refused: 400, 408, 413 or 415.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

from outdial.calls import codes
from outdial.errors import Refused

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Pairs = list[tuple[str, object]]

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
JSON = "application/json"

_MAX_PARAMETERS = 100
_DRAIN_BYTES = 1 << 20
"""How much of an over-long body is read and thrown away, so that its sender sees the answer."""
_CHARSETS = frozenset(("utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin-1", "latin1"))


class Disconnected(Exception):
    """The client went away before its body was complete: there is nobody to answer."""


async def read(receive: Receive, limit: int, timeout_s: float = 30.0) -> bytes:
    """The whole body. Raises Refused: 413 above `limit` bytes, 408 when it takes too long."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message.get("body", b"")
        if len(body) > limit:
            raise _too_large(limit)
        return body
    try:
        async with asyncio.timeout(timeout_s):
            return await _read_rest(message, receive, limit)
    except TimeoutError:
        raise Refused(
            408, codes.SLOW_BODY, f"The body did not arrive within {timeout_s:g} seconds"
        ) from None


async def _read_rest(message: MutableMapping[str, Any], receive: Receive, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
        elif size > limit + _DRAIN_BYTES:
            raise _too_large(limit)
        else:
            chunks.clear()
        if not message.get("more_body"):
            break
        message = await receive()
    if size > limit:
        raise _too_large(limit)
    return b"".join(chunks)


def _too_large(limit: int) -> Refused:
    return Refused(
        413,
        codes.TOO_LARGE,
        f"The body is larger than the {limit} bytes allowed by http.max_body_bytes",
    )


def pairs(content_type: str, body: bytes) -> Pairs:
    """The parameters in the order given: form, multipart or JSON as `content_type` says.

    Without a content type a body that looks like JSON or a form is taken as that. JSON values keep
    their types.
    """
    kind, _, rest = content_type.partition(";")
    kind = kind.strip().lower()
    if not kind:
        start = body.lstrip()[:1]
        kind = JSON if start == b"{" else FORM if b"=" in body or not start else ""
    if kind == FORM:
        return _form(body, _charset(rest))
    if kind == JSON:
        return _json(body)
    if kind == MULTIPART:
        return _multipart(content_type, body)
    raise Refused(
        415,
        codes.BAD_TYPE,
        f"The Content-Type is not one that is taken; send {FORM}, {MULTIPART} or {JSON}",
    )


def _charset(parameters: str) -> str:
    if "charset" not in parameters.lower():
        return "utf-8"
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip('"').lower()
            if charset not in _CHARSETS:
                raise Refused(
                    415, codes.BAD_TYPE, "The charset is not one that is taken; use utf-8"
                )
            return charset
    return "utf-8"


def _form(body: bytes, charset: str) -> Pairs:
    if body[:1] == b"{":
        raise Refused(
            400,
            codes.MALFORMED_BODY,
            f"The body looks like JSON but its Content-Type says form; send Content-Type: {JSON}",
        )
    try:
        fields = body.decode(charset).split("&")
        if len(fields) > _MAX_PARAMETERS:
            raise Refused(
                400, codes.MALFORMED_BODY, f"The form has more than {_MAX_PARAMETERS} parameters"
            )
        # urllib's parse_qsl does the same in three times the time
        result: Pairs = []
        for field in fields:
            name, _, value = field.partition("=")
            if value:
                result.append((_unquoted(name, charset), _unquoted(value, charset)))
        return result
    except UnicodeDecodeError:
        raise Refused(400, codes.MALFORMED_BODY, f"The form is not valid {charset} text") from None


def _unquoted(text: str, charset: str) -> str:
    if "+" in text:
        text = text.replace("+", " ")
    return unquote(text, charset, "strict") if "%" in text else text


class _Object(tuple[tuple[str, Any], ...]):
    """A JSON object as its pairs: a repeated name must not vanish silently."""

    __slots__ = ()


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def load_json(body: bytes) -> Any:
    """The JSON value, objects as dicts. Raises Refused (400), also for what nests too deeply."""
    return _load(body, None)


def _load(body: bytes, hook: Callable[[list[tuple[str, Any]]], Any] | None) -> Any:
    try:
        return json.loads(
            body.decode("utf-8-sig"), object_pairs_hook=hook, parse_constant=_no_constant
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise Refused(400, codes.MALFORMED_BODY, f"The body is not valid JSON ({where})") from None
    except UnicodeDecodeError:
        raise Refused(
            400, codes.MALFORMED_BODY, "The body is not valid JSON (not UTF-8 text)"
        ) from None
    except (ValueError, RecursionError):
        raise Refused(
            400,
            codes.MALFORMED_BODY,
            "The body is not valid JSON (a number is impossible, or it nests too deeply)",
        ) from None


def _json(body: bytes) -> Pairs:
    value = _load(body, _Object)
    if not isinstance(value, _Object):
        raise Refused(
            400,
            codes.MALFORMED_BODY,
            'The JSON body must be an object, e.g. {"apikey": "...", "from": "...", "to": "..."}',
        )
    if len(value) > _MAX_PARAMETERS:
        raise Refused(
            400, codes.MALFORMED_BODY, f"The JSON has more than {_MAX_PARAMETERS} parameters"
        )
    return list(value)


def _multipart(content_type: str, body: bytes) -> Pairs:
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser, parse_options_header

    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise Refused(
            400, codes.MALFORMED_BODY, "The multipart Content-Type has no boundary parameter"
        )
    parts = _Parts()
    try:
        parser = MultipartParser(boundary, parts.callbacks())
        parser.write(body)
        parser.finalize()
    except FormParserError:
        raise Refused(400, codes.MALFORMED_BODY, "The multipart body is malformed") from None
    if not parts.complete:
        raise Refused(
            400, codes.MALFORMED_BODY, "The multipart body ends before its closing boundary"
        )
    return parts.pairs


class _Parts:
    """Collects the parts of a multipart body as the parser comes across them."""

    def __init__(self) -> None:
        self.pairs: Pairs = []
        self.complete = False
        self._name = b""
        self._field = b""
        self._value = b""
        self._data: list[bytes] = []

    def callbacks(self) -> Any:
        """What `MultipartParser` calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_part_data": self._part_data,
            "on_part_end": self._end,
            "on_end": self._all,
        }

    def _begin(self) -> None:
        if len(self.pairs) >= _MAX_PARAMETERS:
            raise Refused(
                400,
                codes.MALFORMED_BODY,
                f"The multipart body has more than {_MAX_PARAMETERS} parts",
            )
        self._name = b""
        self._data = []

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        from python_multipart.multipart import parse_options_header

        if self._field.lower() == b"content-disposition":
            self._name = parse_options_header(self._value)[1].get(b"name", b"")
        self._field = self._value = b""

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self._data.append(data[start:end])

    def _end(self) -> None:
        try:
            self.pairs.append((self._name.decode(), b"".join(self._data).decode()))
        except UnicodeDecodeError:
            raise Refused(
                400, codes.MALFORMED_BODY, "A multipart part is not valid UTF-8 text"
            ) from None

    def _all(self) -> None:
        self.complete = True
