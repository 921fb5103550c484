"""Callbacks as lines of text. Pure; everything is escaped for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

from outdial.log import escape

_MOST_PARAMS = 200


def delivery_lines(shown: Mapping[str, Any]) -> Iterator[str]:
    """A delivery in full, as `GET /v1/deliveries/{id}` gives it."""
    yield f"{escape(shown['id'])}  {escape(shown['event'])} of {escape(shown['call_sid'])}"
    yield f"{escape(shown['created_at'])}  event {escape(shown['event_id']) or '-'}"
    state = escape(shown["state"])
    if shown["next_at"]:
        state += f", tried again at {escape(shown['next_at'])}"
    elif shown["done_at"]:
        state += f" at {escape(shown['done_at'])}"
    yield f"{state}, {shown['attempts']} attempts"
    yield ""
    yield from request_lines(shown["request"])
    for number, one in enumerate(shown["tries"], 1):
        yield ""
        yield from _attempt_lines(number, one)


def request_lines(request: Mapping[str, Any]) -> Iterator[str]:
    """The request as it goes over the wire, its form taken apart."""
    yield f"{escape(request['method'])} {escape(request['url'])}"
    for name, value in request["headers"].items():
        yield f"{escape(name)}: {escape(value)}"
    if request["body"]:
        yield ""
        yield from param_lines(parse_qsl(request["body"], keep_blank_values=True))


def param_lines(params: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Parameters, one a line."""
    for number, (name, value) in enumerate(params):
        if number >= _MOST_PARAMS:
            yield "  ..."
            return
        yield f"  {escape(name)} = {escape(value)}"


def _attempt_lines(number: int, one: Mapping[str, Any]) -> Iterator[str]:
    result = escape(one["error"]) or f"taken, {one['status']}"
    peer = f"  {escape(one['peer'])}" if one["peer"] else ""
    yield f"attempt {number}  {escape(one['at'])}  {one['ms']} ms{peer}  {result}"
    if one["signature"]:
        yield f"  webhook-timestamp: {one['timestamp']}"
        yield f"  webhook-signature: {escape(one['signature'])}"
    for line in one["response_head"].splitlines():
        yield f"  < {escape(line)}"
