"""Who is asking: the API key of a request."""

from __future__ import annotations

from collections.abc import Iterable
from hmac import compare_digest
from typing import Protocol

from outdial.calls import codes
from outdial.errors import Refused


class Keys(Protocol):
    """Knows the keys that are valid now; `store.keys.KeyRing` fulfils it."""

    def verify(self, presented: str) -> str | None:
        """The name of the key; None when it is not valid, in the same time for every such key."""


def from_headers(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The key in `apikey`, `X-API-Key` or `Authorization: Bearer`; "" when there is none.

    Raises Refused (401) for different keys in several of them: which is meant cannot be told.
    """
    found: str | None = None
    for name, value in headers:
        if name in (b"apikey", b"x-api-key"):
            presented = value.decode("latin-1").strip()
        elif name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            if scheme.lower() != "bearer":
                continue
            presented = token.strip()
        else:
            continue
        if found is not None and not compare_digest(presented.encode(), found.encode()):
            message = "The headers have different API keys; send one"
            raise Refused(401, codes.BAD_KEY, message, field="apikey")
        found = presented
    return found or ""


def authenticate(keys: Keys, presented: str, where: str) -> str:
    """The key's name. Raises Refused (401), the same for every key that is not valid."""
    name = keys.verify(presented) if presented else None
    if name is None:
        problem = "The API key is not valid" if presented else "The API key is missing"
        raise Refused(401, codes.BAD_KEY, f"{problem}; {where}", field="apikey")
    return name
