"""The CallTermination V2 endpoint, as its source document and its public client have it.

A bare ASGI handler: it is on the path of every call, and a framework's share of the time would be
larger than its own.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, cast

from outdial import log
from outdial.api import bodies, keys, scopes
from outdial.api.intake import Intake
from outdial.api.metrics import Metrics
from outdial.calls import codes, repeats
from outdial.calls.checks import FIELDS
from outdial.errors import Refused, StoreUnavailable

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PATHS = frozenset(
    f"/didforsaleapi/index.php/api/{version}/CallTermination{slash}"
    for version in ("V2", "v2")
    for slash in ("", "/")
)

SPELLING = {name: name for name in FIELDS if name != "sip_headers"} | {
    "method": "Method",
    "send_digits": "sendDigits",
    "status_callback": "statusCallback",
    "status_callback_event": "statusCallbackEvent",
    "status_callback_method": "statusCallbackMethod",
    "secret_key": "secretKey",
    "time_limit": "timeLimit",
    "fallback_url": "fallbackUrl",
    "caller_name": "callerName",
}
"""How the source document writes each parameter; what it cannot have is only in the native API."""

_NAMES = {spelt.lower(): name for name, spelt in SPELLING.items()} | {
    "statuscallbackevents": "status_callback_event",
}
_KEY_PLACE = "send it as apikey in the body, or as an apikey header"

_log = log.get("api")


class CallTermination:
    """Answers posts to the V2 paths."""

    def __init__(
        self,
        intake: Intake,
        key_ring: keys.Keys,
        metrics: Metrics,
    ) -> None:
        self._intake = intake
        self._keys = key_ring
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: bodies.Receive, send: Send) -> None:
        """One request."""
        try:
            sid = await self._place(scope, receive)
        except Refused as refused:
            await self._answer_refusal(send, refused)
        except bodies.Disconnected:
            self._metrics.answered("v2", "gone")
        except StoreUnavailable:
            message = "The call could not be stored now and was not placed; try again"
            await self._answer_refusal(
                send, Refused(503, codes.STORE_AWAY, message, retry_after_s=2)
            )
        except Exception:
            _log.exception("post failed")
            message = "An internal error; the server's log has it"
            await self._answer_refusal(send, Refused(500, codes.INTERNAL, message))
        else:
            self._metrics.answered("v2", "200")
            await _send(send, 200, _ACCEPTED % sid.encode(), ())

    async def _place(self, scope: Scope, receive: bodies.Receive) -> str:
        if scope["method"] != "POST":
            raise Refused(405, codes.BAD_METHOD, "This path takes POST only")
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        presented = keys.from_headers(headers)
        # A key in a header is judged before the body is even read.
        key_name = self._key_name(presented) if presented else ""
        content_type = _content_type(headers)
        body = await bodies.read(receive, self._intake.max_body_bytes)
        pairs = bodies.pairs(content_type, body)
        if not key_name:
            key_name = self._key_name(_body_key(pairs))
        self._intake.rate.take(key_name)
        token = repeats.token_of(_tokens(headers))
        values = collect(pairs)
        if not token:
            return (await self._intake.place(values, SPELLING, key_name)).sid
        return (await self._intake.place_once(values, SPELLING, key_name, token)).call_sid

    def _key_name(self, presented: str) -> str:
        return keys.authenticate(self._keys, presented, _KEY_PLACE, scopes.V2).name

    async def _answer_refusal(self, send: Send, refused: Refused) -> None:
        self._metrics.answered("v2", str(refused.status))
        await _send(send, refused.status, refusal_json(refused), refusal_headers(refused, "POST"))


_ACCEPTED = b'{"status": true, "message": "The call is accepted.", "callSid": "%s"}'


def _tokens(headers: list[tuple[bytes, bytes]]) -> list[str]:
    return [value.decode("latin-1") for name, value in headers if name == b"idempotency-key"]


def _body_key(pairs: bodies.Pairs) -> str:
    for written, value in pairs:
        if written.lower() == "apikey":
            return str(value).strip()
    return ""


def collect(pairs: bodies.Pairs) -> dict[str, list[str]]:
    """The known parameters under their own names; names fold case, ``name[]`` is ``name``.

    The API key is not among them. Raises Refused (400) for a JSON value that no parameter can have.
    """
    values: dict[str, list[str]] = {}
    for written, value in pairs:
        name = _NAMES.get(written) or _NAMES.get(written.lower().removesuffix("[]"))
        if name is None:
            continue
        listed = isinstance(value, list) and name == "status_callback_event"
        given: Sequence[object] = cast("list[object]", value) if listed else (value,)
        for one in given:
            text = one if isinstance(one, str) else _scalar(SPELLING[name], one)
            if text:
                values.setdefault(name, []).append(text)
    return values


def _scalar(label: str, value: object) -> str:
    """A JSON value that is not text, as text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    raise Refused(
        400,
        codes.BAD_VALUE,
        f"{label} must be text, a whole number or true/false",
        field=label,
    )


def _content_type(headers: list[tuple[bytes, bytes]]) -> str:
    content_type = ""
    for name, value in headers:
        if name == b"content-type":
            content_type = value.decode("latin-1")
        elif name == b"content-encoding" and value.lower() != b"identity":
            raise Refused(
                415, codes.BAD_TYPE, "Compressed bodies are not taken; send the body as it is"
            )
    return content_type


def refusal_json(refused: Refused) -> bytes:
    """The body of every error on this endpoint."""
    answer: dict[str, object] = {
        "status": False,
        "code": refused.code,
        "message": refused.message,
    }
    if refused.field:
        answer["field"] = refused.field
    return json.dumps(answer).encode()


def refusal_headers(refused: Refused, allow: str) -> tuple[tuple[bytes, bytes], ...]:
    """The headers that belong to a status, besides the content type."""
    if refused.status == 401:
        return ((b"www-authenticate", b'Bearer realm="Outdial"'),)
    if refused.status == 405:
        return ((b"allow", allow.encode()),)
    if refused.status in (408, 413):
        # the rest of the body may still be on its way: this connection cannot be used again
        return ((b"connection", b"close"),)
    if refused.status == 416:
        return ((b"content-range", f"bytes */{refused.size_bytes or 0}".encode()),)
    if refused.status in (429, 503):
        return ((b"retry-after", str(refused.retry_after_s or 1).encode()),)
    return ()


async def _send(
    send: Send, status: int, body: bytes, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
