"""Whether a request that a test received is signed by Outdial, as an application has to ask::

    with WebServer() as web:
        ...
        for request in web.wait_for("/events", count=3):
            verify(secret, request.headers, signed_payload(request))

The secret is the one line of `OutdialServer.secret_path`, or one that the test has set.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from outdial.testing.web import Received
from outdial.webhooks import sign
from outdial.webhooks.sign import SignatureError

__all__ = ["SignatureError", "signed_payload", "verify"]


def verify(
    secret: str, headers: Mapping[str, str], payload: bytes, now: float | None = None
) -> str:
    """The webhook-id of a request that is signed right. Raises SignatureError (a ValueError).

    `headers` by their names in small letters; `payload` as `signed_payload` gives it; `now` is wall
    time in seconds, the machine's if it is left out.
    """
    return sign.verify([secret], headers, payload, time.time() if now is None else now)


def signed_payload(request: Received) -> bytes:
    """The raw body, or the raw query of a request that has none."""
    return request.raw_query.encode() if request.method in ("GET", "DELETE") else request.body
