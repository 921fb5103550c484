"""Signatures of the requests that Outdial sends, by the Standard Webhooks scheme. Pure.

``webhook-signature: v1,BASE64`` is the HMAC-SHA256 of ``id.timestamp.payload``, all three as they
were sent; while keys rotate there are several, with spaces between, and one that fits is enough.
The payload is the body of a POST byte for byte, and the query as it stands in the request line of
a GET, which has no body and whose parameters would be unprotected otherwise.

Source: the specification of Standard Webhooks 1.0 (symmetric signatures).
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence

from outdial.config.checks import SECRET_PREFIX, webhook_key

TOLERANCE_S = 300
"""A signature that is older, or younger, is not taken: somebody may have kept the request."""

_BLOCK_BYTES = 64
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


class SignatureError(ValueError):
    """A request is not signed as it should be; the message says what is wrong with it."""


class Signer:
    """Signs with every one of its secrets, the newest first. Raises ValueError for a bad one."""

    __slots__ = ("_states",)

    def __init__(self, secrets: Iterable[str]) -> None:
        # RFC 2104 by hand: both hashes have read their pads already, which leaves 1 us a
        # signature where `hmac` takes 2
        self._states = [_states(webhook_key(secret)) for secret in secrets]

    def sign(self, message_id: str, timestamp: int, payload: bytes) -> str:
        """The value of webhook-signature."""
        message = f"{message_id}.{timestamp}.".encode() + payload
        made = []
        for begun, ending in self._states:
            inner = begun.copy()
            inner.update(message)
            outer = ending.copy()
            outer.update(inner.digest())
            made.append("v1," + binascii.b2a_base64(outer.digest(), newline=False).decode())
        return " ".join(made)


def verify(
    secrets: Sequence[str],
    headers: Mapping[str, str],
    payload: bytes,
    now: float,
    tolerance_s: float = TOLERANCE_S,
) -> str:
    """The id of a request that one of the secrets has signed lately. Raises SignatureError.

    `headers` are the request's by lower-case name, `payload` is its raw body, or its raw query
    when it is a GET, `now` the wall time in seconds.
    """
    message_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    given = headers.get("webhook-signature", "")
    if not message_id or not timestamp or not given:
        raise SignatureError("webhook-id, webhook-timestamp or webhook-signature is missing")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise SignatureError("webhook-timestamp is not a number of seconds")
    if abs(now - int(timestamp)) > tolerance_s:
        raise SignatureError(
            f"webhook-timestamp is {abs(now - int(timestamp)):.0f} s off; "
            f"{tolerance_s:g} s are allowed"
        )
    expected = Signer(secrets).sign(message_id, int(timestamp), payload).split(" ")
    presented = given.split(" ")[:16]
    # every pair is compared, whatever the ones before gave
    fits = [_same(one, right) for one in presented for right in expected if right]
    if not any(fits):
        raise SignatureError("no signature fits: another secret, or the payload was changed")
    return message_id


def new_secret(random_bytes: bytes) -> str:
    """The secret that those random bytes make: 24 to 64 of them."""
    secret = SECRET_PREFIX + b64encode(random_bytes).decode()
    webhook_key(secret)
    return secret


def _states(key: bytes) -> tuple[hashlib._Hash, hashlib._Hash]:
    block = key.ljust(_BLOCK_BYTES, b"\0")
    return hashlib.sha256(block.translate(_INNER)), hashlib.sha256(block.translate(_OUTER))


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
