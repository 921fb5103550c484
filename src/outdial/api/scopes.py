"""Which scope of an API key each endpoint needs: the one table of it.

A route that is not in the table needs `admin`, so that one that was forgotten is closed; a test
walks the OpenAPI document and finds it.
"""

from __future__ import annotations

import re
from functools import lru_cache

V2 = "call"
"""The CallTermination path."""

NEEDED: dict[str, tuple[tuple[str, str], ...]] = {
    "call": (
        ("POST", "/v1/calls"),
        ("POST", "/v1/calls/{sid}"),
        ("POST", "/v1/conferences/{name_or_sid}/members/{call_sid}"),
    ),
    "read": (
        ("GET", "/v1/bans"),
        ("GET", "/v1/calls"),
        ("GET", "/v1/calls/{sid}"),
        ("GET", "/v1/calls/{sid}/events"),
        ("GET", "/v1/calls/{sid}/ladder"),
        ("GET", "/v1/calls/{sid}/sip.pcap"),
        ("GET", "/v1/calls/{sid}/sip.txt"),
        ("GET", "/v1/conferences"),
        ("GET", "/v1/conferences/{name_or_sid}"),
        ("GET", "/v1/deliveries"),
        ("GET", "/v1/deliveries/{id}"),
        ("GET", "/v1/events"),
        ("GET", "/v1/faxes/{sid}.pdf"),
        ("GET", "/v1/numbers"),
        ("GET", "/v1/numbers/{number}"),
        ("GET", "/v1/queues"),
        ("GET", "/v1/queues/{name_or_sid}"),
        ("GET", "/v1/recordings"),
        ("GET", "/v1/recordings/{sid}"),
        ("GET", "/v1/recordings/{sid}.mp3"),
        ("GET", "/v1/recordings/{sid}.wav"),
        ("GET", "/v1/trunks"),
        ("GET", "/v1/trunks/{name}"),
        ("GET", "/v1/trunks/{name}/sip"),
        ("GET", "/v1/usage"),
    ),
    "admin": (
        ("DELETE", "/v1/bans/{address}"),
        ("POST", "/v1/deliveries/replay"),
        ("POST", "/v1/deliveries/{id}/replay"),
        ("GET", "/v1/keys"),
        ("POST", "/v1/keys"),
        ("DELETE", "/v1/keys/{name_or_id}"),
        ("POST", "/v1/keys/{name_or_id}/rotate"),
        ("POST", "/v1/numbers"),
        ("POST", "/v1/numbers/{number}"),
        ("DELETE", "/v1/numbers/{number}"),
        ("DELETE", "/v1/recordings/{sid}"),
    ),
}
"""Scope to method and path. What has no key at all: docs/reference/api.md."""

_SCOPE_OF = {route: scope for scope, routes in NEEDED.items() for route in routes}
_KIND = re.compile(r":\w+\}")


@lru_cache(maxsize=256)
def of(method: str, path: str) -> str:
    """The scope that a route needs, whose path has its parameters in braces."""
    method = "GET" if method == "HEAD" else method
    return _SCOPE_OF.get((method, _KIND.sub("}", path)), "admin")
